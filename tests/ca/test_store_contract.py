"""What `ca.store.Store` promises, sentence by sentence, held against both implementations."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ca.sql_engine import store_engine, switch_to_wal
from ca.sql_store import SqlStore
from ca.store import (
    Credential,
    CredentialUnavailable,
    Decision,
    IssuedCertificate,
    Release,
    State,
    Store,
    StoreConflict,
    StoreUnavailable,
    Transaction,
    TransactionKey,
    holder_of,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
SIGNER, OTHER_SIGNER = b"\x01" * 32, b"\x02" * 32
REQUEST, OTHER_REQUEST = b"\xaa" * 32, b"\xbb" * 32


def transaction(
    name: str = "t1", *, protocol: str = "scep", signer: bytes = SIGNER, profile: str = "default", **fields: Any
) -> Transaction:
    values: dict[str, Any] = {
        "state": State.AWAITING_APPROVAL,
        "request_hash": REQUEST,
        "sealed_request": b"\x00sealed\xff",
        "subject": "CN=device",
        "authority": "aa",
        "created": NOW,
        "updated": NOW,
        "expires": NOW + DAY,
    }
    return Transaction(key=TransactionKey(protocol, name, signer, profile), **(values | fields))


def certificate(serial: int = 1, **fields: Any) -> IssuedCertificate:
    values: dict[str, Any] = {
        "authority": "aa",
        "der": b"\x30\x00",
        "subject": "CN=device",
        "spki_hash": b"\xcc" * 32,
        "profile": "default",
        "not_before": NOW,
        "not_after": NOW + 365 * DAY,
    }
    return IssuedCertificate(serial=serial, **(values | fields))


def password(identifier: str = "c1", *, one_time: bool = True, **fields: Any) -> Credential:
    values: dict[str, Any] = {"created": NOW, "expires": NOW + DAY}
    return Credential(identifier=identifier, one_time=one_time, **(values | fields))


def holder(item: Transaction) -> str:
    return holder_of(item.key.requester, item.request_hash)


def contents(store: Store) -> tuple[object, ...]:
    return (
        store.transactions(),
        store.certificates(),
        store.credential("c1"),
        store.credential("c2"),
    )


def held_by(store: Store, identifier: str = "c1") -> str | None:
    found = store.credential(identifier)
    assert found is not None
    return found.holder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ca.sqlite3"


@pytest.fixture
def sql_store(path: Path) -> Iterator[SqlStore]:
    with SqlStore(f"sqlite:///{path}") as store:
        yield store


FULL_TRANSACTION = transaction(
    "transaction \N{SNOWMAN} id",
    state=State.FAILED,
    created=NOW - DAY,
    updated=NOW - SECOND,
    credential_id="c1",
    decision=Decision.REJECTED,
    reason="because",
    serial=2**159 + 12345,
)
FULL_CERTIFICATE = certificate(
    2**159 + 2**158 + 7,
    subject="CN=Gerät,O=\N{SNOWMAN}",
    revoked_at=NOW,
    reason="superseded",
    name="2.5.4.3=gerät",
    request_hash=b"\x01" * 32,
    message_hashes=(b"\x02" * 32, b"\x03" * 32),
)
FULL_PASSWORD = password(
    one_time=True, subject="CN=x", profile="p", holder="ab" * 64, authority="aa", serial=2**160 - 1
)


class TestGetAndCreate:
    def test_unknown(self, store: Store) -> None:
        assert store.get(transaction().key) is None

    @pytest.mark.parametrize("item", [transaction(), FULL_TRANSACTION], ids=["least", "full"])
    def test_every_field_comes_back(self, store: Store, item: Transaction) -> None:
        store.add_credential(password())
        store.create(item)
        found = store.get(item.key)
        assert found == item
        assert found is not None
        assert all(type(getattr(found, f.name)) is type(getattr(item, f.name)) for f in fields(item))
        assert found.created.tzinfo is UTC

    def test_every_decision_and_state_comes_back(self, store: Store) -> None:
        for state in State:
            for decision in Decision:
                item = transaction(f"{state} {decision}", state=state, decision=decision)
                store.create(item)
                assert store.get(item.key) == item

    def test_another_time_zone_is_the_same_moment(self, store: Store) -> None:
        item = transaction(created=NOW.astimezone(timezone(timedelta(hours=5))))
        store.create(item)
        assert store.get(item.key) == item

    def test_expired_is_returned_until_purged(self, store: Store) -> None:
        item = transaction(expires=NOW - DAY)
        store.create(item)
        assert store.get(item.key) == item

    def test_signer_and_protocol_belong_to_the_identity(self, store: Store) -> None:
        items = [transaction(), transaction(signer=OTHER_SIGNER), transaction(protocol="other")]
        for item in items:
            store.create(item)
        assert [store.get(item.key) for item in items] == items

    def test_existing_key_conflicts(self, store: Store) -> None:
        store.create(transaction())
        before = contents(store)
        with pytest.raises(StoreConflict):
            store.create(transaction(reason="another"))
        assert contents(store) == before

    def test_existing_key_is_a_conflict_before_it_is_a_lack_of_challenge(self, store: Store) -> None:
        store.create(transaction())
        with pytest.raises(StoreConflict):
            store.create(transaction(credential_id="missing"))


class TestReservation:
    def test_create_reserves(self, store: Store) -> None:
        store.add_credential(password())
        item = transaction(credential_id="c1")
        store.create(item)
        assert store.credential("c1") == password(holder=holder(item))

    @pytest.mark.parametrize(
        "challenge",
        [
            None,
            password(holder="00" * 64),
            password(holder=holder(transaction()), authority="aa", serial=9),
            password(authority="aa", serial=9),
        ],
        ids=["gone", "held by another", "used by the same", "used"],
    )
    @pytest.mark.parametrize("how", ["create", "replace", "issue", "issue pending"])
    def test_unavailable_changes_nothing(self, store: Store, challenge: Credential | None, how: str) -> None:
        if challenge is not None:
            store.add_credential(challenge)
        old, new = transaction(), transaction(credential_id="c1")
        if how in ("replace", "issue pending"):
            store.create(old)
        before = contents(store)
        with pytest.raises(CredentialUnavailable):
            if how == "create":
                store.create(new)
            elif how == "replace":
                store.replace(old, new)
            else:
                store.issue(old if how == "issue pending" else None, new, certificate())
        assert contents(store) == before

    def test_another_request_of_the_same_key_is_another_holder(self, store: Store) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1"))
        with pytest.raises(CredentialUnavailable):
            store.create(transaction("t2", credential_id="c1", request_hash=OTHER_REQUEST))
        with pytest.raises(CredentialUnavailable):
            store.create(transaction("t2", credential_id="c1", signer=OTHER_SIGNER))

    def test_the_same_request_under_another_transaction_id_is_the_same_holder(self, store: Store) -> None:
        store.add_credential(password())
        first, second = transaction(credential_id="c1"), transaction("t2", credential_id="c1")
        store.create(first)
        store.create(second)
        assert held_by(store) == holder(first) == holder(second)

    def test_the_last_transaction_of_a_holder_releases(self, store: Store) -> None:
        store.add_credential(password())
        first, second = transaction(credential_id="c1"), transaction("t2", credential_id="c1")
        store.create(first)
        store.create(second)
        store.replace(first, replace(first, credential_id=None))
        assert held_by(store) == holder(second)
        store.replace(second, replace(second, credential_id=None))
        assert held_by(store) is None

    def test_a_reusable_one_is_never_held(self, store: Store) -> None:
        store.add_credential(password(one_time=False))
        first = transaction(credential_id="c1")
        store.create(first)
        store.create(transaction("t2", credential_id="c1", signer=OTHER_SIGNER))
        store.issue(first, replace(first, state=State.ISSUED), certificate())
        assert store.credential("c1") == password(one_time=False)


class TestReplace:
    def test_puts_new_in_place_of_old(self, store: Store) -> None:
        old = transaction()
        new = replace(FULL_TRANSACTION, key=old.key, credential_id=None)
        store.create(old)
        store.replace(old, new)
        assert store.get(old.key) == new

    @pytest.mark.parametrize("name", [f.name for f in fields(Transaction) if f.name != "key"])
    def test_a_difference_in_any_field_conflicts(self, store: Store, name: str) -> None:
        different = {
            "state": State.FAILED,
            "request_hash": OTHER_REQUEST,
            "created": NOW + SECOND,
            "updated": NOW + SECOND,
            "expires": NOW + SECOND,
            "sealed_request": b"other",
            "decision": Decision.APPROVED,
            "serial": 5,
            "release": Release.CLIENT,
        }
        store.add_credential(password(one_time=False))
        old = transaction()
        stale = replace(old, **{name: different.get(name, "c1")})
        store.create(old)
        with pytest.raises(StoreConflict):
            store.replace(stale, replace(old, reason="new"))
        assert store.get(old.key) == old
        store.replace(old, stale)
        with pytest.raises(StoreConflict):
            store.replace(old, replace(stale, reason="new"))
        assert store.get(old.key) == stale

    def test_missing_conflicts(self, store: Store) -> None:
        with pytest.raises(StoreConflict):
            store.replace(transaction(), transaction(reason="new"))
        assert store.transactions() == []

    def test_the_key_stays(self, store: Store) -> None:
        store.create(transaction())
        with pytest.raises(ValueError, match="same key"):
            store.replace(transaction(), transaction("t2"))

    def test_dropping_the_challenge_releases_it(self, store: Store) -> None:
        store.add_credential(password())
        old = transaction(credential_id="c1")
        store.create(old)
        store.replace(old, replace(old, state=State.FAILED, credential_id=None))
        assert store.credential("c1") == password()
        store.create(transaction("t2", signer=OTHER_SIGNER, credential_id="c1"))

    def test_keeping_the_challenge_keeps_the_reservation(self, store: Store) -> None:
        store.add_credential(password())
        old = transaction(credential_id="c1")
        store.create(old)
        store.replace(old, replace(old, decision=Decision.APPROVED))
        assert held_by(store) == holder(old)

    def test_a_new_challenge_is_reserved_and_the_old_one_released(self, store: Store) -> None:
        store.add_credential(password())
        store.add_credential(password("c2"))
        old = transaction(credential_id="c1")
        store.create(old)
        store.replace(old, replace(old, credential_id="c2"))
        assert held_by(store, "c1") is None
        assert held_by(store, "c2") == holder(old)

    def test_a_new_request_takes_the_reservation_over(self, store: Store) -> None:
        store.add_credential(password())
        old = transaction(credential_id="c1")
        new = replace(old, request_hash=OTHER_REQUEST)
        store.create(old)
        store.replace(old, new)
        assert held_by(store) == holder(new) != holder(old)

    def test_a_used_up_challenge_is_not_released(self, store: Store) -> None:
        store.add_credential(password())
        issued = transaction(credential_id="c1", state=State.ISSUED, serial=1)
        store.issue(None, issued, certificate())
        before = store.credential("c1")
        store.replace(issued, replace(issued, credential_id=None))
        assert store.credential("c1") == before

    def test_a_conflict_moves_no_reservation(self, store: Store) -> None:
        store.add_credential(password())
        old = transaction(credential_id="c1")
        store.create(old)
        with pytest.raises(StoreConflict):
            store.replace(replace(old, reason="stale"), replace(old, credential_id=None))
        assert held_by(store) == holder(old)


class TestIssue:
    @pytest.mark.parametrize("pending", [False, True])
    def test_records_everything(self, store: Store, pending: bool) -> None:
        store.add_credential(password())
        old = transaction(credential_id="c1") if pending else None
        if old is not None:
            store.create(old)
        new = transaction(credential_id="c1", state=State.ISSUED, serial=2**159 + 3, updated=NOW + SECOND)
        issued = certificate(2**159 + 3)
        store.issue(old, new, issued)
        assert store.get(new.key) == new
        assert store.certificate("aa", 2**159 + 3) == issued
        assert store.credential("c1") == password(holder=holder(new), authority="aa", serial=2**159 + 3)

    def test_without_a_challenge(self, store: Store) -> None:
        store.issue(None, transaction(state=State.ISSUED), certificate())
        assert len(store.transactions()) == len(store.certificates()) == 1

    def test_a_challenge_reserved_under_another_transaction_id_by_the_same_holder(self, store: Store) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1"))
        store.issue(None, transaction("t2", credential_id="c1", state=State.ISSUED), certificate())
        found = store.credential("c1")
        assert found is not None
        assert found.serial == 1

    def test_releases_a_challenge_that_is_dropped(self, store: Store) -> None:
        store.add_credential(password())
        store.add_credential(password("c2"))
        old = transaction(credential_id="c1")
        store.create(old)
        store.issue(old, replace(old, credential_id="c2", state=State.ISSUED), certificate())
        assert store.credential("c1") == password()
        assert store.credential("c2") == password("c2", holder=holder(old), authority="aa", serial=1)

    @pytest.mark.parametrize("old", [None, transaction(reason="stale", credential_id="c1")])
    def test_a_changed_transaction_conflicts_and_leaves_nothing(self, store: Store, old: Transaction | None) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1"))
        before = contents(store)
        with pytest.raises(StoreConflict):
            store.issue(old, transaction(credential_id="c1", state=State.ISSUED), certificate())
        assert contents(store) == before

    @pytest.mark.parametrize("pending", [False, True])
    def test_a_serial_issued_before_conflicts_and_leaves_nothing(self, store: Store, pending: bool) -> None:
        store.add_credential(password())
        store.issue(None, transaction("t0", state=State.ISSUED), certificate(7))
        old = transaction() if pending else None
        if old is not None:
            store.create(old)
        before = contents(store)
        with pytest.raises(StoreConflict):
            store.issue(old, transaction(credential_id="c1"), certificate(7, der=b"other"))
        assert contents(store) == before

    def test_the_same_serial_of_another_authority(self, store: Store) -> None:
        store.issue(None, transaction("t1"), certificate(7))
        store.issue(None, transaction("t2"), certificate(7, authority="bb"))
        assert {item.authority for item in store.find_serial(7)} == {"aa", "bb"}
        assert store.find_serial(8) == []

    def test_the_key_stays(self, store: Store) -> None:
        store.create(transaction())
        with pytest.raises(ValueError, match="same key"):
            store.issue(transaction(), transaction("t2"), certificate())
        assert store.certificates() == []

    def test_the_store_works_on_after_a_refusal(self, store: Store) -> None:
        store.issue(None, transaction(), certificate())
        with pytest.raises(StoreConflict):
            store.issue(None, transaction(), certificate(2))
        store.issue(None, transaction("t2"), certificate(2))
        assert len(store.certificates()) == 2


class TestTransactions:
    def test_newest_first(self, store: Store) -> None:
        for index, name in enumerate(["b", "c", "a", "d"]):
            store.create(transaction(name, created=NOW + [2, 3, 1, 3][index] * SECOND))
        assert [item.key.transaction_id for item in store.transactions()] == ["d", "c", "b", "a"]
        assert [item.key.transaction_id for item in store.transactions(limit=2)] == ["d", "c"]

    def test_a_change_keeps_the_place(self, store: Store) -> None:
        store.create(transaction("a"))
        store.create(transaction("b"))
        store.replace(transaction("a"), transaction("a", reason="new"))
        assert [item.key.transaction_id for item in store.transactions()] == ["b", "a"]

    def test_by_state(self, store: Store) -> None:
        for state in State:
            store.create(transaction(state.value, state=state))
        for state in State:
            assert [item.state for item in store.transactions(state)] == [state]
        assert len(store.transactions()) == len(State)

    def test_count_takes_the_unexpired_of_one_state(self, store: Store) -> None:
        store.create(transaction("now", expires=NOW))
        store.create(transaction("later", expires=NOW + SECOND))
        store.create(transaction("over", expires=NOW - SECOND))
        store.create(transaction("failed", state=State.FAILED))
        assert store.count(State.AWAITING_APPROVAL, now=NOW) == 2
        assert store.count(State.FAILED, now=NOW) == 1
        assert store.count(State.ISSUED, now=NOW) == 0


class TestCertificates:
    @pytest.mark.parametrize("item", [certificate(), FULL_CERTIFICATE], ids=["least", "full"])
    def test_every_field_comes_back(self, store: Store, item: IssuedCertificate) -> None:
        store.issue(None, transaction(), item)
        assert store.certificate(item.authority, item.serial) == item

    @pytest.mark.parametrize(
        "serial", [1, 127, 128, 2**63, 2**64, 2**152 - 1, 2**159 - 1, 2**159, 2**159 + 2**80 + 1, 2**160 - 1]
    )
    def test_serials_of_up_to_20_octets(self, store: Store, serial: int) -> None:
        store.add_credential(password())
        item = transaction(serial=serial, credential_id="c1")
        store.issue(None, item, certificate(serial))
        found = store.credential("c1")
        assert store.get(item.key) == item
        assert store.certificate("aa", serial) == certificate(serial)
        assert store.find_serial(serial) == [certificate(serial)]
        assert found is not None
        assert found.serial == serial

    @pytest.mark.parametrize("serial", [0, -1, 2, 16, 2**4000])
    def test_unknown(self, store: Store, serial: int) -> None:
        store.issue(None, transaction(), certificate(1))
        assert store.certificate("aa", serial) is None
        assert store.certificate("bb", 1) is None
        assert store.find_serial(serial) == []

    def test_newest_not_before_first(self, store: Store) -> None:
        for index, offset in enumerate([2, 3, 1, 3]):
            item = certificate(index + 1, not_before=NOW + offset * SECOND)
            store.issue(None, transaction(str(index)), item)
        assert [item.serial for item in store.certificates()] == [4, 2, 1, 3]
        assert [item.serial for item in store.certificates(limit=3)] == [4, 2, 1]

    def test_valid_certificates(self, store: Store) -> None:
        items = [
            certificate(1, name="cn=device"),
            certificate(2, name="cn=device", not_after=NOW),
            certificate(3, name="cn=device", not_after=NOW - SECOND),
            certificate(4, name="cn=other"),
            certificate(5, name="cn=device", authority="bb"),
            certificate(6, name="cn=device"),
            certificate(7),
        ]
        for item in items:
            store.issue(None, transaction(str(item.serial)), item)
        store.revoke("aa", 6, reason="superseded", now=NOW)
        assert sorted(item.serial for item in store.valid_certificates("cn=device", now=NOW)) == [1, 2, 5]
        assert store.valid_certificates("", now=NOW) == []


class TestRevocation:
    def test_marks_and_returns(self, store: Store) -> None:
        store.issue(None, transaction(), certificate())
        found = store.revoke("aa", 1, reason="keyCompromise", now=NOW)
        assert found == certificate(revoked_at=NOW, reason="keyCompromise")
        assert store.certificate("aa", 1) == found

    def test_again_keeps_the_first_moment_and_reason(self, store: Store) -> None:
        store.issue(None, transaction(), certificate())
        first = store.revoke("aa", 1, reason="keyCompromise", now=NOW)
        assert store.revoke("aa", 1, reason="superseded", now=NOW + DAY) == first
        assert store.certificate("aa", 1) == first

    def test_unknown(self, store: Store) -> None:
        store.issue(None, transaction(), certificate())
        for authority, serial in (("aa", 2), ("bb", 1)):
            with pytest.raises(KeyError):
                store.revoke(authority, serial, reason="unspecified", now=NOW)
        assert store.revocations("aa", now=NOW).listed == []

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            (None, "removeFromCRL", None),
            ("certificateHold", "removeFromCRL", None),
            ("certificateHold", "superseded", "superseded"),
            ("certificateHold", "keyCompromise", "keyCompromise"),
            ("superseded", "keyCompromise", "keyCompromise"),
            ("superseded", "certificateHold", "superseded"),
            ("superseded", "removeFromCRL", "superseded"),
            ("keyCompromise", "superseded", "keyCompromise"),
            ("keyCompromise", "removeFromCRL", "keyCompromise"),
        ],
    )
    def test_a_reason_is_revised(self, store: Store, before: str | None, after: str, expected: str | None) -> None:
        store.issue(None, transaction("one"), certificate(1))
        if before is not None:
            store.revoke("aa", 1, reason=before, now=NOW - DAY)
        found = store.revoke("aa", 1, reason=after, now=NOW)
        assert found == store.certificate("aa", 1) and found.reason == expected
        assert found.revoked_at == (None if expected is None else NOW - DAY)
        assert bool(store.revocations("aa", now=NOW).listed) == (expected is not None)

    def test_revoked_lists_the_unexpired_of_one_issuer(self, store: Store) -> None:
        items = [
            certificate(1),
            certificate(2, not_after=NOW),
            certificate(3, not_after=NOW - SECOND),
            certificate(4, authority="bb"),
        ]
        for item in items:
            store.issue(None, transaction(str(item.serial)), item)
            store.revoke(item.authority, item.serial, reason="superseded", now=NOW - DAY)
        store.issue(None, transaction("good"), certificate(5))
        assert sorted(item.serial for item in store.revocations("aa", now=NOW).listed) == [1, 2]
        assert [item.serial for item in store.revocations("bb", now=NOW).listed] == [4]

    def test_crl_numbers(self, store: Store) -> None:
        assert [store.next_crl_number("aa") for _ in range(3)] == [1, 2, 3]
        assert store.next_crl_number("bb") == 1
        assert store.next_crl_number("aa") == 4

    def test_crl_numbers_go_on_from_one_that_was_used_elsewhere(self, store: Store) -> None:
        store.next_crl_number("aa")
        for authority in ("aa", "bb"):
            store.pass_crl_number(authority, 41)
            store.pass_crl_number(authority, 7)
            assert store.next_crl_number(authority) == 42
        store.pass_crl_number("aa", 2**62)
        assert store.next_crl_number("aa") == 2**62 + 1


class TestChallenges:
    @pytest.mark.parametrize(
        "item",
        [password(expires=None), password(one_time=False), FULL_PASSWORD],
        ids=["least", "reusable", "full"],
    )
    def test_every_field_comes_back(self, store: Store, item: Credential) -> None:
        store.add_credential(item)
        found = store.credential("c1")
        assert found == item
        assert found is not None
        assert isinstance(found.one_time, bool)

    def test_existing_identifier_conflicts(self, store: Store) -> None:
        store.add_credential(password())
        with pytest.raises(StoreConflict):
            store.add_credential(password(one_time=False))
        assert store.credential("c1") == password()

    def test_unknown(self, store: Store) -> None:
        assert store.credential("c1") is None

    def test_expired_is_returned_until_purged(self, store: Store) -> None:
        store.add_credential(password(expires=NOW - DAY))
        assert store.credential("c1") == password(expires=NOW - DAY)


class TestPurge:
    def test_forgets_what_is_expired_and_keeps_the_rest(self, store: Store) -> None:
        store.add_credential(password("c1", expires=NOW - SECOND))
        store.add_credential(password("c2", expires=NOW))
        store.add_credential(password("c3", expires=None))
        states = [state for state in State if state is not State.AWAITING_RELEASE]
        for state in states:
            store.create(transaction(f"over {state}", state=state, expires=NOW - SECOND))
            store.create(transaction(f"now {state}", state=state, expires=NOW))
        assert store.purge(NOW) == len(states) + 1
        assert len(store.transactions()) == len(states)
        assert [store.credential(name) is None for name in ("c1", "c2", "c3")] == [True, False, False]
        assert store.purge(NOW) == 0

    def test_releases_reservations(self, store: Store) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1", expires=NOW - SECOND))
        assert store.purge(NOW) == 1
        assert store.credential("c1") == password()

    def test_a_reservation_stays_while_another_transaction_of_the_holder_lives(self, store: Store) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1", expires=NOW - SECOND))
        store.create(transaction("t2", credential_id="c1", expires=NOW + SECOND))
        assert store.purge(NOW) == 1
        assert held_by(store) == holder(transaction())

    def test_several_expired_transactions_of_one_holder(self, store: Store) -> None:
        store.add_credential(password())
        store.create(transaction(credential_id="c1", expires=NOW - SECOND))
        store.create(transaction("t2", credential_id="c1", expires=NOW - SECOND))
        assert store.purge(NOW) == 2
        assert held_by(store) is None

    def test_a_used_up_challenge_is_kept_until_it_expires(self, store: Store) -> None:
        store.add_credential(password())
        store.issue(None, transaction(credential_id="c1", expires=NOW - SECOND), certificate())
        used = store.credential("c1")
        assert store.purge(NOW) == 1
        assert store.credential("c1") == used
        assert store.purge(NOW + DAY + SECOND) == 1
        assert store.credential("c1") is None

    def test_an_expired_challenge_stays_while_a_waiting_transaction_holds_it(self, store: Store) -> None:
        store.add_credential(password(expires=NOW - SECOND))
        waiting = transaction(credential_id="c1", expires=NOW + DAY)
        store.create(waiting)
        assert store.purge(NOW) == 0
        store.issue(waiting, replace(waiting, state=State.ISSUED, serial=1), certificate())
        assert store.purge(NOW) == 1

    def test_certificates_and_crl_numbers_are_kept(self, store: Store) -> None:
        store.issue(None, transaction(), certificate(not_after=NOW + SECOND))
        store.next_crl_number("aa")
        store.purge(NOW + 1000 * DAY)
        assert store.certificate("aa", 1) is not None
        assert store.next_crl_number("aa") == 2


@pytest.mark.parametrize("moment", [NOW + timedelta(microseconds=1), NOW.replace(tzinfo=None)])
def test_times_are_aware_and_in_whole_seconds(store: Store, moment: datetime) -> None:
    store.create(transaction("t0"))
    store.issue(None, transaction("t9"), certificate(9))
    before = contents(store)
    attempts: list[Callable[[], object]] = [
        lambda: store.create(transaction(updated=moment)),
        lambda: store.replace(transaction("t0"), transaction("t0", expires=moment)),
        lambda: store.issue(None, transaction(), certificate(not_after=moment)),
        lambda: store.add_credential(password(expires=moment)),
        lambda: store.revoke("aa", 9, reason="unspecified", now=moment),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="whole seconds"):
            attempt()
    assert contents(store) == before


# Races. Every contender names its outcome; exactly one may say "won".


def race_create(store: Store, who: int) -> str:
    try:
        store.create(transaction(reason=str(who)))
    except StoreConflict:
        return "conflict"
    return "won"


def race_replace(store: Store, who: int) -> str:
    try:
        store.replace(transaction("t0"), transaction("t0", reason=str(who)))
    except StoreConflict:
        return "conflict"
    return "won"


def race_issue(store: Store, who: int) -> str:
    try:
        store.issue(None, transaction(credential_id="c1", state=State.ISSUED), certificate(who + 1))
    except StoreConflict:
        return "conflict"
    return "won"


def race_serial(store: Store, who: int) -> str:
    try:
        store.issue(None, transaction(f"t{who + 1}", state=State.ISSUED), certificate(42))
    except StoreConflict:
        return "conflict"
    return "won"


def race_challenge(store: Store, who: int) -> str:
    item = transaction(f"t{who + 1}", signer=bytes([who]) * 32, credential_id="c1", state=State.ISSUED)
    try:
        store.issue(None, item, certificate(who + 1))
    except CredentialUnavailable:
        return "unavailable"
    return "won"


RACES = {race.__name__: race for race in (race_create, race_replace, race_issue, race_serial, race_challenge)}
PATIENCE = 300


def prepare_race(store: Store) -> None:
    store.add_credential(password())
    store.create(transaction("t0"))


@pytest.mark.parametrize("name", RACES)
def test_of_racing_threads_one_wins(store: Store, name: str) -> None:
    prepare_race(store)
    barrier, outcomes = threading.Barrier(4), []

    def contend(who: int) -> None:
        barrier.wait(PATIENCE)
        outcomes.append(RACES[name](store, who))

    threads = [threading.Thread(target=contend, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("won") == 1
    assert len(outcomes) == 4
    assert len(store.certificates()) == (name not in ("race_create", "race_replace"))


def contend_in_process(url: str, who: int, barrier: Any, answers: Any) -> None:
    """What a process of its own does: every race, each begun together with the other process."""
    outcomes: dict[str, object] = {}
    for name, race in RACES.items():
        with SqlStore(url.replace("NAME", name)) as store:
            barrier.wait(PATIENCE)
            outcomes[name] = race(store, who)
            barrier.wait(PATIENCE)
            outcomes[name, "numbers"] = [store.next_crl_number("aa") for _ in range(20)]
    answers.put(outcomes)


def test_of_racing_processes_one_wins(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/NAME.sqlite3"
    for name in RACES:
        with SqlStore(url.replace("NAME", name)) as store:
            prepare_race(store)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=contend_in_process, args=(url, who, barrier, answers)) for who in range(2)]
    for process in processes:
        process.start()
    outcomes = [answers.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    answers.close()
    answers.join_thread()
    for name in RACES:
        assert sorted(outcome[name] == "won" for outcome in outcomes) == [False, True], name
        numbers = sorted(number for outcome in outcomes for number in outcome[name, "numbers"])
        assert numbers == list(range(1, 41)), name


def test_crl_numbers_are_never_given_twice(store: Store) -> None:
    barrier, numbers = threading.Barrier(4), []

    def contend() -> None:
        barrier.wait(PATIENCE)
        numbers.extend([store.next_crl_number("aa") for _ in range(10)])

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 41))


class TestSqlite:
    """What only the store in a file can promise."""

    def test_everything_is_there_after_a_restart(self, path: Path) -> None:
        with SqlStore(f"sqlite:///{path}") as store:
            store.add_credential(password())
            store.issue(None, FULL_TRANSACTION, FULL_CERTIFICATE)
            store.next_crl_number("aa")
            before = contents(store)
        with SqlStore(f"sqlite:///{path}", migrate=False) as store:
            assert contents(store) == before
            assert store.next_crl_number("aa") == 2

    def test_what_a_killed_process_issued_is_there(self, path: Path) -> None:
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from test_store_contract import *\n"
            "SqlStore(sys.argv[2]).issue(None, transaction(), certificate())\n"
            "os._exit(0)\n"
        )
        run_script(script, str(Path(__file__).parent), f"sqlite:///{path}")
        with SqlStore(f"sqlite:///{path}") as store:
            assert store.certificate("aa", 1) == certificate()

    def test_a_store_opened_before_a_fork_serves_parent_and_child(self, path: Path) -> None:
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from test_store_contract import *\n"
            "store = SqlStore(sys.argv[2])\n"
            "store.issue(None, transaction('before'), certificate(1))\n"
            "assert open_connections(store) == 1\n"
            "child = os.fork()\n"
            "assert open_connections(store) == 0\n"
            "store.issue(None, transaction('parent' if child else 'child'), certificate(2 if child else 3))\n"
            "if child: assert os.waitpid(child, 0)[1] == 0\n"
            "store.close()\n"
        )
        run_script(script, str(Path(__file__).parent), f"sqlite:///{path}")
        with SqlStore(f"sqlite:///{path}") as store:
            assert {item.serial for item in store.certificates()} == {1, 2, 3}

    def test_files_are_for_the_owner_alone(self, path: Path) -> None:
        before = os.umask(0)
        try:
            with SqlStore(f"sqlite:///{path}") as store:
                store.create(transaction())
                modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in path.parent.iterdir()}
        finally:
            os.umask(before)
        assert modes == {path.name + suffix: 0o600 for suffix in ("", "-wal", "-shm")}

    def test_what_a_connection_is_told(self, path: Path) -> None:
        engine = store_engine(f"sqlite:///{path}")
        try:
            with engine.connect() as connection:
                told = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                }
        finally:
            engine.dispose()
        assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}

    @pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR])
    def test_two_that_switch_a_new_file_to_wal_together(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        class Cursor:
            def __init__(self) -> None:
                self.refusals = 2

            def execute(self, statement: str) -> None:
                if self.refusals:
                    self.refusals -= 1
                    error = sqlite3.OperationalError()
                    error.sqlite_errorcode = code
                    raise error

        naps: list[float] = []
        monkeypatch.setattr("ca.sql_engine.time.sleep", naps.append)
        cursor: Any = Cursor()
        if code == sqlite3.SQLITE_BUSY:
            switch_to_wal(cursor)
            assert len(naps) == 2
        else:
            with pytest.raises(sqlite3.OperationalError):
                switch_to_wal(cursor)
            assert naps == []

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
    def test_memory_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="MemoryStore"):
            SqlStore(url)

    def test_a_missing_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            SqlStore(f"sqlite:///{tmp_path}/missing/ca.sqlite3")

    def test_errors_do_not_show_what_was_stored(self, sql_store: SqlStore) -> None:
        sql_store.create(transaction(sealed_request=b"SEALED"))
        with pytest.raises(StoreConflict) as caught:
            sql_store.create(transaction(sealed_request=b"SEALED"))
        assert "SEALED" not in str(caught.value) + str(caught.value.__cause__)

    def test_reading_goes_on_while_another_process_writes(self, path: Path, sql_store: SqlStore) -> None:
        engine = store_engine(f"sqlite:///{path}")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                assert sql_store.certificates() == []
        finally:
            engine.dispose()

    def test_a_database_that_stays_locked_is_an_error(self, path: Path, sql_store: SqlStore) -> None:
        engine = store_engine(f"sqlite:///{path}")
        try:
            with SqlStore(f"sqlite:///{path}?timeout=0") as impatient, engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                with pytest.raises(StoreUnavailable, match="locked"):
                    impatient.create(transaction())
        finally:
            engine.dispose()
        sql_store.create(transaction())


def open_connections(store: SqlStore) -> int:
    """How many connections the store keeps for the next call."""
    return store._database.idle


def run_script(script: str, *arguments: str) -> None:
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        check=True,
        timeout=PATIENCE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
    )
