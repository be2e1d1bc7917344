"""scep_kem/server/connections.py: what strangers' connections cannot do to `scep-kem serve`.

The channels are waitress's, on a pair of sockets, with a clock that is moved by hand; what only the whole server shows
is tested with real connections.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import waitress.buffers
import waitress.channel
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer, MultiSocketServer

from scep_kem.config import Config, load
from scep_kem.server import connections
from scep_kem.server.connections import (
    LARGE,
    MAX_HEADER,
    MOST,
    PATIENCE,
    PIPELINED,
    Channel,
    LargeAnswer,
    connection_limit,
    server_settings,
)
from tests.scep_kem.kit import CONFIG, LAST_RESORT, make_ca_dir, raw, serving

ASK = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca.example\r\nConnection: close\r\n\r\n"
HALF_HEADERS = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca."
HALF_BODY = b"POST /scep HTTP/1.1\r\nHost: ca.example\r\nContent-Length: 1000\r\n\r\nhalf"


class Loop:
    """A server without its loop: connections are made, read and looked after by hand."""

    def __init__(self, limit: int, clock: SimpleNamespace) -> None:
        self.clock = clock
        self.adj = Adjustments(**(server_settings(1 << 20) | {"connection_limit": limit}))
        self.map: dict[int, Any] = {}
        self.active_channels: dict[int, Any] = {}
        self.tasks: list[Any] = []
        self.add_task = self.tasks.append
        self.sockets: list[socket.socket] = []

    def pull_trigger(self) -> None:
        """There is no loop to wake."""

    def close(self) -> None:
        for channel in list(self.map.values()):
            channel.handle_close()
        for item in self.sockets:
            item.close()

    def connect(self) -> tuple[Channel, socket.socket]:
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        theirs.settimeout(LAST_RESORT)
        channel = Channel(self, ours, ("127.0.0.1", 1), self.adj, map=self.map)  # type: ignore[arg-type]
        return channel, theirs

    def send(self, channel: Channel, theirs: socket.socket, octets: bytes) -> None:
        theirs.sendall(octets)
        channel.handle_read()

    def maintain(self) -> None:
        """What waitress does every cleanup_interval."""
        BaseWSGIServer.maintenance(self, self.clock.seconds)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(seconds=1000.0)
    for module in (waitress.channel, connections):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: found.seconds))
    return found


@pytest.fixture
def loop(clock: SimpleNamespace) -> Iterator[Loop]:
    with contextlib.closing(Loop(100, clock)) as found:
        yield found


@pytest.fixture
def config(tmp_path: Path) -> Config:
    ca_dir = make_ca_dir(tmp_path / "ca", f"{CONFIG}[server]\nport = 0\n")
    return load(ca_dir.config_path)


@contextlib.contextmanager
def strangers(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", port)
        found = [stack.enter_context(socket.create_connection(address, LAST_RESORT)) for _ in range(count)]
        for item in found:
            with contextlib.suppress(ConnectionError):
                item.sendall(said)
        yield found


# Slow senders


@pytest.mark.parametrize("begin", [b"", HALF_HEADERS, HALF_BODY], ids=["nothing", "headers", "body"])
def test_a_request_that_comes_an_octet_at_a_time_is_closed_like_one_that_stopped(loop: Loop, begin: bytes) -> None:
    channel, theirs = loop.connect()
    if begin:
        loop.send(channel, theirs, begin)
    for _ in range(PATIENCE):
        loop.clock.seconds += 1
        loop.maintain()
        assert not channel.will_close
        if begin:
            loop.send(channel, theirs, b"x")
    loop.clock.seconds += 1
    loop.maintain()
    assert channel.will_close


def test_each_request_of_a_connection_has_its_time(loop: Loop) -> None:
    channel, theirs = loop.connect()
    for _ in range(3):
        loop.send(channel, theirs, HALF_HEADERS)
        loop.clock.seconds += PATIENCE - 1
        loop.send(channel, theirs, b"example\r\n\r\n" + HALF_HEADERS)
        assert len(channel.requests) == 1 and channel.last_activity == loop.clock.seconds
        channel.requests.clear()  # as after the answer
        loop.clock.seconds += PATIENCE - 1
        loop.maintain()
        assert not channel.will_close
        loop.send(channel, theirs, b"example\r\n\r\n")
        channel.requests.clear()


# Slow readers


def test_a_client_that_does_not_read_its_answer_is_closed(loop: Loop) -> None:
    """waitress closes by itself only who can be sent to, which is nobody who does not read."""
    channel, theirs = loop.connect()
    channel.write_soon(b"x" * 10_000_000)
    loop.clock.seconds += PATIENCE
    assert channel.readable() is False and channel.connected
    loop.clock.seconds += 1
    loop.maintain()
    assert channel.readable() is False and not channel.connected and loop.map == {}
    assert not channel.writable()
    with contextlib.suppress(ConnectionError):
        while theirs.recv(1 << 20):
            pass


def test_a_client_that_goes_on_reading_is_not_closed(loop: Loop) -> None:
    channel, theirs = loop.connect()
    channel.write_soon(b"x" * 10_000_000)
    for _ in range(3):
        loop.clock.seconds += PATIENCE
        theirs.recv(1 << 20)
        channel.handle_write()
        channel.readable()
        assert channel.connected


def test_who_is_being_served_is_not_closed_however_long_it_takes(loop: Loop) -> None:
    channel, theirs = loop.connect()
    loop.send(channel, theirs, ASK)
    loop.clock.seconds += 10 * PATIENCE
    loop.maintain()
    channel.readable()
    assert channel.connected and not channel.will_close and loop.tasks == [channel]


def test_of_many_requests_at_once_the_connection_ends_with_the_last_that_may_wait(loop: Loop) -> None:
    channel, theirs = loop.connect()
    ask = ASK.replace(b"Connection: close\r\n", b"")
    loop.send(channel, theirs, ask * PIPELINED)
    assert [item.headers.get("CONNECTION") for item in channel.requests] == [None] * PIPELINED
    loop.send(channel, theirs, ask)
    assert [item.headers.get("CONNECTION") for item in channel.requests[:PIPELINED]] == [None] * 7 + ["close"]


def test_a_client_that_sends_many_requests_without_reading_gets_a_few_answers_and_the_end(config: Config) -> None:
    """How many it is depends on how many have been answered when the rest arrives."""
    request = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca.example\r\n\r\n"
    with serving(config) as port, socket.create_connection(("127.0.0.1", port), timeout=LAST_RESORT) as connection:
        connection.sendall(request * 100)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    assert PIPELINED <= answer.count(b"HTTP/1.1 200 OK") < 100 and answer.count(b"Connection: close") == 1


def test_no_thread_waits_for_a_client_to_read(loop: Loop) -> None:
    """Eight that ask for a large CRL again and again would have all eight threads."""
    channel, _theirs = loop.connect()
    for _ in range(40):
        channel.write_soon(b"x" * 1_000_000)
    assert channel.total_outbufs_len > 30_000_000


# Large answers, such as CRLs, that are not read

MEGABYTE = 1 << 20


def body(number: int, size: int = MEGABYTE) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The temporary files that waitress makes."""
    made: list[object] = []

    class Counted(waitress.buffers.TempfileBasedBuffer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(waitress.buffers, "TempfileBasedBuffer", Counted)
    return made


def closed(*channels: Channel) -> list[bool]:
    """Which are, after the main loop has gone around."""
    for channel in channels:
        channel.readable()
    return [not channel.connected for channel in channels]


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, MEGABYTE])
def test_an_answer_that_is_not_read_is_in_no_file_and_one_in_memory(loop: Loop, files: list[object], size: int) -> None:
    """A stranger who asks for a large CRL again and again would fill the disk."""
    octets, channels = bytes(size), [loop.connect()[0] for _ in range(3)]
    for channel in channels:
        for _ in range(PIPELINED):
            channel.write_soon(b"HTTP/1.1 200 OK\r\n\r\n")
            channel.write_soon(octets)
    assert files == []
    if size == MEGABYTE:
        assert {id(item.data) for one in channels for item in one.outbufs if isinstance(item, LargeAnswer)} == {
            id(octets)
        }


