"""`scep-kem serve`: what it refuses, announces and lets go of; and databases that are not there for a command."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from waitress.server import MultiSocketServer

from ca.sql_store import SqlStore
from ca.store import StoreUnavailable
from scep_kem.ca_dir import CaDir
from scep_kem.cli import server as serve_command
from tests.scep_kem.kit import LAST_RESORT, SCEP_KEM, Result, environment, quoted, run


def test_serve_needs_a_folder_or_a_file() -> None:
    run("serve").refused_in_one_line(2, "give either --dir or --config")
    run("serve", "--dir", "x", "--config", "y").refused_in_one_line(2, "give either --dir or --config")


def test_serve_with_a_bad_configuration(own: CaDir) -> None:
    own.config_path.write_text('[ca]\ndir = "."\n[server]\nprot = 80\n')
    run("serve", "--dir", own.path).refused_in_one_line(2, "scep.toml", "unknown key server.prot")
    run("challenge", "new", "--dir", own.path).refused_in_one_line(2, "scep.toml", "unknown key server.prot")


def test_serve_with_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    run("serve", "--config", tmp_path / "absent.toml").refused_in_one_line(2, "cannot read", "absent.toml")


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_serve_with_a_configuration_whose_folder_has_no_ca(tmp_path: Path, folder: str) -> None:
    (tmp_path / "scep.toml").write_text(f'[ca]\ndir = "{folder}"\n')
    found = run("serve", "--config", tmp_path / "scep.toml", "--port", "0")
    found.refused_in_one_line(2, "holds no CA", "scep-kem ca init")


@pytest.mark.parametrize("database", ["nonsense", "sqlite:///:memory:", "nonsense://x/y", "sqlite:////nonexistent/x"])
def test_serve_with_a_database_that_cannot_be_one(own: CaDir, database: str) -> None:
    own.config_path.write_text(f'[ca]\ndir = "."\ndatabase = "{database}"\n')
    found = run("serve", "--dir", own.path, "--port", "0")
    assert found.code in (1, 2)
    found.refused_in_one_line(found.code, "database")


def serve_in_a_process(found: CaDir, *arguments: str) -> Result:
    """`serve` that ends by itself; in a process, because waitress leaves the sockets of a failed start to its end."""
    command = [*SCEP_KEM, "serve", "--dir", str(found.path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=LAST_RESORT)
    return Result(done.returncode, done.stdout, done.stderr)


def test_serve_on_a_port_in_use_is_exit_code_2(ca_dir: CaDir) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        found = serve_in_a_process(ca_dir, "--port", port)
    found.refused_in_one_line(2, f"cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize("host", ["host.invalid", "192.0.2.1"])
def test_serve_on_a_host_that_is_not_ours_is_exit_code_2(ca_dir: CaDir, host: str) -> None:
    serve_in_a_process(ca_dir, "--port", "0", "--host", host).refused_in_one_line(2, f"cannot listen on {host}")


class Stub:
    """In the place of a waitress server: `serve` announces and ends."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self.addresses = addresses
        self.ran = self.closed = False
        self.socket = SimpleNamespace(getsockname=lambda: addresses[0])

    def run(self) -> None:
        self.ran = True

    def close(self) -> None:
        self.closed = True


def announced(monkeypatch: pytest.MonkeyPatch, found: CaDir, *arguments: str) -> tuple[list[str], Stub]:
    return announced_for(monkeypatch, "--dir", found.path, *arguments)


def announced_for(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> tuple[list[str], Stub]:
    """What `serve` says before it serves."""
    stub = Stub([("127.0.0.1", 8080)])
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(serve_command, "create_server", lambda *_arguments, **_more: stub)
    try:
        lines = run("serve", *arguments).good().out.splitlines()
    finally:
        signal.signal(signal.SIGTERM, before)
    return lines, stub


def test_serve_announces_urls_fingerprint_and_how_to_get_a_password(
    ca_dir: CaDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, stub = announced(monkeypatch, ca_dir)
    assert lines == [
        "URL: http://127.0.0.1:8080/scep",
        "URL of profile manual: http://127.0.0.1:8080/scep/manual",
        "URL of profile approval: http://127.0.0.1:8080/scep/approval",
        "URL of profile classic: http://127.0.0.1:8080/scep/classic",
        "URL of profile asking: http://127.0.0.1:8080/scep/asking",
        "URL of profile closed: http://127.0.0.1:8080/scep/closed",
        "URL of profile window: http://127.0.0.1:8080/scep/window",
        f"CA fingerprint (SHA-256): {ca_dir.load().current.identifier}",
        f"Challenge password: scep-kem challenge new --dir {quoted(ca_dir.path)}",
        "Profile closed has no way of authorising requests: it issues nothing",
    ]
    assert stub.ran and stub.closed


def test_serve_puts_an_ipv6_address_in_brackets(ca_dir: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _stub = announced(monkeypatch, ca_dir, "--host", "::1")
    assert lines[0] == "URL: http://[::1]:8080/scep"


def test_the_port_of_a_host_name_with_several_addresses_is_announced() -> None:
    several = MultiSocketServer(effective_listen=[("127.0.0.1", "8080"), ("::1", "8080")])
    assert serve_command._port(several) == 8080


def test_serve_announces_no_default_profile_where_there_is_none(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    own.config_path.write_text('[ca]\ndir = "."\n[profiles.only]\n')
    lines, _stub = announced(monkeypatch, own)
    assert not any(line.endswith("/scep") for line in lines)


def test_a_signal_right_after_the_announcement_stops_with_0(ca_dir: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the URL line may be done with the server at once."""
    monkeypatch.setattr(serve_command, "_announce", lambda *_arguments: os.kill(os.getpid(), signal.SIGTERM))
    _lines, stub = announced(monkeypatch, ca_dir)
    assert stub.closed


def test_serve_lets_go_of_the_database_when_it_stops(ca_dir: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[SqlStore] = []
    close = SqlStore.close
    monkeypatch.setattr(SqlStore, "close", lambda self: (closed.append(self), close(self))[1])
    announced(monkeypatch, ca_dir)
    assert closed


# When the database is not there for us


def test_a_database_that_is_locked_is_exit_code_1(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_arguments: object, **_more: object) -> None:
        raise StoreUnavailable("the database cannot be written: database is locked")

    monkeypatch.setattr(SqlStore, "add_credential", locked)
    run("challenge", "new", "--dir", own.path).refused_in_one_line(1, "database is locked")


def test_a_database_of_a_newer_program_is_exit_code_1(own: CaDir) -> None:
    with sqlite3.connect(own.path / "store.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    run("challenge", "new", "--dir", own.path).refused_in_one_line(1, "schema 9999", "newer program")


def test_an_interrupted_command_ends_quietly(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SqlStore, "add_credential", interrupt)
    found = run("challenge", "new", "--dir", own.path)
    assert found.code == 130 and "Traceback" not in found.err and found.out == ""
