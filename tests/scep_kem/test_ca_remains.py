"""No CA is made beside the remains of another, and what could not be written leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ca.authority import Authority, create_authority
from ca.store import StoreUnavailable
from scep.client import Issued
from scep_kem import ca_dir, files
from scep_kem.config import load
from scep_kem.errors import UsageError
from scep_kem.server.service import Service
from tests.scep_kem.kit import Site, ca_pair, make_ca_dir, run


@pytest.mark.parametrize(
    "command", [("ca", "init"), ("serve", "--host", "203.0.113.1"), ("ca", "show"), ("challenge", "new")]
)
def test_a_lost_roles_json_makes_no_other_ca(tmp_path: Path, command: tuple[str, ...]) -> None:
    made = make_ca_dir(tmp_path / "ca")
    made.roles_path.unlink()
    before = {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    found = run(*command, "--dir", made.path)
    found.refused_in_one_line(2, "server.key", "roles.json is missing: restore it from a backup")
    assert {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("left", ["server.key", "store.sqlite", "ca-0123456789abcdef"])
def test_any_part_of_a_ca_is_enough_to_make_no_other(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir() if left.startswith("ca-") else (tmp_path / left).write_bytes(b"x" * 32)
    run("ca", "init", "--dir", tmp_path).refused_in_one_line(2, f"holds {left}, but roles.json is missing")
    assert [path.name for path in tmp_path.iterdir()] == [left]


def test_what_came_while_the_keys_were_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any, **more: Any) -> Authority:
        (tmp_path / "server.key").write_bytes(b"somebody else's")
        return create_authority(*arguments, **more)

    monkeypatch.setattr(ca_dir, "new_authority", slow)
    run("ca", "init", "--dir", tmp_path, "--key-type", "ec:P-256").refused_in_one_line(2, "holds server.key")
    assert (tmp_path / "server.key").read_bytes() == b"somebody else's"
    assert [path.name for path in tmp_path.iterdir()] == ["server.key"]


def test_a_named_database_with_records_is_not_taken_for_a_new_ca(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "."\ndatabase = "sqlite:///other.sqlite"\n')
    (tmp_path / "new").mkdir(mode=0o700)
    shutil.copy(tmp_path / "scep.toml", tmp_path / "new")
    run("ca", "init", "--dir", tmp_path, "--key-type", "ed25519").good()
    run("challenge", "new", "--dir", tmp_path).good()
    shutil.copy(tmp_path / "other.sqlite", tmp_path / "new")
    run("ca", "init", "--dir", tmp_path / "new").refused_in_one_line(2, "holds records of a CA", "restore")
    assert not (tmp_path / "new" / "server.key").exists()


def fill_disk(monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """After as many files, the disk is full."""
    left = [written]
    write = files._replace

    def full(path: Path, data: bytes, mode: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data, mode)

    monkeypatch.setattr(files, "_replace", full)


@pytest.mark.parametrize("written", range(6))
def test_a_ca_that_could_not_be_written_leaves_nothing_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """What is written: server.key, scep.toml, key and certificate of the CA, of the RA, ..., roles.json."""
    fill_disk(monkeypatch, written)
    command = ("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ed25519")
    run(*command).refused_in_one_line(1, "cannot write", "No space left on device")
    assert not (tmp_path / "ca").exists()
    monkeypatch.undo()
    run(*command).good()


@pytest.mark.parametrize("written", range(5))
def test_a_rollover_that_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"))
    before = sorted(made.path.iterdir())
    fill_disk(monkeypatch, written)
    run("ca", "rollover", "--dir", made.path).refused_in_one_line(1, "cannot write", "No space left on device")
    assert sorted(made.path.iterdir()) == before


def test_a_database_that_is_missing_is_not_made_anew(tmp_path: Path) -> None:
    """An empty one would forget what is revoked, and sign a CRL that says so."""
    made = make_ca_dir(tmp_path / "the ca")
    (database,) = made.path.glob("store.sqlite")
    database.unlink()
    said = (f"the database {database} is missing", "`scep-kem ca new-database` makes one that knows of nothing")
    for command in (["ca", "list"], ["ca", "crl"], ["challenge", "new"], ["requests", "list"]):
        run(*command, "--dir", made.path).refused_in_one_line(2, *said)
    with pytest.raises(UsageError, match="is missing"):
        Service(load(made.config_path))
    assert not database.exists()
    run("ca", "new-database", "--dir", made.path).good()
    run("ca", "list", "--dir", made.path).good()


@pytest.mark.parametrize("idle", [True, False])
def test_a_running_server_notices_that_its_database_is_gone(tmp_path: Path, idle: bool) -> None:
    """SQLite would go on writing to the file without a name, and what was issued would be lost with the process."""
    made = make_ca_dir(tmp_path / "ca")
    database = made.path / "store.sqlite"
    with made.open_store() as store:
        store.certificates()
        if not idle:
            store.close()  # as when a request needs another connection
        kept = database.rename(tmp_path / "kept")
        for use in (store.certificates, lambda: store.next_crl_number("ca")):
            with pytest.raises(StoreUnavailable, match="its file is missing"):
                use()
        assert not database.exists()
        kept.rename(database)
        assert store.next_crl_number("ca") == 1


def test_a_running_server_takes_no_other_database(tmp_path: Path) -> None:
    """Beside it lies the -wal file of the one before, which SQLite would take for its own."""
    made = make_ca_dir(tmp_path / "ca")
    database = made.path / "store.sqlite"
    with made.open_store() as store:
        store.copy_to(tmp_path / "copy")
        store.next_crl_number("ca")
        (tmp_path / "copy").replace(database)
        with pytest.raises(StoreUnavailable, match="another file has taken its place"):
            store.next_crl_number("ca")


def test_a_certificate_that_the_database_does_not_know_can_be_revoked(tmp_path: Path) -> None:
    """After a restore, what was issued since is good until somebody says otherwise; so is an RA's old certificate."""
    made = make_ca_dir(tmp_path / "ca", ra_key_type="ec:P-256")
    old = made.load().current.ra_signer
    assert old is not None
    (file,) = made.path.glob("ca-*/ra-signer.cert.pem")
    for reason, said in (("superseded", "revoked"), ("superseded", "nothing changed"), ("keyCompromise", "before")):
        given = ("--cert", file, "--reason", reason, "--dir", made.path)
        assert said in run("ca", "revoke", *given).good().out
    with made.open_store() as store:
        (item,) = store.certificates()
        assert item.serial == old.certificate.serial_number and store.compromised(item.spki_hash)


