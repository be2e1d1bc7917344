"""URLs, redirects, proxies and the CA identifier; media types, HTTP statuses, and answers in another form."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.certificates import Certificate
from pkix.signed_data import Signer, encode_degenerate
from scep.attributes import FailInfo, MessageType, PkiStatus
from scep.capabilities import Capabilities
from scep.messages import Header, encode_pki_message
from scep_kem.ca_dir import CaDir
from scep_kem.client.answers import HttpAnswer
from scep_kem.client.http_options import HttpOptions, proxy_for
from scep_kem.client.transport import MAX_REDIRECTS, AnotherForm, HttpTransport, TransportError
from scep_kem.client.urls import shown
from scep_kem.clock import utc_now
from scep_kem.config import load
from scep_kem.errors import UsageError
from tests.scep_kem.kit import Answer, Peer, Received, ca_pair, cert_rep, run, serving
from tests.scep_kem.tls import tls_server

POST = Capabilities(frozenset({"postpkioperation"}))
REPLY = b"\x30\x03\x02\x01\x05"  # DER, and no text
MESSAGE = b"\x30\x03\x02\x01\x06"
CERTIFICATE = ca_pair("ec:P-256").certificate.public_bytes(Encoding.DER)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests has."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def lost(peer: Peer, ask: Callable[[HttpTransport], object], options: HttpOptions | None = None) -> TransportError:
    """Why there is no answer."""
    with pytest.raises(TransportError) as failed:
        ask(HttpTransport(peer.url, options))
    assert str(failed.value).isprintable()
    return failed.value


def ca_cert(client: HttpTransport) -> bytes:
    return client.get_ca_cert()


def post(client: HttpTransport) -> bytes:
    return client.pki_operation(MESSAGE, POST)


# The URL


def test_a_query_is_kept_before_what_is_added() -> None:
    with Peer((200, REPLY)) as peer:
        client = HttpTransport(f"{peer.url}?profile=a%20b&token")
        client.get_ca_cert()
        client.pki_operation(MESSAGE, POST)
        client.pki_operation(MESSAGE, Capabilities())
    paths = [item.path for item in peer.received]
    assert paths[:2] == [f"/scep?profile=a%20b&token&operation={name}" for name in ("GetCACert", "PKIOperation")]
    encoded = base64.b64encode(MESSAGE).decode().replace("=", "%3D")
    assert paths[2] == f"/scep?profile=a%20b&token&operation=PKIOperation&message={encoded}"


def test_a_question_mark_alone_is_no_query() -> None:
    with Peer((200, REPLY)) as peer:
        HttpTransport(f"{peer.url}?").get_ca_cert()
    assert peer.received[0].path == "/scep?operation=GetCACert"


def test_what_a_query_holds_is_not_shown() -> None:
    with Peer((404, b"nothing here")) as peer:
        client = HttpTransport(f"{peer.url}?token=s3cret")
        with pytest.raises(TransportError) as failed:
            client.get_ca_cert()
    assert str(failed.value) == f"GetCACert: {peer.url}?token=... answered HTTP 404: nothing here"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h/scep", "http://h/scep"),
        ("http://h/?a=b&c&operation=GetCACert", "http://h/?a=...&c&operation=GetCACert"),
        ("http://h/?message=" + "x" * 99, "http://h/?message=" + "x" * 16 + "..."),
        ("http://h/" + "x" * 999, "http://h/" + "x" * 191 + "..."),
        ("http://h/\x1b", "http://h/\\x1b"),
    ],
)
def test_a_url_is_shown_in_one_short_line(url: str, text: str) -> None:
    assert shown(url) == text


@pytest.mark.parametrize(
    "url", ["http://u:s3cret@h/scep", "https://s3cret@h/", "http://u:s3cret@h:99999/", "x://s3cret@h"]
)
def test_a_user_and_a_password_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        HttpTransport(url)
    assert "s3cret" not in str(refused.value)


def test_a_password_in_the_url_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="SCEP knows neither, and a challenge password is for --challenge-file"):
        HttpTransport("http://u:s3cret@h/scep")


# The CA identifier


def test_the_ca_identifier_goes_with_what_asks_for_a_ca() -> None:
    with Peer((200, REPLY)) as peer:
        client = HttpTransport(peer.url, HttpOptions(ca_identifier="default"))
        client.capabilities()
        client.get_ca_cert()
        client.get_next_ca_cert()
        client.pki_operation(MESSAGE, POST)
    queries = [item.path.partition("?")[2] for item in peer.received]
    assert queries[:3] == [f"operation={name}&message=default" for name in ("GetCACaps", "GetCACert", "GetNextCACert")]
    assert queries[3] == "operation=PKIOperation"


def test_a_ca_identifier_cannot_write_into_the_request() -> None:
    odd = "a b&operation=x\r\nX-Injected: 1#%?=+/ü"
    with Peer((200, REPLY)) as peer:
        HttpTransport(peer.url, HttpOptions(ca_identifier=odd)).get_ca_cert()
    (sent,) = peer.received
    encoded = "a%20b%26operation%3Dx%0D%0AX-Injected%3A%201%23%25%3F%3D%2B%2F%C3%BC"
    assert sent.path == f"/scep?operation=GetCACert&message={encoded}" and "X-Injected" not in sent.headers


# Redirects


def moves(status: int, location: str) -> Callable[[Received], Answer]:
    """A server that redirects from /scep, and answers anywhere else."""

    def answer(request: Received) -> Answer:
        if request.path.startswith("/scep?"):
            return status, b"", {"Location": location}
        return 200, REPLY

    return answer


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("ask", [ca_cert, post], ids=["GET", "POST"])
def test_a_redirect_at_the_same_server_is_followed_with_the_same_method(
    status: int, ask: Callable[[HttpTransport], bytes]
) -> None:
    operation = "GetCACert" if ask is ca_cert else "PKIOperation"
    with Peer(moves(status, f"/new/scep/?operation={operation}#x")) as peer:
        assert ask(HttpTransport(peer.url)) == REPLY
    first, second = peer.received
    assert (first.method, first.body) == (second.method, second.body)
    assert second.path == f"/new/scep/?operation={operation}"


def test_a_redirect_that_keeps_the_query_keeps_all_of_it() -> None:
    with Peer(moves(301, "/new?operation=GetCACert&message=my+CA&a=b")) as peer:
        client = HttpTransport(f"{peer.url}?a=b", HttpOptions(ca_identifier="my CA"))
        assert client.get_ca_cert() == REPLY


ELSEWHERE = "another scheme, host or port is not followed to; if it is right, give it with --url"
OTHERWISE = "it has not the query that was asked for; if the path is right, give it with --url"


@pytest.mark.parametrize(
    ("status", "location", "shown_as", "why"),
    [
        (302, "https://127.0.0.1/scep?operation=GetCACert", "https://127.0.0.1/scep", ELSEWHERE),
        (308, "//other.example/x?operation=GetCACert&a=b", "http://other.example/x?a=...", ELSEWHERE),
        (307, "http://169.254.169.254/latest?operation=GetCACert", "http://169.254.169.254/latest", ELSEWHERE),
        (301, "http://127.0.0.1:1/scep?operation=GetCACert", "http://127.0.0.1:1/scep", ELSEWHERE),
        (301, "/login?next=x", "ORIGIN/login?next=...", OTHERWISE),
        (301, "/new", "ORIGIN/new", OTHERWISE),
        (301, "?operation=GetCACaps", "ORIGIN/scep", OTHERWISE),
        (301, "?operation=GetCACert", "ORIGIN/scep", "that was asked for already"),
        (303, "/new?operation=GetCACert", "ORIGIN/new", "that status redirects no request of ours"),
        (301, "ftp://127.0.0.1/x?operation=GetCACert", "ftp://127.0.0.1/x", "that is no http or https URL"),
        (301, "http://[::1/", "http://[::1/", "that is no http or https URL"),
        (301, "http:\\\\other.example\\", "ORIGIN/\\\\other.example\\", "that is no http or https URL"),
        (301, "/\x07", "ORIGIN/\\x07", "that is no http or https URL"),
    ],
)
def test_a_redirect_that_is_not_followed_is_shown(status: int, location: str, shown_as: str, why: str) -> None:
    with Peer((status, b"", {"Location": location})) as peer:
        error = lost(peer, ca_cert)
        assert len(peer.received) == 1
    origin = peer.url.removesuffix("/scep")
    place = shown_as.replace("ORIGIN", origin)
    assert str(error) == f"GetCACert: {peer.url} answered HTTP {status}, Location {place}: {why}"
    assert type(error) is TransportError


def test_a_redirect_with_a_user_is_not_followed() -> None:
    def answer(request: Received) -> Answer:
        return 301, b"", {"Location": f"http://u:p@{request.headers['Host']}/x?operation=GetCACert"}

    with Peer(answer) as peer:
        assert str(lost(peer, ca_cert)).endswith(": it has a user or password")
        assert len(peer.received) == 1


def test_redirects_are_counted() -> None:
    def answer(request: Received) -> Answer:
        return 302, b"", {"Location": request.path.replace("?", "x?")}

    with Peer(answer) as peer:
        assert str(lost(peer, ca_cert)).endswith(f": no more than {MAX_REDIRECTS} redirects are followed")
        assert len(peer.received) == MAX_REDIRECTS + 1


def test_a_redirect_without_a_location_is_an_error_like_others() -> None:
    with Peer((302, b"moved")) as peer:
        assert str(lost(peer, ca_cert)) == f"GetCACert: {peer.url} answered HTTP 302 without a Location: moved"


# Proxies

ABSOLUTE = "http://scep.example/scep?operation=GetCACert"


def through(peer: Peer) -> str:
    return peer.url.removesuffix("/scep")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_is_asked_for_the_whole_url(scheme: str) -> None:
    with Peer((200, REPLY)) as proxy:
        place = through(proxy).replace("http://", scheme)
        HttpTransport("http://scep.example/scep", HttpOptions(proxy=place)).get_ca_cert()
    assert [item.path for item in proxy.received] == [ABSOLUTE]


def test_a_proxy_of_the_environment_gets_the_user_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer((407, b"")) as proxy:
        monkeypatch.setenv("http_proxy", through(proxy).replace("//", "//us%40er:s3cret@"))
        with pytest.raises(TransportError) as failed:
            HttpTransport("http://scep.example/scep").get_ca_cert()
    (sent,) = proxy.received
    assert sent.path == ABSOLUTE
    assert sent.headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"us@er:s3cret").decode()
    said = str(failed.value)
    assert f" through the proxy {through(proxy)} answered HTTP 407, which is the proxy's; it wants a user" in said
    assert "s3cret" not in said


def test_a_server_in_tls_is_not_told_what_the_proxy_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONNECT is what the proxy sees of an https URL."""
    with Peer((200, REPLY)) as proxy:
        monkeypatch.setenv("https_proxy", through(proxy))
        assert proxy_for("https://scep.example/scep", None).url == through(proxy)  # type: ignore[union-attr]
        with pytest.raises(TransportError, match="refuses to connect to it: HTTP 501"):
            HttpTransport("https://scep.example/scep").get_ca_cert()


