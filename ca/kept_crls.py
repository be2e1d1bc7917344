"""What the Store remembers of CRLs: how often something was revoked, what is revoked, and the CRL made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple


@dataclass(frozen=True)
class CrlState:
    """revision: counts the changes to what an issuer has revoked. number: of the CRL that is kept, 0 for none."""

    revision: int = 0
    number: int = 0


class Revocation(NamedTuple):
    """What a CRL says of a certificate. reason: as in IssuedCertificate."""

    serial: int
    revoked_at: datetime
    reason: str | None


@dataclass(frozen=True)
class Revocations:
    """What an issuer has revoked at a revision: all of it, and nothing of a later one."""

    revision: int
    listed: Sequence[Revocation]


@dataclass(frozen=True)
class KeptCrl:
    """A CRL that was made. number: its crlNumber. revision: of what it lists. made: its thisUpdate. der: the CRL."""

    authority: str
    number: int
    revision: int
    made: datetime
    der: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the DER, hex."""
        return hashlib.sha256(self.der).hexdigest()

    def follows(self, other: KeptCrl | None) -> bool:
        """Whether it may be served after the other: its number is higher, and it misses nothing that the other has."""
        return other is None or (self.number > other.number and self.revision >= other.revision)
