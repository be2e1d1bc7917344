"""Encrypted PKCS #8 (EncryptedPrivateKeyInfo, RFC 5958 section 3): PBES2 with PBKDF2 and AES-CBC (RFC 8018).

`cryptography` decrypts only together with reading, and reads fewer kinds of keys than `pkix.keys`.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from pkix import oids
from pkix.algorithms import AES128, AES192, AES256
from pkix.asn1 import AlgorithmIdentifier, decode, decode_parameters, sequence
from pkix.errors import AlgorithmRefused, Malformed
from pkix.recipients import Pbkdf2Params, prf

MAX_ITERATIONS = 10_000_000
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
    kind = outer.encryption_algorithm.algorithm
    if kind != oids.PBES2:
        raise _refused(f"{oids.name(kind)}")
    scheme = decode_parameters(_Pbes2Params, outer.encryption_algorithm, "PBES2-params")
    derivation, encryption = scheme.key_derivation_func, scheme.encryption_scheme
    if derivation.algorithm != oids.PBKDF2:
        raise _refused(oids.name(derivation.algorithm))
    cipher = _CIPHERS.get(encryption.algorithm)
    if cipher is None:
        raise _refused(oids.name(encryption.algorithm))
    params = decode_parameters(Pbkdf2Params, derivation, "PBKDF2-params")
    if not 1 <= params.iteration_count <= MAX_ITERATIONS or params.key_length not in (None, cipher.key_length):
        raise AlgorithmRefused("the encrypted private key: PBKDF2 with an unusable number of iterations or key length")
    iv = decode_parameters(bytes, encryption, "IV of the encrypted private key")
    digest = prf(params.prf)
    try:
        key = PBKDF2HMAC(digest, cipher.key_length, params.salt, params.iteration_count).derive(password)
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(outer.encrypted_data) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise wrong_password() from None


def wrong_password() -> Malformed:
    """What to raise where nobody can tell a wrong password from a damaged file."""
    return Malformed("the private key cannot be read: it is damaged, or its password is another one")


def _refused(what: str) -> AlgorithmRefused:
    advice = "encrypt it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"
    return AlgorithmRefused(f"the private key is encrypted with {what}, which is not supported; {advice}")
