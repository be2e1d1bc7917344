"""scep_kem/server/webhook.py against a local HTTP server: the question as documented, and every answer or none.

What a webhook's answer does to a transaction is tested with the responder in tests/scep/.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ca.applications import Application, Identity
from ca.store import IssuedCertificate, TransactionKey
from ca.webhook import WebhookAnswer
from pkix.certificates import Certificate
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from scep_kem import files
from scep_kem.budgets import THREADS, WEBHOOK_CALLS
from scep_kem.server import webhook
from scep_kem.server.webhook import MAX_ANSWER, MAX_REASON, HttpWebhook
from scep_kem.webhook_config import WebhookConfig
from tests.ca.test_store_contract import certificate
from tests.scep_kem.kit import LAST_RESORT, Answer, Peer, Received, ca_pair, unused_port
from tests.scep_kem.tls import tls_server
from tests.world import key, name

UNREACHABLE = (WebhookAnswer.UNREACHABLE, mock.ANY)  # the reason is for the log
PASSWORD = "a challenge of the webhook's own"


HELD = certificate(0x1F)


def question(*, renewal: bool = False) -> tuple[Application, IssuedCertificate | None]:
    device = key("ec:P-256", "webhook")
    der = encode_certification_request(device, name("CN=device"), challenge_password=PASSWORD)
    application = Application(
        key=TransactionKey("scep", "transaction-1", bytes(32), "default"),
        request=CertificationRequest.decode(der),
        identity=Identity(certificate=Certificate.of(ca_pair("ec:P-256").certificate), password=PASSWORD),
        same=bytes(32),
    )
    return application, HELD if renewal else None


def ask(peer: Peer, **more: Any) -> tuple[WebhookAnswer, str]:
    return HttpWebhook(WebhookConfig(peer.url, **more), "default").ask(*question())


def said(**document: Any) -> Answer:
    return 200, json.dumps(document).encode(), {"Content-Type": "application/json"}


# The question


@pytest.mark.parametrize("renewal", [False, True])
def test_what_arrives_is_the_documented_json(renewal: bool) -> None:
    application, holds = question(renewal=renewal)
    with Peer(said(decision="approve")) as peer:
        HttpWebhook(WebhookConfig(peer.url), "laptops").ask(application, holds)
    (received,) = peer.received
    assert (received.method, received.path, received.headers["Content-Type"]) == ("POST", "/scep", "application/json")
    assert json.loads(received.body) == {
        "protocol": "scep",
        "transactionId": "transaction-1",
        "profile": "laptops",
        "certificateRequest": base64.b64encode(application.request.der).decode(),
        "renewal": renewal,
        "renews": "1f" if renewal else None,
    }


def test_the_request_that_arrives_has_the_challenge_password() -> None:
    """That is what an external authority such as Intune judges by."""
    with Peer(said(decision="approve")) as peer:
        ask(peer)
    der = base64.b64decode(json.loads(peer.received[0].body)["certificateRequest"])
    assert CertificationRequest.decode(der).challenge_password == PASSWORD


# The answer


@pytest.mark.parametrize("decision", ["approve", "reject", "pending"])
def test_each_decision_is_understood(decision: str) -> None:
    with Peer(said(decision=decision)) as peer:
        assert ask(peer) == (WebhookAnswer(decision), "")


def test_the_reason_comes_along_in_one_line_of_limited_length() -> None:
    with Peer(said(decision="reject", reason=" device\n is \t lost " + "x" * 1000)) as peer:
        answer, reason = ask(peer)
    assert answer is WebhookAnswer.REJECT and reason.startswith("device is lost xxx") and len(reason) == MAX_REASON


@pytest.mark.parametrize("length", [100, 60_000])
def test_why_there_was_no_answer_has_limited_length(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """What is no HTTP is not quoted at all, but not all exceptions are ours."""

    def fail(_webhook: HttpWebhook, _question: bytes) -> bytes:
        raise OSError("x" * length)

    monkeypatch.setattr(HttpWebhook, "_post", fail)
    _answer, why = HttpWebhook(WebhookConfig("http://127.0.0.1:1"), "default").ask(*question())
    assert why == "x" * min(length, MAX_REASON)


def test_keys_that_are_not_known_do_not_matter() -> None:
    with Peer(said(decision="approve", ticket=5)) as peer:
        assert ask(peer) == (WebhookAnswer.APPROVE, "")


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 404, 500, 503])
def test_only_status_200_counts_whatever_the_body_says(status: int) -> None:
    body = b"" if status == 204 else b'{"decision": "approve"}'
    with Peer((status, body, {"Location": "/elsewhere"})) as peer:
        assert ask(peer) == UNREACHABLE
        assert len(peer.received) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"approve",
        b"\xff\xfe",
        b'"approve"',
        b'["approve"]',
        b"{}",
        b'{"decision": null}',
        b'{"decision": true}',
        b'{"decision": ["approve"]}',
        b'{"decision": "Approve"}',
        b'{"decision": "unreachable"}',
        b'{"decision": "reject", "reason": 5}',
        b'{"decision": "approve"',
        b'{"decision": "approve"} and more',
        b"[" * 60_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_anything_else_is_no_answer(body: bytes) -> None:
    with Peer((200, body)) as peer:
        assert ask(peer) == UNREACHABLE


def test_an_answer_over_the_limit_is_no_answer() -> None:
    body = json.dumps({"decision": "approve", "reason": "x" * MAX_ANSWER}).encode()
    with Peer((200, body)) as peer:
        assert ask(peer) == UNREACHABLE


def test_after_an_answer_over_the_limit_the_next_question_is_answered() -> None:
    """What was not read of the large answer must not be taken for the next one."""
    answers = iter([(200, b'{"decision": "reject"}' + b" " * 3 * MAX_ANSWER), said(decision="approve")])
    with Peer(lambda _request: next(answers)) as peer:
        webhook = HttpWebhook(WebhookConfig(peer.url), "default")
        webhook.ask(*question())
        assert webhook.ask(*question()) == (WebhookAnswer.APPROVE, "")


# No answer


def test_nobody_listening_is_no_answer() -> None:
    config = WebhookConfig(f"http://127.0.0.1:{unused_port()}/")
    assert HttpWebhook(config, "default").ask(*question()) == UNREACHABLE


def test_an_answer_that_takes_too_long_is_no_answer() -> None:
    over = threading.Event()

    def answer(_request: Received) -> Answer:
        over.wait(LAST_RESORT)
        return said(decision="approve")

    with Peer(answer) as peer:
        try:
            assert ask(peer, timeout=0.05) == UNREACHABLE
        finally:
            over.set()


class Dripper:
    """Sends some octets, and then a piece every now and then for as long as anybody takes them."""

    def __init__(self, begin: bytes, piece: bytes = b"x", pause: float = 0.005) -> None:
        self._begin, self._piece, self._seconds = begin, piece, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._pause = threading.Event()
        self.thread = threading.Thread(target=self._drip)
        self.thread.start()

    def _drip(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection, contextlib.suppress(OSError):
            connection.sendall(self._begin)
            while not self._pause.wait(self._seconds):
                connection.sendall(self._piece)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"", b"x", id="status line"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="one interim answer after the other"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Y: ", b"x", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x", id="body without length"),
        pytest.param(CHUNKED, b"1\r\nx\r\n", id="chunks"),
        pytest.param(CHUNKED + b"0\r\n", b"X-Y: x\r\n", id="trailers"),
    ],
)
def test_an_answer_that_drips_is_no_answer_and_its_connection_is_ended(begin: bytes, piece: bytes) -> None:
    """No single step takes long; the sum must not, either. A call that went on would keep its slot for ever."""
    dripper = Dripper(begin, piece)
    assert HttpWebhook(WebhookConfig(dripper.url, timeout=0.1), "default").ask(*question()) == UNREACHABLE
    dripper.thread.join(LAST_RESORT)
    assert not dripper.thread.is_alive()


def test_issue_10_6_a_handshake_of_tls_that_drips_is_ended_too() -> None:
    """A record of 16,384 octets, which would take longer than this test waits. Python's time-out is for all of it."""
    dripper = Dripper(b"\x16\x03\x03\x40\x00", pause=2 * LAST_RESORT / 16_384)
    url = dripper.url.replace("http:", "https:")
    assert HttpWebhook(WebhookConfig(url, timeout=0.1), "default").ask(*question()) == UNREACHABLE
    dripper.thread.join(LAST_RESORT)
    assert not dripper.thread.is_alive()


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Y: x\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nX-Y: " + b"x" * 100_000,
        CHUNKED + b"1" * 99_999,
    ],
)
def test_an_answer_without_end_is_no_answer_before_its_time_is_over(begin: bytes) -> None:
    """Of headers, and of a chunk's length, only so many are read, too."""
    dripper = Dripper(begin)
    answer, reason = HttpWebhook(WebhookConfig(dripper.url, timeout=LAST_RESORT), "default").ask(*question())
    assert answer is WebhookAnswer.UNREACHABLE and reason.startswith("what it answered ") and "HTTP" in reason
    dripper.thread.join(LAST_RESORT)
    assert not dripper.thread.is_alive()


