"""Several workers with one Store: whoever comes second reads again and decides anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.enrolment import ATTEMPTS
from ca.memory_store import MemoryStore
from ca.methods import AuthorisationPolicy
from ca.store import Decision, IssuedCertificate, StoreConflict, Transaction
from pkix import oids
from pkix.asn1 import encode, wrap
from scep.attributes import RESPONSE_KEY, FailInfo
from scep.client import Issued, Refused, StillPending
from scep.kem_pop import encode_response_key
from tests.scep import craft
from tests.world import ALL_METHODS, Device, World

USED = "the challengePassword has been used"
MANUAL = AuthorisationPolicy(manual=True)


def refusal(answer: object) -> str:
    """The text of a badRequest."""
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text
    return answer.text


def issued(answer: object) -> bytes:
    """The certificate of a success."""
    assert isinstance(answer, Issued)
    return answer.certificate


def only(world: World) -> Transaction:
    (found,) = world.store.transactions()
    return found


def waiting(device: Device) -> None:
    assert device.enrol() == StillPending()


class Contested(MemoryStore):
    """Another worker gets in first, the given number of times."""

    def __init__(self, conflicts: int) -> None:
        super().__init__()
        self.conflicts = conflicts
        self.attempts = 0

    def _contest(self) -> None:
        self.attempts += 1
        if self.conflicts:
            self.conflicts -= 1
            raise StoreConflict("changed by another worker")

    def create(self, transaction: Transaction) -> None:
        self._contest()
        super().create(transaction)

    def replace(self, old: Transaction, new: Transaction) -> None:
        self._contest()
        super().replace(old, new)

    def issue(self, old: Transaction | None, new: Transaction, certificate: IssuedCertificate, **rules: Any) -> None:
        self._contest()
        super().issue(old, new, certificate, **rules)


@pytest.mark.parametrize("conflicts", range(ATTEMPTS))
@pytest.mark.parametrize("policy", [MANUAL, ALL_METHODS])
def test_a_request_survives_conflicts(conflicts: int, policy: AuthorisationPolicy) -> None:
    world = World(policy=policy, store=Contested(conflicts))
    device = world.device(password=None if policy is MANUAL else world.password())
    assert isinstance(device.enrol(), StillPending if policy is MANUAL else Issued)
    assert len(world.store.transactions()) == 1


def test_with_too_many_conflicts_the_client_is_told_to_come_back() -> None:
    store = Contested(ATTEMPTS)
    world = World(store=store)
    device = world.device(password=world.password())
    assert refusal(device.enrol()) == "busy with this transaction; come back in a moment"
    assert store.attempts == ATTEMPTS
    assert not store.certificates()
    issued(device.enrol())


class Twins(MemoryStore):
    """Runs `between` once, right before the first certificate is recorded: the other worker is that much faster."""

    between: Callable[[], Any] | None = None

    def issue(self, old: Transaction | None, new: Transaction, certificate: IssuedCertificate, **rules: Any) -> None:
        between, self.between = self.between, None
        if between is not None:
            between()
        super().issue(old, new, certificate, **rules)


@pytest.mark.parametrize("transaction_id", ["transaction-1", "another"])
def test_two_workers_with_one_store_issue_one_certificate(transaction_id: str) -> None:
    store = Twins()
    one, two = World(store=store), World(store=store, seed="the other worker")
    device = one.device(password=one.password())
    twin = two.device(request=device.request.der, transaction_id=transaction_id)
    answers: list[Any] = []
    store.between = lambda: answers.append(twin.enrol())
    answers.append(device.enrol())
    assert len({issued(answer) for answer in answers}) == 1
    assert len(store.certificates()) == 1


def test_two_keys_race_for_one_password_and_one_wins() -> None:
    store = Twins()
    one, two = World(store=store), World(store=store, seed="the other worker")
    device = one.device(password=one.password())
    rival = two.device(password="one-time secret", label="rival")
    answers: list[Any] = []
    store.between = lambda: answers.append(rival.enrol())
    answers.append(device.enrol())
    assert issued(answers[0])
    assert refusal(answers[1]) == USED
    assert len(store.certificates()) == 1


def test_two_polls_race_for_one_approval_and_get_the_same_certificate() -> None:
    store = Twins()
    one, two = World(policy=MANUAL, store=store), World(policy=MANUAL, store=store, seed="the other worker")
    device = one.device()
    waiting(device)
    one.decide(Decision.APPROVED)
    answers: list[Any] = []
    store.between = lambda: answers.append(two.device().poll())
    answers.append(device.poll())
    assert len({issued(answer) for answer in answers}) == 1


def test_an_operator_who_rejects_while_the_client_polls_wins() -> None:
    store = Twins()
    world = World(policy=MANUAL, store=store)
    device = world.device()
    waiting(device)
    world.decide(Decision.APPROVED)
    store.between = lambda: world.decide(Decision.REJECTED, "changed my mind")
    assert refusal(device.poll()) == "changed my mind"
    assert not store.certificates()


def with_response_key(device: Device) -> bytes:
    """The device's request with a responseKey attribute beside its challengePassword."""
    assert isinstance(device.key, rsa.RSAPrivateKey)
    password = (device.request.challenge_password or "").encode()
    values = [
        (oids.CHALLENGE_PASSWORD, wrap(0x0C, password)),
        (RESPONSE_KEY, encode_response_key(bytes(16), bytes(range(16)))),
    ]
    attributes = sorted(wrap(0x30, encode(kind) + wrap(0x31, value)) for kind, value in values)
    return craft.signed_pkcs10(device.key, craft.request_info(device, attributes=b"".join(attributes)))


def test_a_response_key_survives_conflicts() -> None:
    """Its first use is noted in the Store; whoever looks again after a conflict must not take that for a second use."""
    world = World(store=Contested(1))
    device = world.device(password=world.password())
    assert isinstance(world.device(request=with_response_key(device)).enrol(), Issued)
