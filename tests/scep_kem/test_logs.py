"""Issue 10, section 6, the log: one line for every request, in text or JSON; nobody can forge one; no secrets."""

from __future__ import annotations

import base64
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509

from ca.store import StoreBusy, StoreUnavailable
from pkix.pkcs10 import encode_certification_request
from scep.client import Issued
from scep_kem import logs
from scep_kem.ca_dir import CaDir
from scep_kem.server.http import Answer, Request, guarded, text
from tests.scep_kem.kit import CONFIG, ROOT, Peer, Site, environment, make_ca_dir
from tests.world import key

OF_EVERY_REQUEST = {"client", "method", "path", "http_status", "octets_in", "octets_out", "milliseconds"}
BIDI = "\u202egnp.\u2066x\u2069"


@pytest.fixture
def objects(log: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """The lines in JSON, as they are written."""
    found: list[dict[str, object]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = logs.JsonFormatter().format(record)
            assert line.isascii() and line.isprintable()
            found.append(json.loads(line))

    handler = Collect()
    logging.getLogger().addHandler(handler)
    yield found
    logging.getLogger().removeHandler(handler)


# One line for each request


NO_MESSAGE = "the request has no message: a GET has it as message=BASE64 in the URL, a POST as its body"


@pytest.mark.parametrize(
    ("method", "target", "said"),
    [
        ("GET", "/scep?operation=GetCACaps", {"kind": "GetCACaps", "outcome": "answered", "operation": "GetCACaps"}),
        ("GET", "/scep?operation=getcacert", {"kind": "GetCACert", "outcome": "answered", "profile": "default"}),
        ("GET", "/scep/manual?operation=GetCACert", {"kind": "GetCACert", "profile": "manual"}),
        ("GET", "/scep?operation=GetNextCACert", {"kind": "request", "outcome": "refused", "http_status": 404}),
        ("GET", "/scep?operation=GetX", {"outcome": "refused", "http_status": 400, "operation": "GetX"}),
        ("GET", "/scep/crl", {"kind": "crl", "outcome": "answered", "octets_in": 0}),
        ("GET", "/scep/ca.cer", {"kind": "ca.cer", "outcome": "answered"}),
        ("GET", "/scep/crl/abc", {"outcome": "refused", "text": "there is no CA abc here", "http_status": 404}),
        ("GET", "/", {"kind": "page", "outcome": "answered", "path": "/"}),
        ("HEAD", "/scep", {"kind": "page", "method": "HEAD"}),
        ("GET", "/nowhere", {"outcome": "refused", "text": "there is no SCEP profile at /nowhere", "http_status": 404}),
        ("OPTIONS", "/scep", {"kind": "request", "outcome": "answered", "method": "OPTIONS"}),
        ("PUT", "/scep", {"outcome": "refused", "http_status": 405, "method": "PUT", "path": "/scep"}),
        ("POST", "/scep", {"outcome": "refused", "text": NO_MESSAGE, "http_status": 400}),
        ("POST", "/scep?operation=PKIOperation", {"text": NO_MESSAGE, "operation": "PKIOperation"}),
        ("POST", "/scep?operation=GetCACert", {"outcome": "refused", "http_status": 400, "octets_in": 19}),
        ("GET", "/scep?operation=PKIOperation&message=$", {"text": "message is not base64 (RFC 8894 section 4.1)"}),
        ("GET", "/scep?operation=PKIOperation&message=MAA", {"outcome": "refused", "operation": "PKIOperation"}),
    ],
)
def test_every_request_is_one_line(
    site: Site, objects: list[dict[str, object]], method: str, target: str, said: dict[str, object]
) -> None:
    answer = site.http.open(target, method=method)
    (line,) = objects
    assert said.items() <= line.items()
    assert line.keys() >= {"time", "level", "logger", "kind", "outcome", *OF_EVERY_REQUEST}
    assert line["level"] == "INFO" and line["client"] == "127.0.0.1" and line["http_status"] == answer.status_code
    assert method == "HEAD" or line["octets_out"] == len(answer.data)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["time"]))


