"""What the KEM proof of possession never tells: derived keys, response keys and passwords are in no event or repr."""

from __future__ import annotations

from dataclasses import replace

from ca.proofs import Kept
from ca.remembered import Remembered
from kem.exchange import PopChallenge
from pkix.asn1 import decode
from scep import proof
from scep.client import Refused
from scep.kem_pop import ResponseKey, response_key_of
from tests.scep.kem_kit import (
    challenged,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    kept_secret,
    only,
)
from tests.scep.test_kem_response_keys import IDENTIFIER, KEY, device_with
from tests.world import World, kem_device

PASSWORD = "correct horse battery staple"


def derived_key(world: World) -> bytes:
    """The derived key that the Store keeps for the one transaction."""
    return stored(kept(world)).derived_key


def kept(world: World) -> Kept:
    """What the Store keeps for the one transaction."""
    return decode(Kept, kept_secret(world), "kept")


def stored(found: Kept) -> proof.StoredChallenge:
    """SCEP's part of it."""
    return decode(proof.StoredChallenge, found.secret, "stored challenge")


def forms(secret: bytes) -> list[str]:
    """How a secret would look in a text."""
    return [secret.hex(), secret.hex().upper(), repr(secret), repr(secret)[2:-1], str(list(secret))]


def test_no_event_of_an_enrolment_shows_a_secret() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password(PASSWORD))
    replies = [world.send(device.start())]
    device.enrolment.receive(replies[0].body)
    secret = derived_key(world)
    replies.append(world.send(device.enrolment.poll(now=world.now)))
    text = "".join(repr(reply.events) for reply in replies)
    assert [what for what in (PASSWORD, *forms(secret)) if what in text] == []
    assert "subject" in text


def test_no_event_or_text_of_a_failure_shows_a_secret() -> None:
    world = kem_world()
    device = challenged(world, password=world.password(PASSWORD))
    secret = derived_key(world)
    device.enrolment._confirm = flipped(confirmation(device), -1)
    reply = world.send(device.enrolment.poll(now=world.now))
    text = repr(reply.events) + repr(device.enrolment.receive(reply.body)) + repr(only(world.store))
    assert [what for what in (PASSWORD, *forms(secret)) if what in text] == []


def test_the_store_does_not_know_the_derived_key_or_the_password() -> None:
    world = kem_world()
    challenged(world, password=world.password(PASSWORD))
    secret = derived_key(world)
    text = repr(vars(world.store))
    assert [what for what in (PASSWORD, *forms(secret)) if what in text] == []


def test_the_store_cannot_be_read_with_another_server_key() -> None:
    world = kem_world()
    device = challenged(world)
    elsewhere = kem_world(store=world.store, seed="another")
    other = type(world.server_key)(b"\x02" * 32)
    elsewhere.responder._enrolments = replace(elsewhere.responder._enrolments, server_key=other)
    device.world = elsewhere
    assert isinstance(confirm_with(device, confirmation(device)), Refused)
    assert not world.store.certificates()


def test_a_stored_challenge_does_not_show_its_derived_key() -> None:
    world = kem_world()
    challenged(world)
    found = kept(world)
    assert [what for what in forms(derived_key(world)) if what in repr(found) + repr(stored(found))] == []


def test_a_stored_request_does_not_show_the_password() -> None:
    request = challenged(kem_world()).request
    assert b"password of" in request.der
    assert "password of" not in repr(Remembered.of(request, b"", bytes(32)))


def test_a_response_key_does_not_show_itself() -> None:
    world = kem_world()
    device = device_with(world)
    found = response_key_of(device.request)
    assert isinstance(found, ResponseKey)
    shown = repr(found) + repr(device.enrolment._identities) + repr(device.request)
    assert [what for what in forms(KEY) if what in shown] == []
    assert IDENTIFIER != KEY


def test_no_event_of_an_enrolment_with_a_response_key_shows_it() -> None:
    world = kem_world()
    device = device_with(world)
    reply = world.send(device.start())
    assert [what for what in forms(KEY) if what in repr(reply)] == []
    issued(device.enrolment.receive(reply.body))


def test_the_challenge_in_the_making_does_not_show_its_derived_key() -> None:
    assert "derived_key" not in repr(PopChallenge((), b"secret"))


def test_the_client_shows_no_private_key() -> None:
    device = challenged(kem_world())
    (kem,) = device.enrolment._kem_keys
    assert kem.key.seed is not None
    shown = repr(kem) + repr(device.enrolment._identities) + repr(device.signer)
    assert [what for what in forms(kem.key.seed) if what in shown] == []
