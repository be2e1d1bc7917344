"""Looking at what a peer got: is it the certificate it asked for, from the CA it asked?"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from interop.kit.cases import CaseFailed, check

_BEGIN = b"-----BEGIN CERTIFICATE-----"


def load_certificate(data: bytes) -> x509.Certificate:
    """From DER, or from the first PEM block with whatever text around it."""
    at = data.find(_BEGIN)
    try:
        return x509.load_pem_x509_certificate(data[at:]) if at >= 0 else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise CaseFailed(f"no certificate in {data[:60]!r}: {error}") from error


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM or DER file; CaseFailed if the file is missing."""
    check(path.exists(), f"{path.name} was not written")
    return load_certificate(path.read_bytes())


def common_name(certificate: x509.Certificate) -> str:
    """The first common name of the subject, or ""."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def subject(path: Path) -> str:
    """The subject of a certificate in a file."""
    return read_certificate(path).subject.rfc4514_string()


def check_issued(certificate: x509.Certificate, authority: x509.Certificate, *, name: str, key: Path | None) -> None:
    """The CA signed it, its common name is `name`, and it certifies the private key in the PEM file `key`."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception as error:  # several unrelated classes, one verdict
        raise CaseFailed(f"the certificate is not issued by the CA: {error!r}") from error
    check(common_name(certificate) == name, f"common name {common_name(certificate)!r} instead of {name!r}")
    if key is not None:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        check(spki(private.public_key()) == spki(certificate.public_key()), "the certificate is for another key")


def spki(public_key: object) -> bytes:
    """DER SubjectPublicKeyInfo."""
    encoded: bytes = public_key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def write_rsa_key(path: Path, *, traditional: bool = False) -> Path:
    """A new RSA-2048 key as unencrypted PEM, PKCS#8 or PKCS#1."""
    style = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, style, serialization.NoEncryption()))
    return path
