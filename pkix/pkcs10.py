"""PKCS #10 certification requests (RFC 2986) with the attributes enrolment uses (RFC 2985).

Reading keeps the request's octets, since its signature, its hash and "the same request again" depend on them.
The subject and the requested extensions are read by `cryptography.x509`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import (
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Attribute,
    BitString,
    Implicit,
    decode,
    elements,
    encode,
    parse,
    sequence,
    tag_of,
)
from pkix.certificates import load_public_key
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.keys import certificate_hash
from pkix.signatures import SigningKey, verify

MAX_ATTRIBUTES = 64

_STRING_CODECS = {
    0x0C: "utf-8",  # UTF8String
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody reads it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


@sequence
class _CertificationRequestInfo:
    version: int
    subject: TLV
    subject_pk_info: TLV
    attributes: Annotated[list[Attribute] | None, Implicit(0)]


@sequence
class _CertificationRequest:
    certification_request_info: TLV
    signature_algorithm: AlgorithmIdentifier
    signature: BitString


@dataclass(frozen=True)
class CertificationRequest:
    """der: the request as received. subject_der: DER Name. spki: DER SubjectPublicKeyInfo.

    challenge_password: its text, or None when the attribute is absent; never shown by repr.
    """

    der: bytes
    subject_der: bytes
    spki: bytes
    challenge_password: str | None
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    signed_der: bytes

    @classmethod
    def decode(cls, der: bytes) -> CertificationRequest:
        """Read DER. The signature is checked by `verify`. Raises Malformed."""
        outer = decode(_CertificationRequest, der, "PKCS #10 request")
        info = parse(outer.certification_request_info, _CertificationRequestInfo, "CertificationRequestInfo")
        return cls(
            der=der,
            subject_der=encode(info.subject),
            spki=encode(info.subject_pk_info),
            challenge_password=_challenge_password(info.attributes or []),
            signature_algorithm=outer.signature_algorithm,
            signature=outer.signature.as_bytes(),
            signed_der=encode(outer.certification_request_info),
        )

    def verify(self, policy: AlgorithmPolicy) -> None:
        """Check the self-signature, which proves possession of a signing key (RFC 2986 section 3 note 2).

        Raises AlgorithmRefused, Malformed, IntegrityFailed.
        """
        try:
            # rsaEncryption as a PKCS #10 signature algorithm names no hash; SHA-256 is never what it meant.
            if self.signature_algorithm.algorithm in (oids.RSA_ENCRYPTION, oids.EC_PUBLIC_KEY):
                raise AlgorithmRefused("the PKCS #10 request's signature algorithm does not name a hash")
            verify(
                self.public_key,
                self.signature_algorithm,
                hashes.SHA256(),
                self.signature,
                self.signed_der,
                policy=policy,
            )
        except IntegrityFailed:
            raise IntegrityFailed("the PKCS #10 request's signature does not verify with its own key") from None

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 (32 octets) of the request's DER."""
        return hashlib.sha256(self.der).digest()

    @cached_property
    def public_key(self) -> PublicKeyTypes:
        """The key to be certified. Raises AlgorithmRefused."""
        return load_public_key(self.spki, "PKCS #10 request")

    @cached_property
    def _x509(self) -> x509.CertificateSigningRequest:
        try:
            return x509.load_der_x509_csr(self.der)
        except ValueError as error:
            raise Malformed(f"PKCS #10 request: {error}") from None

    @cached_property
    def subject(self) -> x509.Name:
        """The subject as a Name. Raises Malformed for string types that no certificate may carry today."""
        try:
            return self._x509.subject
        except ValueError as error:
            raise Malformed(f"PKCS #10 request: unusable subject: {error}") from None

    @cached_property
    def extensions(self) -> x509.Extensions:
        """The requested extensions (extensionRequest). Raises Malformed."""
        try:
            return self._x509.extensions
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise Malformed(f"PKCS #10 request: unusable extensionRequest: {error}") from None

    def __repr__(self) -> str:
        return f"CertificationRequest(sha256={self.hash.hex()[:16]}…)"


def _challenge_password(attributes: list[Attribute]) -> str | None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise Malformed(f"PKCS #10 request: more than {MAX_ATTRIBUTES} attributes")
    found: str | None = None
    for attribute in attributes:
        if tag_of(attribute.values) != SET_TAG:
            raise Malformed(f"PKCS #10 request: attribute {oids.name(attribute.type)} is not a SET of values")
        if attribute.type != oids.CHALLENGE_PASSWORD:
            continue
        values = elements(attribute.values)
        if found is not None or len(values) != 1:
            raise Malformed("PKCS #10 request: challengePassword must appear once, with one value")
        found = _directory_string(values[0])
    return found


def _directory_string(value: TLV) -> str:
    codec = _STRING_CODECS.get(tag_of(value))
    if codec is None:
        raise Malformed("PKCS #10 request: challengePassword is not a DirectoryString")
    try:
        return bytes(value.data).decode(codec)
    except UnicodeDecodeError:
        raise Malformed("PKCS #10 request: challengePassword is not valid text of its string type") from None


def encode_certification_request(
    key: SigningKey,
    subject: x509.Name,
    *,
    challenge_password: str | None = None,
    extensions: list[x509.Extension[x509.ExtensionType]] | None = None,
) -> bytes:
    """A signed request's DER: SHA-256 for RSA and P-256, the curve's matching hash for larger EC keys."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions or ():
        builder = builder.add_extension(extension.value, critical=extension.critical)
    if challenge_password is not None:
        builder = builder.add_attribute(
            x509.ObjectIdentifier(oids.CHALLENGE_PASSWORD.dotted_string), challenge_password.encode()
        )
    return builder.sign(key, certificate_hash(key)).public_bytes(Encoding.DER)
