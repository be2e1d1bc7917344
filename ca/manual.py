"""Authorised by an operator, who looks at the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca.applications import Application
from ca.authorisation import OPERATOR, Once, Pending
from ca.errors import NotAuthorised


@dataclass(frozen=True)
class ManualApproval(Once):
    """Takes what has no challengePassword: who sends one expects more than to wait."""

    name: str = "manual approval"

    def decide(self, application: Application, *, now: datetime) -> Pending:
        """See Method."""
        if application.identity.password:
            raise NotAuthorised("a challengePassword was sent, but this profile does not use them")
        return Pending(OPERATOR)
