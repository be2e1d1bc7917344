"""What `ca.store.Store` promises about limits and about what forbids to issue, held against both implementations."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ca.errors import Busy
from ca.limits import make_room
from ca.memory_store import MemoryStore
from ca.sql_store import SqlStore
from ca.store import (
    COMPROMISED,
    MESSAGES,
    CertificateWithdrawn,
    Decision,
    Group,
    IssuedCertificate,
    KeyCompromised,
    RequestRepeated,
    Standing,
    State,
    Store,
    StoreConflict,
    SubjectTaken,
    Transaction,
)
from tests.ca.test_store_contract import DAY, NOW, OTHER_SIGNER, SECOND, SIGNER, certificate, password, transaction

KEY, OTHER_KEY = b"\xc1" * 32, b"\xc2" * 32
CSR, OTHER_CSR = b"\xd1" * 32, b"\xd2" * 32
MESSAGE, OTHER_MESSAGE = b"\xe1" * 32, b"\xe2" * 32


def issue(
    store: Store, serial: int, again: bool = True, unique: bool = False, formerly: bytes = b"", **fields: Any
) -> None:
    values: dict[str, Any] = {"spki_hash": KEY, "request_hash": CSR, "message_hashes": (bytes([serial]) * 32,)}
    item = certificate(serial, **(values | {"name": "cn=device"} | fields))
    moved = transaction(f"t{serial}", state=State.ISSUED)
    store.issue(None, moved, item, again=again, unique=unique, formerly=formerly)


def serials(store: Store) -> list[int]:
    return sorted(item.serial for item in store.certificates())


class TestCompromisedKeys:
    @pytest.mark.parametrize("reason", COMPROMISED)
    def test_are_not_certified_again(self, store: Store, reason: str) -> None:
        issue(store, 1)
        store.revoke("aa", 1, reason=reason, now=NOW)
        with pytest.raises(KeyCompromised):
            issue(store, 2, authority="another generation", request_hash=OTHER_CSR)
        issue(store, 3, spki_hash=OTHER_KEY)
        assert serials(store) == [1, 3]
        assert store.get(transaction("t2").key) is None

    @pytest.mark.parametrize("reason", ["superseded", "unspecified", "cessationOfOperation"])
    def test_other_reasons_say_nothing_of_the_key(self, store: Store, reason: str) -> None:
        issue(store, 1)
        store.revoke("aa", 1, reason=reason, now=NOW)
        issue(store, 2)
        assert serials(store) == [1, 2]

    def test_of_several_certificates_one_is_enough(self, store: Store) -> None:
        issue(store, 1)
        issue(store, 2)
        store.revoke("aa", 1, reason="superseded", now=NOW)
        store.revoke("aa", 2, reason="keyCompromise", now=NOW)
        with pytest.raises(KeyCompromised):
            issue(store, 3)


class TestRepeatedRequests:
    def test_the_same_message_is_refused_whoever_vouches(self, store: Store) -> None:
        issue(store, 1, message_hashes=(MESSAGE,))
        with pytest.raises(RequestRepeated):
            issue(store, 2, message_hashes=(MESSAGE,), again=True)
        issue(store, 3, message_hashes=(OTHER_MESSAGE,), again=True)
        assert serials(store) == [1, 3]

    def test_a_certificate_knows_every_message_that_it_was_told_of(self, store: Store) -> None:
        issue(store, 1, message_hashes=(b"\x01" * 32, MESSAGE))
        assert store.add_message("aa", 1, OTHER_MESSAGE)
        for known in (MESSAGE, OTHER_MESSAGE):
            with pytest.raises(RequestRepeated):
                issue(store, 2, message_hashes=(known,))
        found = store.certificate("aa", 1)
        assert found is not None and found.message_hashes == (b"\x01" * 32, MESSAGE, OTHER_MESSAGE)

    def test_only_the_message_that_brings_the_request_is_asked_for(self, store: Store) -> None:
        """A new certificate remembers messages of an earlier transaction, too."""
        issue(store, 1, message_hashes=(MESSAGE,))
        issue(store, 2, message_hashes=(OTHER_MESSAGE, MESSAGE))
        assert serials(store) == [1, 2]

    def test_a_certificate_remembers_so_many_messages(self, store: Store) -> None:
        issue(store, 1, message_hashes=(MESSAGE,))
        others = [bytes([number]) * 32 for number in range(MESSAGES)]
        assert [store.add_message("aa", 1, item) for item in others] == [True] * (MESSAGES - 1) + [False]
        assert store.add_message("aa", 1, MESSAGE) and store.add_message("aa", 1, others[0])
        found = store.certificate("aa", 1)
        assert found is not None and found.message_hashes == (MESSAGE, *others[:-1])

    def test_no_message_is_added_to_a_certificate_that_is_not_there(self, store: Store) -> None:
        issue(store, 1)
        for place in (("aa", 2), ("bb", 1)):
            with pytest.raises(KeyError):
                store.add_message(*place, MESSAGE)

    def test_the_same_request_needs_somebody_who_vouches(self, store: Store) -> None:
        issue(store, 1, message_hashes=(MESSAGE,))
        with pytest.raises(RequestRepeated):
            issue(store, 2, message_hashes=(OTHER_MESSAGE,), again=False)
        issue(store, 3, request_hash=OTHER_CSR, again=False)
        assert serials(store) == [1, 3]

    def test_the_same_request_is_known_by_what_an_earlier_version_kept(self, store: Store) -> None:
        issue(store, 1, message_hashes=(MESSAGE,))
        with pytest.raises(RequestRepeated):
            issue(store, 2, request_hash=OTHER_CSR, formerly=CSR, again=False)
        with pytest.raises(RequestRepeated):
            issue(store, 2, request_hash=OTHER_CSR, formerly=CSR, message_hashes=(MESSAGE,))
        issue(store, 3, request_hash=OTHER_CSR, formerly=b"\xd3" * 32, again=False)
        issue(store, 4, request_hash=b"", message_hashes=())
        issue(store, 5, request_hash=b"", message_hashes=(), again=False)
        assert serials(store) == [1, 3, 4, 5]

    def test_what_is_not_known_equals_nothing(self, store: Store) -> None:
        for serial in (1, 2):
            issue(store, serial, again=False, request_hash=b"", message_hashes=(), name="", unique=True)
        assert serials(store) == [1, 2]


class TestUniqueNames:
    def test_a_second_valid_certificate_is_refused(self, store: Store) -> None:
        issue(store, 1)
        with pytest.raises(SubjectTaken) as caught:
            issue(store, 2, unique=True, authority="another generation", subject="another spelling")
        assert caught.value.serial == 1
        issue(store, 3, unique=True, name="cn=other")
        issue(store, 4)
        assert serials(store) == [1, 3, 4]

    def test_expired_and_revoked_ones_do_not_stand_in_the_way(self, store: Store) -> None:
        issue(store, 1, not_after=NOW - SECOND)
        issue(store, 2)
        store.revoke("aa", 2, reason="superseded", now=NOW)
        issue(store, 3, unique=True, not_after=NOW)
        with pytest.raises(SubjectTaken):
            issue(store, 4, unique=True)  # the last second of its validity still counts

    def test_nothing_changes_when_it_is_refused(self, store: Store) -> None:
        issue(store, 1)
        store.add_credential(password("c1"))
        waiting = transaction("waits", credential_id="c1")
        store.create(waiting)
        issued = replace(waiting, state=State.ISSUED, serial=2)
        with pytest.raises(SubjectTaken):
            store.issue(waiting, issued, certificate(2, name="cn=device"), unique=True)
        assert store.get(waiting.key) == waiting
        held = store.credential("c1")
        assert held is not None
        assert held.serial is None
        assert serials(store) == [1]

    def test_a_lost_race_is_told_before_what_forbids(self, store: Store) -> None:
        """Else a worker would end a transaction that the other one has just issued."""
        issue(store, 1)
        with pytest.raises(StoreConflict):
            issue(store, 1, unique=True)


def test_of_workers_that_issue_for_one_name_at_once_one_wins(url: str) -> None:
    count = 6
    start = threading.Barrier(count)

    def go(serial: int) -> bool:
        with SqlStore(url) as store:
            start.wait()
            try:
                issue(store, serial, unique=True, request_hash=bytes([serial]) * 32)
            except SubjectTaken:
                return False
            return True

    SqlStore(url).close()
    with ThreadPoolExecutor(count) as pool:
        assert sum(pool.map(go, range(1, count + 1))) == 1


AUTHORISED: dict[str, Any] = {"approved_by": "challengePassword"}
RENEWAL: dict[str, Any] = {"approved_by": "renewal", "renews": "aa:1"}
STANDINGS = [
    (AUTHORISED, Standing.AUTHORISED),
    (RENEWAL, Standing.RENEWAL),
    ({}, Standing.NOBODY),
    ({"decision": Decision.APPROVED}, Standing.AUTHORISED),
    ({"decision": Decision.REJECTED}, Standing.AUTHORISED),
]


def challenged(name: str, **fields: Any) -> Transaction:
    return transaction(name, state=State.CHALLENGED, **fields)


class TestCrowd:
    @pytest.mark.parametrize(("fields", "standing"), STANDINGS)
    def test_counts_those_of_its_standing(self, store: Store, fields: dict[str, Any], standing: Standing) -> None:
        item = challenged("t1", **fields)
        assert item.standing is standing
        store.create(item)
        for other in Standing:
            expected = (1, item) if other is standing else (0, None)
            assert store.crowd(Group("default", State.CHALLENGED, other), now=NOW) == expected

    def test_counts_one_state_of_one_profile(self, store: Store) -> None:
        first = challenged("t1")
        store.create(first)
        store.create(challenged("t1", profile="admin"))
        store.create(transaction("t2"))
        assert store.crowd(Group("default", State.CHALLENGED, Standing.NOBODY), now=NOW) == (1, first)
        assert store.crowd(Group("admin", State.CHALLENGED, Standing.NOBODY), now=NOW)[0] == 1
        assert store.crowd(Group("default", State.AWAITING_APPROVAL, Standing.NOBODY), now=NOW)[0] == 1
        assert store.crowd(Group("other", State.CHALLENGED, Standing.NOBODY), now=NOW) == (0, None)

    def test_of_one_signer_and_of_one_certificate(self, store: Store) -> None:
        every = Group("default", State.CHALLENGED, Standing.RENEWAL)
        for number, (signer, renews) in enumerate(
            [(SIGNER, "aa:1"), (OTHER_SIGNER, "aa:1"), (SIGNER, "aa:2"), (SIGNER, "aa:1")]
        ):
            store.create(challenged(f"t{number}", signer=signer, renews=renews))
        assert store.crowd(every, now=NOW)[0] == 4
        assert store.crowd(replace(every, requester=SIGNER), now=NOW)[0] == 3
        assert store.crowd(replace(every, renews="aa:1"), now=NOW)[0] == 3
        assert store.crowd(replace(every, requester=SIGNER, renews="aa:1"), now=NOW)[0] == 2
        assert store.crowd(replace(every, renews="aa:3"), now=NOW) == (0, None)

    def test_expired_ones_do_not_count_and_the_first_added_comes_first(self, store: Store) -> None:
        group = Group("default", State.CHALLENGED, Standing.NOBODY)
        items = [challenged(f"t{number}", expires=NOW + number * SECOND) for number in (-1, 0, 2, 1)]
        for item in items:
            store.create(item)
        assert store.crowd(group, now=NOW) == (3, items[1])
        assert store.crowd(group, now=NOW + SECOND) == (2, items[2])


class TestDrop:
    def test_forgets_it_with_its_secret_and_releases_the_password(self, store: Store) -> None:
        store.add_credential(password("c1"))
        item = challenged("t1", credential_id="c1", secret_id="s1")
        store.create(item)
        store.put_secret("s1", b"secret", NOW + DAY)
        store.drop(item)
        assert store.get(item.key) is None
        assert store.take_secret("s1") is None
        held = store.credential("c1")
        assert held is not None
        assert held.holder is None

    def test_not_after_somebody_changed_it(self, store: Store) -> None:
        item = challenged("t1", secret_id="s1")
        store.create(item)
        store.put_secret("s1", b"secret", NOW + DAY)
        moved = replace(item, state=State.FAILED)
        store.replace(item, moved)
        with pytest.raises(StoreConflict):
            store.drop(item)
        assert store.get(item.key) == moved
        assert store.take_secret("s1") == b"secret"


class TestMakeRoom:
    def test_the_oldest_of_the_group_goes_and_no_other(self, store: Store) -> None:
        store.create(challenged("authorised", **AUTHORISED))
        for number in range(3):
            store.create(challenged(f"t{number}"))
        group = Group("default", State.CHALLENGED, Standing.NOBODY)
        assert make_room(store, [(group, 4)], now=NOW) == 0
        assert make_room(store, [(group, 3)], now=NOW) == 1
        left = {item.key.transaction_id for item in store.transactions()}
        assert left == {"authorised", "t1", "t2"}
        assert make_room(store, [(group, 1)], now=NOW) == 2

    def test_where_nothing_fits_the_client_is_told_to_come_back(self, store: Store) -> None:
        with pytest.raises(Busy, match=r"^busy"):
            make_room(store, [(Group("default", State.CHALLENGED, Standing.NOBODY), 0)], now=NOW)

    def test_one_that_moves_on_meanwhile_is_left_alone(self) -> None:
        class Moving(MemoryStore):
            def drop(self, transaction: Transaction) -> None:
                self.replace(transaction, replace(transaction, state=State.FAILED))
                super().drop(transaction)

        store = Moving()
        store.create(challenged("t1"))
        assert make_room(store, [(Group("default", State.CHALLENGED, Standing.NOBODY), 1)], now=NOW) == 0
        assert store.count(State.FAILED, now=NOW) == 1


class TestGuesses:
    def test_are_counted_by_profile_and_minute(self, store: Store) -> None:
        assert store.guesses("default", now=NOW) == 0
        for _ in range(3):
            store.count_guess("default", now=NOW + 59 * SECOND)
        assert store.guesses("default", now=NOW) == 3
        assert store.guesses("other", now=NOW) == 0
        assert store.guesses("default", now=NOW + 60 * SECOND) == 0
        store.count_guess("default", now=NOW + 60 * SECOND)
        assert store.guesses("default", now=NOW + 61 * SECOND) == 1
        assert store.guesses("default", now=NOW) == 0


def test_a_transaction_belongs_to_its_profile(store: Store) -> None:
    one, two = transaction("t1"), transaction("t1", profile="admin")
    store.create(one)
    assert store.get(two.key) is None
    store.create(two)
    assert (one.profile, two.profile) == ("default", "admin")
    store.replace(two, replace(two, state=State.FAILED))
    assert store.get(one.key) == one


def test_a_password_held_under_two_profiles_is_released_when_both_have_let_go(store: Store) -> None:
    store.add_credential(password("c1"))
    one, two = (transaction("t1", profile=name, credential_id="c1") for name in ("default", "admin"))
    store.create(one)
    store.create(two)
    store.replace(one, replace(one, credential_id=None))
    held = store.credential("c1")
    assert held is not None
    assert held.holder is not None
    store.drop(two)
    held = store.credential("c1")
    assert held is not None
    assert held.holder is None


def test_the_file_shrinks_after_a_flood(tmp_path: Path) -> None:
    path = tmp_path / "ca.sqlite3"
    with SqlStore(f"sqlite:///{path}") as store:
        for number in range(200):
            store.create(transaction(f"t{number}", sealed_request=bytes(50_000), expires=NOW))
        with SqlStore(f"sqlite:///{path}") as other:
            other.purge(NOW)  # so that the -wal file has been written back at least once
        store.purge(NOW + DAY)
        assert store.transactions() == []
    assert path.stat().st_size < 1_000_000


def test_good_at() -> None:
    item: IssuedCertificate = certificate(not_before=NOW, not_after=NOW + DAY)
    assert item.good_at(NOW)
    assert item.good_at(NOW + DAY)
    assert not item.good_at(NOW - SECOND)
    assert not item.good_at(NOW + DAY + SECOND)
    assert not replace(item, revoked_at=NOW).good_at(NOW)


class TestWhatADecisionRestsOn:
    def test_a_certificate_that_stands(self, store: Store) -> None:
        issue(store, 1)
        store.issue(None, transaction("t2"), certificate(2), rests_on=["aa:1"])
        assert serials(store) == [1, 2]

    @pytest.mark.parametrize("name", ["aa:2", "bb:1"])
    def test_one_that_nobody_issued(self, store: Store, name: str) -> None:
        issue(store, 1)
        with pytest.raises(CertificateWithdrawn):
            store.issue(None, transaction("t2"), certificate(2), rests_on=["aa:1", name])
        assert store.get(transaction("t2").key) is None

    def test_one_that_is_revoked_or_whose_key_is_compromised(self, store: Store) -> None:
        issue(store, 1)
        issue(store, 2)
        store.revoke("aa", 2, reason="superseded", now=NOW)
        with pytest.raises(CertificateWithdrawn):
            store.issue(None, transaction("t3"), certificate(3), rests_on=["aa:2"])
        issue(store, 4)
        store.revoke("aa", 4, reason="keyCompromise", now=NOW)
        with pytest.raises(CertificateWithdrawn):
            store.issue(None, transaction("t3"), certificate(3), rests_on=["aa:1"])
        assert store.compromised(KEY)
        assert not store.compromised(OTHER_KEY)
