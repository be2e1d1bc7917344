"""The commands that README.md prints for production, run as printed, while strangers hold connections.

nginx's Debian package and gunicorn are the peers; the clients are ours. It needs root, and ports 80 and 8000.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed, Missing, NotToBeHad, Peer, check
from interop.kit.install import apt_install, package_version, step
from interop.scep_kem import POLLING, Device

IDLE, HALF_SENT = 200, 200
EACH_ADDRESS = 5
SECONDS = 5.0  # in which an honest client is answered; a stranger's connection is given up after ten

CAPS = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca.example\r\nConnection: close\r\n\r\n"
HALF_HEADERS = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: ca."
HALF_BODY = b"POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: ca.example\r\nContent-Length: 3000\r\n\r\nhalf"


def _probe() -> str:
    if os.geteuid() != 0:
        raise NotToBeHad("needs root, for port 80")
    nginx = package_version("nginx")
    if nginx is None or shutil.which("nginx") is None:
        raise Missing("nginx is not installed")
    try:
        gunicorn = metadata.version("gunicorn")
    except metadata.PackageNotFoundError:
        raise Missing("gunicorn is not installed") from None
    for port in (80, 8000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise Missing(f"something listens on port {port} already")
    return f"nginx {nginx}, gunicorn {gunicorn}"


def _install() -> None:
    apt_install("nginx")
    step((sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "gunicorn>=23"))


PEER = Peer(
    name="production",
    title="README's gunicorn and nginx",
    folder=Path(__file__).parent,
    probe=_probe,
    install=_install,
    server="ours-production",
    alone=True,
)


@contextlib.contextmanager
def _strangers(port: int) -> Iterator[None]:
    """Idle and half-sent connections from many addresses, so that no limit for a single one helps."""
    said = [b""] * IDLE + [HALF_HEADERS, HALF_BODY] * (HALF_SENT // 2)
    with contextlib.ExitStack() as stack:
        for number, octets in enumerate(said):
            source = (f"127.0.1.{1 + number // EACH_ADDRESS}", 0)
            made = socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=source)
            stack.enter_context(made).sendall(octets)
        yield


def _ask_caps(port: int, source: str = "127.0.0.1") -> bytes:
    """The answer to GetCACaps. Raises CaseFailed."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0)) as connection:
            connection.sendall(CAPS)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
    except OSError as error:
        raise CaseFailed(f"GetCACaps was not answered within {SECONDS:g} s: {error}") from None
    return answer


def _enrol(bench: Bench, name: str, *options: str) -> None:
    device = Device(bench, name, "ml-kem-1024", *options)
    device.enroll(bench.url(), "--challenge", bench.server.challenge(), *POLLING)
    device.check_certificate()
    bench.expect("PKCSReq > PENDING", "CertPoll > SUCCESS")


@PEER.case(
    "enrol",
    "200 idle and 200 half-sent connections: a device enrols by POST, the log has its address",
)
def enrol(bench: Bench) -> None:
    """Case."""
    with _strangers(bench.server.port):
        check(_ask_caps(bench.server.port).startswith(b"HTTP/1.1 200 "), "GetCACaps was refused")
        _enrol(bench, "production1")
    # From an address of its own, past the recorder that the other requests went through.
    check(_ask_caps(bench.server.port, "127.0.3.1").startswith(b"HTTP/1.1 200 "), "GetCACaps was refused")
    said = [line for line in bench.server.log.read_text().splitlines() if 'client="127.0.3.1"' in line]
    check(len(said) == 1, f"the log has {len(said)} lines with the client's address instead of one")


@PEER.case("get", "the same by GET, whose request line is longer than gunicorn's own limits")
def get(bench: Bench) -> None:
    """Case."""
    with _strangers(bench.server.port):
        _enrol(bench, "production2", "--get")
    longest = max(len(exchange.request.start_line) for exchange in bench.operations())
    check(longest > 16_000, f"the longest request line has {longest} octets only")


@PEER.case("one-address", "a single address with hundreds of half-sent bodies is told to wait, the others are answered")
def one_address(bench: Bench) -> None:
    """Case."""
    port, source = bench.server.port, "127.0.2.1"
    with contextlib.ExitStack() as stack:
        for _ in range(HALF_SENT):
            made = socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0))
            stack.enter_context(made).sendall(HALF_BODY)
        check(_ask_caps(port, source).startswith(b"HTTP/1.1 503 "), "the address was not limited")
        check(_ask_caps(port).startswith(b"HTTP/1.1 200 "), "another address was limited")