@pytest.mark.parametrize(
    ("url", "environment", "used"),
    [
        ("http://scep.example/", {"http_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("http://scep.example/", {"http_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("http://scep.example/", {"https_proxy": "http://proxy:3128"}, None),
        ("https://scep.example/", {"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://scep.example/", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("http://scep.example/", {"HTTP_PROXY": "http://proxy:3128", "REQUEST_METHOD": "GET"}, None),
        ("http://scep.example/", {"http_proxy": ""}, None),
        ("http://scep.example/", {"http_proxy": "http://proxy:3128", "no_proxy": "scep.example"}, None),
        ("http://scep.example/", {"http_proxy": "http://proxy:3128", "no_proxy": "a, .example"}, None),
        ("http://scep.example:81/", {"http_proxy": "http://proxy:3128", "no_proxy": "scep.example:81"}, None),
        ("http://scep.example/", {"http_proxy": "http://p:1", "no_proxy": "scep.example:81"}, "http://p:1"),
        ("http://scep.example/", {"http_proxy": "http://proxy:3128", "no_proxy": "*"}, None),
        *((f"http://{host}/", {"http_proxy": "http://p:1"}, None) for host in ("localhost", "127.3.2.1", "[::1]")),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], used: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url, None)
    assert (found and found.url) == used


def test_a_proxy_that_is_given_is_used_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    found = proxy_for("http://127.0.0.1/", "https://proxy.example")
    assert found is not None and found.url == "https://proxy.example"


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="the list of processes shows it") as refused:
        HttpOptions(proxy="http://user:s3cret@proxy.example:3128")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "socks5://s3cret@proxy:1080", "http://", "http://p:port", "http://p/path", "a b"])
def test_what_is_no_proxy_is_wrong_usage_and_not_repeated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(UsageError, match=r"^--proxy is not the URL of an HTTP proxy"):
        HttpOptions(proxy=text)
    if text:
        monkeypatch.setenv("http_proxy", text)
        with pytest.raises(UsageError, match=r"^http_proxy in the environment is not the URL ") as refused:
            HttpTransport("http://scep.example/scep")
        assert "s3cret" not in str(refused.value)


def test_a_proxy_s_password_does_not_show_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://u:s3cret@proxy:1")
    found = proxy_for("http://scep.example/", None)
    assert found is not None and found.headers and "s3cret" not in repr(found) and "Basic" not in repr(found)


# What a body is


PAGE = b"<!DOCTYPE html><html><style>p {}</style><title>\n Welcome &amp; \x1b[2J</title><p>hello</p></html>"
FORMS: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (PAGE, 'an HTML page, title "Welcome & \\x1b[2J": hello'),
    (b"<html><script>x</script><p>No <b>such</b> page&excl;</html>", "an HTML page: No such page!"),
    (b"<HTML><Title>NDES</Title><Body>Wrong <I>password</I>.</HTML>", 'an HTML page, title "NDES": Wrong password .'),
    (b"<html>" + b"<" * 10_000, "an HTML page"),
    (b"<html><title>" + b"x" * 10_000, "an HTML page: " + "x" * 150),
    (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "PEM (CERTIFICATE) (HTTP 200"),
    (base64.b64encode(CERTIFICATE), "base64 text of a certificate alone (HTTP 200"),
    (b"0123456789abcdef" * 4, "hex text (HTTP 200"),
    (b"MIIB%2B%2F" * 4, "percent-encoded text (HTTP 200"),
    (b'{"error": "no such operation"}', 'JSON: {"error": "no such operation"}'),
    (b"Operation not supported", "text: Operation not supported"),
    ("nicht unterstützt".encode(), "text: nicht unterstützt"),
    (b"\x00\x01\x02" * 20, "something that begins with the octet 00, not with 30, that of a SEQUENCE"),
]


