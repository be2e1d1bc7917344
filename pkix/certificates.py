"""Certificates as peers send them: the few fields CMS needs, by position and as received (RFC 5280 section 4.1).

`cryptography.x509` refuses some certificates that deployed clients sign with (strings of old types in names,
X.509 v1 with odd encodings). A signer certificate only carries a name and a key here, so that is all this reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from kem.parameters import is_ml_kem
from kem.structures import SubjectPublicKeyInfo
from pkix.asn1 import (
    TLV,
    BitString,
    Explicit,
    GeneralizedTime,
    Implicit,
    Oid,
    UTCTime,
    any_of,
    decode,
    encode,
    parse,
    reason,
    sequence,
)
from pkix.errors import Malformed
from pkix.extensions import Value, encode_parts, find, read_extensions, split_extension
from pkix.names import comparable_der, read_name, same_name
from pkix.pem import encode_pem
from pkix.pss import PublicKey
from pkix.public_keys import load_public_key

_SUBJECT_KEY_IDENTIFIER = Oid("2.5.29.14")


@sequence
class IssuerAndSerialNumber:
    """RFC 5652 section 10.2.4. The issuer is the DER Name as received."""

    issuer: TLV
    serial_number: int


@sequence
class Validity:
    """RFC 5280 section 4.1.2.5."""

    not_before: UTCTime | GeneralizedTime
    not_after: UTCTime | GeneralizedTime


@sequence
class _TbsCertificate:
    version: Annotated[int | None, Explicit(0)]
    serial_number: int
    signature: TLV
    issuer: TLV
    validity: TLV
    subject: TLV
    subject_public_key_info: TLV
    issuer_unique_id: Annotated[BitString | None, Implicit(1)]
    subject_unique_id: Annotated[BitString | None, Implicit(2)]
    extensions: Annotated[list[TLV] | None, Explicit(3)]


@sequence
class _SignedCertificate:
    tbs_certificate: _TbsCertificate
    signature_algorithm: TLV
    signature: BitString


@dataclass(frozen=True)
class Certificate:
    """der: the certificate as received. issuer, subject: DER Names. spki: DER SubjectPublicKeyInfo."""

    der: bytes
    issuer: bytes
    serial_number: int
    subject: bytes
    spki: bytes

    @classmethod
    def decode(cls, der: bytes) -> Certificate:
        """Raises Malformed. The certificate's own signature is not looked at."""
        tbs = decode(_SignedCertificate, der, "certificate").tbs_certificate
        return cls(
            der=der,
            issuer=encode(tbs.issuer),
            serial_number=tbs.serial_number,
            subject=encode(tbs.subject),
            spki=encode(tbs.subject_public_key_info),
        )

    @classmethod
    def of(cls, certificate: AnyCertificate) -> Certificate:
        """The same view of a certificate of our own."""
        if isinstance(certificate, Certificate):
            return certificate
        return cls.decode(certificate.public_bytes(Encoding.DER))

    @classmethod
    def load(cls, der: bytes) -> Certificate:
        """One of a CA, or for ourselves: its names and times can be read, and the extensions that say what it is good
        for. A DEFAULT may be written out. Raises Malformed.
        """
        found = cls.decode(der)
        _check_needed(found)
        for part in ("issuer_name", "subject_name", "not_before", "not_after"):
            getattr(found, part)
        return found

    @property
    def pem(self) -> bytes:
        """The octets as they came, in PEM."""
        return encode_pem("CERTIFICATE", self.der)

    @cached_property
    def issuer_name(self) -> x509.Name:
        """Raises Malformed."""
        return read_name(self.issuer, "certificate: issuer")

    @cached_property
    def subject_name(self) -> x509.Name:
        """Raises Malformed."""
        return read_name(self.subject, "certificate: subject")

    @property
    def not_before(self) -> datetime:
        """Aware, UTC. Raises Malformed."""
        return self._validity.not_before.as_datetime()

    @property
    def not_after(self) -> datetime:
        """Aware, UTC. Raises Malformed."""
        return self._validity.not_after.as_datetime()

    @cached_property
    def public_key(self) -> PublicKey:
        """The subject's key. Raises AlgorithmRefused, Malformed; see `pkix.public_keys`."""
        return load_public_key(self.spki, "certificate")

    @cached_property
    def key_algorithm(self) -> Oid:
        """The OID of the subject's key."""
        return decode(SubjectPublicKeyInfo, self.spki, "SubjectPublicKeyInfo").algorithm.algorithm

    @property
    def is_kem(self) -> bool:
        """Whether the subject's key is an ML-KEM key."""
        return is_ml_kem(self.key_algorithm)

    @cached_property
    def key_hash(self) -> bytes:
        """SHA-256 (32 octets) of the DER SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def subject_key_identifier(self) -> bytes:
        """The extension of that name, else the SHA-1 of the key's BIT STRING (RFC 5280 section 4.2.1.2)."""
        value = self.extension_value(_SUBJECT_KEY_IDENTIFIER)
        return key_identifier(self.spki) if value is None else decode(bytes, value, "subjectKeyIdentifier")

    def extension_value(self, kind: Oid) -> bytes | None:
        """The octets of an extension's extnValue as they came, None if there is none. Raises Malformed."""
        for item in self._extensions:
            oid, _critical, value = split_extension(item, "certificate")
            if oid == kind:
                return value
        return None

    @cached_property
    def extensions(self) -> x509.Extensions:
        """As `pkix.extensions` reads them. Raises Malformed."""
        return read_extensions(self._extensions, "certificate")

    @cached_property
    def _extensions(self) -> list[TLV]:
        return self._tbs.extensions or []

    @cached_property
    def _validity(self) -> Validity:
        return parse(self._tbs.validity, Validity, "certificate: validity")

    @property
    def _tbs(self) -> _TbsCertificate:
        return decode(_SignedCertificate, self.der, "certificate").tbs_certificate

    @cached_property
    def issuer_and_serial(self) -> IssuerAndSerialNumber:
        """How CMS names this certificate."""
        return IssuerAndSerialNumber(issuer=any_of(self.issuer), serial_number=self.serial_number)

    def is_identified_by(self, sid: IssuerAndSerialNumber | bytes) -> bool:
        """Whether the identifier of a signer or recipient means this certificate; bytes are a subjectKeyIdentifier."""
        if not isinstance(sid, bytes):
            return self.is_named_by(sid)
        try:
            return self.subject_key_identifier == sid
        except Malformed:
            return False

    def is_named_by(self, name: IssuerAndSerialNumber) -> bool:
        """Whether an IssuerAndSerialNumber means this certificate; the issuers compare by RFC 5280 section 7.1."""
        return name.serial_number == self.serial_number and same_name(encode(name.issuer), self.issuer)

    @cached_property
    def compared_subject(self) -> str | None:
        """The subject as `pkix.names.comparable_der` has it."""
        return comparable_der(self.subject)


