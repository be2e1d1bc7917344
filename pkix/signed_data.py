"""CMS SignedData with one signer and signed attributes, and the degenerate forms without a signer (RFC 5652 section 5).

`SignedData.decode` reads, `verify` checks, `encode_signed_data` makes. Reading and checking are apart because a
responder must answer a message whose signature is wrong, and needs its attributes to do so.

Left out, because no enrolment protocol here uses them: several signers, SignerInfo without signed attributes,
attribute certificates, unsigned attributes on output.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, check_key, digest_oid
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Explicit,
    GeneralizedTime,
    Implicit,
    Oid,
    SetOf,
    UTCTime,
    algorithm,
    any_of,
    attribute,
    decode,
    elements,
    encode,
    encode_oid,
    explicit,
    has_more_than,
    octet_string,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.ber import read_ber
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.errors import IntegrityFailed, Malformed
from pkix.signatures import SigningKey, sign, verify

SIGNED_ATTRS_TAG = 0xA0
_CERTIFICATES_TAG = 0xA0
_CRLS_TAG = 0xA1
MAX_CERTIFICATES = 32
MAX_CERTIFICATES_LENGTH = 256 * 1024  # octets of all of them
MAX_CRLS = 4
MAX_SIGNER_LENGTH = 64 * 1024  # octets of signerInfos, attributes included
MAX_ATTRIBUTES = 64


@sequence
class ContentInfo:
    """RFC 5652 section 3."""

    content_type: Oid
    content: Annotated[TLV, Explicit(0)]


def encode_content_info(content_type: Oid, content: bytes) -> bytes:
    """DER of a ContentInfo. content: DER."""
    return wrap(SEQUENCE_TAG, encode_oid(content_type) + explicit(0, content))


@sequence
class EncapsulatedContentInfo:
    """RFC 5652 section 5.2."""

    e_content_type: Oid
    e_content: Annotated[bytes | None, Explicit(0)]


@sequence
class SignerInfo:
    """RFC 5652 section 5.3. signedAttrs is mandatory here and keeps its octets, since they are what is signed."""

    version: int
    sid: IssuerAndSerialNumber | Annotated[bytes, Implicit(0)]
    digest_algorithm: AlgorithmIdentifier
    signed_attrs: TLV
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    unsigned_attrs: Annotated[list[TLV] | None, Implicit(1)]


@sequence
class _SignedAttribute:
    """RFC 5652 section 5.3. A SET OF is read only in DER order, but none here has more than one value."""

    type: Oid
    values: SetOf[TLV]


@sequence
class _SignedAttributes:
    """signedAttrs inside a SEQUENCE of our own. The order is the sender's."""

    attributes: Annotated[list[_SignedAttribute], Implicit(0)]


@sequence
class _SignedData:
    version: int
    digest_algorithms: TLV
    encap_content_info: EncapsulatedContentInfo
    certificates: Annotated[list[TLV] | None, Implicit(0)]
    crls: Annotated[list[TLV] | None, Implicit(1)]
    signer_infos: TLV


