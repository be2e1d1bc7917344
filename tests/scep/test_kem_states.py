"""The rows of the transaction table that a KEM proof of possession adds, one test or more each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ca.methods import AuthorisationPolicy
from ca.store import Decision, State, Transaction
from ca.transactions import Event
from scep.attributes import FailInfo
from scep.client import StillPending
from scep.settings import KemPolicy, Settings
from scep.transactions import STATES, STEPS, TABLE
from tests.scep.kem_kit import (
    CHALLENGED,
    EXPIRED,
    SUBJECT,
    UNKNOWN,
    WRONG_PROOF,
    challenged,
    confirm_parts,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    only,
    pending,
    refused,
    secrets,
    state,
    unsigned,
    with_request,
)
from tests.world import ALL_METHODS, Device, World, kem_device

MANUAL = AuthorisationPolicy(manual=True)
MINUTE = timedelta(minutes=1)


def wrong(confirm: bytes) -> bytes:
    """A confirmation with another MAC."""
    tree = confirm_parts(confirm)
    tree[-1].content = flipped(tree[-1].content)
    return tree.der()


def failed(world: World) -> Device:
    """A device whose confirmation was wrong."""
    device = challenged(world)
    refused(confirm_with(device, wrong(confirmation(device))), FailInfo.badMessageCheck)
    return device


def but_for_what_it_has_seen(transaction: Transaction) -> Transaction:
    """A transaction without what tests/scep/test_copies.py is about."""
    return replace(transaction, sealed_request=b"")


def approval(world: World) -> Device:
    """A device that has proven possession and waits for an operator."""
    device = challenged(world, password=None)
    assert device.poll() == StillPending(challenged=False)
    return device


def other_request(device: Device) -> Device:
    """The same signer and transactionID with a request for another subject."""
    return with_request(
        device.world,
        unsigned(subject=f"{SUBJECT},OU=other", challenge_password="password of kem device"),
        signer=device.signer,
        transaction_id=device.enrolment.transaction_id,
    )


def test_the_table_knows_every_state_and_event() -> None:
    known = {(None, Event.request), (None, Event.poll), (None, Event.confirm)}
    events = (Event.same_request, Event.other_request, Event.poll, Event.confirm)
    assert set(TABLE) == known | {(item, event) for item in STATES for event in events}
    assert set(TABLE.values()) == set(STEPS)


# Nothing known


def test_a_request_for_a_kem_key_is_challenged() -> None:
    world = kem_world()
    assert kem_device(world, password=world.password()).enrol() == CHALLENGED
    transaction = only(world.store)
    assert (transaction.state, transaction.pop_challenges) == (State.CHALLENGED, 1)
    assert transaction.secret_id in secrets(world)
    assert not world.store.certificates()


@pytest.mark.parametrize("confirm", [None, b"\x30\x00"])
def test_a_cert_poll_that_matches_nothing_is_a_bad_request(confirm: bytes | None) -> None:
    world = kem_world()
    device = kem_device(world)
    refused(confirm_with(device, confirm), text=UNKNOWN)
    assert not world.store.transactions()


# CHALLENGED


def test_the_same_request_again_is_challenged_afresh() -> None:
    world = kem_world()
    device = challenged(world)
    old = only(world.store)
    assert device.enrol() == CHALLENGED
    new = only(world.store)
    assert (new.state, new.pop_challenges) == (State.CHALLENGED, 2)
    assert new.secret_id != old.secret_id
    assert list(secrets(world)) == [new.secret_id]
    issued(device.poll())


def test_a_cert_poll_without_a_confirmation_is_challenged_afresh() -> None:
    world = kem_world()
    device = challenged(world)
    old = only(world.store)
    assert confirm_with(device, None) == CHALLENGED
    new = only(world.store)
    assert new.pop_challenges == 2
    assert list(secrets(world)) == [new.secret_id] != [old.secret_id]
    issued(device.poll())


@pytest.mark.parametrize("by_poll", [True, False])
def test_a_fresh_challenge_makes_the_old_confirmation_wrong(by_poll: bool) -> None:
    world = kem_world()
    device = challenged(world)
    old = confirmation(device)
    assert (confirm_with(device, None) if by_poll else device.enrol()) == CHALLENGED
    refused(confirm_with(device, old), FailInfo.badMessageCheck, WRONG_PROOF)
    assert state(world) is State.FAILED
    assert not world.store.certificates()


@pytest.mark.parametrize("by_poll", [True, False])
def test_a_transaction_gets_five_challenges_and_then_fails(by_poll: bool) -> None:
    world = kem_world()
    device = challenged(world)
    for _ in range(4):
        assert (confirm_with(device, None) if by_poll else device.enrol()) == CHALLENGED
    answer = confirm_with(device, None) if by_poll else device.enrol()
    refused(answer, text="too many challenges")
    assert state(world) is State.FAILED
    assert not secrets(world)


def test_the_fifth_challenge_can_still_be_confirmed() -> None:
    world = kem_world()
    device = challenged(world)
    for _ in range(4):
        device.enrol()
    issued(device.poll())


def test_a_right_confirmation_in_time_brings_the_certificate() -> None:
    world = kem_world()
    device = challenged(world)
    world.tick(10 * MINUTE)
    issued(device.poll())
    transaction = only(world.store)
    assert (transaction.state, transaction.secret_id) == (State.ISSUED, None)
    assert not secrets(world)
    assert len(world.store.certificates()) == 1


def test_a_right_confirmation_under_manual_approval_waits_without_a_challenge() -> None:
    world = kem_world(policy=MANUAL)
    approval(world)
    transaction = only(world.store)
    assert (transaction.state, transaction.secret_id) == (State.AWAITING_APPROVAL, None)
    assert not secrets(world)
    assert not world.store.certificates()


def test_a_wrong_confirmation_ends_the_transaction_and_deletes_the_secret() -> None:
    world = kem_world()
    device = challenged(world)
    good = confirmation(device)
    refused(confirm_with(device, wrong(good)), FailInfo.badMessageCheck, WRONG_PROOF)
    assert (state(world), secrets(world)) == (State.FAILED, {})
    refused(confirm_with(device, good))
    assert not world.store.certificates()


def test_a_confirmation_after_the_end_is_late() -> None:
    world = kem_world()
    device = challenged(world)
    world.tick(10 * MINUTE + timedelta(seconds=1))
    refused(device.poll(), text=EXPIRED)
    assert (state(world), secrets(world)) == (State.FAILED, {})
    assert not world.store.certificates()


def test_a_late_confirmation_is_told_so_when_the_store_was_purged_meanwhile() -> None:
    world = kem_world()
    device = challenged(world)
    world.tick(11 * MINUTE)
    world.store.purge(world.now)
    refused(device.poll(), text=EXPIRED)
    assert state(world) is State.FAILED


def test_a_challenge_lives_as_long_as_the_policy_says() -> None:
    world = kem_world(kem=KemPolicy(challenge_lifetime=3 * MINUTE))
    device = challenged(world)
    world.tick(3 * MINUTE + timedelta(seconds=1))
    refused(device.poll(), text=EXPIRED)


def test_a_challenge_nobody_answered_is_forgotten() -> None:
    world = kem_world()
    device = challenged(world)
    world.tick(21 * MINUTE)
    refused(device.poll(), text=UNKNOWN)
    world.store.purge(world.now)
    assert not world.store.transactions()
    assert not secrets(world)
    assert device.enrol() == CHALLENGED


def test_another_request_leaves_a_challenged_transaction_as_it_is() -> None:
    world = kem_world()
    device = challenged(world)
    before = only(world.store), dict(secrets(world))
    refused(other_request(device).enrol(), text="another request is waiting under this transactionID")
    assert (only(world.store), secrets(world)) == before
    issued(device.poll())


# AWAITING_APPROVAL


@pytest.mark.parametrize("event", ["poll", "request"])
def test_while_nobody_has_decided_the_answer_is_pending_without_a_challenge(event: str) -> None:
    world = kem_world(policy=MANUAL)
    device = approval(world)
    before = only(world.store)
    answer = device.poll() if event == "poll" else device.enrol()
    assert answer == StillPending(challenged=False)
    assert but_for_what_it_has_seen(only(world.store)) == but_for_what_it_has_seen(before)


def test_a_replayed_confirmation_does_not_get_past_the_operator() -> None:
    world = kem_world(policy=MANUAL)
    device = challenged(world, password=None)
    confirm = confirmation(device)
    for _ in range(2):
        assert confirm_with(device, confirm) == StillPending(challenged=False)
    assert state(world) is State.AWAITING_APPROVAL
    assert not world.store.certificates()


def test_approved_then_polled_brings_the_certificate() -> None:
    world = kem_world(policy=MANUAL)
    device = approval(world)
    world.decide(Decision.APPROVED)
    issued(device.poll())
    assert state(world) is State.ISSUED


def test_approved_then_confirmed_once_more_brings_the_certificate() -> None:
    """The first confirmation's answer was lost; a second one is a CertPoll like any other."""
    world = kem_world(policy=MANUAL)
    device = challenged(world, password=None)
    confirm = confirmation(device)
    assert device.poll() == StillPending(challenged=False)
    world.decide(Decision.APPROVED)
    issued(confirm_with(device, confirm))


