"""What a challenge holds while it waits: the challengePassword, and one of a limited number of places."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kem.exchange import POP_SHA256, POP_SHA512
from scep.settings import KemPolicy
from tests.scep.kem_kit import (
    CHALLENGED,
    challenged,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    pending,
    refused,
    renewing,
    secrets,
)
from tests.scep.test_kem_proof import with_mac
from tests.world import World, kem_device


def held(world: World, text: str = "one-time secret") -> tuple[bool, bool]:
    """Whether a password is reserved, and whether it is used up."""
    found = world.store.challenge(world.server_key.identifier(text))
    assert found is not None
    return found.holder is not None, found.serial is not None


def test_the_password_is_reserved_at_the_challenge_and_used_up_at_issuance() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    assert held(world) == (False, False)
    pending(device)
    assert held(world) == (True, False)
    issued(device.poll())
    assert held(world) == (True, True)


def test_a_reserved_password_serves_nobody_else() -> None:
    world = kem_world()
    challenged(world, password=world.password())
    rival = kem_device(world, password="one-time secret", label="rival", transaction_id="rival")
    refused(rival.enrol(), text="the challengePassword is in use by another request")


@pytest.mark.parametrize("how", ["wrong", "late", "too often", "forgotten", "downgrade"])
def test_the_password_is_released_when_the_transaction_fails(how: str) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    if how == "downgrade":
        device.enrolment._capabilities = b"AES\n"
    pending(device)
    if how == "wrong":
        confirm_with(device, with_mac(confirmation(device), flipped))
    elif how == "late":
        world.tick(timedelta(minutes=11))
        device.poll()
    elif how == "downgrade":
        device.poll()
    elif how == "too often":
        for _ in range(5):
            confirm_with(device, None)
    else:
        world.tick(timedelta(minutes=21))
        world.store.purge(world.now)
    assert held(world) == (False, False)
    rival = kem_device(world, password="one-time secret", label="rival", transaction_id="rival")
    pending(rival)
    issued(rival.poll())


# Caps on waiting challenges


def test_a_signer_has_a_limited_number_of_challenges_waiting() -> None:
    world = kem_world(kem=KemPolicy(max_challenged_per_signer=2))
    password = world.password(one_time=False)
    for number in range(2):
        challenged(world, password=password, transaction_id=f"t{number}")
    refused(kem_device(world, password=password, transaction_id="t2").enrol(), text="busy")
    challenged(world, password=password, transaction_id="other", label="another signer")
    assert len(world.store.transactions()) == 3


def test_all_signers_together_have_a_limited_number_of_challenges_waiting() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=2))
    password = world.password(one_time=False)
    devices = [challenged(world, password=password, label=label, transaction_id=label) for label in "ab"]
    third = kem_device(world, password=password, label="c", transaction_id="c")
    refused(third.enrol(), text="busy")
    assert len(secrets(world)) == 2
    assert devices[0].enrol() == CHALLENGED  # who waits already may ask again
    issued(devices[0].poll())
    pending(third)


def test_one_certificate_has_a_limited_number_of_renewals_waiting() -> None:
    """A certificate is public, so anybody can begin its renewal, each time with a new signer."""
    world = kem_world(kem=KemPolicy(max_challenged_per_certificate=2))
    password = world.password(one_time=False)
    first, second = (
        issued(challenged(world, password=password, label=label, transaction_id=label).poll()) for label in "ab"
    )
    waiting = [renewing(world, first, old_label="a", label=f"new {at}", transaction_id=f"r{at}") for at in range(3)]
    for device in waiting[:2]:
        pending(device)
    refused(waiting[2].enrol(), text="busy: too many renewals")
    issued(waiting[0].poll())
    pending(renewing(world, second, old_label="b", label="of b", transaction_id="of b"))
    challenged(world, password=password, label="c", transaction_id="c")


def test_renewals_leave_room_for_others() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=4))
    password = world.password(one_time=False)
    old = [issued(challenged(world, password=password, label=label, transaction_id=label).poll()) for label in "abc"]
    for at, label in enumerate("ab"):
        pending(renewing(world, old[at], old_label=label, label=f"new {label}", transaction_id=f"r{label}"))
    refused(renewing(world, old[2], old_label="c", label="new c", transaction_id="rc").enrol(), text="busy")
    for label in "de":
        challenged(world, password=password, label=label, transaction_id=label)


def test_challenges_that_nobody_can_answer_any_more_do_not_count() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=1))
    password = world.password(one_time=False)
    challenged(world, password=password, label="a", transaction_id="a")
    world.tick(timedelta(minutes=21))
    challenged(world, password=password, label="b", transaction_id="b")


def test_a_transaction_that_expired_unpurged_is_counted_when_it_starts_anew() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=1))
    password = world.password(one_time=False)
    first = challenged(world, password=password, label="a", transaction_id="a")
    world.tick(timedelta(minutes=21))
    challenged(world, password=password, label="b", transaction_id="b")
    refused(first.enrol(), text="busy")


def test_a_challenge_outlives_a_change_of_parameters() -> None:
    """A challenge made under one configuration is checked by its own parameters after a change to the other."""
    store = kem_world().store
    before = kem_world(store=store, kem=KemPolicy(parameters=POP_SHA512))
    device = challenged(before)
    device.world = kem_world(store=store, kem=KemPolicy(parameters=POP_SHA256), seed="after")
    issued(device.poll())


def test_a_fresh_challenge_after_a_change_of_parameters_can_be_confirmed() -> None:
    store = kem_world().store
    before = kem_world(store=store, kem=KemPolicy(parameters=POP_SHA256))
    device = challenged(before)
    device.world = kem_world(store=store, kem=KemPolicy(parameters=POP_SHA512), seed="after")
    assert confirm_with(device, None) == CHALLENGED
    issued(device.poll())
