"""Enrolment in no protocol's terms: the steps of the transaction table (`ca.transactions`), one method each.

A protocol hands in an Arrival and its Dialogue (`ca.dialogue`). The engine looks the transaction up, takes the step and
says what became of it, an Outcome, or raises why not (`pkix.errors`, `ca.errors`).

A step changes the transaction by compare-and-swap; when another worker was faster, the step is looked up anew, and
nothing is carried over but the name of the challenge that the message's confirmation has answered. Issuing looks up
what forbids it, records the certificate, moves the transaction and uses up the challenge password in one step of the
Store.

A transaction belongs to the profile, and so to the URL, that it began at: what was decided there counts nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from ca.authorisation import OPERATOR, RENEWAL, Approved, Pending, Reissue, Verdict
from ca.authority import Authority, contents_of
from ca.credentials import check_held
from ca.dialogue import Arrival, Challenged, Dialogue, Outcome, Proof, Waiting
from ca.errors import (
    Busy,
    NotAuthorised,
    NotRenewable,
    OtherRequest,
    RequestRefused,
    UnknownTransaction,
)
from ca.issuing import Issuing
from ca.profiles import check_request, check_subject_is_free
from ca.remembered import Remembered
from ca.renewal import as_issued, certificate_named
from ca.requests import CertificateRequest
from ca.store import (
    CredentialUnavailable,
    Decision,
    IssuedCertificate,
    Release,
    State,
    StoreConflict,
    Transaction,
)
from ca.transactions import Event, Step, next_step
from ca.turn import Parts, Turn
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.times import THIS_CA, outside

COPY = "the client: this is a copy of a message that was dealt with before"  # why it waits, for the log
ATTEMPTS = 5  # how often to look again when another worker changed the transaction first


class Enrolments(Parts):
    """The transactions of one profile."""

    def handle(self, arrival: Arrival, dialogue: Dialogue) -> Outcome:
        """Do what the table says for a message. Refusals are exceptions."""
        return _Steps(Turn(self, arrival, dialogue)).take()


class _Steps:
    """One message's turn: looking the step up, and taking it."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.issuing = Issuing(turn)
        self.store = turn.store
        self.limits = turn.limits
        self.memory = turn.memory
        self.proofs = turn.proofs
        self.authoriser = turn.authoriser
        self.profile = turn.profile
        self.arrival = turn.arrival
        self.now = turn.now
        self.dialogue = turn.dialogue
        self.own_names = turn.own_names
        # Name of the challenge that this message answers rightly; good for nothing else, also when another worker was
        # faster and the transaction is looked at again.
        self.proven: str | None = None

    def take(self) -> Outcome:
        """Look the step up and take it, anew while others are faster."""
        arrival = self.arrival
        for _ in range(ATTEMPTS):
            transaction = self.store.get(arrival.key)
            if transaction is not None and transaction.state is State.AWAITING_RELEASE:
                transaction = self._in_time(transaction)
            step = next_step(transaction, arrival.event, self.turn.same(transaction), now=self.now)
            try:
                if step is Step.decide:
                    return self._decide(transaction)
                if transaction is None or step is Step.refuse_unknown:
                    raise UnknownTransaction("no request matches this transactionID and requester")
                return _STEPS[step](self, transaction)
            except (StoreConflict, CredentialUnavailable):
                continue
        raise Busy("busy with this transaction; come back in a moment")

    def _in_time(self, transaction: Transaction) -> Transaction | None:
        """The same, or None if nobody has released its certificate in time, which is revoked then. Nothing may take the
        place of such a transaction before.
        """
        if transaction.expires >= self.now:
            return transaction
        with contextlib.suppress(StoreConflict):  # somebody else has ended it, or released it a moment ago
            self.turn.end(transaction, "the certificate was not accepted in time")
        return self.store.get(transaction.key)

    # New requests

    def _decide(self, old: Transaction | None) -> Outcome:
        """A new request: check, authorise, then challenge, issue, queue or refuse."""
        if old is not None and self._is_rejected(old):
            raise RequestRefused(old.reason)
        request = self.arrival.request
        assert request is not None
        application = replace(self.dialogue.application(), same=self.turn.same() or b"")
        previous = self.authoriser.previous(application)
        self._check(as_issued(request, previous, self.profile))
        self.dialogue.deliverable(request)
        verdict = self.authoriser.decide(application, now=self.now)
        if previous is not None and not _renews(verdict):
            self._check(request)  # which another method has approved as it stands
        if isinstance(verdict, Reissue):
            return self.issuing.reissue(request, verdict)
        seen = self.memory.seen(old) if old is not None and old.expires >= self.now else ()
        remembered = self._remembered(request, verdict, application.rests_on, seen)
        new = self._transaction(request, remembered, verdict)
        proof = self.dialogue.proof(application)
        if application.renewal is not None and not application.renewal.proven:
            # Whatever the protocol says: the certificate to renew is public, and only the proof authorises.
            renewed = verdict.rests_on if isinstance(verdict, Approved) else None
            if proof is not Proof.challenge or renewed is None:
                raise NotRenewable("possession of the key of the certificate to renew is not proven")
            new = replace(new, renews=renewed.full_name)
        if proof is Proof.challenge:
            return self._challenge(old, new, remembered)
        new = replace(new, release=Release.CLIENT if proof is Proof.acceptance else Release.NONE)
        if isinstance(verdict, Pending):
            return self._queue(old, new, verdict.on)
        try:
            issued, certificate = self.issuing.grant(old, new, request, verdict)
        except RequestRefused as refused:
            self.authoriser.failed(verdict.method, application, refused.text)
            raise
        return self.issuing.deliver(issued, certificate, request)

    def _is_rejected(self, old: Transaction) -> bool:
        """Whether the message is a copy, and an operator has rejected its request, which it must not queue again."""
        if old.state is not State.FAILED or old.decision is not Decision.REJECTED or old.expires < self.now:
            return False
        return self.arrival.message_hash in self.memory.seen(old)

    def _transaction(self, request: CertificateRequest, remembered: Remembered, verdict: Verdict) -> Transaction:
        key, same, now = self.arrival.key, self.turn.same(), self.now
        assert same is not None
        return Transaction(
            key=key,
            state=State.AWAITING_APPROVAL,
            request_hash=same,
            sealed_request=self.memory.seal(key, remembered),
            subject=request.subject_text,
            authority=self.issuer.identifier,
            created=now,
            updated=now,
            expires=now + self.limits.pending_lifetime,
            approved_by=verdict.method if isinstance(verdict, Approved) else "",
            client=self.arrival.client,
        )

    def _remembered(
        self,
        request: CertificateRequest,
        verdict: Verdict | None,
        rests_on: tuple[str, ...] = (),
        seen: Sequence[bytes] = (),
    ) -> Remembered:
        return Remembered.of(
            request,
            self.dialogue.context(),
            self.arrival.message_hash,
            rests_on=[*_rests_on(verdict), *rests_on],
            credential_id=verdict.credential_id if isinstance(verdict, Approved) else None,
            seen=seen,
        )

    def _queue(self, old: Transaction | None, new: Transaction, on: str) -> Outcome:
        """Wait for somebody to decide. on: who."""
        self.turn.make_room(self.limits.waiting(new))
        self.turn.put(old, new)
        return Waiting(on)

    # Proof of possession

    def _challenge(self, old: Transaction | None, new: Transaction, remembered: Remembered) -> Outcome:
        """Send a challenge and wait for its confirmation."""
        spkis = self._spkis(new, remembered)
        if old is None or old.state is not State.CHALLENGED or old.expires < self.now:
            self.turn.make_room(self.limits.challenged(new))
        lifetime = self.limits.challenge_lifetime
        expires = self.now + lifetime
        made = self.dialogue.challenge(
            spkis,
            remembered.request,
            remembered.context,
            expires=expires,
            password_lasts=self._password_lasts(new, remembered),
        )
        name = self.proofs.keep(new.key, made.secret, expires=expires, late=lifetime)
        answered = remembered.answered_with(self.arrival.message_hash, made.answer)
        waiting = replace(
            new,
            sealed_request=self.memory.seal(new.key, answered),
            state=State.CHALLENGED,
            secret_id=name,
            pop_challenges=new.pop_challenges + 1,
            updated=self.now,
            expires=self.now + 2 * lifetime,  # so that a late confirmation is told that it is late
        )
        try:
            self.turn.put(old, waiting)
        except (StoreConflict, CredentialUnavailable):
            self.proofs.forget(name)
            raise
        if old is not None and old.secret_id is not None:
            self.proofs.forget(old.secret_id)
        return Challenged(made.answer)

    def _password_lasts(self, transaction: Transaction, remembered: Remembered) -> bool:
        """Whether a password in the request may serve again: only of ours it is known that they do not."""
        identifier = remembered.credential_id.decode() if remembered.credential_id else transaction.credential_id
        credential = self.store.credential(identifier) if identifier else None
        return credential is None or not credential.one_time

    def _spkis(self, transaction: Transaction, remembered: Remembered) -> list[bytes]:
        """The requested key, and that of the KEM certificate being renewed."""
        spkis = [remembered.read().spki]
        if transaction.renews:
            renewed = certificate_named(self.store, transaction.renews)
            if renewed is None or renewed.revoked_at is not None:
                raise NotRenewable("the certificate to renew is revoked")
            spkis.append(Certificate.decode(renewed.der).spki)
        return spkis

    def challenge_again(self, transaction: Transaction) -> Outcome:
        """CHALLENGED, and the client asks without confirming: a fresh challenge; the old secret goes.

        A copy of a message that was answered before gets that answer once more. Else a proxy that repeats a message,
        or anybody who recorded it, could spoil the challenge that the client is about to confirm. One that only an
        earlier transaction has dealt with waits.
        """
        remembered = self.memory.open(transaction)
        answer = remembered.answer_to(self.arrival.message_hash)
        if answer is not None:
            return Challenged(answer)
        if remembered.has_seen(self.arrival.message_hash):
            return Waiting(COPY)
        if transaction.pop_challenges >= self.limits.max_challenges:
            raise self.turn.failed(transaction, RequestRefused("too many challenges were sent without a confirmation"))
        if self.arrival.request is not None:
            remembered = replace(
                self._remembered(self.arrival.request, None, seen=remembered.seen or ()),
                answered=remembered.answered,
                rests_on=remembered.rests_on,
                credential_id=remembered.credential_id,
            )
        return self._challenge(transaction, transaction, remembered)

    def confirm(self, transaction: Transaction) -> Outcome:
        """CHALLENGED, and a confirmation came. The secret is taken first, so that it serves one attempt.

        Without a secret, another worker is at it, or stopped halfway: the client asks again. The same when another
        challenge has replaced the one that this confirmation has answered, which proves nothing about it. And when it
        is a copy of one that was dealt with, which takes no secret.
        """
        if self.arrival.message_hash in self.memory.seen(transaction):
            return Waiting(COPY)
        if self.proven is None:
            if not self._check_proof(transaction):
                return Waiting("another worker, which has the secret of this challenge")
        elif self.proven != transaction.secret_id:
            return Waiting("the client: another challenge has replaced the one that it confirms")
        try:
            remembered = self.memory.open(transaction)
            self._spkis(transaction, remembered)  # the KEM certificate being renewed may have been revoked meanwhile
        except RequestRefused as refused:
            raise self.turn.failed(transaction, refused) from None
        new = replace(transaction, secret_id=None, updated=self.now)
        if not transaction.approved_by:
            expires = self.now + self.limits.pending_lifetime
            seen = remembered.having_seen(self.arrival.message_hash)
            sealed = self.memory.seal(transaction.key, seen.ended())
            new = replace(new, state=State.AWAITING_APPROVAL, sealed_request=sealed, expires=expires)
            return self._queue(transaction, new, self.authoriser.decides_later)
        identifier = remembered.credential_id.decode() if remembered.credential_id else transaction.credential_id
        verdict = Approved(transaction.approved_by, identifier)
        try:
            wanted = remembered.read()
            self._check_held(identifier, wanted)
            issued, certificate = self.issuing.grant(transaction, new, wanted, verdict)
        except RequestRefused as refused:
            raise self.turn.failed(transaction, refused) from None
        return self.issuing.deliver(issued, certificate, wanted)

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
            self.turn.end(transaction, error.text)
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
        if self.arrival.event is not Event.poll:  # polls are many, and bring nothing
            transaction = self.turn.note(transaction)
        request = self.memory.open(transaction).read()
        approved = Approved("manual approval", transaction.credential_id)
        if transaction.decision is Decision.REJECTED:
            reason = transaction.reason or "the request was rejected"
            raise self.turn.failed(transaction, NotAuthorised(reason))
        if transaction.decision is Decision.UNDECIDED:
            if not self.authoriser.due(transaction.updated, now=self.now):
                return Waiting(self.authoriser.decides_later)
            # Moved on before it is asked, so that of several polls one asks.
            asking = replace(transaction, updated=self.now)
            if asking != transaction:
                self.store.replace(transaction, asking)
                transaction = asking
            try:
                verdict = self.authoriser.again(self.turn.application(transaction, request), now=self.now)
            except RequestRefused as refused:
                raise self.turn.failed(transaction, refused) from None
            if not isinstance(verdict, Approved):
                return Waiting(verdict.on if isinstance(verdict, Pending) else self.authoriser.decides_later)
            approved = verdict
        try:
            self._check(request)
            self._check_held(transaction.credential_id, request)
            issued, certificate = self.issuing.grant(transaction, transaction, request, approved)
        except RequestRefused as refused:
            if refused.final:
                raise self.turn.failed(transaction, refused, approved) from None
            return Waiting(f"{OPERATOR}, to make it possible: {refused.text}")
        return self.issuing.deliver(issued, certificate, request)

    def repeat(self, transaction: Transaction) -> Outcome:
        """ISSUED: the same certificate again, for a client that lost the answer.

        Who signs with that very certificate has it and wants another: certmonger renews with an identical request.
        """
        assert transaction.serial is not None
        certificate = self.store.certificate(transaction.authority, transaction.serial)
        own = self.arrival.certificate
        has_it = certificate is not None and own is not None and certificate.der == own.der
        ended = certificate is None or not certificate.good_at(self.now)
        if self.arrival.event is Event.request and (ended or has_it):
            return self._decide(transaction)
        if certificate is None or ended:
            raise RequestRefused(
                f"the certificate of this transaction {self._why_ended(certificate)}; send a new request"
            )
        if self.arrival.event is Event.accept:
            self.dialogue.confirmation()(certificate.der)
        transaction = self.issuing.note(transaction, certificate)
        return self.issuing.success(certificate, self.memory.open(transaction).read())

    def _why_ended(self, certificate: IssuedCertificate | None) -> str:
        """Why a certificate that was issued is not good any more."""
        if certificate is None:
            return "is not known any more"
        if certificate.revoked_at is not None:
            return "is revoked"
        return f"is not valid now: {outside(certificate.not_before, certificate.not_after, self.now, THIS_CA)}"

    def report(self, transaction: Transaction) -> Outcome:
        """FAILED: the reason on record. The message could spoil the next challenge, so its copies are known there."""
        self.turn.note(transaction)
        raise RequestRefused(transaction.reason)

    def refuse_other(self, transaction: Transaction) -> Outcome:
        """Another request while one waits."""
        raise OtherRequest("another request is waiting under this transactionID")

    def _check(self, request: CertificateRequest) -> None:
        """Whether the profile allows what is asked for, and nobody asks for a name of the CA."""
        check_request(self.profile, request)  # first: it has bounds, and comparing names without one takes long
        check_subject_is_free(request, self.own_names)
        # What would be issued: what the CA's own certificate forbids is refused before anybody decides.
        contents_of(self.issuer, self.profile, request, now=self.now, serial_number=1)

    @property
    def issuer(self) -> Authority:
        """Who would issue for the message."""
        return self.turn.authorities.issuer(self.arrival.authority)

    def _check_held(self, identifier: str | None, request: CertificateRequest) -> None:
        check_held(self.store, identifier, subject=request.subject, profile=self.profile.name, now=self.now)


def _renews(verdict: Verdict) -> bool:
    return isinstance(verdict, Approved) and verdict.method == RENEWAL


def _rests_on(verdict: Verdict | None) -> list[str]:
    """The name of the certificate whose holder has authorised the request, if it was one."""
    return [verdict.rests_on.full_name] if isinstance(verdict, Approved) and verdict.rests_on is not None else []


_STEPS: dict[Step, Callable[[_Steps, Transaction], Outcome]] = {
    Step.challenge: _Steps.challenge_again,
    Step.confirm: _Steps.confirm,
    Step.review: _Steps.review,
    Step.hand_over: lambda steps, transaction: steps.issuing.hand_over(transaction),
    Step.release: lambda steps, transaction: steps.issuing.release(transaction),
    Step.withdraw: lambda steps, transaction: steps.issuing.withdraw(transaction),
    Step.repeat: _Steps.repeat,
    Step.report: _Steps.report,
    Step.refuse_other: _Steps.refuse_other,
}
