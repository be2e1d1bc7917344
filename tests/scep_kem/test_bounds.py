"""An answer that never ends is given up, whatever comes of it and however slowly."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from scep_kem.client import bounds, transport
from scep_kem.client.connections import BESIDE, READ_TIMEOUT, WHOLE
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.transport import AnswerLost, HttpTransport
from tests.scep_kem.kit import LAST_RESORT
from tests.scep_kem.test_unreachable import listening, trusted, why
from tests.scep_kem.tls import tls_server

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "answers of status 100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trailers": (CHUNKED + b"3\r\nAES\r\n0\r\n", b"X: y\r\n"),
    "extensions of chunks": (CHUNKED, b"1;" + b"x" * 60000 + b"\r\nA\r\n"),
}
DRIPS = ENDLESS | {
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"A"),
    "a body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b"A"),
    "a line of a header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
}
HttpServer = Callable[[socket.socket], None]


def sends(begin: bytes, again: bytes) -> HttpServer:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        with contextlib.suppress(OSError):  # the client goes away
            connection.sendall(begin)
            while True:
                connection.sendall(again)

    return serve


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(transport, "MAX_UNSIGNED", 1000)
    return 2 * 1000 + BESIDE


@pytest.mark.parametrize("kind", ENDLESS)
def test_octets_that_are_no_body_have_a_limit(small: int, kind: str) -> None:
    with listening(sends(*ENDLESS[kind])) as place:
        assert why(f"http://{place}/scep") == f"the answer has not ended after {small} octets"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds that two fifths of the time for an answer have gone by."""
    times = itertools.count(0, int(WHOLE * READ_TIMEOUT * 2 / 5))
    monkeypatch.setattr(bounds, "monotonic", lambda: float(next(times)))


@pytest.mark.parametrize("kind", DRIPS)
@pytest.mark.usefixtures("hasty")
def test_an_answer_has_to_end_however_much_comes(kind: str) -> None:
    with listening(sends(*DRIPS[kind])) as place:
        assert why(f"http://{place}/scep") == "the answer has not ended within 600 seconds"


@pytest.mark.usefixtures("hasty")
def test_so_has_one_under_tls(tmp_path: Path) -> None:
    context = tls_server(tmp_path)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as inside:
            sends(*DRIPS["a body"])(inside)

    with listening(serve) as place:
        assert why(f"https://{place}/scep", trusted(tmp_path)) == "the answer has not ended within 600 seconds"


def test_so_has_a_proxy_s_answer_to_connect(small: int) -> None:
    with listening(sends(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")) as place:
        said = why("https://scep.example/scep", HttpOptions(proxy=f"http://{place}"))
    limits = (f"the answer has not ended after {small} octets", "what it answered is wrong as HTTP")
    assert said.removeprefix(f"the proxy http://{place}: ") in limits  # the latter is http.client's, where it has one


def test_the_time_for_a_whole_answer_grows_with_that_for_an_octet(monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(0, 5 * LAST_RESORT)
    monkeypatch.setattr(bounds, "monotonic", lambda: float(next(times)))
    with listening(sends(*DRIPS["a body"])) as place:
        said = why(f"http://{place}/scep", HttpOptions(timeout=LAST_RESORT))
    assert said == f"the answer has not ended within {10 * LAST_RESORT} seconds"


@pytest.mark.usefixtures("hasty")
def test_a_message_whose_answer_does_not_end_may_have_arrived() -> None:
    with listening(sends(*DRIPS["a body"])) as place, pytest.raises(AnswerLost):
        HttpTransport(f"http://{place}/scep").capabilities()


def test_a_wait_that_ends_with_the_whole_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.95, 1.0])
    monkeypatch.setattr(bounds, "monotonic", lambda: next(times))
    with listening(sends_nothing) as place:
        assert why(f"http://{place}/scep", HttpOptions(timeout=0.1)) == "the answer has not ended within 1 seconds"


def sends_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
