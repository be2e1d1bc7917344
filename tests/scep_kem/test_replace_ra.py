"""`scep-kem ca replace-ra`: the RA's keys are withdrawn at once, and whatever stops it leaves a CA that works."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.sql_store import SqlStore
from ca.store import StoreUnavailable
from scep.client import Issued
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from tests.scep_kem.kit import Result, Site, ca_pair, make_ca_dir, run

ROLES = ("RA signer", "RA decryption", "RA ML-KEM-768")


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    """A CA with every kind of RA certificate."""
    return make_ca_dir(tmp_path / "own", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256", kems=("ml-kem-768",))


def replace_ra(found: CaDir, *arguments: str) -> Result:
    return run("ca", "replace-ra", "--dir", found.path, *arguments)


def certificates(found: CaDir) -> dict[str, x509.Certificate]:
    return {role: item for role, item in found.load().current.by_role if role != "CA"}


def revoked(found: CaDir) -> dict[int, str]:
    crl = x509.load_pem_x509_crl(run("ca", "crl", "--dir", found.path).good().out.encode())
    reasons = {}
    for item in crl:
        extensions = [entry.value for entry in item.extensions]
        reasons[item.serial_number] = extensions[0].reason.value if extensions else "unspecified"  # type: ignore[attr-defined]
    return reasons


@pytest.mark.parametrize(
    ("only", "expected"),
    [("signer", ROLES[:1]), ("decryption", ROLES[1:2]), ("kem", ROLES[2:]), (None, ROLES)],
)
def test_what_was_asked_for_is_replaced_and_revoked(own: CaDir, only: str | None, expected: tuple[str, ...]) -> None:
    before = certificates(own)
    said = replace_ra(own, *(["--only", only] if only else []), "--reason", "keyCompromise").good().out
    after = certificates(own)
    assert [role for role in ROLES if after[role] != before[role]] == list(expected)
    for role in expected:
        old, new = before[role], after[role]
        assert old.subject == new.subject and old.public_key_algorithm_oid == new.public_key_algorithm_oid
        usage = x509.KeyUsage
        assert (
            old.extensions.get_extension_for_class(usage).value == new.extensions.get_extension_for_class(usage).value
        )
    assert revoked(own) == {before[role].serial_number: "keyCompromise" for role in expected}
    assert "Clients have to fetch GetCACert" in said


def test_a_running_server_stops_using_the_old_at_once(own: CaDir) -> None:
    with own.open_store() as store:
        site = Site(own, store=store)
        late = site.device(password=site.password("one"), transaction_id="late").start()
        in_time = site.device(password=site.password("two"), label="two", transaction_id="in time")
        assert isinstance(in_time.enrol(), Issued)
        old = {item.serial_number for item in certificates(own).values()}
        replace_ra(own).good()
        answer = PkiMessage.decode(site.send(late).body)
        assert answer.fail_info_text is not None
        signer = answer.signed.signer_certificate([])
        assert signer.serial_number not in old
        served = site.ca_certificates().all
        assert old.isdisjoint(item.serial_number for item in served) and len(served) == 4
        fresh = site.device(password=site.password("three"), label="three", transaction_id="fresh")
        assert isinstance(fresh.enrol(), Issued)
        assert store.credential(own.server_key().identifier("one")).serial is None  # type: ignore[union-attr]


def test_the_old_files_are_kept_under_the_moment_of_withdrawal(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = utc_now()
    monkeypatch.setattr(sys.modules["scep_kem.cli.ca"], "utc_now", lambda: moment)
    (folder,) = own.path.glob("ca-*")
    old = (folder / "ra-signer.key.pem").read_bytes()
    replace_ra(own, "--only", "signer").good()
    kept = folder / f"ra-signer.withdrawn-{moment:%Y%m%dT%H%M%SZ}.key.pem"
    assert kept.read_bytes() == old and not (folder / "ra-signer.key.pem").exists()
    for path in folder.glob("*.key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_again_and_again(own: CaDir) -> None:
    seen = {item.serial_number for item in certificates(own).values()}
    for _ in range(3):
        replace_ra(own).good()
        seen |= {item.serial_number for item in certificates(own).values()}
    assert len(seen) == 12 and len(revoked(own)) == 9


def test_a_rollover_keeps_what_was_replaced(own: CaDir) -> None:
    replace_ra(own).good()
    replaced = certificates(own)
    own.prepare_rollover(now=utc_now())
    own.activate_rollover()
    (previous,) = own.load().previous
    assert dict(previous.by_role[1:]) == replaced
    own.add_kem("ml-kem-1024", now=utc_now())
    replace_ra(own, "--only", "kem").good()
    assert [pair.key.parameter_set.name for pair in own.load().current.ra_kem] == ["ML-KEM-768", "ML-KEM-1024"]


# Stopped halfway


class Stop(BaseException):
    """A kill -9, as far as a test can have one."""


STEPS = ("write 1", "write 2", "write 5", "write 6", "record", "write 7", "rename 1", "rename 2")


def stop_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Of six files of three pairs, the records and roles.json, and of the renames afterwards."""
    what, _, number = step.partition(" ")
    if what == "record":
        monkeypatch.setattr(SqlStore, "record", stopping(SqlStore.record, 2))
    elif what == "write":
        monkeypatch.setattr(files, "write", stopping(files.write, int(number)))
    else:
        monkeypatch.setattr(Path, "rename", stopping(Path.rename, int(number)))


