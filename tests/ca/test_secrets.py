"""What `ca.store.Store` promises about secrets and about counting by signer, held against both implementations."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from ca.sql_store import SqlStore
from ca.store import State, Store, StoreConflict
from tests.ca.test_store_contract import DAY, NOW, SECOND, transaction

SEALED = bytes(range(256)) * 3


def test_a_secret_comes_back_octet_by_octet(store: Store) -> None:
    store.put_secret("s1", SEALED, NOW + DAY)
    assert store.take_secret("s1") == SEALED


def test_an_empty_secret_is_not_no_secret(store: Store) -> None:
    store.put_secret("s1", b"", NOW + DAY)
    assert store.take_secret("s1") == b""
    assert store.take_secret("s1") is None


def test_an_unknown_secret_is_none(store: Store) -> None:
    assert store.take_secret("s1") is None
    assert store.take_secret("") is None


def test_a_secret_is_taken_once(store: Store) -> None:
    store.put_secret("s1", SEALED, NOW + DAY)
    assert [store.take_secret("s1") for _ in range(3)] == [SEALED, None, None]


def test_taking_one_leaves_the_others(store: Store) -> None:
    store.put_secret("s1", b"one", NOW + DAY)
    store.put_secret("s2", b"two", NOW + DAY)
    store.take_secret("s1")
    assert store.take_secret("s2") == b"two"


def test_an_identifier_in_use_is_a_conflict_and_changes_nothing(store: Store) -> None:
    store.put_secret("s1", b"one", NOW + DAY)
    with pytest.raises(StoreConflict):
        store.put_secret("s1", b"two", NOW + 2 * DAY)
    assert store.take_secret("s1") == b"one"


def test_a_taken_identifier_is_free_again(store: Store) -> None:
    store.put_secret("s1", b"one", NOW + DAY)
    store.take_secret("s1")
    store.put_secret("s1", b"two", NOW + DAY)
    assert store.take_secret("s1") == b"two"


def test_identifiers_are_told_apart_by_case_and_length(store: Store) -> None:
    identifiers = ["s", "S", "s ", "response-key " + "a" * 64, "ß", "ss"]
    for number, identifier in enumerate(identifiers):
        store.put_secret(identifier, bytes((number,)), NOW + DAY)
    assert [store.take_secret(identifier) for identifier in identifiers] == [bytes((n,)) for n in range(6)]


def test_an_expired_secret_is_still_there_until_it_is_purged(store: Store) -> None:
    """Expiry is the caller's comparison."""
    store.put_secret("s1", SEALED, NOW - DAY)
    assert store.take_secret("s1") == SEALED


def test_purging_takes_expired_secrets_alone_and_counts_them(store: Store) -> None:
    store.put_secret("past", b"", NOW - SECOND)
    store.put_secret("now", b"", NOW)
    store.put_secret("future", b"", NOW + SECOND)
    assert store.purge(NOW) == 1
    assert [store.take_secret(identifier) for identifier in ("past", "now", "future")] == [None, b"", b""]


@pytest.mark.parametrize("moment", [NOW.replace(tzinfo=None), NOW.replace(microsecond=1)])
def test_the_expiry_is_aware_and_in_whole_seconds(store: Store, moment: datetime) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        store.put_secret("s1", SEALED, moment)
    assert store.take_secret("s1") is None


def test_secrets_outlive_the_connection(url: str) -> None:
    with SqlStore(url) as first:
        first.put_secret("s1", SEALED, NOW + DAY)
        first.put_secret("s2", SEALED, NOW + DAY)
        first.take_secret("s2")
    with SqlStore(url) as second:
        assert second.take_secret("s1") == SEALED
        assert second.take_secret("s2") is None


def test_of_threads_that_take_one_secret_one_gets_it(store: Store) -> None:
    count, rounds = 8, 10
    start = threading.Barrier(count)

    def take(_number: int) -> list[bytes | None]:
        found = []
        for turn in range(rounds):
            start.wait()
            found.append(store.take_secret(f"s{turn}"))
        return found

    for turn in range(rounds):
        store.put_secret(f"s{turn}", SEALED, NOW + DAY)
    with ThreadPoolExecutor(count) as pool:
        taken = list(pool.map(take, range(count)))
    for turn in range(rounds):
        assert [found[turn] for found in taken if found[turn] is not None] == [SEALED]


def test_of_threads_that_put_one_secret_one_succeeds(store: Store) -> None:
    count = 8
    start = threading.Barrier(count)

    def put(number: int) -> bytes | None:
        start.wait()
        try:
            store.put_secret("s1", bytes((number,)), NOW + DAY)
        except StoreConflict:
            return None
        return bytes((number,))

    with ThreadPoolExecutor(count) as pool:
        (won,) = (found for found in pool.map(put, range(count)) if found is not None)
    assert store.take_secret("s1") == won


def _take_all(url: str, rounds: int) -> list[int]:
    """In a process of its own: which of the secrets it got."""
    with SqlStore(url) as store:
        return [number for number in range(rounds) if store.take_secret(f"s{number}") is not None]


def test_of_processes_that_take_the_same_secrets_each_goes_to_one(url: str) -> None:
    rounds = 25
    with SqlStore(url) as store:
        for number in range(rounds):
            store.put_secret(f"s{number}", SEALED, NOW + DAY)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_take_all, [(url, rounds)] * 3)
    assert sorted(number for part in found for number in part) == list(range(rounds))


def test_what_a_transaction_remembers_of_its_proof_comes_back(store: Store) -> None:
    item = transaction(
        "t1",
        state=State.CHALLENGED,
        secret_id="ab" * 16,
        pop_challenges=5,
        approved_by="renewal",
        renews=f"aa:{2**159:x}",
    )
    store.create(item)
    assert store.get(item.key) == item


def test_kept_octets_stay_what_they_were(store: Store) -> None:
    assert store.keep_secret("s1", b"one", NOW + DAY) == b"one"
    assert store.keep_secret("s1", b"two", NOW + DAY) == b"one"
    assert store.keep_secret("s1", b"one", NOW) == b"one"
    assert store.take_secret("s1") == b"one"


def test_of_threads_that_keep_octets_under_one_name_all_get_the_first(store: Store) -> None:
    count = 8
    start = threading.Barrier(count)

    def keep(number: int) -> bytes:
        start.wait()
        return store.keep_secret("s1", bytes([number]), NOW + DAY)

    with ThreadPoolExecutor(count) as pool:
        assert len(set(pool.map(keep, range(count)))) == 1
