"""scep_kem/safety.py: in folders where others may write, nothing of theirs is followed, used or given a secret."""

from __future__ import annotations

import grp
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ca.memory_store import MemoryStore
from scep_kem import files, safety
from scep_kem.ca_dir import CaDir
from scep_kem.client.pending import Pending
from scep_kem.config import load
from scep_kem.errors import UsageError
from scep_kem.owner import as_owner
from scep_kem.server.service import Service
from tests.scep_kem.conftest import STRANGER
from tests.scep_kem.kit import make_ca_dir, run, write_key


@pytest.fixture(autouse=True)
def shared_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever group these tests run in, it has other members."""
    monkeypatch.setattr(safety, "_private_group", lambda _status: False)


def commands(directory: Path) -> list[list[str | Path]]:
    return [["ca", "init", "--dir", directory, "--key-type", "ed25519"], ["serve", "--dir", directory, "--port", "0"]]


# Folders


@pytest.mark.parametrize("command", [0, 1])
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777, 0o720])
def test_no_ca_is_made_where_others_may_write(tmp_path: Path, mode: int, command: int) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca").chmod(mode)
    run(*commands(tmp_path / "ca")[command]).refused_in_one_line(2, f"others may write to {tmp_path / 'ca'}")
    assert list((tmp_path / "ca").iterdir()) == []


@pytest.mark.parametrize(("mode", "good"), [(0o777, False), (0o775, False), (0o1777, True), (0o755, True)])
def test_nor_where_others_may_put_another_folder_in_its_place(tmp_path: Path, mode: int, good: bool) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    found = run(*commands(tmp_path / "shared" / "mine" / "ca")[0])
    if good:
        assert CaDir(tmp_path / "shared" / "mine" / "ca").exists(), found
    else:
        found.refused_in_one_line(2, f"others may write to {tmp_path / 'shared'}")
        assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize("whose", ["ca", "."])
def test_nor_in_the_folder_of_somebody_else(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None], whose: str
) -> None:
    (tmp_path / "ca").mkdir()
    belongs_to_a_stranger(tmp_path / whose)
    run(*commands(tmp_path / "ca")[0]).refused_in_one_line(2, "belongs to somebody else (uid 54321)")
    assert list((tmp_path / "ca").iterdir()) == []


def test_nor_through_the_link_of_somebody_else(tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    safety.check_folder(tmp_path / "link" / "ca")
    belongs_to_a_stranger(tmp_path / "link")
    run(*commands(tmp_path / "link" / "ca")[0]).refused_in_one_line(2, "link belongs to somebody else")
    assert list((tmp_path / "real").iterdir()) == []


def test_what_a_link_leads_to_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "shared" / "ca").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "link").symlink_to("shared/ca")
    with pytest.raises(UsageError, match=r"others may write to .*shared"):
        safety.check_folder(tmp_path / "link")


def test_a_folder_that_somebody_made_at_that_moment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    make = files.make_folder

    def faster(path: Path) -> None:
        make(path)
        belongs_to_a_stranger(path)

    monkeypatch.setattr(files, "make_folder", faster)
    run(*commands(tmp_path / "ca")[0]).refused_in_one_line(2, "belongs to somebody else")
    assert list((tmp_path / "ca").iterdir()) == []


def test_links_that_go_round_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError, match="too many symbolic links"):
        safety.check_folder(tmp_path / "a" / "ca")


def test_folders_above_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.make_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    for path in (tmp_path / "a").rglob("."):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "members", "private"), [("me", [], True), ("me", ["me"], True), ("me", ["you"], False), ("us", [], False)]
)
def test_a_group_of_one_is_no_others(
    monkeypatch: pytest.MonkeyPatch, name: str, members: list[str], private: bool
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr("grp.getgrgid", lambda _gid: grp.struct_group((name, "x", 1, members)))
    writable = os.stat_result((0o40770, 0, 0, 0, 1, 1, 0, 0, 0, 0))
    assert safety._others_write(writable) is not private


def test_a_group_without_a_name_is_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    unknown = (1 << 31) - 7
    assert safety._others_write(os.stat_result((0o40770, 0, 0, 0, unknown, unknown, 0, 0, 0, 0)))


EVERY = [
    ["ca", "show"], ["ca", "list"], ["challenge", "new"], ["requests", "list"], ["ca", "backup", "/nonexistent/backup"],
    ["serve", "--port", "0", "--host", "203.0.113.1"],
]  # fmt: skip


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
@pytest.mark.parametrize("name", [".", "scep.toml", "store.sqlite"])
def test_no_command_goes_where_others_may_write(tmp_path: Path, command: list[str], name: str) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (made.path / name).chmod(0o777)
    for place in (("--dir", made.path), ("--config", made.config_path)):
        if command != ["ca", "show"] or name == "." or place[0] == "--config" != name == "scep.toml":
            run(*command, *place).refused_in_one_line(2, f"others may write to {made.path / name}")


def test_nor_by_a_configuration_that_lies_where_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They could put another one in its place; for who is not root, too."""
    made = make_ca_dir(tmp_path / "ca")
    (tmp_path / "shared").mkdir()
    made.config_path.rename(tmp_path / "shared" / "scep.toml")
    config = tmp_path / "shared" / "scep.toml"
    config.write_text(config.read_text().replace('dir = "."', 'dir = "../ca"'))
    (tmp_path / "shared").chmod(0o777)
    for command in EVERY:
        run(*command, "--config", config).refused_in_one_line(2, f"others may write to {tmp_path / 'shared'}")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or STRANGER)
    with pytest.raises(UsageError, match="others may write to"), as_owner(config):
        pass


