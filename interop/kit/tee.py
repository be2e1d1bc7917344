"""A recording loopback proxy on the TCP level: the peers' bytes reach the server unchanged, and both ways are kept.

Because nothing is parsed on the way, header oddities (no Host, no Content-Type, Expect: 100-continue, HTTP/1.0)
are the server's to deal with, as they are in the field. The record is parsed afterwards.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from interop.kit.cases import CaseFailed
from interop.kit.http_bytes import HttpMessage, take_messages
from interop.kit.messages import decode_get_message

_CHUNK = 65536


@dataclass(frozen=True)
class Exchange:
    """One request and its answer (None if the connection ended without one)."""

    request: HttpMessage
    response: HttpMessage | None

    @property
    def operation(self) -> str:
        """The `operation` parameter."""
        return self._parameter("operation")

    @property
    def message(self) -> bytes:
        """The SCEP message of the request, from the body or from the query."""
        if self.request.start_line.startswith("POST"):
            return self.request.body
        return decode_get_message(self._parameter("message"))

    @property
    def answer(self) -> bytes:
        """The body of the response."""
        return self.response.body if self.response else b""

    def _parameter(self, name: str) -> str:
        parts = self.request.start_line.split(" ")
        query = urlsplit(parts[1]).query if len(parts) > 1 else ""
        return parse_qs(query).get(name, [""])[0]


@dataclass
class _Connection:
    """order: running number of the chunk in which a request's first byte came, by offset in `sent`."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    order: list[tuple[int, int]] = field(default_factory=list)
    closed: bool = False


class _Handler(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        self.server.tee.relay(self.request)


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, tee: Tee) -> None:
        self.tee = tee
        super().__init__(("127.0.0.1", 0), _Handler)


class Tee:
    """Listens on a free port of 127.0.0.1 and relays to `upstream_port` there."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._connections: list[_Connection] = []
        self._changed = threading.Condition(threading.RLock())
        self._numbers = itertools.count()
        self._listener = _Listener(self)
        self.port: int = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; connections in progress end with their peers."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def exchanges(self) -> list[Exchange]:
        """Everything so far, in the order in which the requests began."""
        found: list[tuple[int, Exchange]] = []
        with self._changed:
            for connection in self._connections:
                requests = take_messages(bytes(connection.sent), closed=connection.closed)
                responses = take_messages(bytes(connection.received), closed=connection.closed)
                for index, request in enumerate(requests):
                    number = next(n for offset, n in reversed(connection.order) if offset <= request.start)
                    response = responses[index] if index < len(responses) else None
                    found.append((number, Exchange(request, response)))
        return [exchange for _, exchange in sorted(found, key=lambda item: item[0])]

    def operations(self) -> list[Exchange]:
        """The PKIOperation exchanges only."""
        return [exchange for exchange in self.exchanges() if exchange.operation == "PKIOperation"]

    def wait_for_answer(self, *, seconds: float) -> None:
        """Return once a PKIOperation was answered; raises CaseFailed when the time is up."""

        def answered() -> bool:
            return any(exchange.response is not None for exchange in self.operations())

        with self._changed:
            if not self._changed.wait_for(answered, timeout=seconds):
                raise CaseFailed(f"no PKIOperation was answered within {seconds:g} s")

    def relay(self, client: socket.socket) -> None:
        """Copy both ways until both sides have finished."""
        connection = _Connection()
        with self._changed:
            self._connections.append(connection)
        try:
            upstream = socket.create_connection(("127.0.0.1", self._upstream_port), timeout=10)
        except OSError:
            connection.closed = True
            return
        upstream.settimeout(None)
        with upstream:
            back = threading.Thread(target=self._pump, args=(upstream, client, connection, False), daemon=True)
            back.start()
            self._pump(client, upstream, connection, True)
            back.join(10)
        with self._changed:
            connection.closed = True
            self._changed.notify_all()

    def _pump(self, source: socket.socket, target: socket.socket, connection: _Connection, forth: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._changed:
                    if forth:
                        connection.order.append((len(connection.sent), next(self._numbers)))
                        connection.sent += data
                    else:
                        connection.received += data
                        self._changed.notify_all()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
