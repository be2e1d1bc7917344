"""scep_kem/client/pending.py and scep_kem/trace.py: what is kept of a pending enrolment, and messages in words."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.certificates import Certificate
from pkix.keys import spki_of
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.signed_data import Signer
from pkix.usages import key_usage
from scep.attributes import FailInfo, MessageType, PkiStatus
from scep.messages import Header, encode_pki_message
from scep_kem.client.pending import Answer, Pending
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.trace import describe_certificate, describe_message
from tests.scep_kem.kit import ca_pair
from tests.world import Random, World, key, name

NONCE = b"\x01" * 16


# Pending

REQUEST = CertificationRequest.decode(
    encode_certification_request(key("ec:P-256"), name("CN=device"), challenge_password="hunter2")
)


def pending(**more: object) -> Pending:
    arguments = {
        "url": "http://ca.example/scep",
        "fingerprint": "ab" * 32,
        "transaction_id": "transaction-1",
        "request": REQUEST,
        "sent": b"the message",
        "capabilities": b"AES\n",
        "certificate": Certificate.of(ca_pair("ec:P-256").certificate),
    }
    return Pending(**(arguments | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"fingerprint": None},
        {"signer_file": Path("/keys/old.key")},
        {"renewed": (Path("/keys/old.key"), Path("/keys/old.pem"))},
        {"ca_certificates": b"GetCACert", "answers": (Answer(b"a poll", b"GetCACert"), Answer(b"another", b""))},
        {"options": {"cipher": "aes192", "legacy": True}},
    ],
    ids=str,
)
def test_a_pending_enrolment_comes_back_as_it_was_written(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "file").write_bytes(pending(**more).dump())
    assert Pending.load(tmp_path / "file").dump() == pending(**more).dump()


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It had no answers, options and certificates of the CA, and still earlier not whether there was an answer."""
    found = json.loads(pending().dump())
    for later in ("answers", "CA certificates", "options", "answered"):
        del found[later]
    (tmp_path / "file").write_text(json.dumps(found))
    read = Pending.load(tmp_path / "file")
    assert (read.answers, read.ca_certificates, read.options, read.answered) == ((), None, {}, True)


def test_an_ephemeral_key_of_a_pending_enrolment_comes_back(tmp_path: Path) -> None:
    signer = key("ec:P-384", "ephemeral")
    (tmp_path / "file").write_bytes(pending(signer=signer).dump())
    found = Pending.load(tmp_path / "file").signer
    assert found is not None and spki_of(found) == spki_of(signer)


def test_the_secrets_of_a_pending_enrolment_do_not_show() -> None:
    shown = repr(pending(signer=key("ec:P-384", "ephemeral")))
    assert "hunter2" not in shown and REQUEST.der.hex() not in shown and repr(REQUEST.der) not in shown


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"url": "http://ca.example/scep"', '"url": 5'),
        ('"ca fingerprint": "', '"ca fingerprint": 5, "x": "'),
        ('"transactionID": "transaction-1"', '"transactionID": null'),
        ('"transactionID"', '"transaction"'),
        ('"request": "', '"request": "x'),
        ('"request": "MI', '"request": "AA'),
        ('"message": "', '"message": 5, "x": "'),
        ("BEGIN CERTIFICATE", "BEGIN SOMETHING"),
        ('"answered": true', '"answered": 5'),
        ('"CA certificates": null', '"CA certificates": 5'),
        ('"answers": []', '"answers": 5'),
        ('"answers": []', '"answers": [5]'),
        ('"answers": []', '"answers": [{}]'),
        ('"answers": []', '"answers": [{"to": 5, "CA certificates": ""}]'),
        ('"options": {}', '"options": []'),
        ('"options": {}', '"options": {"tls_ca": "\\u0000"}'),
        ('"options": {}', '"options": ' + "[" * 200_000),
        ('"signer key": null', '"signer key": "x"'),
        ('"signer key file": null', '"signer key file": 5'),
        ('"signer key file": null', '"signer key file": "/\\u0000x"'),
        ('"renewed": null', '"renewed": ["x"]'),
        ('"renewed": null', '"renewed": ["\\u0000", "\\u0000"]'),
        ('"renewed": null', '"renewed": 5'),
    ],
)
def test_a_pending_file_that_was_altered_is_told(tmp_path: Path, old: str, new: str) -> None:
    text = pending().dump().decode()
    assert old in text
    (tmp_path / "file").write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=r"file is not a pending enrolment of this program$"):
        Pending.load(tmp_path / "file")


# Messages in words


def signer(subject_key: str = "rsa:2048", certificate: bytes | None = None) -> Signer:
    pair = ca_pair(subject_key)
    der = certificate or pair.certificate.public_bytes(Encoding.DER)
    return Signer(pair.key, Certificate.decode(der))


def certrep(by: Signer, **more: object) -> bytes:
    header = Header(MessageType.CertRep, "transaction-1", NONCE, recipient_nonce=NONCE, **more)  # type: ignore[arg-type]
    return encode_pki_message(header, None, by, hashes.SHA256(), certificates=[by.certificate.der], now=utc_now())


