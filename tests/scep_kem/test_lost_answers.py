"""What the client does when a message or its answer is lost: it asks, and never makes a second request of one.

Between client and CA stands a `Line`, on which each PKIOperation meets the next fate that a test has in mind.
"""

from __future__ import annotations

import base64
import json
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scep.attributes import KEM_POP_CHALLENGE, KEM_POP_CONFIRM, FailInfo, PkiStatus
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.cli import enrolment
from scep_kem.client.exchange import PAUSES
from scep_kem.client.pending import Pending
from scep_kem.client.transport import HttpTransport
from scep_kem.clock import utc_now
from scep_kem.config import load
from tests.scep_kem.kit import (
    CONFIG,
    Answer,
    Peer,
    Received,
    Result,
    ca_pair,
    cert_rep,
    make_ca_dir,
    quoted,
    run,
    serving,
)
from tests.world import key, name

NOTHING = (503, b"")
BUSY = "busy: as many requests as this CA takes are waiting"


class Line:
    """Between client and CA, at the same paths. fates: what becomes of the next messages; the later ones pass. sent:
    all of them. answers: what the CA answered, heard or not.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.capabilities = HttpTransport(url).capabilities()
        self.fates: list[Fate] = []
        self.sent: list[bytes] = []
        self.answers: list[bytes] = []
        self.held: list[bytes] = []

    def __call__(self, request: Received) -> Answer:
        parts = urlsplit(request.path)
        self.ca = HttpTransport(self.url + parts.path.removeprefix("/scep"))
        query = parse_qs(parts.query)
        if query["operation"] == ["GetCACaps"]:
            return 200, self.capabilities[0] or b""
        if query["operation"] == ["GetCACert"]:
            return 200, self.ca.get_ca_cert()
        message = request.body or base64.b64decode(query["message"][0])
        self.sent.append(message)
        fate = self.fates.pop(0) if self.fates else passes
        return fate(self, message)

    def deliver(self, message: bytes) -> bytes:
        """The CA's answer."""
        self.answers.append(self.ca.pki_operation(message, self.capabilities[1]))
        return self.answers[-1]

    @property
    def types(self) -> list[str]:
        """Of what the client sent; a CertPoll with a confirmation is one with a plus sign."""
        found = [PkiMessage.decode(message) for message in self.sent]
        return [each.message_type.name + "+" * (each.attribute(KEM_POP_CONFIRM) is not None) for each in found]


Fate = Callable[[Line, bytes], Answer]


def passes(line: Line, message: bytes) -> Answer:
    return 200, line.deliver(message)


def is_gone(_line: Line, _message: bytes) -> Answer:
    return NOTHING


def is_late(line: Line, message: bytes) -> Answer:
    """It arrives after the next one that passes with `and_the_late_one`."""
    line.held.append(message)
    return 504, b""


def and_the_late_one(line: Line, message: bytes) -> Answer:
    answer = line.deliver(message)
    line.deliver(line.held.pop())
    return 200, answer


def unanswered(answer: Answer) -> Fate:
    def fate(line: Line, message: bytes) -> Answer:
        line.deliver(message)
        return answer

    return fate


def is_reset(line: Line, message: bytes) -> Answer:
    line.deliver(message)
    raise ConnectionResetError


def is_cut(line: Line, message: bytes) -> Answer:
    answer = line.deliver(message)
    return 200, answer[:-1], {"Content-Length": str(len(answer)), "Connection": "close"}


def is_cut_unseen(line: Line, message: bytes) -> Answer:
    return 200, line.deliver(message)[:-1]


answer_lost = unanswered((502, b"<html>Bad Gateway</html>"))
ALL_LOST = [answer_lost, *[is_gone] * len(PAUSES)]
WAYS_OF_LOSING = {
    **{str(status): unanswered((status, b"")) for status in (408, 429, 502, 503, 504)},
    "no octet": unanswered((200, b"")),
    "a page": unanswered((200, b"<html>Log in to the hotel</html>")),
    "reset": is_reset,
    "cut": is_cut,
    "cut unseen": is_cut_unseen,
}


