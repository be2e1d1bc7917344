"""What a challenge holds while it waits: the challengePassword, and one of a limited number of places."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.credentials import add_password
from ca.profiles import Profile
from ca.store import Decision, State
from kem.exchange import POP_SHA256, POP_SHA512
from scep.attributes import FailInfo, PkiStatus
from scep.client import Issued, StillPending
from scep.messages import PkiMessage
from scep.settings import KemPolicy, Settings
from tests.scep import craft
from tests.scep.kem_kit import (
    CHALLENGED,
    SUBJECT,
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
    with_request,
)
from tests.scep.test_kem_proof import with_mac
from tests.world import ALL_METHODS, World, kem_device, name, reply_of


def held(world: World, text: str = "one-time secret") -> tuple[bool, bool]:
    """Whether a password is reserved, and whether it is used up."""
    found = world.store.credential(world.server_key.identifier(text))
    assert found is not None
    return found.holder is not None, found.serial is not None


def test_the_password_is_not_reserved_by_what_is_not_proven_and_used_up_at_issuance() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    pending(device)
    assert held(world) == (False, False)
    issued(device.poll())
    assert held(world) == (True, True)


def test_a_recorded_envelope_that_a_stranger_signs_keeps_nobody_from_the_password() -> None:
    """The owner's message was lost; the stranger cannot answer the challenge, and holds nothing."""
    world = kem_world()
    device = kem_device(world, password=world.password())
    envelope = PkiMessage.decode(device.start()).signed.content
    stranger = craft.self_made("ec:P-256", "CN=stranger", "stranger")
    for at in range(3):
        copy = craft.Crafted(signer=stranger, content=envelope, attributes=craft.header(19, f"s{at}", bytes(16)))
        assert reply_of(world, copy.encode()).pki_status is PkiStatus.PENDING
    pending(device)
    issued(device.poll())
    assert len(world.store.certificates()) == 1


def test_of_two_with_one_password_the_first_to_prove_possession_gets_the_certificate() -> None:
    world = kem_world()
    first = challenged(world, password=world.password())
    rival = challenged(world, password="one-time secret", label="rival", transaction_id="rival")
    issued(rival.poll())
    refused(first.poll(), text="the challengePassword has been used")
    assert len(world.store.certificates()) == 1


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


# Limits on waiting challenges: at one, the oldest of the same kind gives way


def names(world: World) -> set[str]:
    """The transactionIDs of those that wait for a confirmation."""
    return {item.key.transaction_id for item in world.store.transactions(State.CHALLENGED)}


def test_a_signer_s_oldest_challenge_gives_way() -> None:
    world = kem_world(kem=KemPolicy(max_challenged_per_signer=2))
    password = world.password(one_time=False)
    challenged(world, password=password, transaction_id="other", label="another signer")
    for number in range(3):
        challenged(world, password=password, transaction_id=f"t{number}")
    assert names(world) == {"t1", "t2", "other"}
    assert len(secrets(world)) == 3
    fourth = kem_device(world, password=password, transaction_id="t4")
    (event,) = world.send(fourth.start()).events
    assert event.details["gave way"] == "1"


def test_the_oldest_authorised_challenge_gives_way_and_can_begin_anew() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=2))
    passwords = [world.password(f"password {label}") for label in "abc"]
    devices = [
        challenged(world, password=text, label=label, transaction_id=label)
        for label, text in zip("abc", passwords, strict=True)
    ]
    assert names(world) == {"b", "c"}
    assert len(secrets(world)) == 2
    refused(devices[0].poll(), text="no request matches")
    pending(devices[0])  # its one-time password is free again
    issued(devices[0].poll())
    assert names(world) == {"c"}


def test_one_recorded_request_under_many_signers_leaves_others_alone() -> None:
    """Whoever records an envelope can sign it anew as often as they like, and its challengePassword is a good one."""
    world = kem_world(kem=KemPolicy(max_challenged=4, max_challenged_per_request=2))
    device = challenged(world, password=world.password("password other"), label="other", transaction_id="other")
    recorded = challenged(world, password=world.password(), label="recorded", transaction_id="recorded")
    for at in range(6):
        signer = craft.self_made("ec:P-256", SUBJECT, f"stranger {at}")
        stranger = with_request(world, recorded.request.der, label="recorded", signer=signer, transaction_id=f"s{at}")
        pending(stranger)
    assert names(world) == {"other", "s4", "s5"}
    issued(device.poll())


def test_one_certificate_s_oldest_renewal_gives_way() -> None:
    """A certificate is public, so anybody can begin its renewal, each time with a new signer."""
    world = kem_world(kem=KemPolicy(max_challenged_per_certificate=2))
    password = world.password(one_time=False)
    first, second = (
        issued(challenged(world, password=password, label=label, transaction_id=label).poll()) for label in "ab"
    )
    pending(renewing(world, second, old_label="b", label="of b", transaction_id="of b"))
    waiting = [renewing(world, first, old_label="a", label=f"new {at}", transaction_id=f"r{at}") for at in range(3)]
    for device in waiting:
        pending(device)
    assert names(world) == {"r1", "r2", "of b"}
    issued(waiting[2].poll())


