"""The CA's side of the KEM proof of possession: making a challenge, and checking its confirmation.

What the security rests on: one encapsulation per challenge; the shared secret is gone as soon as the key is derived;
the derived key is kept sealed and taken once (`ca.proofs`); all ways of failing give one error with one text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from ca.dialogue import Challenge
from ca.errors import ProofFailed, RequestRefused
from kem.backends import Backends
from kem.errors import MacMismatch
from kem.exchange import POP_SHA256, POP_SHA512, MacParameters, challenge, verify_mac
from kem.keys import decode_public_key
from pkix.asn1 import Default, Implicit, decode, encode, sequence
from pkix.pkcs10 import CertificationRequest
from scep import kem_pop
from scep.attributes import KEM_POP_CHALLENGE, NONCE_LENGTH, PkiStatus
from scep.exchange import Exchange, Outcome, RandomBytes, encode_answer
from scep.kem_pop import Binding, KemPopConfirm, comparison, mac_input

WRONG_PROOF = "the proof of possession is wrong"


class DowngradeDetected(RequestRefused):
    """The client acted on capabilities that this CA does not serve."""


@sequence
class MessageContext:
    """What a challenge is bound to of the message that brought the request: its senderNonce, and H of its octets."""

    client_nonce: bytes
    request_hash: bytes


@sequence
class StoredChallenge:
    """What a confirmation is checked against. caps_hash: H of the GetCACaps body served when the challenge was made.
    context: DER ScepKemContext, for the log; earlier versions did not keep it. guessable: nothing of csrHash is logged.
    """

    derived_key: bytes
    cert_rep_hash: bytes
    caps_hash: bytes
    context: Annotated[bytes | None, Implicit(0)]
    guessable: Annotated[bool, Default(False)]


@dataclass(frozen=True)
class Prover:
    """Makes and checks challenges. parameters: KDF and MAC of new ones. capabilities: the GetCACaps body that this
    profile serves.
    """

    parameters: MacParameters
    backends: Backends
    random: RandomBytes
    capabilities: bytes

    def context(self, exchange: Exchange) -> bytes:
        """DER MessageContext of the message that brought a request."""
        digest = self.parameters.kdf.digest(exchange.octets)
        return encode(MessageContext(client_nonce=exchange.message.sender_nonce or b"", request_hash=digest))

    def challenge(
        self,
        exchange: Exchange,
        spkis: Sequence[bytes],
        csr: bytes,
        context: bytes,
        *,
        expires: datetime,
        password_lasts: bool,
    ) -> Challenge:
        """A CertRep PENDING with a fresh challenge to these keys. csr: DER. context: see `context`. password_lasts: see
        Dialogue.
        """
        message = decode(MessageContext, context, "message context")
        parameters = _parameters(message.request_hash)
        nonce = self.random(NONCE_LENGTH)
        binding = Binding(
            client_nonce=message.client_nonce,
            ca_nonce=nonce,
            request_hash=message.request_hash,
            csr=csr,
            ca_signer=exchange.authority.signer.certificate.der,
            parameters=parameters,
        )
        made = challenge(
            [decode_public_key(spki) for spki in spkis],
            transaction_id=exchange.message.transaction_id.encode("ascii"),
            context=binding.context,
            parameters=parameters,
            encapsulate=self.backends.encapsulate,
        )
        attribute = kem_pop.Challenge(made.ciphertexts, parameters, expires).encode()
        outcome = Outcome(PkiStatus.PENDING, attributes=((KEM_POP_CHALLENGE, attribute),), sender_nonce=nonce)
        body = encode_answer(exchange, outcome, self.random)
        digest = parameters.kdf.digest
        kept = StoredChallenge(
            derived_key=made.derived_key,
            cert_rep_hash=digest(body),
            caps_hash=digest(self.capabilities),
            context=binding.context([item.octets for item in made.ciphertexts]),
            guessable=password_lasts and CertificationRequest.decode(csr).challenge_password is not None,
        )
        return Challenge(body, encode(kept))

    def check(self, confirm: KemPopConfirm, secret: bytes, details: dict[str, str]) -> None:
        """Check a confirmation against what was kept. details: for the log; gets `scep.kem_pop.comparison`, whether the
        proof is right or wrong, so that client and CA can see what differs.

        Raises ProofFailed, DowngradeDetected.
        """
        kept = decode(StoredChallenge, secret, "stored challenge")
        parameters = _parameters(kept.derived_key)
        given = mac_input(kept.cert_rep_hash, confirm.caps_hash)
        details |= comparison(kept.derived_key, kept.context, given, guessable=kept.guessable)
        try:
            verify_mac(kept.derived_key, given, confirm.mac, parameters)
        except MacMismatch:
            raise ProofFailed(WRONG_PROOF) from None
        served = {kept.caps_hash, parameters.kdf.digest(self.capabilities)}
        if confirm.caps_hash is not None and confirm.caps_hash not in served:
            raise DowngradeDetected("the client acted on capabilities that this CA does not serve (a downgrade)")


def _parameters(octets: bytes) -> MacParameters:
    """Which of the two a hash or a derived key was made with, by its length: the configuration may have changed."""
    return POP_SHA512 if len(octets) == POP_SHA512.length else POP_SHA256