class Device:
    """A device behind a line."""

    def __init__(self, folder: Path, line: Line, url: str, ca_dir: CaDir) -> None:
        self.folder, self.line, self.url, self.ca_dir = folder, line, url, ca_dir
        self.key, self.out, self.pending = folder / "a key", folder / "a.pem", folder / "a.pem.pending"
        self.where = ("--ca-fingerprint", ca_dir.load().current.identifier)

    def password(self) -> str:
        return run("challenge", "new", "--dir", self.ca_dir.path).good().out.strip()

    def enroll(self, *more: str | Path, subject: str = "CN=lost", profile: str = "") -> Result:
        """The command as README gives it: with a new challenge password each time."""
        if not profile:
            more = (*more, "--challenge", self.password())
        files_of = ("--key", self.key, "--out", self.out, "--subject", subject)
        return run("enroll", "--url", self.url + profile, *self.where, *files_of, *more)

    def kem(self, *more: str | Path) -> Result:
        return self.enroll("--key-type", "ml-kem-768", *more)

    def poll(self) -> Result:
        return run("poll", "--key", self.key, "--out", self.out)

    @property
    def polling(self) -> str:
        """What the client says to run later."""
        return f"scep-kem poll --key {quoted(self.key)} --out {quoted(self.out)}"

    def lose(self, command: Callable[[], Result]) -> Result:
        """Run a command that gives up."""
        self.line.fates = list(ALL_LOST)
        found = command()
        assert found.code == 1 and self.pending.exists(), found
        self.line.sent.clear()
        return found

    @property
    def issued(self) -> list[str]:
        """`ca list`, a line each."""
        return run("ca", "list", "--dir", self.ca_dir.path).good().out.splitlines()


@pytest.fixture(scope="module")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> CaDir:
    folder = tmp_path_factory.mktemp("lossy") / "ca"
    return make_ca_dir(folder, CONFIG, pair=ca_pair("ec:P-256"), kems=("ml-kem-768",))


@pytest.fixture(scope="module")
def url(ca_dir: CaDir) -> Iterator[str]:
    with serving(replace(load(ca_dir.config_path), port=0)) as port:
        yield f"http://127.0.0.1:{port}/scep"


@pytest.fixture
def device(tmp_path: Path, url: str, ca_dir: CaDir) -> Iterator[Device]:
    line = Line(url)
    with Peer(line) as peer:
        found = Device(tmp_path, line, peer.url, ca_dir)
        files.write_key(found.folder / "rsa.key", key("rsa:2048", "live device"))
        yield found


@pytest.fixture
def rsa(device: Device) -> Device:
    files.write_key(device.key, key("rsa:2048", "live device"))
    return device


# Asking


@pytest.mark.parametrize("how", WAYS_OF_LOSING)
def test_after_a_lost_answer_the_client_polls(rsa: Device, naps: list[float], how: str) -> None:
    before = len(rsa.issued)
    rsa.line.fates = [WAYS_OF_LOSING[how]]
    said = rsa.enroll().good().err
    assert "send the DER octets" not in said  # the advice is for whoever sent it
    assert how != "a page" or "the answer is no pkiMessage: this is an HTML page; asking" in said
    assert rsa.line.types == ["PKCSReq", "CertPoll"] and naps == [PAUSES[0]]
    assert len(rsa.issued) == before + 1 and not rsa.pending.exists()


@pytest.mark.parametrize("way", [[], ["--get"]], ids=["POST", "GET"])
def test_a_request_that_never_arrived_is_sent_again_octet_for_octet(rsa: Device, way: list[str]) -> None:
    rsa.line.fates = [is_gone]
    rsa.enroll(*way).good()
    assert rsa.line.types == ["PKCSReq", "CertPoll", "PKCSReq"] and rsa.line.sent[0] == rsa.line.sent[2]


def test_a_poll_that_is_lost_too_is_followed_by_another(rsa: Device, naps: list[float]) -> None:
    rsa.line.fates = [answer_lost, is_gone, answer_lost]
    rsa.enroll().good()
    assert rsa.line.types == ["PKCSReq", "CertPoll", "CertPoll", "CertPoll"] and naps == list(PAUSES[:3])


def test_a_late_first_copy_does_not_spoil_the_proof_of_possession(device: Device) -> None:
    """The fault this is about: the second request had other octets, and the late first one replaced it."""
    device.line.fates = [is_late, passes, and_the_late_one]
    device.kem().good()
    assert device.line.types == ["PKCSReq", "CertPoll", "PKCSReq", "CertPoll+"]


def test_after_a_lost_confirmation_the_client_polls_without_it(device: Device) -> None:
    device.line.fates = [passes, answer_lost]
    device.kem().good()
    assert device.line.types == ["PKCSReq", "CertPoll+", "CertPoll"]


def test_a_confirmation_that_never_arrived_is_made_anew_for_another_challenge(device: Device) -> None:
    device.line.fates = [passes, is_gone]
    device.kem().good()
    assert device.line.types == ["PKCSReq", "CertPoll+", "CertPoll", "CertPoll+"]
    assert device.line.sent[1] != device.line.sent[3]


def test_a_challenge_that_was_lost_is_asked_for(device: Device) -> None:
    device.line.fates = [answer_lost]
    device.kem().good()
    assert device.line.types == ["PKCSReq", "CertPoll", "CertPoll+"]


