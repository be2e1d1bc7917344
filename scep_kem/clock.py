"""The one clock of the program."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Aware UTC, in whole seconds, which is what certificates and the Store count in."""
    return datetime.now(UTC).replace(microsecond=0)
