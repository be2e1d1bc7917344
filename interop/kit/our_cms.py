"""Our own CMS code as one of the two sides: the only part of the suite that calls the project instead of its commands.

Files are what the other side's tools take: PEM keys and certificates, DER messages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from interop.kit.cases import CaseFailed, check
from interop.kit.certs import read_certificate
from interop.liboqs.build import PREFIX
from kem.backends import Backends, load
from kem.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, Kdf
from kem.keys import decode_public_key
from pkix.algorithms import AES256, AES256_GCM, AlgorithmPolicy
from pkix.asn1 import Oid
from pkix.authenticated_data import AuthenticatedData, encode_authenticated_data
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import PkixError
from pkix.identities import PasswordIdentity
from pkix.kem_recipients import KemIdentity, KemRecipient
from pkix.keys import load_kem_key, load_private_key
from pkix.recipients import PasswordRecipient, RsaRecipient
from pkix.signed_data import SignedData, Signer, encode_signed_data

CONTENT = "Content of a message, größer als ein Block: ".encode() + bytes(range(256))
KDFS = {"HKDF-SHA256": HKDF_SHA256, "HKDF-SHA384": HKDF_SHA384, "HKDF-SHA512": HKDF_SHA512}
UKMS = {"no ukm": None, "empty ukm": b"", "ukm": bytes.fromhex("00112233445566778899aabbccddeeff")}
CONTENT_TYPE = Oid("1.3.6.1.5.5.7.12.2")  # id-cct-PKIData, as an example of other content than data
ML_DSA = ("ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
OQS_INSTALL_PATH = "OQS_INSTALL_PATH"


@dataclass(frozen=True)
class Variant:
    """How content is enveloped. gcm: AuthEnvelopedData. by_key: the recipient is named by subjectKeyIdentifier."""

    gcm: bool = False
    by_key: bool = False
    kdf: str = "HKDF-SHA256"
    ukm: str = "no ukm"

    def __str__(self) -> str:
        kind = "AuthEnvelopedData" if self.gcm else "EnvelopedData"
        rid = "subjectKeyIdentifier" if self.by_key else "issuerAndSerialNumber"
        return f"{kind}, {rid}, {self.kdf}, {self.ukm}"


BASIC_VARIANTS = tuple(Variant(gcm=gcm, by_key=by_key) for gcm in (False, True) for by_key in (False, True))
KDF_VARIANTS = tuple(Variant(kdf=kdf, ukm=ukm) for kdf in KDFS for ukm in UKMS)


def use_liboqs() -> None:
    """Let this process and the scep-kem commands it starts find the liboqs that `python -m interop install` built."""
    if (PREFIX / "built-from").exists():
        os.environ.setdefault(OQS_INSTALL_PATH, str(PREFIX))


def backends() -> Backends:
    """What the machine has; ML-KEM-512 is only there with liboqs and liboqs-python."""
    use_liboqs()
    return load(oqs_install_path=os.environ.get(OQS_INSTALL_PATH))


def parameter_sets() -> tuple[str, ...]:
    """Such as ("ml-kem-768", "ml-kem-1024")."""
    return tuple(parameter_set.name.lower() for parameter_set in backends().parameter_sets)


def envelop(certificate_file: Path, variant: Variant) -> bytes:
    """CONTENT to an ML-KEM certificate: DER."""
    certificate = Certificate.of(read_certificate(certificate_file))
    recipient = KemRecipient(
        kem=certificate.key_algorithm,
        encapsulate=partial(backends().encapsulate, decode_public_key(certificate.spki)),
        rid=certificate.subject_key_identifier if variant.by_key else certificate.issuer_and_serial,
        kdf=_kdf(variant),
        ukm=UKMS[variant.ukm],
    )
    return encrypt(CONTENT, [recipient], AES256_GCM if variant.gcm else AES256, os.urandom)


def _kdf(variant: Variant) -> Kdf:
    return KDFS[variant.kdf]


def open_envelope(message: bytes, certificate_file: Path, key_file: Path) -> None:
    """Fails the case unless we open the message with this key and find CONTENT."""
    certificate = Certificate.of(read_certificate(certificate_file))
    key = load_kem_key(key_file.read_bytes())
    identity = KemIdentity(
        kem=key.parameter_set.oid,
        decapsulate=partial(backends().decapsulate, key),
        certificate=certificate,
        key_identifier=certificate.subject_key_identifier,
    )
    try:
        opened = decrypt(message, [identity], AlgorithmPolicy(kem_in_cbc=True))
    except PkixError as error:
        raise CaseFailed(f"we cannot open it: {error}") from error
    check(opened.content == CONTENT, "we find another content in it")


def sign(certificate_file: Path, key_file: Path) -> bytes:
    """SignedData over CONTENT, with the signer's certificate in it."""
    certificate = Certificate.of(read_certificate(certificate_file))
    signer = Signer(load_private_key(key_file.read_bytes()), certificate)
    now = datetime.now(UTC)
    return encode_signed_data(CONTENT, [], signer, hashes.SHA512(), certificates=[certificate.der], now=now)


def verify(message: bytes) -> None:
    """Fails the case unless the SignedData is over CONTENT and the signature verifies with the signer's certificate."""
    try:
        signed = SignedData.decode(message)
        signed.verify(signed.signer_certificate(), AlgorithmPolicy())
    except PkixError as error:
        raise CaseFailed(f"we cannot verify it: {error}") from error
    check(signed.content == CONTENT, "we find another content in it")


# What the protocols beside SCEP need of CMS: other content types, signers by key, AuthenticatedData


def sign_as(certificate_file: Path, key_file: Path) -> bytes:
    """SignedData over CONTENT as CONTENT_TYPE, the signer named by subjectKeyIdentifier."""
    certificate = Certificate.of(read_certificate(certificate_file))
    signer = Signer(load_private_key(key_file.read_bytes()), certificate, by_key=True)
    now, bag = datetime.now(UTC), [certificate.der]
    return encode_signed_data(
        CONTENT, [], signer, hashes.SHA256(), certificates=bag, now=now, content_type=CONTENT_TYPE
    )


def verify_as(message: bytes) -> None:
    """Fails the case unless the SignedData is what `sign_as` makes."""
    verify(message)
    found = SignedData.decode(message)
    check(found.content_type == CONTENT_TYPE, "we find another content type")
    check(found.signer is not None and isinstance(found.signer.sid, bytes), "the signer is not named by its key")


def envelop_as(certificate_file: Path) -> bytes:
    """CONTENT as CONTENT_TYPE to an RSA certificate: DER AuthEnvelopedData, which authenticates the type."""
    recipient = RsaRecipient(Certificate.of(read_certificate(certificate_file)))
    return encrypt(CONTENT, [recipient], AES256_GCM, os.urandom, content_type=CONTENT_TYPE)


def authenticate(password: str) -> bytes:
    """AuthenticatedData over CONTENT as CONTENT_TYPE by password."""
    recipient = PasswordRecipient(password.encode())
    return encode_authenticated_data(CONTENT, [recipient], hashes.SHA256(), os.urandom, content_type=CONTENT_TYPE)


def check_authenticated(message: bytes, password: str) -> None:
    """Fails the case unless it is over CONTENT as CONTENT_TYPE and the MAC is right."""
    try:
        found = AuthenticatedData.decode(message)
        found.verify([PasswordIdentity(password.encode())], AlgorithmPolicy(), os.urandom)
    except PkixError as error:
        raise CaseFailed(f"we cannot verify it: {error}") from error
    check((found.content, found.content_type) == (CONTENT, CONTENT_TYPE), "we find another content in it")
