"""The cost of the key operations that no responder can do without, whatever surrounds them.

Of an RSA-2048 enrolment: decrypt the request's content key, sign the certificate and the answer, verify the request's
two signatures, encrypt the answer's content key.

What part of this limit a server reaches says as much about the processor: where RSA is fast (AVX-512 IFMA makes it
twice as fast in OpenSSL) everything else weighs more. Two machines are compared by CPU time minus this.
"""

from __future__ import annotations

import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SETS = 40
_SIGNED_OCTETS = 1000


class Limit:
    """Measures one enrolment's key operations on one core."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key, self._public = key, key.public_key()
        self._padding, self._digest = padding.PKCS1v15(), hashes.SHA256()
        self._data, self._secret = os.urandom(_SIGNED_OCTETS), os.urandom(16)
        self._wrapped = self._public.encrypt(self._secret, self._padding)

    def seconds(self) -> float:
        """Wall-clock seconds of one enrolment's operations, the mean of 40."""
        began = time.perf_counter()
        for _ in range(SETS):
            self._key.decrypt(self._wrapped, self._padding)
            for _ in range(2):
                signature = self._key.sign(self._data, self._padding, self._digest)
                self._public.verify(signature, self._data, self._padding, self._digest)
            self._public.encrypt(self._secret, self._padding)
        return (time.perf_counter() - began) / SETS
