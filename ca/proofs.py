"""What the CA keeps between a challenge and its answer, for every protocol that proves possession in this way.

What the security rests on: what is kept is sealed, and bound to its transaction and its name; it expires; and it is
taken once, whatever comes of it. What it is, how a challenge is made and an answer checked, is the protocol's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ca.errors import ProofExpired
from ca.sealing import ServerKey, Unsealable
from ca.store import Store, TransactionKey
from pkix.asn1 import GeneralizedTime, decode, encode, sequence
from pkix.times import THIS_CA, clock, second

NAME_LENGTH = 16


@sequence
class Kept:
    """secret: the protocol's octets. expires: until when the answer counts."""

    secret: bytes
    expires: GeneralizedTime


@dataclass(frozen=True)
class Proofs:
    """random(n): n octets from a cryptographic source."""

    store: Store
    server_key: ServerKey
    random: Callable[[int], bytes]

    def keep(self, key: TransactionKey, secret: bytes, *, expires: datetime, late: timedelta) -> str:
        """Leave the secret of a transaction in the Store and return its name, 32 hex digits. late: how much longer it
        stays, so that an answer that is late is told so.
        """
        name = self.random(NAME_LENGTH).hex()
        kept = encode(Kept(secret=secret, expires=GeneralizedTime(expires)))
        self.store.put_secret(name, self.server_key.seal(kept, _purpose(key, name), self.random), expires + late)
        return name

    def take(self, key: TransactionKey, name: str, *, now: datetime) -> bytes | None:
        """The secret, which is gone from the Store when this returns or raises; None if there is none (any more).
        Raises ProofExpired.
        """
        sealed = self.store.take_secret(name)
        if sealed is None:
            return None
        try:
            kept = decode(Kept, self.server_key.open(sealed, _purpose(key, name)), "kept secret")
        except Unsealable:
            kept = self._former(sealed, name)
        expires = kept.expires.as_datetime()
        if expires < now:
            times = f"on {second(expires)}, and {clock(now, THIS_CA, to=second)}"
            raise ProofExpired(f"the challenge has expired {times}; send the request again")
        return kept.secret

    def forget(self, name: str) -> None:
        """Drop a secret that nobody will ask for."""
        self.store.take_secret(name)

    def _former(self, sealed: bytes, name: str) -> Kept:
        """What a program of database schema 3 or older kept, of SCEP alone. Raises ProofExpired."""
        try:
            opened = self.server_key.open(sealed, b"challenge " + name.encode())
        except Unsealable:
            raise ProofExpired("the server's key was replaced since the challenge; send a new request") from None
        former = decode(_Former, opened, "kept secret")
        secret = encode(
            _FormerSecret(
                derived_key=former.derived_key, cert_rep_hash=former.cert_rep_hash, caps_hash=former.caps_hash
            )
        )
        return Kept(secret=secret, expires=former.expires)


def _purpose(key: TransactionKey, name: str) -> bytes:
    """What a kept secret is bound to."""
    return b"challenge " + key.hash + name.encode()


@sequence
class _Former:
    derived_key: bytes
    cert_rep_hash: bytes
    caps_hash: bytes
    expires: GeneralizedTime


@sequence
class _FormerSecret:
    """`scep.proof.StoredChallenge`."""

    derived_key: bytes
    cert_rep_hash: bytes
    caps_hash: bytes
