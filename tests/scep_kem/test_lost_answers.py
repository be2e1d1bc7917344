"""What the client does when a message or its answer is lost: it asks, and never makes a second request of one."""

from __future__ import annotations

import json
import re
import stat
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scep.attributes import KEM_POP_CHALLENGE, FailInfo, PkiStatus
from scep_kem import files
from scep_kem.cli import enrolment
from scep_kem.client.exchange import PAUSES
from scep_kem.client.pending import Pending
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Answer, Result, cert_rep, run
from tests.scep_kem.lossy import (
    WAYS_OF_LOSING,
    Device,
    Fate,
    Line,
    and_the_late_one,
    answer_lost,
    is_gone,
    is_late,
    passes,
    unanswered,
)
from tests.world import key, name

BUSY = "busy: as many requests as this CA takes are waiting"


@pytest.fixture
def device(lossy: Device) -> Device:
    return lossy


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
    assert how != "a page" or "the answer is an HTML page: Log in to the hotel (HTTP 200, " in said
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


def test_a_password_that_is_not_sent_is_told(rsa: Device) -> None:
    one, other = rsa.password(), rsa.password()
    rsa.lose(lambda: rsa.enroll(password=one))
    unsent = "going on with it; the challenge password given now is not sent, it has its own; "
    unsent += f"to ask anew, remove {rsa.pending}, which gives up what the CA may have issued for it"
    assert rsa.lose(lambda: rsa.enroll(password=other)).err.splitlines()[0].endswith(unsent)
    assert unsent not in rsa.enroll(password=one).good().err
    assert rsa.enroll(password=other).good()  # which was not used up


@pytest.mark.parametrize("kind", ["poll", "enroll"])
def test_polling_goes_on_when_the_server_is_back(rsa: Device, kind: str) -> None:
    """It is refused for longer than one poll tries."""
    restart = [is_gone] * (len(PAUSES) + 1)
    assert rsa.enroll(profile="/manual").code == 3
    rsa.line.sent.clear()
    rsa.line.fates = [*([] if kind == "enroll" else restart), passes, *restart, passes]
    waiting = ("--max-polls", "3", "--poll-interval", "1")
    found = rsa.poll(*waiting) if kind == "poll" else rsa.enroll(*waiting, profile="/manual")
    assert found.code == 3 and "still pending; later" in found.err
    lines = found.err.splitlines()
    assert sum("going on with the next one" in line for line in lines) == 1
    assert sum("going on with polling" in line for line in lines) == (kind == "poll")


def test_polling_ends_with_the_last_poll(rsa: Device) -> None:
    assert rsa.enroll(profile="/manual").code == 3
    rsa.line.fates = [passes, *[is_gone] * 99]
    found = rsa.poll("--max-polls", "2", "--poll-interval", "1")
    again = f"; to go on: {rsa.polling} --poll-interval 1 --max-polls 2"
    assert found.code == 1 and found.err.splitlines()[-1].endswith(again) and rsa.pending.exists()


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
    whose = f"{rsa.pending} holds another request that has no answer yet, for CN=lost at {rsa.url}: "
    found.refused_in_one_line(2, whose, "scep-kem poll", f"to ask anew, remove {rsa.pending}, which gives up")
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


def test_going_on_keeps_the_options(rsa: Device) -> None:
    """What the server needs, `poll` needs as well; it is told once."""
    rsa.lose(lambda: rsa.enroll("--get", "--digest", "sha512", "--cipher", "aes192", profile="/manual"))
    assert rsa.poll().code == 3
    found = rsa.poll("--trace", "--cipher", "aes256")
    assert found.code == 3 and rsa.line.ways[-3:] == ["GET"] * 3
    assert "rsa:2048, SHA-512: verified" in found.out and "AES-256-CBC" in found.out


def test_an_option_that_is_none_any_more_is_told(rsa: Device) -> None:
    rsa.lose(lambda: rsa.enroll("--digest", "sha512"))
    rsa.pending.write_text(rsa.pending.read_text().replace('"sha512"', '"whirlpool"'))
    found = rsa.poll()
    assert found.code == 2 and "'whirlpool' is not possible" in found.err and rsa.pending.exists()


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


HTTP_REFUSALS = [302, 400, 404, 413, 414, 500]


@pytest.mark.parametrize("status", HTTP_REFUSALS)
@pytest.mark.parametrize("kind", ["ec:P-256", "ml-kem-768"])
@pytest.mark.parametrize("arrived", [True, False])
def test_what_http_says_of_a_request_is_nobody_s_word(
    device: Device, naps: list[float], kind: str, arrived: bool, status: int
) -> None:
    """Whoever is between us and the CA can say it after the CA has issued, and used up the password."""
    refuses = unanswered((status, b"no")) if arrived else lambda _line, _message: (status, b"no")
    before, password = len(device.issued), device.password()
    device.line.fates = [refuses]
    found = device.enroll("--key-type", kind, password=password)
    found.refused_in_one_line(1, f"HTTP {status}", ": no", f"; to go on: {device.polling}")
    assert device.pending.exists() and len(device.line.sent) == 1 and naps == []
    device.enroll("--key-type", kind, password=password).good()
    assert len(device.issued) == before + 1 and not device.pending.exists()


def test_nor_is_what_it_says_later(rsa: Device) -> None:
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
        "; version, at offset ",
        " of the message, should be an INTEGER; this answer is kept",
    )


def test_the_kept_request_is_no_file_of_the_user_s(rsa: Device) -> None:
    rsa.out = rsa.folder / "x"
    rsa.key.rename(rsa.folder / "x.pending")
    rsa.key = rsa.folder / "x.pending"
    before = rsa.key.read_bytes()
    rsa.enroll().refused_in_one_line(2, "the file that keeps the request and --key are the same file")
    assert rsa.key.read_bytes() == before
