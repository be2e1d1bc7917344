"""Enrolment on the CA's side: the steps of the transaction table (`scep.transactions`), one method each.

A step returns an Outcome or raises what becomes a FAILURE. It changes the transaction by compare-and-swap; when another
worker was faster, the step is looked up anew. Issuing records the certificate, moves the transaction and uses up the
challenge password in one step of the Store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.serialization import Encoding

from ca.authorisation import Approved, Authoriser, EnrolmentRequest, Pending, Reissue, Verdict
from ca.authority import Authority, issue
from ca.errors import RequestRefused
from ca.profiles import Profile, check_request
from ca.sealing import ServerKey
from ca.store import (
    ChallengeUnavailable,
    Decision,
    IssuedCertificate,
    State,
    Store,
    StoreConflict,
    Transaction,
    TransactionKey,
)
from kem.keys import EncapsulationKey, decode_public_key
from pkix.certificates import Certificate
from pkix.errors import IntegrityFailed, Malformed
from pkix.pkcs10 import CertificationRequest, Form
from pkix.signed_data import encode_degenerate
from scep.attributes import KEM_POP_CONFIRM, NONCE_LENGTH, MessageType, PkiStatus
from scep.exchange import PENDING, Exchange, Outcome, RandomBytes, recipient
from scep.kem_pop import ResponseKey, decode_confirm, response_key_of
from scep.proof import ChallengeExpired, DowngradeDetected, Prover, StoredRequest, open_request, seal_request
from scep.settings import KemPolicy, Pop, ResponseKeyReuse, Settings
from scep.transactions import Step, next_step

PROTOCOL = "scep"
ATTEMPTS = 5  # how often to look again when another worker changed the transaction first


@dataclass(frozen=True)
class Authorities:
    """The generations of the CA: the current one, earlier ones that clients may address, the prepared next one."""

    current: Authority
    previous: tuple[Authority, ...] = ()
    following: Authority | None = None

    @property
    def all(self) -> tuple[Authority, ...]:
        """Every one, the current first."""
        return (self.current, *self.previous, *((self.following,) if self.following else ()))

    def issuer(self, addressed: Authority) -> Authority:
        """Who issues what is enveloped for `addressed`: the prepared next CA itself (RFC 8894 figure 9), but earlier
        generations no longer.
        """
        return addressed if addressed is self.following else self.current

    def by_identifier(self, identifier: str) -> Authority:
        """Who issues for a transaction that was for this CA: the current one if that has been retired meanwhile."""
        return self.issuer(next((item for item in self.all if item.identifier == identifier), self.current))


@dataclass(frozen=True)
class Enrolments:
    """The transactions of one profile."""

    profile: Profile
    authorities: Authorities
    authoriser: Authoriser
    store: Store
    server_key: ServerKey
    settings: Settings
    kem: KemPolicy
    prover: Prover
    random: RandomBytes

    def handle(self, exchange: Exchange) -> Outcome:
        """Do what the table says for a PKCSReq, RenewalReq or CertPoll."""
        key = TransactionKey(PROTOCOL, exchange.message.transaction_id, exchange.verified_signer.key_hash)
        request_hash = exchange.request.hash if exchange.request else None
        confirming = exchange.message.attribute(KEM_POP_CONFIRM) is not None
        for _ in range(ATTEMPTS):
            transaction = self.store.get(key)
            step = next_step(transaction, request_hash, confirming=confirming, now=exchange.now)
            try:
                if step is Step.decide:
                    return self._decide(exchange, key, transaction)
                if transaction is None or step is Step.refuse_unknown:
                    raise RequestRefused("no request matches this transactionID and signer")
                return self._steps[step](exchange, transaction)
            except (StoreConflict, ChallengeUnavailable):
                continue
        raise RequestRefused("busy with this transaction; try again")

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

    # New requests

    def _decide(self, exchange: Exchange, key: TransactionKey, old: Transaction | None) -> Outcome:
        """A new request: check, authorise, then challenge, issue, queue or refuse."""
        request = exchange.verified_request
        check_request(self.profile, request)
        self._check_kem(exchange, request)
        renewed = self._renewed(exchange)
        recipient(exchange, request, kem=self._to_kem_key)
        enrolment = self._enrolment(exchange, exchange.message.transaction_id, request, renewed)
        verdict = self.authoriser.decide(enrolment, now=exchange.now)
        new = self._transaction(exchange, key, verdict, renewed)
        if isinstance(verdict, Reissue):
            return self._grant(exchange, old, new, request, verdict)
        self._use_response_key(exchange, request)
        if self._needs_proof(request, renewed):
            return self._challenge(exchange, old, new, self._stored(exchange, request))
        if request.is_kem and request.form is Form.unsigned and not exchange.cipher.authenticated:
            # Nothing else would notice that somebody altered the envelope and signed it anew; a challenge does.
            raise RequestRefused("without a challenge, an unsigned request has to come in AuthEnvelopedData")
        if isinstance(verdict, Pending):
            return self._queue(exchange, old, new)
        return self._grant(exchange, old, new, request, verdict)

    def _transaction(
        self, exchange: Exchange, key: TransactionKey, verdict: Verdict, renewed: Certificate | None
    ) -> Transaction:
        request = exchange.verified_request
        return Transaction(
            key=key,
            state=State.AWAITING_APPROVAL,
            request_hash=request.hash,
            sealed_request=self._seal(key, self._stored(exchange, request)),
            subject=request.subject_text,
            profile=self.profile.name,
            authority=self.authorities.issuer(exchange.authority).identifier,
            created=exchange.now,
            updated=exchange.now,
            expires=exchange.now + self.settings.pending_lifetime,
            challenge_id=verdict.challenge_id if isinstance(verdict, Approved) else None,
            approved_by=verdict.method if isinstance(verdict, Approved) else "",
            renews="" if renewed is None else self._name_of(renewed),
        )

    def _queue(self, exchange: Exchange, old: Transaction | None, new: Transaction) -> Outcome:
        """Wait for an operator."""
        if self.store.count(State.AWAITING_APPROVAL, now=exchange.now) >= self.settings.max_pending:
            raise RequestRefused("too many requests are waiting; try again later")
        self._put(old, new)
        return PENDING

    def _check_kem(self, exchange: Exchange, request: CertificationRequest) -> None:
        """A KEM key must be one that this profile handles and that can be encapsulated to (FIPS 203 section 7.2)."""
        if not request.is_kem:
            return
        if self.kem.classic:
            raise RequestRefused("this profile does not certify ML-KEM keys; use another SCEP URL")
        self.prover.backends.for_parameter_set(decode_public_key(request.spki).parameter_set)
        nonce = exchange.message.sender_nonce
        if nonce is None or len(nonce) != NONCE_LENGTH:
            raise Malformed("a request for a KEM key needs a senderNonce of 16 octets (RFC 8894 section 3.2.1.5)")

    @property
    def _to_kem_key(self) -> bool:
        """Whether the certificate goes out enveloped to the KEM key; under `none`, its possession does not matter."""
        return self.kem.pop is not Pop.none

    def _needs_proof(self, request: CertificationRequest, renewed: Certificate | None) -> bool:
        if not request.is_kem:
            return False
        if renewed is not None:
            return True  # possession of the old KEM key is what authorises, so no policy leaves it out
        if self.kem.pop is Pop.statement:
            return request.form is not Form.statement
        return self.kem.pop is Pop.challenge

    def _renewed(self, exchange: Exchange) -> Certificate | None:
        """The KEM certificate that a RenewalReq renews, from the certificates beside the ephemeral signer's."""
        if exchange.kind is not MessageType.RenewalReq:
            return None
        ours = {pair.certificate.public_bytes(Encoding.DER) for item in self.authorities.all for pair in item.ra_kem}
        others = [Certificate.decode(der) for der in exchange.message.signed.certificates if der not in ours]
        found = [item for item in others if item.is_kem]
        if not found:
            return None
        if len(found) > 1:
            raise RequestRefused("the RenewalReq brings more than one ML-KEM certificate to renew")
        if not exchange.verified_request.is_kem:
            # Without a challenge, a stranger's certificate would be enough to renew it.
            raise RequestRefused("the renewal of an ML-KEM certificate asks for another kind of key")
        return found[0]

    def _use_response_key(self, exchange: Exchange, request: CertificationRequest) -> None:
        """Under the policy single-request, a response key that was used before is refused."""
        found = response_key_of(request)
        if found is None or exchange.response_key_noted:
            return
        if self.kem.classic or self.kem.response_key is ResponseKeyReuse.off:
            raise RequestRefused("response keys are not enabled here")
        if self.kem.response_key is ResponseKeyReuse.single_request:
            self._note_response_key(exchange, request, found)
            exchange.response_key_noted = True

    def _note_response_key(self, exchange: Exchange, request: CertificationRequest, key: ResponseKey) -> None:
        """Remember who used a response key: a retry of the same request by the same signer is no second use."""
        name = f"response-key {self.server_key.identifier(key.key.hex())}"
        user, expires = exchange.verified_signer.key_hash + request.hash, exchange.now + self.settings.pending_lifetime
        try:
            self.store.put_secret(name, user, expires)
        except StoreConflict:
            noted = self.store.take_secret(name)
            self.store.put_secret(name, noted or user, expires)
            if noted is not None and noted != user:
                raise RequestRefused("the response key has been used; make a new one for each request") from None

    # Proof of possession

    def _challenge(
        self, exchange: Exchange, old: Transaction | None, new: Transaction, request: StoredRequest
    ) -> Outcome:
        """Send a challenge and wait for its confirmation."""
        if old is None or old.state is not State.CHALLENGED or old.expires < exchange.now:
            self._check_challenged(exchange, new)
        body, name = self.prover.challenge(exchange, request, self._keys(new, request))
        lifetime = self.kem.challenge_lifetime
        waiting = replace(
            new,
            sealed_request=self._seal(new.key, request.answered_with(exchange.octets, body)),
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

    def _check_challenged(self, exchange: Exchange, new: Transaction) -> None:
        of_all = self.store.count(State.CHALLENGED, now=exchange.now)
        of_signer = self.store.count(State.CHALLENGED, now=exchange.now, signer=new.key.signer)
        if of_all >= self.kem.max_challenged or of_signer >= self.kem.max_challenged_per_signer:
            raise RequestRefused("busy: too many challenges wait for an answer; try again later")
        if new.renews:
            self._check_renewals(exchange, new.renews)

    def _check_renewals(self, exchange: Exchange, renews: str) -> None:
        """Only the confirmation authorises a renewal, so anybody could begin one and keep it waiting."""
        of_all = self.store.count_renewals(now=exchange.now)
        of_one = self.store.count_renewals(now=exchange.now, of=renews)
        if of_one >= self.kem.max_challenged_per_certificate or 2 * of_all >= self.kem.max_challenged:
            raise RequestRefused("busy: too many renewals wait for an answer; try again later")

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

    def _check_renewed(self, exchange: Exchange, transaction: Transaction) -> None:
        """The KEM certificate being renewed may have been revoked since the challenge."""
        try:
            self._keys(transaction, self._stored_request(transaction))
        except RequestRefused as refused:
            self._end(exchange, transaction, refused.text)
            raise

    def _challenge_again(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """CHALLENGED, and the client asks without confirming: a fresh challenge; the old secret goes.

        A copy of a message that was answered before gets that answer once more. Else a proxy that repeats a message,
        or anybody who recorded it, could spoil the challenge that the client is about to confirm.
        """
        request = self._stored_request(transaction)
        answer = request.answer_to(exchange.octets)
        if answer is not None:
            return Outcome(PkiStatus.PENDING, body=answer)
        if transaction.challenges >= self.kem.max_challenges:
            return self._fail(exchange, transaction, "too many challenges were sent without a confirmation")
        if exchange.request is not None:
            request = replace(self._stored(exchange, exchange.request), answered=request.answered)
        return self._challenge(exchange, transaction, transaction, request)

    def _confirm(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """CHALLENGED, and a confirmation came. The secret is taken first, so that it serves one attempt.

        Without a secret, another worker is at it, or stopped halfway: PENDING, and the client asks again.
        """
        if exchange.proven != transaction.request_hash:
            der = exchange.message.attribute(KEM_POP_CONFIRM)
            confirm = decode_confirm(der or b"")
            name = transaction.secret_id or ""
            sealed = self.store.take_secret(name)
            if sealed is None:
                return PENDING
            try:
                fingerprint = self.prover.check(confirm, sealed, name, now=exchange.now)
            except (IntegrityFailed, ChallengeExpired, DowngradeDetected) as error:
                self._end(exchange, transaction, error.text)
                raise
            exchange.proven = transaction.request_hash
            exchange.details |= {"proof of possession": "verified", "derived key hash": fingerprint}
        elif transaction.secret_id is not None:
            self.store.take_secret(transaction.secret_id)
        self._check_renewed(exchange, transaction)
        new = replace(transaction, secret_id=None, updated=exchange.now)
        if not transaction.approved_by:
            expires = exchange.now + self.settings.pending_lifetime
            return self._queue(exchange, transaction, replace(new, state=State.AWAITING_APPROVAL, expires=expires))
        verdict = Approved(transaction.approved_by, transaction.challenge_id)
        try:
            return self._grant(exchange, transaction, new, self._request_of(transaction), verdict)
        except RequestRefused as refused:
            self._end(exchange, transaction, refused.text)
            raise

    # Waiting and ended transactions

    def _review(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """AWAITING_APPROVAL: what the operator or the webhook says by now."""
        request = self._request_of(transaction)
        verdict: Verdict = Approved("manual approval", transaction.challenge_id)
        if transaction.decision is Decision.REJECTED:
            return self._fail(exchange, transaction, transaction.reason or "the request was rejected")
        if transaction.decision is Decision.UNDECIDED:
            if self.authoriser.webhook is None:
                return PENDING
            try:
                enrolment = self._enrolment(exchange, transaction.key.transaction_id, request, None)
                verdict = self.authoriser.ask_webhook(enrolment)
            except RequestRefused as refused:
                return self._fail(exchange, transaction, refused.text)
            if isinstance(verdict, Pending):
                return PENDING
        return self._grant(exchange, transaction, transaction, request, verdict)

    def _repeat(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """ISSUED: the same certificate again, for a client that lost the answer.

        Who signs with that very certificate has it and wants another: certmonger renews with an identical request.
        """
        assert transaction.serial is not None
        certificate = self.store.certificate(transaction.authority, transaction.serial)
        has_it = certificate is not None and certificate.der == exchange.verified_signer.der
        ended = certificate is None or certificate.revoked_at is not None or certificate.not_after < exchange.now
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
        """Move to FAILED, giving back the challenge password and forgetting the secret."""
        ended = replace(
            transaction,
            state=State.FAILED,
            reason=reason,
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
        """Issue (or find) the certificate and move the transaction to ISSUED."""
        if isinstance(verdict, Reissue):
            found = self.store.certificate(verdict.authority, verdict.serial)
            if found is None or found.revoked_at is not None:
                raise RequestRefused("the challengePassword has been used")
            self._put(old, self._issued(exchange, new, found, new.challenge_id))
            return self._success(exchange, found, request)
        assert isinstance(verdict, Approved)
        recipient(exchange, request, kem=self._to_kem_key)
        if verdict.method != "renewal":
            self._check_unique(exchange, new)
        issuer = self.authorities.by_identifier(new.authority)
        certificate = issue(issuer, self.profile, request, now=exchange.now, random=self.random)
        self.store.issue(old, self._issued(exchange, new, certificate, verdict.challenge_id), certificate)
        exchange.details["authorised by"] = verdict.method
        return self._success(exchange, certificate, request)

    def _issued(
        self, exchange: Exchange, transaction: Transaction, certificate: IssuedCertificate, challenge_id: str | None
    ) -> Transaction:
        """ISSUED with this certificate, which used up the challenge password."""
        return replace(
            transaction,
            state=State.ISSUED,
            authority=certificate.authority,
            serial=certificate.serial,
            challenge_id=challenge_id,
            updated=exchange.now,
            expires=exchange.now + self.settings.ended_lifetime,
        )

    def _check_unique(self, exchange: Exchange, new: Transaction) -> None:
        """RFC 8894 figure 12: under this rule an operator revokes before the same subject enrols again."""
        if self.profile.unique_subject:
            for other in self.store.valid_certificates(new.authority, new.subject, now=exchange.now):
                raise RequestRefused(f"a valid certificate for this subject exists: serial {other.serial:x}")

    def _success(self, exchange: Exchange, certificate: IssuedCertificate, request: CertificationRequest) -> Outcome:
        exchange.details["serial"] = f"{certificate.serial:x}"
        return Outcome(PkiStatus.SUCCESS, encode_degenerate([certificate.der]), request=request, kem=self._to_kem_key)

    # Small things

    def _enrolment(
        self, exchange: Exchange, transaction_id: str, request: CertificationRequest, renewed: Certificate | None
    ) -> EnrolmentRequest:
        return EnrolmentRequest(
            protocol=PROTOCOL,
            transaction_id=transaction_id,
            request=request,
            signer=exchange.verified_signer,
            renewal=exchange.kind is MessageType.RenewalReq,
            renewed=renewed,
        )

    def _put(self, old: Transaction | None, new: Transaction) -> None:
        if old is None:
            self.store.create(new)
        else:
            self.store.replace(old, new)

    def _stored(self, exchange: Exchange, request: CertificationRequest) -> StoredRequest:
        nonce = exchange.message.sender_nonce or b""
        hashed = self.kem.parameters.kdf.digest(exchange.octets)
        return StoredRequest(csr=request.der, client_nonce=nonce, request_hash=hashed, answered=None, answer=None)

    def _seal(self, key: TransactionKey, request: StoredRequest) -> bytes:
        return seal_request(self.server_key, key, request, self.random)

    def _stored_request(self, transaction: Transaction) -> StoredRequest:
        return open_request(self.server_key, transaction)

    def _request_of(self, transaction: Transaction) -> CertificationRequest:
        return CertificationRequest.decode(self._stored_request(transaction).csr)

    def _name_of(self, renewed: Certificate) -> str:
        """As Transaction.renews has it; the authoriser has found the certificate to be ours."""
        record = self.authoriser.issued_to(renewed)
        assert record is not None
        return f"{record.authority}:{record.serial:x}"
