"""Connections of `scep-kem serve`: waitress's, so set that no stranger's connections keep others from being answered.

waitress reads a request completely before it takes a thread, and sends from its main loop what the kernel does not take
at once, so neither a slow sender nor a slow reader occupies a thread. What it leaves open, `Channel` adds:

- An octet now and then keeps a connection open for ever. Here a request must arrive within PATIENCE as a whole.
- A client that does not read its answer is closed only when it reads. Here it is after PATIENCE without progress.
- At the limit, nobody is accepted until somebody goes. Here those who are quiet longest go.
- One connection is accepted each time around its loop, the slower the more there are. Here it is a batch.
- A client may send hundreds of requests without reading, and a thread waits for it when the answers are large. Here
  the connection ends after a few, and no thread waits.
- A large answer goes into a temporary file for each client until it is read, and a CRL can be very large. Here it stays
  in memory, once for all clients, and if there are too many of such answers, those whose clients are quiet longest go.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from io import BytesIO
from typing import Any

from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.server import MultiSocketServer, TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from scep_kem.logs import Line

log = logging.getLogger("scep")

# Seconds for a request to arrive as a whole, for an answer to go on, and for a connection to be used again.
PATIENCE = 20

# Octets of a request's line and headers, and with them of a GET: a request of 64 KiB, in base64, percent-encoded.
MAX_HEADER = 1 << 17

# More make the loop, which looks at every connection each time, slow to answer anybody.
MOST = 4096

# Descriptors for listening, database, log, webhooks and files.
_RESERVE = 256

# Connections accepted each time around the loop.
_BATCH = 64

# Requests that a client may send before it reads an answer. SCEP clients send one.
PIPELINED = 8

# What of a request's body and of small answers stays in memory for each connection; the rest goes to a temporary file.
_IN_MEMORY = 1 << 16

# Octets from which on an answer is a large one. Those of a connection that are smaller stay in memory, too.
LARGE = _IN_MEMORY // PIPELINED // 2

# Octets of large answers that stay in memory until clients have read them.
UNREAD = 1 << 28
# The first octet of a TLS connection (RFC 8446 section 5.1), which no request of HTTP has.
TLS_HANDSHAKE = b"\x16"


class Refusal(ErrorTask):
    """waitress's answer to what is no HTTP, or too large for it; the application never sees it, so the log is told
    here.
    """

    def execute(self) -> None:
        """Answer, with a line in the log as for every request (deploy/LOG.md)."""
        request: Any = self.request
        error = request.error
        channel: Any = self.channel
        said = "TLS, and this port has plain HTTP" if channel.began_as_tls else f"{error.reason}: {error.body}"
        log.info(
            Line("request", "refused", {"text": said, "client": self.channel.addr[0], "http status": int(error.code)})
        )
        super().execute()


class LargeAnswer(ReadOnlyFileBasedBuffer):
    """An answer that is sent from where it is, also to many."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data))  # which makes no copy
        self.data = data
        self.prepare()


