"""Enrolment in no protocol's terms: the steps of the transaction table (`ca.transactions`), one method each.

A protocol hands in an Arrival and its Dialogue (`ca.dialogue`). The engine looks the transaction up, takes the step and
says what became of it, Issued, Waiting or Challenged, or raises why not (`pkix.errors`, `ca.errors`).

A step changes the transaction by compare-and-swap; when another worker was faster, the step is looked up anew, and
nothing is carried over but the name of the challenge that the message's confirmation has answered. Issuing looks up
what forbids it, records the certificate, moves the transaction and uses up the challenge password in one step of the
Store.

A transaction belongs to the profile, and so to the URL, that it began at: what was decided there counts nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ca.applications import Application, Identity
from ca.authorisation import RENEWAL, Approved, Authoriser, Pending, Reissue, Verdict
from ca.authorities import Authorities
from ca.authority import RandomBytes, issue
from ca.challenges import check_held
from ca.dialogue import Arrival, Challenged, Dialogue, Issued, Outcome, Proof, Waiting
from ca.errors import (
    Busy,
    KeyRefused,
    NamesRefused,
    NotAuthorised,
    NotRenewable,
    OtherRequest,
    RequestRefused,
    UnknownTransaction,
)
from ca.limits import Limits, Rooms, make_room
from ca.profiles import Profile, check_request
from ca.proofs import Proofs
from ca.remembered import Memory, Remembered
from ca.requests import CertificateRequest
from ca.sealing import ServerKey
from ca.store import (
    CertificateWithdrawn,
    ChallengeUnavailable,
    Decision,
    IssuedCertificate,
    IssueForbidden,
    KeyCompromised,
    RequestRepeated,
    State,
    Store,
    StoreConflict,
    SubjectTaken,
    Transaction,
)
from ca.transactions import Step, next_step
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.names import comparable
from pkix.public_keys import key_identity

ATTEMPTS = 5  # how often to look again when another worker changed the transaction first


@dataclass(frozen=True)
class Enrolments:
    """The transactions of one profile."""

    profile: Profile
    authorities: Authorities
    authoriser: Authoriser
    store: Store
    server_key: ServerKey
    limits: Limits
    random: RandomBytes

    def handle(self, arrival: Arrival, dialogue: Dialogue) -> Outcome:
        """Do what the table says for a request, a poll or a confirmation. Refusals are exceptions."""
        return _Turn(self, arrival, dialogue).take()


class _Turn:
    """One message's turn at its transaction."""

    def __init__(self, enrolments: Enrolments, arrival: Arrival, dialogue: Dialogue) -> None:
        self.profile = enrolments.profile
        self.authorities = enrolments.authorities
        self.authoriser = enrolments.authoriser
        self.store = enrolments.store
        self.limits = enrolments.limits
        self.random = enrolments.random
        self.memory = Memory(enrolments.server_key, enrolments.random)
        self.proofs = Proofs(enrolments.store, enrolments.server_key, enrolments.random)
        self.arrival = arrival
        self.now = arrival.now
        self.dialogue = dialogue
        # Name of the challenge that this message answers rightly; good for nothing else, also when another worker was
        # faster and the transaction is looked at again.
        self.proven: str | None = None

    def take(self) -> Outcome:
        """Look the step up and take it, anew while others are faster."""
        arrival = self.arrival
        for _ in range(ATTEMPTS):
            transaction = self.store.get(arrival.key)
            step = next_step(transaction, arrival.event, arrival.same, now=self.now)
            try:
                if step is Step.decide:
                    return self._decide(transaction)
                if transaction is None or step is Step.refuse_unknown:
                    raise UnknownTransaction("no request matches this transactionID and requester")
                return _STEPS[step](self, transaction)
            except (StoreConflict, ChallengeUnavailable):
                continue
        raise Busy("busy with this transaction; come back in a moment")

    # New requests

    def _decide(self, old: Transaction | None) -> Outcome:
        """A new request: check, authorise, then challenge, issue, queue or refuse."""
        if old is not None and self._is_rejected(old):
            raise RequestRefused(old.reason)
        request = self.arrival.request
        assert request is not None
        check_request(self.profile, request)
        application = self.dialogue.application()
        self.dialogue.deliverable(request)
        verdict = self.authoriser.decide(application, now=self.now)
        if isinstance(verdict, Reissue):
            return self._reissue(request, verdict)
        remembered = self._remembered(request, verdict, application.rests_on)
        new = self._transaction(request, remembered, verdict)
        if self.dialogue.proof(application) is Proof.challenge:
            proven = application.renewal is None or application.renewal.proven
            new = replace(new, renews="" if proven else _rests_on(verdict)[0])
            return self._challenge(old, new, remembered)
        if isinstance(verdict, Pending):
            return self._queue(old, new)
        try:
            return self._grant(old, new, request, verdict)
        except RequestRefused as refused:
            self.authoriser.failed(verdict.method, application, refused.text)
            raise

    def _is_rejected(self, old: Transaction) -> bool:
        """Whether the message is a copy of the request that an operator has rejected, which must not queue it again."""
        if old.state is not State.FAILED or not old.sealed_request or old.expires < self.now:
            return False
        return self.memory.open(old).message_hash == self.arrival.message_hash

    def _transaction(self, request: CertificateRequest, remembered: Remembered, verdict: Verdict) -> Transaction:
        key, same, now = self.arrival.key, self.arrival.same, self.now
        assert same is not None
        return Transaction(
            key=key,
            state=State.AWAITING_APPROVAL,
            request_hash=same,
            sealed_request=self.memory.seal(key, remembered),
            subject=request.subject_text,
            authority=self.authorities.issuer(self.arrival.authority).identifier,
            created=now,
            updated=now,
            expires=now + self.limits.pending_lifetime,
            approved_by=verdict.method if isinstance(verdict, Approved) else "",
        )

    def _remembered(
        self, request: CertificateRequest, verdict: Verdict | None, rests_on: tuple[str, ...] = ()
    ) -> Remembered:
        return Remembered.of(
            request,
            self.dialogue.context(),
            self.arrival.message_hash,
            rests_on=[*_rests_on(verdict), *rests_on],
            challenge_id=verdict.challenge_id if isinstance(verdict, Approved) else None,
        )

    def _queue(self, old: Transaction | None, new: Transaction) -> Outcome:
        """Wait for an operator."""
        self._make_room(self.limits.waiting(new))
        self._put(old, new)
        return Waiting()

    # Proof of possession

    def _challenge(self, old: Transaction | None, new: Transaction, remembered: Remembered) -> Outcome:
        """Send a challenge and wait for its confirmation."""
        spkis = self._spkis(new, remembered)
        if old is None or old.state is not State.CHALLENGED or old.expires < self.now:
            self._make_room(self.limits.challenged(new))
        lifetime = self.limits.challenge_lifetime
        expires = self.now + lifetime
        made = self.dialogue.challenge(spkis, remembered.request, remembered.context, expires=expires)
        name = self.proofs.keep(new.key, made.secret, expires=expires, late=lifetime)
        answered = remembered.answered_with(self.arrival.message_hash, made.answer)
        waiting = replace(
            new,
            sealed_request=self.memory.seal(new.key, answered),
            state=State.CHALLENGED,
            secret_id=name,
            challenges=new.challenges + 1,
            updated=self.now,
            expires=self.now + 2 * lifetime,  # so that a late confirmation is told that it is late
        )
        try:
            self._put(old, waiting)
        except (StoreConflict, ChallengeUnavailable):
            self.proofs.forget(name)
            raise
        if old is not None and old.secret_id is not None:
            self.proofs.forget(old.secret_id)
        return Challenged(made.answer)

    def _spkis(self, transaction: Transaction, remembered: Remembered) -> list[bytes]:
        """The requested key, and that of the KEM certificate being renewed."""
        spkis = [remembered.read().spki]
        if transaction.renews:
            authority, _, serial = transaction.renews.partition(":")
            renewed = self.store.certificate(authority, int(serial, 16))
            if renewed is None or renewed.revoked_at is not None:
                raise NotRenewable("the certificate to renew is revoked")
            spkis.append(Certificate.decode(renewed.der).spki)
        return spkis

    def challenge_again(self, transaction: Transaction) -> Outcome:
        """CHALLENGED, and the client asks without confirming: a fresh challenge; the old secret goes.

        A copy of a message that was answered before gets that answer once more. Else a proxy that repeats a message,
        or anybody who recorded it, could spoil the challenge that the client is about to confirm.
        """
        remembered = self.memory.open(transaction)
        answer = remembered.answer_to(self.arrival.message_hash)
        if answer is not None:
            return Challenged(answer)
        if transaction.challenges >= self.limits.max_challenges:
            raise self._failed(transaction, RequestRefused("too many challenges were sent without a confirmation"))
        if self.arrival.request is not None:
            remembered = replace(
                self._remembered(self.arrival.request, None),
                answered=remembered.answered,
                rests_on=remembered.rests_on,
                challenge_id=remembered.challenge_id,
            )
        return self._challenge(transaction, transaction, remembered)

    def confirm(self, transaction: Transaction) -> Outcome:
        """CHALLENGED, and a confirmation came. The secret is taken first, so that it serves one attempt.

        Without a secret, another worker is at it, or stopped halfway: the client asks again. The same when another
        challenge has replaced the one that this confirmation has answered, which proves nothing about it.
        """
        if self.proven is None:
            if not self._check_proof(transaction):
                return Waiting()
        elif self.proven != transaction.secret_id:
            return Waiting()
        try:
            remembered = self.memory.open(transaction)
            self._spkis(transaction, remembered)  # the KEM certificate being renewed may have been revoked meanwhile
        except RequestRefused as refused:
            raise self._failed(transaction, refused) from None
        new = replace(transaction, secret_id=None, updated=self.now)
        if not transaction.approved_by:
            expires = self.now + self.limits.pending_lifetime
            sealed = self.memory.seal(transaction.key, remembered.ended())
            new = replace(new, state=State.AWAITING_APPROVAL, sealed_request=sealed, expires=expires)
            return self._queue(transaction, new)
        identifier = remembered.challenge_id.decode() if remembered.challenge_id else transaction.challenge_id
        verdict = Approved(transaction.approved_by, identifier)
        try:
            wanted = remembered.read()
            self._check_held(identifier, wanted)
            return self._grant(transaction, new, wanted, verdict)
        except RequestRefused as refused:
            raise self._failed(transaction, refused) from None

    def _check_proof(self, transaction: Transaction) -> bool:
        """Take the secret of the outstanding challenge and check the confirmation; False if there is none to take."""
        check = self.dialogue.confirmation()
        name = transaction.secret_id or ""
        try:
            secret = self.proofs.take(transaction.key, name, now=self.now)
            if secret is None:
                return False
            check(secret)
        except PkixError as error:
            self._end(transaction, error.text)
            raise
        self.proven = name
        self.arrival.details["proof of possession"] = "verified"
        return True

    # Waiting and ended transactions

    def review(self, transaction: Transaction) -> Outcome:
        """AWAITING_APPROVAL: what the operator or the webhook says by now.

        What stands in the way of an approved request for now (a subject that is taken, a wrong clock, a profile that
        was changed) leaves it waiting, so that an operator can put it right.
        """
        request = self.memory.open(transaction).read()
        verdict: Verdict = Approved("manual approval", transaction.challenge_id)
        if transaction.decision is Decision.REJECTED:
            reason = transaction.reason or "the request was rejected"
            raise self._failed(transaction, NotAuthorised(reason))
        if transaction.decision is Decision.UNDECIDED:
            if not self.authoriser.due(transaction.updated, now=self.now):
                return Waiting()
            # Moved on before it is asked, so that of several polls one asks.
            asking = replace(transaction, updated=self.now)
            if asking != transaction:
                self.store.replace(transaction, asking)
                transaction = asking
            try:
                verdict = self.authoriser.again(self._application(transaction, request), now=self.now)
            except RequestRefused as refused:
                raise self._failed(transaction, refused) from None
            if isinstance(verdict, Pending):
                return Waiting()
        try:
            check_request(self.profile, request)
            self._check_held(transaction.challenge_id, request)
            return self._grant(transaction, transaction, request, verdict)
        except RequestRefused as refused:
            if refused.final:
                raise self._failed(transaction, refused, verdict) from None
            self.arrival.details["not granted yet"] = refused.text
            return Waiting()

    def repeat(self, transaction: Transaction) -> Outcome:
        """ISSUED: the same certificate again, for a client that lost the answer.

        Who signs with that very certificate has it and wants another: certmonger renews with an identical request.
        """
        assert transaction.serial is not None
        certificate = self.store.certificate(transaction.authority, transaction.serial)
        own = self.arrival.certificate
        has_it = certificate is not None and own is not None and certificate.der == own.der
        ended = certificate is None or not certificate.good_at(self.now)
        if self.arrival.request is not None and (ended or has_it):
            return self._decide(transaction)
        if certificate is None or ended:
            raise RequestRefused("the certificate of this transaction is revoked or has expired; send a new request")
        return self._success(certificate, self.memory.open(transaction).read())

    def report(self, transaction: Transaction) -> Outcome:
        """FAILED: the reason on record."""
        raise RequestRefused(transaction.reason)

    def refuse_other(self, transaction: Transaction) -> Outcome:
        """Another request while one waits."""
        raise OtherRequest("another request is waiting under this transactionID")

    def _failed(
        self, transaction: Transaction, refused: RequestRefused, verdict: Verdict | None = None
    ) -> RequestRefused:
        """The refusal, on record."""
        self._end(transaction, refused.text, verdict.method if isinstance(verdict, Approved) else "")
        return refused

    def _end(self, transaction: Transaction, reason: str, method: str = "") -> None:
        """Move to FAILED, giving back the challenge password and forgetting the secret and the request: a retry brings
        it, and a poll is told the reason. Of a request that was rejected, what its copies are known by is kept.

        method: which has approved the request, if the transaction does not say; it hears of this.
        """
        kept = b""
        if transaction.decision is Decision.REJECTED:
            kept = self.memory.seal(transaction.key, self.memory.open(transaction).rejected())
        self._make_room(self.limits.failed(transaction))
        ended = replace(
            transaction,
            state=State.FAILED,
            reason=reason,
            sealed_request=kept,
            challenge_id=None,
            secret_id=None,
            updated=self.now,
            expires=self.now + self.limits.ended_lifetime,
        )
        self.store.replace(transaction, ended)
        if transaction.secret_id is not None:
            self.proofs.forget(transaction.secret_id)
        method = method or transaction.approved_by
        if method:
            with contextlib.suppress(RequestRefused):  # a request that cannot be opened any more
                request = self.memory.open(transaction).read()
                self.authoriser.failed(method, self._application(transaction, request), reason)

    # Issuing

    def _grant(
        self, old: Transaction | None, new: Transaction, request: CertificateRequest, verdict: Verdict
    ) -> Outcome:
        """Issue the certificate and move the transaction to ISSUED."""
        assert isinstance(verdict, Approved)
        self.dialogue.deliverable(request)
        remembered = self.memory.open(new)
        self.dialogue.accepted(request, expires=self.now + self.limits.pending_lifetime)
        issuer = self.authorities.by_identifier(new.authority)
        proven = new.challenges > 0
        certificate = replace(
            issue(issuer, self.profile, request, now=self.now, random=self.random),
            spki_hash=key_identity(request.spki),
            name=comparable(request.subject),
            request_hash=request.hash,
            message_hash=b"" if proven else remembered.message_hash or b"",
        )
        issued = replace(
            new,
            state=State.ISSUED,
            sealed_request=self.memory.seal(new.key, remembered.ended()),
            authority=certificate.authority,
            serial=certificate.serial,
            challenge_id=verdict.challenge_id,
            updated=self.now,
            expires=self.now + self.limits.ended_lifetime,
        )
        own = self.arrival.certificate
        own_key = own is not None and key_identity(own.spki) == certificate.spki_hash
        again = own_key or proven or verdict.method == RENEWAL
        unique = self.profile.unique_subject and verdict.method != RENEWAL
        try:
            rests_on = [name.decode() for name in remembered.rests_on or []]
            self.store.issue(old, issued, certificate, again=again, unique=unique, rests_on=rests_on)
        except IssueForbidden as forbidden:
            kind = next(kind for cause, kind in _FORBIDDEN.items() if isinstance(forbidden, cause))
            raise kind(str(forbidden), final=not isinstance(forbidden, SubjectTaken)) from None
        self.arrival.details["authorised by"] = verdict.method
        return self._success(certificate, request)

    def _reissue(self, request: CertificateRequest, verdict: Reissue) -> Outcome:
        """The certificate that this very request was granted before, as long as it is good.

        Nothing is stored: whoever has a used-up password could fill the Store with new transactionIDs.
        """
        found = self.store.certificate(verdict.authority, verdict.serial)
        if found is None or not found.good_at(self.now) or found.profile != self.profile.name:
            raise NotAuthorised("the challengePassword has been used")
        return self._success(found, request)

    def _success(self, certificate: IssuedCertificate, request: CertificateRequest) -> Outcome:
        self.arrival.details["serial"] = f"{certificate.serial:x}"
        return Issued(certificate, request)

    # Small things

    def _check_held(self, identifier: str | None, request: CertificateRequest) -> None:
        check_held(self.store, identifier, subject=request.subject, profile=self.profile.name, now=self.now)

    def _application(self, transaction: Transaction, request: CertificateRequest) -> Application:
        """That of a transaction begun earlier: who asks is who has sent this message."""
        identity = Identity(certificate=self.arrival.certificate)
        return Application(transaction.key, request, identity, same=transaction.request_hash)

    def _make_room(self, rooms: Rooms) -> None:
        """Let the oldest go at a limit, and say so in the log: where it happens often, somebody is flooding."""
        gone = make_room(self.store, rooms, now=self.now)
        if gone:
            self.arrival.details["gave way"] = str(gone)

    def _put(self, old: Transaction | None, new: Transaction) -> None:
        if old is None:
            self.store.create(new)
        else:
            self.store.replace(old, new)


def _rests_on(verdict: Verdict | None) -> list[str]:
    """The name of the certificate whose holder has authorised the request, if it was one."""
    return [verdict.rests_on.full_name] if isinstance(verdict, Approved) and verdict.rests_on is not None else []


_FORBIDDEN: dict[type[IssueForbidden], type[RequestRefused]] = {
    KeyCompromised: KeyRefused,
    SubjectTaken: NamesRefused,
    RequestRepeated: OtherRequest,
    CertificateWithdrawn: NotAuthorised,
}

_STEPS: dict[Step, Callable[[_Turn, Transaction], Outcome]] = {
    Step.challenge: _Turn.challenge_again,
    Step.confirm: _Turn.confirm,
    Step.review: _Turn.review,
    Step.repeat: _Turn.repeat,
    Step.report: _Turn.report,
    Step.refuse_other: _Turn.refuse_other,
}
