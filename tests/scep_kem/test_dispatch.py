"""scep_kem/server/scep.py: one answer for each request whichever way it comes in, work done once, and no back doors.

What the single operations answer is in test_app.py, what is logged about enrolments in test_app_log.py.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from ca.memory_store import MemoryStore
from ca.store import State, StoreBusy, StoreUnavailable
from scep.client import Issued
from scep.messages import PkiMessage
from scep_kem.budgets import RETRY_AFTER
from scep_kem.ca_dir import CaDir
from scep_kem.server.http import Request, guarded
from scep_kem.server.scep import answer as scep
from tests.scep_kem.kit import Site, one_line
from tests.scep_kem.test_app_log import operations

# How a PKIOperation may come in. Only the first goes past Flask.
WAYS = {
    "plain POST": lambda site, message: site.http.post("/scep?operation=PKIOperation", data=message),
    "POST in another spelling": lambda site, message: site.http.post("/scep?operation=pkioperation", data=message),
    "POST without operation": lambda site, message: site.http.post("/scep", data=message),
    "GET": lambda site, message: site.get(query(message)),
}


def query(message: bytes) -> str:
    return f"operation=PKIOperation&message={quote(base64.b64encode(message), safe='')}"


class Failing(MemoryStore):
    """Raises the errors, one a request that asks, and then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.asked = 0

    def get(self, key: object) -> Any:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return super().get(key)  # type: ignore[arg-type]


# Once


@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_is_unavailable_is_asked_once(ca_dir: CaDir, log: pytest.LogCaptureFixture, way: str) -> None:
    """Who waits for a locked database twice keeps a thread, and a client, twice as long."""
    store = Failing(StoreBusy("the database cannot be read: database is locked"))
    site = Site(ca_dir, store=store)
    answer = WAYS[way](site, site.device().start())
    one_line(answer, 503, "the CA's database is busy; try again later")
    assert answer.headers["Retry-After"] == str(RETRY_AFTER)
    assert store.asked == 1 and [record.levelname for record in operations(log)] == ["ERROR"]


@pytest.mark.parametrize("way", WAYS)
def test_a_database_that_cannot_be_written_is_not_called_busy(ca_dir: CaDir, way: str) -> None:
    site = Site(ca_dir, store=Failing(StoreUnavailable("the database cannot be written: database or disk is full")))
    answer = WAYS[way](site, site.device().start())
    one_line(answer, 503, "the CA's database cannot be read or written at the moment; try again later")
    assert "full" not in answer.text and answer.headers["Retry-After"] == str(RETRY_AFTER)


@pytest.mark.parametrize("way", WAYS)
def test_a_defect_that_shows_once_is_one_traceback_and_one_bare_500(
    ca_dir: CaDir, log: pytest.LogCaptureFixture, way: str
) -> None:
    store = Failing(RuntimeError("secret details"))
    site = Site(ca_dir, store=store)
    message = site.device(password=site.password()).start()
    answer = WAYS[way](site, message)
    one_line(answer, 500)
    assert answer.text == "internal error\n" and store.asked == 1
    (record,) = operations(log)
    assert record.exc_info is not None and isinstance(record.exc_info[1], RuntimeError)
    assert WAYS[way](site, message).status_code == 200


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_pki_message_is_decoded_once(site: Site, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    decoded: list[bytes] = []
    decode = PkiMessage.decode
    monkeypatch.setattr(PkiMessage, "decode", lambda octets: (decoded.append(octets), decode(octets))[1])
    one_line(WAYS[way](site, b"garbage"), 400, "not a pkiMessage: ")
    assert decoded == [b"garbage"]


def shown(answer: TestResponse) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, dict(answer.headers), answer.data


@pytest.mark.parametrize("path", ["/scep", "/scep/unknown", "/scep/manual/pkiclient.exe", "/scep/%ff", "/scep/%C3%BC"])
@pytest.mark.parametrize("message", [b"garbage", b"", b"x" * 100_000])
def test_both_ways_answer_the_same_octets(site: Site, path: str, message: bytes) -> None:
    plain = site.http.post(f"{path}?operation=PKIOperation", data=message)
    assert shown(plain) == shown(site.http.post(f"{path}?operation=pkioperation", data=message))
    assert plain.status_code in (400, 404)


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), RuntimeError("a defect")])
def test_both_ways_say_the_same_when_something_is_wrong_on_this_side(ca_dir: CaDir, error: Exception) -> None:
    site = Site(ca_dir, store=Failing(error, error))
    message = site.device().start()
    first, second = (WAYS[way](site, message) for way in ("plain POST", "POST without operation"))
    assert shown(first) == shown(second) and first.status_code in (500, 503)


