"""What the client is to ask for, and whether an earlier run has asked for the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from kem.keys import DecapsulationKey, encode_public_key
from pkix.certificate_builder import Extensions
from pkix.certificates import Certificate, is_self_issued
from pkix.errors import AlgorithmRefused
from pkix.public_keys import load_public_key
from pkix.signatures import SigningKey
from scep_kem import files
from scep_kem.client.pending import Pending
from scep_kem.kem import public_kem_key

AnyKey = SigningKey | DecapsulationKey


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
    """A certificate to ask for. key: for which. statement: a signing certificate and its key, to state possession of a
    KEM key (RFC 9883). statement_key_file: where the latter is.
    """

    key: AnyKey
    subject: x509.Name
    extensions: Extensions = ()
    challenge_password: str | None = None
    statement: tuple[SigningKey, Certificate] | None = None
    statement_key_file: Path | None = None


@dataclass(frozen=True)
class Renewing:
    """The certificate to renew and its key, with the files that they are in."""

    key: AnyKey
    certificate: Certificate
    key_file: Path
    cert_file: Path


def is_for(pending: Pending, url: str, wanted: Wanted, renewing: Renewing | None) -> bool:
    """Whether a request that an earlier run left is the one that would be made now.

    The challenge password does not count: a command that makes one has another each time.
    """
    request, signed_by = pending.request, pending.certificate
    if renewing is not None:
        old = files.read_certificate(pending.renewed[1]) if pending.renewed is not None else signed_by
        same_signer = old == renewing.certificate
    elif wanted.statement is not None:
        same_signer = pending.renewed is None and signed_by == wanted.statement[1]
    else:
        same_signer = pending.renewed is None and is_self_issued(signed_by)
    return (
        same_signer
        and pending.url == url
        and fits(wanted.key, request.spki)
        and request.subject_der == wanted.subject.public_bytes()
        and list(request.extensions) == list(wanted.extensions)
    )
