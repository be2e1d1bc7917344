"""What the client is to ask for, and whether an earlier run has asked for the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from kem.keys import DecapsulationKey, encode_public_key
from pkix.certificate_builder import Extensions
from pkix.certificates import Certificate, extension_of, extensions_of, is_self_issued
from pkix.errors import AlgorithmRefused
from pkix.microsoft_sid import MICROSOFT_SID
from pkix.pkcs10 import CertificationRequest
from pkix.public_keys import load_public_key
from pkix.signatures import SigningKey
from pkix.usages import key_usage, possible_usages, usage_names
from scep_kem import files
from scep_kem.client.pending import Pending
from scep_kem.kem import public_kem_key

AnyKey = SigningKey | DecapsulationKey
Statement = tuple[SigningKey, Certificate]  # who states possession of a KEM key (RFC 9883): a certificate and its key


def fits(key: AnyKey, spki: bytes) -> bool:
    """Whether a DER SubjectPublicKeyInfo is the public half of a key."""
    if isinstance(key, DecapsulationKey):
        return encode_public_key(public_kem_key(key)) == spki
    try:
        return load_public_key(spki, "certificate") == key.public_key()
    except AlgorithmRefused:
        return False


@dataclass(frozen=True)
class Wanted:
    """A certificate to ask for. key: for which. request: one made elsewhere, to be sent as it is; then subject and
    challenge password are its own, and the extensions are in it. statement_key_file: of the statement's key.
    """

    key: AnyKey
    subject: x509.Name
    extensions: Extensions = ()
    challenge_password: str | None = None
    statement: Statement | None = None
    request: CertificationRequest | None = None
    statement_key_file: Path | None = None

    def is_asked_by(self, request: CertificationRequest) -> bool:
        """Whether this request is the one, or would be made for the same."""
        if self.request is not None:
            return request.der == self.request.der
        same = request.subject_der == self.subject.public_bytes()
        return same and list(request.extensions) == list(self.extensions)


@dataclass(frozen=True)
class Renewing:
    """The certificate to renew and its key, with the files that they are in."""

    key: AnyKey
    certificate: Certificate
    key_file: Path
    cert_file: Path


_AS_THEY_ARE = (
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.EXTENDED_KEY_USAGE,
    MICROSOFT_SID,
)
_OF_CAS = {"keyCertSign", "cRLSign"}


def as_before(old: Certificate, key_type: str) -> Extensions:
    """What a request for the successor of a certificate asks for: its names, keyUsage, extendedKeyUsage and Microsoft
    SID. Constraints, identifiers, policies and URLs are the CA's own affair. key_type: of the requested key, as
    `pkix.keys` names it; usages that it cannot have are left out. Raises Malformed for what cannot be read.
    """
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.KeyUsage):
        extension_of(old, kind)
    usages = (usage_names(extensions_of(old)) or frozenset()) & possible_usages(key_type) - _OF_CAS
    found = [item for item in extensions_of(old) if item.oid in _AS_THEY_ARE]
    if usages:
        found.append(x509.Extension(ExtensionOID.KEY_USAGE, True, key_usage(usages)))
    return found


def names_alone(extensions: Extensions) -> Extensions:
    """Of what to ask for, subjectAltName."""
    return [item for item in extensions if isinstance(item.value, x509.SubjectAlternativeName)]


def is_for(pending: Pending, url: str, wanted: Wanted, renewing: Renewing | None) -> bool:
    """Whether a request that an earlier run left is the one that would be made now.

    The challenge password does not count: a command that makes one has another each time.
    """
    request, signed_by = pending.request, pending.certificate
    if renewing is not None:
        if pending.ca_certificates is None and wanted.request is None:  # earlier versions asked for the names alone
            wanted = replace(wanted, extensions=names_alone(wanted.extensions))
        old = files.read_certificate(pending.renewed[1]) if pending.renewed is not None else signed_by
        same_signer = old == renewing.certificate
    elif wanted.statement is not None:
        same_signer = pending.renewed is None and signed_by == wanted.statement[1]
    else:
        same_signer = pending.renewed is None and is_self_issued(signed_by)
    return same_signer and pending.url == url and fits(wanted.key, request.spki) and wanted.is_asked_by(request)
