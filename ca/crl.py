"""Certificate revocation lists (RFC 5280 section 5) of each generation of a CA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import Authority
from ca.store import IssuedCertificate, Store
from pkix.keys import certificate_hash

CRL_VALIDITY = timedelta(days=7)
CRL_LIFETIME = timedelta(hours=1)  # after which a new one is made, if anybody asks

REVOCATION_REASONS = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
    "aACompromise",
)


def revocations(authority: Authority, store: Store, *, now: datetime) -> Sequence[IssuedCertificate]:
    """What a CRL lists: certificates stay on it beyond their validity until a CRL with them is no longer current, so
    that one of them was made after the end of each (RFC 5280 section 3.3).
    """
    return store.revoked(authority.identifier, now=now - CRL_VALIDITY)


def create_crl(authority: Authority, revoked: Sequence[IssuedCertificate], number: int, *, now: datetime) -> bytes:
    """A complete CRL's DER with crlNumber, authorityKeyIdentifier and reasons; nextUpdate is 7 days after `now`."""
    ca = authority.ca.certificate
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(now)
        .next_update(now + CRL_VALIDITY)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority.key_identifier.value, critical=False)
    )
    for item in revoked:
        assert item.revoked_at is not None
        entry = x509.RevokedCertificateBuilder().serial_number(item.serial).revocation_date(item.revoked_at)
        if item.reason not in (None, "unspecified"):  # RFC 5280 section 5.3.1: absent rather than unspecified
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(item.reason)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.ca.key, certificate_hash(authority.ca.key)).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class _MadeCrl:
    """A CRL, when it was made and of what."""

    at: datetime
    revoked: Sequence[IssuedCertificate]
    der: bytes


@dataclass(frozen=True)
class Crls:
    """The CRLs that are served. Anybody may ask for them, so none is signed anew for everyone who does."""

    store: Store
    _made: dict[str, _MadeCrl] = field(default_factory=dict)

    def get(self, authority: Authority, *, now: datetime) -> bytes:
        """The CRL's DER: a new one when a certificate was revoked since the last, or after CRL_LIFETIME."""
        revoked = revocations(authority, self.store, now=now)
        made = self._made.get(authority.identifier)
        if made is None or made.revoked != revoked or not made.at <= now < made.at + CRL_LIFETIME:
            number = self.store.next_crl_number(authority.identifier)
            made = _MadeCrl(now, revoked, create_crl(authority, revoked, number, now=now))
            self._made[authority.identifier] = made
        return made.der
