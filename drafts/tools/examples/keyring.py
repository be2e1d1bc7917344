"""Opening the envelopes of the examples step by step, so that each value on the way can be shown.

Written apart from `pkix`, over the octets of the messages, with the standard library's HMAC: what the examples state
has then been computed twice.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from drafts.tools.examples.names import NAMES
from drafts.tools.labelled import LabelledBackend
from drafts.tools.tlv import SEQUENCE, Tlv, oid_of, parse
from kem.keys import DecapsulationKey

KTRI, KEKRI, ORI = SEQUENCE, 0xA2, 0xA4
_HASHES = {"id-alg-hkdf-with-sha256": "sha256", "id-alg-hkdf-with-sha512": "sha512"}


def hkdf(digest: str, secret: bytes, length: int, info: bytes) -> bytes:
    """RFC 5869 without a salt."""
    size = hashlib.new(digest).digest_size
    prk = hmac.digest(bytes(size), secret, digest)
    block, found = b"", b""
    for count in range(1, -(-length // size) + 1):
        block = hmac.digest(prk, block + info + bytes((count,)), digest)
        found += block
    return found[:length]


@dataclass(frozen=True)
class Envelope:
    """An opened envelope. whose: label of the key that opened it. kind: KTRI, KEKRI or ORI, by the tag of its
    recipient.

    ciphertext: of the KEM or of RSA. ss, info, kek: of the KEM; kek alone of a KEKRecipientInfo.
    """

    whose: str
    cek: bytes
    kind: int = 0
    iv: bytes = b""
    plaintext: bytes = b""
    ciphertext: bytes = b""
    ss: bytes = b""
    info: bytes = b""
    kek: bytes = b""
    digest: str = ""


@dataclass
class Keyring:
    """Private keys by what a RecipientInfo says of their owner: the DER of its rid or kekid."""

    kems: dict[bytes, tuple[str, DecapsulationKey]] = field(default_factory=dict)
    rsa: dict[bytes, tuple[str, rsa.RSAPrivateKey]] = field(default_factory=dict)
    keks: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)

    def open(self, content_info: bytes) -> Envelope:
        """Open a pkcsPKIEnvelope with the one recipient that ours have."""
        _kind, wrapped = parse(content_info).children()
        (enveloped,) = wrapped.children()
        _version, recipients, content, *mac = enveloped.children()
        (recipient,) = recipients.children()
        found = {KTRI: self._rsa, KEKRI: self._kek, ORI: self._kem}[recipient.tag](recipient)
        iv, plaintext = _decrypt(found.cek, content, mac)
        return replace(found, kind=recipient.tag, iv=iv, plaintext=plaintext)

    def _rsa(self, recipient: Tlv) -> Envelope:
        _version, rid, _scheme, encrypted = recipient.children()
        whose, key = self.rsa[rid.der]
        cek = key.decrypt(encrypted.content, padding.PKCS1v15())
        return Envelope(whose, cek, ciphertext=encrypted.content)

    def _kek(self, recipient: Tlv) -> Envelope:
        _version, kekid, _scheme, encrypted = recipient.children()
        (identifier,) = kekid.children()
        whose, kek = self.keks[identifier.content]
        return Envelope(whose, aes_key_unwrap(kek, encrypted.content), kek=kek)

    def _kem(self, recipient: Tlv) -> Envelope:
        _type, info = recipient.children()
        _version, rid, _kem, kemct, kdf, length, wrap, encrypted = info.children()
        whose, key = self.kems[rid.content if rid.tag == 0x80 else rid.der]
        digest = _HASHES[NAMES[oid_of(next(kdf.children()).content)]]
        other = wrap.der + length.der
        other = bytes((SEQUENCE, len(other))) + other
        ss = LabelledBackend("").decapsulate(key, kemct.content)
        kek = hkdf(digest, ss, int.from_bytes(length.content, "big"), other)
        cek = aes_key_unwrap(kek, encrypted.content)
        return Envelope(whose, cek, ciphertext=kemct.content, ss=ss, info=other, kek=kek, digest=digest)


def _decrypt(cek: bytes, content: Tlv, mac: list[Tlv]) -> tuple[bytes, bytes]:
    """IV and plaintext of an EncryptedContentInfo; AES-GCM if there is a mac beside it, else AES-CBC."""
    _type, scheme, encrypted = content.children()
    _oid, parameters = scheme.children()
    if mac:
        nonce, _length = parameters.children()
        return nonce.content, AESGCM(cek).decrypt(nonce.content, encrypted.content + mac[0].content, None)
    context = Cipher(algorithms.AES(cek), modes.CBC(parameters.content)).decryptor()
    padded = context.update(encrypted.content) + context.finalize()
    return parameters.content, padded[: -padded[-1]]
