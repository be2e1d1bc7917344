"""What is never told: challenge passwords are in no event, no text for the peer, no record in clear and no repr."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.store import State
from pkix.recipients import PasswordRecipient
from scep.attributes import FailInfo, PkiStatus
from scep.client import Issued, Refused
from scep.exchange import Outcome
from tests.scep import craft
from tests.scep.craft import Scripted
from tests.world import ALL_METHODS, World, name

MANUAL = AuthorisationPolicy(manual=True)
PASSWORDS = AuthorisationPolicy(challenge_password=True)
NOTHING = AuthorisationPolicy()
USED = "the challengePassword has been used"


def refusal(answer: object) -> str:
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text
    return answer.text


def certificate(answer: object) -> x509.Certificate:
    assert isinstance(answer, Issued)
    return x509.load_der_x509_certificate(answer.certificate)


SECRET = "correct horse battery staple"


def told(world: World, message: bytes) -> str:
    """Everything about a message that may reach a log or a peer in clear."""
    reply = world.send(message)
    text = repr(reply.events) + str(reply.events) + repr(craft.Seen(reply.body).fail_info_text)
    return text + repr(world.store.transactions()) + repr(world.store.certificates())


@pytest.mark.parametrize("registered", [{}, {"subject": name("CN=x")}, {"profile": "x"}, {"ttl": timedelta(0)}, None])
def test_a_challenge_password_is_in_no_event_text_or_record(registered: dict[str, Any] | None) -> None:
    world = World(policy=ALL_METHODS)
    if registered is not None:
        world.password(SECRET, **registered)
    device = world.device(password=SECRET)
    for _ in range(2):
        assert SECRET not in told(world, device.start())
        assert SECRET not in told(world, device.enrolment.poll(now=world.now))


def test_a_waiting_request_keeps_its_password_sealed() -> None:
    world = World(policy=NOTHING, webhook=Scripted("pending", "pending"))
    device = world.device(password=SECRET)
    assert SECRET not in told(world, device.start())
    (waiting,) = world.store.transactions(State.AWAITING_APPROVAL)
    assert SECRET.encode() not in waiting.sealed_request
    assert SECRET not in repr(waiting)


def test_no_repr_shows_the_password() -> None:
    world = World()
    device = world.device("ec:P-256", password=SECRET)
    identities = device.enrolment._identities
    outcome = Outcome(PkiStatus.SUCCESS, b"x", device.request)
    for item in (device.request, device.signer, identities, outcome, world.server_key, PasswordRecipient(b"x")):
        assert SECRET not in repr(item)


def test_the_webhook_s_view_does_not_show_the_password_either() -> None:
    webhook = Scripted("approve")
    World(policy=NOTHING, webhook=webhook).device(password=SECRET).enrol()
    assert SECRET not in repr(webhook.asked)


def test_events_say_what_happened() -> None:
    world = World()
    device = world.device(password=world.password(SECRET))
    (event,) = world.send(device.start()).events
    (record,) = world.store.certificates()
    assert event.what == "PKCSReq SUCCESS"
    assert event.details == {
        "transactionID": "transaction-1",
        "subject": "CN=device,O=Example",
        "authorised by": "challengePassword",
        "serial": f"{record.serial:x}",
    }


def test_events_of_failures_say_why() -> None:
    (event,) = (world := World()).send(world.device().start()).events
    assert event.what == "PKCSReq FAILURE"
    assert event.details["failInfo"] == "badRequest"
    assert "no challengePassword" in event.details["text"]
