"""An HTTP front that changes answers on their way to a peer; request lines and bodies go through as they are.

It hides capabilities, so that the peer behaves as towards an older server, or loses an answer.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Operation and body of an answer; returns the body that goes on, or None if the connection ends instead.
Change = Callable[[str, bytes], bytes | None]


class Front:
    """Listens on a free port of 127.0.0.1 in front of `upstream_port`."""

    def __init__(self, upstream_port: int, change: Change) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._forward(None)

            def do_POST(self) -> None:
                self._forward(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def log_message(self, format: str, *args: object) -> None:
                """The recording proxy in front keeps the log."""

            def _forward(self, body: bytes | None) -> None:
                connection = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=30)
                skipped = {"connection", "content-length", "transfer-encoding"}
                headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                if body is not None:
                    headers["Content-Length"] = str(len(body))
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                response = connection.getresponse()
                (operation,) = parse_qs(urlsplit(self.path).query).get("operation", [""])
                answer = change(operation, response.read())
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response_only(response.status, response.reason)
                for name, value in response.getheaders():
                    if name.lower() not in skipped:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(answer)
                connection.close()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def hiding(hidden: frozenset[str]) -> Change:
    """Takes capabilities out of the answer to GetCACaps."""

    def change(operation: str, body: bytes) -> bytes:
        if operation != "GetCACaps":
            return body
        kept = (line for line in body.decode("ascii").split("\n") if line.strip() not in hidden)
        return "\n".join(kept).encode("ascii")

    return change
