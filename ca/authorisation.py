"""Who may have a certificate (RFC 8894 section 2.4): the methods of a profile, asked in order.

The first method that knows a request decides it; what none of them knows is refused. `ca.methods.authoriser` puts them
in this order (`ca.secrets` waits for a protocol with MACs):

1. `ca.renewal`: a certificate of this CA authorises its successor;
2. `ca.passwords`: the challengePassword is one of ours;
3. `ca.webhook`: an external authority says what it likes;
4. `ca.passwords`: the challengePassword is nobody's;
5. `ca.manual`: an operator will look at it.

With no method configured, nothing is issued.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ca.applications import Application
from ca.errors import NotAuthorised, NotRenewable
from ca.store import IssuedCertificate


@dataclass(frozen=True)
class Approved:
    """Issue. method: which one said so. credential_id: the password that said so, which is used
    up if it serves once. rests_on: the certificate whose holder said so.
    """

    method: str
    credential_id: str | None = None
    rests_on: IssuedCertificate | None = None


@dataclass(frozen=True)
class Pending:
    """Somebody will decide later. on: who, for the log."""

    on: str


@dataclass(frozen=True)
class Reissue:
    """This very request was granted before: send that certificate again."""

    authority: str
    serial: int


Verdict = Approved | Pending | Reissue


class Told(enum.Enum):
    """What comes of telling somebody of a certificate: it counts, or they could not be reached and are told later."""

    RELEASED = "released"
    LATER = "later"


class Method(Protocol):
    """One way of authorising requests, for one profile. Everything may raise StoreUnavailable.

    name: as `Approved.method` has it. pause: how long it is left alone about a request that it left pending, None if it
    is never asked again. reports: whether it has to hear of a certificate before that counts.
    """

    @property
    def name(self) -> str: ...
    @property
    def pause(self) -> timedelta | None: ...
    @property
    def reports(self) -> bool: ...

    def decide(self, application: Application, *, now: datetime) -> Verdict | None:
        """The verdict on a new request, None if it does not know it. Raises RequestRefused."""

    def again(self, application: Application, *, now: datetime) -> Verdict:
        """The verdict on a request that waits, by what is known then. Raises RequestRefused."""

    def previous(self, application: Application) -> IssuedCertificate | None:
        """The certificate whose names are issued, as they stand there, if this method approves the request; None if
        those of the request are.
        """

    def issued(self, application: Application, certificate: IssuedCertificate) -> Told:
        """Hears of the certificate, which does not count before; only if `reports`, and at every message until it is
        released. Raises RequestRefused if the certificate is to be withdrawn.
        """

    def failed(self, application: Application, reason: str) -> None:
        """Hears that a request which it has approved was refused in the end, or its certificate withdrawn. What expires
        is not told. Does not raise.
        """


class Once:
    """What most methods are: they decide at once, and nobody has to be told anything afterwards."""

    pause: timedelta | None = None
    reports: bool = False

    def again(self, application: Application, *, now: datetime) -> Verdict:
        """Not asked."""
        raise AssertionError("this method leaves nothing pending")

    def previous(self, application: Application) -> IssuedCertificate | None:
        """The names of the request are issued."""
        return None

    def issued(self, application: Application, certificate: IssuedCertificate) -> Told:
        """Nobody is told."""
        raise AssertionError("this method does not report")

    def failed(self, application: Application, reason: str) -> None:
        """Nobody is told."""


@dataclass(frozen=True)
class Authoriser:
    """Asks the methods of one profile."""

    methods: Sequence[Method]

    def decide(self, application: Application, *, now: datetime) -> Verdict:
        """The verdict on a new request. Raises RequestRefused."""
        if not self.methods:
            raise NotAuthorised("this CA has no way of authorising requests configured")
        if application.renewal is not None and application.renewal.explicit and not self.renews:
            raise NotRenewable("renewal is not enabled for this profile")
        for method in self.methods:
            verdict = method.decide(application, now=now)
            if verdict is not None:
                return verdict
        if len(self.methods) == 1 and self.renews:
            raise NotAuthorised(
                "this profile only renews certificates of this CA: sign a request with the certificate to renew, "
                "or bring the ML-KEM certificate to renew"
            )
        raise NotAuthorised("the request has no challengePassword, which this profile asks for")

    def previous(self, application: Application) -> IssuedCertificate | None:
        """The certificate that the request may be the renewal of."""
        found = (method.previous(application) for method in self.methods)
        return next((item for item in found if item is not None), None)

    @property
    def renews(self) -> bool:
        """Whether certificates of this profile can be renewed."""
        return any(method.name == RENEWAL for method in self.methods)

    def due(self, asked: datetime, *, now: datetime) -> bool:
        """Whether a request that waits, and that was asked about last at `asked`, is one to ask about again."""
        return any(now >= asked + method.pause for method in self.methods if method.pause is not None)

    @property
    def decides_later(self) -> str:
        """Who is expected to decide a request that waits, for the log."""
        return " or ".join([OPERATOR, *(f"the {method.name}" for method in self.methods if method.pause is not None)])

    def again(self, application: Application, *, now: datetime) -> Verdict:
        """The verdict on a request that waits. Raises RequestRefused."""
        asked = next(method for method in self.methods if method.pause is not None)
        return asked.again(application, now=now)

    def reports(self, method: str) -> bool:
        """Whether a method has to hear of a certificate before that counts."""
        return any(item.name == method and item.reports for item in self.methods)

    def issued(self, method: str, application: Application, certificate: IssuedCertificate) -> Told:
        """Tell the method that approved a request of the certificate. Raises RequestRefused. If the profile has lost
        the method meanwhile, nobody has to be told.
        """
        for item in self.methods:
            if item.name == method and item.reports:
                return item.issued(application, certificate)
        return Told.RELEASED

    def failed(self, method: str, application: Application, reason: str) -> None:
        """Tell the method that approved a request that it led to no certificate."""
        for item in self.methods:
            if item.name == method:
                item.failed(application, reason)


RENEWAL = "renewal"  # name of the method
OPERATOR = "an operator"  # for whom requests wait
