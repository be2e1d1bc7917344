"""CMS SignedData with one signer and signed attributes, and the degenerate forms without a signer (RFC 5652 section 5).

`SignedData.decode` reads content of any type, `verify` checks, `encode_signed_data` makes. Where id-alg-noSignature
stands in place of a signature, `verify` refuses; who wants the content nevertheless says so by `check_unsigned`.
Reading and checking are apart because a responder must answer a message whose signature is wrong, and needs its
attributes to do so.

Left out, because no enrolment protocol here uses them: several signers, SignerInfo without signed attributes,
attribute certificates, unsigned attributes on output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, check_key, digest_oid
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Implicit,
    Oid,
    algorithm,
    any_of,
    attribute,
    decode,
    elements,
    encode,
    has_more_than,
    octet_string,
    parameters_der,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.attributes import Attributes, check_content_type, check_message_digest, decode_attributes, mandatory
from pkix.ber import read_ber
from pkix.certificates import Certificate, IssuerAndSerialNumber, readable
from pkix.content_info import ContentInfo, EncapsulatedContentInfo, encode_content_info, encode_encapsulated
from pkix.errors import IntegrityFailed, Malformed, shortened
from pkix.names import name_text, read_name
from pkix.pss import PublicKey
from pkix.signature_slips import Refused, find_slip
from pkix.signatures import SigningKey, hash_of_scheme, sign, verify
from pkix.times import time_of

SIGNED_ATTRS_TAG = 0xA0
_CERTIFICATES_TAG = 0xA0
_CRLS_TAG = 0xA1
MAX_CERTIFICATES = 32
MAX_CERTIFICATES_LENGTH = 256 * 1024  # octets of all of them
MAX_CRLS = 4
MAX_SIGNER_LENGTH = 64 * 1024  # octets of signerInfos, attributes included
_SHOWN = 3  # certificates that a text names
_MAX_SHOWN, _MAX_SHOWN_NAME = 64, 512  # characters of a number or name in a text; octets of a Name that is shown
_V1, _V3 = 1, 3  # CMSVersion (RFC 5652 sections 5.1 and 5.3)
NULL = b"\x05\x00"


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

    signer: None in the degenerate form. names: what a protocol calls signed attributes of its own in texts.
    """

    content_type: Oid
    content: bytes | None
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    signer: SignerInfo | None
    names: Mapping[Oid, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def decode(cls, content_info: bytes, *, names: Mapping[Oid, str] | None = None) -> SignedData:
        """Read a ContentInfo with SignedData in DER or BER. Raises Malformed."""
        found = read_ber(cls._decode_der, content_info)
        return replace(found, names=names) if names else found

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
        for certificate in (*readable(self.certificates), *known):
            if certificate.is_identified_by(sid):
                return certificate
        raise Malformed(_no_signer(sid, self.certificates, known))

    @cached_property
    def attributes(self) -> Attributes:
        """The signed attributes: type to its one value. Raises Malformed; see `decode_attributes`."""
        if self.signer is None:
            raise Malformed("SignedData has no SignerInfo")
        return decode_attributes(self.signer.signed_attrs, "signed", names=self.names)

    def verify(self, signer: Certificate | PublicKey, policy: AlgorithmPolicy) -> None:
        """Verify the signer's signature, and contentType and messageDigest.

        signer: the certificate, or the key of somebody who has none yet; whether it is the one that `sid` names is the
        caller's concern. Raises AlgorithmRefused, for id-alg-noSignature whoever the signer is, Malformed and
        IntegrityFailed (RFC 5652 sections 5.4 to 5.6, 11.1, 11.2).
        """
        attributes = self.attributes
        assert self.signer is not None
        key = signer.public_key if isinstance(signer, Certificate) else signer
        check_key(key, "signer certificate" if isinstance(signer, Certificate) else "signer's key", policy=policy)
        digest = policy.digest(self.signer.digest_algorithm.algorithm)
        self._check_content(attributes, digest)
        _verify_attributes(self.signer, key, digest, policy, self.content)

    @property
    def is_unsigned(self) -> bool:
        """Whether id-alg-noSignature stands in place of a signature: nobody has signed this."""
        return self.signer is not None and self.signer.signature_algorithm.algorithm == oids.NO_SIGNATURE

    def check_unsigned(self, policy: AlgorithmPolicy) -> bytes:
        """The subjectKeyIdentifier that a SignedData with id-alg-noSignature claims, which proves nothing.

        contentType and messageDigest must fit the content, so that it is what the sender made of it; the value in place
        of the signature, a hash that anybody can make, is not looked at. Raises Malformed if there is a signature or
        none is meant, AlgorithmRefused, IntegrityFailed (RFC 10002 appendix C.1).
        """
        attributes = self.attributes
        assert self.signer is not None
        if not self.is_unsigned:
            raise Malformed("SignerInfo has a signature, not id-alg-noSignature")
        if parameters_der(self.signer.signature_algorithm) != NULL:
            raise Malformed("id-alg-noSignature: the parameters must be NULL (RFC 10002 appendix C.1)")
        if not isinstance(self.signer.sid, bytes):
            raise Malformed("id-alg-noSignature: the signer must be a subjectKeyIdentifier (RFC 10002 appendix C.1)")
        self._check_content(attributes, policy.digest(self.signer.digest_algorithm.algorithm))
        return self.signer.sid

    def _check_content(self, attributes: Mapping[Oid, TLV], digest: hashes.HashAlgorithm) -> None:
        check_content_type(attributes, self.content_type, "signed")
        check_message_digest(attributes, self.content, digest, "signed")


def _no_signer(sid: IssuerAndSerialNumber | bytes, certificates: Sequence[bytes], known: Sequence[Certificate]) -> str:
    """What to say if no certificate is the one that SignerInfo names."""
    if not certificates and not known:
        return "SignedData has no certificates; that of the signer belongs there"
    found = [*readable(certificates), *known]
    shown = [_shown(_identifier(item, sid)) for item in found[:_SHOWN]]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    at_hand = "; ".join([*shown, *more]) or "none that can be read"
    begin = "no certificate in SignedData matches the SignerInfo's signer identifier"
    return f"{begin}, {_shown(sid)}; certificates at hand: {at_hand}"


def _identifier(certificate: Certificate, sid: IssuerAndSerialNumber | bytes) -> IssuerAndSerialNumber | bytes:
    """Of the same kind as `sid`."""
    try:
        return certificate.subject_key_identifier if isinstance(sid, bytes) else certificate.issuer_and_serial
    except Malformed:
        return b""


def _shown(sid: IssuerAndSerialNumber | bytes) -> str:
    """A signer identifier in words, of bounded length."""
    if isinstance(sid, bytes):
        return f"subjectKeyIdentifier {shortened(sid.hex(), _MAX_SHOWN)}"
    issuer = encode(sid.issuer)
    try:
        name = name_text(read_name(issuer, "issuer")) if len(issuer) <= _MAX_SHOWN_NAME else ""
    except Malformed:
        name = ""
    whose = f"of issuer {shortened(name, _MAX_SHOWN)}" if name else "of an issuer that cannot be shown"
    return f"serial number {shortened(f'{sid.serial_number:x}', _MAX_SHOWN)} {whose}"


def _verify_attributes(
    signer: SignerInfo, key: PublicKey, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy, content: bytes | None
) -> None:
    """The signature covers the DER of the attributes as SET OF. Some clients (Apple) send and sign them in an
    order that is not DER's; the octets as they came are tried first, then the sorted ones.
    """
    scheme, signature, tagged = signer.signature_algorithm, signer.signature, encode(signer.signed_attrs)
    received = bytes((SET_TAG,)) + tagged[1:]
    ordered = set_of(encode(item) for item in elements(signer.signed_attrs))
    failed: IntegrityFailed | None = None
    for octets in (received,) if ordered == received else (received, ordered):
        try:
            return verify(key, scheme, digest, signature, octets, policy=policy)
        except IntegrityFailed as error:
            failed = error
    assert failed is not None
    refused = Refused(key, scheme, hash_of_scheme(scheme, digest, policy), signature, tagged, content)
    slip = find_slip(refused)
    raise IntegrityFailed(f"{failed.text}: {slip}") if slip else failed


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


class Signs(Protocol):
    """Who makes a SignerInfo: Signer, KeySigner, NoSigner."""

    @property
    def sid(self) -> IssuerAndSerialNumber | bytes:
        """How the SignerInfo names it; bytes are a subjectKeyIdentifier."""

    def digest(self, wanted: hashes.HashAlgorithm) -> hashes.HashAlgorithm:
        """The digest of the content, if `wanted` is the usual one."""

    def sign(self, data: bytes, digest: hashes.HashAlgorithm) -> tuple[AlgorithmIdentifier, bytes]:
        """signatureAlgorithm and signature over `data`, the DER of the signed attributes."""


class _Keyed:
    """What Signer and KeySigner do with their key."""

    key: SigningKey
    pss: bool

    def digest(self, wanted: hashes.HashAlgorithm) -> hashes.HashAlgorithm:
        """See Signs. Ed25519 and ML-DSA signers always use SHA-512 (RFC 8419 section 3, RFC 9882 section 3.3)."""
        return wanted if isinstance(self.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else hashes.SHA512()

    def sign(self, data: bytes, digest: hashes.HashAlgorithm) -> tuple[AlgorithmIdentifier, bytes]:
        """See Signs."""
        return sign(self.key, data, digest, pss=self.pss)


@dataclass(frozen=True)
class Signer(_Keyed):
    """Who signs: a private key, its certificate, and how.

    pss: RSASSA-PSS instead of PKCS #1 v1.5. by_key: named by subjectKeyIdentifier instead of issuer and serial number.
    """

    key: SigningKey
    certificate: Certificate
    pss: bool = False
    by_key: bool = False

    @property
    def sid(self) -> IssuerAndSerialNumber | bytes:
        """See Signs."""
        return self.certificate.subject_key_identifier if self.by_key else self.certificate.issuer_and_serial

    def __repr__(self) -> str:
        return f"Signer(key=<redacted>, serial={self.certificate.serial_number:x})"


@dataclass(frozen=True)
class KeySigner(_Keyed):
    """Who signs with a key that has no certificate yet (RFC 10002 section 3.2).

    identifier: octets of the subjectKeyIdentifier that it is to have. pss: RSASSA-PSS instead of PKCS #1 v1.5.
    """

    key: SigningKey
    identifier: bytes
    pss: bool = False

    @property
    def sid(self) -> bytes:
        """See Signs."""
        return self.identifier

    def __repr__(self) -> str:
        return f"KeySigner(key=<redacted>, identifier={self.identifier.hex()})"


@dataclass(frozen=True)
class NoSigner:
    """Nobody: id-alg-noSignature, for a requester whose only key cannot sign (RFC 10002 appendix C.1).

    identifier: octets of the subjectKeyIdentifier that the key is to have.
    """

    identifier: bytes

    @property
    def sid(self) -> bytes:
        """See Signs."""
        return self.identifier

    def digest(self, wanted: hashes.HashAlgorithm) -> hashes.HashAlgorithm:
        """See Signs."""
        return wanted

    def sign(self, data: bytes, digest: hashes.HashAlgorithm) -> tuple[AlgorithmIdentifier, bytes]:
        """NoSignatureValue, an OCTET STRING in DER. Its hash is SHA-1, the one that RFC 10002's module gives the
        algorithm; as it secures nothing, it need not be a better one.
        """
        value = hashlib.sha1(data, usedforsecurity=False).digest()
        return algorithm(oids.NO_SIGNATURE, NULL), octet_string(value)


def encode_signed_data(
    content: bytes | None,
    attributes: Sequence[tuple[Oid, bytes]],
    signer: Signs,
    digest: hashes.HashAlgorithm,
    *,
    certificates: Sequence[bytes],
    now: datetime,
    content_type: Oid = oids.DATA,
) -> bytes:
    """ContentInfo with SignedData by one signer.

    content: octets of eContent, or None to omit it. content_type: eContentType. attributes: (type, DER value), to which
    contentType, messageDigest and signingTime (`now`, aware UTC) are added. certificates: DER each, included as given.
    digest: see `Signs.digest`.
    """
    digest = signer.digest(digest)
    digest_algorithm = algorithm(digest_oid(digest))
    signing_time = encode(time_of(now.replace(microsecond=0)))
    signed = [*mandatory(content_type, content, digest), (oids.SIGNING_TIME, signing_time), *attributes]
    to_sign = set_of(attribute(kind, value) for kind, value in signed)
    scheme, signature = signer.sign(to_sign, digest)
    info = SignerInfo(
        version=_V3 if isinstance(signer.sid, bytes) else _V1,
        sid=signer.sid,
        digest_algorithm=digest_algorithm,
        signed_attrs=any_of(bytes((SIGNED_ATTRS_TAG,)) + to_sign[1:]),
        signature_algorithm=scheme,
        signature=signature,
        unsigned_attrs=None,
    )
    # Version 3 as soon as a SignerInfo has it, or for other content than data; no attribute certificates here.
    version = info.version if content_type == oids.DATA else _V3
    return _encode(
        version,
        encode_encapsulated(content_type, content),
        certificates=certificates,
        digest_algorithms=[encode(digest_algorithm)],
        signer_infos=[encode(info)],
    )


def encode_degenerate(certificates: Sequence[bytes] = (), crls: Sequence[bytes] = ()) -> bytes:
    """Certificates-only (or CRL-only) SignedData without content or signers (RFC 8894 section 3.4).

    The certificates keep their order: deployed clients take the first for the leaf.
    """
    return _encode(_V1, encode_encapsulated(oids.DATA, None), certificates=certificates, crls=crls)


def _encode(
    version: int,
    encapsulated: bytes,
    *,
    certificates: Sequence[bytes] = (),
    crls: Sequence[bytes] = (),
    digest_algorithms: Sequence[bytes] = (),
    signer_infos: Sequence[bytes] = (),
) -> bytes:
    """ContentInfo with SignedData (RFC 5652 section 5.1) from its encoded parts."""
    signed_data = (
        encode(version),
        set_of(digest_algorithms),
        encapsulated,
        wrap(_CERTIFICATES_TAG, b"".join(certificates)) if certificates else b"",
        wrap(_CRLS_TAG, b"".join(crls)) if crls else b"",
        set_of(signer_infos),
    )
    return encode_content_info(oids.SIGNED_DATA, wrap(SEQUENCE_TAG, b"".join(signed_data)))
