"""What the Store keeps sealed opens for the transaction it was sealed for, and for no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ca.credentials import check_password
from ca.errors import ProofExpired, RequestRefused
from ca.memory_store import MemoryStore
from ca.proofs import Proofs
from ca.remembered import Memory, Remembered
from ca.sealing import ServerKey
from ca.store import Credential, TransactionKey
from tests.ca.test_store_contract import DAY, NOW, transaction
from tests.world import Random, World, name

KEY = TransactionKey("scep", "t1", b"\x01" * 32, "default")
OTHERS = [
    replace(KEY, protocol="cmc"),
    replace(KEY, transaction_id="t2"),
    replace(KEY, requester=b"\x02" * 32),
    replace(KEY, profile="admin"),
    TransactionKey("scept", "1", KEY.requester, KEY.profile),
]
SERVER_KEY = ServerKey(b"\x01" * 32)


@pytest.mark.parametrize("other", OTHERS)
def test_a_sealed_request_is_nothing_to_another_transaction(other: TransactionKey) -> None:
    memory = Memory(SERVER_KEY, Random("sealed"))
    request = World().device().request
    sealed = memory.seal(KEY, Remembered.of(request, b"context", bytes(32)))
    mine = replace(transaction(), key=KEY, sealed_request=sealed)
    assert memory.open(mine).read().der == request.der
    with pytest.raises(RequestRefused):
        memory.open(replace(mine, key=other))


@pytest.mark.parametrize("other", OTHERS)
def test_a_kept_secret_is_nothing_to_another_transaction(other: TransactionKey) -> None:
    proofs = Proofs(MemoryStore(), SERVER_KEY, Random("kept"))
    kept = [proofs.keep(KEY, b"secret", expires=NOW + DAY, late=DAY) for _ in range(2)]
    assert proofs.take(KEY, kept[0], now=NOW) == b"secret"
    assert proofs.take(KEY, kept[0], now=NOW) is None
    with pytest.raises(ProofExpired):
        proofs.take(other, kept[1], now=NOW)


def test_references_and_passwords_have_identifiers_of_their_own() -> None:
    assert SERVER_KEY.identifier("0815") != SERVER_KEY.reference_identifier("0815")


def test_a_credential_with_a_sealed_secret_is_no_password_whatever_its_identifier() -> None:
    store, password = MemoryStore(), "a password"
    plain = Credential(SERVER_KEY.identifier(password), one_time=True, created=NOW, expires=None)
    for credential, good in ((plain, True), (replace(plain, sealed=b"sealed"), False)):
        store.remove_credential(plain.identifier)
        store.add_credential(credential)
        found = check_password(
            store, SERVER_KEY, password, subject=name("CN=a"), profile="default", holder="h", now=NOW
        )
        assert (found is not None) is good
