"""What one HTTP exchange may take in all: time from its beginning to the last octet of the answer, and octets.

A time-out for a single wait ends nothing as long as something comes, and http.client reads answers of status 100, and
what follows the last chunk, without an end. So each octet of an answer comes through here. Looking up a host,
connecting, a TLS handshake and sending have limits of their own.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any


class OutOfBounds(OSError):
    """An answer that takes too long or too much; the text says what."""


@dataclass
class _Bound:
    seconds: float
    waiting: float
    octets: int

    def __post_init__(self) -> None:
        self._until, self._left = monotonic() + self.seconds, self.octets

    def wait(self) -> float:
        """Seconds for the next octet. Raises OutOfBounds."""
        left = self._until - monotonic()
        if left <= 0:
            raise OutOfBounds(f"the answer has not ended within {self.seconds:g} seconds")
        return min(left, self.waiting)

    def take(self, octets: int) -> None:
        """Raises OutOfBounds."""
        self._left -= octets
        if self._left < 0:
            raise OutOfBounds(f"the answer has not ended after {self.octets} octets")


_bound: ContextVar[_Bound | None] = ContextVar("_bound", default=None)


@contextlib.contextmanager
def bounded(*, seconds: float, waiting: float, octets: int) -> Iterator[None]:
    """In the block, whoever reads a `BoundedResponse` gets OutOfBounds once it has taken these seconds, or octets.

    waiting: seconds without an octet, after which there is a TimeoutError.
    """
    token = _bound.set(_Bound(seconds, waiting, octets))
    try:
        yield
    finally:
        _bound.reset(token)


class BoundedResponse(http.client.HTTPResponse):
    """For the attribute `response_class` of a connection."""

    def __init__(self, sock: socket.socket, *arguments: Any, **more: Any) -> None:
        super().__init__(sock, *arguments, **more)
        bound = _bound.get()
        if bound is not None:
            self.fp.close()  # only the file: the socket counts those that are open
            self.fp = io.BufferedReader(_Reader(sock, bound))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, bound: _Bound) -> None:
        self._sock, self._bound = sock, bound
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._bound.wait())
        try:
            found = self._file.readinto(buffer)
        except TimeoutError:
            self._bound.wait()  # which of the two it was
            raise
        self._bound.take(found or 0)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()
