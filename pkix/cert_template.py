"""CertTemplate: what a certificate should be like, or which one is meant (RFC 4211 section 5).

A request fills in what it wants, a CMP revocation names a certificate by issuer and serialNumber, CMC's modCertTemplate
says what to change. So all fields are read and kept here, and who reads says which are allowed (`pkix.crmf` for
requests). The ASN.1 module has IMPLICIT TAGS, but a tag on the CHOICEs Name and Time is EXPLICIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cryptography import x509

from kem.structures import SubjectPublicKeyInfo
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    AlgorithmIdentifier,
    BitString,
    Explicit,
    GeneralizedTime,
    Implicit,
    UTCTime,
    decode,
    encode,
    explicit,
    number,
    sequence,
    wrap,
)
from pkix.certificate_builder import Extensions
from pkix.certificates import encode_extension
from pkix.errors import Malformed

_ISSUER, _SUBJECT = 3, 5
_SERIAL_NUMBER_TAG, _PUBLIC_KEY_TAG, _EXTENSIONS_TAG = 0x81, 0xA6, 0xA9


@sequence
class _OptionalValidity:
    not_before: Annotated[UTCTime | GeneralizedTime | None, Explicit(0)]
    not_after: Annotated[UTCTime | GeneralizedTime | None, Explicit(1)]


@sequence
class _CertTemplate:
    version: Annotated[int | None, Implicit(0)]
    serial_number: Annotated[int | None, Implicit(1)]
    signing_alg: Annotated[AlgorithmIdentifier | None, Implicit(2)]
    issuer: Annotated[list[TLV] | None, Explicit(_ISSUER)]
    validity: Annotated[_OptionalValidity | None, Implicit(4)]
    subject: Annotated[list[TLV] | None, Explicit(_SUBJECT)]
    public_key: Annotated[SubjectPublicKeyInfo | None, Implicit(6)]
    issuer_uid: Annotated[BitString | None, Implicit(7)]
    subject_uid: Annotated[BitString | None, Implicit(8)]
    extensions: Annotated[list[TLV] | None, Implicit(9)]


@dataclass(frozen=True)
class CertTemplate:
    """issuer, subject: DER Names. public_key: DER SubjectPublicKeyInfo; its BIT STRING is empty where only an algorithm
    is asked for. extensions: DER SEQUENCE OF Extension. not_before, not_after: aware UTC.

    Every field is None if it is absent. other: the names of fields that are there and not kept.
    """

    version: int | None = None
    serial_number: int | None = None
    issuer: bytes | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    subject: bytes | None = None
    public_key: bytes | None = None
    extensions: bytes | None = None
    other: tuple[str, ...] = ()

    @classmethod
    def decode(cls, der: bytes) -> CertTemplate:
        """Raises Malformed."""
        found = decode(_CertTemplate, der, "CertTemplate")
        if found.version not in (None, 2):
            raise Malformed(f"CertTemplate: version {number(found.version or 0)} is not 2 (RFC 4211 section 5)")
        if found.validity is not None and found.validity.not_before is None and found.validity.not_after is None:
            raise Malformed("CertTemplate: a validity with neither notBefore nor notAfter (RFC 4211 section 5)")
        if found.extensions is not None and not found.extensions:
            raise Malformed("CertTemplate: extensions without one (RFC 5280 section 4.1)")
        unkept = {
            "signingAlg": found.signing_alg,
            "issuerUID": found.issuer_uid,
            "subjectUID": found.subject_uid,
        }
        return cls(
            version=found.version,
            serial_number=found.serial_number,
            issuer=_sequence_of(found.issuer),
            not_before=_moment(found.validity.not_before) if found.validity else None,
            not_after=_moment(found.validity.not_after) if found.validity else None,
            subject=_sequence_of(found.subject),
            public_key=None if found.public_key is None else encode(found.public_key),
            extensions=_sequence_of(found.extensions),
            other=tuple(name for name, value in unkept.items() if value is not None),
        )


def _sequence_of(members: list[TLV] | None) -> bytes | None:
    return None if members is None else wrap(SEQUENCE_TAG, b"".join(encode(item) for item in members))


def _moment(time: UTCTime | GeneralizedTime | None) -> datetime | None:
    return None if time is None else time.as_datetime()


def encode_cert_template(
    *,
    serial_number: int | None = None,
    issuer: x509.Name | None = None,
    subject: x509.Name | None = None,
    public_key: bytes | None = None,
    extensions: Extensions = (),
) -> bytes:
    """DER of a CertTemplate with the fields that are given. public_key: DER SubjectPublicKeyInfo."""
    parts = [] if serial_number is None else [_retagged(_SERIAL_NUMBER_TAG, encode(serial_number))]
    parts += [] if issuer is None else [explicit(_ISSUER, issuer.public_bytes())]
    parts += [] if subject is None else [explicit(_SUBJECT, subject.public_bytes())]
    parts += [] if public_key is None else [_retagged(_PUBLIC_KEY_TAG, public_key)]
    parts += [wrap(_EXTENSIONS_TAG, b"".join(map(encode_extension, extensions)))] if extensions else []
    return wrap(SEQUENCE_TAG, b"".join(parts))


def _retagged(tag: int, der: bytes) -> bytes:
    """IMPLICIT: another tag in place of the one that the value has."""
    return bytes((tag,)) + der[1:]