@pytest.mark.parametrize(("body", "words"), FORMS, ids=[words[:20] for _body, words in FORMS])
@pytest.mark.parametrize(
    ("operation", "ask", "kind"),
    [
        ("GetCACert", ca_cert, TransportError),
        ("GetNextCACert", lambda client: client.get_next_ca_cert(), TransportError),
        ("PKIOperation", post, AnotherForm),
    ],
    ids=["GetCACert", "GetNextCACert", "PKIOperation"],
)
def test_an_answer_in_another_form_is_named_and_not_taken(
    operation: str, ask: Callable[[HttpTransport], bytes], kind: type[TransportError], body: bytes, words: str
) -> None:
    with Peer((200, body, {"Content-Type": "Text/Html; charset=utf-8"})) as peer:
        error = lost(peer, ask)
    assert str(error).startswith(f"{operation}: the answer is {words}") and type(error) is kind
    fault = "that is a fault of the server" if body.startswith(b"MII") and b"%" not in body else f"is {peer.url} the"
    assert f" (HTTP 200, text/html), not DER; {fault}" in str(error)


@pytest.mark.parametrize("content_type", ["", "text/\x7f", "x" * 101, "a b"])
def test_a_media_type_that_is_none_is_called_so(content_type: str) -> None:
    with Peer((200, b"", {"Content-Type": content_type})) as peer:
        assert "(HTTP 200, no media type)" in str(lost(peer, ca_cert))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, PAGE, ': an HTML page, title "Welcome & \\x1b[2J": hello'),
        (404, b"{}", ": {}"),
        (403, b"", ""),
        (400, b"first\n\nsecond", ": first second"),
        (500, REPLY, ": 5 octets of DER"),
        (500, CERTIFICATE, ": a certificate alone"),
    ],
)
def test_an_http_error_has_the_server_s_own_words(status: int, body: bytes, words: str) -> None:
    with Peer((status, body)) as peer:
        assert str(lost(peer, post)) == f"PKIOperation: {peer.url} answered HTTP {status}{words}"


