"""The ASN.1 of this package, on `cryptography.hazmat.asn1`, whose API its authors call unstable.

Keys: SubjectPublicKeyInfo (RFC 5280), OneAsymmetricKey (RFC 5958) and the contents that RFC 9935 section 6 gives it.
KEM-based MAC: KemBMParameter, KemCiphertextInfo and KemOtherInfo of RFC 9810, whose module has EXPLICIT tags
(appendix F); protocols put the first two into structures of their own.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from cryptography.hazmat.asn1 import TLV, BitString, Explicit, Implicit, Null, decode_der, encode_der, sequence
from cryptography.x509 import ObjectIdentifier as Oid

from kem.der_faults import Undecoded
from kem.errors import MalformedStructure

__all__ = [
    "OCTET_STRING_TAG",
    "SEED_TAG",
    "SEQUENCE_TAG",
    "TLV",
    "AlgorithmIdentifier",
    "Both",
    "KemBMParameter",
    "KemCiphertextInfo",
    "KemOtherInfo",
    "Null",
    "OneAsymmetricKey",
    "SubjectPublicKeyInfo",
    "algorithm",
    "bit_string",
    "decode",
    "encode",
    "number",
    "octets_of",
]

T = TypeVar("T")

SEED_TAG = 0x80  # [0] IMPLICIT OCTET STRING
OCTET_STRING_TAG = 0x04
SEQUENCE_TAG = 0x30


@sequence
class AlgorithmIdentifier:
    """RFC 5280 section 4.1.1.2. Parameters absent and NULL are different values."""

    algorithm: Oid
    parameters: Null | TLV | None


@sequence
class SubjectPublicKeyInfo:
    """RFC 5280 section 4.1.2.7."""

    algorithm: AlgorithmIdentifier
    subject_public_key: BitString


@sequence
class OneAsymmetricKey:
    """RFC 5958 section 2; version 0 is v1 and 1 is v2. The attributes are not looked at."""

    version: int
    private_key_algorithm: AlgorithmIdentifier
    private_key: bytes
    attributes: Annotated[list[TLV] | None, Implicit(0)]
    public_key: Annotated[BitString | None, Implicit(1)]


@sequence
class Both:
    """The third alternative of RFC 9935's ML-KEM-*-PrivateKey."""

    seed: bytes
    expanded_key: bytes


@sequence
class KemBMParameter:
    """RFC 9810 section 5.1.3.4. `len` is the length of the derived key in octets."""

    kdf: AlgorithmIdentifier
    kem_context: Annotated[bytes | None, Explicit(0)]
    len: int
    mac: AlgorithmIdentifier


@sequence
class KemCiphertextInfo:
    """RFC 9810 section 5.3.19.18."""

    kem: AlgorithmIdentifier
    ct: bytes


@sequence
class KemOtherInfo:
    """RFC 9810 section 5.1.3.4. static_string is PKIFreeText, a SEQUENCE OF UTF8String."""

    static_string: list[str]
    transaction_id: bytes
    kem_context: Annotated[bytes | None, Explicit(0)]


def decode(cls: type[T], der: bytes, what: str) -> T:
    """Decode strict DER. `what` names the structure for the error text. Raises MalformedStructure.

    The library's own text stays out: it is a debugging aid, and half of what comes here is private keys.
    """
    try:
        return decode_der(cls, der)
    except (ValueError, OverflowError):
        raise MalformedStructure(f"{what} is not valid DER", Undecoded(cls, der)) from None


def number(value: int) -> str:
    """An integer for an error text; a peer may send one with more digits than Python cares to write."""
    return str(value) if value.bit_length() <= 64 else f"of {value.bit_length()} bits"


def encode(value: object) -> bytes:
    """DER of a declared structure or a primitive value."""
    return encode_der(value)


def algorithm(oid: Oid) -> AlgorithmIdentifier:
    """AlgorithmIdentifier with absent parameters."""
    return AlgorithmIdentifier(algorithm=oid, parameters=None)


def bit_string(octets: bytes) -> BitString:
    """A BIT STRING of whole octets."""
    return BitString(data=octets, padding_bits=0)


def octets_of(value: BitString, what: str) -> bytes:
    """The octets of a BIT STRING that has no unused bits. Raises MalformedStructure."""
    if value.padding_bits() != 0:
        raise MalformedStructure(f"{what} is not a whole number of octets")
    return bytes(value.as_bytes())