AnyCertificate = Certificate | x509.Certificate


def key_identifier(spki: bytes) -> bytes:
    """SHA-1 (20 octets) of the key's BIT STRING: method 1 of RFC 5280 section 4.2.1.2."""
    info = decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo")
    return hashlib.sha1(info.subject_public_key.as_bytes(), usedforsecurity=False).digest()


def encode_extension(extension: x509.Extension[x509.ExtensionType]) -> bytes:
    """DER of an extension of `cryptography.x509`."""
    return encode_parts(extension.oid, extension.critical, extension.value.public_bytes())


UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate whose names and times can be read, and the extensions that say what it is good for; `cryptography`
    looks at them only when asked. Others may be unreadable, so ask `extension_of`. Raises Malformed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about lengths in names, which are not for us to judge
            certificate = x509.load_der_x509_certificate(der)
            _read_all(certificate)
        _check_needed(certificate)
    except UNREADABLE as error:
        raise Malformed(f"a certificate cannot be read: {reason(error)}") from None
    return certificate


_PARTS = (
    *("serial_number", "issuer", "subject", "not_valid_before_utc", "not_valid_after_utc"),
    "signature_algorithm_oid",
)
_NEEDED = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.NameConstraints)


def _check_needed(certificate: AnyCertificate) -> None:
    """Raises Malformed for an extension without which nobody knows what the certificate is good for."""
    for kind in _NEEDED:
        extension_of(certificate, kind)


def _read_all(certificate: x509.Certificate) -> None:
    for part in _PARTS:
        getattr(certificate, part)
    certificate.subject.rfc4514_string()


def readable(certificates: Iterable[bytes]) -> Iterator[Certificate]:
    """Those that can be read, of certificates in a message, where one that nobody needs may be anything."""
    for der in certificates:
        with contextlib.suppress(Malformed):
            yield Certificate.decode(der)


def is_self_issued(certificate: AnyCertificate) -> bool:
    """Whether it names its subject as its issuer (RFC 5280 section 3.2)."""
    view = Certificate.of(certificate)
    return same_name(view.issuer, view.subject)


def extensions_of(certificate: AnyCertificate) -> x509.Extensions:
    """The extensions of a certificate, also where `cryptography` cannot read all of them. Raises Malformed."""
    try:
        return certificate.extensions
    except UNREADABLE:
        return Certificate.of(certificate).extensions


def extension_of(certificate: AnyCertificate, kind: type[Value]) -> Value | None:
    """The value of a certificate's extension of this kind, None if there is none, whatever the others are. Raises
    Malformed if it cannot be read.
    """
    return find(extensions_of(certificate), kind)
