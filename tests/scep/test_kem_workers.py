"""Several workers with one Store, and workers that stop halfway: one proof brings one certificate."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ca.enrolment import ATTEMPTS
from ca.memory_store import MemoryStore
from ca.store import State, Store
from scep.attributes import FailInfo, PkiStatus
from scep.client import StillPending
from scep.messages import PkiMessage
from tests.scep.kem_kit import (
    CHALLENGED,
    WRONG_PROOF,
    Crash,
    challenged,
    confirm_with,
    confirmation,
    crashing,
    issued,
    kem_world,
    only,
    pending,
    refused,
    secrets,
    unique,
)
from tests.scep.test_kem_states import wrong
from tests.scep.test_races import Contested, Twins
from tests.world import World, kem_device

STATUSES = {PkiStatus.SUCCESS, PkiStatus.PENDING}


def workers(store: Store, count: int = 2) -> list[World]:
    """Responders that share a Store and nothing else."""
    return [kem_world(store=store, seed=f"worker {number}") for number in range(count)]


@pytest.mark.parametrize("round_", range(3))
def test_workers_racing_on_one_confirmation_issue_one_certificate(store: Store, round_: int) -> None:
    one, *others = found = workers(store, 4)
    device = challenged(one)
    poll = device.enrolment.poll(now=one.now)
    start = threading.Barrier(len(found))

    def send(world: World) -> PkiStatus:
        start.wait()
        return PkiMessage.decode(world.send(poll).body).pki_status

    with ThreadPoolExecutor(len(found)) as pool:
        answers = list(pool.map(send, found))
    assert set(answers) <= STATUSES
    assert PkiStatus.SUCCESS in answers
    assert len(store.certificates()) == 1
    assert only(store).state is State.ISSUED
    assert others


def test_workers_racing_on_one_request_leave_one_challenge_that_can_be_answered(store: Store) -> None:
    found = workers(store, 3)
    device = kem_device(found[0], password=found[0].password())
    message = device.start()
    start = threading.Barrier(len(found))

    def send(world: World) -> bytes:
        start.wait()
        return world.send(message).body

    with ThreadPoolExecutor(len(found)) as pool:
        answers = list(pool.map(send, found))
    assert len(set(answers)) == 1 and only(store).pop_challenges == 1
    assert device.enrolment.receive(answers[0]) == CHALLENGED
    issued(device.poll())


class Between(MemoryStore):
    """Runs something once, right after a secret was taken: the other worker comes in between."""

    between: Callable[[], Any] | None = None

    def take_secret(self, identifier: str) -> bytes | None:
        taken = super().take_secret(identifier)
        between, self.between = self.between, None
        if between is not None:
            between()
        return taken


def test_who_comes_second_to_the_secret_is_told_to_come_back() -> None:
    store = Between()
    one, two = workers(store)
    device = challenged(one)
    poll = device.enrolment.poll(now=one.now)
    seen: list[PkiStatus] = []
    store.between = lambda: seen.append(PkiMessage.decode(two.send(poll).body).pki_status)
    first = issued(device.enrolment.receive(one.send(poll).body))
    assert seen == [PkiStatus.PENDING]
    assert len(store.certificates()) == 1
    assert issued(device.poll()).certificate == first.certificate


def test_a_proof_is_bound_to_the_challenge_that_it_answers() -> None:
    """Another challenge came between the check of the MAC and the issuing: what was proven says nothing about it."""
    store = Between()
    one, two = workers(store)
    device, twin = challenged(one), kem_device(two, password="password of kem device")
    poll = device.enrolment.poll(now=one.now)
    answers: list[object] = []
    store.between = lambda: answers.append(twin.enrol())
    assert device.enrolment.receive(one.send(poll).body) == StillPending()
    assert answers == [CHALLENGED]
    assert not store.certificates()
    assert only(store).state is State.CHALLENGED
    issued(twin.poll())


def test_a_wrong_confirmation_beside_a_right_one_brings_at_most_one_certificate() -> None:
    store = Between()
    one, two = workers(store)
    device = challenged(one)
    good = device.enrolment.poll(now=one.now)
    bad = kem_device(two, password="password of kem device")
    store.between = lambda: confirm_with(bad, b"\x30\x00")
    issued(device.enrolment.receive(one.send(good).body))
    assert len(store.certificates()) == 1


def test_two_workers_issuing_at_once_record_one_certificate() -> None:
    store = Twins()
    one, two = workers(store)
    device = challenged(one)
    poll = device.enrolment.poll(now=one.now)
    store.between = lambda: two.send(poll)
    first = issued(device.enrolment.receive(one.send(poll).body))
    assert unique([first, device.poll()]) == {first.certificate}
    assert len(store.certificates()) == 1


@pytest.mark.parametrize("conflicts", range(ATTEMPTS))
def test_a_challenge_and_its_confirmation_survive_conflicts(conflicts: int) -> None:
    store = Contested(conflicts)
    world = kem_world(store=store)
    device = challenged(world)
    assert len(secrets(world)) == 1
    store.conflicts = conflicts
    issued(device.poll())
    assert not secrets(world)


def test_a_challenge_that_was_not_recorded_leaves_no_secret() -> None:
    world = kem_world(store=Contested(ATTEMPTS))
    refused(kem_device(world, password=world.password()).enrol(), text="busy with this transaction")
    assert not secrets(world)


# Workers that stop halfway


@pytest.mark.parametrize("method", ["issue"])
@pytest.mark.parametrize("before", [True, False])
def test_after_a_crash_around_issuing_a_retry_ends_in_one_certificate(store: Store, method: str, before: bool) -> None:
    """before: the secret is taken and no certificate recorded; after: it is recorded and the reply is lost."""
    world = kem_world(store=store)
    device = challenged(world)
    confirm = confirmation(device)
    with crashing(store, method, before=before), pytest.raises(Crash):
        device.poll()
    assert len(store.certificates()) == (0 if before else 1)
    answer = confirm_with(device, confirm)
    if before:
        assert answer == StillPending(challenged=False)
        assert confirm_with(device, None) == CHALLENGED
        answer = device.poll()
    issued(answer)
    assert len(store.certificates()) == 1


def test_after_a_crash_right_after_taking_the_secret_a_retry_ends_in_one_certificate(store: Store) -> None:
    world = kem_world(store=store)
    device = challenged(world)
    with crashing(store, "take_secret", before=False), pytest.raises(Crash):
        device.poll()
    assert only(store).state is State.CHALLENGED
    assert device.enrol() == CHALLENGED
    issued(device.poll())
    assert len(store.certificates()) == 1


@pytest.mark.parametrize(("method", "before"), [("put_secret", False), ("create", True), ("create", False)])
def test_after_a_crash_around_the_first_challenge_a_retry_ends_in_one_certificate(
    store: Store, method: str, before: bool
) -> None:
    world = kem_world(store=store)
    device = kem_device(world, password=world.password())
    with crashing(store, method, before=before), pytest.raises(Crash):
        device.enrol()
    pending(device)
    issued(device.poll())
    assert len(store.certificates()) == 1


@pytest.mark.parametrize(("method", "before"), [("replace", True), ("replace", False), ("take_secret", True)])
def test_after_a_crash_around_a_fresh_challenge_a_retry_ends_in_one_certificate(
    store: Store, method: str, before: bool
) -> None:
    world = kem_world(store=store)
    device = challenged(world)
    old = confirmation(device)
    with crashing(store, method, before=before), pytest.raises(Crash):
        device.enrol()
    if (method, before) != ("replace", True):
        refused(confirm_with(device, old), FailInfo.badMessageCheck, WRONG_PROOF)
    assert device.enrol() == CHALLENGED
    issued(device.poll())
    assert len(store.certificates()) == 1


def test_a_wrong_confirmation_whose_worker_stopped_is_not_tried_again(store: Store) -> None:
    world = kem_world(store=store)
    device = challenged(world)
    good = confirmation(device)
    with crashing(store, "replace"), pytest.raises(Crash):
        confirm_with(device, wrong(good))
    assert confirm_with(device, good) == StillPending(challenged=False)
    assert not store.certificates()
