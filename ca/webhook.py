"""Authorised by an external authority."""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ca.applications import Application
from ca.authorisation import Approved, Once, Pending, Verdict
from ca.authorities import Records
from ca.errors import Busy, NotAuthorised
from ca.passwords import Guesses
from ca.store import IssuedCertificate


class WebhookAnswer(enum.Enum):
    """What an external authority can say. UNREACHABLE: it gave no such answer; the client is told to come back."""

    APPROVE = "approve"
    REJECT = "reject"
    PENDING = "pending"
    UNREACHABLE = "unreachable"


class Webhook(Protocol):
    """Asks it. `scep_kem.server.webhook` does so over HTTPS."""

    def ask(self, application: Application, holds: IssuedCertificate | None) -> tuple[WebhookAnswer, str]:
        """The answer, and a reason: that may be shown to the client when it is REJECT, for the log when it is
        UNREACHABLE. Does not raise.

        holds: the certificate of this CA, good now, whose key has signed the message; None if there is none, whatever
        the message calls itself.
        """


@dataclass(frozen=True)
class ExternalAuthority(Once):
    """guesses: counts the challengePasswords that nobody knows, where the profile has passwords of its own."""

    webhook: Webhook
    records: Records
    guesses: Guesses | None
    pause: timedelta = timedelta(minutes=1)
    name: str = "webhook"

    def decide(self, application: Application, *, now: datetime) -> Verdict:
        """See Method. A password that none of ours is was wrong unless the authority approves, who may have its own.

        A request that waits does so also when its password was not looked up: an outage loses no transaction.
        """
        try:
            verdict = self.again(application, now=now)
        except NotAuthorised:
            self._count(application, now)
            raise
        if isinstance(verdict, Pending):
            with contextlib.suppress(Busy):
                self._count(application, now)
        return verdict

    def _count(self, application: Application, now: datetime) -> None:
        if self.guesses is not None and application.identity.password:
            self.guesses.count(application.identity.password, now=now)

    def again(self, application: Application, *, now: datetime) -> Verdict:
        """See Method. An unreachable authority means "later", so that an outage loses no transaction."""
        signer = self.records.find(application.identity.certificate)
        good = signer is not None and signer.good_at(now) and not self.records.store.compromised(signer.spki_hash)
        holds = signer if good else None
        answer, reason = self.webhook.ask(application, holds)
        if answer is WebhookAnswer.APPROVE:
            return Approved(self.name, rests_on=holds)
        if answer is WebhookAnswer.REJECT:
            raise NotAuthorised(reason or "the request was rejected")
        if answer is WebhookAnswer.UNREACHABLE:
            return Pending(f"the webhook, which gave no decision: {reason}")
        return Pending("the webhook, which has not decided yet")
