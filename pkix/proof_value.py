"""A short value that only the holder of a private key can read: what proves possession of keys that cannot sign.

    CMC    y in EncryptedPOP.cms         ContentInfo, EnvelopedData or AuthEnvelopedData (RFC 10002 section 6.7)
    CMP    Rand in encryptedRand         EnvelopedData alone, AES-256-CBC (RFC 9810 section 5.2.8.4)
    CMP    a certificate in encryptedCert, the same (RFC 9810 section 5.2.8.3.2)

`seal_value` encrypts to a SubjectPublicKeyInfo, since there is no certificate yet: ML-KEM keys get a KEMRecipientInfo
(RFC 9629, RFC 9936), RSA keys a KeyTransRecipientInfo with RSAES-OAEP and SHA-256 (RFC 3560). How the key is named
(rid) differs: by a subjectKeyIdentifier, or by a name of nobody and a number (`numbered`). `open_value` takes any rid,
because it is not protected and the reader has one key.

A reader verifies who sent the message before it opens anything, and gives nothing away but what the protocol asks for:
neither CBC nor a repeated opening is safe otherwise. Left out: key agreement with EC and X25519 keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.asymmetric import rsa

from kem.backends import Backends
from kem.keys import DecapsulationKey, decode_public_key
from kem.parameters import is_ml_kem
from kem.structures import SubjectPublicKeyInfo
from kem.weak_keys import check_strength
from pkix import oids
from pkix.algorithms import AlgorithmPolicy, ContentCipher, check_key
from pkix.asn1 import SEQUENCE_TAG, TLV, AlgorithmIdentifier, algorithm, any_of, decode, encode, parse, tag_of
from pkix.certificates import IssuerAndSerialNumber
from pkix.content import CANNOT_OPEN
from pkix.content_info import ContentInfo, encode_content_info
from pkix.enveloped_data import attempt, encrypt
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed
from pkix.kem_recipients import KemIdentity, KemRecipient, KEMRecipientInfo, decode_kem_recipient_info
from pkix.public_keys import load_public_key
from pkix.recipients import (
    NULL,
    KeyTransRecipientInfo,
    RandomBytes,
    Recipient,
    RsaesOaepParams,
    open_rsa,
    rsa_padding,
)

Rid = IssuerAndSerialNumber | bytes  # bytes: the octets of a subjectKeyIdentifier

MAX_VALUE = 64 * 1024  # octets of a value, and of encryptedContent that is opened; a certificate has a few thousand

_EMPTY_NAME = b"\x30\x00"


def numbered(number: int) -> IssuerAndSerialNumber:
    """The rid of a key without certificate: the empty Name and a bodyPartID (RFC 10002), or 0 (RFC 9810)."""
    return IssuerAndSerialNumber(issuer=any_of(_EMPTY_NAME), serial_number=number)


def seal_value(
    value: bytes,
    spki: bytes,
    rid: Rid,
    *,
    cipher: ContentCipher,
    random: RandomBytes,
    backends: Backends,
    ukm: bytes | None = None,
) -> bytes:
    """DER ContentInfo with EnvelopedData, or with AuthEnvelopedData for a GCM cipher, over `value` as id-data.

    value: 1 to MAX_VALUE octets. spki: DER SubjectPublicKeyInfo, ML-KEM or RSA, which is checked as in a request.
    ukm: goes into the derivation of the key under ML-KEM (RFC 9629 section 3); RSA has no place for it.
    Raises AlgorithmRefused for a key that cannot decrypt or is too weak, Malformed, the errors of `kem.errors`.
    """
    if not 1 <= len(value) <= MAX_VALUE:
        raise ValueError(f"a value of {len(value)} octets; 1 to {MAX_VALUE} can be sealed")
    return encrypt(value, [_recipient(spki, rid, backends, ukm)], cipher, random)


def _recipient(spki: bytes, rid: Rid, backends: Backends, ukm: bytes | None) -> Recipient:
    if is_ml_kem(decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo").algorithm.algorithm):
        encapsulation_key = decode_public_key(spki)
        check_strength(encapsulation_key)
        kem = encapsulation_key.parameter_set.oid
        return KemRecipient(kem, partial(backends.encapsulate, encapsulation_key), rid, ukm=ukm)
    key = load_public_key(spki, "the key to encrypt to")
    check_key(key, "the key to encrypt to")
    if not isinstance(key, rsa.RSAPublicKey):
        raise AlgorithmRefused("the key to encrypt to only signs")
    return _RsaKey(key, rid)


@dataclass(frozen=True)
class _RsaKey:
    """An RSA key without a certificate, as `pkix.recipients.Recipient`."""

    key: rsa.RSAPublicKey
    rid: Rid

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        scheme = _oaep()
        info = KeyTransRecipientInfo(
            version=self.version,
            rid=self.rid,
            key_encryption_algorithm=scheme,
            encrypted_key=self.key.encrypt(key, rsa_padding(scheme)),
        )
        return encode(info)

    @property
    def version(self) -> int:
        return 2 if isinstance(self.rid, bytes) else 0  # RFC 5652 sections 6.1 and 6.2.1


def _oaep() -> AlgorithmIdentifier:
    """RSAES-OAEP with SHA-256 for both of its hashes (RFC 4055 section 4.1)."""
    digest = algorithm(oids.SHA256, NULL)
    mask = algorithm(oids.MGF1, encode(digest))
    params = RsaesOaepParams(hash_algorithm=digest, mask_gen_algorithm=mask, p_source_algorithm=None)
    return algorithm(oids.RSAES_OAEP, encode(params))


@dataclass(frozen=True)
class OpenedValue:
    """value: what was sealed. cipher: by which. ukm: what the sender put into the derivation, None with RSA."""

    value: bytes
    cipher: ContentCipher
    ukm: bytes | None

    def __repr__(self) -> str:
        return f"OpenedValue(value=<redacted>, cipher={self.cipher.name})"


def open_value(
    content_info: bytes, key: rsa.RSAPrivateKey | DecapsulationKey, *, policy: AlgorithmPolicy, backends: Backends
) -> OpenedValue:
    """Open what `seal_value` or another's equal made, in DER or BER, whatever the rid.

    policy: which ciphers; an ML-KEM key under AES-CBC needs `kem_in_cbc`, as CMP does.
    Raises Malformed, AlgorithmRefused, DecryptionFailed, and kem's InvalidCiphertext for one of a wrong length.
    """
    identity = _AnyRid(key, backends)
    opened = attempt(content_info, [identity], policy, bytes, max_content=MAX_VALUE)
    if opened.fault or not opened.content:
        raise DecryptionFailed(CANNOT_OPEN)
    return OpenedValue(opened.content, opened.cipher, identity.kem.ukm if identity.kem else None)


class _AnyRid:
    """A private key as `pkix.identities.Identity` that goes by the kind of recipient alone; for one opening."""

    def __init__(self, key: rsa.RSAPrivateKey | DecapsulationKey, backends: Backends) -> None:
        self._key = key
        self._backends = backends
        self.kem: KEMRecipientInfo | None = None

    def recognises(self, recipient_info: TLV) -> bool:
        if not isinstance(self._key, DecapsulationKey):
            return tag_of(recipient_info) == SEQUENCE_TAG
        info = decode_kem_recipient_info(recipient_info)
        if info is None or info.kem.algorithm != self._key.parameter_set.oid:
            return False
        self.kem = info
        return True

    def unwrap(self, recipient_info: TLV) -> bytes:
        if not isinstance(self._key, DecapsulationKey):
            return open_rsa(parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo"), self._key)
        decapsulate = partial(self._backends.decapsulate, self._key)
        return KemIdentity(self._key.parameter_set.oid, decapsulate, None, b"").unwrap(recipient_info)


def enveloped_data_of(content_info: bytes) -> bytes:
    """DER EnvelopedData out of its ContentInfo, as CMP wants it. Raises Malformed for another content."""
    found = decode(ContentInfo, content_info, "ContentInfo")
    if found.content_type != oids.ENVELOPED_DATA:
        raise Malformed(f"ContentInfo holds {oids.name(found.content_type)}, not EnvelopedData")
    return encode(found.content)


def content_info_of(enveloped_data: bytes) -> bytes:
    """DER ContentInfo around the EnvelopedData of CMP, for `open_value`."""
    return encode_content_info(oids.ENVELOPED_DATA, enveloped_data)
