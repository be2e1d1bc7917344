"""What the tests of scep_kem/ share: CA folders without key generation, the command line in process, servers.

Nothing here sleeps. A server is ready when it listens, and a thread ends when it is told to.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from flask import Flask
from flask.testing import FlaskClient
from waitress import wasyncore
from werkzeug.test import TestResponse

from ca.authority import KeyPair, create_authority
from ca.credentials import add_password
from ca.events import Reply
from ca.memory_store import MemoryStore
from ca.store import Store
from pkix.keys import generate
from pkix.signed_data import Signer
from scep.attributes import MessageType
from scep.ca_certificates import CaCertificates
from scep.messages import Header, PkiMessage, encode_pki_message
from scep.responder import Responder
from scep_kem import cli, config
from scep_kem.ca_dir import CaDir
from scep_kem.cli import server as serve_command
from scep_kem.clock import utc_now
from scep_kem.server.app import create_flask_app
from scep_kem.server.connections import create_server
from scep_kem.server.service import Service
from tests.world import BACKENDS, Device, kem_device

ROOT = Path(__file__).resolve().parents[2]
# Seconds after which a test gives up that hangs. No measure of anything: machines may be slow.
LAST_RESORT = 300

SCEP_KEM = (sys.executable, "-c", "from scep_kem.cli import main; main()")

# Every way of authorising, one profile each; `serve --dir` finds it as scep.toml.
CONFIG = """\
[ca]
dir = "."
[profiles.default.authorisation]
challenge_password = true
renewal = true
[profiles.manual.authorisation]
manual = true
renewal = true
[profiles.approval.authorisation]
manual = true
[profiles.classic.authorisation]
challenge_password = true
renewal = true
[profiles.classic.kem]
classic = true
[profiles.asking.authorisation]
webhook = "http://127.0.0.1:1/"
[profiles.closed]
[profiles.window]
renewal_window_days = 1
[profiles.window.authorisation]
challenge_password = true
renewal = true
"""


# CA folders and services


@functools.cache
def ca_pair(key_type: str = "rsa:2048", label: str = "CA") -> KeyPair:
    """A root CA that is valid now; the same one for the same arguments within a run."""
    subject = x509.Name.from_rfc4514_string(f"CN={label},O=Example")
    return create_authority(subject, key_type, ra_key_type=None, now=utc_now(), random=os.urandom).ca


_made = tempfile.TemporaryDirectory(prefix="scep-kem-tests-")
atexit.register(_made.cleanup)


@functools.cache
def _pattern(pair: KeyPair, more: tuple[tuple[str, Any], ...]) -> Path:
    """A CA folder to copy: migrating a database takes longer than most tests."""
    path = Path(tempfile.mkdtemp(dir=_made.name)) / "ca"
    arguments: dict[str, Any] = {"ra_key_type": None, "now": utc_now()} | dict(more)
    CaDir(path).create(pair.certificate.subject, "rsa:2048", ca=pair, **arguments)
    return path


def make_ca_dir(path: Path, text: str = CONFIG, pair: KeyPair | None = None, **more: Any) -> CaDir:
    """A CA folder with a configuration and, unless told otherwise, the CA of `ca_pair`. more: of `CaDir.create`.

    Folders made with the same arguments share their server.key.
    """
    shutil.copytree(_pattern(pair or ca_pair(), tuple(more.items())), path)
    (path / "scep.toml").write_text(text)
    return CaDir(path)


class Site:
    """A service with a Flask test client, in the shape that `tests.world.Device` takes a world."""

    def __init__(self, ca_dir: CaDir, *, store: Store | None = None, path: str = "/scep") -> None:
        self.service = Service(config.load(ca_dir.config_path), store=store or MemoryStore())
        self.app: Flask = create_flask_app(self.service)
        self.http: FlaskClient = self.app.test_client()
        self.path = path
        self.backends = BACKENDS

    @property
    def responder(self) -> Responder:
        """The default profile's."""
        found = self.service.responder("default")
        assert found is not None
        return found

    @property
    def now(self) -> datetime:
        """The clock that the service uses."""
        return utc_now()

    def get(self, query: str, path: str | None = None, **more: Any) -> TestResponse:
        """GET, the query as it stands."""
        return self.http.get(f"{path or self.path}?{query}", **more)

    def post(self, message: bytes, **more: Any) -> TestResponse:
        """PKIOperation by POST."""
        return self.http.post(f"{self.path}?operation=PKIOperation", data=message, buffered=True, **more)

    def send(self, message: bytes) -> Reply:
        """PKIOperation that must be answered by a CertRep."""
        answer = self.post(message)
        assert answer.status_code == 200, answer.text
        return Reply(answer.data, ())

    def ca_certificates(self) -> CaCertificates:
        """GetCACert, pinned to the current CA."""
        fingerprint = self.service.current_generations().current.fingerprint
        return CaCertificates.decode(self.get("operation=GetCACert").data, fingerprint=fingerprint, now=utc_now())

    def password(self, text: str = "correct horse battery", **more: Any) -> str:
        """Register a challenge password and return it."""
        add_password(self.service.store, self.service.ca_dir.server_key(), text, now=utc_now(), weak=True, **more)
        return text

    def device(self, **more: Any) -> Device:
        """A client of this site."""
        return Device(self, **more)  # type: ignore[arg-type]  # Device needs a world's clock, CA and wire only

    def kem_device(self, **more: Any) -> Device:
        """A client of this site whose key is an ML-KEM key."""
        return kem_device(self, **more)  # type: ignore[arg-type]


