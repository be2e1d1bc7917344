"""The one place where what went wrong becomes a failInfo (RFC 8894 section 3.2.1.4).

One exception class for each failInfo, with Malformed and DecryptionFailed as special cases that a message can run
into. `text` becomes failInfoText.
"""

from __future__ import annotations

from ca.errors import CertificateUnknown, RequestRefused
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed, PkixError
from scep.attributes import FailInfo


class TimeRefused(PkixError):
    """signingTime is too far from the CA's clock, under a policy that minds (RFC 8894 section 3.2.1.4)."""


_FAIL_INFO: dict[type[PkixError], FailInfo] = {
    AlgorithmRefused: FailInfo.badAlg,
    IntegrityFailed: FailInfo.badMessageCheck,
    DecryptionFailed: FailInfo.badMessageCheck,
    RequestRefused: FailInfo.badRequest,
    Malformed: FailInfo.badRequest,
    TimeRefused: FailInfo.badTime,
    CertificateUnknown: FailInfo.badCertId,
}


def fail_info(error: PkixError) -> FailInfo:
    """The failInfo for an error."""
    return _FAIL_INFO[type(error)]
