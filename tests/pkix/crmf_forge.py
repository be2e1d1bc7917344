"""CRMF requests with anything a test wants wrong, written with `tests.pkix.tlv` and not with the code under test."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pkix import oids
from tests.pkix.forge import algorithm, bit_string, sequence, spki
from tests.pkix.tlv import explicit, integer, tlv
from tests.world import key, name

KEY = key("ec:P-256", "crmf")
SPKI = spki(KEY.public_key())  # type: ignore[arg-type]
NAME = name("CN=device").public_bytes()
SUBJECT = explicit(5, NAME)
PUBLIC_KEY = tlv(0xA6, SPKI[2:])
ES256 = algorithm(oids.ECDSA_WITH_SHA256)
RA_VERIFIED = tlv(0x80)
CHALLENGE_RESP = bytes.fromhex("a203810101")


def template(*fields: bytes) -> bytes:
    """A CertTemplate with these fields."""
    return sequence(*fields)


def request(*fields: bytes, number: int = 0, controls: bytes = b"") -> bytes:
    """A CertRequest whose template has these fields, by default subject and publicKey."""
    return sequence(integer(number), template(*(fields or (SUBJECT, PUBLIC_KEY))), controls)


def signature(data: bytes) -> bytes:
    """A BIT STRING: the signature of KEY."""
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    return bit_string(KEY.sign(data, ec.ECDSA(hashes.SHA256())))


def signed(of: bytes) -> bytes:
    """A CertReqMsg with the signature over its CertRequest."""
    return sequence(of, tlv(0xA1, ES256, signature(of)))


def signing_input(public_key_info: bytes = SPKI, auth_info: bytes | None = None) -> bytes:
    """A POPOSigningKeyInput, of which the sender is a directoryName."""
    return sequence(auth_info or explicit(0, explicit(4, NAME)), public_key_info)


def signed_input(of: bytes, what: bytes) -> bytes:
    """A CertReqMsg with the signature over a POPOSigningKeyInput, which stands there under [0] IMPLICIT."""
    return sequence(of, tlv(0xA1, b"\xa0" + what[1:], ES256, signature(what)))
