"""--json of the client's commands: one object on stdout and nothing else, however the command ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.scep_kem.devices import Device, against, answering, password
from tests.scep_kem.kit import Peer, Result, Served, run, unused_port


def object_of(found: Result) -> dict[str, Any]:
    """The one line of stdout."""
    assert found.out.endswith("\n") and found.out.count("\n") == 1, found
    facts: dict[str, Any] = json.loads(found.out)
    assert facts["exitCode"] == found.code
    return facts


def test_issued(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    found = device.enroll("--challenge", password(ca_folder), "--json", "--trace").good()
    facts, certificate = object_of(found), device.certificate
    assert (facts["command"], facts["status"]) == ("enroll", "issued")
    assert len(facts["transactionID"]) == 32 and len(facts["requestSha256"]) == 64
    told = facts["certificate"]
    assert x509.load_pem_x509_certificate(told["pem"].encode()) == certificate
    assert (told["subject"], told["key"]) == ("CN=device,O=Example", "rsa:2048")
    assert told["serial"] == f"{certificate.serial_number:x}"
    assert told["notAfter"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert len(facts["chain"]) == 1 and "client -> CA  PKCSReq" in found.err


def test_pending_then_polled_then_refused(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("/manual")
    found = device.enroll("--json", subject="CN=json")
    facts = object_of(found)
    assert (found.code, facts["status"]) == (3, "pending") and facts["goOn"].startswith("scep-kem poll ")
    lines = run("requests", "list", "--json", "--dir", ca_folder).good().out.splitlines()
    assert facts["requestSha256"] in {json.loads(line)["request SHA-256"] for line in lines}
    polled = object_of(device.poll("--json"))
    assert polled["command"] == "poll" and {**polled, "command": "enroll"} == facts
    request_id = next(item["id"] for item in map(json.loads, lines) if item["transactionID"] == facts["transactionID"])
    run("requests", "reject", request_id, "--reason", "no, ä", "--dir", ca_folder).good()
    refused = object_of(device.poll("--json"))
    assert (refused["status"], refused["exitCode"]) == ("refused", 4)
    assert refused["refused"] == {"failInfo": "badRequest", "text": "no, ä"}


def test_renewed(enrolled: Device) -> None:
    assert object_of(enrolled.signed("renew", "--json").good())["status"] == "issued"


def test_queries(enrolled: Device) -> None:
    serial = f"{enrolled.certificate.serial_number:x}"
    facts = object_of(enrolled.signed("getcert", "--serial", serial, "--json").good())
    assert facts["certificate"]["serial"] == serial
    facts = object_of(enrolled.signed("getcert", "--serial", "1", "--json"))
    assert (facts["status"], facts["refused"]["failInfo"]) == ("refused", "badCertId")
    facts = object_of(enrolled.signed("getcrl", "--json").good())
    assert x509.load_pem_x509_crl(facts["crl"].encode()).issuer == enrolled.certificate.issuer
    assert facts["status"] == "done"


def test_capabilities(server: Served) -> None:
    facts = object_of(run("caps", "--url", server.url, "--json").good())
    assert {"AES", "POSTPKIOperation"} < set(facts["capabilities"])


def test_ca_certificates(server: Served) -> None:
    facts = object_of(run("cacert", "--url", server.url, "--json").good())
    assert [item["sha256"] for item in facts["certificates"]] == [server.fingerprint] == [facts["caSha256"]]


@pytest.mark.parametrize("command", ["caps", "cacert"])
def test_a_server_that_is_not_there_is_an_error(command: str) -> None:
    facts = object_of(run(command, "--json", "--url", f"http://127.0.0.1:{unused_port()}/scep"))
    assert (facts["status"], facts["exitCode"]) == ("error", 1) and "connection refused" in facts["error"]


def test_an_answer_that_breaks_the_protocol_is_an_error_with_what_to_do(
    make: Callable[..., Device], server: Served
) -> None:
    with Peer(answering(server, PKIOperation=(200, b"<html>"))) as peer:
        facts = object_of(against(peer, make(), "--json"))
    assert (facts["status"], facts["exitCode"]) == ("error", 1)
    assert "the answer is an HTML page" in facts["error"] and facts["goOn"].startswith("scep-kem poll ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--json"], "Missing option"),
        (["--json", "--nonsense"], "--nonsense"),
        (["--key-type", "rsa:1", "--json"], "rsa:1"),
        (["--json", "--key-password-file", "/nonexistent/x"], "cannot read /nonexistent/x"),
        (["--json", "--url", "nonsense", "--key", "k", "--subject", "CN=a", "--out", "o"], "nonsense"),
    ],
)
def test_wrong_usage_is_an_error(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    facts = object_of(run("enroll", *arguments))
    assert (facts["command"], facts["status"], facts["exitCode"]) == ("enroll", "error", 2) and text in facts["error"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1"])
def test_stdout_is_for_the_object_alone(enrolled: Device, name: str) -> None:
    for found in (
        enrolled.enroll("--ca-out", name, "--json"),
        enrolled.signed("renew", "--ca-out", name, "--json"),
        enrolled.signed("getcert", "--serial", "1", "--out", name, "--json"),
        enrolled.signed("getcrl", "--out", name, "--json"),
        run("cacert", *enrolled.where, "--out", name, "--json"),
    ):
        assert f"{name} is stdout, and so is the object of --json" in object_of(found)["error"]
        assert found.code == 2


def test_without_the_option_there_is_none(make: Callable[..., Device]) -> None:
    assert make().enroll("--challenge", "wrong").out == ""


def test_nothing_secret_is_in_it(make: Callable[..., Device]) -> None:
    device = make("/manual")
    found = device.enroll("--challenge", "a secret of ours", "--json")
    assert "a secret of ours" not in found.out + found.err and "PRIVATE KEY" not in found.out