def test_a_call_is_waited_for_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that was spent before the wait counts."""
    waits: list[float] = []
    moments = iter([1000.0, 1001.5, 1003.0, 1009.0])

    class Never:
        def get(self, timeout: float) -> bytes:
            waits.append(timeout)
            raise queue.Empty

    monkeypatch.setattr(webhook, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    monkeypatch.setattr(webhook.queue, "SimpleQueue", Never)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="no answer within 5 seconds"):
            webhook._Call(WebhookConfig("https://decide.example/", timeout=5)).wait()
    assert waits == [3.5, 0.0]


def test_only_so_many_calls_run_at_once_and_a_further_one_is_unreachable_at_once() -> None:
    """Of all profiles together: whoever hangs must not get all the threads that answer requests."""
    assert 0 < WEBHOOK_CALLS < THREADS
    asked, over = threading.Semaphore(0), threading.Event()

    def answer(_request: Received) -> Answer:
        asked.release()
        over.wait(LAST_RESORT)
        return said(decision="approve")

    with Peer(answer) as peer:
        hooks = [
            HttpWebhook(WebhookConfig(peer.url, timeout=LAST_RESORT), f"profile{n}") for n in range(WEBHOOK_CALLS + 1)
        ]
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda hook=hook: answers.append(hook.ask(*question()))) for hook in hooks[1:]
        ]
        for thread in threads:
            thread.start()
        try:
            assert all(asked.acquire(timeout=LAST_RESORT) for _ in threads)
            assert hooks[0].ask(*question()) == UNREACHABLE
            assert len(peer.received) == WEBHOOK_CALLS and answers == []
        finally:
            over.set()
        for thread in threads:
            thread.join(LAST_RESORT)
        assert answers == [(WebhookAnswer.APPROVE, "")] * WEBHOOK_CALLS
        assert hooks[0].ask(*question()) == (WebhookAnswer.APPROVE, "")


@pytest.mark.parametrize("fault", ["a ca_file that is none", "a thread that cannot start", "nobody listening"])
def test_a_call_that_fails_gives_its_slot_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    config = WebhookConfig(f"https://127.0.0.1:{unused_port()}/", tmp_path if "ca_file" in fault else None)

    def fail(_self: object) -> None:
        raise OSError("can't start new thread")

    with monkeypatch.context() as patch:
        if "thread" in fault:
            patch.setattr(threading.Thread, "start", fail)
        for _ in range(WEBHOOK_CALLS + 1):
            assert HttpWebhook(config, "default").ask(*question()) == UNREACHABLE
    with Peer(said(decision="approve")) as peer:
        assert ask(peer) == (WebhookAnswer.APPROVE, "")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://decide.example/", "decide.example", 443),
        ("http://[::1]/", "::1", 80),
        ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443),
    ],
)
def test_the_host_and_port_of_every_form_of_url(url: str, host: str, port: int) -> None:
    found = webhook._connection(WebhookConfig(url))
    assert (found.host, found.port) == (host, port)


def test_an_answer_that_ends_early_is_no_answer() -> None:
    with Peer((200, b'{"decision": "approve"}', {"Content-Length": "100", "Connection": "close"})) as peer:
        assert ask(peer) == UNREACHABLE


def test_a_question_is_asked_once() -> None:
    """A decision may have effects over there; whether to ask again is the client's poll."""
    with Peer((500, b"")) as peer:
        ask(peer)
        assert len(peer.received) == 1