def test_rejected_then_polled_is_a_failure_with_the_operator_s_reason() -> None:
    world = kem_world(policy=MANUAL)
    device = approval(world)
    world.decide(Decision.REJECTED, "not this one")
    refused(device.poll(), text="not this one")
    assert state(world) is State.FAILED


def test_an_approval_before_the_proof_is_impossible() -> None:
    """A challenged transaction is not in the operator's list, so that nobody approves what was not proven."""
    world = kem_world(policy=MANUAL)
    challenged(world, password=None)
    assert not world.store.transactions(State.AWAITING_APPROVAL)


def test_another_request_leaves_a_waiting_transaction_as_it_is() -> None:
    world = kem_world(policy=ALL_METHODS)
    device = approval(world)
    world.password("password of kem device")
    before = only(world.store)
    refused(other_request(device).enrol(), text="another request is waiting under this transactionID")
    assert only(world.store) == before


def test_a_full_queue_lets_the_oldest_go_also_after_the_proof() -> None:
    world = kem_world(policy=MANUAL, settings=Settings(max_pending=1))
    first = approval(world)
    second = challenged(world, password=None, label="second", transaction_id="second")
    assert second.poll() == StillPending()
    assert [item.key.transaction_id for item in world.store.transactions(State.AWAITING_APPROVAL)] == ["second"]
    refused(first.poll(), text="no request matches")


