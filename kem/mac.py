"""HMAC (RFC 2104) by the identifiers of RFC 8018 appendix B.1.2."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cryptography.x509 import ObjectIdentifier as Oid

from kem.errors import MacMismatch, MalformedStructure, UnsupportedAlgorithm
from kem.structures import AlgorithmIdentifier, Null


@dataclass(frozen=True)
class Mac:
    """HMAC with one hash. length: octets of a MAC, and of the key that suits it."""

    name: str
    oid: Oid
    hash_name: str
    length: int

    def compute(self, key: bytes, data: bytes) -> bytes:
        """The MAC, `length` octets."""
        return hmac.digest(key, data, self.hash_name)

    def verify(self, key: bytes, data: bytes, mac: bytes) -> None:
        """Raises MacMismatch; in constant time for a MAC of the right length."""
        if not hmac.compare_digest(self.compute(key, data), mac):
            raise MacMismatch("the MAC is wrong")

    @property
    def identifier(self) -> AlgorithmIdentifier:
        """With the NULL parameters of RFC 8018."""
        return AlgorithmIdentifier(algorithm=self.oid, parameters=Null())


HMAC_SHA256 = Mac("HMAC-SHA256", Oid("1.2.840.113549.2.9"), "sha256", 32)
HMAC_SHA512 = Mac("HMAC-SHA512", Oid("1.2.840.113549.2.11"), "sha512", 64)

_BY_OID = {mac.oid: mac for mac in (HMAC_SHA256, HMAC_SHA512)}


def by_identifier(identifier: AlgorithmIdentifier) -> Mac:
    """The MAC an AlgorithmIdentifier names; absent parameters are read like NULL, since both are in use.

    Raises UnsupportedAlgorithm, MalformedStructure.
    """
    if identifier.algorithm not in _BY_OID:
        raise UnsupportedAlgorithm(f"MAC {identifier.algorithm.dotted_string} is not supported", "use HMAC-SHA256")
    mac = _BY_OID[identifier.algorithm]
    if not (identifier.parameters is None or isinstance(identifier.parameters, Null)):
        raise MalformedStructure(f"{mac.name} with algorithm parameters; they must be NULL or absent")
    return mac
