"""What a responder hands back beside an answer, under every protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogEvent:
    """Something worth a line in the log: what happened, and details that hold no secret. alarming: somebody seems to
    stand between client and CA.
    """

    what: str
    details: dict[str, str]
    alarming: bool = False


@dataclass(frozen=True)
class Reply:
    """body: the answer's octets."""

    body: bytes
    events: tuple[LogEvent, ...]
