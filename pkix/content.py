"""Content encryption: AES-CBC with padding (RFC 3565, RFC 5652 section 6.3) and AES-GCM (RFC 5084).

One interface over both: `encrypt` gives algorithm, ciphertext and, for GCM, a tag; `open_content` takes them back.
Every failure to open gives DecryptionFailed with the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pkix import oids
from pkix.algorithms import ContentCipher
from pkix.asn1 import (
    AlgorithmIdentifier,
    Default,
    algorithm,
    decode,
    encode,
    number,
    octet_string,
    parameters_der,
    sequence,
)
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed

CANNOT_DECRYPT = "the envelope cannot be decrypted"
GCM_NONCE_LENGTH = 12
GCM_TAG_LENGTH = 16
MIN_GCM_TAG_LENGTH = 12
MAX_GCM_NONCE_LENGTH = 64


@sequence
class GCMParameters:
    """RFC 5084 section 3.2. The default ICV length is 12 octets, so a 16-octet tag is encoded explicitly."""

    aes_nonce: bytes
    aes_icv_len: Annotated[int, Default(12)]


@dataclass(frozen=True)
class Encrypted:
    """algorithm: with its IV or nonce. tag: the MAC of AuthEnvelopedData, None for CBC."""

    algorithm: AlgorithmIdentifier
    ciphertext: bytes
    tag: bytes | None


def iv_length(cipher: ContentCipher) -> int:
    """Octets of IV (CBC) or nonce (GCM) that `encrypt` takes."""
    return GCM_NONCE_LENGTH if cipher.authenticated else cipher.block_length


def encrypt(cipher: ContentCipher, key: bytes, iv: bytes, plaintext: bytes) -> Encrypted:
    """Encrypt. iv: `iv_length(cipher)` octets, never used twice with a key."""
    if cipher.authenticated:
        encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        parameters = GCMParameters(aes_nonce=iv, aes_icv_len=GCM_TAG_LENGTH)
        return Encrypted(algorithm(cipher.oid, encode(parameters)), ciphertext, encryptor.tag)
    count = cipher.block_length - len(plaintext) % cipher.block_length
    context = _cbc(cipher, key, iv).encryptor()
    ciphertext = context.update(plaintext + bytes((count,)) * count) + context.finalize()
    return Encrypted(algorithm(cipher.oid, octet_string(iv)), ciphertext, None)


def open_content(
    cipher: ContentCipher, scheme: AlgorithmIdentifier, key: bytes, ciphertext: bytes, *, tag: bytes, aad: bytes
) -> bytes:
    """The plaintext. tag and aad (DER of the authenticated attributes as SET OF, or nothing) are for GCM alone.

    Raises Malformed and AlgorithmRefused for the parameters, DecryptionFailed for everything that follows.
    """
    if cipher.authenticated:
        return _open_gcm(cipher, scheme, key, ciphertext, tag, aad)
    iv = decode(bytes, parameters_der(scheme) or b"", f"{cipher.name} IV")
    if len(iv) != cipher.block_length:
        raise Malformed(f"{cipher.name} IV of {len(iv)} octets, not {cipher.block_length}")
    if len(key) != cipher.key_length or not ciphertext or len(ciphertext) % cipher.block_length:
        raise DecryptionFailed(CANNOT_DECRYPT)
    context = _cbc(cipher, key, iv).decryptor()
    padded = context.update(ciphertext) + context.finalize()
    count = padded[-1]
    if not 1 <= count <= cipher.block_length or padded[-count:] != bytes((count,)) * count:
        raise DecryptionFailed(CANNOT_DECRYPT)
    return padded[:-count]


def _open_gcm(
    cipher: ContentCipher, scheme: AlgorithmIdentifier, key: bytes, ciphertext: bytes, tag: bytes, aad: bytes
) -> bytes:
    parameters = decode(GCMParameters, parameters_der(scheme) or b"", "GCMParameters")
    nonce, length = parameters.aes_nonce, parameters.aes_icv_len
    if not MIN_GCM_TAG_LENGTH <= length <= GCM_TAG_LENGTH or len(tag) != length:
        raise AlgorithmRefused(f"{cipher.name} with a tag of {len(tag)} octets and aes-ICVlen {number(length)}")
    if not 8 <= len(nonce) <= MAX_GCM_NONCE_LENGTH:
        raise AlgorithmRefused(f"{cipher.name} with a nonce of {len(nonce)} octets")
    if len(key) != cipher.key_length:
        raise DecryptionFailed(CANNOT_DECRYPT)
    context = Cipher(algorithms.AES(key), modes.GCM(nonce, tag, length)).decryptor()
    context.authenticate_additional_data(aad)
    try:
        return context.update(ciphertext) + context.finalize()
    except InvalidTag:
        raise DecryptionFailed(CANNOT_DECRYPT) from None


def _cbc(cipher: ContentCipher, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    block = TripleDES(key) if cipher.oid == oids.DES_EDE3_CBC else algorithms.AES(key)
    return Cipher(block, modes.CBC(iv))
