"""Response keys: the certificate for a key that only signs, under a key of the client's (KEM-POP section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from ca.methods import AuthorisationPolicy
from ca.store import Decision
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, ContentCipher
from pkix.asn1 import encode
from pkix.content import CANNOT_OPEN
from pkix.errors import Malformed
from pkix.identities import KekIdentity
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from scep.answers import AnswerRefused
from scep.attributes import RESPONSE_KEY, FailInfo
from scep.client import StillPending
from scep.kem_pop import encode_response_key, response_key_of
from scep.settings import KemPolicy, ResponseKeyReuse
from tests.pkix.forge import algorithm, sequence
from tests.pkix.tlv import Node, tlv
from tests.scep import craft
from tests.scep.kem_kit import Crash, classic_settings, crashing, issued, kem_world, refused
from tests.scep.seen import Seen
from tests.scep.test_races import Contested
from tests.world import Device, World, key, name

MANUAL = AuthorisationPolicy(manual=True)
USED = "the response key has been used"
IDENTIFIER, KEY = b"\x11" * 16, b"\x22" * 32


def policy(reuse: ResponseKeyReuse) -> KemPolicy:
    """A policy for response keys."""
    return KemPolicy(response_key=reuse)


def device_with(
    world: World, attribute: bytes | None = None, *, label: str = "device", password: str | None = None, **more: Any
) -> Device:
    """A device with an Ed25519 key whose request brings a response key."""
    value = encode_response_key(IDENTIFIER, KEY) if attribute is None else attribute
    request = encode_certification_request(
        key("ed25519", label),
        name("CN=device,O=Example"),
        challenge_password=password or world.password(f"password {label}", one_time=False),
        attributes=[(RESPONSE_KEY, value)],
    )
    return world.device("ed25519", request=request, label=label, settings=classic_settings(), **more)


def recipients(body: bytes) -> list[Node]:
    """The RecipientInfos of a CertRep."""
    content = Seen(body).content
    assert content is not None
    return list(Node.parse(content)[1][0][1])


@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_answer_comes_under_the_response_key(size: int) -> None:
    world = kem_world()
    device = device_with(world, encode_response_key(IDENTIFIER, bytes(range(size))))
    body = world.send(device.start()).body
    (info,) = recipients(body)
    assert (info.tag, info[0].content, info[1][0].content) == (0xA2, b"\x04", IDENTIFIER)
    issued(device.enrolment.receive(body))


def test_without_that_key_the_answer_is_closed() -> None:
    world = kem_world()
    device = device_with(world)
    device.enrolment._identities = [KekIdentity(b"\x23" * 32, IDENTIFIER)]
    with pytest.raises(AnswerRefused, match=r"the answer says SUCCESS, but .*: the envelope cannot be opened"):
        device.enrol()


@pytest.mark.parametrize("reuse", [ResponseKeyReuse.single_request, ResponseKeyReuse.transaction])
@pytest.mark.parametrize("identifier", [IDENTIFIER, b"\x33" * 16])
def test_a_second_request_with_the_same_key(reuse: ResponseKeyReuse, identifier: bytes) -> None:
    """single-request: refused, whatever the key is called. transaction: each transaction may bring it anew."""
    world = kem_world(kem=policy(reuse))
    issued(device_with(world).enrol())
    second = device_with(world, encode_response_key(identifier, KEY), label="second", transaction_id="second")
    answer = second.enrol()
    if reuse is ResponseKeyReuse.transaction:
        issued(answer)
    else:
        refused(answer, text=USED)
        assert len(world.store.certificates()) == 1


def test_another_key_under_the_same_identifier_is_another_key() -> None:
    world = kem_world()
    issued(device_with(world).enrol())
    other = encode_response_key(IDENTIFIER, b"\x44" * 32)
    issued(device_with(world, other, label="second", transaction_id="second").enrol())


def test_where_response_keys_are_off_they_are_refused() -> None:
    world = kem_world(kem=policy(ResponseKeyReuse.off))
    refused(device_with(world).enrol(), text="response keys are not enabled")
    assert not world.store.certificates()


@pytest.mark.parametrize("reuse", [ResponseKeyReuse.single_request, ResponseKeyReuse.transaction])
def test_the_same_request_again_is_a_retry_and_no_second_use(reuse: ResponseKeyReuse) -> None:
    world = kem_world(kem=policy(reuse))
    device = device_with(world)
    first = issued(device.enrol())
    assert issued(device.enrol()).certificate == first.certificate
    assert issued(device.poll()).certificate == first.certificate


def test_a_waiting_transaction_keeps_the_response_key_for_its_answer() -> None:
    world = kem_world(policy=MANUAL)
    request = encode_certification_request(
        key("ed25519", "device"),
        name("CN=device"),
        attributes=[(RESPONSE_KEY, encode_response_key(IDENTIFIER, KEY))],
    )
    device = world.device("ed25519", request=request, settings=classic_settings())
    assert device.enrol() == StillPending()
    world.decide(Decision.APPROVED)
    issued(device.poll())


def test_a_conflict_with_another_worker_is_no_second_use() -> None:
    """The step is looked up again for the same message, whose response key is then known already."""
    store = Contested(0)
    world = kem_world(store=store)
    device = device_with(world)
    store.conflicts = 1
    issued(device.enrol())


def test_after_a_crash_before_issuing_the_same_request_is_good() -> None:
    world = kem_world()
    device = device_with(world)
    with crashing(world.store, "issue"), pytest.raises(Crash):
        device.enrol()
    issued(device.enrol())


def test_the_store_does_not_know_the_response_key() -> None:
    world = kem_world()
    issued(device_with(world).enrol())
    seen = repr(vars(world.store)).encode() + repr(vars(world.store)).encode("unicode_escape")
    assert KEY.hex().encode() not in seen
    assert repr(KEY).encode() not in seen


@pytest.mark.parametrize(
    ("value", "fail_info"),
    [
        (b"\x05\x00", FailInfo.badRequest),
        (sequence(tlv(0x04, IDENTIFIER[:-1]), algorithm(oids.AES256_WRAP), tlv(0x04, KEY)), FailInfo.badRequest),
        (sequence(tlv(0x04, IDENTIFIER), algorithm(oids.AES256_WRAP), tlv(0x04, KEY[:16])), FailInfo.badRequest),
        (sequence(tlv(0x04, IDENTIFIER), algorithm(oids.AES128_WRAP), tlv(0x04, KEY)), FailInfo.badRequest),
        (sequence(tlv(0x04, IDENTIFIER), algorithm(oids.AES256_WRAP, b"\x05\x00"), tlv(0x04, KEY)), FailInfo.badAlg),
        (sequence(tlv(0x04, IDENTIFIER), algorithm(oids.AES256_CBC), tlv(0x04, KEY)), FailInfo.badAlg),
    ],
    ids=["NULL", "short identifier", "short key", "wrong wrap", "parameters", "no wrap"],
)
def test_a_response_key_that_is_none_is_refused(value: bytes, fail_info: FailInfo) -> None:
    world = kem_world()
    password = world.password()
    request = encode_certification_request(
        key("ed25519", "device"),
        name("CN=device"),
        challenge_password=password,
        attributes=[(RESPONSE_KEY, value)],
    )
    device = world.device("ed25519", settings=classic_settings())
    message = device.enrolment
    message._request = type(device.request).decode(request)
    refused(device.enrol(), fail_info, "responseKey")
    assert not world.store.certificates()


@pytest.mark.parametrize(
    ("cipher", "fail_info", "text"),
    [
        (AES128_GCM, craft.BAD_REQUEST, "attribute response-key (1.3.6.1.4.1.32473.8894.3) must appear once"),
        (AES128, craft.BAD_MESSAGE_CHECK, CANNOT_OPEN),
    ],
    ids=["GCM", "CBC"],
)
def test_two_response_keys_are_refused_and_cbc_does_not_say_why(
    cipher: ContentCipher, fail_info: str, text: str
) -> None:
    world = World()
    keys = [(RESPONSE_KEY, encode_response_key(bytes((number,)) * 16, KEY)) for number in (1, 2)]
    request = encode_certification_request(
        key("ed25519", "device"), name("CN=device"), challenge_password=world.password(), attributes=keys
    )
    device = world.device("ed25519", settings=classic_settings())
    craft.failed(world, craft.request(device, content=request, cipher=cipher), fail_info, text)
    assert not world.store.certificates()


def test_the_attribute_s_octets() -> None:
    expected = sequence(tlv(0x04, IDENTIFIER), algorithm(oids.AES256_WRAP), tlv(0x04, KEY))
    assert encode_response_key(IDENTIFIER, KEY) == expected
    assert encode(RESPONSE_KEY) == tlv(0x06, bytes.fromhex("2b0601040181fd59c53e03"))


@pytest.mark.parametrize("kem", [policy(ResponseKeyReuse.off), KemPolicy(classic=True)])
def test_8_where_none_is_taken_none_is_advised(kem: KemPolicy) -> None:
    """Who has no other way is told of it where GetCACaps lists ResponseKey, and nowhere else."""
    for settings, advised in ((kem, False), (KemPolicy(), True)):
        world = World(kem=settings, policy=MANUAL)
        assert (b"ResponseKey" in world.responder.get_ca_caps()) is advised
        text = refused(world.device("ed25519").enrol(), text="there is no challengePassword")
        assert text.endswith("a responseKey in the request is a way, too") is advised


@pytest.mark.parametrize(
    ("identifier", "octets", "text"),
    [
        (IDENTIFIER[:-1], KEY, "responseKey: keyIdentifier of 15 octets does not have 16 octets"),
        (IDENTIFIER, KEY[:16], "responseKey: key of 16 octets does not fit wrap, whose key has 32"),
    ],
)
def test_8_a_length_that_is_wrong_is_named(identifier: bytes, octets: bytes, text: str) -> None:
    value = sequence(tlv(0x04, identifier), algorithm(oids.AES256_WRAP), tlv(0x04, octets))
    request = encode_certification_request(
        key("ed25519"), name("CN=device"), challenge_password="password", attributes=[(RESPONSE_KEY, value)]
    )
    with pytest.raises(Malformed, match=f"^{text}$"):
        response_key_of(CertificationRequest.decode(request))
