"""Signing X.509 certificates (RFC 5280 section 4.1) over a subject and key given as DER.

`cryptography.x509` builds certificates only for keys it knows, which ML-KEM-512 is not, and encodes a subject anew,
which changes the string types that a client chose. Here both go in as received. Extensions are still its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pkix.asn1 import (
    SEQUENCE_TAG,
    BitString,
    encode,
    explicit,
    wrap,
)
from pkix.certificates import Validity, encode_extension
from pkix.keys import message_digest
from pkix.signatures import SigningKey, certificate_signature_algorithm, sign
from pkix.times import time_of

Extensions = Sequence[x509.Extension[x509.ExtensionType]]


@dataclass(frozen=True)
class Contents:
    """What goes into a certificate. issuer, subject: DER Names. spki: DER SubjectPublicKeyInfo."""

    serial_number: int
    issuer: bytes
    subject: bytes
    spki: bytes
    not_before: datetime
    not_after: datetime
    extensions: Extensions


def encode_certificate(contents: Contents, key: SigningKey) -> bytes:
    """A v3 certificate's DER, signed by the issuer's key."""
    digest = message_digest(key)
    scheme = encode(certificate_signature_algorithm(key, digest))
    tbs_certificate = (
        explicit(0, encode(2)),
        encode(contents.serial_number),
        scheme,
        contents.issuer,
        encode(Validity(not_before=time_of(contents.not_before), not_after=time_of(contents.not_after))),
        contents.subject,
        contents.spki,
        explicit(3, wrap(SEQUENCE_TAG, b"".join(encode_extension(item) for item in contents.extensions))),
    )
    tbs = wrap(SEQUENCE_TAG, b"".join(tbs_certificate))
    _scheme, signature = sign(key, tbs, digest)
    return wrap(SEQUENCE_TAG, tbs + scheme + encode(BitString(signature, 0)))
