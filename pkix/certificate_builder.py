"""Signing X.509 certificates (RFC 5280 section 4.1) over a subject and key given as DER.

`cryptography.x509` builds certificates only for keys it knows, which ML-KEM-512 is not, and encodes a subject anew,
which changes the string types that a client chose. Here both go in as received. Extensions are still its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cryptography import x509

from pkix.asn1 import (
    TLV,
    AlgorithmIdentifier,
    BitString,
    Explicit,
    GeneralizedTime,
    UTCTime,
    any_of,
    encode,
    sequence,
)
from pkix.certificates import Extension, encode_extension
from pkix.keys import message_digest
from pkix.signatures import SigningKey, certificate_signature_algorithm, sign

Extensions = Sequence[x509.Extension[x509.ExtensionType]]


@sequence
class _Validity:
    not_before: UTCTime | GeneralizedTime
    not_after: UTCTime | GeneralizedTime


@sequence
class _TbsCertificate:
    version: Annotated[int, Explicit(0)]
    serial_number: int
    signature: AlgorithmIdentifier
    issuer: TLV
    validity: _Validity
    subject: TLV
    subject_public_key_info: TLV
    extensions: Annotated[list[Extension], Explicit(3)]


@sequence
class _Certificate:
    tbs_certificate: TLV
    signature_algorithm: AlgorithmIdentifier
    signature_value: BitString


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
    scheme = certificate_signature_algorithm(key, digest)
    tbs = encode(
        _TbsCertificate(
            version=2,
            serial_number=contents.serial_number,
            signature=scheme,
            issuer=any_of(contents.issuer),
            validity=_Validity(not_before=_time(contents.not_before), not_after=_time(contents.not_after)),
            subject=any_of(contents.subject),
            subject_public_key_info=any_of(contents.spki),
            extensions=[encode_extension(item) for item in contents.extensions],
        )
    )
    _scheme, signature = sign(key, tbs, digest)
    certificate = _Certificate(
        tbs_certificate=any_of(tbs), signature_algorithm=scheme, signature_value=BitString(signature, 0)
    )
    return encode(certificate)


def _time(moment: datetime) -> UTCTime | GeneralizedTime:
    """UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5)."""
    return UTCTime(moment) if moment.year < 2050 else GeneralizedTime(moment)