def test_the_log_names_webhook_and_reason_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Peer((500, PASSWORD.encode())) as peer:
        ask(peer)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.getMessage() == f"webhook {peer.url}: HTTP status 500"


def test_the_log_keeps_the_secret_part_of_the_url_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Webhook URLs carry access tokens in the query."""
    with caplog.at_level(logging.INFO), Peer((500, b"")) as peer:
        HttpWebhook(WebhookConfig(f"{peer.url}?token=s3cret"), "default").ask(*question())
    assert peer.received[0].path == "/scep?token=s3cret"
    assert f"webhook {peer.url}: HTTP status 500" in caplog.text and "s3cret" not in caplog.text


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server certificate for 127.0.0.1 from `ca_pair`."""
    return tls_server(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def https(tls: ssl.SSLContext) -> Iterator[Peer]:
    with Peer(said(decision="approve"), tls) as peer:
        yield peer


def ca_file(tmp_path: Path, key_type: str) -> Path:
    files.write(tmp_path / "ca.pem", files.pem(ca_pair(key_type).certificate))
    return tmp_path / "ca.pem"


def test_https_with_the_configured_ca_file(https: Peer, tmp_path: Path) -> None:
    assert ask(https, ca_file=ca_file(tmp_path, "ec:P-256")) == (WebhookAnswer.APPROVE, "")


def test_https_is_refused_when_another_ca_signed_the_certificate(https: Peer, tmp_path: Path) -> None:
    assert ask(https, ca_file=ca_file(tmp_path, "ed25519")) == UNREACHABLE
    assert https.received == []


def test_https_is_refused_when_the_system_does_not_know_the_ca(https: Peer) -> None:
    assert ask(https) == UNREACHABLE
    assert https.received == []


def test_https_is_refused_for_another_host_name(https: Peer, tmp_path: Path) -> None:
    config = WebhookConfig(https.url.replace("127.0.0.1", "localhost"), ca_file(tmp_path, "ec:P-256"))
    assert HttpWebhook(config, "default").ask(*question()) == UNREACHABLE
    assert https.received == []


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_ca_file_that_is_missing_or_unreadable_trusts_nobody(
    https: Peer, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    assert ask(https, ca_file=tmp_path / "ca.pem") == UNREACHABLE
    assert https.received == []


def test_several_threads_may_ask_at_once() -> None:
    with Peer(said(decision="approve")) as peer:
        webhook, answers = HttpWebhook(WebhookConfig(peer.url), "default"), []
        threads = [threading.Thread(target=lambda: answers.append(webhook.ask(*question()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LAST_RESORT)
    assert answers == [(WebhookAnswer.APPROVE, "")] * 4


def test_the_proxy_environment_does_not_send_the_question_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    with Peer(said(decision="approve")) as peer:
        assert ask(peer) == (WebhookAnswer.APPROVE, "")
