"""Why the CA says no. Texts are for the peer's engineer, like those of `pkix.errors`."""

from pkix.errors import PkixError


class RequestRefused(PkixError):
    """The request is understood and not permitted, or not now."""


class Final(RequestRefused):
    """Never: the same request cannot succeed later either."""


class Busy(RequestRefused):
    """Not now: the same request may succeed later. The text begins with "busy"."""


class CertificateUnknown(PkixError):
    """No certificate or CRL matches the given issuer and serial number."""
