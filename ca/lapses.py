"""Which certificates of a CA are not valid, or soon will not be, and what an operator does about it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from ca.authority import Authority

NEAR_END = timedelta(days=60)  # how long before its end a certificate is worth a warning


class Validity(enum.Enum):
    """How a certificate stands at a moment."""

    valid = "valid"
    near_end = "near-end"
    expired = "expired"
    not_yet = "not-yet-valid"


@dataclass(frozen=True)
class Lapse:
    """A certificate of one generation and how it stands. role: "CA", "issuer", "RA signer" and the like."""

    role: str
    certificate: x509.Certificate
    validity: Validity
    advice: str

    def __str__(self) -> str:
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        state = {
            Validity.valid: f"is valid until {end:%Y-%m-%d}",
            Validity.near_end: f"expires on {end:%Y-%m-%d}",
            Validity.expired: f"has expired on {end:%Y-%m-%d}",
            Validity.not_yet: f"is not valid before {begin:%Y-%m-%d}",
        }[self.validity]
        ending = self.validity in (Validity.near_end, Validity.expired)
        return f"the {self.role} certificate {state}{self.advice if ending else ''}"


def validity_of(certificate: x509.Certificate, *, now: datetime) -> Validity:
    """How a certificate stands at `now`."""
    if now < certificate.not_valid_before_utc:
        return Validity.not_yet
    if certificate.not_valid_after_utc < now:
        return Validity.expired
    return Validity.near_end if certificate.not_valid_after_utc < now + NEAR_END else Validity.valid


def standing(authority: Authority, *, now: datetime) -> Iterator[Lapse]:
    """Every certificate of a generation: the CA's, the RA's, and those of the CA's issuers."""
    for role, certificate in (*authority.by_role, *(("issuer", item) for item in authority.chain)):
        yield Lapse(role, certificate, validity_of(certificate, now=now), _advice(authority, role, certificate))


def lapses(authority: Authority, *, now: datetime) -> list[str]:
    """What an operator should know of certificates that are not valid, or soon will not be; one line each."""
    found = standing(authority, now=now)
    return [str(lapse) for lapse in found if lapse.validity is not Validity.valid]


def _advice(authority: Authority, role: str, certificate: x509.Certificate) -> str:
    """The command that helps."""
    ca = authority.ca.certificate
    if role.startswith("RA") and certificate.not_valid_after_utc < ca.not_valid_after_utc:
        return "; `ca renew-ra` renews it"
    if role == "issuer":
        return "; get a new one from its CA, and `ca import-cert` takes it behind the CA's own"
    if ca.issuer != ca.subject:
        return "; have the CA's certificate renewed, and `ca import-cert` takes it"
    return "; `ca rollover` makes the next CA"
