"""What asks for a certificate, whatever it is written in: what profiles, authorisation and issuing look at."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509

from ca.errors import RequestRefused
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form

PKCS10 = "pkcs10"


class CertificateRequest(Protocol):
    """A PKCS #10 request (`pkix.pkcs10.CertificationRequest`) has these.

    syntax: what it is written in. what: what texts of errors call it. der: as received. hash: SHA-256 of it.
    subject_der, subject, subject_text: the wanted subject as DER Name, as x509.Name and as RFC 4514 text. spki: DER
    SubjectPublicKeyInfo. key_type: as `pkix.keys` names it. is_kem: whether the key is an ML-KEM key. extensions: those
    asked for.
    """

    @property
    def syntax(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def der(self) -> bytes: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def subject_der(self) -> bytes: ...
    @property
    def subject(self) -> x509.Name: ...
    @property
    def subject_text(self) -> str: ...
    @property
    def spki(self) -> bytes: ...
    @property
    def key_type(self) -> str: ...
    @property
    def is_kem(self) -> bool: ...
    @property
    def extensions(self) -> x509.Extensions: ...


WITHHELD = "withheld, because passwords can be tested with it"
"""What is said in place of the hash of a guessable request."""


def is_guessable(request: CertificateRequest) -> bool:
    """Whether a challengePassword is all in a request that the certificate does not tell: it is not signed, so whoever
    has a hash of it can test passwords.
    """
    return (
        isinstance(request, CertificationRequest)
        and request.form is Form.unsigned
        and request.challenge_password is not None
    )


def read_request(syntax: str, der: bytes) -> CertificateRequest:
    """A request that the Store has kept. Raises Malformed, RequestRefused."""
    if syntax != PKCS10:
        raise RequestRefused("the request was kept by a newer program; send it again")
    return CertificationRequest.decode(der)
