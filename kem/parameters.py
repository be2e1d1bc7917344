"""The ML-KEM parameter sets (FIPS 203 section 8) with their object identifiers (RFC 9935 section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.x509 import ObjectIdentifier as Oid

from kem.errors import InvalidCiphertext, MalformedStructure, UnsupportedParameterSet
from kem.structures import AlgorithmIdentifier

MODULUS = 3329  # q of FIPS 203 section 2.4


@dataclass(frozen=True, repr=False)
class ParameterSet:
    """One parameter set. Lengths in octets; decapsulation_key_length is that of the expanded form.

    rank and eta1 are k and η₁ of FIPS 203 table 2; the other parameters are not needed outside a backend.
    """

    name: str
    oid: Oid
    rank: int
    eta1: int
    encapsulation_key_length: int
    decapsulation_key_length: int
    ciphertext_length: int
    seed_length: int = 64  # d || z of FIPS 203 algorithm 16
    shared_secret_length: int = 32

    def __repr__(self) -> str:
        return self.name


ML_KEM_512 = ParameterSet("ML-KEM-512", Oid("2.16.840.1.101.3.4.4.1"), 2, 3, 800, 1632, 768)
ML_KEM_768 = ParameterSet("ML-KEM-768", Oid("2.16.840.1.101.3.4.4.2"), 3, 2, 1184, 2400, 1088)
ML_KEM_1024 = ParameterSet("ML-KEM-1024", Oid("2.16.840.1.101.3.4.4.3"), 4, 2, 1568, 3168, 1568)

PARAMETER_SETS = (ML_KEM_512, ML_KEM_768, ML_KEM_1024)
_BY_NAME = {parameter_set.name: parameter_set for parameter_set in PARAMETER_SETS}
_BY_OID = {parameter_set.oid: parameter_set for parameter_set in PARAMETER_SETS}


def by_name(name: str) -> ParameterSet:
    """The set called "ML-KEM-512", "ML-KEM-768" or "ML-KEM-1024". Raises UnsupportedParameterSet."""
    if name not in _BY_NAME:
        raise UnsupportedParameterSet(f"unknown KEM {name!r}; known: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def by_oid(oid: Oid) -> ParameterSet:
    """The set with this algorithm identifier. Raises UnsupportedParameterSet."""
    if oid not in _BY_OID:
        raise UnsupportedParameterSet(f"{oid.dotted_string} is not an ML-KEM algorithm")
    return _BY_OID[oid]


def by_identifier(identifier: AlgorithmIdentifier) -> ParameterSet:
    """The set that an AlgorithmIdentifier names. Raises UnsupportedParameterSet, MalformedStructure."""
    parameter_set = by_oid(identifier.algorithm)
    if identifier.parameters is not None:
        raise MalformedStructure(f"{parameter_set} with algorithm parameters; they must be absent (RFC 9935 section 3)")
    return parameter_set


def check_ciphertext(parameter_set: ParameterSet, ciphertext: bytes) -> None:
    """The ciphertext type check of FIPS 203 section 7.3. Raises InvalidCiphertext."""
    expected = parameter_set.ciphertext_length
    if len(ciphertext) != expected:
        raise InvalidCiphertext(f"{parameter_set} ciphertext of {len(ciphertext)} octets; it must have {expected}")


def is_ml_kem(oid: Oid) -> bool:
    """Whether a key or ciphertext with this algorithm identifier is ML-KEM's."""
    return oid in _BY_OID
