"""CRMF between us and `openssl cmp`, whose mock server verifies the proof of possession. No network is used."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ca.profiles import extension
from pkix.algorithms import AlgorithmPolicy
from pkix.crmf import decode_messages, encode_messages, encode_signed_message
from pkix.keys import dump_private_key
from pkix.popo import Popo
from tests.pkix.forge import peer
from tests.pkix.openssl import Failed, OpenSsl
from tests.pkix.tlv import Node
from tests.world import key, name

POLICY = AlgorithmPolicy()
SAN = extension(x509.SubjectAlternativeName([x509.DNSName("device.example")]))
IR_TAG = 0xA0
ISSUED = "received CERTCONF"


def enrol(openssl: OpenSsl, key_type: str, folder: Path, *options: str | Path, popo: int = 1) -> str:
    """Enrol at the mock server, which answers anybody with the same certificate; what the command reports."""
    private, answer = key(key_type, "crmf"), peer("ec:P-256", "crmf-ca")
    # fmt: off
    command = (
        "cmp", "-config", "", "-cmd", "ir", "-use_mock_srv", "-srv_secret", "pass:secret", "-srv_ref", "ref",
        "-secret", "pass:secret", "-ref", "ref", "-rsp_cert", openssl.certificate_file(answer), "-verbosity", "7",
        "-newkey", openssl.file(dump_private_key(private)), "-subject", "/O=Example/CN=device",
        "-sans", "device.example", "-popo", str(popo), "-certout", folder / "issued.pem", *options,
    )
    # fmt: on
    with pytest.raises(Failed) as failed:  # the certificate is never for the key asked for
        openssl.run(*command)
    return str(failed.value)


@pytest.fixture
def plain() -> Iterator[Path]:
    """A folder without blanks in its name: openssl cmp takes the files of -reqin and -reqout for lists."""
    with tempfile.TemporaryDirectory(prefix="scep-kem-") as folder:
        yield Path(folder)


def requests(message: bytes) -> bytes:
    """CertReqMessages in the PKIMessage of an initialization request."""
    body = Node.parse(message)[1]
    assert body.tag == IR_TAG
    return body[0].der()


@pytest.mark.parametrize(
    ("key_type", "number", "popo"),
    [
        ("rsa:2048", 1, Popo.signature),
        ("ec:P-256", 1, Popo.signature),
        ("ec:P-384", 1, Popo.signature),
        ("ed25519", 1, Popo.signature),
        ("ec:P-256", 0, Popo.raVerified),
        ("rsa:2048", 2, Popo.encrCert),
        ("rsa:2048", -1, Popo.absent),
    ],
)
def test_what_openssl_asks_for(openssl: OpenSsl, plain: Path, key_type: str, number: int, popo: Popo) -> None:
    enrol(openssl, key_type, plain, "-reqout", plain / "ir.der", popo=number)
    (found,) = decode_messages(requests((plain / "ir.der").read_bytes()))
    assert (found.request_id, found.popo, found.key_type) == (0, popo, key_type)
    assert found.subject_text == "CN=device,O=Example"
    assert list(found.extensions) == [SAN]
    if popo is not Popo.absent:
        found.verify(POLICY)


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ec:P-521"])
@pytest.mark.parametrize("right", [True, False])
def test_what_openssl_thinks_of_our_signature(openssl: OpenSsl, plain: Path, key_type: str, right: bool) -> None:
    """Our CertReqMessages in place of its own, so that the message's MAC no longer fits, which is let pass."""
    enrol(openssl, key_type, plain, "-reqout", plain / "ir.der")
    message = Node.parse((plain / "ir.der").read_bytes())
    ours = encode_messages([encode_signed_message(key(key_type, "crmf"), name("CN=device,O=Example"))])
    message[1][0] = Node.parse(ours if right else ours.replace(b"device", b"devicf"))
    changed = plain / "changed.der"
    changed.write_bytes(message.der())
    report = enrol(openssl, key_type, plain, "-reqin", changed, "-accept_unprotected")
    assert (ISSUED in report) is right