# ISSUED and FAILED


@pytest.mark.parametrize("event", ["poll", "request", "confirm"])
def test_a_lost_success_is_repeated_with_the_same_certificate(event: str) -> None:
    world = kem_world()
    device = challenged(world)
    confirm = confirmation(device)
    first = issued(device.poll())
    answers = {"poll": device.poll, "request": device.enrol, "confirm": lambda: confirm_with(device, confirm)}
    assert issued(answers[event]()).certificate == first.certificate
    assert len(world.store.certificates()) == 1


def test_a_lost_success_after_an_approval_is_repeated_without_another_challenge() -> None:
    world = kem_world(policy=MANUAL)
    device = approval(world)
    world.decide(Decision.APPROVED)
    first = issued(device.poll())
    assert issued(device.enrol()).certificate == first.certificate
    assert len(world.store.certificates()) == 1


def test_another_request_after_an_issued_one_is_a_new_transaction() -> None:
    world = kem_world()
    device = challenged(world)
    issued(device.poll())
    world.store._credentials.clear()  # type: ignore[attr-defined]
    world.password("password of kem device")
    assert other_request(device).enrol() == CHALLENGED
    assert only(world.store).pop_challenges == 1


@pytest.mark.parametrize("confirming", [True, False])
def test_a_failed_transaction_reports_its_reason_to_cert_polls(confirming: bool) -> None:
    world = kem_world()
    device = challenged(world)
    good = confirmation(device)
    confirm_with(device, wrong(good))
    before = only(world.store)
    refused(confirm_with(device, good if confirming else None), text=WRONG_PROOF)
    assert but_for_what_it_has_seen(only(world.store)) == but_for_what_it_has_seen(before)


def test_the_same_request_after_a_failure_starts_anew() -> None:
    world = kem_world()
    device = failed(world)
    assert device.enrol() == CHALLENGED
    assert only(world.store).pop_challenges == 1
    issued(device.poll())


def test_another_request_after_a_failure_starts_anew() -> None:
    world = kem_world()
    device = other_request(failed(world))
    pending(device)
    issued(device.poll())
    assert only(world.store).subject.endswith("OU=other")