def test_a_refusal_that_was_lost_is_heard_at_last(rsa: Device) -> None:
    rsa.line.fates = [answer_lost]
    found = run(
        *("enroll", "--url", rsa.url, *rsa.where, "--key", rsa.key, "--out", rsa.out, "--subject", "CN=lost"),
        *("--challenge", "wrong horse battery staple"),
    )
    assert found.code == 4 and "challengePassword" in found.err.splitlines()[-1]
    assert not rsa.pending.exists() and rsa.line.sent[0] == rsa.line.sent[-1]


def test_a_refused_poll_ends_an_enrolment_that_the_ca_had_answered(rsa: Device) -> None:
    """Only who never heard of the CA may think that the CA never heard of the request."""
    assert rsa.enroll(profile="/manual").code == 3
    listed = run("requests", "list", "--dir", rsa.ca_dir.path).good().out.splitlines()
    waiting = next(line.split()[0] for line in listed if "CN=lost" in line)
    run("requests", "reject", waiting, "--reason", "no", "--dir", rsa.ca_dir.path).good()
    rsa.line.sent.clear()
    rsa.poll().refused_in_one_line(4, "refused: badRequest: no")
    assert rsa.line.types == ["CertPoll"] and not rsa.pending.exists()


# Giving up, and going on


@pytest.mark.parametrize("kind", ["rsa", "kem"])
def test_a_client_gives_up_after_growing_pauses_and_says_how_to_go_on(
    rsa: Device, naps: list[float], kind: str
) -> None:
    if kind == "kem":
        rsa.key.unlink()
    found = rsa.lose(rsa.kem if kind == "kem" else rsa.enroll)
    assert naps == list(PAUSES) == sorted(PAUSES)
    assert found.err.splitlines()[-1].endswith(f"to go on: {rsa.polling}")
    assert stat.S_IMODE(rsa.pending.stat().st_mode) == 0o600
    rsa.poll().good()
    assert "PKCSReq" not in rsa.line.types and not rsa.pending.exists()


def test_the_request_is_on_disk_before_it_leaves(device: Device) -> None:
    seen: list[tuple[int, bool, Pending]] = []

    def look(line: Line, message: bytes) -> Answer:
        found = Pending.load(device.pending)
        seen.append((stat.S_IMODE(device.pending.stat().st_mode), found.sent == line.sent[0], found))
        return passes(line, message)

    device.line.fates = [look, look]
    device.kem().good()
    assert [(mode, same) for mode, same, _ in seen] == [(0o600, True)] * 2
    assert [(found.answered, found.signer is not None) for _, _, found in seen] == [(False, True), (True, True)]


def test_the_same_command_goes_on_with_what_an_earlier_run_left(device: Device) -> None:
    device.lose(device.kem)
    found = device.kem().good()
    assert "going on with it" in found.err and "PKCSReq" not in device.line.types


def test_the_same_renewal_goes_on(rsa: Device) -> None:
    rsa.enroll().good()
    rsa.pending = rsa.folder / "b.pem.pending"
    files_of = ("--cert", rsa.out, "--key", rsa.key, "--new-key", rsa.folder / "b.key", "--out", rsa.folder / "b.pem")

    def renew() -> Result:
        return run("renew", "--url", rsa.url, *rsa.where, *files_of)

    rsa.lose(renew)
    assert "going on with it" in renew().good().err
    assert rsa.line.types == ["CertPoll"]


@pytest.mark.parametrize("other", ["subject", "url", "name", "key", "renewal"])
def test_what_an_earlier_run_left_is_not_replaced_by_another_request(rsa: Device, other: str) -> None:
    rsa.lose(rsa.enroll)
    left = rsa.pending.read_bytes()
    if other == "key":
        rsa.key = rsa.folder / "new.key"
    found = {
        "subject": lambda: rsa.enroll(subject="CN=another"),
        "url": lambda: rsa.enroll(profile="/approval"),
        "name": lambda: rsa.enroll("--san", "dns:a.example"),
        "key": rsa.enroll,
        "renewal": lambda: renew_into_the_same_file(rsa),
    }[other]()
    found.refused_in_one_line(2, f"{rsa.pending} holds another request", "scep-kem poll")
    assert rsa.line.sent == [] and rsa.pending.read_bytes() == left and not (rsa.folder / "new.key").exists()


def renew_into_the_same_file(device: Device) -> Result:
    """With the key and the subject of the enrolment that is still open."""
    private = key("rsa:2048", "live device")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name("CN=lost"))
        .issuer_name(name("CN=CA,O=Example"))
        .public_key(private.public_key())
        .serial_number(5)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    old = device.folder / "old.pem"
    files.write(old, files.pem(certificate))
    return run("renew", "--url", device.url, *device.where, "--cert", old, "--key", device.key, "--out", device.out)


