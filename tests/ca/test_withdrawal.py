"""What `ca.store.Store` promises of taking something back: passwords are listed and removed, certificates recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ca.store import CredentialUnavailable, State, Store, StoreConflict
from tests.ca.test_store_contract import (
    FULL_CERTIFICATE,
    FULL_PASSWORD,
    NOW,
    SECOND,
    certificate,
    password,
    transaction,
)


def test_passwords_are_listed_newest_first(store: Store) -> None:
    for identifier, moment in (("b", 2), ("c", 3), ("a", 3), ("d", 1)):
        store.add_credential(password(identifier, created=NOW + moment * SECOND))
    assert [item.identifier for item in store.credentials()] == ["a", "c", "b", "d"]
    assert [item.identifier for item in store.credentials(limit=2)] == ["a", "c"]


def test_every_field_of_a_listed_password_comes_back(store: Store) -> None:
    store.add_credential(FULL_PASSWORD)
    assert list(store.credentials()) == [FULL_PASSWORD]


def test_a_removed_password_is_gone_and_can_be_removed_once(store: Store) -> None:
    store.add_credential(password("c1"))
    store.add_credential(password("c2"))
    assert [store.remove_credential("c1"), store.remove_credential("c1")] == [True, False]
    assert [item.identifier for item in store.credentials()] == ["c2"]
    assert store.credential("c1") is None


def test_what_holds_a_removed_password_is_not_issued(store: Store) -> None:
    store.add_credential(password())
    waiting = transaction(credential_id="c1")
    store.create(waiting)
    store.remove_credential("c1")
    with pytest.raises(CredentialUnavailable):
        store.issue(waiting, replace(waiting, state=State.ISSUED, serial=1), certificate())
    assert store.get(waiting.key) == waiting and list(store.certificates()) == []


def test_a_transaction_whose_password_was_removed_can_end(store: Store) -> None:
    store.add_credential(password())
    waiting = transaction(credential_id="c1")
    store.create(waiting)
    store.remove_credential("c1")
    ended = replace(waiting, state=State.FAILED, credential_id=None)
    store.replace(waiting, ended)
    assert store.get(waiting.key) == ended and store.credential("c1") is None


def test_a_removed_password_may_be_added_again_and_nobody_holds_it(store: Store) -> None:
    store.add_credential(password())
    store.create(transaction(credential_id="c1"))
    store.remove_credential("c1")
    store.add_credential(password())
    found = store.credential("c1")
    assert found is not None and found.holder is None


def test_a_recorded_certificate_is_found_like_any_other(store: Store) -> None:
    store.record(FULL_CERTIFICATE)
    assert store.certificate(FULL_CERTIFICATE.authority, FULL_CERTIFICATE.serial) == FULL_CERTIFICATE
    (listed,) = store.revocations(FULL_CERTIFICATE.authority, now=NOW).listed
    assert listed == (FULL_CERTIFICATE.serial, FULL_CERTIFICATE.revoked_at, FULL_CERTIFICATE.reason)
    assert list(store.transactions()) == []


def test_a_serial_is_recorded_once(store: Store) -> None:
    store.record(certificate())
    with pytest.raises(StoreConflict):
        store.record(certificate(subject="CN=other"))
    assert list(store.certificates()) == [certificate()]


def test_times_of_a_recorded_certificate_are_whole_seconds(store: Store) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        store.record(certificate(not_after=NOW + timedelta(microseconds=1)))
    assert list(store.certificates()) == []
