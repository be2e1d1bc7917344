"""The Store's part in certificates that do not count until somebody has accepted them or heard of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ca.store import (
    CertificateWithdrawn,
    IssuedCertificate,
    KeyCompromised,
    Release,
    State,
    Store,
    StoreConflict,
    Transaction,
)
from tests.ca.test_store_contract import NOW, SECOND, certificate, transaction


def unreleased(store: Store, **fields: Any) -> tuple[Transaction, IssuedCertificate]:
    """A transaction in AWAITING_RELEASE, recorded with its certificate."""
    item = certificate(released=False, name="cn=device")
    waiting = transaction(state=State.AWAITING_RELEASE, serial=item.serial, release=Release.CLIENT, **fields)
    store.issue(None, waiting, item)
    return waiting, item


def ended(waiting: Transaction, state: State) -> Transaction:
    return replace(waiting, state=state, release=Release.NONE)


def test_until_it_is_released_a_certificate_is_in_no_list(store: Store) -> None:
    waiting, item = unreleased(store)
    assert store.certificates() == []
    assert store.certificate(item.authority, item.serial) == item
    assert store.valid_certificates("cn=device", now=NOW) == [item]  # it may yet count
    assert not item.good_at(NOW)
    store.release(waiting, ended(waiting, State.ISSUED))
    assert store.certificates() == [replace(item, released=True)]
    assert store.get(waiting.key) == ended(waiting, State.ISSUED)
    assert replace(item, released=True).good_at(NOW)


def test_one_that_is_withdrawn_is_revoked_and_not_released(store: Store) -> None:
    waiting, item = unreleased(store)
    store.withdraw(waiting, ended(waiting, State.FAILED), now=NOW)
    gone = replace(item, revoked_at=NOW, reason="cessationOfOperation")
    assert store.certificate(item.authority, item.serial) == gone
    assert store.revocations(item.authority, now=NOW).listed == [(gone.serial, NOW, gone.reason)]
    assert store.certificates() == []
    assert store.get(waiting.key) == ended(waiting, State.FAILED)


def test_one_that_was_revoked_meanwhile_is_not_released(store: Store) -> None:
    waiting, item = unreleased(store)
    store.revoke(item.authority, item.serial, reason="superseded", now=NOW)
    with pytest.raises(CertificateWithdrawn):
        store.release(waiting, ended(waiting, State.ISSUED))
    assert store.get(waiting.key) == waiting
    assert store.certificates() == []


def test_what_it_rests_on_must_stand_when_it_is_released(store: Store) -> None:
    waiting, item = unreleased(store)
    store.record(certificate(7, spki_hash=b"other"))
    store.revoke(item.authority, 7, reason="superseded", now=NOW)
    with pytest.raises(CertificateWithdrawn):
        store.release(waiting, ended(waiting, State.ISSUED), rests_on=[f"{item.authority}:7"])
    assert store.get(waiting.key) == waiting and store.certificate(item.authority, item.serial) == item


def test_its_key_must_not_be_compromised_when_it_is_released(store: Store) -> None:
    waiting, item = unreleased(store)
    store.record(certificate(7, spki_hash=item.spki_hash))
    store.revoke(item.authority, 7, reason="keyCompromise", now=NOW)
    with pytest.raises(KeyCompromised):
        store.release(waiting, ended(waiting, State.ISSUED))
    assert store.get(waiting.key) == waiting and store.certificate(item.authority, item.serial) == item


@pytest.mark.parametrize("how", ["release", "withdraw"])
def test_of_two_workers_one_ends_it(store: Store, how: str) -> None:
    waiting, item = unreleased(store)
    store.release(waiting, ended(waiting, State.ISSUED))
    with pytest.raises(StoreConflict):
        if how == "release":
            store.release(waiting, ended(waiting, State.ISSUED))
        else:
            store.withdraw(waiting, ended(waiting, State.FAILED), now=NOW)
    assert store.certificates() == [replace(item, released=True)]


def test_purge_revokes_what_nobody_released_in_time(store: Store) -> None:
    waiting, item = unreleased(store, expires=NOW)
    assert store.purge(NOW) == 0
    assert store.purge(NOW + SECOND) == 1
    found = store.certificate(item.authority, item.serial)
    assert found == replace(item, revoked_at=NOW + SECOND, reason="cessationOfOperation")
    assert store.get(waiting.key) is None
