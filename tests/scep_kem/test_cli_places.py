"""Commands with --config act on the CA and database that `serve --config` serves; --dir never means another."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from ca.sql_store import SqlStore
from scep.client import Issued
from scep_kem.ca_dir import CaDir
from scep_kem.cli import cli
from scep_kem.config import load
from tests.scep_kem.kit import Site, make_ca_dir, quoted, run
from tests.scep_kem.test_cli_serve import announced_for


@pytest.fixture
def elsewhere(tmp_path: Path) -> CaDir:
    """A CA whose configuration is in another folder and names another database."""
    found = make_ca_dir(tmp_path / "ca")
    (tmp_path / "etc").mkdir()
    config = tmp_path / "etc" / "scep.toml"
    config.write_text(
        '[ca]\ndir = "../ca"\ndatabase = "sqlite:///live.sqlite"\n'
        "[profiles.default.authorisation]\nchallenge_password = true\n"
        "[profiles.elsewhere.authorisation]\nmanual = true\n"
    )
    elsewhere = CaDir(found.path, config)
    elsewhere.make_database(load(config).database)
    return elsewhere


def served(found: CaDir) -> SqlStore:
    """The database of the server."""
    return found.open_store(load(found.config_path).database)


def test_every_command_of_an_existing_ca_takes_either_option() -> None:
    for group in ("challenge", "requests", "ca"):
        found = cli.commands[group]
        assert isinstance(found, click.Group)
        for name, command in found.commands.items():
            options = {option for item in command.params for option in item.opts}
            assert "--dir" in options and ("--config" in options) != (name == "init"), (group, name)


@pytest.mark.parametrize("command", [("challenge", "new"), ("requests", "list"), ("ca", "show"), ("serve",)])
def test_exactly_one_of_the_options(elsewhere: CaDir, command: tuple[str, ...]) -> None:
    run(*command).refused_in_one_line(2, "give either --dir or --config")
    both = ("--dir", elsewhere.path, "--config", elsewhere.config_path)
    run(*command, *both).refused_in_one_line(2, "give either --dir or --config")


def test_a_password_is_made_listed_and_revoked_where_the_server_looks(elsewhere: CaDir) -> None:
    given = ("--config", elsewhere.config_path)
    password = run("challenge", "new", *given, "--profile", "elsewhere").good().out.strip()
    identifier = elsewhere.server_key().identifier(password)
    with served(elsewhere) as store:
        assert store.credential(identifier) is not None
    assert identifier[:12] in run("challenge", "list", *given).good().out
    run("challenge", "revoke", *given, identifier[:12]).good()
    with served(elsewhere) as store:
        assert store.credential(identifier) is None


def test_a_certificate_is_listed_and_revoked_where_the_server_looks(elsewhere: CaDir) -> None:
    given = ("--config", elsewhere.config_path)
    with served(elsewhere) as store:
        site = Site(elsewhere, store=store)
        assert isinstance(site.device(password=site.password()).enrol(), Issued)
        (issued,) = store.certificates()
        run("ca", "revoke", f"{issued.serial:x}", *given).good()
        assert [item.serial for item in store.revocations(issued.authority, now=site.now).listed] == [issued.serial]
    assert "revoked" in run("ca", "list", *given).good().out
    assert run("requests", "list", *given).good().out == ""


@pytest.mark.parametrize("command", [("challenge", "new"), ("requests", "list"), ("ca", "list"), ("serve",)])
def test_a_folder_without_its_configuration_is_not_guessed_at(elsewhere: CaDir, command: tuple[str, ...]) -> None:
    (elsewhere.path / "scep.toml").unlink()
    run(*command, "--dir", elsewhere.path).refused_in_one_line(2, "scep.toml", "--config instead of --dir")


@pytest.mark.parametrize("command", [("challenge", "new"), ("requests", "list"), ("ca", "list"), ("serve",)])
def test_a_configuration_of_another_ca_is_told(own: CaDir, tmp_path: Path, command: tuple[str, ...]) -> None:
    own.config_path.write_text('[ca]\ndir = "../another"\n')
    found = run(*command, "--dir", own.path)
    found.refused_in_one_line(2, f"is for the CA in {own.path.parent / 'another'}", "--config")


def test_serve_names_its_configuration_for_passwords(elsewhere: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _stub = announced_for(monkeypatch, "--config", elsewhere.config_path)
    hint = next(line for line in lines if line.startswith("Challenge password: "))
    assert hint == f"Challenge password: scep-kem challenge new --config {quoted(elsewhere.config_path)}"
    words = shlex.split(hint.removeprefix("Challenge password: scep-kem "))
    password = run(*words).good().out.strip()
    with served(elsewhere) as store:
        assert store.credential(elsewhere.server_key().identifier(password)) is not None


@pytest.mark.parametrize("name", ["-d", "a\nCA fingerprint (SHA-256): 0000"])
def test_serve_names_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = make_ca_dir(tmp_path / name)
    lines, _stub = announced_for(monkeypatch, "--dir", made.path)
    assert sum(line.startswith("CA fingerprint") for line in lines) == 1
    hint = next(line for line in lines if line.startswith("Challenge password: ")).removeprefix("Challenge password: ")
    if name == "-d":
        run(*shlex.split(hint)[1:]).good()
    else:
        assert hint == "a command with a name that cannot be printed"
