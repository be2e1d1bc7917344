"""Certificate revocation lists (RFC 5280 section 5) of each generation of a CA.

Anybody may ask for them, at any rate and of any size, so what a request costs is one small row: the Store counts
revocations, and the CRL that was made for a count is kept, there for all processes and here in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from ca.authority import Authority
from ca.errors import CrlRefused
from ca.kept_crls import CrlState, KeptCrl, Revocation
from ca.profiles import extension
from ca.store import Store, StoreBusy
from pkix.crl_builder import CrlEntry, encode_crl
from pkix.usages import may

CRL_VALIDITY = timedelta(days=7)
CRL_LIFETIME = timedelta(hours=1)  # after which a new one is made, if anybody asks
MOMENT = timedelta(minutes=1)
WAIT = 10.0  # seconds that a request waits for one that another makes: as long as making one may wait for the database

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


def create_crl(authority: Authority, revoked: Iterable[Revocation], number: int, *, now: datetime) -> bytes:
    """A complete CRL's DER with crlNumber, authorityKeyIdentifier and reasons; nextUpdate is 7 days after `now`.

    Raises CrlRefused for a CA that may sign none.
    """
    _check_may_sign(authority)
    return encode_crl(
        authority.certificate.subject,
        (CrlEntry(*item) for item in revoked),
        authority.ca.key,
        this_update=now,
        next_update=now + CRL_VALIDITY,
        extensions=[extension(x509.CRLNumber(number)), authority.key_identifier],
    )


def _check_may_sign(authority: Authority) -> None:
    if not may(authority.ca.certificate, "cRLSign"):
        raise CrlRefused("this CA signs no CRL: its certificate's keyUsage lacks cRLSign (RFC 5280 section 4.2.1.3)")


@dataclass
class _Place:
    """The CRL of one CA that this process has in memory. Who makes one holds `making`; who reads the Store's `reading`,
    which takes milliseconds.
    """

    making: threading.Lock = field(default_factory=threading.Lock)
    reading: threading.Lock = field(default_factory=threading.Lock)
    crl: KeptCrl | None = None


@dataclass(frozen=True)
class Crls:
    """The CRLs that are served: always the one that the Store keeps, so that no process falls behind another."""

    store: Store
    _places: dict[str, _Place] = field(default_factory=dict)

    def get(self, authority: Authority, *, now: datetime) -> KeptCrl:
        """The CRL: a new one if a certificate was revoked since the last, or after CRL_LIFETIME.

        One request of a process makes it. Meanwhile the others get the last one that is kept, if that is in force; else
        they wait. Raises CrlRefused, and StoreUnavailable, also after WAIT.
        """
        state = self.store.crl_state(authority.identifier)
        place = self._places.setdefault(authority.identifier, _Place())
        last = self._last(authority, place, state)
        if last is not None and _serves(last, state, now):
            return last
        if last is not None and not _in_force(last, now):
            last = None
        if not place.making.acquire(timeout=WAIT if last is None else 0):
            if last is None:
                raise StoreBusy("a CRL is being made, for longer than a request waits")
            return last
        try:
            made = place.crl
            while made is None or not _serves(made, state, now):
                place.crl = made = self.make(authority, now=now)
            return made
        finally:
            place.making.release()

    def _last(self, authority: Authority, place: _Place, state: CrlState) -> KeptCrl | None:
        """The CRL that is kept: never one before it, which another process had in memory, nor one after it, from before
        the database was restored. None if none is kept.
        """
        with place.reading:
            if state.number != (0 if place.crl is None else place.crl.number):
                place.crl = self.store.kept_crl(authority.identifier)
            return place.crl

    def make(self, authority: Authority, *, now: datetime) -> KeptCrl:
        """A new CRL, or one that somebody else has made meanwhile. Raises CrlRefused, StoreUnavailable."""
        _check_may_sign(authority)  # before anything is written or read for it
        number = self.store.next_crl_number(authority.identifier)
        # Entries stay until no CRL with them is current, so that one was made after the end of each (RFC 5280 3.3).
        found = self.store.revocations(authority.identifier, now=now - CRL_VALIDITY)
        der = create_crl(authority, found.listed, number, now=now)
        return self.store.keep_crl(KeptCrl(authority.identifier, number, found.revision, now, der))


def _in_force(crl: KeptCrl, now: datetime) -> bool:
    """Whether `now` is between its thisUpdate, by and large, and its nextUpdate."""
    return crl.made - MOMENT <= now < crl.made + CRL_VALIDITY


def _serves(crl: KeptCrl, state: CrlState, now: datetime) -> bool:
    """Whether it lists everything, and is not too old, nor of a clock that was wrong. A request may have begun a moment
    before the one for which it was made.
    """
    return crl.revision >= state.revision and crl.made - MOMENT <= now < crl.made + CRL_LIFETIME
