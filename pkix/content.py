"""Content encryption: AES-CBC with padding (RFC 3565, RFC 5652 section 6.3) and AES-GCM (RFC 5084).

One interface over both: `encrypt` gives algorithm, ciphertext and, for GCM, a tag; `read_parameters` and `open_content`
take them back. What anybody can see to be wrong is said before anything is decrypted. What only the key's owner can see
has one text, and under CBC no end: wrong padding is noted, and the reader goes on (`Plaintext`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pkix import oids
from pkix.algorithms import ContentCipher
from pkix.asn1 import (
    AlgorithmIdentifier,
    algorithm,
    decode_parameters,
    encode,
    number,
    octet_string,
    sequence,
)
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed

# The one text for everything that goes wrong with an envelope from its decryption on.
CANNOT_OPEN = "the envelope cannot be opened, or what it holds is not valid"
PADDING_WRONG = "the padding is wrong (RFC 5652 section 6.3), as it also is after another key"
GCM_NONCE_LENGTH = 12
GCM_TAG_LENGTH = 16
MIN_GCM_TAG_LENGTH = 12
MAX_GCM_NONCE_LENGTH = 64


@sequence
class GCMParameters:
    """RFC 5084 section 3.2. An absent ICV length means 12 octets, which some write out all the same."""

    aes_nonce: bytes
    aes_icv_len: int | None


@dataclass(frozen=True)
class Encrypted:
    """algorithm: with its IV or nonce. tag: the MAC of AuthEnvelopedData, None for CBC."""

    algorithm: AlgorithmIdentifier
    ciphertext: bytes
    tag: bytes | None


def cannot_open(cause: str) -> DecryptionFailed:
    """What to raise with the one text. cause: for the operator."""
    return DecryptionFailed(CANNOT_OPEN, cause)


def iv_length(cipher: ContentCipher) -> int:
    """Octets of IV (CBC) or nonce (GCM) that `encrypt` takes."""
    return GCM_NONCE_LENGTH if cipher.authenticated else cipher.block_length


def encrypt(cipher: ContentCipher, key: bytes, iv: bytes, plaintext: bytes, *, aad: bytes = b"") -> Encrypted:
    """Encrypt. iv: `iv_length(cipher)` octets, never used twice with a key. aad: what a GCM tag covers besides."""
    if cipher.authenticated:
        encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
        encryptor.authenticate_additional_data(aad)
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        parameters = GCMParameters(aes_nonce=iv, aes_icv_len=GCM_TAG_LENGTH)
        return Encrypted(algorithm(cipher.oid, encode(parameters)), ciphertext, encryptor.tag)
    count = cipher.block_length - len(plaintext) % cipher.block_length
    context = _cbc(cipher, key, iv).encryptor()
    ciphertext = context.update(plaintext + bytes((count,)) * count) + context.finalize()
    return Encrypted(algorithm(cipher.oid, octet_string(iv)), ciphertext, None)


@dataclass(frozen=True)
class Parameters:
    """What a contentEncryptionAlgorithm says. iv: octets of IV or nonce. tag: the MAC, empty for CBC."""

    iv: bytes
    tag: bytes


def read_parameters(cipher: ContentCipher, scheme: AlgorithmIdentifier, ciphertext: bytes, *, tag: bytes) -> Parameters:
    """Check what anybody can see. tag: that of AuthEnvelopedData, or nothing.

    Raises Malformed and AlgorithmRefused for the parameters, DecryptionFailed for a ciphertext that is not whole
    blocks.
    """
    if cipher.authenticated:
        return Parameters(_gcm_nonce(cipher, scheme, tag), tag)
    iv = decode_parameters(bytes, scheme, f"{cipher.name} IV")
    if len(iv) != cipher.block_length:
        raise Malformed(f"{cipher.name} IV of {len(iv)} octets, not {cipher.block_length}")
    if not ciphertext or len(ciphertext) % cipher.block_length:
        blocks = f"not blocks of {cipher.block_length}" if ciphertext else "and padding alone fills a block"
        raise cannot_open(f"encryptedContent has {len(ciphertext)} octets, {blocks} (RFC 5652 section 6.3)")
    return Parameters(iv, b"")


def _gcm_nonce(cipher: ContentCipher, scheme: AlgorithmIdentifier, tag: bytes) -> bytes:
    parameters = decode_parameters(GCMParameters, scheme, "GCMParameters")
    nonce = parameters.aes_nonce
    length = MIN_GCM_TAG_LENGTH if parameters.aes_icv_len is None else parameters.aes_icv_len
    if not MIN_GCM_TAG_LENGTH <= length <= GCM_TAG_LENGTH or len(tag) != length:
        fact, advice = f"{cipher.name} with a tag of {len(tag)} octets and aes-ICVlen {number(length)}", ""
        if parameters.aes_icv_len is None and MIN_GCM_TAG_LENGTH < len(tag) <= GCM_TAG_LENGTH:
            fact += ", which absence means (RFC 5084 section 3.2)"
            advice = f"write aes-ICVlen {len(tag)}"
        raise AlgorithmRefused(fact, advice)
    if not 8 <= len(nonce) <= MAX_GCM_NONCE_LENGTH:
        raise AlgorithmRefused(f"{cipher.name} with a nonce of {len(nonce)} octets")
    return nonce


@dataclass(frozen=True)
class Plaintext:
    """octets: what was decrypted, without its padding. fault: what shows that it is not what was sent, for the
    operator; empty if nothing does. With a fault under CBC, the octets are those that the DER length at their beginning
    spans, so that whoever reads them does the same work as without; under GCM there are none.
    """

    octets: bytes
    fault: str = ""

    def __repr__(self) -> str:
        return f"Plaintext(octets=<redacted>, fault={self.fault!r})"


def open_content(
    cipher: ContentCipher, parameters: Parameters, key: bytes, ciphertext: bytes, *, aad: bytes
) -> Plaintext:
    """Decrypt. key: of the cipher's length. aad: DER of the authenticated attributes as SET OF, or nothing, for GCM."""
    if cipher.authenticated:
        return _open_gcm(parameters, key, ciphertext, aad)
    context = _cbc(cipher, key, parameters.iv).decryptor()
    padded = context.update(ciphertext) + context.finalize()
    count = padded[-1]
    if 1 <= count <= cipher.block_length and padded[-count:] == bytes((count,)) * count:
        return Plaintext(padded[:-count])
    return Plaintext(padded[: _der_length(padded)], PADDING_WRONG)


def _der_length(octets: bytes) -> int:
    """How many octets the value spans that begins here, by its own length; all of them if that cannot be."""
    first, size = octets[1], len(octets)
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return min(size, 2 + count + int.from_bytes(octets[2 : 2 + count], "big"))


def _open_gcm(parameters: Parameters, key: bytes, ciphertext: bytes, aad: bytes) -> Plaintext:
    context = Cipher(algorithms.AES(key), modes.GCM(parameters.iv, parameters.tag, len(parameters.tag))).decryptor()
    context.authenticate_additional_data(aad)
    try:
        return Plaintext(context.update(ciphertext) + context.finalize())
    except InvalidTag:
        return Plaintext(b"", "the tag is wrong: another key, nonce, ciphertext or authAttrs")


def _cbc(cipher: ContentCipher, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    if cipher.oid == oids.DES_CBC:
        key *= 3  # of 3DES with one key three times, the second step undoes the first
    block = TripleDES(key) if cipher.block_length == TripleDES.block_size // 8 else algorithms.AES(key)
    return Cipher(block, modes.CBC(iv))
