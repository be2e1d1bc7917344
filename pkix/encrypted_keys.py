"""Encrypted PKCS #8 (EncryptedPrivateKeyInfo, RFC 5958 section 3): PBES2 with PBKDF2 and AES-CBC (RFC 8018).

`cryptography` decrypts only together with reading, and reads fewer kinds of keys than `pkix.keys`. It encrypts only
keys of its own, and none of ML-KEM. What is written here is AES-256-CBC under PBKDF2 with HMAC-SHA256.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from pkix import oids
from pkix.algorithms import AES128, AES192, AES256
from pkix.asn1 import AlgorithmIdentifier, algorithm, decode, decode_parameters, encode, octet_string, sequence
from pkix.errors import AlgorithmRefused, Malformed
from pkix.recipients import NULL, Pbkdf2Params, prf

RandomBytes = Callable[[int], bytes]

MAX_ITERATIONS = 10_000_000
ITERATIONS = 600_000  # of what is written; 0.2 s of a password that is tried
_CIPHERS = {cipher.oid: cipher for cipher in (AES128, AES192, AES256)}


@sequence
class EncryptedPrivateKeyInfo:
    """RFC 5958 section 3."""

    encryption_algorithm: AlgorithmIdentifier
    encrypted_data: bytes


@sequence
class _Pbes2Params:
    key_derivation_func: AlgorithmIdentifier
    encryption_scheme: AlgorithmIdentifier


def decrypt_private_key(der: bytes, password: bytes) -> bytes:
    """DER OneAsymmetricKey out of a DER EncryptedPrivateKeyInfo. Raises Malformed, AlgorithmRefused."""
    outer = decode(EncryptedPrivateKeyInfo, der, "encrypted private key")
    return decrypt_pbes2(outer.encryption_algorithm, outer.encrypted_data, password)


def decrypt_pbes2(scheme: AlgorithmIdentifier, data: bytes, password: bytes) -> bytes:
    """What `encrypt_pbes2` encrypted, or others with PBKDF2 and AES-CBC. Raises Malformed, AlgorithmRefused."""
    if scheme.algorithm != oids.PBES2:
        raise encryption_refused(oids.name(scheme.algorithm))
    params = decode_parameters(_Pbes2Params, scheme, "PBES2-params")
    encryption = params.encryption_scheme
    cipher = _CIPHERS.get(encryption.algorithm)
    if cipher is None:
        raise encryption_refused(oids.name(encryption.algorithm))
    key = derived(params.key_derivation_func, password, cipher.key_length)
    iv = decode_parameters(bytes, encryption, "IV of the encrypted private key")
    try:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise wrong_password() from None


def derived(derivation: AlgorithmIdentifier, password: bytes, length: int) -> bytes:
    """The key of `length` octets that PBKDF2 derives as it says. Raises Malformed, AlgorithmRefused."""
    if derivation.algorithm != oids.PBKDF2:
        raise encryption_refused(oids.name(derivation.algorithm))
    params = decode_parameters(Pbkdf2Params, derivation, "PBKDF2-params")
    if not 1 <= params.iteration_count <= MAX_ITERATIONS or params.key_length not in (None, length):
        raise AlgorithmRefused("the encrypted private key: PBKDF2 with an unusable number of iterations or key length")
    digest = prf(params.prf)
    try:
        return PBKDF2HMAC(digest, length, params.salt, params.iteration_count).derive(password)
    except ValueError:
        raise wrong_password() from None


def encrypt_private_key(der: bytes, password: bytes, random: RandomBytes) -> bytes:
    """DER EncryptedPrivateKeyInfo. der: OneAsymmetricKey, DER."""
    scheme, data = encrypt_pbes2(der, password, random)
    return encode(EncryptedPrivateKeyInfo(encryption_algorithm=scheme, encrypted_data=data))


def encrypt_pbes2(data: bytes, password: bytes, random: RandomBytes) -> tuple[AlgorithmIdentifier, bytes]:
    """The algorithm, id-PBES2 with its parameters (RFC 8018 section 6.2), and the encrypted data."""
    derivation, key = derive(password, random, AES256.key_length, said=False)
    iv = random(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
    scheme = algorithm(AES256.oid, octet_string(iv))
    return algorithm(
        oids.PBES2, encode(_Pbes2Params(key_derivation_func=derivation, encryption_scheme=scheme))
    ), encrypted


def derive(password: bytes, random: RandomBytes, length: int, *, said: bool) -> tuple[AlgorithmIdentifier, bytes]:
    """The algorithm, PBKDF2 with HMAC-SHA256 and a new salt, and the key of `length` octets. said: whether its
    parameters say the length, which PBMAC1 needs (RFC 9579 section 5).
    """
    salt = random(16)
    params = Pbkdf2Params(
        salt=salt,
        iteration_count=ITERATIONS,
        key_length=length if said else None,
        prf=algorithm(oids.HMAC_SHA256, NULL),
    )
    key = PBKDF2HMAC(hashes.SHA256(), length, salt, ITERATIONS).derive(password)
    return algorithm(oids.PBKDF2, encode(params)), key


def wrong_password() -> Malformed:
    """What to raise where nobody can tell a wrong password from a damaged file."""
    return Malformed("the private key cannot be read: it is damaged, or its password is another one")


def encryption_refused(what: str) -> AlgorithmRefused:
    """What to raise for a private key that is encrypted with something that nobody reads here."""
    advice = "encrypt it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW`"
    return AlgorithmRefused(f"the private key is encrypted with {what}, which is not supported; {advice}")
