"""Why the CA says no, a class for each kind of reason, so that every protocol can say it in its own codes.

Texts are for the peer's engineer, like those of `pkix.errors`, and name no message type of a protocol.
"""

from pkix.errors import PkixError


class RequestRefused(PkixError):
    """The request is understood and not permitted, or not now.

    final: never; the same request cannot succeed later either, whatever an operator does.
    """

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class NotAuthorised(RequestRefused):
    """Nobody has authorised the request: no method knows it, or the one that does says no."""


class NamesRefused(RequestRefused):
    """A subject or subjectAltName that this requester, or nobody, can have here."""


class UsageRefused(RequestRefused):
    """A key usage or another extension that is not given."""


class KeyRefused(RequestRefused):
    """A key that is not certified here, or not any more."""


class ProofFailed(RequestRefused):
    """Possession of the private key is not proven."""


class ProofExpired(RequestRefused):
    """The answer to a challenge came too late."""


class UnknownTransaction(RequestRefused):
    """Nothing is known of what the message asks about, or not of this requester."""


class OtherRequest(RequestRefused):
    """Another request, or another message, stands in the way of this one."""


class NotRenewable(RequestRefused):
    """There is no certificate to renew, or it is not one that may be renewed now."""


class Busy(RequestRefused):
    """Not now: the same request may succeed later. The text begins with "busy". retry_after: seconds."""

    def __init__(self, text: str, *, retry_after: int = 60) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class CrlRefused(RequestRefused):
    """There is no CRL, or none is given in this way."""


class CertificateUnknown(PkixError):
    """No certificate or CRL matches the given issuer and serial number."""