@pytest.mark.parametrize("status", [201, 400, 500, 503])
def test_a_pki_message_is_an_answer_under_any_status(status: int) -> None:
    """It is signed, and holds the CA's own reason."""
    pair = ca_pair()
    by = Signer(pair.key, Certificate.of(pair.certificate))
    reply = cert_rep(by, cert_rep_request(by), pki_status=PkiStatus.FAILURE, fail_info=FailInfo.badRequest)
    heard: list[HttpAnswer] = []
    with Peer((status, reply, {"Content-Type": "application/x-pki-message"})) as peer:
        assert HttpTransport(peer.url, heard=heard.append).pki_operation(MESSAGE, POST) == reply
    assert heard[0].remarks() == [f"HTTP {status} with a pkiMessage; RFC 8894 section 4.3.1 has 200"]


def cert_rep_request(by: Signer) -> bytes:
    """Any message that a CertRep may answer."""
    header = Header(MessageType.GetCRL, "transaction", sender_nonce=b"\x02" * 16)
    return encode_pki_message(header, None, by, SHA256(), certificates=[by.certificate.der], now=utc_now())


# Media types


@pytest.mark.parametrize(
    ("operation", "body", "right"),
    [
        ("GetCACaps", b"AES\n", "text/plain"),
        ("GetCACert", CERTIFICATE, "application/x-x509-ca-cert"),
        ("GetCACert", encode_degenerate([CERTIFICATE]), "application/x-x509-ca-ra-cert"),
        ("GetNextCACert", REPLY, "application/x-x509-next-ca-cert"),
        ("PKIOperation", REPLY, "application/x-pki-message"),
    ],
)
def test_a_wrong_media_type_is_remarked_on(operation: str, body: bytes, right: str) -> None:
    def remarks(content_type: str) -> list[str]:
        return HttpAnswer(operation, "GET", "/scep", 0, 200, content_type, body).remarks()

    assert remarks(right) == remarks(f"{right.title()} ; charset=utf-8") == []
    for wrong, words in (("image/gif", "media type image/gif"), ("", "no media type")):
        (remark,) = remarks(wrong)
        assert remark.startswith(f"{words}; RFC 8894 section ") and remark.endswith(f" has {right}")


