"""An answer that the client refuses is kept beside the certificate that it may hold, and can be read again."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pkix.certificates import Certificate
from pkix.signed_data import Signer
from scep.attributes import FailInfo, PkiStatus
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.cli import enrolment
from scep_kem.client.exchange import LARGEST_KEPT, MOST_KEPT
from scep_kem.client.options import DIGESTS
from scep_kem.client.pending import Pending
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Answer, Result, ca_pair, cert_rep, run
from tests.scep_kem.lossy import Device, Fate, Line, answer_lost, passes
from tests.world import key


@pytest.fixture
def device(lossy: Device) -> Device:
    files.write_key(lossy.key, key("rsa:2048", "live device"))
    return lossy


def sha1(device: Device, seen: list[bytes] | None = None) -> Fate:
    """The CA's answer, signed as some CAs still do."""
    by = device.ca_dir.load().current.signer

    def fate(line: Line, message: bytes) -> Answer:
        answer = PkiMessage.decode(line.deliver(message))
        assert answer.pki_status is PkiStatus.SUCCESS
        status = {"pki_status": PkiStatus.SUCCESS, "envelope": answer.signed.content}
        made = cert_rep(by, message, digest=DIGESTS["sha1"](), **status)
        if seen is not None:
            seen.append(made)
        return 200, made

    return fate


def sha1_refusal(device: Device, text: str = "no") -> Fate:
    by = device.ca_dir.load().current.signer
    status = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badRequest, "fail_info_text": text}
    return lambda _line, message: (200, cert_rep(by, message, digest=DIGESTS["sha1"](), **status))


def forged(line: Line, message: bytes) -> Answer:
    """By somebody on the way, who says that there is no certificate."""
    line.deliver(message)
    pair = ca_pair("ec:P-256", "stranger")
    by = Signer(pair.key, Certificate.of(pair.certificate))
    return 200, cert_rep(by, message, pki_status=PkiStatus.FAILURE, fail_info=FailInfo.badRequest)


def answers(device: Device) -> list[Path]:
    return sorted(device.folder.glob("a.pem.answer*"))


def test_an_answer_that_is_refused_is_kept_as_it_came_and_the_way_to_read_it_is_told(device: Device) -> None:
    seen: list[bytes] = []
    device.line.fates = [sha1(device, seen)]
    found = device.enroll()
    found.refused_in_one_line(
        1, "SHA-1", f"kept in {device.folder}/a.pem.answer;", f"to read it again: {device.polling} --legacy"
    )
    (file,) = answers(device)
    assert file.read_bytes() == seen[0] and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert device.pending.exists() and not device.out.exists()


def test_poll_reads_it_again_and_asks_nobody(device: Device) -> None:
    before = len(device.issued)
    device.line.fates = [sha1(device)]
    assert device.enroll().code == 1
    device.line.sent.clear()
    device.line.is_down = True  # not even GetCACert
    found = device.poll("--legacy").good()
    assert "is accepted now" in found.err and device.line.sent == []
    assert len(files.read_certificates(device.out)) == 1 and len(device.issued) == before + 1
    assert {path.name for path in device.folder.iterdir()} == {"a key", "a.pem"}


@pytest.mark.parametrize("command", ["enroll", "renew"])
def test_so_does_the_same_command(device: Device, command: str) -> None:
    if command == "renew":
        device.enroll().good()
        old = device.folder / "old.pem"
        device.out.rename(old)

    def again(*more: str) -> Result:
        if command == "enroll":
            return device.enroll("--ca-out", device.folder / "ca.pem", *more)
        paths = ("--cert", old, "--key", device.key, "--out", device.out)
        return run("renew", "--url", device.url, *device.where, *paths, *more)

    device.line.fates = [sha1(device)]
    assert again().code == 1
    device.line.is_down = True
    (device.folder / "ca.pem").unlink(missing_ok=True)
    again("--legacy").good()
    assert device.out.exists() and (command == "renew" or (device.folder / "ca.pem").exists())


