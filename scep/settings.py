"""Settings of a responder: of all its profiles, and of one profile's handling of KEM keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ca.limits import Limits
from ca.store import Group, Standing, State, Transaction
from kem.exchange import POP_SHA256, MacParameters
from pkix.algorithms import AlgorithmPolicy


@dataclass(frozen=True)
class Settings:
    """algorithms: which are accepted. pending_lifetime, ended_lifetime: how long a transaction is remembered while it
    waits, and after it ended (for retries). max_pending, max_pending_per_signer: how many requests of a profile may
    wait for an operator at a time, in all and by one key. max_failed: how many failed ones are remembered.
    max_request: octets of encrypted content that an envelope may hold; a larger one is refused before it is decrypted.
    max_clock_skew: refuse a signingTime farther than this from our clock with badTime; None, the default, ignores
    it, because real clients have wrong clocks.
    """

    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    pending_lifetime: timedelta = timedelta(days=7)
    ended_lifetime: timedelta = timedelta(days=1)
    max_pending: int = 1000
    max_pending_per_signer: int = 10
    max_failed: int = 1000
    max_request: int = 64 * 1024
    max_clock_skew: timedelta | None = None

    def waiting_limits(self, new: Transaction) -> Limits:
        """What a transaction has to fit into that begins to wait for an operator."""
        waiting = Group(new.profile, State.AWAITING_APPROVAL, new.standing)
        of_signer = replace(waiting, signer=new.key.signer)
        return [(of_signer, self.max_pending_per_signer), (waiting, self.max_pending)]

    def failed_limits(self, transaction: Transaction) -> Limits:
        """What a transaction has to fit into that fails."""
        return [(Group(transaction.profile, State.FAILED, transaction.standing), self.max_failed)]


class Pop(enum.Enum):
    """How possession of a KEM key is proven before it is certified.

    challenge: by a KEM-PoP challenge, always. statement: an RFC 9883 statement is enough, anything else is challenged.
    implicit: the certificate goes out enveloped to the key, so that only its holder can use it; nothing is verified.
    none: not at all.
    """

    challenge = "challenge"
    statement = "statement"
    implicit = "implicit"
    none = "none"


class ResponseKeyReuse(enum.Enum):
    """For how many requests a client's response key is good, if they are accepted at all."""

    off = "off"
    single_request = "single-request"
    transaction = "transaction"


@dataclass(frozen=True)
class KemPolicy:
    """pop: see Pop. parameters: KDF and MAC of the challenge. challenge_lifetime: time to answer one.
    max_challenges: of one transaction. max_challenged: how many transactions that somebody has authorised may wait for
    an answer. max_challenged_for_operator: how many that an operator has to look at afterwards.
    max_challenged_per_signer: of either, by one key. max_challenged_per_request: of either, with one PKCS #10 request,
    which anybody can sign anew who has recorded it. max_challenged_renewals, max_challenged_per_certificate: how many
    renewals of KEM certificates, which anybody can begin who has seen one, in all and of one certificate.
    response_key: see ResponseKeyReuse. classic: this profile knows nothing of KEM keys and serves the certificates
    that clients of today expect.
    """

    pop: Pop = Pop.challenge
    parameters: MacParameters = POP_SHA256
    challenge_lifetime: timedelta = timedelta(minutes=10)
    max_challenges: int = 5
    max_challenged: int = 1000
    max_challenged_for_operator: int = 500
    max_challenged_renewals: int = 500
    max_challenged_per_signer: int = 10
    max_challenged_per_request: int = 10
    max_challenged_per_certificate: int = 20
    response_key: ResponseKeyReuse = ResponseKeyReuse.single_request
    classic: bool = False

    def limits(self, new: Transaction) -> Limits:
        """What a transaction has to fit into that is challenged, the smaller group first."""
        every = Group(new.profile, State.CHALLENGED, new.standing)
        if new.standing is Standing.RENEWAL:
            of_one = replace(every, renews=new.renews)
            return [(of_one, self.max_challenged_per_certificate), (every, self.max_challenged_renewals)]
        authorised = new.standing is Standing.AUTHORISED
        most = self.max_challenged if authorised else self.max_challenged_for_operator
        return [
            (replace(every, request_hash=new.request_hash), self.max_challenged_per_request),
            (replace(every, signer=new.key.signer), self.max_challenged_per_signer),
            (every, most),
        ]
