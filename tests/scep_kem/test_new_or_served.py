"""Making a CA and serving one are told apart: `serve` makes one where there is nothing, says so, and nowhere else.

Of a CA's folder, each file may be missing, as after a restore that went wrong: whatever is asked for then, none of the
files is made anew.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sqlite3
from pathlib import Path

import click
import pytest
from sqlalchemy.engine import make_url

from ca.migrations import StoreEmpty
from scep_kem import database
from scep_kem.ca_dir import CaDir
from scep_kem.cli import cli
from scep_kem.cli import server as serve_command
from scep_kem.database import NoDatabase, open_database
from scep_kem.errors import UsageError
from scep_kem.wsgi import create_app
from tests.scep_kem.kit import CONFIG, Result, make_ca_dir, quoted, run
from tests.scep_kem.test_cli_serve import Stub

PARTS = ("roles.json", "server.key", "store.sqlite", "scep.toml", "ca-*", "ca-*/ca.key.pem", "ca-*/ca.cert.pem")
ARGUMENTS = {
    "ca backup": ("TARGET",),
    "ca add-kem": ("ml-kem-768",),
    "ca import-cert": ("CERTIFICATE",),
    "ca import-issued": ("CERTIFICATE", "--crl-number", "1"),
    "ca retire": ("00",),
    "ca revoke": ("01",),
    "challenge revoke": ("--all",),
    "requests show": ("0" * 16,),
    "requests approve": ("0" * 16,),
    "requests reject": ("0" * 16,),
}


def commands() -> list[str]:
    """Those of a CA that is there."""
    groups = [(name, cli.commands[name]) for name in ("ca", "challenge", "requests")]
    found = [f"{name} {inner}" for name, group in groups if isinstance(group, click.Group) for inner in group.commands]
    return [name for name in found if name != "ca init"]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """In the place of waitress: what would listen."""
    stub = Stub([("127.0.0.1", 8080)])
    monkeypatch.setattr(serve_command, "create_server", lambda *_arguments, **_more: stub)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return stub


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("store.sqlite-")}


@pytest.mark.parametrize("there", [True, False])
def test_serve_says_first_that_it_has_made_a_ca(
    tmp_path: Path, serve: Stub, caplog: pytest.LogCaptureFixture, there: bool
) -> None:
    folder = tmp_path / "typo"
    if there:
        folder.mkdir(mode=0o700)
    with caplog.at_level(logging.WARNING):
        first, second, *_ = run("serve", "--dir", folder).good().out.splitlines()
    assert serve.ran and CaDir(folder).exists()
    assert first.startswith(f"this is a NEW CA, made just now in {folder}") and "remove this folder" in first
    assert second == "URL: http://127.0.0.1:8080/scep"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [first]
    again = run("serve", "--dir", folder).good()
    assert "NEW" not in again.out


def test_it_is_said_also_when_the_server_cannot_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the right one is running: somebody has typed another folder, and finds a CA there later."""

    def in_use(*_arguments: object, **_more: object) -> None:
        raise UsageError("cannot listen")

    monkeypatch.setattr(serve_command, "_listen", in_use)
    found = run("serve", "--dir", tmp_path / "typo")
    assert found.code == 2 and "NEW CA" in found.out and "NEW CA" in caplog.text


@pytest.mark.parametrize("inside", ["notes.txt", ".git/", "scep.toml"])
def test_serve_makes_no_ca_in_a_folder_that_has_something(tmp_path: Path, inside: str) -> None:
    """Of a folder with a configuration, the CA may be what was not restored."""
    folder = tmp_path / "typo"
    folder.mkdir(mode=0o700)
    if inside.endswith("/"):
        (folder / inside).mkdir()
    else:
        (folder / inside).write_text('[ca]\ndir = "."\n')
    before = names(folder)
    run("serve", "--dir", folder).refused_in_one_line(
        2, f"{folder} holds no CA", f"`scep-kem ca init --dir {quoted(folder)}`"
    )
    assert names(folder) == before


def test_serve_makes_no_folders_above_the_one_named(tmp_path: Path) -> None:
    folder = tmp_path / "srv" / "scpe-kem" / "my-ca"
    run("serve", "--dir", folder).refused_in_one_line(2, f"{folder} holds no CA")
    assert list(tmp_path.iterdir()) == []


def test_serve_makes_no_ca_for_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "ca"\n')
    run("serve", "--config", tmp_path / "scep.toml").refused_in_one_line(2, "holds no CA")
    assert names(tmp_path) == {"scep.toml"}


# One file is missing


