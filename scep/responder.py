"""The SCEP responder of one profile: octets in, octets out (RFC 8894 sections 3 and 4).

`pki_operation` reads a message, verifies its signature, opens its envelope and takes the step that the transaction
table (`scep.transactions`) names. Everything that goes wrong on the way is an exception of `pkix.errors` or
`ca.errors`, and becomes a signed CertRep FAILURE in one place, `pki_operation`; only a message that shows no
transactionID raises, because there is no transaction to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes

from ca.authorisation import Approved, Authoriser, EnrolmentRequest, Pending, Reissue, Verdict
from ca.authority import Authority, create_crl, issue
from ca.errors import CertificateUnknown, RequestRefused
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
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import encode
from pkix.ber import decode_ber
from pkix.certificates import IssuerAndSerialNumber
from pkix.content import CANNOT_DECRYPT
from pkix.enveloped_data import Identity, decrypt, inspect
from pkix.errors import DecryptionFailed, Malformed, PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import encode_degenerate, encode_signed_data
from scep.attributes import MessageType, PkiStatus
from scep.capabilities import encode_capabilities
from scep.exchange import PENDING, Exchange, Outcome, encode_answer, encode_failure, recipient
from scep.failures import TimeRefused, fail_info
from scep.messages import PkiMessage
from scep.transactions import Step, next_step

PROTOCOL = "scep"
MIN_NONCE, MAX_NONCE = 8, 64  # Apple's clients send 8 octets where section 3.2.1.5 says 16
CRL_LIFETIME = timedelta(hours=1)
ATTEMPTS = 5  # how often to look again when another worker changed the transaction first


@dataclass(frozen=True)
class Settings:
    """Protocol settings of one responder.

    algorithms: which are accepted. pending_lifetime, ended_lifetime: how long a transaction is remembered while it
    waits, and after it ended (for retries). max_pending: how many may wait at a time.
    max_clock_skew: refuse a signingTime farther than this from our clock with badTime; None, the default, ignores
    it, because real clients have wrong clocks.
    """

    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    pending_lifetime: timedelta = timedelta(days=7)
    ended_lifetime: timedelta = timedelta(days=1)
    max_pending: int = 1000
    max_clock_skew: timedelta | None = None


@dataclass(frozen=True)
class LogEvent:
    """Something worth a line in the log: what happened, and details that hold no secret."""

    what: str
    details: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """body: a CertRep's DER."""

    body: bytes
    events: tuple[LogEvent, ...]


@dataclass(frozen=True)
class _MadeCrl:
    """A CRL, when it was made and of what."""

    at: datetime
    revoked: Sequence[IssuedCertificate]
    der: bytes


