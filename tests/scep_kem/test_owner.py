"""scep_kem/owner.py: root acts as the owner of what it was given, with that account's rights and no others.

Most of this needs to be root, and an account without a name: nothing here may depend on who has one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from scep_kem import owner
from scep_kem.ca_dir import CaDir
from scep_kem.errors import UsageError
from scep_kem.owner import NO_GROUP
from tests.scep_kem.kit import CONFIG, ca_pair, environment, make_ca_dir, run

pytestmark = pytest.mark.any_day

ACCOUNT, OTHER = 54321, 54322
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


def give(path: Path, account: int = ACCOUNT, group: int = NO_GROUP) -> None:
    """The folder and all in it, to an account."""
    for item in (path, *path.rglob("*")):
        os.chown(item, account, group, follow_symlinks=False)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder of root's that every account may enter, as those of tmp_path are not."""
    path = Path(tempfile.mkdtemp(prefix="scep-kem-owner-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def theirs(base: Path) -> CaDir:
    """The CA of the account, in its home."""
    found = make_ca_dir(base / "home" / "ca", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256")
    give(base / "home")
    return found


@pytest.fixture
def roots(base: Path) -> CaDir:
    """Another CA, which is root's own."""
    return make_ca_dir(base / "root" / "ca", pair=ca_pair("ec:P-256", "other"), ra_key_type="ec:P-256")


def contents(path: Path) -> dict[Path, tuple[int, bytes]]:
    """What is in a folder; the database's own files change when it is looked into."""
    return {
        item: (item.stat().st_ino, item.read_bytes())
        for item in path.rglob("*")
        if item.is_file() and not item.name.startswith("store.sqlite-")
    }


def ids() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


PUBLIC_KEY: Any = ca_pair("ec:P-256").certificate.public_key()


CHANGING = [
    ("ca", "add-kem", "ml-kem-768"), ("ca", "rollover"), ("ca", "replace-ra"), ("challenge", "new"), ("ca", "crl"),
]  # fmt: skip


@as_root
@pytest.mark.parametrize("group", [NO_GROUP, 0])
@pytest.mark.parametrize("option", ["--dir", "--config"])
def test_what_root_makes_belongs_to_the_account(theirs: CaDir, option: str, group: int) -> None:
    """Else the server of that account could not read its own keys after `ca replace-ra`."""
    give(theirs.path, ACCOUNT, group)
    before, place = ids(), theirs.path if option == "--dir" else theirs.config_path
    known = set(theirs.path.rglob("*"))
    for command in CHANGING:
        run(*command, option, place).good()
    made = {
        item for item in set(theirs.path.rglob("*")) - known if "withdrawn" not in item.name and "-" not in item.suffix
    }
    assert len(made) > 10 and {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(ACCOUNT, NO_GROUP)}
    assert ids() == before


@as_root
@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_a_folder_that_the_account_has_linked_is_not_taken(theirs: CaDir, roots: CaDir, command: tuple[str]) -> None:
    link = theirs.path.parent / "link"
    link.symlink_to(roots.path)
    os.chown(link, ACCOUNT, ACCOUNT, follow_symlinks=False)
    before = contents(roots.path)
    run(*command, "--dir", link).refused_in_one_line(2, f"{theirs.path.parent} belongs to somebody else")
    run(*command, "--config", link / "scep.toml").refused_in_one_line(2, "belongs to somebody else")
    assert contents(roots.path) == before


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_a_configuration_of_the_account_leads_to_nothing_of_roots(
    theirs: CaDir, roots: CaDir, command: tuple[str], mode: int
) -> None:
    roots.path.chmod(mode)
    theirs.config_path.write_text(CONFIG.replace('dir = "."', f'dir = "{roots.path}"'))
    before = contents(roots.path)
    run(*command, "--config", theirs.config_path).refused_in_one_line(2)
    if command[1] in ("new", "crl"):  # the others need no configuration
        run(*command, "--dir", theirs.path).refused_in_one_line(2, "is for the CA in")
    assert contents(roots.path) == before


@as_root
def test_a_database_of_the_account_leads_to_nothing_of_roots(theirs: CaDir, base: Path) -> None:
    precious = base / "closed" / "precious"
    precious.parent.mkdir()
    precious.touch(0o600)
    theirs.config_path.write_text(CONFIG.replace("[profiles", f'database = "sqlite:///{precious}"\n[profiles', 1))
    for mode in (0o755, 0o700):  # of the folder that it is in
        base.joinpath("closed").chmod(mode)
        for place in (("--dir", theirs.path), ("--config", theirs.config_path)):
            run("challenge", "new", *place).refused_in_one_line(2, str(precious))
    (theirs.path / "store.sqlite").unlink()
    (theirs.path / "store.sqlite").symlink_to(precious)
    theirs.config_path.write_text(CONFIG)
    run("challenge", "new", "--dir", theirs.path).refused_in_one_line(2, "cannot open the database")
    base.joinpath("closed").chmod(0o755)
    run("challenge", "new", "--dir", theirs.path).refused_in_one_line(2, "belongs to root, and not to the account")
    assert precious.read_bytes() == b""


@as_root
def test_what_the_account_may_not_look_at_is_told_in_one_line(theirs: CaDir, roots: CaDir) -> None:
    roots.path.chmod(0o700)
    named = f'webhook = "https://a.example"\nwebhook_ca_file = "{roots.path}/server.key"\n'
    theirs.config_path.write_text(CONFIG.replace("manual = true\n", named, 1))
    run("challenge", "new", "--dir", theirs.path).refused_in_one_line(
        2, "webhook_ca_file: cannot read", "Permission denied"
    )
    theirs.config_path.write_text(CONFIG)
    (generation,) = theirs.path.glob("ca-*")
    generation.rename(theirs.path / "kept")
    generation.symlink_to(roots.path)
    run("ca", "show", "--dir", theirs.path).refused_in_one_line(2, "has no CA certificate and key")


@as_root
def test_what_is_a_third_accounts_is_refused(theirs: CaDir, base: Path) -> None:
    another = make_ca_dir(base / "another", pair=ca_pair("ec:P-256", "other"))
    give(another.path, OTHER)
    for path in another.path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    another.path.chmod(0o755)
    theirs.config_path.write_text(CONFIG.replace('dir = "."', f'dir = "{another.path}"'))
    said = f"another belongs to somebody else (uid {OTHER})"
    run("ca", "show", "--config", theirs.config_path).refused_in_one_line(2, said)
    theirs.config_path.write_text(
        CONFIG.replace("[profiles", f'database = "sqlite:///{another.path}/store.sqlite"\n[profiles', 1)
    )
    run("ca", "list", "--dir", theirs.path).refused_in_one_line(2, said)
    link = base / "link"
    link.symlink_to(theirs.path)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    run("ca", "show", "--dir", link).refused_in_one_line(2, f"link belongs to somebody else (uid {OTHER})")


@as_root
def test_a_configuration_is_read_with_the_accounts_rights(theirs: CaDir, base: Path) -> None:
    secret = base / "secret"
    secret.write_text("[a secret of root's]\n")
    secret.chmod(0o600)
    theirs.config_path.unlink()
    theirs.config_path.symlink_to(secret)
    found = run("challenge", "new", "--dir", theirs.path)
    found.refused_in_one_line(2)
    assert "a secret" not in found.err
    run("ca", "show", "--config", theirs.config_path).refused_in_one_line(2, "belongs to somebody else")
    theirs.config_path.unlink()
    os.mkfifo(theirs.config_path)
    os.chown(theirs.config_path, ACCOUNT, NO_GROUP)
    for place in (("--dir", theirs.path), ("--config", theirs.config_path)):
        run("challenge", "new", *place).refused_in_one_line(2, "scep.toml: not a regular file")


@as_root
@pytest.mark.parametrize("name", ["ca", "ca/scep.toml", "ca/store.sqlite", "."])
def test_where_others_may_write_root_does_nothing(theirs: CaDir, name: str) -> None:
    (theirs.path.parent / name).chmod(0o777)
    run("challenge", "new", "--dir", theirs.path).refused_in_one_line(2, "others may write to")


@as_root
def test_a_configuration_of_roots_own_may_name_the_folder_of_an_account(
    theirs: CaDir, roots: CaDir, base: Path
) -> None:
    config = base / "scep.toml"
    config.write_text(CONFIG.replace('dir = "."', 'dir = "home/ca"'))
    run("ca", "add-kem", "ml-kem-768", "--config", config).good()
    assert {path.stat().st_uid for path in theirs.path.rglob("*")} == {ACCOUNT}
    shutil.move(theirs.path, base / "home" / "real")
    theirs.path.symlink_to(roots.path)
    os.chown(theirs.path, ACCOUNT, ACCOUNT, follow_symlinks=False)
    before = contents(roots.path)
    run("ca", "rollover", "--config", config).refused_in_one_line(2, "home belongs to somebody else")
    assert contents(roots.path) == before


@as_root
def test_a_server_is_not_run_as_root_where_an_account_may_write(theirs: CaDir) -> None:
    for place in (("--dir", theirs.path), ("--config", theirs.config_path)):
        run("serve", *place, "--host", "203.0.113.1").refused_in_one_line(2, "belongs to somebody else")


def test_a_folder_that_is_gone_by_then_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody could make it between the look at it and its use."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(owner, "check_folder", lambda _path, _account: False)
    with pytest.raises(UsageError, match="has just been removed"), owner.as_owner(tmp_path):
        pass
    with pytest.raises(UsageError, match="cannot look into"), owner.as_owner(tmp_path / "absent"):
        pass


# What is not the account's business


@as_root
def test_files_that_root_names_are_roots_business(theirs: CaDir, tmp_path: Path) -> None:
    out = tmp_path / "crl"
    run("ca", "crl", "--dir", theirs.path, "--out", out).good()
    assert x509.load_pem_x509_crl(out.read_bytes()).is_signature_valid(PUBLIC_KEY)
    assert out.stat().st_uid == 0
    (certificate,) = theirs.path.glob("ca-*/ra-signer.cert.pem")
    copy = tmp_path / "certificate"
    copy.write_bytes(certificate.read_bytes())
    copy.chmod(0o600)
    assert "revoked" in run("ca", "revoke", "--cert", copy, "--dir", theirs.path).good().out


@as_root
def test_output_goes_to_a_device_of_roots(theirs: CaDir) -> None:
    command = [sys.executable, "-c", "from scep_kem.cli import main; main()", "ca", "crl", "--dir", str(theirs.path)]
    done = subprocess.run([*command, "--out", "/dev/stdout"], capture_output=True, env=environment(), check=True)
    assert x509.load_pem_x509_crl(done.stdout).is_signature_valid(PUBLIC_KEY)


@as_root
def test_a_relative_folder_is_found_from_where_only_root_may_be(
    theirs: CaDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = os.path.relpath(theirs.path, tmp_path)
    assert not Path(relative).is_absolute() and not stat.S_IMODE(tmp_path.stat().st_mode) & 0o077
    run("ca", "list", "--dir", relative).good()
    run("ca", "list", "--config", f"{relative}/scep.toml").good()
    run("ca", "backup", f"{relative}/../backup", "--dir", relative).good()


HOOKED = """
import contextlib, importlib.machinery, os, sys
from scep_kem import owner
from scep_kem.cli import main

class Refusing:
    def find_spec(self, name, *_more):
        if os.geteuid() != 0 and importlib.machinery.PathFinder.find_spec(name, *_more) is not None:
            sys.exit(f"{name} is imported too late")

sys.meta_path.insert(0, Refusing())
main()
"""


@as_root
@pytest.mark.parametrize(
    "command",
    [
        *CHANGING,
        ("ca", "new-database"),
        *(("ca", "show"), ("ca", "list"), ("requests", "list"), ("challenge", "list")),
    ],
    ids=" ".join,
)
def test_the_account_need_not_be_able_to_read_the_program(theirs: CaDir, command: tuple[str, ...]) -> None:
    """A new database is migrated; a denied password and an odd name need codecs."""
    if "new-database" in command:
        (theirs.path / "store.sqlite").unlink()
    found = [sys.executable, "-c", HOOKED, *command, "--dir", str(theirs.path)]
    done = subprocess.run(found, capture_output=True, env=environment(), text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


# Rights


def test_root_is_root_again_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for failing in ("setgroups", "setegid", "seteuid"):
        state: dict[str, object] = {"setgroups": [5, 6], "setegid": 7, "seteuid": 0}
        for name in state:

            def change(
                value: object, name: str = name, failing: str = failing, state: dict[str, object] = state
            ) -> None:
                if name == failing and value not in ([5, 6], 7, 0):
                    raise OSError(1, "Operation not permitted")
                state[name] = value

            monkeypatch.setattr(os, name, change)
        monkeypatch.setattr(os, "getgroups", lambda: [5, 6])
        monkeypatch.setattr(os, "getegid", lambda: 7)
        with pytest.raises(UsageError, match="cannot act as the account with uid 54321"), owner._acting_as(ACCOUNT):
            pass
        assert state == {"setgroups": [5, 6], "setegid": 7, "seteuid": 0}


def test_inside_it_is_the_account_and_afterwards_root(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, object]] = []
    for name in ("setgroups", "setegid", "seteuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: done.append((name, value)))
    monkeypatch.setattr(os, "getgroups", lambda: [5, 6])
    monkeypatch.setattr(os, "getegid", lambda: 7)
    with pytest.raises(KeyError), owner._acting_as(ACCOUNT):
        assert done == [("setgroups", []), ("setegid", NO_GROUP), ("seteuid", ACCOUNT)]
        done.clear()
        raise KeyError
    assert done == [("seteuid", 0), ("setegid", 7), ("setgroups", [5, 6])]


@pytest.mark.parametrize(
    ("own", "listed", "expected"),
    [(100, [100, 4], (100, [100, 4])), (0, [0, 4], (NO_GROUP, [4])), (100, [0], (100, []))],
)
def test_groups_are_the_accounts_own_and_never_roots(
    monkeypatch: pytest.MonkeyPatch, own: int, listed: list[int], expected: tuple[int, list[int]]
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name="service", pw_gid=own))
    monkeypatch.setattr(os, "getgrouplist", lambda _name, _group: listed)
    assert owner._groups(ACCOUNT) == expected
