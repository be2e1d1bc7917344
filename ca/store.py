"""The Store: everything the CA remembers, behind one small interface.

Transactions, issued certificates and credentials are frozen dataclasses; a change is a new value put in
place of the old one by compare-and-swap, so several workers can share one database without locks of ours. What
must happen together (a certificate is recorded, its transaction moves to ISSUED, its credential is used
up) is one method, `issue`, and one database transaction.

Implementations: `ca.memory_store.MemoryStore` and `ca.sql_store.SqlStore`. One contract suite
(`tests/ca/test_store_contract.py`) runs against both.

All times are aware UTC datetimes with whole seconds; the Store never reads a clock.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from ca.kept_crls import CrlState, KeptCrl, Revocations


class StoreConflict(Exception):
    """Somebody else changed the record first. Read it again and decide anew."""


class CredentialUnavailable(Exception):
    """The credential is used up, held by another request, or gone."""


class IssueForbidden(Exception):
    """What was recorded meanwhile forbids this certificate; nothing has changed. The text is for the client."""


class KeyCompromised(IssueForbidden):
    """A certificate for this key was revoked because somebody else has the key."""

    def __init__(self) -> None:
        super().__init__("a certificate for this key was revoked for keyCompromise; make a new key")


class CertificateWithdrawn(IssueForbidden):
    """A certificate that the decision rests on has been revoked since, or another one for its key was compromised."""

    def __init__(self) -> None:
        super().__init__("a certificate that the request rests on is revoked, or its key is compromised")


class RequestRepeated(IssueForbidden):
    """This request has led to a certificate before, and the message is no more than a copy of it."""

    def __init__(self) -> None:
        super().__init__("this request has led to a certificate already; make a new one")


class SubjectTaken(IssueForbidden):
    """A valid certificate for this name exists. serial: its number."""

    def __init__(self, serial: int) -> None:
        super().__init__(f"a valid certificate for this subject exists: serial {serial:x}")
        self.serial = serial


class StoreUnavailable(Exception):
    """The Store cannot be reached, read or written. Any method may raise it."""


class StoreBusy(StoreUnavailable):
    """The Store is locked by somebody else for too long."""


class State(enum.Enum):
    """Where a transaction stands. The table of moves is `ca.transactions`."""

    CHALLENGED = "challenged"
    AWAITING_APPROVAL = "awaiting-approval"
    AWAITING_RELEASE = "awaiting-release"
    ISSUED = "issued"
    FAILED = "failed"


class Decision(enum.Enum):
    """What an operator said about a transaction in AWAITING_APPROVAL."""

    UNDECIDED = "undecided"
    APPROVED = "approved"
    REJECTED = "rejected"


class Release(enum.Enum):
    """What has to happen before an issued certificate counts: nothing, the client accepts it, or an external authority
    has been told of it.
    """

    NONE = "none"
    CLIENT = "client"
    REPORT = "report"


@dataclass(frozen=True)
class TransactionKey:
    """The client picks transactionID, so alone it identifies nothing: who asks belongs to the identity.

    protocol: "scep". transaction_id: the text as received, 1 to 255 characters.
    requester: 32 octets, the strongest identity that the protocol has verified; under SCEP SHA-256 of the DER
    SubjectPublicKeyInfo that signed the request.
    profile: name of the profile, and so of the URL, that it came in by. What was decided under one profile is nothing
    to another: there, the same transactionID is another transaction.
    """

    protocol: str
    transaction_id: str
    requester: bytes
    profile: str

    @property
    def hash(self) -> bytes:
        """32 octets that no other key has; what is sealed for a transaction is bound to them."""
        parts = (self.protocol.encode(), self.profile.encode(), self.transaction_id.encode(), self.requester)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


class Standing(enum.Enum):
    """Who stands behind an open transaction; those that share one share its limits (`Group`).

    AUTHORISED: a password, a signature with a certificate of ours, an external authority or an operator has approved
    it. RENEWAL: the certificate to renew is public, and only the proof to come authorises. NOBODY: an operator still
    has to look at it.
    """

    AUTHORISED = "authorised"
    RENEWAL = "renewal"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Transaction:
    """One enrolment from its request to its certificate or failure.

    request_hash: 32 octets that are equal for "the same request again" and for nothing else; the protocol says what
    goes into them.
    sealed_request: the request and what else the protocol must remember of it, sealed (`ca.sealing`), because it
    holds the challengePassword.
    Empty when nobody can need it any more. subject: RFC 4514 text for the operator.
    authority: identifier (hex) of the CA certificate that issues, or has issued, for it.
    credential_id: identifier of the credential that approved it, reserved for it if it serves once, or None.
    reason: text for failInfoText when FAILED, or the operator's reason when rejected.
    serial: serial number of the certificate when AWAITING_RELEASE or ISSUED. release: what the certificate waits for,
    or will wait for when it is issued.
    expires: after this moment the transaction is forgotten.
    client: the address that its first message came from, for the operator; None if it is not known.

    For a proof of possession (KEM-POP): secret_id names the secret that the outstanding challenge left in the Store;
    pop_challenges counts those sent; approved_by is the rule that approved the request before the proof, empty if an
    operator still has to; renews is "authority:serial" (hex) of the KEM certificate being renewed, or empty.
    """

    key: TransactionKey
    state: State
    request_hash: bytes
    sealed_request: bytes
    subject: str
    authority: str
    created: datetime
    updated: datetime
    expires: datetime
    credential_id: str | None = None
    decision: Decision = Decision.UNDECIDED
    reason: str = ""
    serial: int | None = None
    secret_id: str | None = None
    pop_challenges: int = 0
    approved_by: str = ""
    renews: str = ""
    release: Release = Release.NONE
    client: str | None = None

    @property
    def profile(self) -> str:
        """Name of the profile it belongs to."""
        return self.key.profile

    @property
    def standing(self) -> Standing:
        """Who stands behind it so far."""
        if self.decision is not Decision.UNDECIDED:
            return Standing.AUTHORISED
        if self.renews:
            return Standing.RENEWAL
        return Standing.AUTHORISED if self.approved_by else Standing.NOBODY


@dataclass(frozen=True)
class Group:
    """Transactions of one profile that share a limit. requester, renews, request_hash: only those of one requester,
    those that renew one certificate, those of one request; None for all.
    """

    profile: str
    state: State
    standing: Standing
    requester: bytes | None = None
    renews: str | None = None
    request_hash: bytes | None = None

    @property
    def narrowed(self) -> dict[str, bytes | str]:
        """By what it is less than all, with the values."""
        parts = {"requester": self.requester, "renews": self.renews, "request_hash": self.request_hash}
        return {name: value for name, value in parts.items() if value is not None}

    def holds(self, transaction: Transaction) -> bool:
        """Whether a transaction belongs to it."""
        return (
            (transaction.profile, transaction.state, transaction.standing) == (self.profile, self.state, self.standing)
            and self.requester in (None, transaction.key.requester)
            and self.renews in (None, transaction.renews)
            and self.request_hash in (None, transaction.request_hash)
        )


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate this CA signed.

    authority: identifier (hex) of the issuing CA certificate. serial: positive, at most 20 octets (RFC 5280 4.1.2.2).
    der: the DER certificate. spki_hash: `pkix.public_keys.key_identity` of its key.
    name: `pkix.names.comparable` of its subject. request_hash: SHA-256 of the DER request that led to it, or what
    `ca.turn.Turn.kept_hash` has in its place.
    message_hashes: of the message that brought the request, then of others that came with it, at most MESSAGES; 32
    octets each, that a copy of the message has in common with it, whatever in it was not signed.
    revoked_at and reason (RFC 5280 CRLReason name such as "keyCompromise") are None until revoked.
    released: False while its transaction is AWAITING_RELEASE. Until then it is in no list and not found when a client
    asks for it, nothing is granted on its strength, and the log does not name it; only the rule of unique subjects
    counts it.
    """

    authority: str
    serial: int
    der: bytes
    subject: str
    spki_hash: bytes
    profile: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None
    reason: str | None = None
    name: str = ""
    request_hash: bytes = b""
    message_hashes: tuple[bytes, ...] = ()
    released: bool = True

    @property
    def full_name(self) -> str:
        """ "authority:serial", both hexadecimal."""
        return f"{self.authority}:{self.serial:x}"

    def good_at(self, now: datetime) -> bool:
        """Whether it is released, and neither revoked nor outside of its validity."""
        return self.released and self.revoked_at is None and self.not_before <= now <= self.not_after


