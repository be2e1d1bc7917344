"""Certificates and keys for the servers whose CA is made here, with `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
_USAGES += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, unencrypted."""
        style = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, style, serialization.NoEncryption())


def usage(*names: str) -> x509.KeyUsage:
    """Names as `x509.KeyUsage` has them."""
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def make(
    name: str,
    usages: tuple[str, ...],
    issuer: Pair | None = None,
    *,
    ca: bool = True,
    purpose: str | None = None,
    days: int = 365,
) -> Pair:
    """A certificate for a new RSA-2048 key, self-signed or of `issuer`, from 30 days ago to `days` from now.

    purpose: an extended key usage, dotted.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(usage(*usages), critical=True)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if purpose is not None:
        extended = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
        builder = builder.add_extension(extended, critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
