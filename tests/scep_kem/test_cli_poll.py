"""Enrolments that wait: exit code 3, the file beside the certificate, `poll`, approval by operator and webhook."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scep_kem import files
from scep_kem.client import exchange as exchange_module
from scep_kem.config import load
from tests.scep_kem.devices import Device, pending, waiting
from tests.scep_kem.kit import Peer, make_ca_dir, quoted, run, serving
from tests.world import key


def test_4_4_pending_is_exit_code_3_then_approved_and_polled_is_0(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("/manual")
    found = device.enroll(subject="CN=to approve")
    found.refused_in_one_line(3, "still pending; later: scep-kem poll", f"--out {quoted(device.out)}")
    assert device.names == {"device.key", "device.pem.pending"}
    device.poll().refused_in_one_line(3, "still pending")
    run("requests", "approve", waiting(ca_folder, "CN=to approve"), "--dir", ca_folder).good()
    device.poll().good()
    assert device.certificate.subject.rfc4514_string() == "CN=to approve"
    assert device.names == {"device.key", "device.pem"}


def test_rejected_is_exit_code_4_with_the_reason(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("/manual")
    request_id = pending(device, ca_folder, "CN=to reject")
    run("requests", "reject", request_id, "--reason", "who is that?", "--dir", ca_folder).good()
    device.poll().refused_in_one_line(4, "refused: badRequest: who is that?")
    assert device.names == {"device.key"}


def test_polling_while_waiting_shows_progress(
    make: Callable[..., Device], ca_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, naps = make("/manual"), []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            run("requests", "approve", waiting(ca_folder, "CN=patient"), "--dir", ca_folder).good()

    monkeypatch.setattr(exchange_module, "nap", nap)
    found = device.enroll("--poll-interval", "0.25", "--max-polls", "5", subject="CN=patient").good()
    assert naps == [0.25] * 3
    assert found.err.splitlines() == [
        "pending; polling every 0.25 s, at most 5 times",
        "poll 1 of 5: still pending",
        "poll 2 of 5: still pending",
    ]


def test_polls_that_are_used_up_are_exit_code_3(make: Callable[..., Device]) -> None:
    device = make("/manual")
    assert device.enroll("--max-polls", "2", subject="CN=impatient").code == 3
    found = device.poll("--max-polls", "2")
    assert found.code == 3 and "poll 2 of 2: still pending" in found.err


def test_the_pending_file_is_private_and_has_no_more_than_it_needs(make: Callable[..., Device]) -> None:
    device = make("/manual")
    device.enroll(subject="CN=private")
    file = device.folder / "device.pem.pending"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and b"PRIVATE KEY" not in file.read_bytes()
    found = json.loads(file.read_bytes())
    assert (found["url"], found["ca fingerprint"]) == (device.url, device.server.fingerprint)
    assert found["signer key"] is None and found["signer key file"] is None and found["renewed"] is None


def test_polling_with_another_key_is_exit_code_2(make: Callable[..., Device]) -> None:
    device = make("/manual")
    device.enroll(subject="CN=mixed up")
    files.write_key(device.key, key("rsa:2048", "another live device"))
    device.poll().refused_in_one_line(2, "the key is not the one that the pending request is for")
    assert "device.pem.pending" in device.names


def test_polling_keeps_the_pinned_ca(make: Callable[..., Device]) -> None:
    device = make("/manual")
    device.enroll(subject="CN=pinned")
    file = device.folder / "device.pem.pending"
    file.write_text(file.read_text().replace(device.server.fingerprint, "0" * 64))
    device.poll().refused_in_one_line(1, "no certificate has the fingerprint")
    assert "device.pem.pending" in device.names


def test_its_help_does_not_say_that_anybody_is_trusted() -> None:
    said = {command: " ".join(run(command, "--help").good().out.split()) for command in ("poll", "enroll")}
    assert "whatever comes is trusted" in said["enroll"] and "whatever comes is trusted" not in said["poll"]
    assert "The default is what was given before." in said["poll"]


def test_the_same_request_under_two_transactions_can_be_told_apart_and_decided(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    """A client that lost what it kept begins again, with the same key, so the same request (RFC 8894 section 5.2)."""
    device = make("/manual")
    first = pending(device, ca_folder, "CN=begins again")
    (device.folder / "device.pem.pending").unlink()
    second = pending(device, ca_folder, "CN=begins again")
    assert first != second
    run("requests", "approve", second, "--dir", ca_folder).good()
    device.poll().good()


def test_a_pending_renewal_with_a_new_key_can_be_polled_from_another_folder(
    make: Callable[..., Device], ca_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is encrypted to the old key, whose file is remembered. Without the capability, renewal is a PKCSReq,
    which an operator may have to approve.
    """
    device = make("/approval")
    run("requests", "approve", pending(device, ca_folder, "CN=renews"), "--dir", ca_folder).good()
    device.poll().good()
    monkeypatch.chdir(device.folder)
    device.key, device.out = Path("device.key"), Path("device.pem")
    more = ("--new-key", "new.key", "--key-type", "ec:P-256", "--out", "new.pem")
    assert run("renew", *device.where, "--cert", "device.pem", "--key", "device.key", *more).code == 3
    run("requests", "approve", waiting(ca_folder, "CN=renews"), "--dir", ca_folder).good()
    monkeypatch.chdir("/")
    run("poll", "--key", device.folder / "new.key", "--out", device.folder / "new.pem").good()


def test_3_1_a_webhook_approves_later_what_comes_encrypted_under_the_password(tmp_path: Path) -> None:
    """The key cannot decrypt, so the pending file, which is private, remembers the password for the poll."""
    answers = iter([b'{"decision": "pending"}', b'{"decision": "approve"}'])
    with Peer(lambda _request: (200, next(answers))) as webhook:
        text = f'[ca]\ndir = "."\n[profiles.default.authorisation]\nwebhook = "{webhook.url}"\n'
        text += "webhook_pause_seconds = 0\n"
        settings = load(make_ca_dir(tmp_path / "ca", text).config_path)
        with serving(replace(settings, port=0)) as port:
            command = ["enroll", "--url", f"http://127.0.0.1:{port}/scep", "--challenge", "of the webhook's own"]
            paths = ["--key", tmp_path / "key", "--out", tmp_path / "out"]
            assert run(*command, *paths, "--key-type", "ed25519", "--subject", "CN=device").code == 3
            file = tmp_path / "out.pending"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            run("poll", *paths).good()
    assert len(webhook.received) == 2 and not file.exists()


def test_a_pending_client_shows_by_what_the_operator_knows_the_request(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    """Issue 10, section 6: operator and owner compare both over the telephone."""
    device = make("/manual")
    found = device.enroll("--trace", subject="CN=compared")
    assert found.code == 3
    request_id = waiting(ca_folder, "CN=compared")
    facts = json.loads(run("requests", "show", request_id, "--json", "--dir", ca_folder).good().out)
    lines = [line.split() for line in found.out.splitlines()]
    assert ["transactionID", facts["transactionID"]] in lines
    assert ["request", "SHA-256", facts["request SHA-256"]] in lines
    assert ["request", "SHA-256", f"{facts['request SHA-256']},", "of", "its", "PKCS", "#10"] in lines
