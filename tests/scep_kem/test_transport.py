"""scep_kem/client/transport.py: what goes out as HTTP, and what every bad answer becomes (RFC 8894 section 4.1)."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from scep.capabilities import Capabilities
from scep_kem.client import connections, transport
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.transport import AnswerLost, HttpTransport, TransportError
from scep_kem.errors import UsageError
from tests.scep_kem.kit import Answer, Peer

POST = Capabilities(frozenset({"postpkioperation"}))
# In base64 ++++////AA==: every character that a query must escape.
MESSAGE = bytes.fromhex("fbefbeffffff00")
REPLY = b"\x30\x03\x02\x01\x05"  # DER, and no text


# Capabilities


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_error_in_front_of_the_ca_says_nothing_about_capabilities(status: int) -> None:
    with Peer((status, b"")) as peer, pytest.raises(AnswerLost, match=f"GetCACaps: .* HTTP {status}"):
        HttpTransport(peer.url).capabilities()


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
def test_3_5_2_an_http_error_to_getcacaps_means_no_capabilities(status: int) -> None:
    with Peer((status, b"AES\nPOSTPKIOperation\n")) as peer:
        assert HttpTransport(peer.url).capabilities() == (None, Capabilities())


def test_3_5_2_an_empty_answer_means_no_capabilities() -> None:
    with Peer((200, b"")) as peer:
        assert HttpTransport(peer.url).capabilities() == (b"", Capabilities())


def test_3_5_2_capabilities_are_read_with_crlf_in_any_case_and_whatever_the_content_type() -> None:
    with Peer((200, b"aes\r\nSHA-256\r\nSomethingNew\r\n", {"Content-Type": "application/octet-stream"})) as peer:
        body, found = HttpTransport(peer.url).capabilities()
    assert body == b"aes\r\nSHA-256\r\nSomethingNew\r\n"
    assert found.has("AES") and found.has("SHA-256") and found.has("somethingnew") and not found.has("Renewal")


def test_4_1_operations_are_named_in_the_query_and_in_the_case_of_the_rfc() -> None:
    with Peer((200, REPLY)) as peer:
        client = HttpTransport(peer.url)
        client.capabilities()
        client.get_ca_cert()
        client.get_next_ca_cert()
    assert [(item.method, item.path) for item in peer.received] == [
        ("GET", "/scep?operation=GetCACaps"),
        ("GET", "/scep?operation=GetCACert"),
        ("GET", "/scep?operation=GetNextCACert"),
    ]


# PKIOperation


def test_4_1_pkioperation_goes_by_post_with_its_media_type_if_the_server_can() -> None:
    with Peer((200, REPLY)) as peer:
        assert HttpTransport(peer.url).pki_operation(MESSAGE, POST) == REPLY
    (sent,) = peer.received
    assert (sent.method, sent.path, sent.body) == ("POST", "/scep?operation=PKIOperation", MESSAGE)
    assert sent.headers["Content-Type"] == "application/x-pki-message"


def test_3_5_2_scepstandard_implies_post() -> None:
    with Peer((200, REPLY)) as peer:
        HttpTransport(peer.url).pki_operation(MESSAGE, Capabilities(frozenset({"scepstandard"})))
    assert peer.received[0].method == "POST"


@pytest.mark.parametrize(("prefer_get", "capabilities"), [(False, Capabilities()), (True, POST)])
def test_4_1_by_get_the_message_is_base64_with_every_special_character_escaped(
    prefer_get: bool, capabilities: Capabilities
) -> None:
    with Peer((200, REPLY)) as peer:
        assert HttpTransport(peer.url, HttpOptions(prefer_get=prefer_get)).pki_operation(MESSAGE, capabilities) == REPLY
    (sent,) = peer.received
    query = urlsplit(sent.path).query
    assert sent.method == "GET" and not {"+", "/"} & set(query) and query.count("=") == 2
    assert base64.b64decode(parse_qs(query)["message"][0], validate=True) == MESSAGE


def test_a_path_below_the_url_is_kept() -> None:
    with Peer((200, b"")) as peer:
        HttpTransport(f"{peer.url}/name/pkiclient.exe").capabilities()
    assert peer.received[0].path == "/scep/name/pkiclient.exe?operation=GetCACaps"


# Bad answers


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((500, b"internal error\n"), "PKIOperation: URL answered HTTP 500: internal error"),
        ((500, b""), "PKIOperation: URL answered HTTP 500"),
        ((400, b"first\r\nsecond\n"), "PKIOperation: URL answered HTTP 400: first second"),
        ((404, b"\xff" * 3), "PKIOperation: URL answered HTTP 404: \ufffd\ufffd\ufffd"),
        ((403, b"x" * 10_000), "PKIOperation: URL answered HTTP 403: " + "x" * 200),
    ],
)
def test_an_http_error_is_told_in_one_line_with_what_the_server_said(answer: Answer, text: str) -> None:
    with Peer(answer) as peer, pytest.raises(TransportError) as refused:
        HttpTransport(peer.url).pki_operation(MESSAGE, POST)
    assert str(refused.value) == text.replace("URL", peer.url)


def test_what_a_server_says_cannot_control_the_terminal() -> None:
    with Peer((500, b"\x1b[2Jgone\x07")) as peer, pytest.raises(TransportError) as refused:
        HttpTransport(peer.url).get_ca_cert()
    assert str(refused.value).isprintable()


def test_an_answer_that_ends_early_is_refused() -> None:
    answer = (200, b"short", {"Content-Length": "100", "Connection": "close"})
    with (
        Peer(answer) as peer,
        pytest.raises(TransportError, match=r": the answer ended early, 95 octets before its end$"),
    ):
        HttpTransport(peer.url).get_ca_cert()


@pytest.mark.parametrize(
    ("limit", "ask"),
    [
        ("MAX_UNSIGNED", lambda client: client.capabilities()),
        ("MAX_UNSIGNED", lambda client: client.get_ca_cert()),
        ("MAX_UNSIGNED", lambda client: client.get_next_ca_cert()),
        ("MAX_BODY", lambda client: client.pki_operation(MESSAGE, POST)),
    ],
)
def test_an_answer_over_the_limit_is_refused_rather_than_cut(
    monkeypatch: pytest.MonkeyPatch, limit: str, ask: Callable[[HttpTransport], object]
) -> None:
    monkeypatch.setattr(transport, limit, 1000)
    with Peer((200, b"x" * 1001)) as peer, pytest.raises(TransportError, match="more than 1000 octets"):
        ask(HttpTransport(peer.url))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, TransportError) for status in (302, 400, 413, 500)]
    + [(status, AnswerLost) for status in (408, 429, 502, 503, 504)],
)
def test_whether_to_ask_again_is_known_from_the_status(status: int, kind: type[TransportError]) -> None:
    with Peer((status, b"")) as peer, pytest.raises(TransportError) as refused:
        HttpTransport(peer.url).pki_operation(MESSAGE, POST)
    assert type(refused.value) is kind


def test_the_client_gives_up_later_than_a_ca_does() -> None:
    """A CA's database and its server each have at most 30 seconds."""
    assert connections.READ_TIMEOUT == 60


def test_a_connection_serves_the_next_request_after_a_large_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_UNSIGNED", 1000)

    answers = iter([(200, b"x" * 5000), (200, REPLY)])
    with Peer(lambda _request: next(answers)) as peer:
        client = HttpTransport(peer.url)
        with contextlib.suppress(TransportError):
            client.get_ca_cert()
        assert client.get_ca_cert() == REPLY


@pytest.mark.parametrize(
    "url",
    [
        "",
        "scep",
        "127.0.0.1:8080/scep",
        "ftp://127.0.0.1/scep",
        "http://",
        "http:///scep",
        "http://127.0.0.1/scep?operation=GetCACert",
        "http://127.0.0.1/scep?profile=a&MESSAGE=b",
        "http://127.0.0.1/scep?%6Fperation=GetCACert",
        "http://127.0.0.1/scep#here",
        "http://127.0.0.1/scep#",
        "http://[::1/scep",
        "http://127.0.0.1:99999/scep",
        "http://127.0.0.1:port/scep",
        "http://two words/scep",
    ],
)
def test_a_bad_url_is_wrong_usage_not_a_network_problem(url: str) -> None:
    with pytest.raises(UsageError):
        HttpTransport(url).capabilities()