@dataclass(frozen=True)
class SignedData:
    """content_type and content: eContentType and eContent (None when absent). certificates, crls: DER each.
    signer: None in the degenerate form.
    """

    content_type: Oid
    content: bytes | None
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    signer: SignerInfo | None

    @classmethod
    def decode(cls, content_info: bytes) -> SignedData:
        """Read a ContentInfo with SignedData in DER or BER. Raises Malformed."""
        return read_ber(cls._decode_der, content_info)

    @classmethod
    def _decode_der(cls, content_info: bytes) -> SignedData:
        outer = decode(ContentInfo, content_info, "ContentInfo")
        if outer.content_type != oids.SIGNED_DATA:
            raise Malformed(f"ContentInfo holds {oids.name(outer.content_type)}, not SignedData")
        _check_sizes(outer.content)
        inner = parse(outer.content, _SignedData, "SignedData")
        certificates = [encode(item) for item in inner.certificates or () if tag_of(item) == SEQUENCE_TAG]
        return cls(
            content_type=inner.encap_content_info.e_content_type,
            content=inner.encap_content_info.e_content,
            certificates=tuple(certificates),
            crls=tuple(encode(item) for item in inner.crls or ()),
            signer=_only_signer(inner.signer_infos),
        )

    def signer_certificate(self, known: Sequence[Certificate] = ()) -> Certificate:
        """The certificate that SignerInfo.sid names, from the message or else from `known`.

        `known` is for peers such as NDES that send no certificate. Raises Malformed if there is none.
        """
        if self.signer is None:
            raise Malformed("SignedData has no SignerInfo")
        sid = self.signer.sid
        for certificate in [*map(Certificate.decode, self.certificates), *known]:
            if isinstance(sid, bytes):
                if certificate.subject_key_identifier == sid:
                    return certificate
            elif certificate.is_named_by(sid):
                return certificate
        raise Malformed("no certificate in SignedData matches the SignerInfo's signer identifier")

    @cached_property
    def attributes(self) -> Mapping[Oid, TLV]:
        """The signed attributes: type to its one value. Raises Malformed on a repeated type or not one value."""
        if self.signer is None:
            raise Malformed("SignedData has no SignerInfo")
        found: dict[Oid, TLV] = {}
        wrapped = wrap(SEQUENCE_TAG, encode(self.signer.signed_attrs))
        received = decode(_SignedAttributes, wrapped, "signedAttrs").attributes
        if len(received) > MAX_ATTRIBUTES:
            raise Malformed(f"more than {MAX_ATTRIBUTES} signed attributes")
        for item in received:
            values = item.values.as_list()
            if item.type in found or len(values) != 1:
                raise Malformed(f"signed attribute {oids.name(item.type)} does not have exactly one value")
            found[item.type] = values[0]
        return found

    def verify(self, certificate: Certificate, policy: AlgorithmPolicy) -> None:
        """Verify the signer's signature with `certificate`'s key, and contentType and messageDigest.

        Raises AlgorithmRefused, Malformed, IntegrityFailed (RFC 5652 sections 5.4 to 5.6, 11.1, 11.2).
        """
        attributes = self.attributes
        assert self.signer is not None
        check_key(certificate.public_key, "signer certificate", policy=policy)
        digest = policy.digest(self.signer.digest_algorithm.algorithm)
        content_type = attributes.get(oids.CONTENT_TYPE)
        if content_type is None or parse(content_type, Oid, "contentType") != self.content_type:
            raise IntegrityFailed("the signed attribute contentType is missing or differs from eContentType")
        claimed = attributes.get(oids.MESSAGE_DIGEST)
        actual = _hash(digest, self.content or b"")
        if claimed is None:
            raise IntegrityFailed("the signed attribute messageDigest is missing")
        if not hmac.compare_digest(parse(claimed, bytes, "messageDigest"), actual):
            raise IntegrityFailed("the signed attribute messageDigest does not fit the content")
        _verify_attributes(self.signer, certificate, digest, policy)


def _verify_attributes(
    signer: SignerInfo, certificate: Certificate, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy
) -> None:
    """The signature covers the DER of the attributes as SET OF. Some clients (Apple) send and sign them in an
    order that is not DER's; the octets as they came are tried first, then the sorted ones.
    """
    received = bytes((SET_TAG,)) + encode(signer.signed_attrs)[1:]
    try:
        _verify_octets(signer, certificate, digest, policy, received)
    except IntegrityFailed:
        ordered = set_of(encode(item) for item in elements(signer.signed_attrs))
        if ordered == received:
            raise
        _verify_octets(signer, certificate, digest, policy, ordered)


def _verify_octets(
    signer: SignerInfo, certificate: Certificate, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy, signed: bytes
) -> None:
    scheme = signer.signature_algorithm
    verify(certificate.public_key, scheme, digest, signer.signature, signed, policy=policy)


def _check_sizes(signed_data: TLV) -> None:
    """Before an object is made for every value: how many there are, and how large they may be. Raises Malformed.

    A CRL may be of any size, because a CA may have revoked any number of certificates.
    """
    for member in elements(signed_data):
        tag, contents = tag_of(member), bytes(member.data)
        if tag == _CERTIFICATES_TAG:
            if has_more_than(MAX_CERTIFICATES, contents):
                raise Malformed(f"SignedData holds more than {MAX_CERTIFICATES} certificates")
            if len(contents) > MAX_CERTIFICATES_LENGTH:
                raise Malformed(f"SignedData holds more than {MAX_CERTIFICATES_LENGTH} octets of certificates")
        if tag == _CRLS_TAG and has_more_than(MAX_CRLS, contents):
            raise Malformed(f"SignedData holds more than {MAX_CRLS} CRLs")
        if tag == SET_TAG and len(contents) > MAX_SIGNER_LENGTH:
            raise Malformed(f"SignedData holds more than {MAX_SIGNER_LENGTH} octets of signers or attributes")


