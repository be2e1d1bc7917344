"""Asks an external authority about a request, over HTTPS.

POST, application/json: {"protocol", "transactionId", "profile", "certificateRequest" (base64 of the DER PKCS #10,
challengePassword included), "renewal" (true: the message is signed with a certificate of this CA that is good now),
"renews" (its serial number in hex, or null)}. Answer, 200 with application/json: {"decision": "approve" |
"reject" | "pending", "reason": "shown to the client when rejected"}. Anything else counts as unreachable, and the
client is told to come back. How the webhook knows who asks is in `scep_kem.webhook_secret`; deploy/WEBHOOK.md is the
page for whoever writes one.

Whoever answers may be slow or hostile, so a call is bounded in time as a whole, from looking up the host to the last
octet, and only so many run at once in a process: the threads that answer requests are never all waiting here.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import queue
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from ca.applications import Application
from ca.store import IssuedCertificate
from ca.webhook import WebhookAnswer
from scep_kem import network_errors
from scep_kem.budgets import WEBHOOK_CALLS
from scep_kem.clock import utc_now
from scep_kem.terminal import printable
from scep_kem.webhook_config import WebhookConfig

log = logging.getLogger(__name__)

MAX_ANSWER = 64 * 1024
MAX_REASON = 255

# One for the process, whatever the number of profiles: the threads are the process's, too.
_calls = threading.BoundedSemaphore(WEBHOOK_CALLS)


class HttpWebhook:
    """See the module docstring. Implements `ca.webhook.Webhook`; safe for several threads."""

    def __init__(self, config: WebhookConfig, profile: str) -> None:
        self._config = config
        self._profile = profile
        parts = urlsplit(config.url)
        # The query may hold an access token, which the log must not.
        self._shown = f"{parts.scheme}://{parts.netloc}{parts.path}"

    def ask(self, application: Application, holds: IssuedCertificate | None) -> tuple[WebhookAnswer, str]:
        """See Webhook."""
        question = {
            "protocol": application.key.protocol,
            "transactionId": application.key.transaction_id,
            "profile": self._profile,
            "certificateRequest": base64.b64encode(application.request.der).decode(),
            "renewal": holds is not None,
            "renews": None if holds is None else f"{holds.serial:x}",
        }
        try:
            return _answer(self._post(json.dumps(question).encode()))
        except (http.client.HTTPException, OSError, ValueError) as error:
            reason = self._reason(error)[:MAX_REASON]
            log.warning("webhook %s: %s", self._shown, reason)
            return WebhookAnswer.UNREACHABLE, reason

    def _reason(self, error: Exception) -> str:
        """For the log. What is no HTTP is not repeated: it may be our own request come back, with its secret."""
        if isinstance(error, TimeoutError):
            return _out_of_time(self._config)
        ours = type(error) is OSError and error.errno is None
        if ours or not isinstance(error, OSError | http.client.HTTPException):
            return printable(str(error))
        host = urlsplit(self._config.url).hostname or ""
        return network_errors.reason(error, host, tls_advice="name the file of its CA's in webhook_ca_file")

    def _post(self, question: bytes) -> bytes:
        """The body of the answer. Raises HTTPException, OSError, ValueError."""
        if not _calls.acquire(blocking=False):
            raise OSError(f"{WEBHOOK_CALLS} calls are running already")
        try:
            call = _Call(self._config)
            threading.Thread(target=call.run, args=(question,), daemon=True).start()
        except BaseException:
            _calls.release()
            raise
        return call.wait()


class _Call:
    """One question in a thread of its own, which ends by itself soon after nobody waits for it any more.

    A thread, because looking up a host and a peer that sends an octet at a time know no time-out as a whole.
    """

    def __init__(self, config: WebhookConfig) -> None:
        self._config = config
        self._until = time.monotonic() + config.timeout
        self._connection = _connection(config)
        self._peer: socket.socket | None = None
        self._given_up = threading.Event()
        self._done: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def wait(self) -> bytes:
        """The body of the answer, within the time. Raises what `run` caught, TimeoutError."""
        try:
            found = self._done.get(timeout=max(self._until - time.monotonic(), 0.0))
        except queue.Empty:
            self._give_up()
            raise TimeoutError(_out_of_time(self._config)) from None
        if isinstance(found, Exception):
            raise found
        return found

    def run(self, question: bytes) -> None:
        """Hand `wait` the body or what went wrong."""
        outcome: bytes | Exception
        try:
            outcome = self._exchange(question)
        except Exception as error:
            outcome = error
        self._connection.close()
        _calls.release()
        self._done.put(outcome)

    def _exchange(self, question: bytes) -> bytes:
        self._connection.connect()  # whose time-out is for TLS's handshake as a whole, too
        self._peer = self._connection.sock
        if self._given_up.is_set():
            raise TimeoutError
        parts = urlsplit(self._config.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if self._config.secret is not None:
            headers |= self._config.secret.headers(question, now=utc_now())
        self._connection.request("POST", target, question, headers)
        with self._connection.getresponse() as response:
            body = response.read(MAX_ANSWER + 1)
            if len(body) > MAX_ANSWER:
                raise ValueError(f"the answer has more than {MAX_ANSWER} octets")
            if response.length:
                raise ValueError("the answer ends early")
            if response.status != 200:
                raise ValueError(f"HTTP status {response.status}")
            return body

    def _give_up(self) -> None:
        """End the thread's wait for a peer that drips: nothing more can be received on its connection."""
        self._given_up.set()
        if self._peer is not None:
            with contextlib.suppress(OSError):  # it may end by itself at this moment
                # Not the TLS object's own: it forgets the TLS first, and what the thread sends then goes in clear.
                socket.socket.shutdown(self._peer, socket.SHUT_RDWR)


def _connection(config: WebhookConfig) -> http.client.HTTPConnection:
    """Not connected yet. Raises ValueError for a ca_file that cannot be used. Its time-out is for single steps."""
    parts = urlsplit(config.url)
    host = parts.hostname or ""
    # Always with a port: without one, the end of an IPv6 address is taken for it.
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=config.timeout)
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except OSError:
        raise ValueError(f"webhook_ca_file: {config.ca_file} holds no certificate that TLS can use") from None
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=config.timeout, context=context)


def _out_of_time(config: WebhookConfig) -> str:
    return f"no answer within {config.timeout:g} seconds"


def _answer(body: bytes) -> tuple[WebhookAnswer, str]:
    """Raises ValueError for anything but the documented answer."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    except ValueError:
        raise ValueError("the answer is no JSON") from None
    if not isinstance(document, dict) or document.get("decision") not in ("approve", "reject", "pending"):
        raise ValueError("the answer has no decision approve, reject or pending")
    reason = document.get("reason", "")
    if not isinstance(reason, str):
        raise ValueError("the reason is not a string")
    return WebhookAnswer(document["decision"]), " ".join(reason.split())[:MAX_REASON]
