"""Authorised by a secret that CA and client share: the protocol has checked a MAC, or a password over TLS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca.applications import Application
from ca.authorisation import Approved, Once, Reissue
from ca.credentials import UsedByHolder, check_credential


@dataclass(frozen=True)
class SharedSecrets(Once):
    """Knows the requests whose requester has shown a secret, whether it is good any more or not."""

    profile: str
    name: str = "shared secret"

    def decide(self, application: Application, *, now: datetime) -> Approved | Reissue | None:
        """See Method."""
        secret = application.identity.secret
        if secret is None:
            return None
        found = check_credential(
            secret, subject=application.request.subject, profile=self.profile, holder=application.holder, now=now
        )
        if isinstance(found, UsedByHolder):
            return Reissue(found.authority, found.serial)
        return Approved(self.name, found.identifier)
