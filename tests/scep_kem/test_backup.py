"""`ca backup`: whole or not at all, nobody else's, and a CA of its own that leads to nothing that is in use."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from ca.sql_store import SqlStore
from ca.store import StoreUnavailable
from scep.client import Issued
from scep_kem import backup, files, safety
from scep_kem.backup import changed
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import load
from tests.scep_kem.kit import CONFIG, ROOT, Site, ca_pair, make_ca_dir, run


def enrolled(found: CaDir, text: str = "correct horse battery") -> int:
    """The serial number of a certificate that is in the database of the CA's configuration."""
    with found.open_store(load(found.config_path).database) as store:
        site = Site(found, store=store)
        assert isinstance(site.device(password=site.password(text)).enrol(), Issued)
        return store.certificates()[0].serial


def listed(folder: Path) -> list[int]:
    return [int(line.split()[0], 16) for line in run("ca", "list", "--dir", folder).good().out.splitlines()]


def names(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


# Whole


def test_it_has_folder_and_database_of_one_moment(tmp_path: Path) -> None:
    made, target = make_ca_dir(tmp_path / "ca"), tmp_path / "backup"
    with made.open_store() as store:  # so that the password is in the -wal file only
        password = run("challenge", "new", "--dir", made.path).good().out.strip()
        run("ca", "backup", target, "--dir", made.path).good()
        found = names(made.path)
        assert store is not None
    assert names(target) == found - {Path(f"store.sqlite-{end}") for end in ("wal", "shm")}
    copy = CaDir(target)
    with copy.open_store() as store:
        assert store.credential(copy.server_key().identifier(password)) is not None
    assert copy.load().current.identifier == made.load().current.identifier
    assert copy.config_path.read_text() == made.config_path.read_text()
    run("ca", "backup", target, "--dir", made.path).refused_in_one_line(2, "is there already")


def test_it_has_every_generation(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256", kems=("ml-kem-768",))
    with made.open_store() as store:
        for _ in range(2):
            made.prepare_rollover(now=utc_now())
            made.activate_rollover()
        made.retire(made.load().previous[-1], store=store, reason="superseded", now=utc_now())
        made.replace_ra("signer", store=store, reason="superseded", now=utc_now())
    made.prepare_rollover(now=utc_now())
    run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    copy, source = CaDir(tmp_path / "backup").load(), made.load()
    assert [item.by_role for item in copy.known] == [item.by_role for item in source.known] and len(copy.known) == 4
    assert names(tmp_path / "backup") == names(made.path)


def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    for path in made.path.rglob("*.pem"):
        path.chmod(0o644)
    before = os.umask(0)
    try:
        run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    finally:
        os.umask(before)
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "backup").rglob("*")}
    assert modes | {(True, stat.S_IMODE((tmp_path / "backup").stat().st_mode))} == {(True, 0o700), (False, 0o600)}


def test_only_what_makes_the_ca_is_copied(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    expected = names(made.path)
    shutil.copytree(made.path, made.path / "backup-0")
    (made.path / "notes").write_text("x")
    (made.path / "loose").symlink_to("/nonexistent")
    os.mkfifo(made.path / "pipe")
    (folder,) = made.path.glob("ca-*")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(made.path / "socket"))
        run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    assert names(tmp_path / "backup") == expected


def test_of_a_link_it_has_what_it_leads_to(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (key,) = made.path.glob("ca-*/ca.key.pem")
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    copy = tmp_path / "backup" / key.relative_to(made.path)
    assert not copy.is_symlink() and copy.read_bytes() == (tmp_path / "elsewhere").read_bytes()
    (tmp_path / "elsewhere").chmod(0o622)
    found = run("ca", "backup", tmp_path / "again", "--dir", made.path)
    found.refused_in_one_line(2, "others may write to")


def test_of_a_link_that_others_have_put_there_it_has_nothing(
    tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]
) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (certificate,) = made.path.glob("ca-*/ca.cert.pem")
    certificate.rename(tmp_path / "elsewhere")
    certificate.symlink_to(tmp_path / "elsewhere")
    belongs_to_a_stranger(tmp_path / "elsewhere")
    found = run("ca", "backup", tmp_path / "backup", "--dir", made.path)
    found.refused_in_one_line(2, "elsewhere belongs to somebody else")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("name", ["roles.json", "server.key", "scep.toml", "ca-*/ca.key.pem", "store.sqlite"])
def test_a_pipe_in_place_of_a_file_is_told(tmp_path: Path, name: str) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (path,) = made.path.glob(name)
    path.unlink()
    os.mkfifo(path, 0o600)
    found = run("ca", "backup", tmp_path / "backup", "--dir", made.path)
    found.refused_in_one_line(2, str(path), "not a regular file")
    assert list(tmp_path.iterdir()) == [made.path]


# A CA of its own