def test_what_is_still_refused_is_told_and_the_ca_is_asked(device: Device) -> None:
    device.line.fates = [sha1(device)]
    assert device.enroll().code == 1
    found = device.poll().good()
    assert "a.pem.answer is not accepted: the answer says SUCCESS, but we do not accept it: digest SHA-1" in found.err
    assert device.line.types == ["PKCSReq", "CertPoll"] and answers(device) == []


def test_a_bad_answer_takes_no_good_one_s_place_and_does_not_stop_polling(device: Device) -> None:
    good: list[bytes] = []
    device.line.fates = [sha1(device, good), forged, forged]
    assert device.enroll().code == 1
    assert [device.poll().code, device.poll().code] == [1, 1]
    assert len(answers(device)) == 3 and answers(device)[0].read_bytes() == good[0]
    device.line.is_down = True
    device.poll("--legacy").good()
    assert answers(device) == []


def test_a_good_answer_after_a_bad_one_is_kept_too(device: Device) -> None:
    device.line.fates = [forged, sha1(device)]
    assert [device.enroll().code, device.poll().code] == [1, 1]
    device.line.is_down = True
    found = device.poll("--legacy").good()
    assert "a.pem.answer is not accepted" in found.err and "a.pem.answer2 is accepted now" in found.err


def test_bad_answers_do_not_fill_the_disk_and_polling_goes_on(device: Device) -> None:
    device.line.fates = [forged] * (MOST_KEPT + 2)
    assert device.enroll().code == 1
    assert {device.poll().code for _ in range(MOST_KEPT + 1)} == {1}
    assert len(answers(device)) == MOST_KEPT
    device.poll().good()
    assert answers(device) == [] and not device.pending.exists()


def test_what_the_ca_has_signed_takes_the_place_of_what_anybody_could_make(device: Device) -> None:
    """Else who is on the way fills all places, and the CA's own answer, with the certificate, is lost."""
    good: list[bytes] = []
    refuses = sha1_refusal(device)

    def refuses_after_all(line: Line, message: bytes) -> Answer:
        line.deliver(message)
        return refuses(line, message)

    device.line.fates = [refuses_after_all, *[forged] * (MOST_KEPT - 1), sha1(device, good)]
    assert device.enroll().code == 1
    assert {device.poll().code for _ in range(MOST_KEPT)} == {1}
    assert len(answers(device)) == MOST_KEPT and answers(device)[1].read_bytes() == good[0]
    device.line.is_down = True
    assert "a.pem.answer2 is accepted now" in device.poll("--legacy").good().err


def test_a_replayed_answer_is_none_that_the_ca_has_given(device: Device) -> None:
    replayed: list[bytes] = []
    first = sha1(device, replayed)
    device.line.fates = [first, *[lambda _line, _message: (200, replayed[0])] * (MOST_KEPT - 1)]
    assert device.enroll().code == 1
    assert {device.poll().code for _ in range(MOST_KEPT - 1)} == {1}
    kept = [item.is_the_ca_s for item in Pending.load(device.pending).answers]
    assert kept == [True] + [False] * (MOST_KEPT - 1)


def test_that_an_answer_is_not_kept_is_said(device: Device) -> None:
    device.line.fates = [forged] * (MOST_KEPT + 1)
    assert device.enroll().code == 1
    assert {device.poll().code for _ in range(MOST_KEPT - 1)} == {1}
    assert f"; this answer is not kept: {MOST_KEPT} others are; to go on" in device.poll().err


def test_nor_does_a_large_one(device: Device) -> None:
    by = device.ca_dir.load().current.signer
    large = {"pki_status": PkiStatus.SUCCESS, "envelope": bytes(LARGEST_KEPT)}
    device.line.fates = [lambda _line, message: (200, cert_rep(by, message, **large))]
    text = f"; this answer is not kept: it has more than {LARGEST_KEPT} octets; to go on: scep-kem poll"
    device.enroll().refused_in_one_line(1, text)
    assert answers(device) == []


def test_a_kept_answer_is_verified_all_the_same(device: Device) -> None:
    device.line.fates = [sha1(device)]
    assert device.enroll().code == 1
    (file,) = answers(device)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    file.chmod(0o600)
    assert "is not accepted: " in device.poll("--legacy").good().err


