"""A CA certificate and key that were made elsewhere: whether they can be used here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import Authority, KeyPair
from pkix.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from pkix.certificates import Certificate, extension_of, is_self_issued, load_certificate
from pkix.errors import PkixError
from pkix.file_kinds import is_pkcs12
from pkix.keys import spki_of
from pkix.name_constraints import constraints_of
from pkix.names import name_text
from pkix.signatures import SigningKey
from pkix.signed_objects import has_issued
from pkix.times import THIS_MACHINE, outside
from pkix.usages import is_ca, may
from scep_kem import files
from scep_kem.errors import UsageError
from scep_kem.generation_files import check_fits
from scep_kem.terminal import printable

_BY_OPTION = "--import-key-password-file"


def read_imported(
    key_file: Path, cert_file: Path, password_file: Path | None = None, *, now: datetime
) -> tuple[KeyPair, list[x509.Certificate]]:
    """The CA and its issuers, nearest first, from a key in PEM and a file with its certificate and theirs.

    password_file: its first line is the key's password. Raises UsageError for what no client would accept, or could
    not work here.
    """
    if is_pkcs12(files.read(key_file)):
        raise UsageError(f"{key_file} is a PKCS #12 file; give it by --import-pkcs12 alone")
    password = None if password_file is None else files.read_first_line(password_file)
    key = files.read_key(key_file, password=password, option=_BY_OPTION)
    found = files.read_certificates(cert_file)
    check_fits(found[0], cert_file, spki_of(key), key_file)
    return _usable(key, found, now)


def read_pkcs12(
    file: Path, password_file: Path | None = None, *, now: datetime
) -> tuple[KeyPair, list[x509.Certificate]]:
    """As `read_imported`, from one PKCS #12 file. What it holds beside the CA and its issuers is passed over."""
    password = None if password_file is None else files.read_first_line(password_file)
    key, certificates = files.read_pkcs12(file, password=password, option=_BY_OPTION)
    others, spki = list(filter(_can_be_read, certificates)), spki_of(key)
    following = next((item for item in others if Certificate.of(item).spki == spki), None)
    if following is None:
        raise UsageError(f"{file} holds no certificate for its key")
    found = []
    while following is not None:
        found.append(following)
        others.remove(following)
        issuers = [] if is_self_issued(following) else others
        following = next((item for item in issuers if has_issued(item, found[-1])), None)
    return _usable(key, found, now)


def _can_be_read(certificate: x509.Certificate) -> bool:
    try:
        load_certificate(certificate.public_bytes(Encoding.DER))
    except PkixError:
        return False
    return True


def _usable(
    key: SigningKey, found: Sequence[x509.Certificate], now: datetime
) -> tuple[KeyPair, list[x509.Certificate]]:
    certificate, *chain = found
    if isinstance(key, rsa.RSAPrivateKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise UsageError(f"the RSA key has {key.key_size} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    check_imported(found, now=now)
    return KeyPair(key, certificate), chain


def check_imported(found: Sequence[x509.Certificate], *, now: datetime) -> None:
    """A CA's certificate and its issuers, nearest first (RFC 5280 section 4.2.1.9 and 4.2.1.3). Raises UsageError, also
    where an extension that this CA obeys or repeats cannot be read. Others may hold anything.
    """
    try:
        found = [load_certificate(item.public_bytes(Encoding.DER)) for item in found]
        for item in found:
            constraints_of(item)
            for kind in (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier):
                extension_of(item, kind)
    except PkixError as error:
        raise UsageError(f"the CA certificate or one of its issuers': {error}") from None
    certificate, *chain = found
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < end:
        raise UsageError(f"the CA certificate is not valid now: {outside(start, end, now, THIS_MACHINE)}")
    if not len(certificate.subject):
        raise UsageError(
            "the CA certificate has no subject, so nothing could name its issuer (RFC 5280 section 4.1.2.4)"
        )
    if not is_ca(certificate):
        raise UsageError("the certificate is not that of a CA: its basicConstraints do not say so (RFC 5280)")
    missing = [usage for usage in ("keyCertSign", "cRLSign") if not may(certificate, usage)]
    if missing:
        raise UsageError(f"the CA certificate's keyUsage lacks {', '.join(missing)} (RFC 5280 section 4.2.1.3)")
    for subject, issuer in zip(found, chain, strict=False):
        if not has_issued(issuer, subject):
            name = printable(name_text(subject.subject))
            raise UsageError(f"{name} is not issued by the certificate behind it")


def check_key_usage(authority: Authority, advice: str = "and this CA has no RA for that") -> None:
    """Raise UsageError unless the CA's key may do what no RA does for it (RFC 8894 section 2.1.2).

    That it signs GetNextCACert is no reason to refuse it. advice: ends the text.
    """
    opens = isinstance(authority.ca.key, rsa.RSAPrivateKey) and authority.ra_decryption is None
    needed = ["digitalSignature"] if authority.ra_signer is None else []
    needed += ["keyEncipherment"] if opens else []
    missing = [usage for usage in needed if not may(authority.ca.certificate, usage)]
    if missing:
        raise UsageError(
            f"the CA certificate's keyUsage lacks {', '.join(missing)}, which its key needs to sign answers and open "
            f"requests itself (RFC 8894 section 2.1.2), {advice}"
        )


def check_new_key(key: SigningKey, generations: Sequence[Authority]) -> None:
    """Raise UsageError if a generation has the key already. Name and key make an issuer, so two generations with one
    key would have two CRLs, of which each makes good what the other has revoked.
    """
    for authority in generations:
        if spki_of(key) == authority.certificate.spki:
            raise UsageError(
                f"this is the key of the CA {authority.short_identifier}, which is here; `ca import-cert` takes a new "
                "certificate for it"
            )


def check_renews(authority: Authority, certificate: x509.Certificate) -> None:
    """Raise UsageError unless a certificate of the CA's key may take the place of the one it has: whatever was issued
    names the CA by its name's octets, and its key by the subjectKeyIdentifier.
    """
    old = authority.ca.certificate
    if certificate.subject.public_bytes() != old.subject.public_bytes():
        raise UsageError("the certificate has another subject, so it is none of the issuer of what this CA has issued")
    if _key_id(certificate) not in (None, _key_id(old)):
        raise UsageError(
            "the certificate has another subjectKeyIdentifier than the CA's, which everything it has issued names"
        )


def _key_id(certificate: x509.Certificate) -> bytes | None:
    found = extension_of(certificate, x509.SubjectKeyIdentifier)
    return None if found is None else found.digest