def test_renewals_give_way_to_renewals_and_leave_others_alone() -> None:
    world = kem_world(kem=KemPolicy(max_challenged_renewals=2, max_challenged=2))
    password = world.password(one_time=False)
    old = [issued(challenged(world, password=password, label=label, transaction_id=label).poll()) for label in "abc"]
    for label in "de":
        challenged(world, password=password, label=label, transaction_id=label)
    for at, label in enumerate("abc"):
        pending(renewing(world, old[at], old_label=label, label=f"new {label}", transaction_id=f"r{label}"))
    assert names(world) == {"d", "e", "rb", "rc"}


def test_what_nobody_has_authorised_takes_no_room_from_what_somebody_has() -> None:
    world = kem_world(policy=ALL_METHODS, kem=KemPolicy(max_challenged=1, max_challenged_for_operator=2))
    honest = challenged(world, password=world.password("good"), label="honest", transaction_id="honest")
    for at in range(5):
        challenged(world, password=None, label=f"junk {at}", transaction_id=f"j{at}", signer_key="ec:P-384")
    assert names(world) == {"honest", "j3", "j4"}
    issued(honest.poll())


def test_limits_are_each_profile_s_own() -> None:
    store = kem_world().store
    guest, admin = (
        kem_world(
            store=store, policy=ALL_METHODS, profile=Profile(name=name), kem=KemPolicy(max_challenged_for_operator=1)
        )
        for name in ("guest", "admin")
    )
    challenged(admin, password=None, label="admin", transaction_id="admin")
    for at in range(3):
        challenged(guest, password=None, label=f"guest {at}", transaction_id=f"g{at}")
    assert names(guest) == {"admin", "g2"}


def test_a_signer_s_oldest_request_for_an_operator_gives_way() -> None:
    world = World("rsa:2048", policy=ALL_METHODS, settings=Settings(max_pending_per_signer=2))
    assert world.device(label="other", transaction_id="other").enrol() == StillPending()
    for at in range(4):
        assert world.device(transaction_id=f"t{at}").enrol() == StillPending()
    waiting = {item.key.transaction_id for item in world.store.transactions(State.AWAITING_APPROVAL)}
    assert waiting == {"other", "t2", "t3"}


def test_what_an_operator_has_decided_does_not_give_way() -> None:
    world = World("rsa:2048", policy=ALL_METHODS, settings=Settings(max_pending=1))
    approved = world.device(label="approved", transaction_id="approved")
    assert approved.enrol() == StillPending()
    world.decide(Decision.APPROVED)
    for at in range(3):
        assert world.device(label=f"l{at}", transaction_id=f"t{at}").enrol() == StillPending()
    assert isinstance(approved.poll(), Issued)


def test_failed_transactions_give_way_too() -> None:
    world = kem_world(policy=ALL_METHODS, settings=Settings(max_failed=2))
    for at in range(4):
        device = challenged(world, password=None, label=f"l{at}", transaction_id=f"t{at}")
        refused(confirm_with(device, with_mac(confirmation(device), flipped)), FailInfo.badMessageCheck)
    assert {item.key.transaction_id for item in world.store.transactions(State.FAILED)} == {"t2", "t3"}


def test_challenges_that_nobody_can_answer_any_more_do_not_count() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=1))
    password = world.password(one_time=False)
    challenged(world, password=password, label="a", transaction_id="a")
    world.tick(timedelta(minutes=21))
    challenged(world, password=password, label="b", transaction_id="b")
    assert {item.key.transaction_id for item in world.store.transactions()} == {"a", "b"}


def test_a_transaction_that_expired_unpurged_counts_when_it_starts_anew() -> None:
    world = kem_world(kem=KemPolicy(max_challenged=1))
    password = world.password(one_time=False)
    first = challenged(world, password=password, label="a", transaction_id="a")
    world.tick(timedelta(minutes=21))
    challenged(world, password=password, label="b", transaction_id="b")
    pending(first)
    assert names(world) == {"a"}


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


@pytest.mark.parametrize("change", ["expired", "for another subject", "for another profile"])
def test_a_password_that_is_no_longer_good_for_the_request_issues_nothing(change: str) -> None:
    """Whether or not the Store has been purged meanwhile, and also if the same password was made anew."""
    world = kem_world()
    ttl = timedelta(minutes=5)
    add_password(world.store, world.server_key, "a password", now=world.now, ttl=ttl, weak=True)
    device = challenged(world, password="a password")
    if change == "expired":
        world.tick(ttl)
    else:
        other = {"subject": name("CN=other")} if change == "for another subject" else {"profile": "other"}
        world.store.remove_credential(world.server_key.identifier("a password"))
        add_password(world.store, world.server_key, "a password", now=world.now, ttl=ttl, weak=True, **other)
    refused(device.poll(), text=f"the challengePassword {'has expired' if change == 'expired' else f'is {change}'}")
    assert world.store.certificates() == []
