"""A CA certificate and key that were made elsewhere: whether they can be used here."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import KeyPair
from pkix.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from pkix.certificates import load_certificate
from pkix.errors import PkixError
from pkix.keys import spki_of
from pkix.names import name_text
from pkix.signatures import SigningKey
from pkix.usages import is_ca, may
from scep.ca_certificates import CaCertificates
from scep_kem import files
from scep_kem.errors import UsageError
from scep_kem.generation_files import check_fits
from scep_kem.terminal import printable


def read_imported(key_file: Path, cert_file: Path, *, now: datetime) -> tuple[KeyPair, list[x509.Certificate]]:
    """The CA and its issuers, nearest first, from a key in PEM and a file with its certificate and theirs.

    Raises UsageError for what no client would accept, or could not work here.
    """
    key = files.read_key(key_file)
    try:
        found = [load_certificate(item.public_bytes(Encoding.DER)) for item in files.read_certificates(cert_file)]
    except PkixError as error:
        raise UsageError(f"{cert_file}: {error}") from None
    certificate, *chain = found
    check_fits(certificate, cert_file, spki_of(key), key_file)
    if isinstance(key, rsa.RSAPrivateKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise UsageError(f"the RSA key has {key.key_size} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < end:
        raise UsageError(f"the CA certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d} only")
    _check_usage(certificate, key)
    for subject, issuer in zip(found, chain, strict=False):
        if not CaCertificates(issuer, (issuer,)).issued(subject):
            name = printable(name_text(subject.subject))
            raise UsageError(f"{cert_file}: {name} is not issued by the certificate behind it")
    return KeyPair(key, certificate), chain


def _check_usage(certificate: x509.Certificate, key: SigningKey) -> None:
    """RFC 5280 sections 4.1.2.4 and 4.2.1.9, and RFC 8894 section 2.1.2."""
    if not len(certificate.subject):
        raise UsageError(
            "the CA certificate has no subject, so nothing could name its issuer (RFC 5280 section 4.1.2.4)"
        )
    if not is_ca(certificate):
        raise UsageError("the certificate is not that of a CA: its basicConstraints do not say so (RFC 5280)")
    needed = ["keyCertSign", "cRLSign", "digitalSignature"]
    if isinstance(key, rsa.RSAPrivateKey):
        needed.append("keyEncipherment")
    missing = [usage for usage in needed if not may(certificate, usage)]
    if missing:
        raise UsageError(f"the CA certificate's keyUsage lacks {', '.join(missing)} (RFC 8894 section 2.1.2)")
