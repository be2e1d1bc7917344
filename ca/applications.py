"""Who asks for what: what authorisation looks at, whatever protocol it came by."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ca.requests import CertificateRequest
from ca.store import Credential, TransactionKey, holder_of
from pkix.certificates import Certificate


@dataclass(frozen=True)
class Identity:
    """Who asks, as far as the protocol has verified it; None for what there is not.

    certificate: its key signed the message or the TLS handshake; it may be anybody's, also self-signed. secret: the
    credential whose secret keyed a MAC that was right (`ca.credentials.find_secret`). password: a challengePassword,
    which nobody has looked up yet.
    """

    certificate: Certificate | None = None
    secret: Credential | None = None
    password: str | None = field(default=None, repr=False)


class Names(enum.Enum):
    """What a renewal may do to the names of the certificate; the subject stays in any case."""

    fewer = "the subjectAltName may lose names"
    same = "the subjectAltName stays as it is"


@dataclass(frozen=True)
class Renewal:
    """certificate: the one to renew, if it is one of ours. explicit: the protocol calls the request a renewal; if not,
    it is one when the certificate is ours and may renew itself. proven: the message shows possession of the
    certificate's key; otherwise that is proven before anything is issued.
    """

    certificate: Certificate
    explicit: bool
    proven: bool = True
    names: Names = Names.fewer


@dataclass(frozen=True)
class Application:
    """A request in the hands of authorisation.

    same: see `Transaction.request_hash`. rests_on: names (`IssuedCertificate.full_name`) of certificates of this CA
    that the protocol has relied on.
    """

    key: TransactionKey
    request: CertificateRequest
    identity: Identity
    same: bytes
    renewal: Renewal | None = None
    rests_on: tuple[str, ...] = ()

    @property
    def holder(self) -> str:
        """See `ca.store.holder_of`."""
        return holder_of(self.key.requester, self.same)
