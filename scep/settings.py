"""Settings of a responder: of all its profiles, and of one profile's handling of KEM keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta

from kem.exchange import POP_SHA256, MacParameters
from pkix.algorithms import AlgorithmPolicy


@dataclass(frozen=True)
class Settings:
    """algorithms: which are accepted. pending_lifetime, ended_lifetime: how long a transaction is remembered while it
    waits, and after it ended (for retries). max_pending: how many may wait at a time.
    max_request: octets of encrypted content that an envelope may hold; a larger one is refused before it is decrypted.
    max_clock_skew: refuse a signingTime farther than this from our clock with badTime; None, the default, ignores
    it, because real clients have wrong clocks.
    """

    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    pending_lifetime: timedelta = timedelta(days=7)
    ended_lifetime: timedelta = timedelta(days=1)
    max_pending: int = 1000
    max_request: int = 64 * 1024
    max_clock_skew: timedelta | None = None


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
    max_challenges: of one transaction. max_challenged, max_challenged_per_signer: transactions waiting for an answer;
    max_challenged_per_certificate: of those, renewals of one KEM certificate. All such renewals together get half of
    max_challenged, because anybody who has seen a certificate can begin one.
    response_key: see ResponseKeyReuse. classic: this profile knows nothing of KEM keys and serves the certificates
    that clients of today expect.
    """

    pop: Pop = Pop.challenge
    parameters: MacParameters = POP_SHA256
    challenge_lifetime: timedelta = timedelta(minutes=10)
    max_challenges: int = 5
    max_challenged: int = 1000
    max_challenged_per_signer: int = 10
    max_challenged_per_certificate: int = 3
    response_key: ResponseKeyReuse = ResponseKeyReuse.single_request
    classic: bool = False
