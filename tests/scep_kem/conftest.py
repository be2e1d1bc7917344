"""Fixtures of the tests of scep_kem/."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scep_kem import safety
from scep_kem.ca_dir import CaDir
from scep_kem.client import exchange
from scep_kem.config import load
from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import Peer, Served, Site, ca_pair, make_ca_dir, served, serving
from tests.scep_kem.lossy import Device as LossyDevice
from tests.scep_kem.lossy import Line

STRANGER = 54321


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client's pauses in this test, in seconds: it takes none."""
    taken: list[float] = []
    monkeypatch.setattr(exchange, "nap", taken.append)
    return taken


@pytest.fixture(scope="session")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> CaDir:
    """A CA folder for whoever does not mind what others left in its database."""
    return make_ca_dir(tmp_path_factory.mktemp("shared") / "ca")


@pytest.fixture
def site(ca_dir: CaDir) -> Site:
    """A fresh Store over the shared CA."""
    return Site(ca_dir)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    """A CA folder that a test may fill."""
    return make_ca_dir(tmp_path / "own")


@pytest.fixture
def belongs_to_a_stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Only root may give files away, so the tests say who owns what."""
    theirs: set[Path] = set()
    status = safety._status

    def told(path: Path) -> os.stat_result | None:
        found = status(path)
        if found is None or path not in theirs:
            return found
        return os.stat_result((*found[:4], STRANGER, *found[5:10]))

    monkeypatch.setattr(safety, "_status", told)
    return theirs.add


# `scep-kem serve` in a process of its own, and its clients


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("live") / "ca"
    make_ca_dir(directory)
    with served(directory) as found:
        yield found


@pytest.fixture(scope="session")
def ca_folder(server: Served) -> Path:
    """The folder of the running server's CA."""
    return server.directory


@pytest.fixture
def make(tmp_path: Path, server: Served) -> Callable[..., Device]:
    """A device in the test's folder."""

    def device(profile: str = "", key_type: str = "rsa:2048") -> Device:
        return Device(tmp_path, server, profile, key_type)

    return device


@pytest.fixture
def enrolled(make: Callable[..., Device], ca_folder: Path) -> Device:
    """A device that has its certificate."""
    found = make()
    found.enroll("--challenge", password(ca_folder)).good()
    return found


# A line that loses messages


@pytest.fixture(scope="session")
def lossy_ca(tmp_path_factory: pytest.TempPathFactory) -> CaDir:
    """A CA with an ML-KEM key, served at `lossy_url`."""
    folder = tmp_path_factory.mktemp("lossy") / "ca"
    return make_ca_dir(folder, pair=ca_pair("ec:P-256"), kems=("ml-kem-768",))


@pytest.fixture(scope="session")
def lossy_url(lossy_ca: CaDir) -> Iterator[str]:
    with serving(replace(load(lossy_ca.config_path), port=0)) as port:
        yield f"http://127.0.0.1:{port}/scep"


@pytest.fixture
def lossy(tmp_path: Path, lossy_url: str, lossy_ca: CaDir) -> Iterator[LossyDevice]:
    """A device behind a line."""
    line = Line(lossy_url)
    with Peer(line) as peer:
        yield LossyDevice(tmp_path, line, peer.url, lossy_ca)