# Reasons (RFC 5280 CRLReason) that say that somebody else may have the private key.
COMPROMISED = ("keyCompromise", "cACompromise", "aACompromise")

HOLD, RELEASE = "certificateHold", "removeFromCRL"
MESSAGES = 64  # how many message hashes a certificate remembers, and a transaction

WITHDRAWN = "cessationOfOperation"  # of a certificate that was not released


def revised(certificate: IssuedCertificate, reason: str, now: datetime) -> IssuedCertificate:
    """The record after a revocation for this reason (RFC 5280 section 5.3.1); the same if nothing changes.

    A hold can be released, or turned into a revocation for another reason; every revocation can turn into one for
    keyCompromise. The moment of revocation stays. Otherwise what was said first stands.
    """
    if reason == RELEASE:
        return replace(certificate, revoked_at=None, reason=None) if certificate.reason == HOLD else certificate
    if certificate.revoked_at is None:
        return replace(certificate, revoked_at=now, reason=reason)
    if certificate.reason == HOLD or reason == COMPROMISED[0]:
        return replace(certificate, reason=reason)
    return certificate


@dataclass(frozen=True)
class Credential:
    """What lets its holder have a certificate, as the Store knows it: never in clear.

    identifier: HMAC-SHA256 (hex) under the server key (`ca.credentials`), of the password, or, for a secret that has
    one, of the reference under which its holder names it. sealed: the secret, which the check of a MAC needs; None for
    a password, of which nothing else is kept. reference: text, None for a password.
    one_time: used up by the certificate issued with it. expires: None means never.
    subject: RFC 4514 text of the only subject it is good for, or None. profile: likewise.
    holder: `holder_of` the transaction that reserved it, hex, or None.
    authority, serial: the certificate that used it up, or None.
    """

    identifier: str
    one_time: bool
    created: datetime
    expires: datetime | None
    subject: str | None = None
    profile: str | None = None
    holder: str | None = None
    authority: str | None = None
    serial: int | None = None
    sealed: bytes | None = field(default=None, repr=False)
    reference: str | None = None


