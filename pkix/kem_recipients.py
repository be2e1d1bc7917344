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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

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
    parse,
    sequence,
    tag_of,
)
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.content import CANNOT_DECRYPT
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed

RandomBytes = Callable[[int], bytes]
Encapsulate = Callable[[], tuple[bytes, bytes]]  # to one key: (ciphertext, shared secret)
Decapsulate = Callable[[bytes], bytes]  # with one key: the shared secret of a ciphertext

ORI_TAG = 0xA4
_KDFS: dict[Oid, hashes.HashAlgorithm] = {
    oids.HKDF_SHA256: hashes.SHA256(),
    oids.HKDF_SHA384: hashes.SHA384(),
    oids.HKDF_SHA512: hashes.SHA512(),
}
_KDF_OIDS = {digest.name: oid for oid, digest in _KDFS.items()}
_WRAP_LENGTHS = {oids.AES128_WRAP: 16, oids.AES192_WRAP: 24, oids.AES256_WRAP: 32}
_WRAPS = {length: oid for oid, length in _WRAP_LENGTHS.items()}


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
    kdf: hashes.HashAlgorithm | None = None
    ukm: bytes | None = None

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""
        kdf = self.kdf or hashes.SHA256()
        kek_length = 16 if self.kem == oids.ML_KEM_512 else 32
        wrap_scheme = algorithm(_WRAPS[kek_length])
        ciphertext, secret = self.encapsulate()
        kek = _kek(secret, kdf, wrap_scheme, kek_length, self.ukm)
        info = KEMRecipientInfo(
            version=0,
            rid=self.rid,
            kem=algorithm(self.kem),
            kemct=ciphertext,
            kdf=algorithm(_KDF_OIDS[kdf.name]),
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
        """See `pkix.enveloped_data.Identity`."""
        info = decode_kem_recipient_info(recipient_info)
        if info is None or info.kem.algorithm != self.kem:
            return False
        if isinstance(info.rid, bytes):
            return info.rid == self.key_identifier
        return self.certificate is not None and self.certificate.is_named_by(info.rid)

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See `pkix.enveloped_data.Identity`."""
        info = decode_kem_recipient_info(recipient_info)
        assert info is not None
        kdf, length = _check(info)
        secret = self.decapsulate(info.kemct)
        try:
            return aes_key_unwrap(_kek(secret, kdf, info.wrap, length, info.ukm), info.encrypted_key)
        except (InvalidUnwrap, ValueError):
            raise DecryptionFailed(CANNOT_DECRYPT) from None

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


def _check(info: KEMRecipientInfo) -> tuple[hashes.HashAlgorithm, int]:
    """The KDF's hash and the KEK's length. Raises Malformed, AlgorithmRefused."""
    if info.version != 0:
        raise Malformed(f"KEMRecipientInfo has version {info.version}, not 0 (RFC 9629 section 3)")
    if info.kem.parameters is not None:
        raise Malformed("KEMRecipientInfo: the parameters of an ML-KEM algorithm must be absent (RFC 9936 section 3)")
    if info.kdf.algorithm not in _KDFS or info.kdf.parameters is not None:
        raise AlgorithmRefused(f"KEMRecipientInfo with KDF {oids.name(info.kdf.algorithm)}; use HKDF-SHA256")
    length = _WRAP_LENGTHS.get(info.wrap.algorithm)
    if length is None or info.wrap.parameters is not None:
        raise AlgorithmRefused(f"KEMRecipientInfo with key wrap {oids.name(info.wrap.algorithm)}; use AES key wrap")
    if length != info.kek_length:
        raise Malformed(f"KEMRecipientInfo: kekLength {info.kek_length} does not fit the key wrap")
    return _KDFS[info.kdf.algorithm], length


def _kek(
    secret: bytes, kdf: hashes.HashAlgorithm, wrap_scheme: AlgorithmIdentifier, kek_length: int, ukm: bytes | None
) -> bytes:
    info = CMSORIforKEMOtherInfo(wrap=wrap_scheme, kek_length=kek_length, ukm=ukm)
    return HKDF(kdf, kek_length, None, encode(info)).derive(secret)
