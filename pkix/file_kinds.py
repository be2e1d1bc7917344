"""What a file is that should be a private key or a certificate, in words for whoever named the wrong one.

It goes by the outside alone: PEM labels (RFC 7468) or the outermost structure of DER, never by a file's name. It is
asked only after reading has failed.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

from kem.structures import OneAsymmetricKey, SubjectPublicKeyInfo
from pkix.asn1 import (
    TLV,
    AlgorithmIdentifier,
    BitString,
    Explicit,
    Oid,
    decode,
    elements,
    sequence,
    tag_of,
)
from pkix.content_info import ContentInfo
from pkix.encrypted_keys import EncryptedPrivateKeyInfo
from pkix.errors import Malformed
from pkix.pem import pem_blocks
from pkix.recognised import begins_as_der, text_form

_TIMES = (0x17, 0x18)  # UTCTime, GeneralizedTime
_SEEDS = (32, 64)  # octets of a seed of ML-DSA, of ML-KEM
_PRIVATE, _ENCRYPTED, _PUBLIC = "a private key", "an encrypted private key", "a public key"
_CERTIFICATE, _REQUEST, _CRL, _BAG = "a certificate", "a certificate request", "a CRL", "a PKCS #7 bag"
_PKCS12 = "a PKCS #12 file"
_SEED = "a bare seed; write it as PKCS #8 (ML-KEM: RFC 9935 section 6, ML-DSA: RFC 9881 section 6)"
_OPENSSH = "a private key in OpenSSH's own form"
_LABELS = {
    "PRIVATE KEY": _PRIVATE,
    "RSA PRIVATE KEY": _PRIVATE,
    "EC PRIVATE KEY": _PRIVATE,
    "ENCRYPTED PRIVATE KEY": _ENCRYPTED,
    "OPENSSH PRIVATE KEY": _OPENSSH,
    "PUBLIC KEY": _PUBLIC,
    "RSA PUBLIC KEY": _PUBLIC,
    "CERTIFICATE": _CERTIFICATE,
    "X509 CERTIFICATE": _CERTIFICATE,
    "TRUSTED CERTIFICATE": "a certificate with OpenSSL's trust settings",
    "CERTIFICATE REQUEST": _REQUEST,
    "NEW CERTIFICATE REQUEST": _REQUEST,
    "X509 CRL": _CRL,
    "PKCS7": _BAG,
    "CMS": _BAG,
}
IT_IS_A_CRL = f"it is {_CRL}"
CERTIFICATE_LABELS = tuple(label for label, what in _LABELS.items() if what == _CERTIFICATE)
_ADVICE = {  # by what can be done about it, whatever was expected
    _OPENSSH: "`ssh-keygen -p -m PKCS8 -f FILE` rewrites it",
    _PKCS12: "`openssl pkcs12 -nodes -in FILE` takes it apart",
    _BAG: "`openssl pkcs7 -print_certs -in FILE` takes it apart",
}


@sequence
class Pfx:
    """PKCS #12, RFC 7292 section 4."""

    version: int
    auth_safe: ContentInfo
    mac_data: TLV


@sequence
class _PfxWithoutMac:
    """As `openssl pkcs12 -nomac` writes it."""

    version: int
    auth_safe: ContentInfo


@sequence
class _Signed:
    """Certificate, CertificationRequest and CertificateList are alike."""

    to_be_signed: TLV
    algorithm: AlgorithmIdentifier
    signature: BitString


@sequence
class EcPrivateKey:
    """RFC 5915 section 3; without curve or point it could be read alone, too."""

    version: int
    private_key: bytes
    parameters: Annotated[Oid | None, Explicit(0)]
    public_key: Annotated[BitString | None, Explicit(1)]


@sequence
class RsaPrivateKey:
    """RFC 8017 appendix A.1.2, of two primes."""

    version: int
    modulus: TLV
    public_exponent: TLV
    private_exponent: TLV
    prime1: TLV
    prime2: TLV
    exponent1: TLV
    exponent2: TLV
    coefficient: TLV


def what_file(data: bytes) -> str:
    """Such as "it is a certificate request", with what can be done about it where something can."""
    what = _in_pem(data) or _in_der(data) or _in_text(data)
    advice = _ADVICE.get(what)
    return f"it is {what}" + (f"; {advice}" if advice else "")


def holds_certificate(data: bytes) -> bool:
    """Whether a certificate is in it, perhaps beside others and perhaps a broken one."""
    labels = [label for label, _text in pem_blocks(data)]
    return any(label in CERTIFICATE_LABELS for label in labels) or (_in_pem(data) or _in_der(data)) == _CERTIFICATE


def holds_private_key(data: bytes) -> bool:
    """Whether a private key is in it, perhaps beside other things, encrypted or broken."""
    labels = [label for label, _text in pem_blocks(data)]
    return any("PRIVATE KEY" in label for label in labels) or _in_der(data) in (_PRIVATE, _ENCRYPTED, _PKCS12, _SEED)


def is_pkcs12(data: bytes) -> bool:
    """Whether it has the form of such a file, in DER."""
    return decodes(Pfx, data) or decodes(_PfxWithoutMac, data)


def _in_pem(data: bytes) -> str:
    """By the first block that says something: OpenSSL puts EC PARAMETERS before a key."""
    labels = [label for label, _text in pem_blocks(data)]
    known = [_LABELS[label] for label in labels if label in _LABELS]
    if known or labels:
        return known[0] if known else f"a PEM block of type {labels[0]}"
    return "PEM that is cut short" if b"-----BEGIN " in data else ""


def _in_der(data: bytes) -> str:
    if not begins_as_der(data):
        return _SEED if len(data) in _SEEDS and text_form(data) is None else ""
    kinds: list[tuple[type, str]] = [
        (OneAsymmetricKey, _PRIVATE),
        (RsaPrivateKey, _PRIVATE),
        (EcPrivateKey, _PRIVATE),
        (SubjectPublicKeyInfo, _PUBLIC),
        (EncryptedPrivateKeyInfo, _ENCRYPTED),
        (ContentInfo, _BAG),
    ]
    found = next((words for kind, words in kinds if decodes(kind, data)), _PKCS12 if is_pkcs12(data) else "")
    with contextlib.suppress(Malformed):
        found = found or _signed(decode(_Signed, data, "file").to_be_signed)
    return found or "DER, or something like it, of another kind"


def decodes(kind: type, data: bytes) -> bool:
    """Whether data are DER of a structure of this kind."""
    try:
        decode(kind, data, "file")
    except Malformed:
        return False
    return True


def _signed(value: TLV) -> str:
    """Which of the three: a CRL names times where a certificate has a Validity, and a request ends with [0]."""
    tags = [tag_of(item) for item in elements(value)]
    if any(tag in _TIMES for tag in tags):
        return _CRL
    return _REQUEST if tags[-1:] == [0xA0] else _CERTIFICATE


def _in_text(data: bytes) -> str:
    text = data.strip()
    if not text:
        return "empty"
    if text[:1] == b"{" and b'"kty"' in text:
        return "a JSON Web Key; write it as PEM"
    if text.startswith((b"ssh-", b"ecdsa-sha2-", b"sk-ssh-")):
        return "a public key in OpenSSH's own form"
    if text.startswith(b"PuTTY-User-Key-File"):
        return "a key of PuTTY; export it in PEM"
    form = text_form(data)
    return f"{form}, neither PEM nor DER" if form else "neither PEM nor DER"