class Store(Protocol):
    """See the module docstring. Every method is atomic."""

    # Transactions

    def get(self, key: TransactionKey) -> Transaction | None:
        """The transaction, also when its `expires` has passed but `purge` has not run: callers compare times."""

    def create(self, transaction: Transaction) -> None:
        """Add a transaction. If it has a credential_id, reserve that credential for it in the same step.

        A one-time credential can be reserved while it is free or held by the same holder (`holder_of`); a reusable
        one must only exist. Raises StoreConflict if the key exists, CredentialUnavailable if the reservation fails.
        """

    def replace(self, old: Transaction, new: Transaction) -> None:
        """Put `new` (same key, else ValueError) in place of `old`, if what is stored equals `old` in every field.

        A credential_id that `old` held and `new` does not is released (unless it is used up); one that `new`
        holds and `old` did not is reserved. Raises StoreConflict, CredentialUnavailable.
        """

    def drop(self, transaction: Transaction) -> None:
        """Forget a transaction, with its secret, releasing what it reserved. Raises StoreConflict if what is stored
        does not equal it in every field.
        """

    def issue(
        self,
        old: Transaction | None,
        new: Transaction,
        certificate: IssuedCertificate,
        *,
        again: bool = False,
        unique: bool = False,
        rests_on: Sequence[str] = (),
        formerly: bytes = b"",
    ) -> None:
        """Create (`old` is None) or replace the transaction, record the certificate and use up new.credential_id,
        all or nothing and durably: when this returns, a power cut does not undo it.

        What forbids it is looked up in the same step, so no other worker can come between. Raises CertificateWithdrawn
        if a certificate of `rests_on` (by its full_name) is revoked, gone, or for a compromised key; KeyCompromised if
        a certificate for the same key was revoked for one of COMPROMISED; RequestRepeated if one with the same
        request_hash, or with `formerly`, as earlier versions kept it, exists and knows the first of message_hashes, or
        `again` is not set; under `unique`, SubjectTaken if one with the same name is valid at new.updated, whichever
        generation of the CA issued it. A hash or a name that is empty equals none.

        A one-time credential must be free or held by this transaction's holder; it then records
        the holder and the certificate's authority and serial. Raises CredentialUnavailable, and StoreConflict (also
        for an (authority, serial) issued before).
        """

    def release(self, old: Transaction, new: Transaction, *, rests_on: Sequence[str] = ()) -> None:
        """Put `new` in place of `old`; its certificate counts from now on.

        What forbids it is looked up in the same step, as in `issue`: raises CertificateWithdrawn if the certificate or
        one of `rests_on` is revoked, KeyCompromised if a certificate for the same key was revoked for one of
        COMPROMISED; and StoreConflict.
        """

    def withdraw(self, old: Transaction, new: Transaction, *, now: datetime) -> None:
        """Put `new` in place of `old` and revoke its certificate, for cessationOfOperation. Raises StoreConflict."""

    def transactions(self, state: State | None = None, *, limit: int = 1000) -> Sequence[Transaction]:
        """Newest first; of the same second, the last added first."""

    def count(self, state: State, *, now: datetime) -> int:
        """How many transactions are in `state` and unexpired at `now`."""

    def crowd(self, group: Group, *, now: datetime) -> tuple[int, Transaction | None]:
        """How many transactions of a group are unexpired at `now`, and the one that was added first."""

    # Certificates

    def record(self, certificate: IssuedCertificate) -> None:
        """Add a certificate that no transaction asked for. Raises StoreConflict for an (authority, serial) known."""

    def certificate(self, authority: str, serial: int) -> IssuedCertificate | None:
        """The certificate with this issuer and serial number."""

    def compromised(self, spki_hash: bytes) -> bool:
        """Whether a certificate for this key was revoked for one of COMPROMISED."""

    def valid_certificates(self, name: str, *, now: datetime) -> Sequence[IssuedCertificate]:
        """Unrevoked, unexpired certificates with this `IssuedCertificate.name`, of every generation of the CA."""

    def certificates(self, *, limit: int = 1000) -> Sequence[IssuedCertificate]:
        """Those that are released. Newest not_before first."""

    def find_serial(self, serial: int) -> Sequence[IssuedCertificate]:
        """All certificates with this serial number, whichever CA certificate issued them."""

    def add_message(self, authority: str, serial: int, message_hash: bytes) -> bool:
        """Add a hash to a certificate's message_hashes, unless it is there. Whether it is there now: False if there are
        MESSAGES others. Raises KeyError if there is no such certificate.
        """

    def revoke(self, authority: str, serial: int, *, reason: str, now: datetime) -> IssuedCertificate:
        """Mark as revoked, or change that as `revised` has it, and return the record as it is then.

        Raises KeyError if there is no such certificate.
        """

    def revocations(self, authority: str, *, now: datetime) -> Revocations:
        """The certificates of this issuer that are revoked and have not expired at `now` (RFC 5280 3.3)."""

    def crl_state(self, authority: str) -> CrlState:
        """What tells whether the kept CRL is still right; little to read, because anybody may ask for it.

        The revision grows in the step that revokes a certificate, releases it from hold, changes its reason, or
        records one that is revoked, and when numbers used elsewhere are passed; not when a certificate expires.
        """

    def kept_crl(self, authority: str) -> KeptCrl | None:
        """The CRL that is kept for this issuer."""

    def keep_crl(self, crl: KeptCrl) -> KeptCrl:
        """Keep a CRL in place of that before, if it `follows` it; either way, the one that is kept now."""

    def next_crl_number(self, authority: str) -> int:
        """1, 2, 3, … per issuer, never twice (RFC 5280 5.2.3)."""

    def pass_crl_number(self, authority: str, number: int) -> None:
        """Let every further `next_crl_number` of this issuer be higher than a number that was used elsewhere."""

    # Credentials

    def add_credential(self, credential: Credential) -> None:
        """Raises StoreConflict if the identifier exists."""

    def credential(self, identifier: str) -> Credential | None:
        """The record, or None. Expiry is the caller's comparison."""

    def count_guess(self, profile: str, *, now: datetime) -> None:
        """Count a wrong challenge password."""

    def guesses(self, profile: str, *, now: datetime) -> int:
        """How many wrong ones were counted in the minute that `now` is in."""

    def credentials(self, *, limit: int = 1000) -> Sequence[Credential]:
        """Newest first; of the same second in the order of their identifiers."""

    def remove_credential(self, identifier: str) -> bool:
        """Forget a credential, whoever holds it; nothing is issued with it any more. Whether it was there."""

    # Secrets

    def put_secret(self, identifier: str, sealed: bytes, expires: datetime) -> None:
        """Keep sealed octets under a new identifier. Raises StoreConflict if it exists."""

    def keep_secret(self, identifier: str, sealed: bytes, expires: datetime) -> bytes:
        """Keep sealed octets, unless there are some under this identifier; either way, those that are there now."""

    def take_secret(self, identifier: str) -> bytes | None:
        """The sealed octets, which are gone from the Store when this returns: of several callers one gets them.

        None if there are none (any more). Expiry is the caller's comparison, on what the octets say.
        """

    # Housekeeping

    def purge(self, now: datetime) -> int:
        """Forget expired transactions (freeing what they reserved, and revoking what they did not release), expired
        secrets, and expired credentials that no waiting transaction holds.

        A used-up credential is kept until it expires, so that a retry is told it is used up. "Expired"
        means that the end lies before `now`. Returns how many records went.
        """

    def close(self) -> None:
        """Let go of connections. The Store is not used afterwards."""


def holder_of(requester: bytes, request_hash: bytes) -> str:
    """Who holds a one-time credential: the pair of requester and request, not the transactionID.

    A client that lost an answer may come back under a new transactionID (RFC 8894 section 5.2, cases 1 and 3)
    with the same request from the same key; that is the same holder. requester and request_hash: 32 bytes each;
    the result is 128 hex digits.
    """
    return requester.hex() + request_hash.hex()