class Channel(HTTPChannel):
    """One connection. waitress runs its methods in the main loop, except those that serve a request."""

    error_task_class = Refusal

    # Everything that the main loop looks at, by descriptor.
    _map: dict[int, Any]
    requests: list[Any]
    requests_lock: threading.Lock
    outbufs: list[Any]
    began_as_tls = False
    _since = 0.0
    _unwanted = False  # another thread than the main loop wants it closed

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if len(self._map) >= self.adj.connection_limit:
            self._make_room()

    def received(self, data: bytes) -> bool:
        """Octets of a request. One that is incomplete counts as quiet since its first octet. What begins as TLS is
        ended here: its client sends no more before it has an answer, and both would wait for each other.
        """
        before = self.request
        if before is None and data.startswith(TLS_HANDSHAKE):
            self.began_as_tls = True
            data += b"\r\n\r\n"
        more: bool = super().received(data)
        if self.request is not None:
            if self.request is not before:
                self._since = time.time()
            self.last_activity = self._since
        with self.requests_lock:
            if len(self.requests) > PIPELINED:
                # waitress drops what comes after it.
                self.requests[PIPELINED - 1].headers["CONNECTION"] = "close"
        return more

    def readable(self) -> bool:
        """waitress asks this every second at least, and closes by itself only who takes what is still to be sent."""
        quiet = time.time() - self.last_activity > self.adj.channel_timeout
        if self._unwanted or (self.total_outbufs_len and not self.requests and quiet):
            self.will_close = False
            self.handle_close()
        return bool(self.connected and super().readable())

    def write_soon(self, data: Any) -> int:
        """waitress sends it from its main loop, except what the kernel takes at once."""
        if isinstance(data, bytes) and len(data) >= LARGE:
            data = LargeAnswer(data)
        written: int = super().write_soon(data)
        if isinstance(data, LargeAnswer) and self.total_outbufs_len:
            self._make_room_in_memory()
        return written

    def _make_room_in_memory(self) -> None:
        """Who has read most lately keeps their answers, as long as they fit, and whoever waits for the same ones."""
        waiting = [item for item in list(self._map.values()) if isinstance(item, Channel) and item.total_outbufs_len]
        if sum(item.total_outbufs_len for item in waiting) <= UNREAD:
            return
        kept, total = set[int](), 0
        for channel in sorted(waiting, key=lambda item: item.last_activity, reverse=True):
            unread = [item.data for item in list(channel.outbufs) if isinstance(item, LargeAnswer)]
            new = {id(data): len(data) for data in unread if id(data) not in kept}
            size = sum(new.values())
            if new and kept and total + size > UNREAD:
                channel._unwanted = True
            else:
                kept.update(new)
                total += size

    def _make_room(self) -> None:
        """For several, because looking for the quietest of thousands each time would keep everybody waiting."""
        others = [item for item in self._map.values() if isinstance(item, Channel) and not item.requests]
        others.remove(self)
        for quiet in heapq.nsmallest(max(len(others) // 16, 1), others, key=lambda item: item.last_activity):
            quiet.handle_close()


class Listener(TcpWSGIServer):
    """One address that is listened on."""

    channel_class = Channel
    _more = True

    def accept(self) -> Any:
        """A connection and its address, or None when nobody waits."""
        self._more = False  # also when it raises
        found = super().accept()
        self._more = found is not None
        return found

    def handle_accept(self) -> None:
        """Somebody waits, and often others do, too."""
        for _ in range(_BATCH):
            super().handle_accept()
            if not self._more:
                break


def create_server(application: Any, map: Any = None, **settings: Any) -> Listener | MultiSocketServer:
    """`waitress.create_server` with these classes: listens on every address of the host, on one port.

    map: what the main loop looks at, by descriptor. Raises OSError, ValueError for a host that is not known.
    """
    adjustments = Adjustments(**settings)
    watched: Any = {} if map is None else map
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(adjustments.threads)
    addresses: Any = adjustments.listen
    listeners: list[Any] = [
        Listener(application, watched, dispatcher=dispatcher, adj=adjustments, sockinfo=item) for item in addresses
    ]
    if len(listeners) == 1:
        only: Listener = listeners[0]
        return only
    listening = [(item.effective_host, item.effective_port) for item in listeners]
    return MultiSocketServer(watched, adjustments, listening, dispatcher, listeners[0].log_info)


def connection_limit() -> int:
    """How many connections this process can have, with the limit of its descriptors raised as far as that may be.

    Each needs a descriptor, and a second one while a large body is in a temporary file.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return MOST
    wanted = 2 * MOST + _RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    available = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    return max((available - _RESERVE) // 2, 16)


def server_settings(max_body: int) -> dict[str, Any]:
    """waitress's settings. max_body: octets of the largest body that the application takes.

    A little more is read and then refused by the application, because a client that is still sending sees a closed
    connection instead of the answer. Beyond, waitress refuses by itself.
    """
    return {
        "asyncore_use_poll": True,  # select() knows no descriptor above 1023
        "connection_limit": connection_limit(),
        "channel_timeout": PATIENCE,
        "cleanup_interval": 2,
        "backlog": 2048,
        "inbuf_overflow": _IN_MEMORY,
        "outbuf_overflow": _IN_MEMORY,
        "outbuf_high_watermark": 1 << 30,  # above it, a thread waits for the client
        "max_request_body_size": max_body + (1 << 16),
        "max_request_header_size": MAX_HEADER,
        "log_socket_errors": False,
        "clear_untrusted_proxy_headers": False,  # `scep_kem.proxies` knows whom to believe
    }