def test_nor_does_a_server_start_there(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    made.path.chmod(0o777)
    with pytest.raises(UsageError, match="others may write to"):
        Service(load(made.config_path), store=MemoryStore())


# Files that are written


def test_the_link_of_somebody_else_is_not_followed(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "out").symlink_to("precious")
    belongs_to_a_stranger(tmp_path / "out")
    for secret in (True, False):
        with pytest.raises(UsageError, match="out belongs to somebody else"):
            files.write(tmp_path / "out", b"new", secret=secret)
    assert (tmp_path / "precious").read_bytes() == b"old"
    belongs_to_a_stranger(tmp_path)  # who may do in their folder as they like
    files.write(tmp_path / "out", b"new")


def test_a_link_on_the_way_counts_too(tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("real")
    belongs_to_a_stranger(tmp_path / "second")
    with pytest.raises(UsageError, match="second belongs to somebody else"):
        files.write(tmp_path / "first" / "out", b"new")
    assert list((tmp_path / "real").iterdir()) == []


def test_the_pipe_of_somebody_else_gets_no_secret(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    belongs_to_a_stranger(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(UsageError, match="belongs to somebody else"):
            files.write(tmp_path / "pipe", b"secret", secret=True)
        assert os.read(reader, 10) == b""
        files.write(tmp_path / "pipe", b"public")
        assert os.read(reader, 10) == b"public"
    finally:
        os.close(reader)


# Files that are read


@pytest.mark.parametrize("name", ["server.key", "roles.json", "ca-*/ca.key.pem", "ca-*/ra-ml-kem-768.key.pem"])
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_secrets_of_the_ca_that_others_may_write_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    made = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    (path,) = made.path.glob(name)
    path.chmod(mode)
    command = ["challenge", "new"] if name == "server.key" else ["ca", "show"]
    run(*command, "--dir", made.path).refused_in_one_line(2, f"others may write to {path} (mode {mode:04o})")


def test_secrets_of_the_ca_that_belong_to_somebody_else_are_refused(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    made = make_ca_dir(tmp_path / "ca")
    belongs_to_a_stranger(made.path / "server.key")
    run("challenge", "new", "--dir", made.path).refused_in_one_line(2, "server.key belongs to somebody else")


def test_root_may_read_what_an_account_has_in_its_own_folder(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    write_key(tmp_path / "key")
    for path in (tmp_path, tmp_path / "key"):
        belongs_to_a_stranger(path)
    assert files.read(tmp_path / "key", secret=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o444])
def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    path = write_key(tmp_path / "key")
    files.read_any_key(path)
    assert caplog.records == []
    path.chmod(mode)
    files.read_any_key(path)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and f"others may read {path} (mode {mode:04o})" in record.message


@pytest.mark.parametrize("theirs", ["secret", "link"])
def test_a_secret_of_somebody_else_in_a_shared_folder_is_not_read(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None], theirs: str
) -> None:
    """In a sticky folder, anybody may make a file, or a link to a file of ours, of a name that we will use."""
    files.write(tmp_path / "other", b"ours", secret=True)
    file = tmp_path / theirs
    file.symlink_to("other") if theirs == "link" else files.write(file, b"theirs", secret=True)
    belongs_to_a_stranger(file)
    with pytest.raises(UsageError, match=rf"{theirs} belongs to somebody else \(uid 54321\)"):
        files.read(file, secret=True)


def test_a_link_of_ours_to_a_secret_is_followed(tmp_path: Path) -> None:
    files.write(tmp_path / "other", b"ours", secret=True)
    (tmp_path / "link").symlink_to("other")
    assert files.read(tmp_path / "link", secret=True) == b"ours"


@pytest.mark.parametrize("kind", ["file", "link", "nothing"])
def test_what_is_judged_is_what_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Somebody else's file is there when it is opened, and ours when its owner is looked at, or the other way round."""
    secret, other = tmp_path / "secret", tmp_path / "other"
    files.write(other, b"of another enrolment", secret=True)
    files.write(secret, b"theirs", secret=True)
    check, real_open = safety.check_links, os.open

    def before(path: Path) -> None:
        check(path)
        monkeypatch.setattr(os, "open", opened)

    def opened(path: str | Path, *more: Any) -> int:
        monkeypatch.setattr(os, "open", real_open)
        if kind == "link":
            secret.unlink()
            secret.symlink_to("other")
        found = real_open(path, *more)
        if kind == "file":
            other.replace(secret)
        if kind == "nothing":
            secret.unlink()
        return found

    monkeypatch.setattr(safety, "check_links", before)
    text = "Too many levels of symbolic links" if kind == "link" else "became another file while it was read"
    with pytest.raises(UsageError, match=text):
        files.read(secret, secret=True)


def test_a_pending_enrolment_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """It names the server that gets the next message, and the CA that is believed."""
    pending = tmp_path / "device.pem.pending"
    pending.write_text("{}")
    pending.chmod(0o666)
    with pytest.raises(UsageError, match="others may write to"):
        Pending.load(pending)


# Issue 10, section 6: every secret file of a CA, when others may read it


def readable(made: CaDir, caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """What a start says when others may read the file."""
    (path,) = made.path.glob(name)
    path.chmod(0o644)
    service = Service(load(made.config_path))
    service.store.close()
    return [record.getMessage() for record in caplog.records if f"others may read {path} (mode 0644)" in record.message]


@pytest.mark.parametrize("name", ["server.key", "store.sqlite", "ca-*/ca.key.pem", "ca-*/ra-ml-kem-768.key.pem"])
def test_a_secret_of_the_ca_that_others_may_read_is_warned_of_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    made = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    assert readable(made, caplog, name)


@pytest.mark.parametrize("name", ["ra-signer", "ra-decryption"])
def test_and_so_are_the_keys_of_an_ra(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ec:P-256", "--ra").good()
    assert readable(CaDir(tmp_path / "ca"), caplog, f"ca-*/{name}.key.pem")


WEBHOOK = 'dir = "."\n[profiles.default.authorisation]\nwebhook = "https://{}"\n'


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (WEBHOOK.format("decide.example/?token=word"), True),
        (WEBHOOK.format("decide.example/"), False),
        ('dir = "."\ndatabase = "postgresql+psycopg://user:word@host/name"\n', True),
        ('dir = "."\ndatabase = "postgresql+psycopg://user@host/name?password=word"\n', True),
        ('dir = "."\ndatabase = "postgresql+psycopg://host/name?sslmode=require&sslPassword=word"\n', True),
        ('dir = "."\ndatabase = "postgresql+psycopg://user@host/name?sslmode=require"\n', False),
        ('dir = "."\ndatabase = "sqlite:///other.sqlite"\n', False),
        ('dir = "."\n', False),
    ],
)
def test_a_configuration_with_a_secret_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, secret: bool
) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(f"[ca]\n{text}")
    path.chmod(0o600)
    load(path)
    assert not caplog.records
    path.chmod(0o644)
    load(path)
    assert [f"others may read {path}" in record.getMessage() for record in caplog.records] == [True] * secret
    assert "word" not in caplog.text


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run("ca", "init", "--dir", tmp_path / "ca", "--ra").good()
        run("challenge", "new", "--dir", tmp_path / "ca").good()
        run("ca", "backup", tmp_path / "copy", "--dir", tmp_path / "ca").good()
    finally:
        os.umask(before)
    files_made = [path for name in ("ca", "copy") for path in (tmp_path / name).rglob("*") if path.is_file()]
    loose = {path.name for path in files_made if stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert len(files_made) > 10 and all(name.endswith(".cert.pem") for name in loose)