@pytest.fixture(params=PARTS)
def maimed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a CA that lacks one part."""
    made = make_ca_dir(tmp_path / "ca")
    (path,) = made.path.glob(request.param)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return made.path


def in_one_line(found: Result) -> None:
    assert found.code in (0, 2), found
    lines = [line for line in found.err.splitlines() if not line.startswith("skipped ")]  # files of `ca import-issued`
    assert "Traceback" not in found.err and len(lines) == (1 if found.code else 0), found


def test_serve_refuses_a_folder_that_lacks_a_part(maimed: Path, serve: Stub) -> None:
    before = names(maimed)
    found = run("serve", "--dir", maimed)
    assert found.code == 2 and not serve.ran
    in_one_line(found)
    assert names(maimed) == before


def test_gunicorn_is_refused_a_folder_that_lacks_a_part(maimed: Path) -> None:
    before = names(maimed)
    with pytest.raises(UsageError) as refused:
        create_app(str(maimed / "scep.toml"))
    assert "\n" not in str(refused.value) and names(maimed) == before


@pytest.mark.parametrize("name", commands())
def test_no_command_makes_the_part_that_is_missing(maimed: Path, name: str, tmp_path: Path) -> None:
    before = names(maimed)
    given = {"TARGET": tmp_path / "backup", "CERTIFICATE": tmp_path / "certificate.pem"}
    given["CERTIFICATE"].write_bytes(next(make_ca_dir(tmp_path / "other").path.glob("ca-*/ca.cert.pem")).read_bytes())
    arguments = [str(given.get(word, word)) for word in ARGUMENTS.get(name, ())]
    found = run(*name.split(), *arguments, "--dir", maimed)
    in_one_line(found)
    if found.code:
        assert names(maimed) == before
    else:  # one that needs nothing of what is missing
        made = names(maimed) - before
        if name == "ca new-database":
            assert made == {"store.sqlite"}
        else:
            assert all(item.startswith("ca-") for item in made)
            assert not made or name in ("ca rollover", "ca add-kem", "ca import-cert")


# The database has no tables


@pytest.fixture(params=["own", "named", "of a server"])
def emptied(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CaDir:
    """A CA whose database is there and empty. Of a server: where nothing looks for a file beforehand."""
    made = make_ca_dir(tmp_path / "ca")
    path = made.path / "store.sqlite"
    if request.param != "own":
        path = made.path / "other.sqlite"
        made.config_path.write_text(CONFIG.replace("[profiles", f'database = "sqlite:///{path}"\n[profiles', 1))
    if request.param == "of a server":
        monkeypatch.setattr(database, "_check_file", lambda *_arguments, **_more: None)
    path.write_bytes(b"")
    path.chmod(0o600)
    return made


def tables(found: CaDir) -> list[object]:
    other = found.path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other if other.exists() else found.path / "store.sqlite")) as connection:
        return connection.execute("SELECT name FROM sqlite_master").fetchall()


def test_issue_10_6_nobody_makes_tables_by_the_way(emptied: CaDir, serve: Stub) -> None:
    """An empty database, as after the restore of a server without its data, has no revocation."""
    said = "what was issued and revoked is not there. Restore it from a backup;"
    for command in (["serve"], ["ca", "list"], ["ca", "crl"], ["challenge", "new"], ["requests", "list"]):
        run(*command, "--dir", emptied.path).refused_in_one_line(2, "is empty: ", said, "`scep-kem ca new-database`")
    with pytest.raises(UsageError, match="is empty: "):
        create_app(str(emptied.config_path))
    assert tables(emptied) == [] and not serve.ran


def test_issue_10_6_a_database_is_made_when_that_is_what_is_asked_for(emptied: CaDir) -> None:
    assert "knows of nothing" in run("ca", "new-database", "--dir", emptied.path).good().out
    assert tables(emptied)
    run("ca", "list", "--dir", emptied.path).good()
    run("ca", "new-database", "--dir", emptied.path).refused_in_one_line(2, "there is a database already")


def test_issue_10_6_a_url_with_a_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(*_arguments: object, **_more: object) -> None:
        raise StoreEmpty("the database has no tables")

    monkeypatch.setattr(database, "SqlStore", empty)
    with pytest.raises(NoDatabase, match=r"^the database that ca\.database names is empty: ") as refused:
        open_database(make_url("postgresql+psycopg://scep:hunter2@db.example/scep?password=hunter2"), create=False)
    assert "hunter2" not in str(refused.value)


def test_issue_10_6_a_new_ca_still_makes_its_database(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir(mode=0o700)
    (tmp_path / "ca" / "scep.toml").write_text(
        CONFIG.replace("[profiles", 'database = "sqlite:///x.sqlite"\n[profiles', 1)
    )
    run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ed25519").good()
    run("ca", "list", "--dir", tmp_path / "ca").good()