def test_a_body_over_max_body_is_one_line(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[server]\nmax_body = 4096\n"))
    assert site.post(bytes(5000)).status_code == 413
    (line,) = objects
    assert (line["outcome"], line["http_status"]) == ("refused", 413)


@pytest.mark.parametrize("way", ["plain POST", "POST", "GET"])
def test_an_undecodable_message_is_one_line(site: Site, objects: list[dict[str, object]], way: str) -> None:
    if way == "GET":
        site.get(f"operation=PKIOperation&message={quote(base64.b64encode(b'garbage'))}")
    else:
        site.http.post("/scep?operation=PKIOperation" if way == "plain POST" else "/scep", data=b"garbage")
    (line,) = objects
    assert str(line["text"]).startswith("not a pkiMessage: ") and line["client"] == "127.0.0.1"
    assert (line["operation"], line["profile"], line["http_status"]) == ("PKIOperation", "default", 400)


def test_an_enrolment_by_get_does_not_write_the_message_into_the_log(
    site: Site, log: pytest.LogCaptureFixture, objects: list[dict[str, object]]
) -> None:
    message = base64.b64encode(site.device(password=site.password()).start()).decode()
    assert site.get(f"operation=PKIOperation&message={quote(message, safe='')}").status_code == 200
    line = objects[-1]
    assert (line["kind"], line["outcome"], line["method"]) == ("PKCSReq", "SUCCESS", "GET")
    assert line["transactionID"] == "transaction-1" and line["authorised_by"] == "challengePassword"
    assert message[:40] not in log.text


def test_a_busy_database_and_a_defect_are_one_line_each(ca_dir: CaDir, objects: list[dict[str, object]]) -> None:
    def busy(_service: object, _request: Request) -> Answer:
        raise StoreBusy("database is locked")

    def broken(_service: object, _request: Request) -> Answer:
        raise RuntimeError("a\ndefect")

    for adapter in (busy, broken):
        guarded(adapter, Site(ca_dir).service, Request("GET", "scep", ""))
    assert [(item["level"], item["outcome"], item["http_status"]) for item in objects] == [
        ("ERROR", "failed", 503),
        ("ERROR", "failed", 500),
    ]
    assert objects[0]["text"] == "database is locked" and "traceback" not in objects[0]
    assert "RuntimeError: a\ndefect" in str(objects[1]["traceback"])


@pytest.mark.parametrize(("status", "lines"), [(200, 0), (503, 1)])
def test_a_health_check_is_in_the_log_only_if_something_is_wrong(
    site: Site, objects: list[dict[str, object]], status: int, lines: int
) -> None:
    def health(_service: object, request: Request) -> Answer:
        request.details["operation"] = "health"
        return text("as it is", status)

    guarded(health, site.service, Request("GET", "health", ""))
    assert len(objects) == lines


def test_the_health_check_is_one_that_is_not_logged(site: Site, objects: list[dict[str, object]]) -> None:
    assert site.http.get("/healthz").status_code == 200
    assert objects == []


def test_a_health_check_that_fails_is_a_warning_with_the_reasons(
    site: Site, objects: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_asked: object, **_more: object) -> None:
        raise StoreUnavailable("secret path")

    monkeypatch.setattr(site.service.store, "certificate", fail)
    assert site.http.get("/healthz").status_code == 503
    (line,) = objects
    assert (line["level"], line["outcome"], line["text"]) == ("WARNING", "failed", "the database cannot be read")


# Why PENDING


def waits_for(objects: list[dict[str, object]]) -> list[object]:
    return [item["waits_for"] for item in objects if item.get("outcome") == "PENDING"]


def test_why_pending_an_operator(ca_dir: CaDir, objects: list[dict[str, object]]) -> None:
    device = Site(ca_dir, path="/scep/manual").device()
    device.enrol()
    device.poll()
    assert waits_for(objects) == ["an operator", "an operator"]


def test_why_pending_the_answer_to_a_challenge(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",)))
    site.kem_device(password=site.password()).enrol()
    assert waits_for(objects) == ["the answer to its challenge"]


def test_why_pending_a_webhook(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    hook = "[profiles.default.authorisation]\nwebhook_pause_seconds = 3600\nwebhook = "
    with Peer((200, b'{"decision": "pending"}')) as peer:
        site = Site(make_ca_dir(tmp_path / "ca", f'[ca]\ndir = "."\n{hook}"{peer.url}"\n'))
        device = site.device()
        device.enrol()
        device.poll()
        peer.answer = (500, b"")
        site.device(transaction_id="other", label="other").enrol()
    assert waits_for(objects) == [
        "the webhook, which has not decided yet",
        "an operator or the webhook",
        "the webhook, which gave no decision: HTTP status 500",
    ]


# Nobody can forge a line


FORGED = ["x\nPKCSReq SUCCESS", "x\r\nx", "x\x1b[2J", 'x" serial="1', "x\u2028y", "x\x00y", BIDI, "x\x85y"]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("form", logs.FORMATS)
def test_no_path_subject_or_text_can_forge_a_line(
    site: Site, log: pytest.LogCaptureFixture, forged: str, form: str
) -> None:
    site.http.get(f"/{quote(forged)}")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, forged)])
    request = encode_certification_request(key("rsa:2048", "device"), subject, challenge_password="wrong")
    site.device(request=request).enrol()
    for record in log.records:
        line = logs.formatter(form).format(record)
        assert line.isascii() and line.isprintable() and ' serial="1' not in line.replace('\\"', "'")


