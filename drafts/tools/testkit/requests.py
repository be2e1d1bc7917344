"""PKCS #10 requests with any part wrong, and the envelopes that carry them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from drafts.tools.testkit.der import NULL, Node, attribute, bit_string, scheme, sequence
from pkix import oids
from pkix.asn1 import Oid, encode, wrap
from pkix.pkcs10 import CertificationRequest
from pkix.signatures import SigningKey


def password_attribute(text: str) -> bytes:
    """challengePassword (RFC 2985 section 5.4.1)."""
    return attribute(oids.CHALLENGE_PASSWORD, wrap(0x0C, text.encode()))


def extension_request(*extensions: tuple[str, bytes]) -> bytes:
    """extensionRequest (RFC 2985 section 5.4.2) with extensions that are not critical: OID, DER value."""
    encoded = [sequence(encode(Oid(oid)), wrap(0x04, value)) for oid, value in extensions]
    return attribute(oids.EXTENSION_REQUEST, sequence(*encoded))


def key_usage_request(bits: bytes, unused: int) -> bytes:
    """A request for a keyUsage: the octets of its BIT STRING."""
    return extension_request(("2.5.29.15", wrap(0x03, bytes((unused,)) + bits)))


def request_info(subject: bytes, spki: bytes, attributes: Sequence[bytes] = (), version: int = 0) -> bytes:
    """DER CertificationRequestInfo; the attributes in DER order."""
    return sequence(encode(version), subject, spki, wrap(0xA0, b"".join(sorted(attributes))))


def pkcs10(info: bytes, signature_algorithm: bytes, signature: bytes = b"") -> bytes:
    """DER CertificationRequest of its parts."""
    return sequence(info, signature_algorithm, bit_string(signature))


def unsigned(info: bytes) -> bytes:
    """With id-alg-unsigned."""
    return pkcs10(info, scheme(oids.UNSIGNED))


def signed(info: bytes, key: SigningKey, digest: hashes.HashAlgorithm | None = None) -> bytes:
    """With an RSA or ECDSA signature, with SHA-256 unless told otherwise."""
    digest = digest or hashes.SHA256()
    if isinstance(key, rsa.RSAPrivateKey):
        named = oids.SHA256_WITH_RSA if digest.name == "sha256" else oids.SHA1_WITH_RSA
        return pkcs10(info, scheme(named, NULL), key.sign(info, padding.PKCS1v15(), digest))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return pkcs10(info, scheme(oids.ECDSA_WITH_SHA256), key.sign(info, ec.ECDSA(digest)))


def respoiled(request: bytes, change: Callable[[Node], None]) -> bytes:
    """A request with something changed after it was signed. The tree: info, algorithm, signature."""
    tree = Node.parse(request)
    change(tree)
    return tree.der()


def spki_hash(request: bytes) -> str:
    """SHA-256 of the requested SubjectPublicKeyInfo, hexadecimal."""
    return hashlib.sha256(CertificationRequest.decode(request).spki).hexdigest()
