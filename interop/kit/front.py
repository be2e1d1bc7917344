"""An HTTP front that hides capabilities from a peer, so that it behaves as towards an older server.

Only the answer to GetCACaps changes; request lines and bodies go through as they are.
"""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Front:
    """Listens on a free port of 127.0.0.1 in front of `upstream_port`, without the capabilities in `hidden`."""

    def __init__(self, upstream_port: int, hidden: frozenset[str]) -> None:
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
                answer = response.read()
                if parse_qs(urlsplit(self.path).query).get("operation") == ["GetCACaps"]:
                    answer = _without(answer, hidden)
                self.send_response_only(response.status, response.reason)
                for name, value in response.getheaders():
                    if name.lower() not in skipped:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
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


def _without(capabilities: bytes, hidden: frozenset[str]) -> bytes:
    kept = (line for line in capabilities.decode("ascii").split("\n") if line.strip() not in hidden)
    return "\n".join(kept).encode("ascii")
