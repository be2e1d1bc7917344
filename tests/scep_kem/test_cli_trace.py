"""`--trace`, `--save-messages`, and that nothing secret is where it should not be."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from scep.attributes import MessageType
from scep.ca_certificates import CaCertificates
from scep.capabilities import Capabilities
from scep.messages import PkiMessage
from scep_kem.clock import utc_now
from tests.scep_kem.devices import Device, password, pending
from tests.scep_kem.kit import Served

# --trace, --save-messages


def test_trace_shows_every_message_in_words_and_no_secret(make: Callable[..., Device], ca_folder: Path) -> None:
    secret, device = password(ca_folder), make()
    said = device.enroll("--challenge", secret, "--trace").good()
    transaction_id = said.out.partition("transactionID  ")[2].split()[0]
    for words in (
        "GetCACaps: ",
        "GetCACert: ",
        "client -> CA  PKCSReq, ",
        "CA -> client  CertRep, ",
        "pkiStatus      SUCCESS",
        "senderNonce    ",
        "recipientNonce ",
        "signed by      CN=device,O=Example, rsa:2048, SHA-256: verified",
        "AES-256-GCM, ",
    ):
        assert words in said.out, words
    assert said.out.count(f"transactionID  {transaction_id}") == 2
    assert secret not in said.out + said.err and "PRIVATE" not in said.out


def test_trace_shows_a_failure_with_its_reason(make: Callable[..., Device]) -> None:
    said = make().enroll("--challenge", "wrong", "--trace")
    assert "pkiStatus      FAILURE, failInfo badRequest: the challengePassword is not valid" in said.out
    assert "no pkcsPKIEnvelope" in said.out and said.code == 4


@pytest.mark.parametrize(("profile", "words"), [("/classic", "PBKDF2 from a password"), ("", "under response key")])
def test_trace_shows_what_the_answer_to_a_key_that_cannot_decrypt_is_encrypted_under(
    make: Callable[..., Device], ca_folder: Path, profile: str, words: str
) -> None:
    """RFC 8894 section 3.1, and the update's response key."""
    arguments = ("--challenge", password(ca_folder), "--trace")
    said = make(profile, "ed25519").enroll(*arguments, subject=f"CN=ed{profile[1:]}").good()
    assert words in said.out and "ed25519" in said.out


def test_messages_are_saved_as_they_went_over_the_wire(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("/manual")
    folder = device.folder / "new" / "messages"
    pending(device, ca_folder, "CN=saved", "--save-messages", str(folder))
    names = {"01-GetCACaps.txt", "02-GetCACert.der", "03-client.der", "04-server.der"}
    assert {path.name for path in folder.iterdir()} == names
    assert Capabilities.decode((folder / "01-GetCACaps.txt").read_bytes()).has("POSTPKIOperation")
    CaCertificates.decode((folder / "02-GetCACert.der").read_bytes(), fingerprint=None, now=utc_now())
    saved = [PkiMessage.decode((folder / name).read_bytes()).message_type for name in sorted(names)[2:]]
    assert saved == [MessageType.PKCSReq, MessageType.CertRep]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_messages_of_a_later_poll_do_not_replace_those_of_the_enrolment(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    device = make("/manual")
    folder = device.folder / "messages"
    pending(device, ca_folder, "CN=saved too", "--save-messages", str(folder))
    first = (folder / "03-client.der").read_bytes()
    device.poll("--save-messages", folder)
    assert (folder / "03-client.der").read_bytes() == first
    assert len(list(folder.iterdir())) == 8


# Nothing leaks


def test_nothing_secret_is_in_the_log_and_every_line_is_one_event(
    server: Served, enrolled: Device, ca_folder: Path
) -> None:
    secret = password(ca_folder)
    enrolled.enroll("--challenge", secret, subject="CN=logged").good()
    enrolled.enroll("--challenge", "wrong but secret", subject="CN=not logged").refused_in_one_line(4)
    lines = server.log.splitlines()
    assert "PKCSReq SUCCESS" in server.log and 'subject="CN=logged"' in server.log
    assert secret not in server.log and "wrong but secret" not in server.log and "Traceback" not in server.log
    assert all(line[:4].isdigit() and " INFO " in line for line in lines)


def test_no_file_of_the_ca_but_certificates_is_readable_by_others(ca_folder: Path, enrolled: Device) -> None:
    for path in ca_folder.rglob("*"):
        # These tests wrote scep.toml; that `ca init` writes it with mode 0600 is tested in test_ca_dir.py.
        open_bits = stat.S_IMODE(path.stat().st_mode) & 0o077
        assert not open_bits or path.name.endswith(".cert.pem") or path.name == "scep.toml", path
    assert stat.S_IMODE(enrolled.out.stat().st_mode) == 0o644


# Issue 11, section 3: what is encrypted


def test_trace_shows_what_is_asked_for_and_what_came_of_it(make: Callable[..., Device], ca_folder: Path) -> None:
    secret = password(ca_folder)
    said = make("", "ed25519").enroll("--challenge", secret, "--san", "dns:a.example", "--trace", subject="CN=seen")
    for line in (
        "    subject           CN=seen",
        "    key               ed25519",
        "    attribute         challengePassword: present, never shown",
        "    subjectAltName    dns: a.example",
        "    certificate    CN=seen, ed25519: self-signed, signed this message",
        "    certificate    CN=CA,O=Example, rsa:2048: a CA, signed this message, known from GetCACert",
        "issued         CN=seen, ed25519: neither CA nor marked as RA",
    ):
        assert line in said.good().out.splitlines(), line
    assert secret not in said.out
