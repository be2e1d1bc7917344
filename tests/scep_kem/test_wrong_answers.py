"""Answers that came whole and are wrong: asked for once more at most, told once, kept if the CA's is in them."""

from __future__ import annotations

import base64
import json

import pytest

from pkix.certificates import Certificate
from pkix.errors import AlgorithmRefused, LegacyRefused
from pkix.pem import encode_pem
from scep.answers import AnswerRefused
from scep_kem import files
from scep_kem.cli.common import told as said
from scep_kem.client.exchange import PAUSES
from tests.scep_kem.kit import Answer, Peer, run
from tests.scep_kem.lossy import Device, Fate, Line, is_gone, passes
from tests.world import key

pytestmark = pytest.mark.any_day


def flipped(line: Line, message: bytes) -> Answer:
    """Under a signature that is wrong."""
    answer = line.deliver(message)
    return 200, answer[:-1] + bytes([answer[-1] ^ 1])


IN_TEXT = {
    "base64": base64.encodebytes,
    "base64 in one line": base64.b64encode,
    "PEM": lambda der: encode_pem("PKCS7", der),
    "PEM with another label": lambda der: encode_pem("CERTIFICATE", der),
}
NO_MESSAGE = {
    "a page": b"<html>Log in to the hotel</html>",
    "JSON": b'{"error": "not allowed"}',
    "nothing": b"",
    "DER cut short": b"\x30\x82\x0a\x0a\x06\x09",
    "base64 of something else": base64.b64encode(b"\x30\x03\x02\x01\x01" * 5),
}


@pytest.fixture
def device(lossy: Device) -> Device:
    files.write_key(lossy.key, key("rsa:2048", "live device"))
    return lossy


def answered(body: bytes, status: int = 200, **headers: str) -> Fate:
    """The message arrives, and this comes back."""

    def fate(line: Line, message: bytes) -> Answer:
        line.deliver(message)
        return status, body, {name.replace("_", "-"): value for name, value in headers.items()}

    return fate


@pytest.mark.parametrize("form", IN_TEXT)
def test_an_answer_in_text_is_the_server_s_fault_and_kept_as_der(device: Device, naps: list[float], form: str) -> None:
    """Nothing is lost even if the server answers no copies."""
    before, seen = len(device.issued), list[bytes]()

    def in_text(line: Line, message: bytes) -> Answer:
        seen.append(line.deliver(message))
        return 200, IN_TEXT[form](seen[0]), {"Content-Type": "application/x-pki-message"}

    device.line.fates = [in_text]
    found = device.enroll()
    found.refused_in_one_line(1, ", not DER; that is a fault of the server; this answer is kept in ", device.polling)
    assert "SCEP URL" not in found.err and seen[0].hex() not in found.err and naps == []
    assert base64.b64encode(seen[0])[:40].decode() not in found.err
    assert (device.folder / "a.pem.answer").read_bytes() == seen[0] and not device.out.exists()
    device.line.is_down = True
    assert "is accepted now" in device.poll().good().err
    assert len(device.issued) == before + 1 and device.out.exists()


@pytest.mark.parametrize("what", NO_MESSAGE)
def test_what_is_no_message_is_asked_for_once_more(device: Device, naps: list[float], what: str) -> None:
    device.line.fates = [answered(NO_MESSAGE[what]), answered(NO_MESSAGE[what]), passes]
    found = device.enroll()
    first, last = found.err.splitlines()
    assert found.code == 1 and first.endswith("; asking what became of the request in 1 s")
    assert last.endswith(f"; to go on: {device.polling}") and "no answer" not in found.err
    assert device.line.types == ["PKCSReq", "CertPoll"] and naps == [PAUSES[0]]
    assert device.pending.exists() and not list(device.folder.glob("*.answer*"))
    device.poll().good()


def test_between_lost_answers_it_is_no_end(device: Device) -> None:
    device.line.fates = [answered(b"<html>"), is_gone, answered(b"<html>"), passes]
    device.enroll().good()


def test_the_same_is_told_once(device: Device) -> None:
    device.line.fates = [is_gone] * (len(PAUSES) + 1)
    *told, _last = device.enroll().err.splitlines()
    assert [line.partition("; ")[0] for line in told[1:]] == ["the same again"] * (len(PAUSES) - 1)
    assert "HTTP 503" in told[0] and [line.rpartition(" in ")[2] for line in told] == [
        "1 s",
        "2 s",
        "4 s",
        "8 s",
        "16 s",
    ]


def test_a_line_end_behind_an_answer_is_remarked_on(device: Device) -> None:
    def with_line_end(line: Line, message: bytes) -> Answer:
        return 200, line.deliver(message) + b"\r\n"

    device.line.fates = [with_line_end]
    found = device.enroll("--trace").good()
    assert "    ODD: 2 octets, a line end, behind the DER" in found.out.splitlines()


def test_other_octets_behind_an_answer_are_not_accepted(device: Device) -> None:
    def longer(line: Line, message: bytes) -> Answer:
        return 200, line.deliver(message) + b"\n0"

    device.line.fates = [longer, longer]
    assert device.enroll().code == 1