def test_an_answer_to_another_message_is_not_accepted(device: Device) -> None:
    device.line.fates = [sha1(device), sha1(device)]
    assert [device.enroll().code, device.poll().code] == [1, 1]
    first, second = answers(device)
    first.write_bytes(second.read_bytes())
    found = device.poll("--legacy").good()
    assert "a.pem.answer is not accepted: " in found.err and "recipientNonce is not our" in found.err
    assert "a.pem.answer2 is accepted now" in found.err


@pytest.mark.parametrize("gone", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["removed", "emptied"])
def test_a_kept_answer_that_is_gone_costs_nothing(device: Device, gone: Callable[[Path], object]) -> None:
    device.line.fates = [sha1(device)]
    assert device.enroll().code == 1
    gone(answers(device)[0])
    assert "is not accepted: " in device.poll("--legacy").good().err


def test_a_refusal_that_was_not_read_is_told_and_the_ca_is_asked(device: Device) -> None:
    device.line.fates = [sha1_refusal(device)]
    assert device.enroll().code == 1
    device.line.is_down = True
    found = device.poll("--legacy")
    told = f"the answer kept in {device.folder}/a.pem.answer: refused: badRequest: no; asking the CA what holds now"
    assert found.code == 1 and found.err.splitlines()[0] == told
    assert device.pending.exists() and len(answers(device)) == 1
    device.line.is_down = False
    device.line.fates = [sha1_refusal(device), sha1_refusal(device)]
    found = device.poll("--legacy")
    assert found.code == 4 and found.err.splitlines()[-1] == "refused: badRequest: no"
    assert not device.pending.exists() and answers(device) == []


def test_an_early_refusal_does_not_hide_the_certificate_that_came_later(device: Device) -> None:
    """The CA could not at first; the request went out again, and was issued."""
    before, password = len(device.issued), device.password()
    device.line.fates = [sha1_refusal(device, "try later"), passes, sha1(device)]
    assert device.enroll(password=password).code == 1
    assert device.poll().code == 1 and device.line.types == ["PKCSReq", "CertPoll", "PKCSReq"]
    assert len(answers(device)) == 2
    device.line.is_down = True
    found = device.poll("--legacy").good()
    assert "answer: refused: badRequest: try later;" in found.err and "a.pem.answer2 is accepted now" in found.err
    assert len(files.read_certificates(device.out)) == 1 and len(device.issued) == before + 1
    assert answers(device) == [] and not device.pending.exists()


def test_a_refused_poll_of_a_ca_that_may_not_know_the_request_is_none(device: Device) -> None:
    """The request was lost, and its poll was refused: the request is sent again."""
    device.line.fates = [lambda _line, _message: (503, b""), sha1_refusal(device, "no such transaction")]
    assert device.enroll().code == 1
    device.poll("--legacy").good()
    assert device.line.types == ["PKCSReq", "CertPoll", "CertPoll", "PKCSReq"]


def test_an_answer_that_was_kept_survives_the_end_of_the_signer(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.line.fates = [sha1(device)]
    assert device.enroll().code == 1
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(days=31))
    device.line.is_down = True
    device.enroll("--legacy").good()


def test_the_kept_answer_is_no_file_of_the_user_s(device: Device) -> None:
    device.key.rename(device.folder / "a.pem.answer2")
    device.key = device.folder / "a.pem.answer2"
    device.enroll().refused_in_one_line(2, "a file that keeps answers (2) and --key are the same file")


def test_a_lost_answer_is_not_kept(device: Device) -> None:
    device.line.fates = [answer_lost, passes]
    device.enroll().good()
    assert answers(device) == []


def test_what_cannot_be_removed_makes_no_failure_of_a_certificate(device: Device) -> None:
    (device.folder / "a.pem.answer3").mkdir()
    found = device.enroll().good()
    assert found.err.startswith(f"cannot remove {device.folder}/a.pem.answer3: ") and found.err.count("\n") == 1
    assert device.out.exists() and not device.pending.exists()
