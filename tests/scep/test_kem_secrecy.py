"""What the KEM proof of possession never tells: derived keys, response keys and passwords are in no event or repr."""

from __future__ import annotations

from dataclasses import replace

from kem.exchange import PopChallenge
from pkix.asn1 import decode
from scep import proof
from scep.client import Refused
from scep.kem_pop import ResponseKey, response_key_of
from scep.remembered import StoredRequest
from tests.scep.kem_kit import (
    challenged,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    only,
    secrets,
)
from tests.scep.test_kem_response_keys import IDENTIFIER, KEY, device_with
from tests.world import World, kem_device

PASSWORD = "correct horse battery staple"


def derived_key(world: World) -> bytes:
    """The derived key that the Store keeps for the one transaction."""
    name = only(world.store).secret_id
    assert name is not None
    opened = world.server_key.open(secrets(world)[name][0], b"challenge " + name.encode())
    return decode(proof._StoredChallenge, opened, "stored challenge").derived_key


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
    enrolments = elsewhere.responder._enrolments
    prover = replace(enrolments.prover, server_key=other)
    memory = replace(enrolments.memory, server_key=other)
    elsewhere.responder._enrolments = replace(enrolments, prover=prover, memory=memory)
    device.world = elsewhere
    assert isinstance(confirm_with(device, confirmation(device)), Refused)
    assert not world.store.certificates()


def test_a_stored_challenge_does_not_show_its_derived_key() -> None:
    world = kem_world()
    challenged(world)
    name = only(world.store).secret_id or ""
    opened = world.server_key.open(secrets(world)[name][0], b"challenge " + name.encode())
    kept = decode(proof._StoredChallenge, opened, "stored challenge")
    assert [what for what in forms(kept.derived_key) if what in repr(kept)] == []


def test_a_stored_request_does_not_show_the_password() -> None:
    request = challenged(kem_world()).request
    assert b"password of" in request.der
    stored = StoredRequest(
        csr=request.der,
        client_nonce=b"",
        request_hash=b"",
        answered=None,
        answer=None,
        message_hash=None,
        rests_on=(),
        challenge_id=None,
    )
    assert "password of" not in repr(stored)


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