class Responder:
    """Answers the four operations for one profile.

    authorities: the current CA first, then earlier generations that clients may still address.
    next_authority: the one prepared for rollover; a request enveloped for it is issued by it (figure 9).
    random(n): n octets from a cryptographic source.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        authorities: Sequence[Authority],
        next_authority: Authority | None,
        authoriser: Authoriser,
        store: Store,
        server_key: ServerKey,
        settings: Settings,
        random: Callable[[int], bytes],
    ) -> None:
        self.profile = profile
        self.current = authorities[0]
        self.next_authority = next_authority
        self._addressable = [*authorities, *([next_authority] if next_authority else [])]
        self._identities: list[Identity] = [authority.decryption for authority in self._addressable]
        self._authoriser = authoriser
        self._store = store
        self._server_key = server_key
        self._settings = settings
        self._random = random
        self._crls: dict[str, _MadeCrl] = {}
        self._steps: dict[Step, Callable[[Exchange, Transaction], Outcome]] = {
            Step.review: self._review,
            Step.repeat: self._repeat,
            Step.report: self._report,
            Step.refuse_other: self._refuse_other,
        }

    # GetCACaps, GetCACert, GetNextCACert

    def get_ca_caps(self) -> bytes:
        """Body of GetCACaps (section 3.5.2), text/plain."""
        return encode_capabilities(renewal=self._authoriser.policy.renewal, legacy=self._settings.algorithms.legacy)

    def get_ca_cert(self) -> tuple[bytes, str]:
        """Body and media type of GetCACert (section 4.2.1): the CA certificate alone if there is nothing else,
        or a degenerate SignedData with RA signer, RA decryption certificate, CA and chain.
        """
        certificates = self.current.certificates
        if len(certificates) == 1:
            return certificates[0], "application/x-x509-ca-cert"
        return encode_degenerate(certificates), "application/x-x509-ca-ra-cert"

    def get_next_ca_cert(self, *, now: datetime) -> bytes | None:
        """Body of GetNextCACert (section 4.7.1), application/x-x509-next-ca-cert; None when no rollover is prepared."""
        if self.next_authority is None:
            return None
        signer = self.current.ca_signer
        return encode_signed_data(
            encode_degenerate(self.next_authority.certificates),
            [],
            signer,
            hashes.SHA256(),
            certificates=[signer.certificate.der],
            now=now,
        )

    # PKIOperation

    def pki_operation(self, message: bytes, *, now: datetime) -> Reply:
        """Answer a pkiMessage, in DER or BER. now: aware UTC, whole seconds.

        Raises Malformed when it is no pkiMessage with a transactionID; everything else is answered.
        """
        exchange = Exchange(message=PkiMessage.decode(message), now=now, authority=self.current)
        exchange.details["transactionID"] = exchange.message.transaction_id
        try:
            outcome = self._handle(exchange)
            body = encode_answer(exchange, outcome, self._random)
            what = f"{exchange.name} {outcome.status.name}"
        except PkixError as error:
            body = encode_failure(exchange, error, self._random)
            exchange.details |= {"failInfo": fail_info(error).name, "text": error.text}
            what = f"{exchange.name} FAILURE"
        return Reply(body, (LogEvent(what, exchange.details),))

    def _handle(self, exchange: Exchange) -> Outcome:
        message, policy = exchange.message, self._settings.algorithms
        assert message.signed.signer is not None
        exchange.digest = policy.digest(message.signed.signer.digest_algorithm.algorithm)
        exchange.signer = message.verify(policy)
        exchange.kind = message.message_type
        nonce = message.sender_nonce
        if nonce is None or not MIN_NONCE <= len(nonce) <= MAX_NONCE:
            raise Malformed("pkiMessage has no senderNonce of 16 octets (RFC 8894 section 3.2.1.5)")
        self._check_time(message, exchange.now)
        if exchange.kind in (MessageType.PKCSReq, MessageType.RenewalReq):
            exchange.request = self._open_request(exchange)
            return self._transact(exchange)
        if exchange.kind is MessageType.CertPoll:
            self._look_at_envelope(exchange)
            return self._transact(exchange)
        if exchange.kind is MessageType.GetCert:
            return self._get_cert(exchange)
        if exchange.kind is MessageType.GetCRL:
            return self._get_crl(exchange)
        raise RequestRefused("a CertRep is not a request")

    def _check_time(self, message: PkiMessage, now: datetime) -> None:
        skew, signed_at = self._settings.max_clock_skew, message.signing_time
        if skew is not None and signed_at is not None and abs(now - signed_at) > skew:
            raise TimeRefused(f"signingTime is more than {skew} away from our clock, {now:%Y-%m-%d %H:%M:%S} UTC")

    def _open(self, exchange: Exchange) -> bytes:
        """messageData from the pkcsPKIEnvelope."""
        envelope = exchange.message.signed.content
        if envelope is None:
            raise Malformed("the message has no pkcsPKIEnvelope")
        opened = decrypt(envelope, self._identities, self._settings.algorithms)
        exchange.cipher, exchange.key_transport = opened.cipher, opened.key_transport
        exchange.authority = self._addressable[self._identities.index(opened.identity)]
        return opened.content

    def _look_at_envelope(self, exchange: Exchange) -> None:
        """Take the answer's algorithms and the CA meant from a CertPoll, without decrypting: section 3.3.3 asks to
        go by recipientInfo and transactionID, not by the content.
        """
        if exchange.message.signed.content is not None:
            seen = inspect(exchange.message.signed.content, self._identities, self._settings.algorithms)
            exchange.cipher, exchange.key_transport = seen.cipher, seen.key_transport
            if seen.identity is not None:
                exchange.authority = self._addressable[self._identities.index(seen.identity)]

    def _open_request(self, exchange: Exchange) -> CertificationRequest:
        content = self._open(exchange)
        if content[:1] != b"\x30":
            # Told apart from a wrong key, this would help whoever probes with altered ciphertexts.
            raise DecryptionFailed(CANNOT_DECRYPT)
        request = CertificationRequest.decode(content)
        request.verify(self._settings.algorithms)
        exchange.details["subject"] = request.subject.rfc4514_string()
        return request

    # The steps of the transaction table

    def _transact(self, exchange: Exchange) -> Outcome:
        key = TransactionKey(PROTOCOL, exchange.message.transaction_id, exchange.verified_signer.key_hash)
        request_hash = exchange.request.hash if exchange.request else None
        for _ in range(ATTEMPTS):
            transaction = self._store.get(key)
            step = next_step(transaction, request_hash, now=exchange.now)
            try:
                if step is Step.decide:
                    return self._decide(exchange, key, transaction)
                if transaction is None or step is Step.refuse_unknown:
                    raise RequestRefused("no request matches this transactionID and signer")
                return self._steps[step](exchange, transaction)
            except (StoreConflict, ChallengeUnavailable):
                continue
        raise RequestRefused("busy with this transaction; try again")

    def _decide(self, exchange: Exchange, key: TransactionKey, old: Transaction | None) -> Outcome:
        """A new request: check, authorise, then issue, queue or refuse."""
        request = exchange.verified_request
        check_request(self.profile, request)
        recipient(exchange, request.challenge_password)
        enrolment = self._enrolment(exchange.message.transaction_id, request, exchange)
        verdict = self._authoriser.decide(enrolment, now=exchange.now)
        new = Transaction(
            key=key,
            state=State.AWAITING_APPROVAL,
            request_hash=request.hash,
            sealed_request=self._server_key.seal(request.der, _purpose(key), self._random),
            subject=request.subject.rfc4514_string(),
            profile=self.profile.name,
            authority=self._issuer(exchange.authority).identifier,
            created=exchange.now,
            updated=exchange.now,
            expires=exchange.now + self._settings.pending_lifetime,
        )
        if isinstance(verdict, Pending):
            if self._store.count(State.AWAITING_APPROVAL, now=exchange.now) >= self._settings.max_pending:
                raise RequestRefused("too many requests are waiting; try again later")
            self._put(old, new)
            return PENDING
        return self._grant(exchange, old, new, request, verdict)

    def _review(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """AWAITING_APPROVAL: what the operator or the webhook says by now."""
        request = self._stored_request(transaction)
        verdict: Verdict = Approved("manual approval", transaction.challenge_id)
        if transaction.decision is Decision.REJECTED:
            return self._fail(exchange, transaction, transaction.reason or "the request was rejected")
        if transaction.decision is Decision.UNDECIDED:
            if self._authoriser.webhook is None:
                return PENDING
            try:
                verdict = self._authoriser.ask_webhook(
                    self._enrolment(transaction.key.transaction_id, request, exchange)
                )
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
        certificate = self._store.certificate(transaction.authority, transaction.serial)
        has_it = certificate is not None and certificate.der == exchange.verified_signer.der
        if exchange.request is not None and (certificate is None or certificate.revoked_at is not None or has_it):
            return self._decide(exchange, transaction.key, transaction)
        if certificate is None or certificate.revoked_at is not None:
            raise RequestRefused("the certificate of this transaction is revoked; send a new request")
        return self._success(exchange, certificate, self._stored_request(transaction))

    def _report(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """FAILED: the reason on record."""
        raise RequestRefused(transaction.reason)

    def _refuse_other(self, exchange: Exchange, transaction: Transaction) -> Outcome:
        """Another request while one waits."""
        raise RequestRefused("another request is waiting under this transactionID")

    def _fail(self, exchange: Exchange, transaction: Transaction, reason: str) -> Outcome:
        ended = replace(
            transaction,
            state=State.FAILED,
            reason=reason,
            challenge_id=None,
            updated=exchange.now,
            expires=exchange.now + self._settings.ended_lifetime,
        )
        self._store.replace(transaction, ended)
        raise RequestRefused(reason)

    def _grant(
        self,
        exchange: Exchange,
        old: Transaction | None,
        new: Transaction,
        request: CertificationRequest,
        verdict: Approved | Reissue | Pending,
    ) -> Outcome:
        """Issue (or find) the certificate and move the transaction to ISSUED, in one step of the Store."""
        ended = replace(
            new,
            state=State.ISSUED,
            updated=exchange.now,
            expires=exchange.now + self._settings.ended_lifetime,
        )
        if isinstance(verdict, Reissue):
            found = self._store.certificate(verdict.authority, verdict.serial)
            if found is None or found.revoked_at is not None:
                raise RequestRefused("the challengePassword has been used")
            self._put(old, replace(ended, authority=found.authority, serial=found.serial))
            return self._success(exchange, found, request)
        assert isinstance(verdict, Approved)
        self._check_unique(exchange, new)
        issuer = self._authority(new.authority)
        certificate = issue(issuer, self.profile, request, now=exchange.now, random=self._random)
        ended = replace(ended, serial=certificate.serial, challenge_id=verdict.challenge_id)
        self._store.issue(old, ended, certificate)
        exchange.details["authorised by"] = verdict.method
        return self._success(exchange, certificate, request)

    def _check_unique(self, exchange: Exchange, new: Transaction) -> None:
        """RFC 8894 figure 12: under this rule an operator revokes before the same subject enrols again."""
        if self.profile.unique_subject and exchange.kind is not MessageType.RenewalReq:
            for other in self._store.valid_certificates(new.authority, new.subject, now=exchange.now):
                raise RequestRefused(f"a valid certificate for this subject exists: serial {other.serial:x}")

    def _success(self, exchange: Exchange, certificate: IssuedCertificate, request: CertificationRequest) -> Outcome:
        exchange.details["serial"] = f"{certificate.serial:x}"
        return Outcome(PkiStatus.SUCCESS, encode_degenerate([certificate.der]), request.challenge_password)

    # GetCert and GetCRL

    def _get_cert(self, exchange: Exchange) -> Outcome:
        name = self._open_name(exchange)
        for authority in self._addressable:
            if encode(name.issuer) == authority.certificate.subject:
                found = self._store.certificate(authority.identifier, _serial(name))
                if found is not None:
                    exchange.details["serial"] = f"{found.serial:x}"
                    return Outcome(PkiStatus.SUCCESS, encode_degenerate([found.der]))
        raise CertificateUnknown("no certificate of this CA has this issuer and serial number")

    def _get_crl(self, exchange: Exchange) -> Outcome:
        """The serial number is not looked at: the complete CRL answers for every certificate of the issuer, and
        sscep sends the CA certificate's own.
        """
        name = self._open_name(exchange)
        for authority in self._addressable:
            if encode(name.issuer) == authority.certificate.subject:
                return Outcome(PkiStatus.SUCCESS, encode_degenerate(crls=[self.crl(authority, now=exchange.now)]))
        raise CertificateUnknown("this CA issues no CRL for this issuer")

    def crl(self, authority: Authority, *, now: datetime) -> bytes:
        """The CRL's DER: a new one when a certificate was revoked since the last, or after an hour.

        Anybody may ask for it, so it is not signed anew for everyone who does.
        """
        revoked = self._store.revoked(authority.identifier, now=now)
        made = self._crls.get(authority.identifier)
        if made is None or made.revoked != revoked or not made.at <= now < made.at + CRL_LIFETIME:
            number = self._store.next_crl_number(authority.identifier)
            made = _MadeCrl(now, revoked, create_crl(authority, revoked, number, now=now))
            self._crls[authority.identifier] = made
        return made.der

    def _open_name(self, exchange: Exchange) -> IssuerAndSerialNumber:
        return decode_ber(IssuerAndSerialNumber, self._open(exchange), "messageData (IssuerAndSerialNumber)")

    # Small things

    def _enrolment(self, transaction_id: str, request: CertificationRequest, exchange: Exchange) -> EnrolmentRequest:
        return EnrolmentRequest(
            protocol=PROTOCOL,
            transaction_id=transaction_id,
            request=request,
            signer=exchange.verified_signer,
            renewal=exchange.kind is MessageType.RenewalReq,
        )

    def _put(self, old: Transaction | None, new: Transaction) -> None:
        if old is None:
            self._store.create(new)
        else:
            self._store.replace(old, new)

    def _stored_request(self, transaction: Transaction) -> CertificationRequest:
        return CertificationRequest.decode(self._server_key.open(transaction.sealed_request, _purpose(transaction.key)))

    def _issuer(self, addressed: Authority) -> Authority:
        """The prepared next CA issues what is enveloped for it; earlier generations no longer issue."""
        return addressed if addressed is self.next_authority else self.current

    def _authority(self, identifier: str) -> Authority:
        """The authority a transaction was for; the current one if that has been retired meanwhile."""
        known = {authority.identifier: authority for authority in (self.current, self.next_authority) if authority}
        return known.get(identifier, self.current)


def _purpose(key: TransactionKey) -> bytes:
    """What a sealed request is bound to."""
    return b"request " + key.signer + key.transaction_id.encode()


def _serial(name: IssuerAndSerialNumber) -> int:
    """The serial number meant. sscep 0.10 writes the text of the number, with a final NUL, as the INTEGER's octets."""
    number = name.serial_number
    octets = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    text = octets.rstrip(b"\0")
    if len(octets) > 20 and octets.endswith(b"\0") and text.isalnum():
        try:
            return int(text, 16)
        except ValueError:
            return number
    return number
