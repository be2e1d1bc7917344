"""Which methods of authorisation a profile has, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ca.authorisation import Authoriser, Method
from ca.authorities import Records
from ca.authority import Authority
from ca.manual import ManualApproval
from ca.passwords import Guesses, Passwords, UnknownPasswords
from ca.profiles import Profile
from ca.renewal import Renewals
from ca.sealing import ServerKey
from ca.store import Store
from ca.webhook import ExternalAuthority, Webhook


@dataclass(frozen=True)
class AuthorisationPolicy:
    """Which methods a profile uses, beside a webhook. renewal_grace: how long after its end a certificate may still
    renew itself. webhook_pause: how long the webhook is left alone about a request that it did not decide.
    """

    challenge_password: bool = False
    renewal: bool = False
    manual: bool = False
    renewal_grace: timedelta = timedelta(0)
    webhook_pause: timedelta = timedelta(minutes=1)

    def nothing(self, webhook: Webhook | None) -> bool:
        """Whether no method at all is enabled."""
        return not (self.challenge_password or self.renewal or self.manual or webhook)


def authoriser(
    policy: AuthorisationPolicy,
    profile: Profile,
    authorities: Sequence[Authority],
    store: Store,
    server_key: ServerKey,
    webhook: Webhook | None = None,
) -> Authoriser:
    """The methods of a profile, in the order of `ca.authorisation`. authorities: every generation of the CA whose
    certificates may renew.
    """
    records = Records(authorities, store)
    guesses = Guesses(profile.name, store) if policy.challenge_password else None
    methods: list[Method] = []
    if policy.renewal:
        methods.append(Renewals(profile, records, policy.renewal_grace))
    if guesses is not None:
        methods.append(Passwords(profile.name, store, server_key, guesses))
    if webhook is not None:
        methods.append(ExternalAuthority(webhook, records, guesses, policy.webhook_pause))
    if guesses is not None:
        methods.append(UnknownPasswords(guesses))
    if policy.manual:
        methods.append(ManualApproval())
    return Authoriser(methods)
