"""Issuing: from an approved request to a certificate that counts.

Most certificates count when they are issued. One whose client has to accept it, or of which somebody has to hear, waits
in AWAITING_RELEASE: until it is released it is in no list and good for nothing, and if it is not, it is revoked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ca.authorisation import RENEWAL, Approved, Reissue, Told
from ca.authority import issue
from ca.dialogue import Issued, Outcome, Waiting, Withdrawn
from ca.errors import Busy, KeyRefused, NamesRefused, NotAuthorised, OtherRequest, RequestRefused
from ca.granted import in_bounds, not_granted
from ca.renewal import as_issued, renewed_by
from ca.requests import CertificateRequest
from ca.store import (
    CertificateWithdrawn,
    IssuedCertificate,
    IssueForbidden,
    KeyCompromised,
    Release,
    RequestRepeated,
    State,
    SubjectTaken,
    Transaction,
)
from ca.transactions import Event
from ca.turn import Turn
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.names import comparable
from pkix.public_keys import key_identity

REPORT = "whoever has to hear of the certificate"  # before it counts; for the log
REVOKED_MEANWHILE = "the certificate, or one that it rests on, was revoked before it was released"

_FORBIDDEN: dict[type[IssueForbidden], type[RequestRefused]] = {
    KeyCompromised: KeyRefused,
    SubjectTaken: NamesRefused,
    RequestRepeated: OtherRequest,
    CertificateWithdrawn: NotAuthorised,
}


class Issuing:
    """Of one message's turn: `grant` issues and records, `deliver` gives the certificate to whom it is for."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.store = turn.store
        self.now = turn.now

    def grant(
        self, old: Transaction | None, new: Transaction, request: CertificateRequest, verdict: Approved
    ) -> tuple[Transaction, IssuedCertificate]:
        """Issue the certificate and move the transaction to ISSUED, or to AWAITING_RELEASE if somebody has to accept
        the certificate or hear of it first. `deliver` takes both from there. Raises RequestRefused, and then nothing
        has changed.

        old: what is stored now, None if nothing is. new: what it becomes, but for what the certificate adds.
        """
        self.turn.dialogue.deliverable(request)
        remembered = self.turn.memory.open(new).having_seen(self.turn.arrival.message_hash)
        self.turn.dialogue.use_up(request, expires=self.now + self.turn.limits.pending_lifetime)
        issuer = self.turn.authorities.by_identifier(new.authority)
        proven = new.pop_challenges > 0
        release = new.release
        if release is Release.NONE and self.turn.authoriser.reports(verdict.method):
            release = Release.REPORT
        issuable = as_issued(request, renewed_by(verdict.method, remembered, self.store), self.turn.profile)
        certificate = replace(
            issue(issuer, self.turn.profile, issuable, now=self.now, random=self.turn.random),
            spki_hash=key_identity(request.spki),
            name=comparable(issuable.subject),
            request_hash=self.turn.kept_hash(request, request.hash),
            message_hashes=() if proven else remembered.messages,
            released=release is Release.NONE,
        )
        asked = issuable.extensions
        ignored = list(not_granted(Certificate.decode(certificate.der), asked)) if len(asked) else []
        issued = replace(
            new,
            state=State.ISSUED if release is Release.NONE else State.AWAITING_RELEASE,
            release=release,
            approved_by=new.approved_by if release is Release.NONE else verdict.method,
            sealed_request=self.turn.memory.seal(new.key, remembered.ended()),
            authority=certificate.authority,
            serial=certificate.serial,
            credential_id=verdict.credential_id,
            updated=self.now,
            expires=self.now + self._lifetime(release),
        )
        own = self.turn.arrival.certificate
        own_key = own is not None and key_identity(own.spki) == certificate.spki_hash
        again = own_key or proven or verdict.method == RENEWAL
        unique = self.turn.profile.unique_subject and verdict.method != RENEWAL
        try:
            rests_on = [name.decode() for name in remembered.rests_on or []]
            rests_on += [verdict.rests_on.full_name] if verdict.rests_on is not None else []
            self.store.issue(
                old, issued, certificate, again=again, unique=unique, rests_on=rests_on, formerly=request.hash
            )
        except IssueForbidden as forbidden:
            kind = next(kind for cause, kind in _FORBIDDEN.items() if isinstance(forbidden, cause))
            raise kind(str(forbidden), final=not isinstance(forbidden, SubjectTaken)) from None
        self.turn.arrival.details["authorised by"] = verdict.method
        if ignored:
            self.turn.arrival.details["not granted"] = in_bounds(ignored)
        return issued, certificate

    def _lifetime(self, release: Release) -> timedelta:
        """How long an issued certificate's transaction is remembered."""
        limits = self.turn.limits
        lifetimes = {Release.CLIENT: limits.acceptance_lifetime, Release.REPORT: limits.report_lifetime}
        return lifetimes.get(release, limits.ended_lifetime)

    def reissue(self, request: CertificateRequest, verdict: Reissue) -> Outcome:
        """The certificate that this very request was granted before, as long as it is good.

        Nothing is stored: whoever has a used-up password could fill the Store with new transactionIDs.
        """
        found = self.store.certificate(verdict.authority, verdict.serial)
        if found is None or not found.good_at(self.now) or found.profile != self.turn.profile.name:
            raise NotAuthorised("the challengePassword has been used")
        return self.success(found, request)

    def success(self, certificate: IssuedCertificate, request: CertificateRequest) -> Outcome:
        self.turn.arrival.details["serial"] = f"{certificate.serial:x}"
        return Issued(certificate, request)

    def note(self, transaction: Transaction, certificate: IssuedCertificate) -> Transaction:
        """Remember a message that came after the certificate was issued, so that its copies bring no other one later.

        A request that needs no proof is remembered by the certificate, which outlives the transaction. Where possession
        was proven, and its proof is wanted anew, copies could only disturb, so the transaction remembers them.
        """
        event, message = self.turn.arrival.event, self.turn.arrival.message_hash
        if transaction.pop_challenges > 0:
            return transaction if event is Event.poll else self.turn.note(transaction)
        place = certificate.authority, certificate.serial
        known = event is not Event.request or message in certificate.message_hashes
        if not known and not self.store.add_message(*place, message):
            raise RequestRefused("this request was sent too often; make a new one")
        return transaction

    # Certificates that do not count yet

    def hand_over(self, transaction: Transaction) -> Outcome:
        """AWAITING_RELEASE: tell whom there is to tell, then the certificate, to be accepted or for good."""
        certificate = self._unreleased(transaction)
        if certificate.revoked_at is not None:
            raise self.turn.failed(transaction, NotAuthorised(REVOKED_MEANWHILE, final=True))
        transaction = self.note(transaction, certificate)
        return self.deliver(transaction, certificate, self.turn.memory.open(transaction).read())

    def _unreleased(self, transaction: Transaction) -> IssuedCertificate:
        assert transaction.serial is not None
        found = self.store.certificate(transaction.authority, transaction.serial)
        assert found is not None
        return found

    def deliver(self, transaction: Transaction, certificate: IssuedCertificate, request: CertificateRequest) -> Outcome:
        """The certificate, after telling whom there is to tell. Raises RequestRefused for one that is not wanted."""
        if transaction.release is Release.CLIENT:
            return Issued(certificate, request, accept_until=transaction.expires)
        if transaction.release is Release.REPORT:
            return self._tell(transaction, certificate, request)
        return self.success(certificate, request)

    def _tell(self, transaction: Transaction, certificate: IssuedCertificate, request: CertificateRequest) -> Outcome:
        """Tell the method that has approved the request; the certificate counts when it knows."""
        application = self.turn.application(transaction, request)
        try:
            told = self.turn.authoriser.issued(transaction.approved_by, application, certificate)
        except Busy:
            return Waiting(REPORT)
        except RequestRefused as refused:
            raise self.turn.failed(transaction, refused) from None
        return Waiting(REPORT) if told is Told.LATER else self._release(transaction, certificate, request)

    def _release(
        self, transaction: Transaction, certificate: IssuedCertificate, request: CertificateRequest
    ) -> Outcome:
        """From now on the certificate counts, unless somebody has revoked it meanwhile."""
        lifetime = self._lifetime(Release.NONE)
        issued = replace(
            transaction, state=State.ISSUED, release=Release.NONE, updated=self.now, expires=self.now + lifetime
        )
        rests_on = [name.decode() for name in self.turn.memory.open(transaction).rests_on or []]
        try:
            self.store.release(transaction, issued, rests_on=rests_on)
        except KeyCompromised as forbidden:
            raise self.turn.failed(transaction, KeyRefused(str(forbidden), final=True)) from None
        except CertificateWithdrawn:
            raise self.turn.failed(transaction, NotAuthorised(REVOKED_MEANWHILE, final=True)) from None
        return self.success(replace(certificate, released=True), request)

    def release(self, transaction: Transaction) -> Outcome:
        """AWAITING_RELEASE, and the client accepts. What it says of the certificate is checked once, like the answer to
        a challenge: where the certificate went out encrypted to the key, this is the proof of possession.
        """
        certificate, request = self._unreleased(transaction), self.turn.memory.open(transaction).read()
        if transaction.release is Release.CLIENT:
            check = self.turn.dialogue.confirmation()
            try:
                check(certificate.der)
            except PkixError as error:
                self.turn.end(transaction, error.text)
                raise
            if not self.turn.authoriser.reports(transaction.approved_by):
                return self._release(transaction, certificate, request)
            expires = self.now + self._lifetime(Release.REPORT)
            accepted = replace(transaction, release=Release.REPORT, updated=self.now, expires=expires)
            self.store.replace(transaction, accepted)
            transaction = accepted
        return self.deliver(transaction, certificate, request)

    def withdraw(self, transaction: Transaction) -> Outcome:
        """AWAITING_RELEASE, and the client does not want the certificate."""
        self.turn.end(transaction, "the client rejected the certificate")
        return Withdrawn()
