"""Times: as ASN.1 writes them, and verdicts on them, which show the limit, the time, and whose clock it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pkix.asn1 import GeneralizedTime, UTCTime

EARLIEST = datetime(1950, 1, 1, tzinfo=UTC)  # that UTCTime, and the certificates of `cryptography`, can have
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 section 4.1.2.5: no well-defined end
THIS_CA, THIS_DEVICE, THIS_MACHINE = "this CA", "this device", "this machine"


def time_of(moment: datetime) -> UTCTime | GeneralizedTime:
    """UTCTime from 1950 through 2049, else GeneralizedTime (RFC 5280 section 4.1.2.5, RFC 5652 section 11.3)."""
    return UTCTime(moment) if EARLIEST.year <= moment.year < 2050 else GeneralizedTime(moment)


def minute(moment: datetime) -> str:
    """For people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def second(moment: datetime) -> str:
    """For people who look at what lasts for minutes."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def outside(begin: datetime, end: datetime, now: datetime, whose: str) -> str:
    """To go on after "is not valid now" or the like. whose: has the clock."""
    return f"it is from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, and {clock(now, whose)}"


def clock(now: datetime, whose: str, to: Callable[[datetime], str] = minute) -> str:
    """Whose clock says what."""
    return f"the clock of {whose} says {to(now)}"
