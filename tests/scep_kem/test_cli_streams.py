"""Output that nobody reads to its end: what a command does, and its exit code, are the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import SCEP_KEM, environment, unused_port

pytestmark = pytest.mark.any_day


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def code_of(unread: int, *arguments: str | Path) -> int:
    command = [*SCEP_KEM, *map(str, arguments)]
    return subprocess.run(command, stdout=unread, stderr=unread, env=environment(), check=False).returncode


@pytest.mark.parametrize("more", [["--trace"], ["--json"]])
def test_an_enrolment_goes_on(make: Callable[..., Device], ca_folder: Path, unread: int, more: list[str]) -> None:
    device = make()
    paths = ("--key", device.key, "--out", device.out, "--challenge", password(ca_folder))
    assert code_of(unread, "enroll", *device.where, "--subject", "CN=device", *paths, *more) == 0
    assert device.names == {"device.key", "device.pem"}


def test_a_full_disk_is_told_when_all_is_done(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    paths = ("--key", device.key, "--out", device.out, "--challenge", password(ca_folder))
    command = [*SCEP_KEM, "enroll", *device.where, "--subject", "CN=device", *map(str, paths), "--trace"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment(), check=False)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"scep-kem: cannot write all of the output: ")
    assert device.names == {"device.key", "device.pem"}


def test_errors_keep_their_exit_code(unread: int) -> None:
    url = f"http://127.0.0.1:{unused_port()}/scep"
    assert code_of(unread, "caps", "--url", url) == 1
    assert code_of(unread, "caps") == code_of(unread, "caps", "--url", "nonsense") == 2
    assert code_of(unread, "kem", "backends") == code_of(unread, "--help") == 0
