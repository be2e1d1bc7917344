"""Who takes part in the cases: CAs, RAs, clients and strangers, their keys and certificates, all from labels.

Every label of this generator begins with "vectors/". The RSA keys are the draft's recorded ones.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.authority import new_serial
from ca.profiles import extension
from drafts.tools.labelled import NOW, Labelled, kem_key, signing_key
from kem.keys import DecapsulationKey, EncapsulationKey, encode_public_key
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate, key_identifier
from pkix.keys import load_private_key, spki_of
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from pkix.usages import CMC_RA, key_usage

PREFIX = "vectors"
YEAR = timedelta(days=365)
WEAK_KEY = Path(__file__).parent / "rsa-1024.pem"
RSA_LABELS = {"ca": "rsa-ca", "device": "rsa-device", "other": "rsa-other", "ra-decryption": "rsa-ra-decrypt"}
CLIENT_AUTH = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
RA = x509.ExtendedKeyUsage([CMC_RA])
CA_USAGES = frozenset({"keyCertSign", "cRLSign", "digitalSignature"})
SIGNING = frozenset({"digitalSignature"})
ENCIPHERMENT = frozenset({"keyEncipherment"})


def name(text: str) -> x509.Name:
    """A Name from RFC 4514 text."""
    return x509.Name.from_rfc4514_string(text)


def key(kind: str, label: str) -> SigningKey:
    """A signing key; RSA ones are recorded under a few labels."""
    return signing_key(kind, RSA_LABELS[label] if kind.startswith("rsa:") else f"{PREFIX}/{label}")


@functools.cache
def weak_key() -> rsa.RSAPrivateKey:
    """RSA with 1024 bits, to be refused."""
    found = load_private_key(WEAK_KEY.read_bytes())
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


@dataclass(frozen=True)
class Party:
    """A signing key and a certificate for it."""

    key: SigningKey
    certificate: Certificate

    @property
    def signer(self) -> Signer:
        """As SignedData wants it."""
        return Signer(self.key, self.certificate)

    @property
    def x509(self) -> x509.Certificate:
        """The certificate as `cryptography` reads it."""
        return x509.load_der_x509_certificate(self.certificate.der)


@dataclass(frozen=True)
class KemParty:
    """An ML-KEM key pair and, if there is one, its certificate."""

    private: DecapsulationKey
    public: EncapsulationKey
    certificate: Certificate | None = None

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return encode_public_key(self.public)


def kem_party(label: str, parameter_set: str = "ML-KEM-768") -> KemParty:
    """A key pair without a certificate."""
    return KemParty(*kem_key(parameter_set, f"{PREFIX}/{label}"))


def certificate(
    subject: str,
    spki: bytes,
    issuer: Party | None = None,
    *,
    label: str,
    signer: SigningKey | None = None,
    usages: frozenset[str] = SIGNING,
    eku: x509.ExtendedKeyUsage | None = None,
    ca: bool = False,
    lifetime: tuple[datetime, datetime] = (NOW - YEAR, NOW + YEAR),
    more: Sequence[x509.Extension[x509.ExtensionType]] = (),
) -> Certificate:
    """A certificate for a key. issuer: None for a self-signed one, whose key is `signer`, which may also differ from
    the issuer's, to be wrong. label: of the serial number.
    """
    named = name(subject).public_bytes()
    extensions = [
        extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True),
        extension(key_usage(usages), critical=True),
        extension(x509.SubjectKeyIdentifier(key_identifier(spki))),
        *([extension(eku)] if eku else []),
        *more,
    ]
    if issuer is not None:
        signer = signer or issuer.key
    assert signer is not None
    contents = Contents(
        serial_number=new_serial(Labelled(f"{PREFIX}/serial/{label}")),
        issuer=named if issuer is None else issuer.certificate.subject,
        subject=named,
        spki=spki,
        not_before=lifetime[0],
        not_after=lifetime[1],
        extensions=extensions,
    )
    return Certificate.decode(encode_certificate(contents, signer))


@functools.cache
def root(kind: str, label: str, subject: str, lifetime: tuple[datetime, datetime] | None = None) -> Party:
    """A CA with a self-signed certificate."""
    private = key(kind, label)
    usages = CA_USAGES | (ENCIPHERMENT if kind.startswith("rsa:") else frozenset())
    period = lifetime or (NOW - YEAR, NOW + 9 * YEAR)
    made = certificate(subject, spki_of(private), label=label, signer=private, usages=usages, ca=True, lifetime=period)
    return Party(private, made)


def issued(kind: str, label: str, subject: str, issuer: Party, **more: object) -> Party:
    """A party whose certificate a CA issued. more: see `certificate`."""
    private = key(kind, label)
    return Party(private, certificate(subject, spki_of(private), issuer, label=label, **more))  # type: ignore[arg-type]


def self_signed(kind: str, label: str, subject: str) -> Party:
    """A client without a certificate, which signs its first request with one of its own (section 2.3)."""
    private = key(kind, label)
    usages = SIGNING | (ENCIPHERMENT if kind.startswith("rsa:") else frozenset())
    return Party(private, certificate(subject, spki_of(private), label=f"self/{label}", signer=private, usages=usages))


def kem_issued(label: str, subject: str, issuer: Party, parameter_set: str = "ML-KEM-768", **more: object) -> KemParty:
    """An ML-KEM key with a certificate of a CA; keyUsage is keyEncipherment alone (RFC 9935 section 5)."""
    found = kem_party(label, parameter_set)
    arguments: dict[str, object] = {"usages": ENCIPHERMENT} | more
    made = certificate(subject, found.spki, issuer, label=label, **arguments)  # type: ignore[arg-type]
    return KemParty(found.private, found.public, made)


CA_SUBJECT = "CN=Testkit CA,O=Example"


def rsa_ca() -> Party:
    """The CA of the classic cases: its RSA key signs and decrypts."""
    return root("rsa:2048", "ca", CA_SUBJECT)


def kem_ca() -> Party:
    """The CA of the ML-KEM cases, with a P-256 key; an RA certificate holds the ML-KEM key."""
    return root("ec:P-256", "kem-ca", "CN=Testkit ML-KEM CA,O=Example")


def ra_kem(parameter_set: str = "ML-KEM-768", **more: object) -> KemParty:
    """The RA's ML-KEM key, with the extendedKeyUsage that says that it is an RA's."""
    arguments: dict[str, object] = {"eku": RA} | more
    label = f"ra-{parameter_set.lower()}"
    return kem_issued(label, f"CN=Testkit RA {parameter_set}", kem_ca(), parameter_set, **arguments)


def stranger_ca() -> Party:
    """Another CA with the name of the ML-KEM one."""
    return root("ec:P-256", "stranger-ca", "CN=Testkit ML-KEM CA,O=Example")
