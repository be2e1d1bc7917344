"""What keeps the client from an answer, each in one line of our own words: names, connections, TLS, time, HTTP."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scep_kem import files, network_errors
from scep_kem.client.connections import WANTS_A_USER
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.transport import AnswerLost, HttpTransport, TransportError
from scep_kem.errors import UsageError
from scep_kem.server.webhook import HttpWebhook
from scep_kem.webhook_config import WebhookConfig
from tests.scep_kem.kit import LAST_RESORT, Peer, ca_pair, run, unused_port
from tests.scep_kem.test_webhook import question
from tests.scep_kem.tls import tls_server

WORDS_OF_LIBRARIES = ("urllib3", "Error", "errno", "_ssl", "SSL", "Max retries", "Connection aborted", "ead timed out")


def why(url: str, options: HttpOptions | None = None) -> str:
    """Why there is no answer, without the operation and the URL."""
    with pytest.raises(TransportError) as failed:
        HttpTransport(url, options).capabilities()
    text, begin = str(failed.value), f"GetCACaps: {url}: "
    assert text.startswith(begin) and text.isprintable()
    for word in WORDS_OF_LIBRARIES:
        assert word not in text
    return text.removeprefix(begin)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that does to one connection as told. Yields host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def run() -> None:
            connection, _peer = listener.accept()
            with connection:
                serve(connection)
                over.wait(LAST_RESORT)

        def close_at_once() -> None:
            connection, _peer = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=close_at_once if serve in CLOSING else run)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join(LAST_RESORT)


def closes(connection: socket.socket) -> None:
    connection.recv(65536)


def is_silent(_connection: socket.socket) -> None:
    """It accepts, and that is all."""


def begins(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nAES\n")


def greets_like_ssh(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2 \x1b[2J\r\n")


def has_a_long_line(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000)


def has_a_bad_chunk(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nAES\r\n")


def is_not_compressed(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nAES\n")


def has_two_lengths(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nAES\n")


CLOSING = (closes, greets_like_ssh, has_a_bad_chunk)


# Names and connections


def test_nobody_listening() -> None:
    port = unused_port()
    assert why(f"http://127.0.0.1:{port}/scep") == "nobody listens there (connection refused)"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "there is no host of the name scep.invalid"),
        (socket.EAI_AGAIN, "the name scep.invalid cannot be looked up: no name server answers"),
    ],
)
def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise socket.gaierror(number, "words of the library")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert why("http://scep.invalid/scep") == words


def test_what_the_operating_system_says_is_kept() -> None:
    error = OSError(errno.EHOSTUNREACH, "No route to host")
    assert network_errors.reason(error, "host") == "No route to host"


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (closes, "it closed the connection without an answer"),
        (greets_like_ssh, "what it answered is no HTTP; is this the right port, and does its URL begin with https://?"),
        (has_a_long_line, "what it answered has a line that is too long for HTTP"),
        (has_a_bad_chunk, "the answer ended early"),
        (is_not_compressed, "the answer is compressed, and cannot be unpacked"),
        (has_two_lengths, "what it answered is wrong as HTTP"),
    ],
)
def test_what_is_no_http(serve: Callable[[socket.socket], None], words: str) -> None:
    with listening(serve) as place:
        assert why(f"http://{place}/scep") == words


def test_a_connection_that_is_broken_off() -> None:
    assert network_errors.reason(ConnectionResetError(104, "x"), "host") == "it broke off the connection"


# Time


@pytest.mark.parametrize(
    ("scheme", "serve", "words"),
    [
        ("http", is_silent, "connected, but no answer within 0.1 seconds"),
        ("http", begins, "the answer stopped: no more of it within 0.1 seconds"),
        ("https", is_silent, "no TLS handshake within 0.1 seconds; does it speak TLS, or only http://?"),
    ],
)
def test_an_answer_that_takes_too_long_names_the_phase_and_the_seconds(
    scheme: str, serve: Callable[[socket.socket], None], words: str
) -> None:
    with listening(serve) as place:
        assert why(f"{scheme}://{place}/scep", HttpOptions(timeout=0.1)) == words


def test_a_connection_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_arguments: object, **_more: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    assert why("http://127.0.0.1/scep", HttpOptions(timeout=7)) == "no connection within 7 seconds"
    through = HttpOptions(timeout=7, proxy="http://127.0.0.1:3128")
    assert why("http://127.0.0.1/scep", through) == "the proxy http://127.0.0.1:3128: no connection within 7 seconds"


# TLS


def trusted(folder: Path) -> HttpOptions:
    files.write(folder / "tls.pem", files.pem(ca_pair("ec:P-256").certificate))
    return HttpOptions(tls_ca=folder / "tls.pem")


CAPABILITIES = (200, b"AES\n")


def test_tls_ca_is_whom_a_server_is_trusted_by(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path)) as peer:
        assert HttpTransport(peer.url, trusted(tmp_path)).capabilities()[0] == b"AES\n"
        files.write(tmp_path / "tls.der", ca_pair("ec:P-256").certificate.public_bytes(Encoding.DER))
        run("caps", "--url", peer.url, "--tls-ca", tmp_path / "tls.der").good()


def test_tls_ca_may_be_the_server_s_own_certificate(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path)) as peer:
        HttpTransport(peer.url, HttpOptions(tls_ca=tmp_path / "cert.pem")).capabilities()


def test_a_server_from_a_ca_that_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path)) as peer:
        begin = "its TLS certificate is from no CA that is trusted here; "
        assert why(peer.url) == f"{begin}give its CA's with --tls-ca"
        file = tmp_path / "other.pem"
        files.write(file, files.pem(ca_pair("ed25519").certificate))
        assert why(peer.url, HttpOptions(tls_ca=file)) == f"{begin}no certificate in {file} is it, or has issued it"
        assert peer.received == []


def test_a_server_of_another_name(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path, "127.0.0.2")) as peer:
        assert why(peer.url, trusted(tmp_path)) == "its TLS certificate is for other names than 127.0.0.1"


def test_a_certificate_that_is_not_for_servers(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path, usage=False)) as peer:
        assert why(peer.url, trusted(tmp_path)) == "its TLS certificate is not for TLS servers"


@pytest.mark.parametrize(
    ("begin", "end", "words"), [(-2, -1, "has expired"), (1, 2, "is not valid yet")], ids=["expired", "not yet"]
)
def test_a_certificate_that_is_not_valid_now_tells_our_clock(tmp_path: Path, begin: int, end: int, words: str) -> None:
    validity = {"begin": timedelta(hours=begin), "end": timedelta(hours=end)}
    with Peer(CAPABILITIES, tls_server(tmp_path, **validity)) as peer:
        said = why(peer.url, HttpOptions(tls_ca=tmp_path / "cert.pem"))
    assert said.startswith(f"its TLS certificate, or its CA's, {words}; this machine's clock says ")
    assert said.endswith(" UTC")


def test_a_verdict_that_has_no_words_yet_has_its_number() -> None:
    error = ssl.SSLCertVerificationError(1, "words of the library")
    error.verify_code = 49
    assert network_errors.reason(error, "host") == "its TLS certificate is not accepted (reason 49 of OpenSSL)"


def test_a_port_that_speaks_http_alone() -> None:
    with Peer(CAPABILITIES) as peer:
        url = peer.url.replace("http:", "https:")
        assert why(url) == "it does not speak TLS; does its URL begin with http://?"


def test_a_connection_that_ends_during_the_handshake() -> None:
    with listening(closes) as place:
        url = f"https://{place}/scep"
        assert why(url) == "it closed the connection during the TLS handshake; does it speak TLS?"


def test_no_message_can_have_arrived_where_there_is_no_tls(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path)) as peer, pytest.raises(TransportError) as failed:
        HttpTransport(peer.url).capabilities()
    assert not isinstance(failed.value, AnswerLost)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_tls_ca_that_cannot_be_read_is_wrong_usage(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tls.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"tls\.pem"):
        HttpTransport("https://127.0.0.1/scep", HttpOptions(tls_ca=file))


def test_tls_ca_is_not_ignored_where_there_is_no_tls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--tls-ca is for an https URL$"):
        HttpTransport("http://127.0.0.1/scep", trusted(tmp_path))


# The webhook's client says the same


@pytest.mark.parametrize(
    ("scheme", "serve", "words"),
    [
        ("http", closes, "it closed the connection without an answer"),
        ("https", closes, "it closed the connection during the TLS handshake; does it speak TLS?"),
        ("https", greets_like_ssh, "it does not speak TLS; does its URL begin with http://?"),
    ],
)
def test_a_webhook_that_cannot_be_asked(scheme: str, serve: Callable[[socket.socket], None], words: str) -> None:
    with listening(serve) as place:
        config = WebhookConfig(f"{scheme}://{place}/", timeout=LAST_RESORT)
        assert HttpWebhook(config, "default").ask(*question())[1] == words


def test_a_webhook_whose_certificate_is_not_trusted(tmp_path: Path) -> None:
    with Peer(CAPABILITIES, tls_server(tmp_path)) as peer:
        _answer, reason = HttpWebhook(WebhookConfig(peer.url), "default").ask(*question())
    assert reason.endswith("is from no CA that is trusted here; name the file of its CA's in webhook_ca_file")


def test_a_webhook_ca_file_that_holds_nothing(tmp_path: Path) -> None:
    config = WebhookConfig("https://127.0.0.1/", tmp_path / "none.pem")
    _answer, reason = HttpWebhook(config, "default").ask(*question())
    assert reason == f"webhook_ca_file: {tmp_path}/none.pem holds no certificate that TLS can use"


# Proxies


def test_a_proxy_that_nobody_is_behind() -> None:
    proxy = f"http://127.0.0.1:{unused_port()}"
    said = why("http://scep.example/scep", HttpOptions(proxy=proxy))
    assert said == f"the proxy {proxy}: nobody listens there (connection refused)"


@pytest.mark.parametrize(("status", "advice"), [(403, ""), (407, WANTS_A_USER)])
def test_a_proxy_that_does_not_connect(status: int, advice: str) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 %d \x1b[2J\r\nContent-Length: 0\r\n\r\n" % status)

    with listening(refuse) as place:
        said = why("https://scep.example/scep", HttpOptions(proxy=f"http://{place}"))
        assert said == f"the proxy http://{place} refuses to connect to it: HTTP {status}{advice}"
