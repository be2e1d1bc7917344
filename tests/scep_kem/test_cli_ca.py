"""`scep-kem ca list`, `revoke`, `crl` and `init`; the rest of `ca` is in test_ca_dir.py."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from scep.client import Issued
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Site, run

# ca list, revoke, crl


@pytest.fixture
def issued(own: CaDir) -> x509.Certificate:
    """A certificate in the database of `own`."""
    with own.open_store() as store:
        site = Site(own, store=store)
        outcome = site.device(password=site.password()).enrol()
    assert isinstance(outcome, Issued)
    return x509.load_der_x509_certificate(outcome.certificate)


def test_ca_list_shows_serial_end_state_and_subject(own: CaDir, issued: x509.Certificate) -> None:
    serial, end = f"{issued.serial_number:x}", f"{issued.not_valid_after_utc:%Y-%m-%d}"
    assert run("ca", "list", "--dir", own.path).good().out.split() == [serial, end, "valid", "CN=device,O=Example"]
    run("ca", "revoke", serial, "--dir", own.path).good()
    assert run("ca", "list", "--dir", own.path).good().out.split()[2] == "revoked"


def test_ca_list_shows_what_has_expired(own: CaDir, issued: x509.Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["scep_kem.cli.ca"], "utc_now", lambda: utc_now() + timedelta(days=366))
    assert run("ca", "list", "--dir", own.path).good().out.split()[2] == "expired"


@pytest.mark.parametrize("form", ["{:x}", "{:X}", "0x{:x}", "0{:x}", "colons"])
def test_a_serial_is_taken_in_every_form_that_tools_print(own: CaDir, issued: x509.Certificate, form: str) -> None:
    digits = f"{issued.serial_number:040x}"
    pairs = ":".join(digits[start : start + 2] for start in range(0, 40, 2))
    serial = pairs if form == "colons" else form.format(issued.serial_number)
    assert "CN=device,O=Example" in run("ca", "revoke", serial, "--dir", own.path).good().out


def test_revoking_says_what_and_is_done_once(own: CaDir, issued: x509.Certificate) -> None:
    serial = f"{issued.serial_number:x}"
    first = run("ca", "revoke", serial, "--reason", "keyCompromise", "--dir", own.path).good().out
    line = first.splitlines()[0]
    assert line.startswith(f"revoked {serial} CN=device,O=Example (keyCompromise, ") and line.endswith("UTC)")
    again = run("ca", "revoke", serial, "--reason", "superseded", "--dir", own.path).good().out
    assert again.splitlines()[0] == line.replace("revoked ", "nothing changed: ").replace("(", "was revoked before (")


def test_a_reason_is_revised_as_rfc_5280_has_it_and_the_crl_with_it(own: CaDir, issued: x509.Certificate) -> None:
    def revoke(reason: str) -> str:
        command = ("ca", "revoke", f"{issued.serial_number:x}", "--reason", reason, "--dir", own.path)
        return run(*command).good().out.splitlines()[0]

    def on_crl() -> str | None:
        crl = x509.load_pem_x509_crl(run("ca", "crl", "--dir", own.path).good().out.encode())
        entry = crl.get_revoked_certificate_by_serial_number(issued.serial_number)
        return None if entry is None else str(entry.extensions[0].value.reason.value)  # type: ignore[attr-defined]

    assert revoke("removeFromCRL").startswith("nothing changed: ") and on_crl() is None
    assert revoke("certificateHold").startswith("revoked ") and on_crl() == "certificateHold"
    assert revoke("removeFromCRL").startswith("released from hold: ") and on_crl() is None
    revoke("certificateHold")
    assert revoke("superseded").endswith(", before certificateHold") and on_crl() == "superseded"
    assert revoke("removeFromCRL").startswith("nothing changed: ") and on_crl() == "superseded"
    assert revoke("keyCompromise").endswith(", before superseded") and on_crl() == "keyCompromise"
    assert revoke("certificateHold").startswith("nothing changed: ") and on_crl() == "keyCompromise"


@pytest.mark.parametrize("serial", ["xyz", ":", "12 34", "0x", "1.5"])
def test_a_bad_serial_is_told(ca_dir: CaDir, serial: str) -> None:
    run("ca", "revoke", "--dir", ca_dir.path, serial).refused_in_one_line(2, "is not a serial number in hex")


@pytest.mark.parametrize("serial", ["0" * 40, "1", "f" * 100])
def test_an_unknown_serial_is_told(ca_dir: CaDir, serial: str) -> None:
    run("ca", "revoke", "--dir", ca_dir.path, serial).refused_in_one_line(2, f"no certificate with serial {serial}")


def test_an_unknown_reason_is_refused_with_the_known_ones(ca_dir: CaDir) -> None:
    found = run("ca", "revoke", "--dir", ca_dir.path, "1", "--reason", "lost")
    assert found.code == 2 and "keyCompromise" in found.err


def test_a_crl_lists_what_is_revoked_with_the_reason(own: CaDir, issued: x509.Certificate, tmp_path: Path) -> None:
    run("ca", "revoke", f"{issued.serial_number:x}", "--reason", "keyCompromise", "--dir", own.path).good()
    assert run("ca", "crl", "--dir", own.path, "--out", tmp_path / "crl").good().out == ""
    found = x509.load_pem_x509_crl((tmp_path / "crl").read_bytes())
    entry = found.get_revoked_certificate_by_serial_number(issued.serial_number)
    assert entry is not None and entry.extensions[0].value == x509.CRLReason(x509.ReasonFlags.key_compromise)
    public_key = own.load().current.ca.certificate.public_key()
    assert found.is_signature_valid(public_key)  # type: ignore[arg-type]


def test_a_crl_lists_what_has_ended_until_one_has_been_made_after(
    own: CaDir, issued: x509.Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5280 section 3.3, for the CRL that the command signs as for that of the server."""
    run("ca", "revoke", f"{issued.serial_number:x}", "--dir", own.path).good()
    for days, listed in ((1, True), (8, False)):
        at = issued.not_valid_after_utc + timedelta(days=days)
        monkeypatch.setattr(sys.modules["scep_kem.cli.ca"], "utc_now", lambda at=at: at)
        crl = x509.load_pem_x509_crl(run("ca", "crl", "--dir", own.path).good().out.encode())
        assert (crl.get_revoked_certificate_by_serial_number(issued.serial_number) is not None) == listed


