"""Who may have a certificate (RFC 8894 section 2.4): challenge passwords, renewal, webhook, manual approval.

`Authoriser.decide` asks the enabled methods in a fixed order and stops at the first that knows the request:

1. a certificate of this CA signed the request: renewal (a PKCSReq that may not renew goes on if it has a password);
2. the challengePassword is one of ours: approved, or refused with the reason;
3. the webhook, when there is one: its answer;
4. manual approval, when no challengePassword was sent: pending;
5. nobody: refused. With no method configured, nothing is issued.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509

from ca.authority import Authority
from ca.challenges import UsedByHolder, check_password, check_purpose
from ca.errors import Busy, Final, RequestRefused
from ca.profiles import Profile, microsoft_sids, names_of, requested_san
from ca.requests import CertificateRequest
from ca.sealing import ServerKey
from ca.store import IssuedCertificate, Store, Transaction, holder_of
from pkix.certificates import Certificate

# Wrong challenge passwords in a minute, after which those of fewer characters than a made one are not looked up.
MAX_GUESSES, UNGUESSABLE = 20, 32


@dataclass(frozen=True)
class EnrolmentRequest:
    """What authorisation looks at.

    requester: as in TransactionKey. signer: whose signature over the message has been verified; its certificate may be
    self-signed; None if something else identifies the requester. password: the challengePassword, if there is one.
    same: see `Transaction.request_hash`. renewal: the protocol calls it one. renewed: the KEM certificate to renew,
    which cannot sign; possession of its key is proven afterwards, before anything is issued. holds: for the webhook,
    the certificate of this CA, good now, whose key has signed the message. rests_on: names
    (`IssuedCertificate.full_name`) of certificates of this CA that the protocol has relied on.
    """

    protocol: str
    transaction_id: str
    requester: bytes
    request: CertificateRequest
    signer: Certificate | None
    same: bytes
    renewal: bool
    password: str | None = field(default=None, repr=False)
    renewed: Certificate | None = None
    holds: IssuedCertificate | None = None
    rests_on: tuple[str, ...] = ()

    @classmethod
    def of(cls, transaction: Transaction, request: CertificateRequest, signer: Certificate | None) -> EnrolmentRequest:
        """Of a transaction that waits."""
        key, same = transaction.key, transaction.request_hash
        return cls(key.protocol, key.transaction_id, key.signer, request, signer, same, renewal=False)

    @property
    def holder(self) -> str:
        """See `ca.store.holder_of`."""
        return holder_of(self.requester, self.same)


@dataclass(frozen=True)
class Approved:
    """Issue. method: which rule said so, for the log. challenge_id: the password that said so, which is used
    up if it serves once. rests_on: the certificate whose holder said so.
    """

    method: str
    challenge_id: str | None = None
    rests_on: IssuedCertificate | None = None


@dataclass(frozen=True)
class Pending:
    """Somebody will decide later."""

    method: str


@dataclass(frozen=True)
class Reissue:
    """This very request was granted before: send that certificate again."""

    authority: str
    serial: int


Verdict = Approved | Pending | Reissue


class WebhookAnswer(enum.Enum):
    """What an external authority can say. UNREACHABLE: it could not be asked; the client is told to come back."""

    APPROVE = "approve"
    REJECT = "reject"
    PENDING = "pending"
    UNREACHABLE = "unreachable"


class Webhook(Protocol):
    """An external authority. `scep_kem.server.webhook` asks one over HTTPS."""

    def ask(self, request: EnrolmentRequest) -> tuple[WebhookAnswer, str]:
        """The answer, and a reason that may be shown to the client when it is REJECT. Does not raise.

        `request` says what was verified: `renewal` that there is a certificate in `holds`.
        """


@dataclass(frozen=True)
class AuthorisationPolicy:
    """Which methods a profile uses. renewal_grace: how long after its end a certificate may still renew itself.
    webhook_pause: how long the webhook is left alone about a request that it did not decide.
    """

    challenge_password: bool = False
    renewal: bool = False
    manual: bool = False
    renewal_grace: timedelta = timedelta(0)
    webhook_pause: timedelta = timedelta(minutes=1)

    def nothing(self, webhook: Webhook | None) -> bool:
        """Whether no method at all is enabled."""
        return not (self.challenge_password or self.renewal or self.manual or webhook)


@dataclass(frozen=True)
class Authoriser:
    """Applies one profile's policy. authorities: every generation of the CA whose certificates may renew."""

    policy: AuthorisationPolicy
    profile: Profile
    authorities: Sequence[Authority]
    store: Store
    server_key: ServerKey
    webhook: Webhook | None = None

    def decide(self, enrolment: EnrolmentRequest, *, now: datetime) -> Verdict:
        """The verdict on a new request. Raises RequestRefused."""
        if self.policy.nothing(self.webhook):
            raise RequestRefused("this CA has no way of authorising requests configured")
        previous = self.issued_to(enrolment.renewed or enrolment.signer)
        password = enrolment.password
        if enrolment.renewal:
            return self._renewal(enrolment, previous, now)
        if previous is not None and self.policy.renewal:
            # Renewal by PKCSReq: sscep, Apple, and certmonger, which repeats its used-up challengePassword.
            try:
                return self._renewal(enrolment, previous, now)
            except RequestRefused:
                if not password:
                    raise
        ours = password if self.policy.challenge_password else None
        if ours and not self._slowed(ours, now):
            verdict = self._challenge(enrolment, ours, now)
            if verdict is not None:
                return verdict
        if self.webhook is not None:
            try:
                return self.ask_webhook(enrolment, now=now)
            except RequestRefused:
                if ours:
                    self._wrong_password(ours, now)
                raise
        if ours:
            self._wrong_password(ours, now)
            raise RequestRefused("the challengePassword is not valid")
        if self.policy.renewal and not (self.policy.challenge_password or self.policy.manual):
            raise RequestRefused(
                "this profile only renews certificates of this CA: sign a request with the certificate to renew, "
                "or bring the ML-KEM certificate to renew"
            )
        if password:
            raise RequestRefused("a challengePassword was sent, but this profile does not use them")
        if self.policy.manual:
            return Pending("manual approval")
        raise RequestRefused("the PKCS #10 request has no challengePassword, which this profile asks for")

    def ask_webhook(self, enrolment: EnrolmentRequest, *, now: datetime) -> Verdict:
        """The webhook's verdict. Raises RequestRefused. An unreachable webhook means "later", so that an outage
        loses no transaction.
        """
        assert self.webhook is not None
        signer = self.issued_to(enrolment.signer)
        good = signer is not None and signer.good_at(now) and not self.store.compromised(signer.spki_hash)
        holds = signer if good else None
        answer, reason = self.webhook.ask(replace(enrolment, renewal=holds is not None, holds=holds))
        if answer is WebhookAnswer.APPROVE:
            return Approved("webhook")
        if answer is WebhookAnswer.REJECT:
            raise RequestRefused(reason or "the request was rejected")
        return Pending("webhook")

    def check_held(self, identifier: str | None, request: CertificateRequest, *, now: datetime) -> None:
        """Whether the challenge password that approved a request is still good for it. Raises Final."""
        if identifier is None:
            return
        held = self.store.challenge(identifier)
        if held is None:
            raise Final("the challengePassword was withdrawn or has expired")
        if held.serial is not None:
            raise Final("the challengePassword has been used")
        try:
            check_purpose(held, subject=request.subject, profile=self.profile.name, now=now)
        except RequestRefused as refused:
            raise Final(refused.text) from None

    def _slowed(self, password: str, now: datetime) -> bool:
        """Whether a password is not looked up for a while: else guessing would go on at full speed. Made passwords are
        too long to be guessed, so nobody can lock out those who have one.
        """
        return len(password) < UNGUESSABLE and self.store.guesses(self.profile.name, now=now) >= MAX_GUESSES

    def _wrong_password(self, password: str, now: datetime) -> None:
        """Count a guess. Raises Busy if it was not even looked up."""
        if self._slowed(password, now):
            raise Busy("busy: too many wrong challengePasswords; come back in a minute")
        if len(password) < UNGUESSABLE:
            self.store.count_guess(self.profile.name, now=now)

    def _challenge(self, enrolment: EnrolmentRequest, password: str, now: datetime) -> Verdict | None:
        found = check_password(
            self.store,
            self.server_key,
            password,
            subject=enrolment.request.subject,
            profile=self.profile.name,
            holder=enrolment.holder,
            now=now,
        )
        if found is None:
            return None
        if isinstance(found, UsedByHolder):
            return Reissue(found.authority, found.serial)
        return Approved("challengePassword", found.identifier)

    def issued_to(self, signer: Certificate | None) -> IssuedCertificate | None:
        """Our record of a certificate, if it is one of ours, octet by octet."""
        if signer is None:
            return None
        for authority in self.authorities:
            if signer.issuer == authority.certificate.subject:
                found = self.store.certificate(authority.identifier, signer.serial_number)
                if found is not None and found.der == signer.der:
                    return found
        return None

    def _renewal(self, enrolment: EnrolmentRequest, previous: IssuedCertificate | None, now: datetime) -> Verdict:
        if not self.policy.renewal:
            raise RequestRefused("renewal is not enabled for this profile")
        if previous is None:
            raise RequestRefused(
                "a RenewalReq must be signed with a certificate issued by this CA, "
                "or bring the ML-KEM certificate to renew"
            )
        if previous.revoked_at is not None:
            raise RequestRefused("the certificate to renew is revoked")
        if self.store.compromised(previous.spki_hash):
            raise RequestRefused("the key of the certificate to renew was revoked for keyCompromise")
        if now < previous.not_before or previous.not_after + self.policy.renewal_grace < now:
            raise RequestRefused("the certificate to renew is not valid now")
        window = self.profile.renewal_window
        if window is not None and now < previous.not_after - window:
            first = (previous.not_after - window).strftime("%Y-%m-%d %H:%M UTC")
            raise RequestRefused(f"the certificate may be renewed from {first} on")
        if previous.profile != self.profile.name:
            raise RequestRefused("the certificate to renew was issued under another profile")
        _check_names(x509.load_der_x509_certificate(previous.der), enrolment.request)
        return Approved("renewal", rests_on=previous)


def _check_names(previous: x509.Certificate, request: CertificateRequest) -> None:
    """A renewal keeps the subject and adds no subjectAltName."""
    if request.subject != previous.subject:
        raise RequestRefused("the subject differs from that of the certificate to renew")
    if not set(microsoft_sids(request.extensions)) <= set(microsoft_sids(previous.extensions)):
        raise RequestRefused("the request asks for a Microsoft SID that the certificate to renew does not have")
    if not set(requested_san(request) or ()) <= names_of(previous):
        raise RequestRefused("the request asks for a subjectAltName that the certificate to renew does not have")