def stopping(function: Any, number: int) -> Any:
    count = 0

    def stopped(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise Stop
        return function(*arguments, **more)

    return stopped


@pytest.mark.parametrize("step", STEPS)
def test_stopped_at_any_step_it_loads_and_can_be_done_again(
    own: CaDir, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = certificates(own)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Stop), own.open_store() as store:
            own.replace_ra(None, store=store, reason="superseded", now=utc_now())
    between = certificates(own)
    assert between == before or not set(between.values()) & set(before.values())
    with own.open_store() as store:
        site = Site(own, store=store)
        assert isinstance(site.device(password=site.password()).enrol(), Issued)
    replace_ra(own).good()
    after = certificates(own)
    assert not set(after.values()) & (set(before.values()) | set(between.values()))
    assert {item.serial_number for item in (*before.values(), *between.values())} == set(revoked(own))


def test_files_that_are_put_away_while_they_are_read_are_looked_up_anew(
    own: CaDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, done = files.read_key, []

    def slow(path: Path) -> Any:
        if not done:
            done.append(path)
            replace_ra(own).good()
        return read(path)

    monkeypatch.setattr(files, "read_key", slow)
    assert set(certificates(own)) == set(ROLES) and done


# What cannot be done


def test_a_ca_without_an_ra_is_told(tmp_path: Path) -> None:
    plain = make_ca_dir(tmp_path / "plain")
    replace_ra(plain).refused_in_one_line(2, "the current CA has no RA certificate;")
    replace_ra(plain, "--only", "kem").refused_in_one_line(2, "has no RA certificate for kem")


def test_an_unknown_role_is_refused_with_the_known_ones(own: CaDir) -> None:
    found = replace_ra(own, "--only", "crl")
    assert found.code == 2 and "decryption" in found.err


def test_without_a_ca_there_is_nothing_to_replace(tmp_path: Path) -> None:
    replace_ra(CaDir(tmp_path)).refused_in_one_line(2, "holds no CA")


def test_a_ca_that_has_ended_certifies_no_ra(own: CaDir) -> None:
    late = own.load().current.ca.certificate.not_valid_after_utc + timedelta(seconds=1)
    before = certificates(own)
    with own.open_store() as store, pytest.raises(UsageError, match="the CA certificate is not valid now"):
        own.replace_ra(None, store=store, reason="superseded", now=late)
    assert certificates(own) == before


def test_a_database_that_is_locked_withdraws_nothing(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_arguments: object) -> None:
        raise StoreUnavailable("the database is locked")

    before = certificates(own)
    monkeypatch.setattr(SqlStore, "record", locked)
    replace_ra(own).refused_in_one_line(1, "the database is locked")
    assert certificates(own) == before


@pytest.mark.parametrize(
    "command",
    [["replace-ra"], ["add-kem", "ml-kem-1024"], ["rollover"], ["rollover", "--activate"]],
    ids=lambda command: " ".join(command),
)
def test_two_who_change_the_folder_at_a_time(own: CaDir, command: list[str]) -> None:
    other = os.open(own.path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = own.roles_path.read_bytes()
        run("ca", *command, "--dir", own.path).refused_in_one_line(2, "somebody else is changing", "try again")
        assert own.roles_path.read_bytes() == before
    finally:
        os.close(other)


def test_two_who_make_a_ca_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir(mode=0o700)
    other = os.open(tmp_path / "ca", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        found = run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ed25519", "--kem", "ml-kem-768", "--no-rsa")
        found.refused_in_one_line(2, "somebody else is changing")
        assert list((tmp_path / "ca").iterdir()) == []
    finally:
        os.close(other)


@pytest.mark.parametrize(
    "ra", [[], 5, {"CURRENT": 5}, {"CURRENT": {"ra-signer": "../x"}}, {"CURRENT": {"ra-signer": 5}}]
)
def test_damaged_names_of_files_are_told(own: CaDir, ra: Any) -> None:
    roles = json.loads(own.roles_path.read_text())
    own.roles_path.write_text(json.dumps(roles | {"ra": ra}).replace("CURRENT", roles["current"]))
    run("ca", "show", "--dir", own.path).refused_in_one_line(2, "roles.json is damaged")


def test_a_replaced_certificate_that_is_missing_is_told(own: CaDir) -> None:
    """Without it the CA's own key would sign, which nobody asked for."""
    replace_ra(own, "--only", "signer").good()
    (folder,) = own.path.glob("ca-*")
    (path,) = (item for item in folder.glob("ra-signer.*.cert.pem") if "withdrawn" not in item.name)
    path.unlink()
    run("ca", "show", "--dir", own.path).refused_in_one_line(2, "cannot read", "ra-signer")


# ca show


@pytest.mark.parametrize(("days", "expected"), [(0, False), (1764, False), (1766, True), (1826, True)])
def test_ca_show_warns_of_an_end(own: CaDir, monkeypatch: pytest.MonkeyPatch, days: int, expected: bool) -> None:
    later = utc_now() + timedelta(days=days)
    monkeypatch.setattr(sys.modules["scep_kem.cli.ca"], "utc_now", lambda: later)
    said = run("ca", "show", "--dir", own.path).good().out
    signer = certificates(own)["RA signer"]
    assert f"from {signer.not_valid_before_utc:%Y-%m-%d} until {signer.not_valid_after_utc:%Y-%m-%d}" in said
    for role in ROLES:
        assert (f"WARNING: the {role} certificate " in said) is expected


def test_a_server_says_what_ends(own: CaDir, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
    Site(own)
    assert "RA signer" not in log.text
    later = utc_now() + timedelta(days=1826)
    monkeypatch.setattr(sys.modules["scep_kem.server.service"], "utc_now", lambda: later)
    Site(own)
    assert "the RA signer certificate has expired on" in log.text
