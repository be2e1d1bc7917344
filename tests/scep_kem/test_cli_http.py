"""HTTP as the client's commands show, keep and go on with it: options, trace, saved answers, `caps`, `cacert`."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from cryptography.hazmat.primitives.serialization import Encoding

from scep.attributes import FailInfo, PkiStatus
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from tests.scep_kem.devices import Device, against, answering, password, pending
from tests.scep_kem.kit import Answer, Peer, Received, ca_pair, cert_rep, run
from tests.scep_kem.tls import tls_server

PAGE = b"<html><title>Welcome</title></html>"
CAPS = {"Content-Type": "text/plain"}
CERTIFICATE = ca_pair("ec:P-256").certificate.public_bytes(Encoding.DER)


# caps


def test_3_5_2_caps_shows_keywords_as_they_came() -> None:
    with Peer((200, b"SHA-256\r\nAES\nx-Something\n", CAPS)) as peer:
        found = run("caps", "--url", peer.url).good()
    assert found.out == "SHA-256\nAES\nx-Something\n" and found.err == ""


def test_3_5_2_caps_remarks_on_odd_keywords_in_one_line() -> None:
    with Peer((200, b"aes\nSHA-256;\nDES3 SHA-1\n\xc3\xa4\nAES-GCM-SIV\nSHA-256x\n", CAPS)) as peer:
        found = run("caps", "--url", peer.url).good()
    assert found.out.splitlines() == ["aes", "SHA-256;", "DES3 SHA-1", "ä", "AES-GCM-SIV", "SHA-256x"]
    (line,) = found.err.splitlines()
    for words in ("aes is written AES", "SHA-256; is no keyword, SHA-256 is", "DES3 SHA-1 is no", "ä is not ASCII"):
        assert words in line
    assert "SIV" not in line and "SHA-256x" not in line


def test_caps_shows_the_beginning_of_a_long_line() -> None:
    with Peer((200, b"x" * 200 + b"\nAES\n", CAPS)) as peer:
        assert run("caps", "--url", peer.url).good().out == "x" * 80 + "\nAES\n"


def test_3_5_2_caps_says_that_the_answer_is_empty() -> None:
    with Peer((200, b"", CAPS)) as peer:
        found = run("caps", "--url", peer.url).good()
    assert found.out == "" and found.err.startswith("GetCACaps: the answer is empty, ")


def test_caps_remarks_on_the_media_type() -> None:
    with Peer((200, b"AES\n")) as peer:
        found = run("caps", "--url", peer.url).good()
    assert found.err == "GetCACaps: no media type; RFC 8894 section 3.5.2 has text/plain\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, b"404 page not found"), " answered HTTP 404: 404 page not found"),
        ((500, PAGE), ' answered HTTP 500: an HTML page, title "Welcome"'),
        ((200, PAGE), 'GetCACaps: the answer is an HTML page, title "Welcome" (HTTP 200, no media type); is http'),
    ],
)
def test_caps_shows_status_and_text_of_what_is_no_list(answer: Answer, words: str) -> None:
    with Peer(answer) as peer:
        run("caps", "--url", peer.url).refused_in_one_line(1, "scep-kem: GetCACaps: ", words)


def test_what_a_server_says_in_caps_cannot_control_the_terminal() -> None:
    with Peer((200, b"AES\x1b[2J\n\xe2\x80\xaeAES\n", CAPS | {"Content-Type": "text/\x07"})) as peer:
        found = run("caps", "--url", peer.url).good()
    assert all(line.isprintable() for line in (found.out + found.err).splitlines())


# What every command has


def test_every_command_of_the_client_has_the_options_of_http() -> None:
    for command in ("enroll", "renew", "poll", "getcert", "getcrl", "caps", "cacert"):
        said = run(command, "--help").good().out
        for option in ("--ca-identifier", "--proxy", "--tls-ca", "--timeout"):
            assert option in said, (command, option)


@pytest.mark.parametrize("command", ["caps", "cacert"])
def test_the_options_reach_the_server(command: str, tmp_path: Path) -> None:
    def answer(request: Received) -> Answer:
        return (200, b"AES\n") if "GetCACaps" in request.path else (200, CERTIFICATE)

    with Peer(answer, tls_server(tmp_path)) as peer:
        more = ("--ca-identifier", "a b", "--tls-ca", tmp_path / "cert.pem", "--timeout", "60")
        run(command, "--url", peer.url, *more).good()
    assert all(item.path.endswith("&message=a%20b") for item in peer.received)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--proxy", "http://user:s3cret@proxy"),
        ("--proxy", "socks5://s3cret@proxy"),
        ("--ca-identifier", ""),
        ("--ca-identifier", "\udcff"),
        ("--tls-ca", "/dev/null/s3cret"),
        ("--timeout", "0"),
    ],
)
def test_options_of_http_that_cannot_be_are_exit_code_2(arguments: tuple[str, str]) -> None:
    found = run("caps", "--url", "https://127.0.0.1/scep", *arguments)
    assert found.code == 2 and "Traceback" not in found.err
    assert "s3cret" not in found.err or arguments[0] == "--tls-ca"


def test_a_password_in_the_url_is_not_printed(tmp_path: Path) -> None:
    found = run("caps", "--url", "http://user:s3cret@127.0.0.1/scep")
    found.refused_in_one_line(2, "SCEP knows neither")
    assert "s3cret" not in found.err


def test_cacert_remarks_on_media_types_on_stderr() -> None:
    def answer(request: Received) -> Answer:
        if "GetCACaps" in request.path:
            return 200, b"AES\n", CAPS
        return 200, CERTIFICATE, {"Content-Type": "application/x-x509-ca-ra-cert"}

    with Peer(answer) as peer:
        found = run("cacert", "--url", peer.url).good()
    said = "media type application/x-x509-ca-ra-cert; RFC 8894 section 4.2.1 has application/x-x509-ca-cert"
    assert f"HTTP: {said}\n" in found.err and found.out.startswith("-----BEGIN CERTIFICATE-----")


# What a failure of GetCACaps has to do with the errors after it


@pytest.mark.parametrize("command", ["cacert", "enroll"])
def test_an_error_after_getcacaps_failed_tells_it(command: str, tmp_path: Path) -> None:
    with Peer((404, b"nothing here")) as peer:
        more = ("--key", tmp_path / "key", "--subject", "CN=x", "--out", tmp_path / "out", "--key-type", "ec:P-256")
        found = run(command, "--url", peer.url, "--ca-fingerprint", "0" * 64, *(more if command == "enroll" else ()))
    found.refused_in_one_line(1, f"GetCACert: {peer.url} answered HTTP 404: nothing here; before that, GetCACaps: ")


def test_an_error_of_our_own_after_getcacaps_failed_tells_it(enrolled: Device) -> None:
    with Peer(answering(enrolled.server, GetCACaps=(404, b"nothing here"), PKIOperation=(404, b"nor here"))) as peer:
        enrolled.url = peer.url
        found = enrolled.signed("getcrl")
        found.refused_in_one_line(1, "HTTP 404: nor here; before that, GetCACaps: ", "HTTP 404: nothing here")
        again = enrolled.enroll("--challenge", "x", subject="CN=other")
        again.refused_in_one_line(1, "HTTP 404: nor here; before that, GetCACaps: ", "HTTP 404: nothing here")
        assert again.err.count("nothing here") == 1


def test_a_refusal_after_getcacaps_failed_tells_it(make: Callable[..., Device]) -> None:
    """The CA may refuse what it would not have got if its capabilities had been known."""
    device = make()
    by = CaDir(device.server.directory).load().current.signer

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(device.server, GetCACaps=(404, b"nothing here"))(request)
        message = base64.b64decode(parse_qs(urlsplit(request.path).query)["message"][0])
        return 200, cert_rep(by, message, pki_status=PkiStatus.FAILURE, fail_info=FailInfo.badAlg)

    with Peer(answer) as peer:
        said = f"refused: badAlg; before that, GetCACaps: {peer.url} answered HTTP 404: nothing here"
        against(peer, device).refused_in_one_line(4, said)


# Trace and saved answers


def test_the_trace_shows_every_exchange_of_http(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    lines = device.enroll("--challenge", password(ca_folder), "--trace", subject="CN=traced").good().out.splitlines()
    shown = [line for line in lines if line.startswith(("GET ", "POST "))]
    assert shown[:2] == ["GET /scep?operation=GetCACaps", "GET /scep?operation=GetCACert"]
    assert shown[2].startswith("POST /scep?operation=PKIOperation, ") and shown[2].endswith(" octets")
    answers = [lines[lines.index(line) + 1] for line in shown]
    assert answers[0].startswith("    HTTP 200, text/plain, ") and answers[0].endswith(" octets")
    assert answers[1].startswith("    HTTP 200, application/x-x509-ca-cert, ")
    assert answers[2].startswith("    HTTP 200, application/x-pki-message, ")


def test_the_trace_shortens_the_message_of_a_get(make: Callable[..., Device]) -> None:
    found = make().enroll("--challenge", "wrong", "--trace", "--get", subject="CN=by GET")
    (line,) = (line for line in found.out.splitlines() if "operation=PKIOperation" in line)
    assert line.startswith("GET /scep?operation=PKIOperation&message=MII") and line.endswith("...") and len(line) < 80


def test_the_trace_has_keywords_in_their_order_and_case_and_what_is_odd(make: Callable[..., Device]) -> None:
    device, odd = make(), {"GetCACaps": (200, b"sha-256\nPOSTPKIOperation\nAES\n"), "PKIOperation": (500, PAGE)}
    with Peer(answering(device.server, **odd)) as peer:
        found = against(peer, device, "--trace")
    assert "\nGetCACaps: sha-256, POSTPKIOperation, AES\n    ODD: sha-256 is written SHA-256" in found.out
    assert '    HTTP 500, no media type, 35 octets: an HTML page, title "Welcome"\n' in found.out
    assert "    ODD: no media type; RFC 8894 section 3.5.2 has text/plain\n" in found.out


def test_the_trace_says_why_there_are_no_capabilities(make: Callable[..., Device]) -> None:
    device = make()
    with Peer(answering(device.server, GetCACaps=(404, b"gone"), PKIOperation=(500, b""))) as peer:
        found = against(peer, device, "--trace")
    assert f"\nno capabilities: GetCACaps: {peer.url} answered HTTP 404: gone\n" in found.out


def test_the_trace_shows_redirects(make: Callable[..., Device]) -> None:
    device = make()
    real = answering(device.server)

    def answer(request: Received) -> Answer:
        if request.path.startswith("/scep?"):
            return 307, b"", {"Location": request.path.replace("/scep", "/new")}
        return real(request)

    with Peer(answer) as peer:
        found = against(peer, device, "--trace")
    assert "GET /scep?operation=GetCACert\n    redirected to /new?operation=GetCACert\n    HTTP 200, " in found.out
    assert found.code == 4


def test_every_answer_is_saved_whatever_it_is(make: Callable[..., Device], tmp_path: Path) -> None:
    device, folder = make(), tmp_path / "messages"
    odd: dict[str, Answer] = {"GetCACaps": (404, b"gone"), "PKIOperation": (500, PAGE)}
    with Peer(answering(device.server, **odd)) as peer:
        against(peer, device, "--save-messages", folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("01-GetCACaps.txt", "02-GetCACert.der", "03-client.der", "04-server.txt")
    ]
    assert (folder / "01-GetCACaps.txt").read_bytes() == b"gone"
    assert (folder / "04-server.txt").read_bytes() == PAGE
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_refusal_under_an_http_error_is_a_refusal(make: Callable[..., Device]) -> None:
    """Some servers answer a FAILURE as HTTP 400 or 500."""
    device = make()
    by = CaDir(device.server.directory).load().current.signer

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(device.server)(request)
        failure = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badRequest, "fail_info_text": "quota used up"}
        return 500, cert_rep(by, request.body, **failure)

    with Peer(answer) as peer:
        found = against(peer, device, "--trace")
    found.refused_in_one_line(4, "refused: badRequest: quota used up")
    assert "    ODD: HTTP 500 with a pkiMessage; RFC 8894 section 4.3.1 has 200\n" in found.out


def test_a_nonce_that_is_only_repeated_is_remarked_on(make: Callable[..., Device]) -> None:
    device = make()
    by = CaDir(device.server.directory).load().current.signer

    def answer(request: Received) -> Answer:
        if "PKIOperation" not in request.path:
            return answering(device.server)(request)
        nonce = PkiMessage.decode(request.body).sender_nonce
        failure = {"pki_status": PkiStatus.FAILURE, "fail_info": FailInfo.badRequest}
        return 200, cert_rep(by, request.body, sender_nonce=nonce, **failure)

    with Peer(answer) as peer:
        found = against(peer, device, "--trace")
    assert found.out.count("senderNonce    ODD: it is the recipientNonce, not one that the sender has made") == 1
    assert "it is the recipientNonce" not in make().enroll("--challenge", "wrong", "--trace").out


# What a later poll goes on with


def test_poll_goes_on_with_the_options_of_http(
    make: Callable[..., Device], ca_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make("/manual")
    with Peer(through(device.url), tls_server(tmp_path)) as peer:
        device.url, given = peer.url, ("--ca-identifier", "mine", "--timeout", "50", "--get")
        monkeypatch.chdir(tmp_path)
        pending(device, ca_folder, "CN=by way of", *given, "--tls-ca", "cert.pem")
        kept = json.loads((device.folder / "device.pem.pending").read_bytes())["options"]
        file = str(tmp_path / "cert.pem")
        assert kept == {"ca_identifier": "mine", "tls_ca": file, "timeout": 50, "prefer_get": True}
        monkeypatch.chdir("/")
        peer.received.clear()
        device.poll().refused_in_one_line(3, "still pending")
        paths = [item.path for item in peer.received]
        assert paths[:2] == [f"/scep?operation={name}&message=mine" for name in ("GetCACaps", "GetCACert")]
        assert {item.method for item in peer.received} == {"GET"}
        peer.received.clear()
        device.poll("--ca-identifier", "other").refused_in_one_line(3, "still pending")
        assert peer.received[0].path == "/scep?operation=GetCACaps&message=other"


def through(url: str) -> Callable[[Received], Answer]:
    """A server that passes on to the one at `url`, byte for byte."""

    def answer(request: Received) -> Answer:
        query = request.path.partition("?")[2]
        found = urllib3.request(request.method, f"{url}?{query}", body=request.body or None, retries=False)
        return found.status, found.data, {"Content-Type": found.headers["Content-Type"]}

    return answer


def test_poll_goes_on_through_the_proxy(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("/manual")
    with Peer(through(device.url)) as proxy:
        place = proxy.url.removesuffix("/scep")
        device.url = "http://scep.example/scep"
        found = device.enroll("--proxy", place, "--trace", subject="CN=by proxy")
        assert found.code == 3
        assert f"GET /scep?operation=GetCACaps, through the proxy {place}\n" in found.out
        proxy.received.clear()
        device.poll().refused_in_one_line(3, "still pending")
        assert proxy.received[0].path == "http://scep.example/scep?operation=GetCACaps"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "is not a pending enrolment of this program"),
        ({"timeout": "x"}, "--timeout"),
        ({"timeout": {}}, "--timeout"),
        ({"legacy": {}}, "--legacy"),
        ({"cipher": "des"}, "--cipher"),
        ({"proxy": "ftp://x"}, "--proxy is not the URL of an HTTP proxy"),
    ],
    ids=["no options", "no number", "no text", "no flag", "no cipher", "no proxy"],
)
def test_options_in_a_pending_file_that_was_altered(make: Callable[..., Device], value: object, said: str) -> None:
    device = make("/manual")
    device.enroll(subject=f"CN=altered {said}")
    file = device.folder / "device.pem.pending"
    files.write(file, json.dumps(json.loads(file.read_bytes()) | {"options": value}).encode(), secret=True)
    device.poll().refused_in_one_line(2, said)
    facts = json.loads(device.poll("--json").out)
    assert said in facts["error"] and facts["exitCode"] == 2


@pytest.mark.parametrize("body", [b"x\n" * 100_000, b"x" * 100_000, b"aes\n" * 100_000])
def test_a_server_cannot_fill_the_terminal(make: Callable[..., Device], body: bytes) -> None:
    device = make()
    with Peer(answering(device.server, GetCACaps=(200, body, CAPS), PKIOperation=(500, body))) as peer:
        assert len(str(run("caps", "--url", peer.url).good().out)) < 6000
        found = against(peer, device, "--trace")
    assert len(found.out) < 40_000 and len(found.err) < 1000