def one_line(answer: Any, status: int, *words: str) -> None:
    """Assert an explained refusal."""
    assert answer.status_code == status and answer.headers["Content-Type"] == "text/plain"
    assert answer.text.endswith("\n") and answer.text.count("\n") == 1
    for word in words:
        assert word in answer.text


# The command line


@dataclass(frozen=True)
class Result:
    """How a command ended. An exception that escapes `main` is what Python makes of it: a traceback and exit code 1."""

    code: int
    out: str
    err: str

    def __repr__(self) -> str:
        return f"exit code {self.code}, stdout ends {self.out[-200:]!r}, stderr ends {self.err[-300:]!r}"

    def refused_in_one_line(self, code: int, *words: str) -> None:
        """Assert the exit code, and one line on stderr that has the words."""
        lines = self.err.splitlines()
        assert self.code == code and len(lines) == 1, self
        assert self.err.endswith("\n") and "Traceback" not in self.err
        for word in words:
            assert word in self.err, self

    def good(self) -> Result:
        """Assert exit code 0."""
        assert self.code == 0, self
        return self


def quoted(path: Path) -> str:
    """A path as a printed command must name it, whatever folder the tests run in."""
    return shlex.quote(str(path))


def run(*arguments: str | Path, stdin: str = "") -> Result:
    """`scep-kem` with these arguments, in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = 0
    argv = ["scep-kem", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        except Exception:
            traceback.print_exc()
            code = 1
    assert isinstance(code, int)
    texts = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]  # type: ignore[attr-defined]
    return Result(code, texts[0], texts[1])


def environment() -> dict[str, str]:
    """For subprocesses: they find the packages wherever they run."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


@dataclass
class Served:
    """`scep-kem serve` in a process of its own."""

    process: subprocess.Popen[str]
    directory: Path
    log_path: Path
    url: str = ""
    fingerprint: str = ""
    announced: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """What it wrote on stderr so far."""
        return self.log_path.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LAST_RESORT)