def test_crls_on_stdout_have_rising_numbers(own: CaDir) -> None:
    found = [x509.load_pem_x509_crl(run("ca", "crl", "--dir", own.path).good().out.encode()) for _ in range(2)]
    one, two = (crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in found)
    assert two == one + 1


def test_a_crl_in_der(own: CaDir, tmp_path: Path) -> None:
    run("ca", "crl", "--der", "--out", tmp_path / "crl", "--dir", own.path).good()
    assert x509.load_der_x509_crl((tmp_path / "crl").read_bytes()).issuer == own.load().current.ca.certificate.subject


def test_a_crl_that_cannot_be_written_is_told(own: CaDir, tmp_path: Path) -> None:
    run("ca", "crl", "--dir", own.path, "--out", tmp_path / "no" / "crl").refused_in_one_line(2, "cannot write")


# ca init


@pytest.mark.parametrize("subject", ["", "CA", "CN="])
def test_ca_init_refuses_a_bad_subject_before_it_makes_anything(tmp_path: Path, subject: str) -> None:
    run("ca", "init", "--dir", tmp_path / "new", "--subject", subject).refused_in_one_line(2)
    assert not (tmp_path / "new").exists()


def test_ca_init_refuses_an_unknown_key_type_with_the_known_ones(tmp_path: Path) -> None:
    found = run("ca", "init", "--dir", tmp_path / "new", "--key-type", "dsa")
    assert found.code == 2 and "ed25519" in found.err


def test_ca_init_says_where_and_what(tmp_path: Path) -> None:
    said = run("ca", "init", "--dir", tmp_path / "new", "--key-type", "ed25519").good().out
    assert f"CA made in {tmp_path / 'new'}" in said and CaDir(tmp_path / "new").load().current.identifier in said