@pytest.mark.parametrize("own_copy", [True, False])
def test_an_unknown_certificate_is_not_released_from_a_hold(tmp_path: Path, own_copy: bool) -> None:
    """That would say that it is valid, of which nothing is known."""
    made = make_ca_dir(tmp_path / "ca")
    with made.open_store() as store:
        site = Site(made, store=store if own_copy else None)
        outcome = site.device(password=site.password()).enrol()
    assert isinstance(outcome, Issued)
    (tmp_path / "certificate").write_bytes(outcome.certificate)
    given = ("ca", "revoke", "--cert", tmp_path / "certificate", "--dir", made.path, "--reason")
    if own_copy:
        assert "nothing changed" in run(*given, "removeFromCRL").good().out
    else:
        run(*given, "removeFromCRL").refused_in_one_line(2, "does not know this certificate, so it is not on hold")
        with made.open_store() as store:
            assert store.certificates() == []
    assert "revoked" in run(*given, "certificateHold").good().out
    assert "released" in run(*given, "removeFromCRL").good().out


def test_only_certificates_of_this_ca_are_made_known(tmp_path: Path) -> None:
    made, other = make_ca_dir(tmp_path / "ca"), make_ca_dir(tmp_path / "other", pair=ca_pair(label="other"))
    for found in (made, other):
        (file,) = found.path.glob("ca-*/ca.cert.pem")
        said = run("ca", "revoke", "--cert", file, "--dir", made.path)
        said.refused_in_one_line(2, "this is not a certificate that this CA has issued")
    for given in ((), ("01", "--cert", file)):
        run("ca", "revoke", *given, "--dir", made.path).refused_in_one_line(2, "give either SERIAL or --cert")
