"""SCEP's part in an enrolment (`ca.dialogue`): who asks, who could read the answer, how possession is proven."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from ca.applications import Application, Identity, Renewal
from ca.authorities import Authorities
from ca.dialogue import Arrival, Challenge, Proof
from ca.errors import KeyRefused, NotRenewable
from ca.requests import CertificateRequest
from ca.store import TransactionKey
from ca.transactions import Event
from kem.keys import decode_public_key
from pkix.certificates import Certificate, readable
from pkix.errors import Malformed
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form
from scep.attributes import KEM_POP_CONFIRM, NONCE_LENGTH, MessageType
from scep.exchange import Exchange, recipient
from scep.kem_pop import decode_confirm
from scep.proof import Prover
from scep.response_keys import ResponseKeys
from scep.settings import KemPolicy, Pop

PROTOCOL = "scep"


@dataclass(frozen=True)
class ScepDialogue:
    """Implements `ca.dialogue.Dialogue` for one PKCSReq, RenewalReq or CertPoll, opened and verified.

    profile: its name. policy, prover, response_keys: the profile's rules for KEM keys, and who applies them.
    """

    exchange: Exchange
    profile: str
    authorities: Authorities
    policy: KemPolicy
    prover: Prover
    response_keys: ResponseKeys

    def arrival(self) -> Arrival:
        """The message, whose signature is verified. A kemPopConfirm means something in a CertPoll only. Raises
        NotRenewable, KeyRefused.
        """
        exchange = self.exchange
        event = Event.request
        if exchange.request is None:
            event = Event.poll if exchange.message.attribute(KEM_POP_CONFIRM) is None else Event.confirm
        return Arrival(
            key=self._key,
            event=event,
            now=exchange.now,
            authority=exchange.authority,
            message_hash=exchange.message_hash,
            certificate=exchange.verified_signer,
            request=exchange.request,
            same=self._same(),
            client=exchange.client,
            details=exchange.details,
        )

    @property
    def _key(self) -> TransactionKey:
        """The client chooses transactionID, so the key that signed belongs to the identity."""
        signer, name = self.exchange.verified_signer.key_hash, self.exchange.message.transaction_id
        return TransactionKey(PROTOCOL, name, signer, self.profile)

    def _same(self) -> bytes | None:
        """The request, and of a RenewalReq also that it is one and which certificate it renews: a PKCSReq that an
        operator is looking at must not become a renewal.
        """
        request = self.exchange.request
        if request is None or not self._is_renewal:
            return None if request is None else request.hash
        renewed = self._renewed() or self.exchange.verified_signer
        return hashlib.sha256(b"RenewalReq" + request.hash + hashlib.sha256(renewed.der).digest()).digest()

    @property
    def _is_renewal(self) -> bool:
        return self.exchange.kind is MessageType.RenewalReq

    def application(self) -> Application:
        """See Dialogue. A KEM key must be one that this profile handles and that can be encapsulated to (FIPS 203
        section 7.2).
        """
        exchange, request = self.exchange, self.exchange.verified_request
        if request.is_kem:
            self._check_kem(request)
        self.response_keys.check(request)
        signer, renewed = exchange.verified_signer, self._renewed()
        return Application(
            key=self._key,
            request=request,
            identity=Identity(certificate=signer, password=request.challenge_password),
            same=self._same() or b"",
            renewal=Renewal(renewed or signer, explicit=self._is_renewal, proven=renewed is None),
            rests_on=(exchange.stated_by,) if exchange.stated_by else (),
        )

    def _check_kem(self, request: CertificationRequest) -> None:
        if self.policy.classic:
            raise KeyRefused("this profile does not certify ML-KEM keys; use another SCEP URL")
        self.prover.backends.for_parameter_set(decode_public_key(request.spki).parameter_set)
        nonce = self.exchange.message.sender_nonce
        if nonce is None or len(nonce) != NONCE_LENGTH:
            raise Malformed("a request for a KEM key needs a senderNonce of 16 octets (RFC 8894 section 3.2.1.5)")

    def _renewed(self) -> Certificate | None:
        """The KEM certificate that a RenewalReq renews, from the certificates beside the ephemeral signer's."""
        if not self._is_renewal:
            return None
        sets = [ra for authority in self.authorities.all for ra in authority.ra_sets]
        ours = {pair.certificate.public_bytes(Encoding.DER) for ra in sets for pair in ra.ra_kem}
        brought = self.exchange.message.signed.certificates
        found = [item for item in readable(brought) if item.der not in ours and _is_kem(item)]
        if not found:
            return None
        if len(found) > 1:
            raise NotRenewable("the RenewalReq brings more than one ML-KEM certificate to renew")
        if not self.exchange.verified_request.is_kem:
            # Without a challenge, a stranger's certificate would be enough to renew it.
            raise KeyRefused("the renewal of an ML-KEM certificate asks for another kind of key")
        return found[0]

    @property
    def to_kem_key(self) -> bool:
        """Whether the certificate goes out enveloped to the KEM key; under `none`, its possession does not matter."""
        return self.policy.pop is not Pop.none

    def deliverable(self, request: CertificateRequest) -> None:
        """See Dialogue."""
        recipient(self.exchange, pkcs10(request), kem=self.to_kem_key)

    def use_up(self, request: CertificateRequest, *, expires: datetime) -> None:
        """See Dialogue."""
        user = self.exchange.verified_signer.key_hash + request.hash + self.profile.encode()
        self.response_keys.use_up(pkcs10(request), user, expires=expires)

    def proof(self, application: Application) -> Proof:
        """See Dialogue; `scep.settings.Pop` has the policies."""
        request = self.exchange.verified_request
        if not request.is_kem:
            return Proof.nothing
        # Possession of the old KEM key is what authorises its renewal, so no policy leaves that out.
        renewal = application.renewal
        needed = self.policy.pop is Pop.challenge or (renewal is not None and not renewal.proven)
        if self.policy.pop is Pop.statement:
            needed = needed or request.form is not Form.statement
        return Proof.challenge if needed else Proof.nothing

    def context(self) -> bytes:
        """See Dialogue."""
        return self.prover.context(self.exchange)

    def challenge(
        self, spkis: Sequence[bytes], request: bytes, context: bytes, *, expires: datetime, password_lasts: bool
    ) -> Challenge:
        """See Dialogue."""
        return self.prover.challenge(
            self.exchange, spkis, request, context, expires=expires, password_lasts=password_lasts
        )

    def confirmation(self) -> Callable[[bytes], None]:
        """See Dialogue."""
        confirm = decode_confirm(self.exchange.message.attribute(KEM_POP_CONFIRM) or b"")
        return lambda secret: self.prover.check(confirm, secret, self.exchange.details)


def _is_kem(certificate: Certificate) -> bool:
    """Of what came along, not even the key need be readable."""
    try:
        return certificate.is_kem
    except Malformed:
        return False


def pkcs10(request: CertificateRequest) -> CertificationRequest:
    """SCEP knows no other syntax."""
    assert isinstance(request, CertificationRequest)
    return request
