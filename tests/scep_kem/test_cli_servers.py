"""The client against servers that are not as they should be and over a rollover; how `serve` starts and ends."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pkix.algorithms import TRIPLE_DES
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer
from scep.attributes import PkiStatus
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from tests.scep_kem.devices import Device, against, answering, password, pending
from tests.scep_kem.kit import CONFIG, Answer, Peer, Received, Served, ca_pair, cert_rep, make_ca_dir, run, served

LEGACY = "[algorithms]\nlegacy = true\n"


# A server that is not as it should be


@pytest.mark.parametrize(
    ("operation", "answer", "words"),
    [
        ("GetCACert", (200, b""), ["GetCACert"]),
        (
            "GetCACert",
            (200, b"<html>Welcome</html>"),
            ["GetCACert: the answer is an HTML page: Welcome (HTTP 200, ", "the SCEP URL?"],
        ),
        ("GetCACert", (200, b"\x30\x03\x02\x01\x05"), ["at offset 2 of the message, should be an OBJECT IDENTIFIER"]),
        ("GetCACert", (500, b"oops"), ["GetCACert", "HTTP 500: oops"]),
        ("PKIOperation", (500, b"oops"), ["PKIOperation", "HTTP 500: oops"]),
    ],
)
def test_a_server_that_breaks_the_protocol_is_exit_code_1_in_one_line(
    make: Callable[..., Device], operation: str, answer: Answer, words: list[str]
) -> None:
    device = make()
    with Peer(answering(device.server, **{operation: answer})) as peer:
        against(peer, device).refused_in_one_line(1, *words)


@pytest.mark.parametrize("command", ["getcert", "getcrl"])
def test_3_3_4_pending_is_no_answer_to_a_query_and_exit_code_1(enrolled: Device, command: str) -> None:
    """Only an enrolment can be PENDING, so it is the server that is wrong and not the input."""
    pair = ca_pair()
    by = Signer(pair.key, Certificate.of(pair.certificate))

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(enrolled.server)(request)
        return 200, cert_rep(by, request.body, pki_status=PkiStatus.PENDING)

    with Peer(answer) as peer:
        enrolled.url = peer.url
        more = ["--serial", "1"] if command == "getcert" else []
        enrolled.signed(command, *more).refused_in_one_line(1, "PENDING")


def test_it_says_where_an_answer_s_envelope_is_broken(enrolled: Device) -> None:
    by = CaDir(enrolled.server.directory).load().current.signer

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(enrolled.server)(request)
        return 200, cert_rep(by, request.body, pki_status=PkiStatus.SUCCESS, envelope=b"\x30\x03\x02\x01\x05")

    with Peer(answer) as peer:
        enrolled.url = peer.url
        where = ("contentType, at offset ", " of the message, should be an OBJECT IDENTIFIER")
        enrolled.signed("getcrl").refused_in_one_line(1, *where)


def test_an_answer_in_3des_names_the_option_that_accepts_it(enrolled: Device) -> None:
    by = CaDir(enrolled.server.directory).load().current.signer

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(enrolled.server)(request)
        asking = PkiMessage.decode(request.body).signed.signer_certificate()
        to = [RsaRecipient(asking)]
        envelope = encrypt(b"anything", to, TRIPLE_DES, os.urandom)
        return 200, cert_rep(by, request.body, pki_status=PkiStatus.SUCCESS, envelope=envelope)

    with Peer(answer) as peer:
        enrolled.url = peer.url
        enrolled.signed("getcrl").refused_in_one_line(1, "3DES-CBC", "--legacy accepts that")


def test_a_replayed_answer_is_refused(make: Callable[..., Device], tmp_path: Path) -> None:
    device = make()
    device.enroll("--challenge", "wrong", "--save-messages", tmp_path / "messages")
    old = (tmp_path / "messages" / "04-server.der").read_bytes()
    with Peer(answering(device.server, PKIOperation=(200, old))) as peer:
        against(peer, device).refused_in_one_line(1, "transactionID")


def test_a_server_without_post_gets_get(make: Callable[..., Device]) -> None:
    device = make()
    with Peer(answering(device.server, GetCACaps=(200, b"AES\nSHA-256\n"), PKIOperation=(500, b""))) as peer:
        against(peer, device)
        assert [item.method for item in peer.received] == ["GET", "GET", "GET"]


def test_3_5_2_under_legacy_a_server_without_aes_and_sha_256_gets_3des_and_sha_1(
    make: Callable[..., Device], tmp_path: Path
) -> None:
    device = make()
    old = {"GetCACaps": (200, b"POSTPKIOperation\nDES3\nSHA-1\n"), "PKIOperation": (500, b"")}
    with Peer(answering(device.server, **old)) as peer:
        said = against(peer, device, "--legacy", "--trace").out
    assert "3DES" in said and "SHA-1" in said


def test_what_a_ca_says_cannot_forge_a_line_or_control_the_terminal(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    """failInfoText is the server's, and a script may look for our words."""
    device = make("/manual")
    request_id = pending(device, ca_folder, "CN=forger")
    reason = "no\ncertificate written to /etc/passwd\x1b[2J"
    run("requests", "reject", request_id, "--reason", reason, "--dir", ca_folder).good()
    found = device.poll("--trace")
    assert found.code == 4 and len(found.err.splitlines()) == 1
    for line in (found.out + found.err).split("\n"):
        assert line.isprintable() and not line.startswith("certificate written")


