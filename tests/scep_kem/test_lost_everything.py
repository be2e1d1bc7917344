"""Whatever is lost, and wherever the client is killed: the same command ends with one certificate, by the same request,
and no password is lost.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scep.attributes import MessageType
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.cli.client_files import DEFAULT_KEY_TYPE
from scep_kem.client.exchange import PAUSES
from scep_kem.client.transport import HttpTransport
from scep_kem.config import load
from tests.scep_kem.kit import Peer, Result, ca_pair, make_ca_dir, run, serving
from tests.scep_kem.lossy import Device, Fate, Line, answer_lost, is_gone
from tests.world import key

# test_lost_answers and test_kept_answers, which are shorter, run on every day.
pytestmark = pytest.mark.any_day

KINDS = ("rsa:2048", "ec:P-256", "ed25519", "ml-dsa-44", "ml-kem-768", "ml-kem-768 with a statement")
COMMANDS = ("enroll", "renew", "renew with a new key")
FATES: dict[str, Fate] = {"answer": answer_lost, "request": is_gone}


@dataclass
class Case:
    """One kind of key and one command of a device, with a subject of its own."""

    device: Device
    kind: str
    command: str

    def __post_init__(self) -> None:
        device = self.device
        self.subject = f"CN={hashlib.sha256(f'{self.kind} {self.command} {device.folder}'.encode()).hexdigest()[:24]}"
        self.key_type = self.kind.partition(" ")[0]
        if self.key_type == DEFAULT_KEY_TYPE:
            files.write_key(device.key, key(self.key_type, "live device"))
        self.statement: list[str | Path] = []
        if " with" in self.kind:
            signing, certificate = device.folder / "signing.key", device.folder / "signing.pem"
            files.write_key(signing, key("rsa:2048", "signs statements"))
            paths = ("--key", signing, "--out", certificate, "--subject", self.subject)
            run("enroll", *self.where, *paths, "--challenge", device.password()).good()
            self.statement = ["--signing-key", signing, "--signing-cert", certificate]
        self.password = device.password()
        self.issued_before = len(self.statement[:1])
        if self.command != "enroll":
            self._enroll().good()
            self.old = device.folder / "old.pem"
            device.out.rename(self.old)
            self.issued_before += 1
        device.line.sent.clear()

    @property
    def where(self) -> tuple[str, ...]:
        return "--url", self.device.url, *self.device.where

    def _enroll(self) -> Result:
        paths = ("--key", self.device.key, "--out", self.device.out, "--subject", self.subject)
        more = ("--key-type", self.key_type, "--challenge", self.password, *self.statement)
        return run("enroll", *self.where, *paths, *more)

    def give(self) -> Result:
        """The command, the same each time."""
        if self.command == "enroll":
            return self._enroll()
        paths: tuple[str | Path, ...] = ("--cert", self.old, "--key", self.device.key, "--out", self.device.out)
        if self.command != "renew":
            paths = (*paths, "--new-key", self.device.folder / "new.key", "--key-type", self.key_type)
        return run("renew", *self.where, *paths)

    def check(self) -> None:
        """One certificate, one request, nothing left."""
        line = self.device.line
        certificate = files.read_certificate(self.device.out)
        mine = [item for item in self.device.issued if item.endswith(f" {self.subject}") or f" {self.subject} " in item]
        assert len(mine) == self.issued_before + 1 and any(f"{certificate.serial_number:x}" in item for item in mine)
        sent = [PkiMessage.decode(message) for message in line.sent]
        requests = {message for message, read in zip(line.sent, sent, strict=True) if not _polls(read)}
        assert len(requests) == 1 and len({read.transaction_id for read in sent}) == 1
        assert not list(self.device.folder.glob("*.pending")) and not list(self.device.folder.glob("*.answer*"))


def _polls(message: PkiMessage) -> bool:
    return message.message_type is MessageType.CertPoll


def exchanges(kind: str) -> int:
    """How many messages a client sends if nothing is lost."""
    return 2 if kind.startswith("ml-kem") else 1


@pytest.mark.parametrize("what", FATES)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind in KINDS for number in range(exchanges(kind))])
def test_whatever_is_lost_the_same_command_ends_with_one_certificate(
    lossy: Device, kind: str, number: int, command: str, what: str
) -> None:
    case = Case(lossy, kind, command)
    lossy.line.fates = [*[PASSES] * number, FATES[what], *[is_gone] * len(PAUSES)]
    assert case.give().code == 1
    case.give().good()
    case.check()


def PASSES(line: Line, message: bytes) -> Any:  # noqa: N802
    return 200, line.deliver(message)


class Killed(BaseException):
    """The client is no more."""


STEPS: tuple[tuple[Any, str], ...] = (
    (files, "write"),
    (HttpTransport, "_ask"),
    (Path, "unlink"),
)


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The client dies at this moment: before or after a step that others can see. Yields the steps taken."""
    taken: list[str] = []
    client = threading.current_thread()  # server and line are others

    def moment(name: str) -> None:
        if len(taken) == number:
            raise Killed
        taken.append(name)

    def around(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*given: Any, **more: Any) -> Any:
            if threading.current_thread() is not client:
                return step(*given, **more)
            moment(f"before {name}")
            found = step(*given, **more)
            moment(f"after {name}")
            return found

        return stepping

    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, around(name, getattr(owner, name)))
        yield taken


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("rsa:2048", "enroll"),
        ("ml-kem-768", "renew with a new key"),
        ("ml-kem-768 with a statement", "enroll"),
    ],
)
def test_wherever_the_client_is_killed_the_same_command_ends_with_one_certificate(
    lossy: Device, monkeypatch: pytest.MonkeyPatch, kind: str, command: str
) -> None:
    number, ended = 0, False
    while not ended:
        folder = lossy.folder / str(number)
        folder.mkdir()
        case = Case(Device(folder, lossy.line, lossy.url, lossy.ca_dir), kind, command)
        with killed_at(number, monkeypatch) as taken:
            try:
                case.give().good()
                ended = True
            except Killed:
                pass
        assert len(taken) == number or ended
        case.give().good() if not case.device.out.exists() or case.device.pending.exists() else None
        case.check()
        number += 1
    assert number > 10


