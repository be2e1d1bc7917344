"""Authorised by a challengePassword of ours (RFC 8894 section 2.4, RFC 7030 section 3.2.3 for its use elsewhere)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca.applications import Application
from ca.authorisation import Approved, Once, Reissue
from ca.credentials import UsedByHolder, check_password
from ca.errors import Busy, NotAuthorised
from ca.sealing import ServerKey
from ca.store import Store

# Wrong challenge passwords in a minute, after which those of fewer characters than a made one are not looked up.
MAX_GUESSES, UNGUESSABLE = 20, 32


@dataclass(frozen=True)
class Guesses:
    """Counts the wrong passwords of a profile, and slows those down that could be guessed. Made passwords are too long
    for that, so nobody can lock out those who have one.
    """

    profile: str
    store: Store

    def slowed(self, password: str, *, now: datetime) -> bool:
        """Whether a password is not looked up for a while."""
        return len(password) < UNGUESSABLE and self.store.guesses(self.profile, now=now) >= MAX_GUESSES

    def count(self, password: str, *, now: datetime) -> None:
        """Count a wrong one. Raises Busy if it was not even looked up."""
        if self.slowed(password, now=now):
            raise Busy("busy: too many wrong challengePasswords; come back in a minute")
        if len(password) < UNGUESSABLE:
            self.store.count_guess(self.profile, now=now)


@dataclass(frozen=True)
class Passwords(Once):
    """Knows the requests that bring a password of ours, good or not."""

    profile: str
    store: Store
    server_key: ServerKey
    guesses: Guesses
    name: str = "challengePassword"

    def decide(self, application: Application, *, now: datetime) -> Approved | Reissue | None:
        """See Method."""
        password = application.identity.password
        if not password or self.guesses.slowed(password, now=now):
            return None
        found = check_password(
            self.store,
            self.server_key,
            password,
            subject=application.request.subject,
            profile=self.profile,
            holder=application.holder,
            now=now,
        )
        if isinstance(found, UsedByHolder):
            return Reissue(found.authority, found.serial)
        return None if found is None else Approved(self.name, found.identifier)


@dataclass(frozen=True)
class UnknownPasswords(Once):
    """Knows, and refuses, the requests that bring a password that nobody before it knew."""

    guesses: Guesses
    name: str = "unknown challengePassword"

    def decide(self, application: Application, *, now: datetime) -> None:
        """See Method."""
        password = application.identity.password
        if password:
            self.guesses.count(password, now=now)
            line_end = "; it ends with a line end" if password.endswith(("\n", "\r")) else ""
            raise NotAuthorised(f"the challengePassword is not valid{line_end}")