def _only_signer(signer_infos: TLV) -> SignerInfo | None:
    if tag_of(signer_infos) != SET_TAG:
        raise Malformed("signerInfos is not a SET")
    found = elements(signer_infos)
    if not found:
        return None
    if len(found) > 1:
        raise Malformed("SignedData has more than one SignerInfo")
    try:
        signer = parse(found[0], SignerInfo, "SignerInfo")
    except Malformed:
        if len(elements(found[0])) == 5:
            raise Malformed("SignerInfo has no signed attributes (authenticatedAttributes)") from None
        raise
    if tag_of(signer.signed_attrs) != SIGNED_ATTRS_TAG:
        raise Malformed("SignerInfo has no signed attributes (authenticatedAttributes)")
    return signer


def _hash(digest: hashes.HashAlgorithm, data: bytes) -> bytes:
    context = hashes.Hash(digest)
    context.update(data)
    return context.finalize()


@dataclass(frozen=True)
class Signer:
    """Who signs: a private key, its certificate, and how. pss: RSASSA-PSS instead of PKCS #1 v1.5."""

    key: SigningKey
    certificate: Certificate
    pss: bool = False

    def __repr__(self) -> str:
        return f"Signer(key=<redacted>, serial={self.certificate.serial_number:x})"


def encode_signed_data(
    content: bytes | None,
    attributes: Sequence[tuple[Oid, bytes]],
    signer: Signer,
    digest: hashes.HashAlgorithm,
    *,
    certificates: Sequence[bytes],
    now: datetime,
) -> bytes:
    """ContentInfo with SignedData over id-data content.

    content: octets of eContent, or None to omit it. attributes: (type, DER value), to which contentType,
    messageDigest and signingTime (`now`, aware UTC) are added. certificates: DER each, included as given.
    Ed25519 and ML-DSA signers always use SHA-512 (RFC 8419 section 3, RFC 9882 section 3.3).
    """
    if not isinstance(signer.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        digest = hashes.SHA512()
    digest_algorithm = algorithm(digest_oid(digest))
    signed = [
        (oids.CONTENT_TYPE, encode_oid(oids.DATA)),
        (oids.SIGNING_TIME, encode(_time(now.replace(microsecond=0)))),
        (oids.MESSAGE_DIGEST, octet_string(_hash(digest, content or b""))),
        *attributes,
    ]
    to_sign = set_of(attribute(kind, value) for kind, value in signed)
    scheme, signature = sign(signer.key, to_sign, digest, pss=signer.pss)
    info = SignerInfo(
        version=1,
        sid=signer.certificate.issuer_and_serial,
        digest_algorithm=digest_algorithm,
        signed_attrs=any_of(bytes((SIGNED_ATTRS_TAG,)) + to_sign[1:]),
        signature_algorithm=scheme,
        signature=signature,
        unsigned_attrs=None,
    )
    return _encode(content, certificates, (), [encode(digest_algorithm)], [encode(info)])


def _time(moment: datetime) -> UTCTime | GeneralizedTime:
    """UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5652 section 11.3)."""
    return UTCTime(moment) if moment.year < 2050 else GeneralizedTime(moment)


def encode_degenerate(certificates: Sequence[bytes] = (), crls: Sequence[bytes] = ()) -> bytes:
    """Certificates-only (or CRL-only) SignedData without content or signers (RFC 8894 section 3.4).

    The certificates keep their order: deployed clients take the first for the leaf.
    """
    return _encode(None, certificates, crls, [], [])


def _encode(
    content: bytes | None,
    certificates: Sequence[bytes],
    crls: Sequence[bytes],
    digest_algorithms: Sequence[bytes],
    signer_infos: Sequence[bytes],
) -> bytes:
    """ContentInfo with SignedData (RFC 5652 section 5.1) from its encoded parts."""
    e_content = b"" if content is None else explicit(0, octet_string(content))
    signed_data = (
        encode(1),
        set_of(digest_algorithms),
        wrap(SEQUENCE_TAG, encode_oid(oids.DATA) + e_content),
        wrap(_CERTIFICATES_TAG, b"".join(certificates)) if certificates else b"",
        wrap(_CRLS_TAG, b"".join(crls)) if crls else b"",
        set_of(signer_infos),
    )
    return encode_content_info(oids.SIGNED_DATA, wrap(SEQUENCE_TAG, b"".join(signed_data)))
