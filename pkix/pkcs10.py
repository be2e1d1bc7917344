"""PKCS #10 certification requests (RFC 2986) with the attributes enrolment uses (RFC 2985).

Reading keeps the request's octets, since its signature, its hash and "the same request again" depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from cryptography import x509

from kem.keys import decode_public_key
from kem.structures import SubjectPublicKeyInfo
from kem.weak_keys import check_strength
from pkix import oids
from pkix.algorithms import AlgorithmPolicy, check_key
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    AlgorithmIdentifier,
    Attribute,
    BitString,
    Implicit,
    Null,
    Oid,
    algorithm,
    any_of,
    attribute,
    decode,
    elements,
    encode,
    number,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.attribute_types import STRING_CODECS
from pkix.attributes import values_of
from pkix.certificate_builder import Extensions
from pkix.certificates import (
    Certificate,
    IssuerAndSerialNumber,
    encode_extension,
)
from pkix.errors import Malformed
from pkix.keys import message_digest, spki_of
from pkix.pss import PublicKey
from pkix.requests import Form, Requested, verify_proof
from pkix.signatures import SigningKey, certificate_signature_algorithm, sign

_ATTRIBUTES_TAG = 0xA0
MAX_ATTRIBUTES = 64
# RFC 2986 section 4.1 has version 0 alone; Apple sent 1 (2016) and Cisco Meraki sends 2, and nothing differs in them.
_VERSIONS = (0, 1, 2)

_DIRECTORY_STRINGS = frozenset({0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E})  # and IA5String, which clients write too
_EXTENSION_REQUESTS = frozenset({oids.EXTENSION_REQUEST, oids.MS_EXTENSION_REQUEST})
_SINGLE_VALUED = frozenset(
    {
        oids.CHALLENGE_PASSWORD,
        *_EXTENSION_REQUESTS,
        oids.STATEMENT_OF_POSSESSION,
    }
)


@sequence
class _CertificationRequestInfo:
    version: int
    subject: TLV
    subject_pk_info: TLV
    attributes: Annotated[list[Attribute] | None, Implicit(0)]


@sequence
class _BareInfo:
    """The same, whatever the attributes are."""

    version: int
    subject: TLV
    subject_pk_info: TLV
    attributes: Null | TLV | None


@sequence
class _CertificationRequest:
    certification_request_info: TLV
    signature_algorithm: AlgorithmIdentifier
    signature: BitString


@sequence
class PrivateKeyPossessionStatement:
    """RFC 9883 section 4."""

    signer: IssuerAndSerialNumber
    certificate: Null | TLV | None


@dataclass(frozen=True, repr=False)
class CertificationRequest(Requested):
    """der: the request as received. subject_der: DER Name. spki: DER SubjectPublicKeyInfo. key_algorithm: its OID.

    attributes: type to DER value of each attribute; the secrets among them are never shown by repr.
    challenge_password: its text, or None when the attribute is absent.
    """

    what = "PKCS #10 request"
    where = "extensionRequest"
    der: bytes
    subject_der: bytes
    spki: bytes
    key_algorithm: Oid
    attributes: Mapping[Oid, bytes]
    challenge_password: str | None
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    signed_der: bytes

    @classmethod
    def decode(cls, der: bytes, *, single_valued: Mapping[Oid, str] | None = None) -> CertificationRequest:
        """Read DER. The signature is checked by `verify`. Raises Malformed.

        single_valued: attributes of a protocol that must not be there twice, and what it calls them in texts.
        """
        request = cls.decode_bare(der)
        info = decode(_CertificationRequestInfo, request.signed_der, "CertificationRequestInfo")
        if info.version not in _VERSIONS:
            raise Malformed(f"PKCS #10 request: version {number(info.version)} is not 0 (RFC 2986 section 4.1)")
        attributes = _attributes(info.attributes or [], single_valued or {})
        return replace(request, attributes=attributes, challenge_password=_challenge_password(attributes))

    @classmethod
    def decode_bare(cls, der: bytes) -> CertificationRequest:
        """Read DER without looking at the attributes, as if there were none. Raises Malformed."""
        outer = decode(_CertificationRequest, der, "PKCS #10 request")
        if outer.signature.padding_bits():
            raise Malformed("PKCS #10 request: the signature is not a whole number of octets")
        info = parse(outer.certification_request_info, _BareInfo, "CertificationRequestInfo")
        key = parse(info.subject_pk_info, SubjectPublicKeyInfo, "PKCS #10 request: subjectPKInfo")
        return cls(
            der=der,
            subject_der=encode(info.subject),
            spki=encode(info.subject_pk_info),
            key_algorithm=key.algorithm.algorithm,
            attributes={},
            challenge_password=None,
            signature_algorithm=outer.signature_algorithm,
            signature=outer.signature.as_bytes(),
            signed_der=encode(outer.certification_request_info),
        )

    @property
    def syntax(self) -> str:
        """What the request is written in, beside other kinds of requests."""
        return "pkcs10"

    @property
    def form(self) -> Form:
        """What its signature is worth."""
        if self.signature_algorithm.algorithm in (oids.UNSIGNED, oids.NO_SIGNATURE):
            return Form.unsigned
        return Form.statement if oids.STATEMENT_OF_POSSESSION in self.attributes else Form.self_signed

    @property
    def statement(self) -> PrivateKeyPossessionStatement | None:
        """The statement of possession, or None. Raises Malformed."""
        der = self.attributes.get(oids.STATEMENT_OF_POSSESSION)
        return None if der is None else decode(PrivateKeyPossessionStatement, der, "statementOfPossession")

    @property
    def all_attributes(self) -> list[tuple[Oid, list[bytes]]]:
        """Type and DER of the values of each attribute as it stands there, also of those that nobody here reads."""
        info = decode(_CertificationRequestInfo, self.signed_der, "CertificationRequestInfo")
        return [(item.type, list(map(encode, values_of(item)))) for item in info.attributes or []]

    def verify(self, policy: AlgorithmPolicy, statement_signer: Certificate | None = None) -> None:
        """Check that the form fits the key, and the signature: with the requested key, which proves its possession
        (RFC 2986 section 3 note 2), or, for a statement, with the key of `statement_signer`.

        Raises AlgorithmRefused, Malformed, IntegrityFailed; for an ML-KEM key the errors of `kem.errors`.
        """
        if self.is_kem:
            self._verify_for_kem(policy, statement_signer)
        else:
            # First, so that a key of an unknown kind is badAlg whatever the form.
            check_key(self.public_key, "PKCS #10 request", policy=policy, sizes=policy.certified_rsa_bits)
            if self.form is not Form.self_signed:
                raise Malformed(f"PKCS #10 request: {self.form.value}, but a key of this kind can sign its own request")
            self._verify_with(self.public_key, policy)

    def _verify_for_kem(self, policy: AlgorithmPolicy, statement_signer: Certificate | None) -> None:
        check_strength(decode_public_key(self.spki))
        if self.form is Form.self_signed:
            raise Malformed(
                "PKCS #10 request: an ML-KEM key cannot sign; use id-alg-unsigned or a statement (RFC 9883)"
            )
        if self.form is Form.unsigned:
            unsigned = self.signature_algorithm.algorithm == oids.UNSIGNED
            if unsigned and (self.signature or self.signature_algorithm.parameters is not None):
                raise Malformed("PKCS #10 request: id-alg-unsigned with a signature or with parameters")
            return
        if statement_signer is None:
            raise Malformed("PKCS #10 request: the certificate that statementOfPossession names is not known")
        check_key(statement_signer.public_key, "statementOfPossession", policy=policy)
        self._verify_with(statement_signer.public_key, policy)

    def _verify_with(self, key: PublicKey, policy: AlgorithmPolicy) -> None:
        scheme, signature = self.signature_algorithm, self.signature
        verify_proof(key, scheme, signature, self.signed_der, policy=policy, what=self.what)

    @property
    def _requested_extensions(self) -> Sequence[TLV]:
        found = [self.attributes[kind] for kind in _EXTENSION_REQUESTS if kind in self.attributes]
        if not found:
            return []
        request = any_of(found[0])
        if tag_of(request) != SEQUENCE_TAG:
            raise Malformed("PKCS #10 request: extensionRequest is no SEQUENCE OF Extension (RFC 2985 section 5.4.2)")
        return elements(request)


def _attributes(attributes: list[Attribute], single_valued: Mapping[Oid, str]) -> dict[Oid, bytes]:
    """Type to the DER of the one value; attributes that nobody here reads may have any number. Raises Malformed."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise Malformed(f"PKCS #10 request: more than {MAX_ATTRIBUTES} attributes")
    found: dict[Oid, bytes] = {}
    for item in attributes:
        values = values_of(item)
        if item.type in found or len(values) != 1:
            if item.type in _SINGLE_VALUED or item.type in single_valued:
                name = oids.name(item.type, single_valued)
                raise Malformed(f"PKCS #10 request: attribute {name} must appear once, with one value")
            continue
        found[item.type] = encode(values[0])
    if len({found[kind] for kind in _EXTENSION_REQUESTS & found.keys()}) > 1:
        # We would issue what one says, while OpenSSL, Go or a webhook read the other.
        raise Malformed("PKCS #10 request: two extensionRequest attributes, PKCS #9's and Microsoft's, that differ")
    return found


