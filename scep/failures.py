"""The one place where what went wrong becomes a failInfo (RFC 8894 section 3.2.1.4).

An exception class for each kind of reason, with Malformed and DecryptionFailed as special cases that a message can run
into, and what `kem` raises. `text` becomes failInfoText.
"""

from __future__ import annotations

from ca.errors import CertificateUnknown, ProofFailed, RequestRefused
from kem.errors import InvalidCiphertext, InvalidKey, KemError, MalformedStructure, UnsupportedAlgorithm
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed, PkixError
from scep.attributes import FailInfo


class TimeRefused(PkixError):
    """signingTime is too far from the CA's clock, under a policy that minds (RFC 8894 section 3.2.1.4)."""


Refusal = PkixError | KemError

_FAIL_INFO: dict[type[Refusal], FailInfo] = {
    AlgorithmRefused: FailInfo.badAlg,
    IntegrityFailed: FailInfo.badMessageCheck,
    DecryptionFailed: FailInfo.badMessageCheck,
    RequestRefused: FailInfo.badRequest,
    ProofFailed: FailInfo.badMessageCheck,
    Malformed: FailInfo.badRequest,
    TimeRefused: FailInfo.badTime,
    CertificateUnknown: FailInfo.badCertId,
    UnsupportedAlgorithm: FailInfo.badAlg,
    InvalidKey: FailInfo.badRequest,
    MalformedStructure: FailInfo.badRequest,
    InvalidCiphertext: FailInfo.badMessageCheck,
}


def fail_info(error: Refusal) -> FailInfo:
    """The failInfo for an error: that of its class or of the nearest one above it."""
    return next((_FAIL_INFO[kind] for kind in type(error).__mro__ if kind in _FAIL_INFO), FailInfo.badRequest)