def test_what_an_earlier_run_left_is_replaced_once_its_signer_has_expired(
    rsa: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsa.lose(rsa.enroll)
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(days=31))
    found = rsa.enroll(subject="CN=another").good()
    assert re.search("has expired on .*, and the clock of this device says .*; beginning anew", found.err)
    assert rsa.line.types == ["PKCSReq"]


def test_going_on_keeps_the_pinned_ca(rsa: Device) -> None:
    rsa.lose(rsa.enroll)
    rsa.pending.write_text(rsa.pending.read_text().replace(rsa.where[1], "0" * 64))
    rsa.where = ()
    found = rsa.enroll()
    assert found.code == 1 and "no certificate has the fingerprint" in found.err.splitlines()[-1]
    assert rsa.pending.exists() and rsa.line.sent == []


def test_going_on_keeps_the_capabilities_that_were_acted_on(rsa: Device) -> None:
    """A confirmation repeats their hash, so that the CA notices a downgrade."""
    rsa.lose(lambda: rsa.enroll(profile="/manual"))
    kept = json.loads(rsa.pending.read_text())
    rsa.line.capabilities = (b"POSTPKIOperation\nAES\nSHA-256\n", rsa.line.capabilities[1])
    assert rsa.poll().code == 3
    now = json.loads(rsa.pending.read_text())
    assert (kept["answered"], now["answered"]) == (False, True) and now["capabilities"] == kept["capabilities"]


# Refused


def failure(device: Device, text: str) -> Fate:
    """A CertRep FAILURE of the CA's with this failInfoText."""
    by = device.ca_dir.load().current.signer

    def fate(_line: Line, message: bytes) -> Answer:
        status = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badRequest, "fail_info_text": text}
        return 200, cert_rep(by, message, **status)

    return fate


@pytest.mark.parametrize("fates", [[], [answer_lost]], ids=["at once", "to the poll"])
def test_a_busy_ca_is_come_back_to(device: Device, fates: list[Fate]) -> None:
    device.line.fates = [*fates, failure(device, BUSY)]
    found = device.kem()
    assert found.code == 4 and len(device.line.sent) == len(fates) + 1
    last = found.err.splitlines()[-1]
    assert last == f"refused: badRequest: {BUSY}; come back later: {device.polling}"
    device.poll().good()


def test_another_refusal_ends_the_enrolment(device: Device) -> None:
    device.line.fates = [failure(device, "not busy, but wrong")]
    device.kem().refused_in_one_line(4, "refused: badRequest: not busy, but wrong")
    assert not device.pending.exists()


@pytest.mark.parametrize("status", [302, 400, 404, 413, 414])
def test_a_request_that_http_declined_leaves_nothing(rsa: Device, naps: list[float], status: int) -> None:
    rsa.line.fates = [lambda _line, _message: (status, b"no")]
    rsa.enroll().refused_in_one_line(1, f"HTTP {status}: no")
    assert not rsa.pending.exists() and len(rsa.line.sent) == 1 and naps == []


def test_http_declining_later_leaves_what_is_needed_to_go_on(rsa: Device) -> None:
    rsa.line.fates = [answer_lost, lambda _line, _message: (404, b"no")]
    assert rsa.enroll().code == 1
    rsa.poll().good()


def test_an_answer_that_cannot_be_believed_leaves_what_is_needed_to_go_on(device: Device) -> None:
    """It may be an attacker's, who must not make a client throw its signer away."""

    def replayed(line: Line, message: bytes) -> Answer:
        line.deliver(message)
        return 200, line.answers[0]

    device.line.fates = [passes, replayed]
    found = device.kem()
    found.refused_in_one_line(1, "recipientNonce is not our senderNonce", f"kept in {device.folder}", "scep-kem poll")
    device.poll().good()


def test_it_says_where_a_challenge_is_broken(device: Device) -> None:
    by = device.ca_dir.load().current.signer

    def broken(line: Line, message: bytes) -> Answer:
        header: dict[str, Any] = {"more": ((KEM_POP_CHALLENGE, b"\x30\x03\x04\x01\x2a"),)}
        return 200, cert_rep(by, message, pki_status=PkiStatus.PENDING, **header)

    device.line.fates = [broken]
    found = device.kem()
    found.refused_in_one_line(
        1,
        "kemPopChallenge is not valid DER",
        "; version, at offset 2 of the structure, should be an INTEGER; this answer is kept",
    )


def test_the_kept_request_is_no_file_of_the_user_s(rsa: Device) -> None:
    rsa.out = rsa.folder / "x"
    rsa.key.rename(rsa.folder / "x.pending")
    rsa.key = rsa.folder / "x.pending"
    before = rsa.key.read_bytes()
    rsa.enroll().refused_in_one_line(2, "the file that keeps the request and --key are the same file")
    assert rsa.key.read_bytes() == before
