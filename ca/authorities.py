"""The generations of one CA, before, during and after a rollover, and what they have issued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ca.authority import Authority
from ca.store import IssuedCertificate, Store
from pkix.certificates import Certificate
from pkix.names import same_name


@dataclass(frozen=True)
class Authorities:
    """The generations of the CA: the current one, earlier ones that clients may address, the prepared next one, and
    retired ones, without RA, which only sign CRLs.
    """

    current: Authority
    previous: tuple[Authority, ...] = ()
    following: Authority | None = None
    retired: tuple[Authority, ...] = ()

    @property
    def known(self) -> tuple[Authority, ...]:
        """Every one whose certificates can be asked for, renewed and revoked, the current first."""
        return (*self.all, *self.retired)

    def named(self, identifier: str) -> Authority | None:
        """The one with this identifier, short or whole, or fingerprint, in hex of either case."""
        given = identifier.lower()
        return next(
            (item for item in self.known if given in (item.short_identifier, item.identifier, item.fingerprint)), None
        )

    @property
    def all(self) -> tuple[Authority, ...]:
        """Every one that clients may address, the current first."""
        return (self.current, *self.previous, *((self.following,) if self.following else ()))

    def issuer(self, addressed: Authority) -> Authority:
        """Who issues what is enveloped for `addressed`: the prepared next CA itself (RFC 8894 figure 9), but earlier
        generations no longer.
        """
        following = self.following
        return following if following and addressed.identifier == following.identifier else self.current

    def by_identifier(self, identifier: str) -> Authority:
        """Who issues for a transaction that was for this CA: the current one if that has been retired meanwhile."""
        return self.issuer(next((item for item in self.all if item.identifier == identifier), self.current))


@dataclass(frozen=True)
class Records:
    """What generations of a CA have issued."""

    authorities: Sequence[Authority]
    store: Store

    def find(self, certificate: Certificate | None) -> IssuedCertificate | None:
        """Our record of a certificate, if it is one of ours, octet by octet, and released."""
        if certificate is None:
            return None
        for authority in self.authorities:
            if same_name(certificate.issuer, authority.certificate.subject):
                found = self.store.certificate(authority.identifier, certificate.serial_number)
                if found is not None and found.der == certificate.der and found.released:
                    return found
        return None