def test_a_lone_surrogate_is_escaped(site: Site, log: pytest.LogCaptureFixture) -> None:
    guarded(lambda _service, _request: text("no", 404), site.service, Request("GET", "x\udcffy", ""))
    (record,) = log.records
    for form in logs.FORMATS:
        assert "x\\udcffy" in logs.formatter(form).format(record)


def test_other_lines_and_tracebacks_cannot_be_forged(log: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError(f"x\n2026-01-01 00:00:00,000 INFO scep: PKCSReq SUCCESS\x1b{BIDI}")
    except RuntimeError:
        logging.getLogger("any").exception("said: %s", f"x\n2026-01-01 {BIDI}")
    (record,) = log.records
    first, *rest = logs.TextFormatter().format(record).split("\n")
    assert first.endswith(f" ERROR any: said: x\\n2026-01-01 {BIDI.encode('unicode_escape').decode()}")
    assert rest and all(line.startswith("    ") and line.isprintable() for line in rest)
    assert "\n" not in logs.JsonFormatter().format(record)


def test_a_long_value_is_cut(site: Site, objects: list[dict[str, object]]) -> None:
    guarded(lambda _service, _request: text("no", 404), site.service, Request("GET", "x" * 100_000, ""))
    assert objects[0]["path"] == f"/{'x' * (logs.MOST - 1)}... (100001 characters)"


def test_of_an_unknown_operation_the_beginning_is_written(site: Site, objects: list[dict[str, object]]) -> None:
    site.get(f"operation={'x' * 100_000}")
    assert objects[0]["operation"] == "x" * 40


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_message_and_a_traceback_are_cut(form: str) -> None:
    """An exception may quote what a peer sent."""
    try:
        raise ValueError("x" * 1_000_000)
    except ValueError:
        defect = sys.exc_info()
    record = logging.LogRecord("scep", logging.ERROR, "file", 1, "%s", ("y" * 1_000_000,), defect)
    line = logs.formatter(form).format(record)
    assert "Traceback" in line and "y... (1000000 characters)" in line and "x... (1" in line
    assert len(line) < 3 * logs.MOST_OF_A_TEXT


def test_a_line_with_many_long_values_stays_whole() -> None:
    line = logs.Line("kind", "outcome", {str(number): "x" * 1000 for number in range(100)})
    record = logging.LogRecord("scep", logging.INFO, "file", 1, line, (), None)
    assert len(logs.formatter(logs.TEXT).format(record)) > 100_000


# Secrets


def test_no_secret_gets_into_the_log(
    tmp_path: Path, log: pytest.LogCaptureFixture, objects: list[dict[str, object]]
) -> None:
    """The flows of an RSA and an ML-KEM device, right and wrong, with everything that is logged at any level."""
    log.set_level(logging.DEBUG)
    site = Site(make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",)))
    secrets = ["right and secret", "wrong and secret"]
    site.password(secrets[0], one_time=False)
    for number, password in enumerate(secrets):
        site.device(password=password, transaction_id=f"rsa-{number}").enrol()
        device = site.kem_device(password=password, transaction_id=f"kem-{number}", label=f"kem-{number}")
        device.enrol()
        if password == secrets[0]:
            assert isinstance(device.poll(), Issued)
    server_key = (site.service.ca_dir.path / "server.key").read_bytes()
    hidden = [*secrets, server_key.hex(), base64.b64encode(server_key).decode()]
    written = log.text + json.dumps(objects)
    assert len(objects) > 5 and not [item for item in hidden if item in written]


# The configuration's form


@pytest.mark.parametrize("form", logs.FORMATS)
def test_the_configuration_chooses_the_form(own: CaDir, form: str) -> None:
    own.config_path.write_text(f'{CONFIG}[server]\nlog = "{form}"\n')
    ask = (
        "import logging, sys; from scep_kem.wsgi import create_app\n"
        "create_app(sys.argv[1]).test_client().get('/scep?operation=GetCACaps'); logging.getLogger('x').info('done')"
    )
    command = (sys.executable, "-c", ask, str(own.config_path))
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment())
    request, other = done.stderr.splitlines()
    if form == logs.JSON:
        assert json.loads(request)["kind"] == "GetCACaps"
        assert {"logger": "x", "message": "done", "level": "INFO"}.items() <= json.loads(other).items()
    else:
        assert " INFO scep: GetCACaps answered profile=" in request and other.endswith(" INFO x: done")


def test_the_page_about_the_log_names_every_key(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    page = (ROOT / "deploy" / "LOG.md").read_text(encoding="utf-8")
    site = Site(make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",)))
    device = site.kem_device(password=site.password(), transaction_id="kem", label="kem")
    device.enrol()
    assert isinstance(device.poll(), Issued)
    site.device(password=site.password("a second one")).enrol()
    site.device(password="wrong", transaction_id="other").enrol()
    named = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert {name for item in objects for name in item} <= named
