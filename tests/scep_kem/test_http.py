"""What only a real connection shows: `scep-kem serve`'s waitress with raw octets, HTTP/1.0, chunks, limits, no garbage
that ends a connection without an answer.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from cryptography import x509

from scep.client import Issued
from scep_kem.config import load
from tests.scep_kem.kit import CONFIG, LAST_RESORT, Site, make_ca_dir, raw, serving

MAX_BODY = 262_144
CLOSE = b"Host: ca.example\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The folder that the server runs on, for devices and passwords; its Store is the server's database."""
    ca_dir = make_ca_dir(tmp_path_factory.mktemp("http") / "ca", f"{CONFIG}[server]\nport = 0\nmax_body = {MAX_BODY}\n")
    return Site(ca_dir, store=ca_dir.open_store())


@pytest.fixture(scope="module")
def port(site: Site) -> Iterator[int]:
    with serving(load(site.service.ca_dir.config_path)) as found:
        yield found


def post(port: int, body: bytes, headers: bytes = b"", path: bytes = b"/scep?operation=PKIOperation") -> bytes:
    """The body of the answer to a POST with Content-Length, which must be a CertRep."""
    length = b"Content-Length: %d\r\n" % len(body)
    status, seen, answer = raw(port, b"POST " + path + b" HTTP/1.1\r\n" + CLOSE + length + headers + b"\r\n" + body)
    assert (status, seen["content-type"]) == (200, "application/x-pki-message"), answer
    return answer


# Versions and headers


def test_http_1_0_without_a_host_is_answered_and_closed(port: int) -> None:
    """Cisco IOS and Juniper."""
    status, headers, body = raw(port, b"GET /cgi-bin/pkiclient.exe?operation=GetCACert&message=CA HTTP/1.0\r\n\r\n")
    assert (status, headers["content-type"]) == (200, "application/x-x509-ca-cert")
    assert x509.load_der_x509_certificate(body) and headers["content-length"] == str(len(body))