def test_our_own_server_has_no_remarks(ca_dir: CaDir) -> None:
    heard: list[HttpAnswer] = []
    with serving(replace(load(ca_dir.config_path), port=0)) as port:
        client = HttpTransport(f"http://127.0.0.1:{port}/scep", heard=heard.append)
        client.capabilities()
        client.get_ca_cert()
    assert [item.remarks() for item in heard] == [[], []]


# Capabilities


@pytest.mark.parametrize(
    "body", [PAGE, b"<?xml version='1.0'?>\nAES\n", b'{"AES": 1}', b"-----BEGIN X-----\nAES\n", CERTIFICATE]
)
def test_3_5_2_what_is_no_list_of_keywords_has_no_capabilities(body: bytes) -> None:
    with Peer((200, body)) as peer:
        client = HttpTransport(peer.url)
        assert client.capabilities() == (body, Capabilities())
    assert client.no_capabilities.startswith("GetCACaps: the answer is ") and "HTTP 200" in client.no_capabilities


def test_3_5_2_an_error_says_why_there_are_no_capabilities() -> None:
    with Peer((404, b"404 page not found\n")) as peer:
        client = HttpTransport(peer.url)
        assert client.capabilities() == (None, Capabilities())
    assert client.no_capabilities == f"GetCACaps: {peer.url} answered HTTP 404: 404 page not found"


@pytest.mark.parametrize("body", [b"AES\n", b"\xef\xbb\xbfAES\n", b"\n3DES\n", b""])
def test_3_5_2_a_list_is_one_whatever_is_in_it(body: bytes) -> None:
    with Peer((200, body)) as peer:
        client = HttpTransport(peer.url)
        client.capabilities()
    assert client.no_capabilities == ""


# Through everything


def test_an_answer_in_tls_behind_a_redirect(tmp_path: Path) -> None:
    with Peer(moves(301, "/new?operation=GetCACert"), tls_server(tmp_path)) as peer:
        options: dict[str, Any] = {"tls_ca": tmp_path / "cert.pem", "timeout": 60}
        assert HttpTransport(peer.url, HttpOptions(**options)).get_ca_cert() == REPLY


@pytest.mark.parametrize(
    "url", ["http://h/scep?token=SECRET&operation=x", "ftp://h/?token=SECRET", "http://h/?t=SECRET#"]
)
def test_a_token_in_a_url_that_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        HttpTransport(url)
    assert "SECRET" not in str(refused.value) and "=..." in str(refused.value)


def test_nor_is_that_of_a_good_one_in_json() -> None:
    with Peer((200, b"AES\n")) as peer:
        facts = json.loads(run("caps", "--json", "--url", f"{peer.url}?token=SECRET").good().out)
    assert facts["url"] == f"{peer.url}?token=..."
