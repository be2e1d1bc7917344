"""pkiMessages: SignedData whose signed attributes say what it is (RFC 8894 sections 3.2 to 3.4).

`PkiMessage.decode` demands only what an answer needs: SignedData with one signer and a transactionID. The other
attributes are read when they are used, so that a responder can answer a message that lacks one with a signed
failure that says so. Who receives a message calls `verify` before believing any of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import (
    TLV,
    GeneralizedTime,
    Oid,
    PrintableString,
    UTCTime,
    elements,
    encode,
    octet_string,
    parse,
    set_of,
    tag_of,
)
from pkix.certificates import Certificate
from pkix.enveloped_data import Expected
from pkix.errors import Malformed, located
from pkix.recognised import ENVELOPE, recognise
from pkix.signed_data import SignedData, Signer, encode_signed_data
from scep import attributes
from scep.attributes import FailInfo, MessageType, PkiStatus, UndefinedFailInfo

_PRINTABLE = 0x13
_NOT_PRINTABLE = re.compile(rb"[^A-Za-z0-9 '()+,./:=?-]")  # X.680, PrintableString
_TYPES = {0x02: "an INTEGER", 0x04: "an OCTET STRING", 0x0C: "a UTF8String", 0x14: "a T61String", 0x16: "an IA5String"}
PKI_ENVELOPE = Expected(
    content_type=oids.DATA,
    name="pkcsPKIEnvelope",
    section="RFC 8894 section 3.2.2",
)

Token = TypeVar("Token", MessageType, PkiStatus)
T = TypeVar("T")


@dataclass(frozen=True)
class PkiMessage:
    """A received message. transaction_id: its text. signed: the SignedData it came in."""

    signed: SignedData
    transaction_id: str

    @classmethod
    def decode(cls, message: bytes, *, advise: bool = True) -> PkiMessage:
        """Read a message in DER or BER. Nothing is verified. Raises Malformed, which says what the octets are if it is
        something that is often sent instead. advise: whether the text is for who sent it, and says what to send.
        """
        try:
            signed = SignedData.decode(message, names=attributes.SIGNED_ATTRIBUTE_NAMES)
        except Malformed as error:
            found = recognise(message)
            if found is None:
                raise Malformed(located(error, message)) from None
            where = "SCEP has it in a pkiMessage, enveloped and signed (RFC 8894 section 3)"
            raise Malformed(found.text("this is", where, advise=advise)) from None
        if signed.signer is None:
            raise Malformed("pkiMessage has no SignerInfo")
        value = signed.attributes.get(attributes.TRANSACTION_ID)
        if value is None:
            raise Malformed("pkiMessage has no transactionID attribute")
        text, most = _printable(value, "transactionID"), attributes.MAX_TRANSACTION_ID
        if not 1 <= len(text) <= most:
            raise Malformed(f"transactionID does not have 1 to {most} characters, but {len(text)}")
        return cls(signed=signed, transaction_id=text)

    def verify(self, policy: AlgorithmPolicy, known: Sequence[Certificate] = ()) -> Certificate:
        """Verify the signature and return the signer's certificate, which may be anybody's.

        known: certificates to look for the signer in besides those in the message. Raises Malformed,
        AlgorithmRefused, IntegrityFailed.
        """
        if self.signed.content_type != oids.DATA:
            raise Malformed(f"eContentType is {oids.name(self.signed.content_type)}, not data (RFC 8894 section 3.2)")
        signer = self.signed.signer_certificate(known)
        self.signed.verify(signer, policy)
        return signer

    @cached_property
    def signed_hash(self) -> bytes:
        """SHA-256 over the signed attributes in DER order: what all copies of a message have in common.

        Anybody can alter the rest of a copy: an ECDSA signature's s, unsigned attributes, certificates, BER for DER. It
        means nothing before `verify`, and two signers' messages may share it.
        """
        assert self.signed.signer is not None
        members = (encode(item) for item in elements(self.signed.signer.signed_attrs))
        return hashlib.sha256(set_of(members)).digest()

    @cached_property
    def _attributes(self) -> Mapping[Oid, TLV]:
        return self.signed.attributes

    @property
    def message_type(self) -> MessageType:
        """Raises Malformed when absent or undefined (RFC 8894 section 3.2.1.2)."""
        return self._token(attributes.MESSAGE_TYPE, "messageType", MessageType)

    @property
    def pki_status(self) -> PkiStatus:
        """Raises Malformed when absent or undefined (RFC 8894 section 3.2.1.3)."""
        return self._token(attributes.PKI_STATUS, "pkiStatus", PkiStatus)

    @property
    def fail_info(self) -> FailInfo | UndefinedFailInfo:
        """Raises Malformed when absent or no PrintableString (RFC 8894 section 3.2.1.4)."""
        text = self._text(attributes.FAIL_INFO, "failInfo")
        return next((item for item in FailInfo if text == str(item.value)), UndefinedFailInfo(text[:16]))

    @property
    def fail_info_text(self) -> str | None:
        """failInfoText, or None. Undecodable octets are replaced: the text is for people."""
        value = self._attributes.get(attributes.FAIL_INFO_TEXT)
        return None if value is None else bytes(value.data).decode("utf-8", "replace")

    @cached_property
    def sender_nonce(self) -> bytes | None:
        """The octets of senderNonce, or None. Raises Malformed. Their number is the reader's concern."""
        return self._octets(attributes.SENDER_NONCE, "senderNonce")

    @property
    def recipient_nonce(self) -> bytes | None:
        """The octets of recipientNonce, or None. Raises Malformed."""
        return self._octets(attributes.RECIPIENT_NONCE, "recipientNonce")

    @property
    def signing_time(self) -> datetime | None:
        """signingTime (RFC 5652 section 11.3), or None. Raises Malformed."""
        value = self._attributes.get(oids.SIGNING_TIME)
        if value is None:
            return None
        kind: type[UTCTime] | type[GeneralizedTime] = UTCTime if tag_of(value) == 0x17 else GeneralizedTime
        return parse(value, kind, "signingTime").as_datetime()

    def attribute(self, oid: Oid) -> bytes | None:
        """DER of the value of another attribute, or None."""
        value = self._attributes.get(oid)
        return None if value is None else encode(value)

    def _token(self, oid: Oid, name: str, defined: type[Token]) -> Token:
        """An attribute whose value is a decimal number in a PrintableString (table 1)."""
        text = self._text(oid, name)
        for member in defined:
            if text == str(member.value):
                return member
        known = ", ".join(f"{member.value} {member.name}" for member in defined)
        raise Malformed(f"{name} {text[:16]!r} is not defined; {name} is one of {known}")

    def _text(self, oid: Oid, name: str) -> str:
        value = self._attributes.get(oid)
        if value is None:
            raise Malformed(f"pkiMessage has no {name} attribute")
        return _printable(value, name)

    def _octets(self, oid: Oid, name: str) -> bytes | None:
        value = self._attributes.get(oid)
        return None if value is None else parse(value, bytes, name)


