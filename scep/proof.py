"""The CA's side of the KEM proof of possession: sending a challenge, and checking its confirmation.

What the security rests on: one encapsulation per challenge; the shared secret is gone as soon as the key is derived;
the derived key is stored sealed, expires, and is taken once, whatever comes of it; all ways of failing give one error
with one text. The transaction's moves are `scep.enrolment`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from ca.errors import RequestRefused
from ca.sealing import ServerKey, Unsealable
from ca.store import Store, Transaction, TransactionKey
from kem.backends import Backends
from kem.errors import MacMismatch
from kem.exchange import POP_SHA256, POP_SHA512, challenge, verify_mac
from kem.keys import EncapsulationKey
from pkix.asn1 import GeneralizedTime, Implicit, decode, encode, sequence
from pkix.errors import IntegrityFailed
from scep.attributes import KEM_POP_CHALLENGE, NONCE_LENGTH, PkiStatus
from scep.exchange import Exchange, Outcome, RandomBytes, encode_answer
from scep.kem_pop import Binding, Challenge, KemPopConfirm, mac_input
from scep.settings import KemPolicy

WRONG_PROOF = "the proof of possession is wrong"


class ChallengeExpired(RequestRefused):
    """The confirmation came too late."""


class DowngradeDetected(RequestRefused):
    """The client acted on capabilities that this CA does not serve."""


@sequence
class StoredRequest:
    """What a transaction remembers of its request, sealed, because the PKCS #10 holds the challengePassword.

    request_hash: H of the pkiMessage's octets. client_nonce: its senderNonce. answered: SHA-256 of each message that a
    challenge has answered. answer: the latest of these CertReps, for whoever sends one of those messages once more.
    """

    csr: bytes
    client_nonce: bytes
    request_hash: bytes
    answered: Annotated[list[bytes] | None, Implicit(0)]
    answer: Annotated[bytes | None, Implicit(1)]

    def answered_with(self, octets: bytes, answer: bytes) -> StoredRequest:
        """The same after a challenge: `answer` was sent to the message `octets`."""
        digest = hashlib.sha256(octets).digest()
        return replace(self, answered=[*(self.answered or []), digest], answer=answer)

    def answer_to(self, octets: bytes) -> bytes | None:
        """What to send to a message that a challenge has answered before, None for any other message."""
        return self.answer if hashlib.sha256(octets).digest() in (self.answered or []) else None


def seal_request(server_key: ServerKey, key: TransactionKey, request: StoredRequest, random: RandomBytes) -> bytes:
    """As `Transaction.sealed_request` has it, bound to the transaction."""
    return server_key.seal(encode(request), _request_purpose(key), random)


def open_request(server_key: ServerKey, transaction: Transaction) -> StoredRequest:
    """What a transaction remembers of its request. Raises RequestRefused if another server key sealed it."""
    try:
        opened = server_key.open(transaction.sealed_request, _request_purpose(transaction.key))
    except Unsealable:
        raise RequestRefused("the server's key was replaced since this request; send a new one") from None
    return decode(StoredRequest, opened, "stored request")


def _request_purpose(key: TransactionKey) -> bytes:
    return b"request " + key.signer + key.transaction_id.encode()


@sequence
class _StoredChallenge:
    """caps_hash: H of the GetCACaps body served when the challenge was made."""

    derived_key: bytes
    cert_rep_hash: bytes
    caps_hash: bytes
    expires: GeneralizedTime


@dataclass(frozen=True)
class Prover:
    """Makes and checks challenges. capabilities: the GetCACaps body that this profile serves."""

    policy: KemPolicy
    backends: Backends
    store: Store
    server_key: ServerKey
    random: RandomBytes
    capabilities: bytes

    def challenge(self, exchange: Exchange, request: StoredRequest, keys: list[EncapsulationKey]) -> tuple[bytes, str]:
        """A CertRep PENDING with a fresh challenge to these keys, and the name of the secret left in the Store."""
        expires = exchange.now + self.policy.challenge_lifetime
        # The configuration may have changed since the request came; the length of its hash says which it was.
        parameters = POP_SHA512 if len(request.request_hash) == POP_SHA512.length else POP_SHA256
        nonce = self.random(NONCE_LENGTH)
        binding = Binding(
            client_nonce=request.client_nonce,
            ca_nonce=nonce,
            request_hash=request.request_hash,
            csr=request.csr,
            ca_signer=exchange.authority.signer.certificate.der,
            parameters=parameters,
        )
        made = challenge(
            keys,
            transaction_id=exchange.message.transaction_id.encode("ascii"),
            context=binding.context,
            parameters=parameters,
            encapsulate=self.backends.encapsulate,
        )
        attribute = Challenge(made.ciphertexts, parameters, expires).encode()
        outcome = Outcome(PkiStatus.PENDING, attributes=((KEM_POP_CHALLENGE, attribute),), sender_nonce=nonce)
        body = encode_answer(exchange, outcome, self.random)
        digest = parameters.kdf.digest
        kept = _StoredChallenge(
            derived_key=made.derived_key,
            cert_rep_hash=digest(body),
            caps_hash=digest(self.capabilities),
            expires=GeneralizedTime(expires),
        )
        name = self.random(16).hex()
        sealed = self.server_key.seal(encode(kept), _purpose(name), self.random)
        # Kept a little longer than it is good, so that a late confirmation is told that it is late.
        self.store.put_secret(name, sealed, expires + self.policy.challenge_lifetime)
        return body, name

    def check(self, confirm: KemPopConfirm, sealed: bytes, name: str, *, now: datetime) -> str:
        """Check a confirmation against the secret that was taken from the Store. Returns the first 8 octets (hex) of
        H of the derived key, for the log: client and CA can compare them.

        Raises IntegrityFailed, ChallengeExpired, DowngradeDetected.
        """
        try:
            kept = decode(_StoredChallenge, self.server_key.open(sealed, _purpose(name)), "stored challenge")
        except Unsealable:
            raise ChallengeExpired("the server's key was replaced since the challenge; send a new request") from None
        if kept.expires.as_datetime() < now:
            raise ChallengeExpired("the challenge has expired; send the request again")
        # The configuration may have changed since; the derived key's length says which of the two it was.
        parameters = POP_SHA512 if len(kept.derived_key) == POP_SHA512.length else POP_SHA256
        try:
            given = mac_input(kept.cert_rep_hash, confirm.caps_hash)
            verify_mac(kept.derived_key, given, confirm.mac, parameters)
        except MacMismatch:
            raise IntegrityFailed(WRONG_PROOF) from None
        served = {kept.caps_hash, parameters.kdf.digest(self.capabilities)}
        if confirm.caps_hash is not None and confirm.caps_hash not in served:
            raise DowngradeDetected("the client acted on capabilities that this CA does not serve (a downgrade)")
        return parameters.kdf.digest(kept.derived_key)[:8].hex()


def _purpose(name: str) -> bytes:
    return b"challenge " + name.encode()