@pytest.mark.parametrize("database", ["live.sqlite", "roles.json.sqlite", "[a-z]*.sqlite", "../live.sqlite"])
def test_a_database_elsewhere_is_in_it_and_it_leads_there(tmp_path: Path, database: str) -> None:
    made = make_ca_dir(
        tmp_path / "ca", CONFIG.replace("[profiles", f'database = "sqlite:///{database}?timeout=3"\n[profiles', 1)
    )
    live = made.path / database
    (made.path / "store.sqlite").rename(live)
    serial = enrolled(made)
    password = run("challenge", "new", "--dir", made.path).good().out.strip()
    run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    assert "1 revoked" not in run("challenge", "list", "--dir", tmp_path / "backup").good().out
    assert "2 revoked" in run("challenge", "revoke", "--all", "--dir", tmp_path / "backup").good().out
    with SqlStore(f"sqlite:///{live}") as store:
        assert store.credential(made.server_key().identifier(password)) is not None
    # As deploy/README.md has it.
    made.path.rename(tmp_path / "ca.broken")
    shutil.copytree(tmp_path / "backup", made.path)
    live.unlink(missing_ok=True)
    assert listed(made.path) == [serial]
    found = make_url(str(load(made.config_path).database))
    assert (found.database, dict(found.query)) == (str(made.path / "store.sqlite"), {"timeout": "3"})


def test_a_configuration_elsewhere_is_in_it_and_leads_to_nothing_outside(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "webhook.pem").write_bytes(files.pem(ca_pair().certificate))
    config = tmp_path / "etc" / "scep.toml"
    config.write_text(
        '# ours\n[ca]  # the CA\ndir = "../ca"\n  database = "sqlite:///live.sqlite"  # elsewhere\n'
        "[profiles.default]\nvalidity_days = 7\n[profiles.default.authorisation]\nchallenge_password = true\n"
        'webhook = "https://a.example"\nwebhook_ca_file = "webhook.pem"\n'
    )
    (made.path / "store.sqlite").rename(tmp_path / "etc" / "live.sqlite")
    serial = enrolled(CaDir(made.path, config))
    run("ca", "backup", tmp_path / "backup", "--config", config).good()
    shutil.rmtree(tmp_path / "etc")
    shutil.rmtree(made.path)
    assert listed(tmp_path / "backup") == [serial]
    found = load(tmp_path / "backup" / "scep.toml")
    assert found.ca_dir == tmp_path / "backup" and found.profiles["default"].profile.validity.days == 7
    webhook = found.profiles["default"].webhook
    assert webhook is not None and webhook.ca_file == tmp_path / "backup" / "webhook-default.pem"
    assert (tmp_path / "backup" / "scep.toml").read_text().startswith("# ours\n[ca]  # the CA\n")


@pytest.mark.parametrize(
    "text",
    [
        'ca = {dir = ".", database = "sqlite:///live.sqlite"}\n',
        'ca.dir = "."\nca.database = "sqlite:///live.sqlite"\n',
        '[ca]\ndir = "."\ndatabase = """\nsqlite:///live.sqlite"""\n',
        '["ca"]\ndir = "."\ndatabase = "sqlite:///live.sqlite"\n',
    ],
)
def test_a_configuration_that_cannot_be_changed_is_told(tmp_path: Path, text: str) -> None:
    made = make_ca_dir(tmp_path / "ca", text)
    (made.path / "store.sqlite").rename(made.path / "live.sqlite")
    found = run("ca", "backup", tmp_path / "backup", "--dir", made.path)
    found.refused_in_one_line(2, str(made.config_path), "dir and database each on a line")
    assert list(tmp_path.iterdir()) == [made.path]


def test_other_values_and_the_rest_as_it_was() -> None:
    text = '# dir = "x"\n[other]\ndir = "y"\n[ca] # c\n  dir = "z"  # d\nname = """\ndir = "not me"\n"""\n'
    with pytest.raises(ValueError, match="write dir each"):
        changed(text, {("ca", "dir"): "."})
    text = text.replace('name = """\ndir', 'name = """\nthe dir')
    made = changed(text, {("ca", "dir"): 'a "b"\\'})
    assert tomllib.loads(made)["ca"]["dir"] == 'a "b"\\' and made.count("\n") == text.count("\n")
    assert made.startswith('# dir = "x"\n[other]\ndir = "y"\n[ca] # c\n')


def test_a_database_with_means_of_its_own_is_told(own: CaDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(SqlStore, "file", None)
    run("ca", "backup", tmp_path / "backup", "--dir", own.path).refused_in_one_line(2, "has means of its own")


# Nobody else's


@pytest.mark.parametrize(("mode", "good"), [(0o777, False), (0o775, False), (0o1777, True), (0o755, True)])
@pytest.mark.parametrize("below", ["", "below"])
def test_it_is_not_made_where_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, good: bool, below: str
) -> None:
    monkeypatch.setattr(safety, "_private_group", lambda _status: False)
    made = make_ca_dir(tmp_path / "ca")
    (tmp_path / "shared" / below).mkdir(parents=True)
    (tmp_path / "shared").chmod(mode)
    found = run("ca", "backup", tmp_path / "shared" / below / "backup", "--dir", made.path)
    if good:
        found.good()
    else:
        found.refused_in_one_line(2, f"others may write to {tmp_path / 'shared'}")
        assert list((tmp_path / "shared" / below).iterdir()) == []


