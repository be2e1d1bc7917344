"""What a responder hands back beside an answer, under every protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogEvent:
    """What the log has to say of a message. kind: its type, in the protocol's word. outcome: what became of it.
    details: no secret. alarming: somebody seems to stand between client and CA.
    """

    kind: str
    outcome: str
    details: dict[str, str]
    alarming: bool = False

    @property
    def what(self) -> str:
        """Both in a few words."""
        return f"{self.kind} {self.outcome}"


@dataclass(frozen=True)
class Reply:
    """body: the answer's octets."""

    body: bytes
    events: tuple[LogEvent, ...]