def _printable(value: TLV, name: str) -> str:
    tag, octets = tag_of(value), bytes(value.data)
    if tag != _PRINTABLE:
        kind = _TYPES.get(tag, f"a value with the tag {tag:02x}")
        raise Malformed(f"{name} is not a PrintableString but {kind} (RFC 8894 section 3.2.1)")
    found = _NOT_PRINTABLE.search(octets)
    if found is not None:
        octet = found[0][0]
        shown = f" ({chr(octet)!r})" if 0x20 <= octet < 0x7F else ""
        raise Malformed(
            f"{name} has the octet {octet:02x}{shown} at position {found.start() + 1}, which no PrintableString has; "
            "it has letters and digits of ASCII, blanks, and ' ( ) + , - . / : = ?"
        )
    return parse(value, PrintableString, name).as_str()


def read_envelope(read: Callable[[bytes], T], envelope: bytes, *, advise: bool = True) -> T:
    """What `read` makes of a pkcsPKIEnvelope. Raises what `read` raises; Malformed says what stands there if it is
    something that is often sent instead. It goes by the octets as they came, not by what is encrypted in them. advise:
    as in `PkiMessage.decode`.
    """
    try:
        return read(envelope)
    except Malformed:
        found = recognise(envelope, ENVELOPE)
        if found is None:
            raise
    where = f"it must be EnvelopedData or AuthEnvelopedData ({PKI_ENVELOPE.section})"
    instead = "" if advise else ", not EnvelopedData or AuthEnvelopedData"
    raise Malformed(found.text("pkcsPKIEnvelope is", where, advise=advise) + instead)


@dataclass(frozen=True)
class Header:
    """The attributes of a message to send. Nonces: 16 octets; recipient_nonce copies what was received.

    more: (type, DER value) of attributes beyond RFC 8894's.
    """

    message_type: MessageType
    transaction_id: str
    sender_nonce: bytes
    recipient_nonce: bytes | None = None
    pki_status: PkiStatus | None = None
    fail_info: FailInfo | None = None
    fail_info_text: str | None = None
    more: tuple[tuple[Oid, bytes], ...] = ()

    def encode(self) -> list[tuple[Oid, bytes]]:
        """(type, DER value) of each attribute (RFC 8894 table 1)."""
        found = [
            (attributes.TRANSACTION_ID, encode(PrintableString(self.transaction_id))),
            (attributes.MESSAGE_TYPE, _decimal(self.message_type)),
            (attributes.SENDER_NONCE, octet_string(self.sender_nonce)),
        ]
        if self.recipient_nonce is not None:
            found.append((attributes.RECIPIENT_NONCE, octet_string(self.recipient_nonce)))
        if self.pki_status is not None:
            found.append((attributes.PKI_STATUS, _decimal(self.pki_status)))
        if self.fail_info is not None:
            found.append((attributes.FAIL_INFO, _decimal(self.fail_info)))
        if self.fail_info_text is not None:
            found.append((attributes.FAIL_INFO_TEXT, encode(self.fail_info_text)))
        return [*found, *self.more]


def _decimal(member: MessageType | PkiStatus | FailInfo) -> bytes:
    return encode(PrintableString(str(member.value)))


def encode_pki_message(
    header: Header,
    envelope: bytes | None,
    signer: Signer,
    digest: hashes.HashAlgorithm,
    *,
    certificates: Sequence[bytes],
    now: datetime,
) -> bytes:
    """A signed pkiMessage's DER. envelope: DER of the pkcsPKIEnvelope, or None to omit it."""
    return encode_signed_data(envelope, header.encode(), signer, digest, certificates=certificates, now=now)
