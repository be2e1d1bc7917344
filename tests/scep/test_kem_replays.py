"""What somebody can do with messages that they have recorded, without any key of the client or the CA."""

from __future__ import annotations

import pytest

from pkix.algorithms import AES128, AES256, AES256_GCM
from pkix.content import CANNOT_OPEN
from pkix.errors import AlgorithmRefused
from pkix.pkcs10 import encode_certification_request
from scep.attributes import RESPONSE_KEY
from scep.kem_pop import encode_response_key
from scep.settings import KemPolicy, Pop
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.kem_kit import (
    CHALLENGED,
    SUBJECT,
    challenged,
    classic_settings,
    enrolled,
    issued,
    kem_world,
    only,
    refused,
    renewing,
    secrets,
    signing_certificate,
    stated,
    unsigned,
    with_request,
)
from tests.world import kem_device, key, name


def test_a_copy_of_the_request_gets_the_same_answer_and_leaves_the_challenge_alone() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    request = device.start()
    first = world.send(request).body
    before = secrets(world)
    for _ in range(2 * KemPolicy().max_challenges):
        assert world.send(request).body == first
    assert secrets(world) == before and only(world.store).pop_challenges == 1
    assert device.enrolment.receive(first) == CHALLENGED
    issued(device.poll())


def test_copies_of_earlier_messages_get_the_latest_answer() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    request = device.start()
    world.send(request)
    poll = device.enrolment.poll(now=world.now)
    second = world.send(poll).body
    assert world.send(request).body == second == world.send(poll).body
    assert only(world.store).pop_challenges == 2
    assert device.enrolment.receive(second) == CHALLENGED
    issued(device.poll())


def test_an_envelope_signed_anew_with_an_rsa_key_does_not_divert_the_answer() -> None:
    """The response key decides, not the key of whoever signed."""
    world = kem_world("rsa:2048")
    request = encode_certification_request(
        key("ec:P-256", "device"),
        name(SUBJECT),
        challenge_password=world.password(),
        attributes=[(RESPONSE_KEY, encode_response_key(b"\x11" * 16, b"\x22" * 32))],
    )
    device = world.device("ec:P-256", request=request, settings=classic_settings())
    stranger = craft.self_made("rsa:2048", "CN=stranger", "stranger")
    body = world.send(craft.request(device, signer=stranger, transaction_id="other").encode()).body
    content = craft.Seen(body).content
    assert content is not None
    assert [info.tag for info in Node.parse(content)[1][0][1]] == [0xA2]


def test_a_renewal_brings_one_kem_certificate() -> None:
    world = kem_world()
    first = enrolled(world)
    password = world.password("second")
    other = issued(challenged(world, label="other", transaction_id="other", password=password).poll())
    device = renewing(world, first)
    message = device.enrolment._message
    device.enrolment._message = lambda *arguments, **more: message(  # type: ignore[method-assign]
        *arguments, **(more | {"certificates": [first.certificate, other.certificate]})
    )
    refused(device.enrol(), text="more than one ML-KEM certificate")


@pytest.mark.parametrize("pop", Pop)
def test_an_unsigned_request_comes_in_authenticated_encryption(pop: Pop) -> None:
    """Nothing in it could verify, so under AES-CBC every answer would tell something about its plaintext."""
    world = kem_world("rsa:2048", kem=KemPolicy(pop=pop), rsa=True)
    device = with_request(world, unsigned(challenge_password=world.password()))
    for cipher in (AES128, AES256):
        sealed = craft.envelope(world.authority, device.request.der, cipher)
        craft.failed(world, craft.request(device, message=sealed), craft.BAD_MESSAGE_CHECK, CANNOT_OPEN)
    assert not world.store.transactions()
    sealed = craft.envelope(world.authority, device.request.der, AES256_GCM)
    assert craft.see(world, craft.request(device, message=sealed)).status in ("0", "3")


@pytest.mark.parametrize("statement", [False, True])
def test_the_client_sends_a_request_for_a_kem_key_in_nothing_else(statement: bool) -> None:
    world = kem_world("rsa:2048", kem=KemPolicy(pop=Pop.statement), rsa=True)
    password = world.password("another")
    request = stated(signing_certificate(world), challenge_password=password) if statement else unsigned()
    settings = classic_settings(cipher=AES256, require_kem=False)
    device = with_request(world, request, settings=settings, transaction_id="stated")
    with pytest.raises(AlgorithmRefused, match="a key that cannot sign needs an AES-GCM cipher, not AES-256-CBC"):
        device.start()
