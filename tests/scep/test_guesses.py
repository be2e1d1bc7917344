"""Guesses at challengePasswords: counted and slowed, whoever decides on the request afterwards (`ca.passwords`)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from scep.client import StillPending
from tests.scep.craft import Scripted
from tests.scep.kem_kit import issued, kem_world
from tests.scep.test_attacks import refusal, two_profiles
from tests.world import World, kem_device


def test_after_many_wrong_guesses_short_passwords_are_not_looked_up_for_a_while() -> None:
    world = World("rsa:2048")
    short, made = world.password("a short password"), world.password("K7QW3ZJ5PDX2M4RTBVYN6HSAFGCEULOI")
    for at in range(20):
        guess = world.device(password=f"guess number {at}", transaction_id=f"g{at}")
        assert refusal(guess.enrol()) == "the challengePassword is not valid"
    for at, text in enumerate(("another guess", short)):
        answer = refusal(world.device(password=text, label=text, transaction_id=f"s{at}").enrol())
        assert answer == "busy: too many wrong challengePasswords; come back in a minute"
    issued(world.device(password=made, transaction_id="made").enrol())
    world.tick(timedelta(minutes=1))
    issued(world.device(password=short, label=short, transaction_id="s1").enrol())


def test_guesses_at_one_profile_do_not_slow_another() -> None:
    guest, admin = two_profiles()
    short = admin.password("a short password")
    for at in range(21):
        guest.device(password=f"guess number {at}", transaction_id=f"g{at}").enrol()
    issued(admin.device(password=short).enrol())


def test_a_webhook_beside_passwords_makes_guessing_no_faster() -> None:
    """And is still asked about its own, which nobody here knows."""
    world = World("rsa:2048", webhook=Scripted(*["reject: not mine"] * 21, "approve"))
    short = world.password("a short password")
    for at in range(20):
        assert refusal(world.device(password=f"guess {at}", transaction_id=f"g{at}").enrol()) == "not mine"
    answer = refusal(world.device(password=short, label="short", transaction_id="s").enrol())
    assert answer == "busy: too many wrong challengePasswords; come back in a minute"
    issued(world.device(password="known elsewhere", label="other", transaction_id="o").enrol())
    world.tick(timedelta(minutes=1))
    issued(world.device(password=short, label="short", transaction_id="s2").enrol())


@pytest.mark.parametrize("kem", [False, True], ids=["RSA", "ML-KEM"])
@pytest.mark.parametrize("later", ["pending", "unreachable"])
def test_wrong_guesses_count_also_where_the_webhook_does_not_decide(later: str, kem: bool) -> None:
    """A stranger can occupy it, so that it cannot be asked. What was not looked up waits like everything else."""
    world = kem_world(webhook=Scripted(*[later] * 23)) if kem else World("rsa:2048", webhook=Scripted(*[later] * 23))
    make = partial(kem_device, world) if kem else world.device
    short = world.password("a short password")
    for at in range(19):
        make(password=f"guess number {at}", transaction_id=f"g{at}").enrol()
    assert world.store.guesses("default", now=world.now) == 19
    make(password=short, label="a", transaction_id="a").enrol()
    assert by_password(world, "a")
    for at in range(19, 21):
        make(password=f"guess number {at}", transaction_id=f"g{at}").enrol()
    assert world.store.guesses("default", now=world.now) == 20
    make(password=world.password("another password", one_time=False), label="b", transaction_id="b").enrol()
    assert not by_password(world, "b")
    world.tick(timedelta(minutes=1))
    make(password="another password", label="c", transaction_id="c").enrol()
    assert by_password(world, "c")


def by_password(world: World, transaction_id: str) -> bool:
    """Whether a challengePassword has authorised a request."""
    (found,) = (item for item in world.store.transactions() if item.key.transaction_id == transaction_id)
    return found.credential_id is not None or found.approved_by == "challengePassword"


@pytest.mark.parametrize("later", ["pending", "unreachable"])
def test_what_the_webhook_leaves_for_later_waits_however_many_guessed(later: str) -> None:
    """Its own passwords are wrong to us: who guesses, or asks it a lot, must not turn those away who have one."""
    world = World("rsa:2048", webhook=Scripted(*[later] * 25))
    for at in range(25):
        assert isinstance(world.device(password=f"its own {at}", transaction_id=f"g{at}").enrol(), StillPending)
    assert world.store.guesses("default", now=world.now) == 20


def test_a_password_that_the_webhook_approves_was_no_guess() -> None:
    world = World("rsa:2048", webhook=Scripted("approve"))
    issued(world.device(password="known elsewhere").enrol())
    assert world.store.guesses("default", now=world.now) == 0
