"""Settings of a responder: of all its profiles, and of one profile's handling of KEM keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from datetime import timedelta

from ca.limits import Limits
from kem.exchange import POP_SHA256, MacParameters
from pkix.algorithms import AlgorithmPolicy


@dataclass(frozen=True)
class Settings:
    """algorithms: which are accepted. The lifetimes, and max_pending to max_failed: see `ca.limits.Limits`.
    max_request: octets of encrypted content that an envelope may hold; a larger one is refused before it is decrypted.
    max_clock_skew: refuse a signingTime farther than this from our clock with badTime; None, the default, ignores it,
    because real clients have wrong clocks.
    log_causes: log what was wrong inside of an envelope in AES-CBC, or under RSA, too; see `scep.opening`.
    """

    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    pending_lifetime: timedelta = Limits.pending_lifetime
    ended_lifetime: timedelta = Limits.ended_lifetime
    max_pending: int = Limits.max_pending
    max_pending_per_signer: int = Limits.max_pending_per_signer
    max_failed: int = Limits.max_failed
    max_request: int = 64 * 1024
    max_clock_skew: timedelta | None = None
    log_causes: bool = False


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
    """pop: see Pop. parameters: KDF and MAC of the challenge. challenge_lifetime and max_...: see `ca.limits.Limits`.
    response_key: see ResponseKeyReuse. classic: this profile knows nothing of KEM keys and serves the certificates
    that clients of today expect.
    """

    pop: Pop = Pop.challenge
    parameters: MacParameters = POP_SHA256
    challenge_lifetime: timedelta = Limits.challenge_lifetime
    max_challenges: int = Limits.max_challenges
    max_challenged: int = Limits.max_challenged
    max_challenged_for_operator: int = Limits.max_challenged_for_operator
    max_challenged_renewals: int = Limits.max_challenged_renewals
    max_challenged_per_signer: int = Limits.max_challenged_per_signer
    max_challenged_per_request: int = Limits.max_challenged_per_request
    max_challenged_per_certificate: int = Limits.max_challenged_per_certificate
    response_key: ResponseKeyReuse = ResponseKeyReuse.single_request
    classic: bool = False

    @property
    def takes_response_keys(self) -> bool:
        """Whether a request may bring one."""
        return self.response_key is not ResponseKeyReuse.off and not self.classic


def limits_of(settings: Settings, kem: KemPolicy) -> Limits:
    """As the engine has them."""
    given = vars(settings) | vars(kem)
    return Limits(**{item.name: given[item.name] for item in fields(Limits) if item.name in given})