def test_a_request_is_told_with_type_transaction_nonce_signer_and_envelope() -> None:
    world = World()
    lines = describe_message(world.device(password=world.password()).start(), [])
    assert lines[0].startswith("PKCSReq, ") and lines[0].endswith(" octets")
    assert [line.split()[0] for line in lines[1:]] == [
        *("transactionID", "senderNonce", "signingTime", "certificate", "signed", "pkcsPKIEnvelope"),
    ]
    assert lines[-3] == "certificate    CN=device,O=Example, rsa:2048: self-signed, signed this message"
    assert lines[-2].endswith("CN=device,O=Example, rsa:2048, SHA-256: verified")


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ed25519", "ml-dsa-44"])
def test_issue_10_6_each_kind_of_key_is_told_as_it_is_configured(key_type: str) -> None:
    lines = describe_message(certrep(signer(key_type), pki_status=PkiStatus.PENDING), [])
    assert f"CN=CA,O=Example, {key_type}, SHA-" in lines[-2]
    assert lines[-1] == "no pkcsPKIEnvelope" and "pkiStatus      PENDING" in lines


def test_a_failure_is_told_with_failinfo_and_text() -> None:
    more = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badTime, "fail_info_text": "late"}
    assert "pkiStatus      FAILURE, failInfo badTime: late" in describe_message(certrep(signer(), **more), [])


def test_a_failure_without_text_is_told() -> None:
    more = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badAlg}
    assert "pkiStatus      FAILURE, failInfo badAlg" in describe_message(certrep(signer(), **more), [])


def test_a_signature_that_does_not_verify_is_told_and_the_rest_is_shown() -> None:
    wrong = Signer(key("rsa:2048", "not the signer's"), signer().certificate)
    lines = describe_message(certrep(wrong, pki_status=PkiStatus.PENDING), [])
    assert "does not verify" in lines[-2] and lines[0].startswith("CertRep, ")


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x30\x80\x00\x00", b"<html>\n</html>"])
def test_what_is_no_message_is_told_in_one_line(body: bytes) -> None:
    (line,) = describe_message(body, [])
    assert line.startswith(f"{len(body)} octets that are not a readable pkiMessage: ") and line.isprintable()
    assert "send the DER octets" not in line  # whoever reads this may have received them


def test_a_message_without_a_type_is_told() -> None:
    header = Header(MessageType.CertRep, "transaction-1", NONCE)
    body = encode_pki_message(header, None, signer(), hashes.SHA256(), certificates=[], now=utc_now())
    lines = describe_message(body, [signer().certificate])
    assert "pkiStatus      ODD: pkiMessage has no pkiStatus attribute" in lines
    assert any(line.endswith(": verified") for line in lines)


@pytest.mark.parametrize("old", [b"\x0c\x02CA", b"\x0c\x07Example"])
def test_a_signer_whose_name_cannot_be_read_does_not_end_the_client(old: bytes) -> None:
    """Old CAs have TeletexString and worse in their names (pkix.certificates). The trace comes before any check."""
    der = ca_pair().certificate.public_bytes(Encoding.DER)
    broken = b"\x14" + old[1:2] + b"\xe4" * (len(old) - 2)
    assert old in der
    lines = describe_message(certrep(signer(certificate=der.replace(old, broken)), pki_status=PkiStatus.PENDING), [])
    assert lines[0].startswith("CertRep, ")


@pytest.mark.parametrize("forged", ["x\ny", "x\x1b[2J", "x\r"])
def test_no_text_of_a_peer_can_forge_a_line_or_control_the_terminal(forged: str) -> None:
    """The trace is read by people who look for what went wrong."""
    more = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badAlg, "fail_info_text": forged}
    assert all(line.isprintable() for line in describe_message(certrep(signer(), **more), []))


# Certificates in words


def certificate(common_name: str, *names: x509.GeneralName) -> x509.Certificate:
    pair = ca_pair("ec:P-256")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
        .issuer_name(name("CN=Issuer"))
        .public_key(pair.key.public_key())
        .serial_number(int.from_bytes(Random("words")(16), "big"))
        .not_valid_before(utc_now())
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(key_usage({"digitalSignature"}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.2.3.4")]), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(pair.key, hashes.SHA256())


def test_a_certificate_is_told_with_names_serial_validity_key_and_usages() -> None:
    found = certificate(
        "device", x509.DNSName("a.example"), x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01x")
    )
    lines = dict(line.split(maxsplit=1) for line in describe_certificate(Certificate.of(found)))
    assert (lines["subject"], lines["issuer"], lines["names"]) == (
        "CN=device",
        "CN=Issuer",
        "dns: a.example, otherName 1.2.3.4: x",
    )
    assert lines["serial"] == f"{found.serial_number:x}" and lines["key"] == "ec:P-256"


def test_usages_are_told_and_a_purpose_without_a_name_by_its_oid() -> None:
    lines = dict(line.split(maxsplit=1) for line in describe_certificate(Certificate.of(certificate("device"))))
    assert (lines["keyUsage"], lines["purposes"]) == ("digitalSignature", "1.2.3.4")


def test_names_that_are_no_text_are_told() -> None:
    other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x03a@b")
    directory = x509.DirectoryName(name("CN=x"))
    lines = dict(
        line.split(maxsplit=1) for line in describe_certificate(Certificate.of(certificate("device", other, directory)))
    )
    assert "a@b" in lines["names"] and "CN=x" in lines["names"]


@pytest.mark.parametrize("forged", ["x\nvalid          for ever", "x\x1b[2J"])
def test_no_name_in_a_certificate_can_forge_a_line(forged: str) -> None:
    assert all(line.isprintable() for line in describe_certificate(Certificate.of(certificate(forged))))
