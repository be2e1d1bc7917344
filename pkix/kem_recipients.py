"""KEMRecipientInfo: the content-encryption key under a key that an ML-KEM shared secret derives (RFC 9629, RFC 9936).

    ss        <- Encaps(recipient's key) or Decaps(ours)
    KEK       =  HKDF(ss, no salt, info = DER(CMSORIforKEMOtherInfo), kekLength)
    encrypted =  AES key wrap (RFC 3394) of the content-encryption key under KEK

Emitted: HKDF-SHA256, with aes256-wrap for ML-KEM-768 and -1024 and aes128-wrap for ML-KEM-512, no ukm. Accepted: HKDF
with SHA-256, SHA-384 or SHA-512, and any AES wrap whose key is kekLength long. An absent ukm and an empty one are
different inputs of the derivation. The shared secret is used for nothing else.

A ciphertext of the right length always decapsulates (implicit rejection); a wrong key shows when unwrapping.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from kem.backend import Encapsulation
from kem.kdf import HKDF_SHA256, Kdf, by_identifier
from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    AlgorithmIdentifier,
    Explicit,
    Implicit,
    Oid,
    algorithm,
    any_of,
    decode,
    encode,
    number,
    parse,
    sequence,
    tag_of,
)
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.content import cannot_open
from pkix.errors import Malformed
from pkix.recipients import AES_WRAPS, NOT_UNWRAPPED, wrap_length

RandomBytes = Callable[[int], bytes]
Encapsulate = Callable[[], Encapsulation]  # to one key
Decapsulate = Callable[[bytes], bytes]  # with one key: the shared secret of a ciphertext

ORI_TAG = 0xA4
SHOWN, SHOWN_OF_INFO = 8, 48  # octets of a hash, and of CMSORIforKEMOtherInfo


@sequence
class OtherRecipientInfo:
    """RFC 5652 section 6.2.5, under its [4] IMPLICIT tag in RecipientInfo."""

    ori_type: Oid
    ori_value: TLV


@sequence
class KEMRecipientInfo:
    """RFC 9629 section 3."""

    version: int
    rid: IssuerAndSerialNumber | Annotated[bytes, Implicit(0)]
    kem: AlgorithmIdentifier
    kemct: bytes
    kdf: AlgorithmIdentifier
    kek_length: int
    ukm: Annotated[bytes | None, Explicit(0)]
    wrap: AlgorithmIdentifier
    encrypted_key: bytes


@sequence
class CMSORIforKEMOtherInfo:
    """RFC 9629 section 5."""

    wrap: AlgorithmIdentifier
    kek_length: int
    ukm: Annotated[bytes | None, Explicit(0)]


@dataclass(frozen=True)
class KemRecipient:
    """Encrypt to an ML-KEM key.

    kem: the parameter set's OID. encapsulate: to that key. rid: the certificate's name, or its
    subjectKeyIdentifier's octets. kdf, ukm: other choices than the default.
    """

    kem: Oid
    encapsulate: Encapsulate
    rid: IssuerAndSerialNumber | bytes
    kdf: Kdf = HKDF_SHA256
    ukm: bytes | None = None

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""
        kek_length = 16 if self.kem == oids.ML_KEM_512 else 32
        wrap_scheme = algorithm(AES_WRAPS[kek_length])
        sent = self.encapsulate()
        kek = _kek(sent.shared_secret, self.kdf, wrap_scheme, kek_length, self.ukm)
        info = KEMRecipientInfo(
            version=0,
            rid=self.rid,
            kem=algorithm(self.kem),
            kemct=sent.ciphertext,
            kdf=self.kdf.identifier,
            kek_length=kek_length,
            ukm=self.ukm,
            wrap=wrap_scheme,
            encrypted_key=aes_key_wrap(kek, key),
        )
        other = OtherRecipientInfo(ori_type=oids.ORI_KEM, ori_value=any_of(encode(info)))
        return bytes((ORI_TAG,)) + encode(other)[1:]

    @property
    def version(self) -> int:
        """EnvelopedData version this recipient asks for (RFC 5652 section 6.1)."""
        return 3

    def __repr__(self) -> str:
        return f"KemRecipient({oids.label(self.kem)})"


@dataclass(frozen=True)
class KemIdentity:
    """An ML-KEM key, by a certificate or by the subjectKeyIdentifier that a certificate for it will have.

    kem: the parameter set's OID. decapsulate: with that key.
    """

    kem: Oid
    decapsulate: Decapsulate
    certificate: Certificate | None
    key_identifier: bytes

    def recognises(self, recipient_info: TLV) -> bool:
        """See `pkix.identities.Identity`."""
        info = decode_kem_recipient_info(recipient_info)
        return info is not None and info.kem.algorithm == self.kem and self.is_named_by(info.rid)

    def is_named_by(self, rid: IssuerAndSerialNumber | bytes) -> bool:
        """Whether a recipient's identifier is that of this key; bytes are a subjectKeyIdentifier."""
        if isinstance(rid, bytes):
            return rid == self.key_identifier
        return self.certificate is not None and self.certificate.is_named_by(rid)

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See `pkix.identities.Identity`."""
        info = decode_kem_recipient_info(recipient_info)
        assert info is not None
        kdf, length = _check(info)
        kek = _kek(self.decapsulate(info.kemct), kdf, info.wrap, length, info.ukm)
        try:
            return aes_key_unwrap(kek, info.encrypted_key)
        except (InvalidUnwrap, ValueError):
            raise cannot_open(f"{NOT_UNWRAPPED}; {_comparison(info, kdf, kek)}") from None

    def __repr__(self) -> str:
        return f"KemIdentity({oids.label(self.kem)}, key={self.key_identifier.hex()})"


def decode_kem_recipient_info(recipient_info: TLV) -> KEMRecipientInfo | None:
    """The KEMRecipientInfo in a RecipientInfo, None if it is another kind. Raises Malformed."""
    if tag_of(recipient_info) != ORI_TAG:
        return None
    as_sequence = bytes((SEQUENCE_TAG,)) + encode(recipient_info)[1:]
    other = decode(OtherRecipientInfo, as_sequence, "OtherRecipientInfo")
    if other.ori_type != oids.ORI_KEM:
        return None
    return parse(other.ori_value, KEMRecipientInfo, "KEMRecipientInfo")


def _check(info: KEMRecipientInfo) -> tuple[Kdf, int]:
    """The KDF and the KEK's length. Raises Malformed, AlgorithmRefused, and kem's errors for the KDF."""
    if info.version != 0:
        raise Malformed(f"KEMRecipientInfo has version {number(info.version)}, not 0 (RFC 9629 section 3)")
    if info.kem.parameters is not None:
        raise Malformed("KEMRecipientInfo: the parameters of an ML-KEM algorithm must be absent (RFC 9936 section 3)")
    length = wrap_length(info.wrap, "KEMRecipientInfo")
    if length != info.kek_length:
        given = number(info.kek_length)
        raise Malformed(f"KEMRecipientInfo: kekLength {given} does not fit the key wrap, whose key has {length} octets")
    return by_identifier(info.kdf), length


def _kek(secret: bytes, kdf: Kdf, wrap_scheme: AlgorithmIdentifier, kek_length: int, ukm: bytes | None) -> bytes:
    return kdf.derive(secret, kek_length, _other_info(wrap_scheme, kek_length, ukm))


def _other_info(wrap_scheme: AlgorithmIdentifier, kek_length: int, ukm: bytes | None) -> bytes:
    return encode(CMSORIforKEMOtherInfo(wrap=wrap_scheme, kek_length=kek_length, ukm=ukm))


def _comparison(info: KEMRecipientInfo, kdf: Kdf, kek: bytes) -> str:
    """What sender and recipient lay side by side when the key cannot be unwrapped (drafts/WRONG-MAC.md).

    Everything but the KEK stands in the message. Of the KEK it shows the beginning of its SHA-256: it has at least 128
    bits that nobody can guess, and whoever has the message can test a guess of it with the key wrap anyway.
    """
    other_info = _other_info(info.wrap, info.kek_length, info.ukm)
    more = "…" if len(other_info) > SHOWN_OF_INFO else ""
    shown = {
        "KDF": kdf.name,
        "kekLength": str(info.kek_length),
        "wrap": oids.label(info.wrap.algorithm),
        "CMSORIforKEMOtherInfo": f"{other_info[:SHOWN_OF_INFO].hex()}{more} ({len(other_info)} octets)",
        "kemct": hashlib.sha256(info.kemct).digest()[:SHOWN].hex(),
        "KEK": hashlib.sha256(kek).digest()[:SHOWN].hex(),
        "octets of encryptedKey": str(len(info.encrypted_key)),
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items())
