"""Enrolment on the CA's side: the steps of the transaction table (`scep.transactions`), one method each.

A step returns an Outcome or raises what becomes a FAILURE. It changes the transaction by compare-and-swap; when another
worker was faster, the step is looked up anew, and nothing is carried over but the name of the challenge that the
message's confirmation has answered. Issuing looks up what forbids it, records the certificate, moves the transaction
and uses up the challenge password in one step of the Store.

A transaction belongs to the profile, and so to the URL, that it began at: what was decided there counts nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ca.authorisation import Approved, Authoriser, EnrolmentRequest, Pending, Reissue, Verdict
from ca.authorities import Authorities
from ca.authority import issue
from ca.errors import Busy, Final, RequestRefused
from ca.limits import Limits, make_room
from ca.profiles import Profile, check_request
from ca.store import (
    ChallengeUnavailable,
    Decision,
    IssuedCertificate,
    IssueForbidden,
    State,
    Store,
    StoreConflict,
    SubjectTaken,
    Transaction,
    TransactionKey,
)
from kem.keys import EncapsulationKey, decode_public_key
from pkix.certificates import Certificate
from pkix.errors import IntegrityFailed
from pkix.names import comparable
from pkix.pkcs10 import CertificationRequest
from pkix.public_keys import key_identity
from pkix.signed_data import encode_degenerate
from scep.attributes import KEM_POP_CONFIRM, MessageType, PkiStatus
from scep.exchange import PENDING, Exchange, Outcome, RandomBytes, recipient
from scep.kem_pop import decode_confirm
from scep.kem_requests import KemRules
from scep.proof import ChallengeExpired, DowngradeDetected, Prover
from scep.remembered import Memory, StoredRequest
from scep.response_keys import ResponseKeys
from scep.settings import KemPolicy, Settings
from scep.transactions import Step, next_step

PROTOCOL = "scep"
ATTEMPTS = 5  # how often to look again when another worker changed the transaction first


@dataclass(frozen=True)
class Enrolments:
    """The transactions of one profile."""

    profile: Profile
    authorities: Authorities
    authoriser: Authoriser
    store: Store
    memory: Memory
    settings: Settings
    kem: KemPolicy
    kem_rules: KemRules
    prover: Prover
    response_keys: ResponseKeys
    random: RandomBytes

    def handle(self, exchange: Exchange) -> Outcome:
        """Do what the table says for a PKCSReq, RenewalReq or CertPoll."""
        signer = exchange.verified_signer.key_hash
        key = TransactionKey(PROTOCOL, exchange.message.transaction_id, signer, self.profile.name)
        same = self._same(exchange)
        confirming = exchange.message.attribute(KEM_POP_CONFIRM) is not None
        for _ in range(ATTEMPTS):
            transaction = self.store.get(key)
            step = next_step(transaction, same, confirming=confirming, now=exchange.now)
            try:
                if step is Step.decide:
                    return self._decide(exchange, key, transaction)
                if transaction is None or step is Step.refuse_unknown:
                    raise RequestRefused("no request matches this transactionID and signer")
                return self._steps[step](exchange, transaction)
            except (StoreConflict, ChallengeUnavailable):
                continue
        raise Busy("busy with this transaction; come back in a moment")

    @property
    def _steps(self) -> dict[Step, Callable[[Exchange, Transaction], Outcome]]:
        return {
            Step.challenge: self._challenge_again,
            Step.confirm: self._confirm,
            Step.review: self._review,
            Step.repeat: self._repeat,
            Step.report: self._report,
            Step.refuse_other: self._refuse_other,
        }

    def _same(self, exchange: Exchange) -> bytes | None:
        """What "the same request again" has in common (`Transaction.request_hash`); None for a CertPoll.

        The request, and of a RenewalReq also that it is one and which certificate it renews: a PKCSReq that an operator
        is looking at must not become a renewal.
        """
        request = exchange.request
        if request is None or exchange.kind is not MessageType.RenewalReq:
            return None if request is None else request.hash
        renewed = self.kem_rules.renewed(exchange) or exchange.verified_signer
        return hashlib.sha256(b"RenewalReq" + request.hash + hashlib.sha256(renewed.der).digest()).digest()

    # New requests

    def _decide(self, exchange: Exchange, key: TransactionKey, old: Transaction | None) -> Outcome:
        """A new request: check, authorise, then challenge, issue, queue or refuse."""
        if old is not None and self._is_rejected(exchange, old):
            raise RequestRefused(old.reason)
        request = exchange.verified_request
        check_request(self.profile, request)
        self.kem_rules.check(exchange)
        renewed = self.kem_rules.renewed(exchange)
        recipient(exchange, request, kem=self.kem_rules.to_kem_key)
        self.response_keys.check(request)
        enrolment = self._enrolment(exchange, request, renewed)
        verdict = self.authoriser.decide(enrolment, now=exchange.now)
        if isinstance(verdict, Reissue):
            return self._reissue(exchange, request, verdict)
        stored = self._stored(exchange, request, verdict)
        new = self._transaction(exchange, key, stored, verdict)
        if self.kem_rules.needs_proof(request, renewed):
            new = replace(new, renews="" if renewed is None else _rests_on(verdict)[0])
            return self._challenge(exchange, old, new, stored)
        if isinstance(verdict, Pending):
            return self._queue(exchange, old, new)
        return self._grant(exchange, old, new, request, verdict)

    def _is_rejected(self, exchange: Exchange, old: Transaction) -> bool:
        """Whether the message is a copy of the request that an operator has rejected, which must not queue it again."""
        if old.state is not State.FAILED or not old.sealed_request or old.expires < exchange.now:
            return False
        return self.memory.open(old).message_hash == exchange.message_hash

    def _transaction(
        self, exchange: Exchange, key: TransactionKey, stored: StoredRequest, verdict: Verdict
    ) -> Transaction:
        request, same = exchange.verified_request, self._same(exchange)
        assert same is not None
        return Transaction(
            key=key,
            state=State.AWAITING_APPROVAL,
            request_hash=same,
            sealed_request=self.memory.seal(key, stored),
            subject=request.subject_text,
            authority=self.authorities.issuer(exchange.authority).identifier,
            created=exchange.now,
            updated=exchange.now,
            expires=exchange.now + self.settings.pending_lifetime,
            approved_by=verdict.method if isinstance(verdict, Approved) else "",
        )

    def _queue(self, exchange: Exchange, old: Transaction | None, new: Transaction) -> Outcome:
        """Wait for an operator."""
        self._make_room(exchange, self.settings.waiting_limits(new))
        self._put(old, new)
        return PENDING

    # Proof of possession

    def _challenge(
        self, exchange: Exchange, old: Transaction | None, new: Transaction, request: StoredRequest
    ) -> Outcome:
        """Send a challenge and wait for its confirmation."""
        keys = self._keys(new, request)
        if old is None or old.state is not State.CHALLENGED or old.expires < exchange.now:
            self._make_room(exchange, self.kem.limits(new))
        body, name = self.prover.challenge(exchange, request, keys)
        lifetime = self.kem.challenge_lifetime
        waiting = replace(
            new,
            sealed_request=self.memory.seal(new.key, request.answered_with(exchange.message.signed_hash, body)),
            state=State.CHALLENGED,
            secret_id=name,
            challenges=new.challenges + 1,
            updated=exchange.now,
            expires=exchange.now + 2 * lifetime,  # so that a late confirmation is told that it is late
        )
        try:
            self._put(old, waiting)
        except (StoreConflict, ChallengeUnavailable):
            self.store.take_secret(name)
            raise
        if old is not None and old.secret_id is not None:
            self.store.take_secret(old.secret_id)
        return Outcome(PkiStatus.PENDING, body=body)

    def _keys(self, transaction: Transaction, request: StoredRequest) -> list[EncapsulationKey]:
        """The requested key, and that of the KEM certificate being renewed."""
        keys = [decode_public_key(CertificationRequest.decode(request.csr).spki)]
        if transaction.renews:
            authority, _, serial = transaction.renews.partition(":")
            renewed = self.store.certificate(authority, int(serial, 16))
            if renewed is None or renewed.revoked_at is not None:
                raise RequestRefused("the certificate to renew is revoked")
            keys.append(decode_public_key(Certificate.decode(renewed.der).spki))
        return keys

    def _challenge_again(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """CHALLENGED, and the client asks without confirming: a fresh challenge; the old secret goes.

        A copy of a message that was answered before gets that answer once more. Else a proxy that repeats a message,
        or anybody who recorded it, could spoil the challenge that the client is about to confirm.
        """
        request = self.memory.open(transaction)
        answer = request.answer_to(exchange.message.signed_hash)
        if answer is not None:
            return Outcome(PkiStatus.PENDING, body=answer)
        if transaction.challenges >= self.kem.max_challenges:
            return self._fail(exchange, transaction, "too many challenges were sent without a confirmation")
        if exchange.request is not None:
            again = self._stored(exchange, exchange.request, None)
            request = replace(
                again, answered=request.answered, rests_on=request.rests_on, challenge_id=request.challenge_id
            )
        return self._challenge(exchange, transaction, transaction, request)

    def _confirm(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """CHALLENGED, and a confirmation came. The secret is taken first, so that it serves one attempt.

        Without a secret, another worker is at it, or stopped halfway: PENDING, and the client asks again. The same when
        another challenge has replaced the one that this confirmation has answered, which proves nothing about it.
        """
        if exchange.proven is None:
            if not self._check_proof(exchange, transaction):
                return PENDING
        elif exchange.proven != transaction.secret_id:
            return PENDING
        request = self.memory.open(transaction)
        try:
            self._keys(transaction, request)  # the KEM certificate being renewed may have been revoked meanwhile
        except RequestRefused as refused:
            return self._fail(exchange, transaction, refused.text)
        new = replace(transaction, secret_id=None, updated=exchange.now)
        if not transaction.approved_by:
            expires = exchange.now + self.settings.pending_lifetime
            sealed = self.memory.seal(transaction.key, request.ended())
            new = replace(new, state=State.AWAITING_APPROVAL, sealed_request=sealed, expires=expires)
            return self._queue(exchange, transaction, new)
        identifier = request.challenge_id.decode() if request.challenge_id else transaction.challenge_id
        verdict = Approved(transaction.approved_by, identifier)
        try:
            wanted = CertificationRequest.decode(request.csr)
            self.authoriser.check_held(identifier, wanted, now=exchange.now)
            return self._grant(exchange, transaction, new, wanted, verdict)
        except RequestRefused as refused:
            return self._fail(exchange, transaction, refused.text)

    def _check_proof(self, exchange: Exchange, transaction: Transaction) -> bool:
        """Take the secret of the outstanding challenge and check the confirmation; False if there is none to take."""
        confirm = decode_confirm(exchange.message.attribute(KEM_POP_CONFIRM) or b"")
        name = transaction.secret_id or ""
        sealed = self.store.take_secret(name)
        if sealed is None:
            return False
        try:
            self.prover.check(confirm, sealed, name, now=exchange.now, details=exchange.details)
        except (IntegrityFailed, ChallengeExpired, DowngradeDetected) as error:
            self._end(exchange, transaction, error.text)
            raise
        exchange.proven = name
        exchange.details["proof of possession"] = "verified"
        return True

    # Waiting and ended transactions

    def _review(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """AWAITING_APPROVAL: what the operator or the webhook says by now.

        What stands in the way of an approved request for now (a subject that is taken, a wrong clock, a profile that
        was changed) leaves it waiting, so that an operator can put it right.
        """
        request = self._request_of(transaction)
        verdict: Verdict = Approved("manual approval", transaction.challenge_id)
        if transaction.decision is Decision.REJECTED:
            return self._fail(exchange, transaction, transaction.reason or "the request was rejected")
        if transaction.decision is Decision.UNDECIDED:
            pause = self.authoriser.policy.webhook_pause
            if self.authoriser.webhook is None or exchange.now < transaction.updated + pause:
                return PENDING
            # Moved on before it is asked, so that of several polls one asks.
            asking = replace(transaction, updated=exchange.now)
            if asking != transaction:
                self.store.replace(transaction, asking)
                transaction = asking
            try:
                enrolment = self._enrolment(exchange, request, None)
                verdict = self.authoriser.ask_webhook(enrolment, now=exchange.now)
            except RequestRefused as refused:
                return self._fail(exchange, transaction, refused.text)
            if isinstance(verdict, Pending):
                return PENDING
        try:
            check_request(self.profile, request)
            self.authoriser.check_held(transaction.challenge_id, request, now=exchange.now)
            return self._grant(exchange, transaction, transaction, request, verdict)
        except Final as refused:
            return self._fail(exchange, transaction, refused.text)
        except RequestRefused as refused:
            exchange.details["not granted yet"] = refused.text
            return PENDING

    def _repeat(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """ISSUED: the same certificate again, for a client that lost the answer.

        Who signs with that very certificate has it and wants another: certmonger renews with an identical request.
        """
        assert transaction.serial is not None
        certificate = self.store.certificate(transaction.authority, transaction.serial)
        has_it = certificate is not None and certificate.der == exchange.verified_signer.der
        ended = certificate is None or not certificate.good_at(exchange.now)
        if exchange.request is not None and (ended or has_it):
            return self._decide(exchange, transaction.key, transaction)
        if certificate is None or ended:
            raise RequestRefused("the certificate of this transaction is revoked or has expired; send a new request")
        return self._success(exchange, certificate, self._request_of(transaction))

    def _report(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """FAILED: the reason on record."""
        raise RequestRefused(transaction.reason)

    def _refuse_other(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """Another request while one waits."""
        raise RequestRefused("another request is waiting under this transactionID")

    def _fail(self, exchange: Exchange, transaction: Transaction, reason: str) -> Outcome:
        self._end(exchange, transaction, reason)
        raise RequestRefused(reason)

    def _end(self, exchange: Exchange, transaction: Transaction, reason: str) -> None:
        """Move to FAILED, giving back the challenge password and forgetting the secret and the request: a retry brings
        it, and a poll is told the reason. Of a request that was rejected, what its copies are known by is kept.
        """
        kept = b""
        if transaction.decision is Decision.REJECTED:
            rejected = replace(self.memory.open(transaction).ended(), csr=b"", client_nonce=b"", request_hash=b"")
            kept = self.memory.seal(transaction.key, rejected)
        self._make_room(exchange, self.settings.failed_limits(transaction))
        ended = replace(
            transaction,
            state=State.FAILED,
            reason=reason,
            sealed_request=kept,
            challenge_id=None,
            secret_id=None,
            updated=exchange.now,
            expires=exchange.now + self.settings.ended_lifetime,
        )
        self.store.replace(transaction, ended)
        if transaction.secret_id is not None:
            self.store.take_secret(transaction.secret_id)

    # Issuing

    def _grant(
        self,
        exchange: Exchange,
        old: Transaction | None,
        new: Transaction,
        request: CertificationRequest,
        verdict: Verdict,
    ) -> Outcome:
        """Issue the certificate and move the transaction to ISSUED."""
        assert isinstance(verdict, Approved)
        recipient(exchange, request, kem=self.kem_rules.to_kem_key)
        stored = self.memory.open(new)
        user = exchange.verified_signer.key_hash + request.hash + self.profile.name.encode()
        self.response_keys.use_up(request, user, expires=exchange.now + self.settings.pending_lifetime)
        issuer = self.authorities.by_identifier(new.authority)
        proven = new.challenges > 0
        certificate = replace(
            issue(issuer, self.profile, request, now=exchange.now, random=self.random),
            spki_hash=key_identity(request.spki),
            name=comparable(request.subject),
            request_hash=request.hash,
            message_hash=b"" if proven else stored.message_hash or b"",
        )
        issued = replace(
            new,
            state=State.ISSUED,
            sealed_request=self.memory.seal(new.key, stored.ended()),
            authority=certificate.authority,
            serial=certificate.serial,
            challenge_id=verdict.challenge_id,
            updated=exchange.now,
            expires=exchange.now + self.settings.ended_lifetime,
        )
        own_key = key_identity(exchange.verified_signer.spki) == certificate.spki_hash
        again = own_key or proven or verdict.method == "renewal"
        unique = self.profile.unique_subject and verdict.method != "renewal"
        try:
            rests_on = [name.decode() for name in stored.rests_on or []]
            self.store.issue(old, issued, certificate, again=again, unique=unique, rests_on=rests_on)
        except IssueForbidden as forbidden:
            kind = RequestRefused if isinstance(forbidden, SubjectTaken) else Final
            raise kind(str(forbidden)) from None
        exchange.details["authorised by"] = verdict.method
        return self._success(exchange, certificate, request)

    def _reissue(self, exchange: Exchange, request: CertificationRequest, verdict: Reissue) -> Outcome:
        """The certificate that this very request was granted before, as long as it is good.

        Nothing is stored: whoever has a used-up password could fill the Store with new transactionIDs.
        """
        found = self.store.certificate(verdict.authority, verdict.serial)
        if found is None or not found.good_at(exchange.now) or found.profile != self.profile.name:
            raise RequestRefused("the challengePassword has been used")
        return self._success(exchange, found, request)

    def _success(self, exchange: Exchange, certificate: IssuedCertificate, request: CertificationRequest) -> Outcome:
        exchange.details["serial"] = f"{certificate.serial:x}"
        return Outcome(
            PkiStatus.SUCCESS, encode_degenerate([certificate.der]), request=request, kem=self.kem_rules.to_kem_key
        )

    # Small things

    def _enrolment(
        self, exchange: Exchange, request: CertificationRequest, renewed: Certificate | None
    ) -> EnrolmentRequest:
        return EnrolmentRequest(
            protocol=PROTOCOL,
            transaction_id=exchange.message.transaction_id,
            request=request,
            signer=exchange.verified_signer,
            same=self._same(exchange) or b"",
            renewal=exchange.kind is MessageType.RenewalReq,
            renewed=renewed,
        )

    def _make_room(self, exchange: Exchange, limits: Limits) -> None:
        """Let the oldest go at a limit, and say so in the log: where it happens often, somebody is flooding."""
        gone = make_room(self.store, limits, now=exchange.now)
        if gone:
            exchange.details["gave way"] = str(gone)

    def _put(self, old: Transaction | None, new: Transaction) -> None:
        if old is None:
            self.store.create(new)
        else:
            self.store.replace(old, new)

    def _stored(self, exchange: Exchange, request: CertificationRequest, verdict: Verdict | None) -> StoredRequest:
        approved = verdict if isinstance(verdict, Approved) else None
        names = [*_rests_on(verdict), *([exchange.stated_by] if exchange.stated_by else [])]
        return StoredRequest(
            csr=request.der,
            client_nonce=exchange.message.sender_nonce or b"",
            request_hash=self.kem.parameters.kdf.digest(exchange.octets),
            answered=None,
            answer=None,
            message_hash=exchange.message_hash,
            rests_on=[name.encode() for name in names] or None,
            challenge_id=approved.challenge_id.encode() if approved and approved.challenge_id else None,
        )

    def _request_of(self, transaction: Transaction) -> CertificationRequest:
        return CertificationRequest.decode(self.memory.open(transaction).csr)


def _rests_on(verdict: Verdict | None) -> list[str]:
    """The name of the certificate whose holder has authorised the request, if it was one."""
    return [verdict.rests_on.full_name] if isinstance(verdict, Approved) and verdict.rests_on is not None else []
