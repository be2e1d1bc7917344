"""Requests for ML-KEM keys, and renewals of ML-KEM certificates: what a profile asks of them before any challenge."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from ca.authorities import Authorities
from ca.errors import RequestRefused
from kem.backends import Backends
from kem.keys import decode_public_key
from pkix.certificates import Certificate
from pkix.errors import Malformed
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form
from scep.attributes import NONCE_LENGTH, MessageType
from scep.exchange import Exchange
from scep.settings import KemPolicy, Pop


@dataclass(frozen=True)
class KemRules:
    """Applies one profile's policy."""

    policy: KemPolicy
    authorities: Authorities
    backends: Backends

    @property
    def to_kem_key(self) -> bool:
        """Whether the certificate goes out enveloped to the KEM key; under `none`, its possession does not matter."""
        return self.policy.pop is not Pop.none

    def check(self, exchange: Exchange) -> None:
        """A KEM key must be one that this profile handles and that can be encapsulated to (FIPS 203 section 7.2).

        Raises RequestRefused, Malformed.
        """
        request = exchange.verified_request
        if not request.is_kem:
            return
        if self.policy.classic:
            raise RequestRefused("this profile does not certify ML-KEM keys; use another SCEP URL")
        self.backends.for_parameter_set(decode_public_key(request.spki).parameter_set)
        nonce = exchange.message.sender_nonce
        if nonce is None or len(nonce) != NONCE_LENGTH:
            raise Malformed("a request for a KEM key needs a senderNonce of 16 octets (RFC 8894 section 3.2.1.5)")

    def needs_proof(self, request: CertificationRequest, renewed: Certificate | None) -> bool:
        """Whether the client has to answer a challenge. renewed: the KEM certificate to renew."""
        if not request.is_kem:
            return False
        if renewed is not None:
            return True  # possession of the old KEM key is what authorises, so no policy leaves it out
        if self.policy.pop is Pop.statement:
            return request.form is not Form.statement
        return self.policy.pop is Pop.challenge

    def renewed(self, exchange: Exchange) -> Certificate | None:
        """The KEM certificate that a RenewalReq renews, from the certificates beside the ephemeral signer's.

        Raises RequestRefused.
        """
        if exchange.kind is not MessageType.RenewalReq:
            return None
        ours = {pair.certificate.public_bytes(Encoding.DER) for item in self.authorities.all for pair in item.ra_kem}
        others = [Certificate.decode(der) for der in exchange.message.signed.certificates if der not in ours]
        found = [item for item in others if item.is_kem]
        if not found:
            return None
        if len(found) > 1:
            raise RequestRefused("the RenewalReq brings more than one ML-KEM certificate to renew")
        if not exchange.verified_request.is_kem:
            # Without a challenge, a stranger's certificate would be enough to renew it.
            raise RequestRefused("the renewal of an ML-KEM certificate asks for another kind of key")
        return found[0]
