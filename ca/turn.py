"""One message's turn at its transaction: what every step of the engine needs (`ca.enrolment`, `ca.issuing`)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property

from ca.applications import Application, Identity
from ca.authorisation import Approved, Authoriser
from ca.authorities import Authorities
from ca.authority import RandomBytes
from ca.dialogue import Arrival, Dialogue
from ca.errors import RequestRefused
from ca.limits import Limits, Rooms, make_room
from ca.profiles import Profile
from ca.proofs import Proofs
from ca.remembered import Memory
from ca.requests import CertificateRequest, is_guessable
from ca.sealing import ServerKey
from ca.store import State, Store, Transaction


@dataclass(frozen=True)
class Parts:
    """What the engine of one profile is made of. random(n): n octets from a cryptographic source."""

    profile: Profile
    authorities: Authorities
    authoriser: Authoriser
    store: Store
    server_key: ServerKey
    limits: Limits
    random: RandomBytes

    @cached_property
    def own_names(self) -> frozenset[str]:
        """Names of the CA and its RAs, of every generation, as `pkix.names.comparable` has them."""
        return frozenset(name for item in self.authorities.known for name in item.names)


class Turn:
    """A message, its Dialogue, and the parts of the engine; and how a transaction is stored and ended."""

    def __init__(self, parts: Parts, arrival: Arrival, dialogue: Dialogue) -> None:
        self.profile = parts.profile
        self.authorities = parts.authorities
        self.authoriser = parts.authoriser
        self.store = parts.store
        self.limits = parts.limits
        self.random = parts.random
        self.own_names = parts.own_names
        self.server_key = parts.server_key
        self.memory = Memory(parts.server_key, parts.random)
        self.proofs = Proofs(parts.store, parts.server_key, parts.random)
        self.arrival = arrival
        self.now = arrival.now
        self.dialogue = dialogue

    def same(self, transaction: Transaction | None = None) -> bytes | None:
        """`Arrival.same` as the Store has it; None without a request. transaction: which may be one of an earlier
        version, that has it as it came.
        """
        request, same = self.arrival.request, self.arrival.same
        if request is None or same is None or (transaction is not None and transaction.request_hash == same):
            return same
        return self.kept_hash(request, same)

    def kept_hash(self, request: CertificateRequest, digest: bytes) -> bytes:
        """A hash of a request, or what the Store has in its place: nobody who reads that may test passwords with it."""
        return self.server_key.request_identifier(digest) if is_guessable(request) else digest

    def put(self, old: Transaction | None, new: Transaction) -> None:
        """Create (`old` is None) or replace a transaction. Raises StoreConflict, CredentialUnavailable."""
        if old is None:
            self.store.create(new)
        else:
            self.store.replace(old, new)

    def make_room(self, rooms: Rooms) -> None:
        """Let the oldest go at a limit, and say so in the log: where it happens often, somebody is flooding."""
        gone = make_room(self.store, rooms, now=self.now)
        if gone:
            self.arrival.details["gave way"] = str(gone)

    def application(self, transaction: Transaction, request: CertificateRequest) -> Application:
        """That of a transaction begun earlier: who asks is who has sent this message."""
        identity = Identity(certificate=self.arrival.certificate)
        return Application(transaction.key, request, identity, same=transaction.request_hash)

    def note(self, transaction: Transaction) -> Transaction:
        """The same, having seen this message; stored only if it is new. Raises StoreConflict.

        What cannot be opened any more stays as it is.
        """
        message = self.arrival.message_hash
        try:
            remembered = self.memory.open(transaction)
        except RequestRefused:
            return transaction
        if remembered.has_seen(message):
            return transaction
        sealed = self.memory.seal(transaction.key, remembered.having_seen(message))
        noted = replace(transaction, sealed_request=sealed)
        self.store.replace(transaction, noted)
        return noted

    def failed(
        self, transaction: Transaction, refused: RequestRefused, approved: Approved | None = None
    ) -> RequestRefused:
        """The refusal, on record."""
        self.end(transaction, refused.text, approved.method if approved is not None else "")
        return refused

    def end(self, transaction: Transaction, reason: str, method: str = "") -> None:
        """Move to FAILED, giving back the credential and forgetting the secret and the request: a retry brings it, and
        a poll is told the reason. What copies of its messages are known by is kept. A certificate that was not released
        is revoked.

        method: which has approved the request, if the transaction does not say; it hears of this.
        """
        self.make_room(self.limits.failed(transaction))
        ended = self._ended(transaction, reason)
        if transaction.state is State.AWAITING_RELEASE:
            self.store.withdraw(transaction, ended, now=self.now)
        else:
            self.store.replace(transaction, ended)
        if transaction.secret_id is not None:
            self.proofs.forget(transaction.secret_id)
        method = method or transaction.approved_by
        if method:
            with contextlib.suppress(RequestRefused):  # a request that cannot be opened any more
                request = self.memory.open(transaction).read()
                self.authoriser.failed(method, self.application(transaction, request), reason)

    def _ended(self, transaction: Transaction, reason: str) -> Transaction:
        kept = b""
        with contextlib.suppress(RequestRefused):  # a request that cannot be opened any more
            seen = self.memory.open(transaction).having_seen(self.arrival.message_hash)
            kept = self.memory.seal(transaction.key, seen.failed())
        return replace(
            transaction,
            state=State.FAILED,
            reason=reason,
            sealed_request=kept,
            credential_id=None,
            secret_id=None,
            updated=self.now,
            expires=self.now + self.limits.ended_lifetime,
        )
