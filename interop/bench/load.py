"""The load generator: prepared octets out, octets in, nothing looked at until the clock has stopped.

One thread and one selector keep `concurrency` connections busy; each carries one request and is closed by the
server after its answer, so every server pays for the same connections. It costs about 0.1 ms of CPU an enrolment,
which is reported, since it runs on the servers' cores.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

_READ_SIZE = 65536
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Volley:
    """answers: the HTTP response to each message, b"" where none came in time. seconds: from the first connection
    to the last answer. own_cpu: CPU seconds this process spent.
    """

    answers: list[bytes]
    seconds: float
    own_cpu: float


def http_request(path: str, port: int, message: bytes) -> bytes:
    """PKIOperation by POST (RFC 8894 section 4.1) as octets."""
    head = (
        f"POST {path}?operation=PKIOperation HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        "Content-Type: application/x-pki-message\r\n"
        f"Content-Length: {len(message)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + message


def fire(port: int, path: str, messages: Sequence[bytes], *, concurrency: int, seconds: float) -> Volley:
    """Send all messages, `concurrency` at a time; after `seconds`, unanswered ones are given up."""
    gunner = _Gunner(port, [http_request(path, port, message) for message in messages])
    cpu, began = time.process_time(), time.perf_counter()
    gunner.run(concurrency, began + seconds)
    ended, own_cpu = time.perf_counter(), time.process_time() - cpu
    gunner.close()
    return Volley([b"".join(pieces) for pieces in gunner.pieces], ended - began, own_cpu)


class _Gunner:
    """The state of one volley. pieces: what came back for each request so far."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.pieces: list[list[bytes]] = [[] for _ in requests]
        self._address = ("127.0.0.1", port)
        self._requests = requests
        self._next = 0
        self._selector = selectors.DefaultSelector()

    def run(self, concurrency: int, deadline: float) -> None:
        for _ in range(min(concurrency, len(self._requests))):
            self._send_next()
        while self._selector.get_map():
            left = deadline - time.perf_counter()
            if left <= 0:
                return
            for ready, _events in self._selector.select(left):
                self._read(ready)

    def close(self) -> None:
        """Close what is still open."""
        for key in list(self._selector.get_map().values()):
            self._close(key)
        self._selector.close()

    def _send_next(self) -> None:
        """Connect and send; a request that fits the socket's buffer does not block. A refused connection leaves
        its request unanswered, and the next one takes its place.
        """
        while self._next < len(self._requests):
            number, self._next = self._next, self._next + 1
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                connection.settimeout(CONNECT_SECONDS)
                connection.connect(self._address)
                connection.sendall(self._requests[number])
            except OSError:
                connection.close()
                continue
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, number)
            return

    def _read(self, key: selectors.SelectorKey) -> None:
        assert isinstance(key.fileobj, socket.socket)
        try:
            data = key.fileobj.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.pieces[key.data].append(data)
        else:
            self._close(key)
            self._send_next()

    def _close(self, key: selectors.SelectorKey) -> None:
        assert isinstance(key.fileobj, socket.socket)
        self._selector.unregister(key.fileobj)
        key.fileobj.close()