def test_large_and_small_answers_come_whole_and_in_order(loop: Loop) -> None:
    channel, theirs = loop.connect()
    sent = [b"head", body(1), b"head", b"small", b"head", body(2, LARGE), body(3)]
    for octets in sent:
        channel.write_soon(octets)
    expected, got = b"".join(sent), b""
    while len(got) < len(expected):
        got += theirs.recv(1 << 20)
        channel.handle_write()
    assert got == expected and channel.total_outbufs_len == 0 and len(channel.outbufs) == 1


def test_of_too_much_that_is_not_read_what_is_quiet_longest_goes(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, files: list[object]
) -> None:
    """Each answer to GetCRL is another; so is the CRL after each revocation."""
    monkeypatch.setattr(connections, "UNREAD", 3 * MEGABYTE)
    channels = []
    for number in range(5):
        channels.append(loop.connect()[0])
        loop.clock.seconds += 1
        channels[-1].write_soon(body(number))
        channels[-1].last_activity = loop.clock.seconds
        assert closed(*channels) == [index < number - 2 for index in range(number + 1)]
    assert files == []


def test_who_waits_for_what_others_read_stays_though_quiet(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", 2 * MEGABYTE)
    crl = body(0)
    quiet, another, reading, last = (loop.connect()[0] for _ in range(4))
    for channel, octets in ((quiet, crl), (another, body(1)), (reading, crl), (last, body(2))):
        loop.clock.seconds += 1
        channel.write_soon(octets)
        channel.last_activity = loop.clock.seconds
    assert closed(quiet, another, reading, last) == [False, True, False, False]


def test_any_number_may_wait_for_one_crl(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", 2 * MEGABYTE)
    crl, channels = body(0), [loop.connect()[0] for _ in range(20)]
    for channel in channels:
        channel.write_soon(crl)
    assert not any(closed(*channels))


def test_one_answer_may_be_larger_than_what_is_kept_of_all(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", MEGABYTE // 2)
    crl, channels = body(0), [loop.connect()[0] for _ in range(3)]
    for channel in channels:
        channel.write_soon(crl)
    assert not any(closed(*channels))


# At the limit


def test_at_the_limit_who_is_quiet_longest_makes_room(clock: SimpleNamespace) -> None:
    loop = Loop(4, clock)
    served, quiet, recent = (loop.connect() for _ in range(3))
    loop.send(*served, ASK)
    for channel, theirs in (quiet, recent):
        clock.seconds += 1
        loop.send(channel, theirs, HALF_HEADERS)
    clock.seconds += 1
    newest, _ = loop.connect()
    assert not quiet[0].connected and quiet[1].recv(1) == b""
    assert all(channel.connected for channel in (served[0], recent[0], newest))
    loop.close()


def test_at_the_limit_who_is_being_served_stays(clock: SimpleNamespace) -> None:
    loop = Loop(2, clock)
    channel, theirs = loop.connect()
    loop.send(channel, theirs, ASK)
    newest, _ = loop.connect()
    assert channel.connected and newest.connected
    loop.close()


NONE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "limit"),
    [
        (1024, 1024, 1024, 384),
        (1024, 4096, 4096, 1920),
        (1024, 20000, 8448, MOST),
        (1024, NONE, 8448, MOST),
        (20000, NONE, 20000, MOST),
        (NONE, NONE, NONE, MOST),
        (64, 64, 64, 16),
    ],
)
def test_the_limit_is_what_descriptors_allow_and_those_are_raised(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, limit: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, new: limits.append(new))
    assert connection_limit() == limit
    assert limits[-1] == (raised, hard)


# The server


def test_a_host_with_several_addresses_is_listened_on_at_each() -> None:
    map_: dict[int, Any] = {}
    server = connections.create_server(lambda *_: [], map_, listen="127.0.0.1:0 127.0.0.2:0", threads=1)
    try:
        assert isinstance(server, MultiSocketServer)
        assert [host for host, _port in server.effective_listen] == ["127.0.0.1", "127.0.0.2"]
        for address in server.effective_listen:
            socket.create_connection((address[0], int(address[1])), timeout=LAST_RESORT).close()
    finally:
        server.close()


def test_all_who_wait_are_accepted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of a crowd is waited for with one turn of a loop that looks at all before."""
    map_: dict[int, Any] = {}
    settings = server_settings(1 << 20)
    with contextlib.ExitStack() as stack:
        listener: Any = connections.create_server(lambda *_: [], map_, host="127.0.0.1", port=0, threads=1, **settings)
        stack.callback(listener.task_dispatcher.shutdown)
        stack.callback(lambda: [item.close() for item in list(map_.values())])
        stack.enter_context(strangers(listener.socket.getsockname()[1], 30, b""))
        listener.handle_accept()
        assert len(listener.active_channels) == 30
        asked: list[None] = []
        monkeypatch.setattr(wasyncore.dispatcher, "accept", lambda _self: asked.append(None))
        listener.handle_accept()
        assert len(asked) == 1


@pytest.mark.parametrize("said", [b"", HALF_HEADERS, HALF_BODY], ids=["idle", "half the headers", "half the body"])
def test_more_connections_than_waitress_allows_by_default_keep_nobody_from_an_answer(
    config: Config, said: bytes
) -> None:
    with serving(config) as port, strangers(port, 150, said) as found:
        assert raw(port, ASK)[0] == 200
        for item in found:
            item.setblocking(False)
            with pytest.raises(BlockingIOError):  # nor does anybody have to make room
                item.recv(1)


def test_more_connections_than_the_limit_keep_nobody_from_an_answer(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "connection_limit", lambda: 20)
    with serving(config) as port, strangers(port, 50, HALF_HEADERS):
        assert raw(port, ASK)[0] == 200


def test_descriptors_above_1023_can_be_waited_for(config: Config) -> None:
    """select() raises for those."""
    assert connection_limit() > 100
    with contextlib.ExitStack() as stack:
        for _ in range(1024):
            stack.callback(os.close, os.dup(0))
        with serving(config) as port:
            assert raw(port, ASK)[0] == 200


def test_what_a_proxy_says_gets_to_the_application(config: Config) -> None:
    """waitress would take its headers away: it does not know whom the configuration trusts."""
    with serving(config) as port:
        said = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n"
        ask = b"GET /scep HTTP/1.1\r\nHost: ca.example\r\nConnection: close\r\n" + said + b"\r\n"
        assert b"https://public.example/scep" in raw(port, ask)[2]


def test_a_request_line_may_be_as_long_as_documented(config: Config) -> None:
    with serving(config) as port:
        for excess, expected in ((-100, 400), (1, 431)):
            line = b"GET /scep?operation=PKIOperation&message="
            end = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            status = raw(port, line + b"A" * (MAX_HEADER + excess - len(line + end)) + end)[0]
            assert status == expected
