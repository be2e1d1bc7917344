"""CRMF certificate requests (RFC 4211), which CMP (RFC 9810) and CMC (RFC 10002) carry.

A CertReqMsg is a CertRequest with a proof of possession (`pkix.popo`). Whether a proof that is not a signature is
enough, and of whom, is the protocol's to decide: `CertReqMsg.verify` checks what the message itself can show.

Left out: statements of possession (RFC 9883) in regInfo, and the MAC that a POPOSigningKeyInput may have, which needs a
secret; its octets are kept. Controls and regInfo are kept as received.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from kem.keys import decode_public_key
from kem.structures import SubjectPublicKeyInfo
from kem.weak_keys import check_strength
from pkix.algorithms import AlgorithmPolicy, check_key
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    AlgorithmIdentifier,
    BitString,
    Oid,
    any_of,
    decode,
    elements,
    encode,
    encode_oid,
    has_more_than,
    number,
    parse,
    sequence,
    tag_of,
    wrap,
)
from pkix.cert_template import CertTemplate, encode_cert_template
from pkix.certificate_builder import Extensions
from pkix.errors import Malformed
from pkix.keys import key_type_named, spki_of
from pkix.popo import POPO_TAGS, SUBSEQUENT, Popo, PopoSigningKey, decode_popo, encode_popo, encode_signature
from pkix.requests import Form, Requested, verify_proof
from pkix.signatures import SigningKey

MAX_REQUESTS = 16  # in one CertReqMessages
MAX_REQUEST = 32 * 1024  # octets of one CertReqMsg
MAX_ATTRIBUTES = 64  # in controls, and in regInfo
MAX_REQUEST_ID = 2**32 - 1  # CMC's bodyPartID (RFC 10002 section 3.2.2); CMP has 0
_EMPTY_NAME = wrap(SEQUENCE_TAG, b"")


@sequence
class AttributeTypeAndValue:
    """RFC 4211 section 3. A control or a piece of regInfo."""

    type: Oid
    value: TLV


@sequence
class _CertRequest:
    cert_req_id: int
    cert_template: TLV
    controls: list[AttributeTypeAndValue] | None


@dataclass(frozen=True, repr=False)
class CertReqMsg(Requested):
    """der: the CertReqMsg as received. request_id: certReqId. request_der: DER CertRequest. subject_der: DER Name, the
    empty one if the template has no subject. spki: DER SubjectPublicKeyInfo, None if the CA shall make the key.

    key_algorithm: the key's OID; that of the key to be made if one is asked for, else None. popo: how possession is
    proven; signing: the signature, if it is one. controls, reg_info: types and DER values in the order received.
    """

    what = "CRMF request"
    where = "extensions"
    der: bytes
    request_id: int
    request_der: bytes
    template: CertTemplate
    subject_der: bytes
    spki: bytes | None
    key_algorithm: Oid | None
    popo: Popo
    signing: PopoSigningKey | None
    controls: tuple[tuple[Oid, bytes], ...]
    reg_info: tuple[tuple[Oid, bytes], ...]

    @classmethod
    def decode(cls, der: bytes) -> CertReqMsg:
        """Read DER; the proof is checked by `verify`. Raises Malformed, AlgorithmRefused for a proof not read here."""
        request, proof, information = _members(der)
        fields = decode(_CertRequest, request, "CertRequest")
        if not 0 <= fields.cert_req_id <= MAX_REQUEST_ID:
            raise Malformed(f"CRMF request: certReqId {number(fields.cert_req_id)}; it is 0 to {MAX_REQUEST_ID}")
        template = CertTemplate.decode(encode(fields.cert_template))
        _check_omitted(template)
        key, algorithm = _key(template)
        popo, signing = decode_popo(proof)
        found = cls(
            der=der,
            request_id=fields.cert_req_id,
            request_der=request,
            template=template,
            subject_der=_EMPTY_NAME if template.subject is None else template.subject,
            spki=key,
            key_algorithm=algorithm,
            popo=popo,
            signing=signing,
            controls=_pairs(fields.controls, "controls"),
            reg_info=_pairs(information, "regInfo"),
        )
        found._check_popo_fits()
        return found

    def _check_popo_fits(self) -> None:
        """Raises Malformed."""
        if self.spki is None and self.popo is not Popo.absent:
            raise Malformed(f"CRMF request: {self.popo.value} proves nothing of a key that is not there")
        if self.signing is None:
            return
        complete = self.template.subject is not None
        if complete is (self.signing.poposk_input is not None):
            rule = "omitted if" if complete else "present unless"
            text = f"poposkInput must be {rule} the template has subject and publicKey"
            raise Malformed(f"CRMF request: {text} (RFC 4211 section 4.1)")

    @property
    def form(self) -> Form:
        """What its proof is worth by itself: raVerified, and what is only to be proven, are worth nothing."""
        return Form.self_signed if self.popo is Popo.signature else Form.unsigned

    @cached_property
    def key_type(self) -> str:
        """As `Requested.key_type`; of a key to be made, what is asked for: "rsa" has no size, and "" leaves it open."""
        if self.spki is not None:
            return super().key_type
        return "" if self.template.public_key is None else key_type_named(self.template.public_key)

    def verify(self, policy: AlgorithmPolicy) -> None:
        """Check that the proof fits the key, and a signature with the requested key (RFC 4211 section 4).

        A proof by somebody else (raVerified), one that is to come (encrCert, challengeResp), or none for a key that
        cannot sign, is let pass: see `form` and `popo`. So is a request for a key to be made.
        Raises AlgorithmRefused, Malformed, IntegrityFailed; for an ML-KEM key the errors of `kem.errors`.
        """
        if self.spki is None:
            return
        if self.is_kem:
            check_strength(decode_public_key(self.spki))
            if self.signing is not None:
                raise Malformed("CRMF request: an ML-KEM key cannot sign; use keyEncipherment (RFC 4211 section 4.2)")
            return
        key = self.public_key
        check_key(key, self.what, policy=policy, sizes=policy.certified_rsa_bits)
        if self.popo in SUBSEQUENT and not isinstance(key, rsa.RSAPublicKey):
            raise Malformed(f"CRMF request: {self.popo.value} for a key that cannot decrypt; sign the request")
        if self.popo is Popo.absent:
            raise Malformed("CRMF request: no proof of possession, but a key of this kind can sign its own request")
        if self.signing is not None:
            self._verify_signature(self.signing, policy)

    def _verify_signature(self, signing: PopoSigningKey, policy: AlgorithmPolicy) -> None:
        signed = self.request_der
        if signing.poposk_input is not None:
            signed = signing.poposk_input
            if encode(elements(any_of(signed))[1]) != self.spki:
                raise Malformed("CRMF request: poposkInput and template have different keys (RFC 4211 section 4.1)")
        verify_proof(self.public_key, signing.algorithm, signing.signature, signed, policy=policy, what=self.what)

    @property
    def _requested_extensions(self) -> Sequence[TLV]:
        return [] if self.template.extensions is None else elements(any_of(self.template.extensions))


def decode_messages(der: bytes) -> list[CertReqMsg]:
    """Of a DER CertReqMessages, 1 to MAX_REQUESTS with different certReqIds. Raises Malformed, AlgorithmRefused."""
    messages = any_of(der)
    if tag_of(messages) != SEQUENCE_TAG:
        raise Malformed("CertReqMessages is no SEQUENCE")
    if has_more_than(MAX_REQUESTS, bytes(messages.data)) or not messages.data:
        raise Malformed(f"CertReqMessages does not have 1 to {MAX_REQUESTS} requests")
    found = [CertReqMsg.decode(encode(item)) for item in elements(messages)]
    if len({item.request_id for item in found}) != len(found):
        raise Malformed("CertReqMessages: a certReqId is there twice")
    return found


def _members(der: bytes) -> tuple[bytes, TLV | None, list[AttributeTypeAndValue] | None]:
    """CertRequest, ProofOfPossession and regInfo of a CertReqMsg, whose CHOICE no declaration can say."""
    if len(der) > MAX_REQUEST:
        raise Malformed(f"CRMF request: {len(der)} octets; at most {MAX_REQUEST} are accepted")
    message = any_of(der)
    parts = elements(message) if tag_of(message) == SEQUENCE_TAG else []
    if not parts:
        raise Malformed("CRMF request: it is no CertReqMsg")
    request, *rest = parts
    proof = rest.pop(0) if rest and tag_of(rest[0]) in POPO_TAGS else None
    information = _attributes(rest.pop(0)) if rest and tag_of(rest[0]) == SEQUENCE_TAG else None
    if rest:
        raise Malformed("CRMF request: a CertReqMsg has certReq, popo and regInfo, in this order, and nothing else")
    return encode(request), proof, information


def _attributes(value: TLV) -> list[AttributeTypeAndValue]:
    return [parse(item, AttributeTypeAndValue, "regInfo") for item in elements(value)]


def _pairs(attributes: list[AttributeTypeAndValue] | None, what: str) -> tuple[tuple[Oid, bytes], ...]:
    if attributes is None:
        return ()
    if not 1 <= len(attributes) <= MAX_ATTRIBUTES:
        raise Malformed(f"CRMF request: {what} do not have 1 to {MAX_ATTRIBUTES} members")
    return tuple((item.type, encode(item.value)) for item in attributes)


def _check_omitted(template: CertTemplate) -> None:
    """What only the CA decides. Raises Malformed."""
    there = ["serialNumber"] if template.serial_number is not None else []
    there += template.other
    if there:
        raise Malformed(f"CRMF request: the template must not have {', '.join(there)} (RFC 4211 section 5)")


def _key(template: CertTemplate) -> tuple[bytes | None, Oid | None]:
    """The key and its algorithm. An empty BIT STRING asks for a key of this algorithm (RFC 9483 section 4.1.6)."""
    if template.public_key is None:
        return None, None
    info = decode(SubjectPublicKeyInfo, template.public_key, "CRMF request: publicKey")
    empty = not info.subject_public_key.as_bytes()
    return None if empty else template.public_key, info.algorithm.algorithm


def encode_signed_message(
    key: SigningKey,
    subject: x509.Name,
    *,
    request_id: int = 0,
    extensions: Extensions = (),
    controls: Sequence[tuple[Oid, bytes]] = (),
    reg_info: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """DER of a CertReqMsg signed with its own key, over the CertRequest. The hash is as in `pkix.pkcs10`.

    controls, reg_info: types and DER values.
    """
    request = _encode_request(spki_of(key), subject, request_id, extensions, controls)
    return wrap(SEQUENCE_TAG, request + encode_signature(key, request) + _encode_attributes(reg_info))


def encode_unsigned_message(
    spki: bytes | None,
    subject: x509.Name,
    popo: Popo,
    *,
    request_id: int = 0,
    extensions: Extensions = (),
    controls: Sequence[tuple[Oid, bytes]] = (),
    reg_info: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """DER of a CertReqMsg with a proof that is no signature.

    spki: DER SubjectPublicKeyInfo; None or `wanted_key` lets the CA make the key, and popo is then absent.
    """
    request = _encode_request(spki, subject, request_id, extensions, controls)
    return wrap(SEQUENCE_TAG, request + encode_popo(popo) + _encode_attributes(reg_info))


def wanted_key(algorithm: AlgorithmIdentifier) -> bytes:
    """DER SubjectPublicKeyInfo without a key, which asks for one of this algorithm (RFC 9483 section 4.1.6)."""
    return encode(SubjectPublicKeyInfo(algorithm=algorithm, subject_public_key=BitString(b"", 0)))


def encode_messages(messages: Sequence[bytes]) -> bytes:
    """DER CertReqMessages from DER CertReqMsgs."""
    return wrap(SEQUENCE_TAG, b"".join(messages))


def _encode_request(
    spki: bytes | None,
    subject: x509.Name,
    request_id: int,
    extensions: Extensions,
    controls: Sequence[tuple[Oid, bytes]],
) -> bytes:
    template = encode_cert_template(subject=subject, public_key=spki, extensions=extensions)
    return wrap(SEQUENCE_TAG, encode(request_id) + template + _encode_attributes(controls))


def _encode_attributes(pairs: Sequence[tuple[Oid, bytes]]) -> bytes:
    if not pairs:
        return b""
    return wrap(SEQUENCE_TAG, b"".join(wrap(SEQUENCE_TAG, encode_oid(kind) + value) for kind, value in pairs))