def test_nor_does_a_line_end_behind_the_ca_s_certificate_matter(device: Device) -> None:
    certificate = Certificate.of(device.ca_dir.load().current.ca.certificate)
    with Peer((200, certificate.der + b"\n", {"Content-Type": "application/x-x509-ca-cert"})) as peer:
        found = run("cacert", "--url", peer.url, *device.where).good()
    assert found.out.encode() == certificate.pem
    assert found.err.splitlines()[0] == "HTTP: 1 octets, a line end, behind the DER"


def test_the_ca_s_certificate_in_pem_is_the_server_s_fault(device: Device) -> None:
    with Peer((200, Certificate.of(device.ca_dir.load().current.ca.certificate).pem)) as peer:
        found = run("cacert", "--url", peer.url)
    found.refused_in_one_line(
        1, "GetCACert: the answer is PEM (CERTIFICATE) (HTTP 200", "that is a fault of the server"
    )


@pytest.mark.parametrize(("asked", "taken"), [("0", 1.0), ("3", 3.0), ("16", 16.0), ("x", 1.0), ("-5", 1.0)])
def test_a_server_that_wants_time_gets_it(device: Device, naps: list[float], asked: str, taken: float) -> None:
    device.line.fates = [answered(b"busy", 503, Retry_After=asked)]
    found = device.enroll().good()
    assert f"answered HTTP 503: busy (Retry-After: {asked}); asking" in found.err and naps == [taken]


@pytest.mark.parametrize("status", [429, 503])
def test_of_one_that_wants_more_the_user_is_told(device: Device, naps: list[float], status: int) -> None:
    device.line.fates = [answered(b"", status, Retry_After="120")]
    found = device.enroll()
    found.refused_in_one_line(1, f"answered HTTP {status} (Retry-After: 120); to go on: {device.polling}")
    assert naps == []


def test_a_server_that_may_want_to_know_which_ca_is_meant() -> None:
    hint = "answered HTTP 400: missing CA-IDENT; if the server has several CAs, --ca-identifier says which"
    with Peer((400, b"missing CA-IDENT")) as peer:
        assert hint in run("cacert", "--url", peer.url).err
        assert "--ca-identifier" not in run("cacert", "--url", peer.url, "--ca-identifier", "x").err


def test_a_redirect_to_nowhere_is_called_so(device: Device) -> None:
    device.line.fates = [answered(b"", 302)]
    assert "answered HTTP 302 without a Location" in device.enroll().err


@pytest.mark.parametrize(("scheme", "words"), [("", ""), ("Basic realm=x", " (Basic)"), ("\x1b[2J", " (\\x1b[2J)")])
def test_http_authentication_is_named(device: Device, scheme: str, words: str) -> None:
    device.line.fates = [answered(b"no", 401, WWW_Authenticate=scheme)]
    device.enroll().refused_in_one_line(
        1, f"answered HTTP 401: no; it wants HTTP authentication{words}, which this client does not do"
    )


def test_legacy_is_named_only_where_it_helps(device: Device) -> None:
    """No option makes a wrong signature right."""

    device.line.fates = [flipped]
    found = device.enroll()
    found.refused_in_one_line(1, "a.pem.answer; to go on, which asks the server again: scep-kem poll")
    assert "--legacy" not in found.err


def test_a_server_that_refuses_with_an_http_error_is_no_dead_end(device: Device) -> None:
    """NDES says so that a password is wrong (issue 11)."""

    def refuses(_line: Line, _message: bytes) -> Answer:
        return 500, b"<html><title>NDES</title>The password is wrong"

    device.line.fates = [refuses] * 3
    anew = f"; to ask anew, remove {device.pending}, which gives up what the CA may have issued for it"
    device.enroll(password="wrong password").refused_in_one_line(1, "HTTP 500", f"go on: {device.polling}{anew}")
    told, failed = device.enroll().err.splitlines()
    assert told.endswith(f"; the challenge password given now is not sent, it has its own{anew}")
    assert failed.endswith(f"; to go on: {device.polling}{anew}")
    device.poll().refused_in_one_line(1, f"{device.polling}{anew}")
    device.pending.unlink()
    device.enroll().good()


def test_after_lost_answers_nobody_is_told_to_give_up(device: Device) -> None:
    for command in (device.enroll, device.poll):
        device.line.fates = [is_gone] * (len(PAUSES) + 1)
        assert "to ask anew" not in command().err


def test_of_what_no_option_accepts_the_user_hears_that(device: Device) -> None:
    """Single DES, say. test_answers.py has what --diagnose shows."""
    refused = AnswerRefused(b"", "the answer says SUCCESS", [AlgorithmRefused("cipher DES-CBC is not supported")])
    assert said(refused).endswith("not supported; no option accepts that, but --diagnose shows what is in it")
    refused.diagnosis = ("content: DES",)
    assert said(refused).endswith("not supported; no option accepts that")
    legacy = AnswerRefused(b"", "the answer says SUCCESS", [LegacyRefused("digest SHA-1")])
    assert said(legacy).endswith("SHA-1; --legacy accepts that")


def test_programs_hear_why_a_kept_answer_is_not_accepted(device: Device) -> None:
    device.line.fates = [flipped]
    assert device.enroll().code == 1
    device.line.fates = [lambda _line, _message: (500, b"not implemented")]
    facts = json.loads(device.poll("--json").out)
    (why,) = facts["keptAnswers"]
    assert "SUCCESS, but we do not accept it" in why and "HTTP 500" in facts["error"]
