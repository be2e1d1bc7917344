"""Response keys on the CA's side: each serves one request (the draft's section on response keys)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca.errors import RequestRefused
from ca.sealing import ServerKey
from ca.store import Store
from pkix.pkcs10 import CertificationRequest
from scep.kem_pop import response_key_of
from scep.settings import KemPolicy, ResponseKeyReuse


@dataclass(frozen=True)
class ResponseKeys:
    """Applies one profile's policy."""

    policy: KemPolicy
    store: Store
    server_key: ServerKey

    def check(self, request: CertificationRequest) -> None:
        """Whether the request may bring one, if it does. Raises RequestRefused, Malformed, AlgorithmRefused."""
        if response_key_of(request) is not None and not self.policy.takes_response_keys:
            raise RequestRefused("response keys are not enabled here")

    def use_up(self, request: CertificationRequest, user: bytes, *, expires: datetime) -> None:
        """Remember until `expires` that a request has used its key. Done when a certificate is about to be issued, so
        that nobody who is not authorised fills the Store.

        user: who the first use was by; a retry of the same request by the same signer is no second use. Raises
        RequestRefused.
        """
        found = response_key_of(request)
        if found is None or self.policy.response_key is not ResponseKeyReuse.single_request:
            return
        name = f"response-key {self.server_key.identifier(found.key.hex())}"
        if self.store.keep_secret(name, user, expires) != user:
            raise RequestRefused("the response key has been used; make a new one for each request")
