"""Peers and their cases: plain functions that raise when something is wrong."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop.kit.bench import Bench


class CaseFailed(Exception):
    """The peer and we did not understand each other; the text says how it showed."""


class Missing(Exception):
    """The peer could be installed but is not: a failure under --require-all."""


class NotToBeHad(Exception):
    """The peer, or what the case needs of it, cannot be had here whatever one installs."""


class Status(enum.Enum):
    """How a case ended. The two skipped states differ in whether --require-all minds."""

    PASS = "PASS"  # noqa: S105 -- a verdict, not a password
    FAIL = "FAIL"
    MISSING = "missing"
    NOT_TO_BE_HAD = "not to be had"


@dataclass(frozen=True)
class Case:
    """name: short, lower case, unique within its peer. proves: one line for the README's reader.

    server: the name of another server than the peer's, shared by all peers' cases that name it.
    """

    name: str
    proves: str
    run: Callable[[Bench], None]
    server: str | None = None


@dataclass(frozen=True)
class Outcome:
    """reason is empty for PASS. transcript is the file with everything that was said."""

    peer: str
    case: str
    status: Status
    reason: str
    transcript: Path | None


@dataclass(eq=False)
class Peer:
    """A peer and its cases.

    probe returns the peer's version as text, or raises Missing or NotToBeHad. install gets it.
    folder holds the curated transcript. server names the server its cases run against: "ours" for clients.
    alone: no other peer runs meanwhile, because the load on the machine matters.
    """

    name: str
    title: str
    folder: Path
    probe: Callable[[], str]
    install: Callable[[], None]
    server: str = "ours"
    alone: bool = False
    cases: list[Case] = field(default_factory=list)

    def case(
        self, name: str, proves: str, server: str | None = None
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register the decorated function as a case."""

        def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self.cases.append(Case(name, proves, run, server))
            return run

        return register


def check(condition: object, text: str) -> None:
    """Raise CaseFailed with the text unless the condition holds."""
    if not condition:
        raise CaseFailed(text)