def test_a_post_that_ends_early_is_not_executed(site: Site) -> None:
    """The client went away. What arrived may well be a pkiMessage with rubbish behind it missing."""
    message = site.device(password=site.password()).start()
    environ = {"CONTENT_LENGTH": str(len(message) + 1)}
    one_line(site.http.post("/scep?operation=PKIOperation", data=message, environ_overrides=environ), 400)
    assert site.service.store.transactions() == []


# No other way in


def enrolled(site: Site) -> int:
    return len(site.service.store.transactions(State.ISSUED))


def test_head_executes_no_pki_operation(site: Site) -> None:
    """RFC 9110 section 9.2.1: HEAD is safe. Link checkers and proxies send it on their own."""
    device = site.device(password=site.password())
    message = device.start()
    answer = site.http.head(f"/scep?{query(message)}")
    assert (answer.status_code, answer.data, answer.headers["Allow"]) == (405, b"", "GET, POST")
    assert site.service.store.transactions() == []
    assert isinstance(device.enrolment.receive(site.get(query(message)).data), Issued)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("headers", [{}, {"X-HTTP-Method-Override": "POST"}])
def test_no_other_method_executes_a_pki_operation(site: Site, method: str, headers: dict[str, str]) -> None:
    message = site.device(password=site.password()).start()
    answer = site.http.open(f"/scep?{query(message)}", method=method, data=message, headers=headers)
    assert answer.status_code == (200 if method == "OPTIONS" else 405)
    assert (answer.data == b"") == (method == "OPTIONS")
    assert site.service.store.transactions() == []


@pytest.mark.parametrize(
    "operations", ["GetCACaps PKIOperation", "PKIOperation GetCACaps", "PKIOperation PKIOperation"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_operation_that_comes_twice_is_refused(site: Site, operations: str, method: str) -> None:
    message = site.device(password=site.password()).start()
    first, second = operations.split()
    target = f"/scep?operation={first}&{query(message)}".replace("operation=PKIOperation&m", f"operation={second}&m")
    one_line(site.http.open(target, method=method, data=message), 400, "operation is there more than once")
    assert enrolled(site) == 0


def test_a_message_that_comes_twice_is_refused(site: Site) -> None:
    message = query(site.device(password=site.password()).start())
    for target in (f"{message}&message=", f"message=AAAA&{message}"):
        one_line(site.get(target), 400, "message is there more than once")
    assert enrolled(site) == 0


def test_a_post_executes_its_body_whatever_message_its_url_has(site: Site) -> None:
    wrong = site.device(password="wrong", transaction_id="in-the-url").start()
    device = site.device(password=site.password(), transaction_id="in-the-body")
    answer = site.http.post(f"/scep?{query(wrong)}", data=device.start())
    assert isinstance(device.enrolment.receive(answer.data), Issued)
    one_line(site.http.post(f"/scep?{query(wrong)}"), 400, "the request has no message")


def test_a_form_is_no_query(site: Site) -> None:
    """What only the body of a POST says is not an operation."""
    body = query(site.device(password=site.password()).start())
    answer = site.http.post("/scep", data=body, content_type="application/x-www-form-urlencoded")
    one_line(answer, 400, "not a pkiMessage")


def test_octets_that_are_not_utf_8_in_a_query_are_refused_without_a_traceback(
    site: Site, log: pytest.LogCaptureFixture
) -> None:
    answer = guarded(scep, site.service, Request("GET", "scep", "operation=PKIOperation&message=\xff"))
    assert answer.status == 400
    raw = site.http.get("/scep", environ_overrides={"QUERY_STRING": "operation=\xff"})
    one_line(raw, 400, "operation is not GetCACaps")
    assert [(record.levelname, record.exc_info) for record in log.records] == [("INFO", None)] * 2
