"""Who may be able to open an envelope, and which of its recipients is one of them (RFC 5652 section 6.2).

What stands in RecipientInfos is not encrypted, so texts about them give nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa

from pkix import oids
from pkix.asn1 import SEQUENCE_TAG, SET_TAG, TLV, decode, elements, encode, parse, tag_of
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.errors import Malformed, shortened
from pkix.kem_recipients import KemIdentity, decode_kem_recipient_info
from pkix.names import name_text, read_name
from pkix.recipients import (
    KEKRecipientInfo,
    KeyTransRecipientInfo,
    PasswordRecipientInfo,
    open_kek,
    open_password,
    open_rsa,
)

MAX_RECIPIENTS = 16
KEY_AGREE_TAG, KEK_TAG, PASSWORD_TAG = 0xA1, 0xA2, 0xA3  # of RecipientInfo

Useless = tuple[tuple[Certificate, str], ...]


class Identity(Protocol):
    """Somebody who may be able to open an envelope."""

    def recognises(self, recipient_info: TLV) -> bool:
        """Whether a RecipientInfo is for this one. Raises Malformed."""

    def unwrap(self, recipient_info: TLV) -> bytes:
        """The content-encryption key from a RecipientInfo it recognises.

        Raises Malformed, AlgorithmRefused for what anybody can see, before anything is decrypted; DecryptionFailed for
        everything else.
        """


@dataclass(frozen=True)
class RsaIdentity:
    """An RSA key and the certificate that peers know it by."""

    certificate: Certificate
    key: rsa.RSAPrivateKey

    def recognises(self, recipient_info: TLV) -> bool:
        """See Identity."""
        if tag_of(recipient_info) != SEQUENCE_TAG:
            return False
        rid = parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo").rid
        return self.certificate.is_identified_by(rid)

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See Identity."""
        return open_rsa(parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo"), self.key)

    def __repr__(self) -> str:
        return f"RsaIdentity(serial={self.certificate.serial_number:x})"


@dataclass(frozen=True)
class KekIdentity:
    """A symmetric key that the sender was given. identifier: what we called it."""

    key: bytes
    identifier: bytes

    def recognises(self, recipient_info: TLV) -> bool:
        """See Identity."""
        return tag_of(recipient_info) == KEK_TAG and kek_info(recipient_info).kekid.key_identifier == self.identifier

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See Identity."""
        return open_kek(kek_info(recipient_info), self.key)

    def __repr__(self) -> str:
        return f"KekIdentity(identifier={self.identifier.hex()})"


def kek_info(recipient_info: TLV) -> KEKRecipientInfo:
    """The KEKRecipientInfo in a RecipientInfo of that tag. Raises Malformed."""
    as_sequence = bytes((SEQUENCE_TAG,)) + encode(recipient_info)[1:]
    return decode(KEKRecipientInfo, as_sequence, "KEKRecipientInfo")


@dataclass(frozen=True)
class PasswordIdentity:
    """A password shared with the sender, in octets."""

    password: bytes

    def recognises(self, recipient_info: TLV) -> bool:
        """See Identity."""
        return tag_of(recipient_info) == PASSWORD_TAG

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See Identity."""
        as_sequence = bytes((SEQUENCE_TAG,)) + encode(recipient_info)[1:]
        return open_password(decode(PasswordRecipientInfo, as_sequence, "PasswordRecipientInfo"), self.password)

    def __repr__(self) -> str:
        return "PasswordIdentity(password=<redacted>)"


def find_recipient(recipient_infos: TLV, identities: Sequence[Identity], what: str) -> tuple[TLV, Identity] | None:
    """The first RecipientInfo that is for one of these, and for which; None if none is. Raises Malformed.

    One that cannot be read is another's, unless nobody is found.
    what: the type that recipientInfos stand in, for the error text.
    """
    infos = elements(recipient_infos)
    if tag_of(recipient_infos) != SET_TAG or not 1 <= len(infos) <= MAX_RECIPIENTS:
        raise Malformed(f"{what} does not have 1 to {MAX_RECIPIENTS} recipients")
    unread = None
    for info in infos:
        try:
            for who in identities:
                if who.recognises(info):
                    return info, who
        except Malformed as error:
            unread = unread or error
    if unread is not None:
        raise unread
    return None


def whom(info: TLV) -> str:
    """Whom a KeyTransRecipientInfo or KEMRecipientInfo addresses, in words; empty for another. Raises Malformed."""
    if tag_of(info) == SEQUENCE_TAG:
        return _named(parse(info, KeyTransRecipientInfo, "KeyTransRecipientInfo").rid)
    kem = decode_kem_recipient_info(info)
    return "" if kem is None else _named(kem.rid)


def _named(rid: IssuerAndSerialNumber | bytes) -> str:
    if isinstance(rid, bytes):
        return f"to the subjectKeyIdentifier {shortened(rid.hex(), _SHOWN)}"
    try:
        issuer = name_text(read_name(encode(rid.issuer), "issuer"))
    except Malformed:
        issuer = "a Name that cannot be read"
    number = shortened(f"{rid.serial_number:x}", _SHOWN)
    return f"to the serial number {number} (hex) of the issuer {shortened(issuer, _SHOWN)}"


_SHOWN = 128  # characters of a name or number in a text
_READ = "KeyTransRecipientInfo with RSA and KEMRecipientInfo with ML-KEM are read"


def fault_of(info: TLV, identities: Sequence[Identity], useless: Useless) -> tuple[str, str]:
    """Why a RecipientInfo is none that these can open, and what its sender is to do; empty if it is just somebody
    else's. Raises Malformed.

    useless: certificates of ours that open nothing, and what to say of each.
    """
    tag, kem = tag_of(info), decode_kem_recipient_info(info)
    if tag == SEQUENCE_TAG:
        rid = parse(info, KeyTransRecipientInfo, "KeyTransRecipientInfo").rid
        if any(isinstance(item, KemIdentity) and item.is_named_by(rid) for item in identities):
            return "a KeyTransRecipientInfo for our ML-KEM certificate", "use KEMRecipientInfo (RFC 9629, RFC 9936)"
        return next((said for known, said in useless if known.is_identified_by(rid)), ""), ""
    if kem is not None:
        for item in identities:
            if isinstance(item, KemIdentity) and item.is_named_by(kem.rid):
                return f"a KEMRecipientInfo with {oids.name(kem.kem.algorithm)} for our {oids.label(item.kem)} key", ""
            if isinstance(item, RsaIdentity) and item.certificate.is_identified_by(kem.rid):
                advice = "use KeyTransRecipientInfo (RFC 5652 section 6.2.1)"
                return "a KEMRecipientInfo for our RSA certificate", advice
        return next((said for known, said in useless if known.is_identified_by(kem.rid)), ""), ""
    if tag == KEY_AGREE_TAG:
        return "a KeyAgreeRecipientInfo", _READ
    if tag == PASSWORD_TAG:
        return "a PasswordRecipientInfo, for which we have no password", _READ
    if tag == KEK_TAG:
        known = any(isinstance(item, KekIdentity) for item in identities)
        return ("", "") if known else ("a KEKRecipientInfo", _READ)
    return "a recipient of a type that is not supported", _READ