def _heed_interrupts() -> None:
    """Tests that a shell runs in the background inherit that SIGINT is ignored, and so would the server."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def served(directory: Path, config_file: Path | None = None) -> Iterator[Served]:
    """`scep-kem serve --dir`, or --config, once it listens, until the block ends."""
    log_path = directory.with_name(f"{directory.name}.log")
    source = ["--dir", str(directory)] if config_file is None else ["--config", str(config_file)]
    command = [*SCEP_KEM, "serve", *source, "--port", "0"]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), preexec_fn=_heed_interrupts
        )
    with process:
        try:
            found = Served(process, directory, log_path)
            assert process.stdout is not None
            for line in process.stdout:
                found.announced.append(line.rstrip("\n"))
                name, _, value = line.strip().partition(": ")
                if name == "URL":
                    found.url = value
                if name == "CA fingerprint (SHA-256)":
                    found.fingerprint = value
                    break
            assert found.fingerprint, found.log
            yield found
        finally:
            if process.poll() is None:
                process.kill()


# Servers in threads


@contextlib.contextmanager
def serving(settings: config.Config) -> Iterator[int]:
    """What `scep-kem serve` runs, with its own settings of waitress, in a thread. Gives the port."""
    sockets: dict[int, Any] = {}
    made: list[Any] = []
    ready = threading.Event()

    def create(*arguments: Any, **more: Any) -> Any:
        made.append(create_server(*arguments, map=sockets, **more))
        return made[0]

    # Only the main thread may set signal handlers, and a test has no use for one. The server may be there for the whole
    # session: when it announces itself, it has taken all that is put here in place of what others need.
    no_signals = SimpleNamespace(SIGTERM=signal.SIGTERM, SIGHUP=signal.SIGHUP, signal=lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve_command, "create_server", create)
        patch.setattr(serve_command, "signal", no_signals)
        patch.setattr(serve_command, "_announce", lambda *_: ready.set())
        given = settings, ("--dir", settings.ca_dir), lambda: settings
        thread = threading.Thread(target=serve_command._run, args=given)
        thread.start()
        assert ready.wait(LAST_RESORT)
    try:
        yield made[0].socket.getsockname()[1]
    finally:
        # The loop ends by itself once it has no sockets left.
        made[0].trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        thread.join(LAST_RESORT)
        made[0].task_dispatcher.shutdown()
    assert not thread.is_alive()


def raw(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send octets and read until the server closes the connection: status, headers with lower-case names, body."""
    answer = b""
    # What came before a reset counts: it is what a client would have seen with luck.
    with (
        socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(request)
        while piece := connection.recv(65536):
            answer += piece
    assert answer, "the connection was closed without an answer"
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


@dataclass
class Received:
    """One request that a `Peer` got. path: with its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Quiet(ThreadingHTTPServer):
    """Clients that go away in the middle are what some tests are about."""

    def handle_error(self, *_arguments: object) -> None:
        """Print nothing."""


Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]


class Peer:
    """A small HTTP server that answers as a test wants: with `answer`, or what `answer` returns for a request."""

    def __init__(self, answer: Answer | Callable[[Received], Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.received: list[Received] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Received(self.command, self.path, dict(self.headers), body)
                peer.received.append(request)
                found = peer.answer(request) if callable(peer.answer) else peer.answer
                headers = {"Content-Length": str(len(found[1]))} | (found[2] if len(found) == 3 else {})
                with contextlib.suppress(OSError):  # a client may have gone away, which is what some tests are about
                    self.send_response(found[0])
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(found[1])

            do_GET = do_POST = _serve  # noqa: N815 - http.server names methods so

            def log_message(self, *_arguments: Any) -> None:
                """Tests read `received`."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}/scep"

    def __enter__(self) -> Peer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join(LAST_RESORT)
        self._server.server_close()


def cert_rep(
    by: Signer,
    message: bytes,
    *,
    envelope: bytes | None = None,
    sender_nonce: bytes | None = b"\x01" * 16,
    digest: HashAlgorithm | None = None,
    **attributes: Any,
) -> bytes:
    """The CertRep that a CA with this signer sends for a pkiMessage. attributes: of `Header`."""
    asked = PkiMessage.decode(message)
    header = Header(
        MessageType.CertRep,
        asked.transaction_id,
        sender_nonce=sender_nonce,
        recipient_nonce=asked.sender_nonce,
        **attributes,
    )
    return encode_pki_message(
        header, envelope, by, digest or SHA256(), certificates=[by.certificate.der], now=utc_now()
    )


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_key(path: Path, key_type: str = "ec:P-256") -> Path:
    """A new private key in a file."""
    from scep_kem import files

    files.write_key(path, generate(key_type))
    return path
