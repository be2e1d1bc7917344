"""Keys and certificates from the blocks of a case, as our code wants them."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ca.authority import KemPair, KeyPair
from drafts.tools.deterministic import DeterministicEcdsaKey
from drafts.tools.labelled import NOW
from drafts.vectors.runner import Case
from kem.keys import DecapsulationKey, decode_private_key
from pkix.signatures import SigningKey


def time(text: str) -> datetime:
    """From RFC 3339 text in UTC."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def now(case: Case) -> datetime:
    """The clock of a case."""
    return time(case.header("time")) if "time" in case.headers else NOW


def private_key(der: bytes) -> SigningKey:
    """PKCS #8. An EC key signs deterministically, so that an answer can be compared octet by octet."""
    key = load_der_private_key(der, None)
    return DeterministicEcdsaKey(key) if isinstance(key, ec.EllipticCurvePrivateKey) else key  # type: ignore[return-value]


def pair(case: Case, who: str) -> KeyPair | None:
    """The key and certificate of a role, if the case has them."""
    if f"{who}-key" not in case.blocks:
        return None
    certificate = x509.load_der_x509_certificate(case.block(f"{who}-certificate"))
    return KeyPair(private_key(case.block(f"{who}-key")), certificate)


def kem_pairs(case: Case, who: str) -> tuple[KemPair, ...]:
    """The ML-KEM keys and certificates of a role."""
    keys, certificates = case.blocks.get(f"{who}-key", ()), case.blocks.get(f"{who}-certificate", ())
    return tuple(
        KemPair(decode_private_key(key), x509.load_der_x509_certificate(certificate))
        for key, certificate in zip(keys, certificates, strict=True)
    )


def kem_key(case: Case, name: str) -> DecapsulationKey | None:
    """An ML-KEM key alone."""
    return decode_private_key(case.block(name)) if name in case.blocks else None
