"""`scep-kem requests`: what an operator sees and decides."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ca.sql_store import SqlStore
from ca.store import Decision, State, StoreConflict, TransactionKey
from scep_kem.approval import request_id
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Site, run


def waiting(found: CaDir, label: str = "device", **more: Any) -> str:
    """A request that waits, straight through the service into the folder's database. Returns its ID."""
    with found.open_store() as store:
        site = Site(found, store=store, path="/scep/manual")
        site.device(label=label, transaction_id=f"waiting-{label}", **more).enrol()
    return run("requests", "list", "--dir", found.path).good().out.split()[0]


def test_nothing_waiting_prints_nothing(own: CaDir) -> None:
    assert run("requests", "list", "--dir", own.path).good().out == ""


def test_a_waiting_request_is_one_line_with_its_id_first(own: CaDir) -> None:
    waiting(own)
    (line,) = run("requests", "list", "--dir", own.path).good().out.splitlines()
    request_id, state, age, unit, profile, key, proof, client, subject = line.split()
    assert len(request_id) == 16 and int(request_id, 16) >= 0
    assert (state, age, unit, profile, subject) == ("awaiting-approval", "0", "min", "manual", "CN=device,O=Example")
    assert (key, proof, client) == ("rsa:2048", "signature", "127.0.0.1")


def test_the_newest_request_is_first(own: CaDir) -> None:
    waiting(own, subject="CN=first")
    waiting(own, "other", subject="CN=second")
    lines = run("requests", "list", "--dir", own.path).good().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["CN=second", "CN=first"]


def test_requests_as_json_are_one_object_a_line(own: CaDir) -> None:
    request_id = waiting(own)
    (line,) = run("requests", "list", "--json", "--dir", own.path).good().out.splitlines()
    found = json.loads(line)
    assert (found["id"], found["state"], found["subject"]) == (request_id, "awaiting-approval", "CN=device,O=Example")
    assert datetime.fromisoformat(found["expires"]) > datetime.fromisoformat(found["created"])


def test_requests_show_shows_what_is_known(own: CaDir) -> None:
    request_id = waiting(own)
    said = run("requests", "show", request_id, "--dir", own.path).good().out
    for word in (request_id, "CN=device,O=Example", "manual", "waiting-device", "awaiting-approval"):
        assert word in said


@pytest.mark.parametrize(("length", "good"), [(16, True), (6, True), (1, True)])
def test_the_beginning_of_an_id_is_enough(own: CaDir, length: int, good: bool) -> None:
    request_id = waiting(own)
    assert (run("requests", "show", request_id[:length].upper(), "--dir", own.path).code == 0) is good


@pytest.mark.parametrize("command", ["show", "approve", "reject"])
def test_an_unknown_id_is_told(own: CaDir, command: str) -> None:
    waiting(own)
    found = run("requests", command, "ffffffffffffffff", "--dir", own.path)
    found.refused_in_one_line(2, "no request has the ID ffffffffffffffff")


