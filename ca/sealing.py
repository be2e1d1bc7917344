"""The server key and what is derived from it: sealing of stored secrets, and identifiers of challenge passwords.

The Store may live on another machine than the CA; what it holds is useless without this 32-octet key, which stays
with the CA's keys.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_LENGTH = 32
_NONCE_LENGTH = 12


class Unsealable(Exception):
    """The data was not sealed under this key for this purpose, or was altered."""


class ServerKey:
    """key: 32 random octets. Keys are derived from it with HKDF-SHA256, one for each purpose."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise ValueError(f"the server key has {len(key)} octets, not {KEY_LENGTH}")
        self._aead = AESGCM(_derive(key, b"scep-kem seal"))
        self._identifier_key = _derive(key, b"scep-kem challenge password identifier")
        self._reference_key = _derive(key, b"scep-kem credential reference")
        self._request_key = _derive(key, b"scep-kem request hash")

    def seal(self, plaintext: bytes, purpose: bytes, random: Callable[[int], bytes]) -> bytes:
        """AES-256-GCM: 12-octet nonce, ciphertext, 16-octet tag. `purpose` must be the same when opening."""
        nonce = random(_NONCE_LENGTH)
        return nonce + self._aead.encrypt(nonce, plaintext, purpose)

    def open(self, sealed: bytes, purpose: bytes) -> bytes:
        """The plaintext. Raises Unsealable."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:], purpose)
        except (InvalidTag, ValueError):
            raise Unsealable("a stored secret cannot be opened with this server key") from None

    def identifier(self, password: str) -> str:
        """HMAC-SHA256 (64 hex digits) by which the Store knows a challenge password.

        Keyed, so that a low-entropy password cannot be guessed from the database alone, and fast, because a
        password is looked up at every enrolment.
        """
        return hmac.digest(self._identifier_key, password.encode(), "sha256").hex()

    def reference_identifier(self, reference: str) -> str:
        """The same for a secret that has a reference. Under a key of its own, so that nobody can use a reference,
        which is no secret, as a password.
        """
        return hmac.digest(self._reference_key, reference.encode(), "sha256").hex()

    def request_identifier(self, digest: bytes) -> bytes:
        """HMAC-SHA256 (32 octets) of a hash of a request that holds a password and nothing else that is secret."""
        return hmac.digest(self._request_key, digest, "sha256")

    def __repr__(self) -> str:
        return "ServerKey(<redacted>)"


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_LENGTH, None, info).derive(key)