def _challenge_password(attributes: Mapping[Oid, bytes]) -> str | None:
    der = attributes.get(oids.CHALLENGE_PASSWORD)
    return None if der is None else _directory_string(any_of(der))


def _directory_string(value: TLV) -> str:
    tag = tag_of(value)
    if tag not in _DIRECTORY_STRINGS:
        raise Malformed("PKCS #10 request: challengePassword is not a DirectoryString")
    try:
        return bytes(value.data).decode(STRING_CODECS[tag])
    except UnicodeDecodeError:
        raise Malformed("PKCS #10 request: challengePassword is not valid text of its string type") from None


def encode_certification_request(
    key: SigningKey,
    subject: x509.Name,
    *,
    challenge_password: str | None = None,
    extensions: Extensions = (),
    attributes: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """A request's DER, signed with its own key.

    attributes: (type, DER value) of further attributes. The hash is SHA-256, or the match of a larger EC key.
    """
    info = _encode_info(spki_of(key), subject, challenge_password, extensions, attributes)
    return _signed(info, key)


def encode_unsigned_request(
    spki: bytes,
    subject: x509.Name,
    *,
    challenge_password: str | None = None,
    extensions: Extensions = (),
    attributes: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """A request's DER for a key that cannot sign: id-alg-unsigned, parameters absent, an empty signature.

    By analogy with RFC 9925, which defines the algorithm for certificates.
    """
    info = _encode_info(spki, subject, challenge_password, extensions, attributes)
    return _encode_request(info, algorithm(oids.UNSIGNED), b"")


def encode_statement_request(
    spki: bytes,
    subject: x509.Name,
    key: SigningKey,
    certificate: Certificate,
    *,
    challenge_password: str | None = None,
    extensions: Extensions = (),
    attributes: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """A request's DER for a key that cannot sign, signed with the key of `certificate`, which the attribute
    statementOfPossession names and carries (RFC 9883 section 4).
    """
    statement = PrivateKeyPossessionStatement(signer=certificate.issuer_and_serial, certificate=any_of(certificate.der))
    more = [*attributes, (oids.STATEMENT_OF_POSSESSION, encode(statement))]
    return _signed(_encode_info(spki, subject, challenge_password, extensions, more), key)


def _encode_info(
    spki: bytes,
    subject: x509.Name,
    challenge_password: str | None,
    extensions: Extensions,
    attributes: Sequence[tuple[Oid, bytes]],
) -> bytes:
    found = list(attributes)
    if challenge_password is not None:
        found.append((oids.CHALLENGE_PASSWORD, encode(challenge_password)))
    if extensions:
        encoded = b"".join(encode_extension(item) for item in extensions)
        found.append((oids.EXTENSION_REQUEST, wrap(SEQUENCE_TAG, encoded)))
    members = [attribute(kind, value) for kind, value in found]
    version, attribute_set = encode(0), set_of(members, tag=_ATTRIBUTES_TAG)
    return wrap(SEQUENCE_TAG, version + subject.public_bytes() + spki + attribute_set)


def _signed(info: bytes, key: SigningKey) -> bytes:
    digest = message_digest(key)
    _scheme, signature = sign(key, info, digest)
    return _encode_request(info, certificate_signature_algorithm(key, digest), signature)


def _encode_request(info: bytes, scheme: AlgorithmIdentifier, signature: bytes) -> bytes:
    request = _CertificationRequest(
        certification_request_info=any_of(info),
        signature_algorithm=scheme,
        signature=BitString(signature, 0),
    )
    return encode(request)