def test_an_ambiguous_id_is_told(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(own)
    waiting(own, "other")
    module = sys.modules["scep_kem.cli.requests"]  # the package has the command under this name
    monkeypatch.setattr(module, "request_id", lambda item: f"0{request_id(item)}")
    run("requests", "show", "0", "--dir", own.path).refused_in_one_line(2, "more than one request has the ID")


@pytest.mark.parametrize("command", ["approve", "reject"])
@pytest.mark.parametrize("length", [1, 11])
def test_a_decision_takes_the_whole_id(own: CaDir, command: str, length: int) -> None:
    """The request that an operator meant by its first digits may have gone, and another with these have come."""
    request_id = waiting(own)
    found = run("requests", command, request_id[:length], "--dir", own.path)
    found.refused_in_one_line(2, "is not the whole ID of a request, which has 16 digits")
    with own.open_store() as store:
        assert [item.decision for item in store.transactions()] == [Decision.UNDECIDED]


@pytest.mark.parametrize(("command", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_a_decision_shows_in_the_list(own: CaDir, command: str, state: str) -> None:
    request_id = waiting(own)
    said = run("requests", command, request_id, "--dir", own.path).good().out
    assert said == f"{state}: CN=device,O=Example\n"
    assert run("requests", "list", "--dir", own.path).good().out.split()[1] == state


def test_a_decision_may_be_changed_until_the_client_comes(own: CaDir) -> None:
    request_id = waiting(own)
    run("requests", "reject", request_id, "--reason", "who is that?", "--dir", own.path).good()
    said = run("requests", "approve", request_id, "--dir", own.path).good().out
    assert said == "approved: CN=device,O=Example (before: rejected)\n"
    with own.open_store() as store:
        (found,) = store.transactions()
    assert (found.decision, found.reason) == (Decision.APPROVED, "")


def test_a_request_that_has_ended_cannot_be_decided(own: CaDir) -> None:
    request_id = waiting(own)
    with own.open_store() as store:
        (found,) = store.transactions()
        store.replace(found, replace(found, state=State.FAILED))
    run("requests", "approve", request_id, "--dir", own.path).refused_in_one_line(2, "does not wait: it is failed")
    assert run("requests", "list", "--dir", own.path).good().out == ""
    assert run("requests", "list", "--all", "--dir", own.path).good().out.split()[1] == "failed"


def test_a_request_that_has_expired_is_not_listed_and_cannot_be_decided(own: CaDir) -> None:
    request_id = waiting(own)
    with own.open_store() as store:
        (found,) = store.transactions()
        store.replace(found, replace(found, expires=utc_now() - timedelta(seconds=10)))
    assert run("requests", "list", "--all", "--dir", own.path).good().out == ""
    found_out = run("requests", "approve", request_id, "--dir", own.path)
    found_out.refused_in_one_line(2, f"request {request_id} has expired on ", "and the clock of this machine says ")


def test_a_request_that_changes_at_that_moment_is_told(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = waiting(own)

    def conflict(*_arguments: object) -> None:
        raise StoreConflict

    monkeypatch.setattr(SqlStore, "replace", conflict)
    run("requests", "approve", request_id, "--dir", own.path).refused_in_one_line(2, "has just changed; look again")


def test_a_request_behind_many_newer_ones_can_be_decided(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Store hands out the newest thousand (here: two); a busy day of other profiles must not hide who waits."""
    request_id = waiting(own)
    with own.open_store() as store:
        (first,) = store.transactions()
        for number in range(2):
            other = TransactionKey("scep", f"later-{number}", bytes([number]) * 32, first.profile)
            later = first.created + timedelta(seconds=1)
            store.create(replace(first, key=other, state=State.FAILED, created=later))
    transactions = SqlStore.transactions

    def newest(self: SqlStore, state: State | None = None, *, limit: int = 1000) -> Any:
        return transactions(self, state, limit=min(limit, 2))

    monkeypatch.setattr(SqlStore, "transactions", newest)
    run("requests", "approve", request_id, "--dir", own.path).good()


@pytest.mark.parametrize("forged", ["x\nffffffffffffffff  approved", "x\r\x1b[2Kgone", "x\x1b]0;title\x07", "x\u202ey"])
@pytest.mark.parametrize("command", [["list"], ["show", "ID"], ["approve", "ID"]])
def test_no_subject_can_forge_a_line_or_control_the_terminal(own: CaDir, command: list[str], forged: str) -> None:
    """The subject comes from whoever sends a request, and an operator decides by what is on the screen. What is refused
    today may be in a database of earlier days.
    """
    request_id = waiting(own)
    with own.open_store() as store:
        (item,) = store.transactions()
        store.replace(item, replace(item, subject=f"CN={forged}"))
        assert [found.subject for found in store.transactions()] == [f"CN={forged}"]
    words = [request_id if word == "ID" else word for word in command]
    lines = run("requests", *words, "--dir", own.path).good().out.split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    if command[0] == "show":
        assert [sum(line.startswith(word) for line in lines) for word in ("id ", "fingerprint: ")] == [1, 1]
    else:
        assert len(lines) == 1


def test_what_was_rejected_is_said_to_be(own: CaDir) -> None:
    request_id = waiting(own)
    with own.open_store() as store:
        (found,) = store.transactions()
        store.replace(found, replace(found, state=State.FAILED, decision=Decision.REJECTED))
    run("requests", "approve", request_id, "--dir", own.path).refused_in_one_line(2, "does not wait: it is rejected")
