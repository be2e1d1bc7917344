"""Key derivation by HKDF (RFC 5869), named by the identifiers of RFC 8619.

The salt is absent throughout, which HKDF reads as zero octets of the hash's length: RFC 9629, RFC 9810 and RFC 9936 put
what has to be bound to the key into `info`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509 import ObjectIdentifier as Oid

from kem.errors import MalformedStructure, UnsupportedAlgorithm
from kem.structures import AlgorithmIdentifier, algorithm, number


@dataclass(frozen=True)
class Kdf:
    """HKDF with one hash."""

    name: str
    oid: Oid
    hash: hashes.HashAlgorithm

    def derive(self, secret: bytes, length: int, info: bytes) -> bytes:
        """`length` octets from a secret of any length. Raises UnsupportedAlgorithm for more than HKDF can give."""
        if not 1 <= length <= 255 * self.hash.digest_size:
            raise UnsupportedAlgorithm(f"{self.name} cannot derive {number(length)} octets")
        return HKDF(self.hash, length, salt=None, info=info).derive(secret)

    def digest(self, data: bytes) -> bytes:
        """The KDF's hash of some data: H of the proof-of-possession structures."""
        return hashlib.new(self.hash.name, data).digest()

    @property
    def identifier(self) -> AlgorithmIdentifier:
        """Parameters absent, as RFC 8619 section 2 says."""
        return algorithm(self.oid)


HKDF_SHA256 = Kdf("HKDF-SHA256", Oid("1.2.840.113549.1.9.16.3.28"), hashes.SHA256())
HKDF_SHA384 = Kdf("HKDF-SHA384", Oid("1.2.840.113549.1.9.16.3.29"), hashes.SHA384())
HKDF_SHA512 = Kdf("HKDF-SHA512", Oid("1.2.840.113549.1.9.16.3.30"), hashes.SHA512())

_BY_OID = {kdf.oid: kdf for kdf in (HKDF_SHA256, HKDF_SHA384, HKDF_SHA512)}


def by_identifier(identifier: AlgorithmIdentifier) -> Kdf:
    """The KDF an AlgorithmIdentifier names. Raises UnsupportedAlgorithm, MalformedStructure (parameters present)."""
    if identifier.algorithm not in _BY_OID:
        raise UnsupportedAlgorithm(f"KDF {identifier.algorithm.dotted_string} is not supported", "use HKDF-SHA256")
    kdf = _BY_OID[identifier.algorithm]
    if identifier.parameters is not None:
        raise MalformedStructure(f"{kdf.name} with algorithm parameters; they must be absent (RFC 8619 section 2)")
    return kdf


def by_oid(oid: Oid) -> Kdf:
    """The KDF with this identifier. Raises UnsupportedAlgorithm."""
    return by_identifier(algorithm(oid))