@pytest.mark.parametrize("operation", ["GetCACaps", "GetCACert"])
@pytest.mark.parametrize("kind", ["rsa:2048", "ml-kem-768"])
def test_what_is_asked_before_the_request_may_be_lost_too(lossy: Device, kind: str, operation: str) -> None:
    case = Case(lossy, kind, "enroll")
    lossy.line.loses = {operation}
    assert case.give().code == 1
    assert lossy.line.sent == [] and not lossy.pending.exists()
    lossy.line.loses = set()
    lossy.line.fates = [answer_lost, *[is_gone] * len(PAUSES)]
    assert case.give().code == 1
    kept = lossy.pending.read_bytes()
    lossy.line.loses = {operation}
    assert case.give().code == 1
    assert lossy.pending.read_bytes() == kept
    lossy.line.loses = set()
    case.give().good()
    case.check()


@pytest.mark.parametrize("kind", ["rsa:2048", "ed25519", "ml-kem-768 with a statement"])
def test_the_server_may_be_another_process_by_then(tmp_path: Path, lossy_ca: CaDir, kind: str) -> None:
    settings = replace(load(lossy_ca.config_path), port=0)
    with serving(settings) as port:
        line = Line(f"http://127.0.0.1:{port}/scep")
    with Peer(line) as peer:
        with serving(settings) as port:
            line.url = f"http://127.0.0.1:{port}/scep"
            case = Case(Device(tmp_path, line, peer.url, lossy_ca), kind, "enroll")
            line.fates = [*[PASSES] * (exchanges(kind) - 1), answer_lost, *[is_gone] * len(PAUSES)]
            assert case.give().code == 1
        with serving(settings) as port:
            line.url = f"http://127.0.0.1:{port}/scep"
            case.give().good()
        case.check()


@pytest.mark.parametrize("what", FATES)
@pytest.mark.parametrize(
    ("kind", "command"),
    [("rsa:2048", "enroll"), ("ed25519", "enroll"), ("ml-kem-768", "enroll"), ("rsa:2048", "renew")],
)
@pytest.mark.parametrize("kems", [(), ("ml-kem-768",)], ids=["RSA", "ML-KEM"])
def test_a_request_is_encrypted_anew_if_the_key_that_could_open_it_is_gone(
    tmp_path: Path, kind: str, command: str, what: str, kems: tuple[str, ...]
) -> None:
    if kind == "ml-kem-768" and not kems:
        return
    ca = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"), kems=kems)
    settings = replace(load(ca.config_path), port=0)
    with serving(settings) as port:
        line = Line(f"http://127.0.0.1:{port}/scep")
        with Peer(line) as peer:
            case = Case(Device(tmp_path, line, peer.url, ca), kind, command)
            line.fates = [FATES[what], *[is_gone] * len(PAUSES)]
            assert case.give().code == 1
    run("ca", "replace-ra", "--reason", "keyCompromise", "--dir", ca.path).good()
    line.sent.clear()
    with serving(settings) as port, Peer(line) as peer:
        line.url = f"http://127.0.0.1:{port}/scep"
        kept = case.device.pending
        kept.write_text(kept.read_text().replace(case.device.url, peer.url))
        case.device.url = peer.url
        said = case.give().good().err
    lost = what == "request"
    assert ("the CA has other certificates than when the request was made; encrypting it anew" in said) == lost
    request = "PKCSReq" if command == "enroll" else "RenewalReq"
    polls = ["CertPoll", "CertPoll+"][: exchanges(kind)]
    assert line.types[:3] == (["CertPoll", request, request] if lost else polls)
    assert len({PkiMessage.decode(message).transaction_id for message in line.sent}) == 1
    assert sum(case.subject in item for item in case.device.issued) == case.issued_before + 1


def test_a_request_that_is_refused_again_is_not_encrypted_anew_for_the_same_ca(lossy: Device) -> None:
    case = Case(lossy, "rsa:2048", "enroll")
    case.password = "wrong horse battery staple"
    lossy.line.fates = [is_gone]
    assert case.give().code == 4 and lossy.line.types == ["PKCSReq", "CertPoll", "PKCSReq"]


def test_what_is_kept_is_on_the_disk_and_so_is_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is renamed is there after a power failure only if its folder was written, too."""
    synced: list[bool] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.write(tmp_path / "kept", b"x", secret=True)
    assert synced == [False, True]