def test_3_5_2_the_media_type_arrives_without_charset(port: int) -> None:
    status, headers, body = raw(port, b"GET /scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert (status, headers["content-type"]) == (200, "text/plain") and body.startswith(b"AES\n")


def test_a_path_with_two_slashes_at_the_beginning(port: int) -> None:
    """Clients join http://host/ and /scep."""
    assert raw(port, b"GET //scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")[0] == 200


def test_an_absolute_request_target_is_understood(port: int) -> None:
    """What a client sends to a proxy, and some send always (RFC 9112 section 3.2.2)."""
    assert raw(port, b"GET http://ca.example/scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")[0] == 200


def test_head_has_no_body(port: int) -> None:
    status, headers, body = raw(port, b"HEAD /scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 0


def test_a_connection_serves_several_requests(port: int) -> None:
    request = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca.example\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection:
        connection.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_the_server_does_not_say_what_it_is_built_with(port: int) -> None:
    headers = raw(port, b"GET /scep HTTP/1.1\r\n" + CLOSE + b"\r\n")[1]
    assert headers["server"] == "scep-kem"


def test_what_a_proxy_in_front_says_arrives(port: int, log: pytest.LogCaptureFixture) -> None:
    """waitress would take the headers away."""
    said = b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
    assert b"https://ca.example/scep" in raw(port, b"GET /scep HTTP/1.1\r\n" + CLOSE + said + b"\r\n")[2]
    assert 'client="192.0.2.7"' in log.text


# POST


def test_a_post_without_content_type(site: Site, port: int) -> None:
    """strongSwan 5.9.8."""
    device = site.device(password=site.password("no type"), transaction_id="no-type")
    assert isinstance(device.enrolment.receive(post(port, device.start())), Issued)


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_chunked_post(site: Site, port: int, size: int) -> None:
    """Apple's clients."""
    device = site.device(password=site.password(f"chunks {size}"), transaction_id=f"chunks-{size}")
    message = device.start()
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /scep?operation=PKIOperation HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    status, headers, body = raw(port, head + chunks + b"0\r\n\r\n")
    assert (status, headers["content-type"]) == (200, "application/x-pki-message"), body
    assert isinstance(device.enrolment.receive(body), Issued)


def test_a_post_that_expects_100_continue(site: Site, port: int) -> None:
    """curl does with larger bodies."""
    device = site.device(password=site.password("continue"), transaction_id="continue")
    message = device.start()
    head = b"POST /scep?operation=PKIOperation HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(message))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(message)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert isinstance(device.enrolment.receive(answer.partition(b"\r\n\r\n")[2]), Issued)


def test_a_post_in_many_small_packets(site: Site, port: int) -> None:
    device = site.device(password=site.password("slow"), transaction_id="slow")
    message = device.start()
    head = b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % len(message)
    with socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(head + message), 500):
            connection.sendall((head + message)[start : start + 500])
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert isinstance(device.enrolment.receive(answer.partition(b"\r\n\r\n")[2]), Issued)


# Large requests


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_of_nearly_64_kib_with_a_challenge_of_several_kb_passes(site: Site, port: int, method: str) -> None:
    """Intune's challenges are that long."""
    names = [x509.DNSName(f"{'x' * 40}-{number}.device.example") for number in range(900)]
    value = x509.SubjectAlternativeName(names)
    password = site.password(f"challenge by {method} " * 300)
    device = site.device(
        password=password, transaction_id=f"large-{method}", extensions=[x509.Extension(value.oid, False, value)]
    )
    assert len(device.request.der) > 60_000 and len(password) > 5000
    message = device.start()
    if method == "POST":
        answer = post(port, message)
    else:
        target = f"/scep?operation=PKIOperation&message={quote(base64.b64encode(message), safe='')}".encode()
        status, headers, answer = raw(port, b"GET " + target + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert (status, headers["content-type"]) == (200, "application/x-pki-message")
    issued = device.enrolment.receive(answer)
    assert isinstance(issued, Issued) and len(issued.certificate) > 50_000


@pytest.mark.parametrize("excess", [1, 10_000])
def test_a_body_over_max_body_is_413_in_one_line(port: int, excess: int) -> None:
    """The body is read to its end before the answer: a client that is still sending gets a reset, not an answer."""
    body = b"x" * (MAX_BODY + excess)
    head = b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body)
    status, headers, answer = raw(port, head + body)
    assert (status, headers["content-type"], answer.count(b"\n")) == (413, "text/plain", 1), answer


def test_a_chunked_body_over_max_body_is_413_in_one_line(port: int) -> None:
    head = b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    status, headers, answer = raw(port, head + chunk * (MAX_BODY // 0x10000) + b"1\r\nx\r\n0\r\n\r\n")
    assert (status, headers["content-type"], answer.count(b"\n")) == (413, "text/plain", 1), answer


def test_a_body_far_over_max_body_is_413_before_it_is_sent(port: int) -> None:
    assert raw(port, b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Content-Length: 10000000000\r\n\r\n")[0] == 413


def test_a_get_as_large_as_max_body_is_not_read(port: int) -> None:
    target = b"/scep?operation=PKIOperation&message=" + b"A" * MAX_BODY
    assert raw(port, b"GET " + target + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")[0] in (413, 414, 431)


# What is no HTTP


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Content-Length: x\r\n\r\n",
        b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Content-Length: -1\r\n\r\n",
        b"POST /scep HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=repr,
)
def test_what_is_no_http_is_400_and_one_line_in_the_log(
    port: int, request_bytes: bytes, log: pytest.LogCaptureFixture
) -> None:
    assert raw(port, request_bytes)[0] == 400
    (line,) = (record.getMessage() for record in log.records)
    assert line.startswith("request refused ") and 'client="127.0.0.1"' in line and "http status=400" in line


def test_a_client_that_goes_away_in_the_middle_leaves_the_server_running(port: int) -> None:
    for piece in (b"", b"GET /scep", b"POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"):
        with socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection:
            connection.sendall(piece)
    assert raw(port, b"GET /scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")[0] == 200


@pytest.mark.parametrize("rest", [b"", b"\x00\x01\r\nfc\n"])
def test_tls_on_a_port_of_plain_http_is_answered_before_its_client_gives_up(
    port: int, rest: bytes, log: pytest.LogCaptureFixture
) -> None:
    """A ClientHello has no end that HTTP would see, and its client sends no more."""
    assert raw(port, b"\x16\x03\x01\x02\x00\x01" + rest)[0] == 400
    (line,) = (record.getMessage() for record in log.records)
    assert 'text="TLS, and this port has plain HTTP"' in line
    assert raw(port, b"GET /scep?operation=GetCACaps HTTP/1.1\r\n" + CLOSE + b"\r\n")[0] == 200
