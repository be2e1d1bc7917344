"""The CA's side of the KEM proof of possession: sending a challenge, and checking its confirmation.

What the security rests on: one encapsulation per challenge; the shared secret is gone as soon as the key is derived;
the derived key is stored sealed, expires, and is taken once, whatever comes of it; all ways of failing give one error
with one text. The transaction's moves are `scep.enrolment`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca.errors import RequestRefused
from ca.sealing import ServerKey, Unsealable
from ca.store import Store
from kem.backends import Backends
from kem.errors import MacMismatch
from kem.exchange import POP_SHA256, POP_SHA512, challenge, verify_mac
from kem.keys import EncapsulationKey
from pkix.asn1 import GeneralizedTime, decode, encode, sequence
from pkix.errors import IntegrityFailed
from scep.attributes import KEM_POP_CHALLENGE, NONCE_LENGTH, PkiStatus
from scep.exchange import Exchange, Outcome, RandomBytes, encode_answer
from scep.kem_pop import Binding, Challenge, KemPopConfirm, mac_input
from scep.remembered import StoredRequest
from scep.settings import KemPolicy

WRONG_PROOF = "the proof of possession is wrong"


class ChallengeExpired(RequestRefused):
    """The confirmation came too late."""


class DowngradeDetected(RequestRefused):
    """The client acted on capabilities that this CA does not serve."""


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

    def check(
        self, confirm: KemPopConfirm, sealed: bytes, name: str, *, now: datetime, details: dict[str, str]
    ) -> None:
        """Check a confirmation against the secret that was taken from the Store. details: for the log; gets the first
        8 octets (hex) of H of the derived key, right or wrong: client and CA can compare them.

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
        details["derived key hash"] = parameters.kdf.digest(kept.derived_key)[:8].hex()
        try:
            given = mac_input(kept.cert_rep_hash, confirm.caps_hash)
            verify_mac(kept.derived_key, given, confirm.mac, parameters)
        except MacMismatch:
            raise IntegrityFailed(WRONG_PROOF) from None
        served = {kept.caps_hash, parameters.kdf.digest(self.capabilities)}
        if confirm.caps_hash is not None and confirm.caps_hash not in served:
            raise DowngradeDetected("the client acted on capabilities that this CA does not serve (a downgrade)")


def _purpose(name: str) -> bytes:
    return b"challenge " + name.encode()