# Rollover, and the end of a server


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """Another server, whose CA may change."""
    directory = tmp_path_factory.mktemp("rolling") / "ca"
    make_ca_dir(directory, pair=ca_pair("ec:P-256"))
    with served(directory) as found:
        yield found, directory


def test_4_7_a_rollover_from_preparation_to_renewal(rolling: tuple[Served, Path], tmp_path: Path) -> None:
    server, directory = rolling
    device = Device(tmp_path, server)
    device.enroll("--challenge", password(directory)).good()
    run("ca", "rollover", "--dir", directory).good()
    following = run("cacert", "--next", "--url", server.url, "--ca-fingerprint", server.fingerprint).good()
    new = x509.load_pem_x509_certificates(following.out.encode())[-1]
    run("ca", "rollover", "--activate", "--dir", directory).good()
    # The old fingerprint no longer fits; the one that came signed by the old CA does.
    device.signed("renew").refused_in_one_line(1, "no certificate has the fingerprint", server.fingerprint)
    server.fingerprint = CaDir(directory).load().current.identifier
    device.signed("renew", out="new.pem").good()
    device.enroll("--challenge", password(directory), subject="CN=after").good()
    for file in (tmp_path / "new.pem", device.out):
        files.read_certificates(file)[0].verify_directly_issued_by(new)


def test_the_next_ca_may_be_named_by_its_fingerprint(rolling: tuple[Served, Path]) -> None:
    server, directory = rolling
    run("ca", "rollover", "--dir", directory)
    following = run("cacert", "--next", "--url", server.url).good()
    new = x509.load_pem_x509_certificates(following.out.encode())[-1]
    sha256 = new.fingerprint(hashes.SHA256()).hex()
    right = run("cacert", "--next", "--next-fingerprint", sha256, "--url", server.url).good()
    assert right.out == following.out
    wrong = run("cacert", "--next", "--next-fingerprint", "0" * 64, "--url", server.url)
    assert wrong.code == 1
    assert f"GetNextCACert: no certificate has the fingerprint {'0' * 64}; received: " in wrong.err
    assert sha256 in wrong.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--next-fingerprint", "0" * 64), "--next-fingerprint is of the certificate that --next gets"),
        (("--next", "--next-fingerprint", "12"), "a fingerprint has 64 hex digits"),
    ],
    ids=["without --next", "too short"],
)
def test_a_fingerprint_of_the_next_ca_that_cannot_be_used(given: tuple[str, ...], said: str) -> None:
    run("cacert", "--url", "http://127.0.0.1:9/scep", *given).refused_in_one_line(2, said)


def test_serve_makes_a_ca_where_there_is_none_and_stops_with_0(tmp_path: Path) -> None:
    with served(tmp_path / "new") as found:
        made = CaDir(tmp_path / "new").load().current
        assert found.fingerprint == made.identifier and made.ca.certificate.public_key() is not None
        run("caps", "--url", found.url).good()
        assert found.stop(signal.SIGTERM) == 0
        assert "Traceback" not in found.log
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "store.sqlite").stat().st_mode) == 0o600


def test_serve_with_a_configuration_file_that_names_another_folder(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.toml").write_text(CONFIG.replace('dir = "."', 'dir = "../ca"') + LEGACY)
    make_ca_dir(tmp_path / "ca")
    with served(tmp_path / "ca", tmp_path / "etc" / "my.toml") as found:
        assert "DES3" in run("caps", "--url", found.url).good().out.upper()
        assert found.stop(signal.SIGINT) == 0
        assert "the legacy policy is on: SHA-1 and 3DES are accepted" in found.log


@pytest.mark.parametrize("following", [[], ["--json"]], ids=["text", "JSON"])
def test_cacert_says_that_nobody_has_authenticated_the_ca(server: Served, tmp_path: Path, following: list[str]) -> None:
    where = ("cacert", "--url", server.url, "--out", tmp_path / "ca.pem", *following)
    said = "no --ca-fingerprint: the CA certificate is not authenticated: compare its fingerprint with one"
    assert said in run(*where).good().err
    assert said not in run(*where, "--ca-fingerprint", server.fingerprint).good().err