def test_nor_behind_the_link_of_somebody_else(tmp_path: Path, belongs_to_a_stranger: Callable[[Path], None]) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    belongs_to_a_stranger(tmp_path / "link")
    found = run("ca", "backup", tmp_path / "link" / "backup", "--dir", made.path)
    found.refused_in_one_line(2, "link belongs to somebody else")
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "empty folder", "file", "link"])
def test_nothing_that_is_there_is_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Neither beforehand nor at the last moment."""
    made, target = make_ca_dir(tmp_path / "ca"), tmp_path / "backup"
    make: dict[str, Callable[[], object]] = {
        "folder": lambda: (target.mkdir(), (target / "theirs").touch()),
        "empty folder": target.mkdir,
        "file": target.touch,
        "link": lambda: target.symlink_to("ca"),
    }
    copy_to = SqlStore.copy_to

    def slow(store: SqlStore, path: Path) -> None:
        copy_to(store, path)
        make[what]()

    with monkeypatch.context() as patched:
        patched.setattr(SqlStore, "copy_to", slow)
        run("ca", "backup", target, "--dir", made.path).refused_in_one_line(2, "is there already")
    before = names(tmp_path)
    run("ca", "backup", target, "--dir", made.path).refused_in_one_line(2, "is there already")
    assert names(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"ca", "backup"}


def test_no_file_that_somebody_has_put_there_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "loose").symlink_to("absent")
    for name in ("precious", "link", "loose"):
        with pytest.raises(FileExistsError):
            backup._write(tmp_path / name, b"secret")
    assert (tmp_path / "precious").read_bytes() == b"" and not (tmp_path / "absent").exists()


@pytest.mark.parametrize("inside", [".", "below"])
def test_it_is_not_made_inside_the_ca(tmp_path: Path, inside: str) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (made.path / inside).mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(made.path)
    before = names(made.path)
    for folder in (made.path, tmp_path / "link"):
        found = run("ca", "backup", folder / inside / "backup", "--dir", made.path)
        found.refused_in_one_line(2, "is in the CA's folder, and would be lost with it")
    assert names(made.path) - {Path("store.sqlite-wal"), Path("store.sqlite-shm")} == before


# Or not at all


def test_one_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = make_ca_dir(tmp_path / "ca"), tmp_path / "backup"

    def full(*_arguments: object) -> None:
        raise StoreUnavailable("the database cannot be copied: disk full")

    monkeypatch.setattr(SqlStore, "copy_to", full)
    assert run("ca", "backup", target, "--dir", made.path).code == 1
    assert list(tmp_path.iterdir()) == [made.path]


@pytest.mark.parametrize("written", range(5))
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    made, left = make_ca_dir(tmp_path / "ca"), [written]

    def full(_descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = run("ca", "backup", tmp_path / "backup", "--dir", made.path)
    said.refused_in_one_line(1, "cannot make", "No space left on device")
    assert list(tmp_path.iterdir()) == [made.path]


def test_a_folder_above_is_not_made(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    found = run("ca", "backup", tmp_path / "a" / "b", "--dir", made.path)
    found.refused_in_one_line(2, f"cannot make {tmp_path / 'a' / 'b'}: No such file or directory")


def test_what_would_not_load_is_no_backup(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (key,) = made.path.glob("ca-*/ca.key.pem")
    key.unlink()
    assert run("ca", "backup", tmp_path / "backup", "--dir", made.path).code == 2
    assert not (tmp_path / "backup").exists()


def test_nobody_changes_the_ca_meanwhile(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    descriptor = os.open(made.path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found = run("ca", "backup", tmp_path / "backup", "--dir", made.path)
        found.refused_in_one_line(2, "somebody else is changing")
    finally:
        os.close(descriptor)
    assert not (tmp_path / "backup").exists()


def test_the_printed_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of deploy/README.md: a backup, and what gives it back."""
    made = make_ca_dir(tmp_path / "my-ca")
    serial = enrolled(made)
    text = (ROOT / "deploy" / "README.md").read_text()
    lines = [line.strip() for line in re.findall("^    .*", text, re.MULTILINE)]
    (back_up,) = (line for line in lines if line.startswith("scep-kem ca backup "))
    monkeypatch.chdir(tmp_path)
    run(*back_up.split()[1:]).good()
    enrolled(made, "another password of 16")
    restore = [line for line in lines if re.match(r"(mv|cp) .*my-ca", line)]
    assert len(restore) == 2
    for line in restore:
        assert os.system(line) == 0  # noqa: S605 - what a reader types
    assert listed(Path("my-ca")) == [serial]
