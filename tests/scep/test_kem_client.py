"""The client decapsulates only what the CA signed for it, and never falls back when ML-KEM is required."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ca.authority import _ra_certificate
from ca.profiles import Profile
from kem.errors import KemError
from kem.keys import encode_public_key
from pkix.algorithms import AES256_GCM
from pkix.errors import Malformed, PkixError
from pkix.signed_data import Signer, encode_degenerate
from scep.answers import AnswerRefused
from scep.attributes import KEM_POP_CHALLENGE, RECIPIENT_NONCE, TRANSACTION_ID
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import ClientSettings, StillPending
from scep.kem_pop import Challenge
from tests.pkix.tlv import Node, explicit, tlv
from tests.scep import craft
from tests.scep.kem_kit import (
    BACKENDS,
    CHALLENGED,
    Counting,
    challenge_parts,
    challenged,
    classic_settings,
    counting,
    flipped,
    issued,
    kem_world,
    pending,
    renewing,
    resigned,
)
from tests.scep.seen import Seen
from tests.world import Device, Random, World, authority, kem_device, kem_key, key

Tamper = Callable[[World, bytes], bytes]


def asked(**more: Any) -> tuple[World, Counting, Device, bytes]:
    """A device that has sent its request, and the CA's good answer to it."""
    world = kem_world(**more)
    backend, settings = counting()
    device = kem_device(world, password=world.password(), settings=settings)
    return world, backend, device, world.send(device.start()).body


def refuses(backend: Counting, device: Device, body: bytes) -> str:
    """Assert that an answer is refused before anything is decapsulated, and that the next CertPoll confirms nothing."""
    with pytest.raises((PkixError, KemError)) as caught:
        device.enrolment.receive(body)
    assert backend.decapsulations == 0
    poll = Seen(device.enrolment.poll(now=device.world.now))
    assert "1.3.6.1.4.1.32473.8894.2" not in poll.attributes
    return str(caught.value)


def test_a_good_challenge_is_decapsulated_once() -> None:
    _world, backend, device, body = asked()
    assert device.enrolment.receive(body) == CHALLENGED
    assert backend.decapsulations == 1


def edit(change: Callable[[Node], None]) -> Tamper:
    """Change the kemPopChallenge in place, without signing again."""

    def tamper(world: World, body: bytes) -> bytes:
        before = challenge_parts(body)
        after = before.copy()
        change(after)
        assert len(before.der()) == len(after.der())
        assert body.count(before.der()) == 1
        return body.replace(before.der(), after.der())

    return tamper


def flip_ciphertext(tree: Node) -> None:
    tree[1][0][1].content = flipped(tree[1][0][1].content)


def later(tree: Node) -> None:
    tree[-1].content = b"20361121121000Z"


def weaker(tree: Node) -> None:
    tree[2][1].content = b"\x10"


@pytest.mark.parametrize("change", [flip_ciphertext, later, weaker])
def test_a_tampered_challenge_fails_at_the_signature(change: Callable[[Node], None]) -> None:
    world, backend, device, body = asked()
    refuses(backend, device, edit(change)(world, body))


def test_a_tampered_signature_is_refused() -> None:
    _world, backend, device, body = asked()
    refuses(backend, device, flipped(body, -1))


def test_an_answer_signed_by_somebody_unknown_is_refused() -> None:
    world, backend, device, body = asked()
    mallory = craft.self_made("ec:P-256", "CN=CA,O=Example", "mallory")
    refuses(backend, device, resigned(world, body, {}, signer=mallory))


def test_an_answer_signed_by_a_client_of_the_same_ca_is_refused() -> None:
    world, backend, device, body = asked()
    world.password("of mallory")
    mallory = world.device("ec:P-256", password="of mallory", label="mallory", settings=classic_settings())
    certificate = issued(mallory.enrol()).certificate
    signer = Signer(key("ec:P-256", "mallory"), craft.Certificate.decode(certificate))
    assert "GetCACert did not authenticate" in refuses(backend, device, resigned(world, body, {}, signer=signer))


def test_an_answer_of_another_ca_is_refused() -> None:
    world, backend, device, body = asked()
    other = authority("ec:P-256", None, "another CA").signer
    refuses(backend, device, resigned(world, body, {}, signer=other))


def test_an_answer_to_another_transaction_is_refused() -> None:
    world, backend, device, body = asked()
    text = refuses(backend, device, resigned(world, body, {TRANSACTION_ID: craft.printable("another")}))
    assert "transactionID" in text


@pytest.mark.parametrize("nonce", [None, tlv(0x04, bytes(16)), tlv(0x04, b"")])
def test_an_answer_to_another_nonce_is_refused(nonce: bytes | None) -> None:
    world, backend, device, body = asked()
    assert "recipientNonce" in refuses(backend, device, resigned(world, body, {RECIPIENT_NONCE: nonce}))


def test_an_answer_is_taken_once() -> None:
    _world, backend, device, body = asked()
    device.enrolment.receive(body)
    with pytest.raises(ReplyRefused):
        device.enrolment.receive(body)
    assert backend.decapsulations == 1


def test_diagnose_decapsulates_nothing_under_a_signature_that_was_not_accepted() -> None:
    """Else whoever has recorded an answer could see what the client makes of it."""
    world, (backend, settings) = kem_world(), counting(diagnose=True)
    device = kem_device(world, password=world.password(), settings=settings)
    assert device.enrolment.receive(world.send(device.start()).body) == CHALLENGED
    answer = world.send(device.enrolment.poll(now=world.now)).body
    stranger = craft.self_made("rsa:2048", "CN=stranger", "stranger")
    with pytest.raises(AnswerRefused) as caught:
        device.enrolment.receive(resigned(world, answer, {}, signer=stranger))
    assert backend.decapsulations == 1
    assert caught.value.diagnosis[1].startswith("content: the envelope is addressed to none")


def test_the_answer_to_an_earlier_message_is_refused() -> None:
    _world, backend, device, body = asked()
    device.start()
    refuses(backend, device, body)


def test_a_cert_rep_of_another_type_is_refused() -> None:
    world, backend, device, body = asked()
    refuses(backend, device, resigned(world, body, {craft.scep.MESSAGE_TYPE: craft.printable("19")}))


def test_a_pending_with_an_envelope_is_refused() -> None:
    world, backend, device, body = asked()
    attributes = {craft.Oid(kind): [value] for kind, value in Seen(body).attributes.items() if "16.840" in kind}
    attributes[KEM_POP_CHALLENGE] = [challenge_parts(body).der()]
    assert "pkcsPKIEnvelope" in refuses(backend, device, craft.reply(world, attributes, b"something"))


# Signed by the CA, and still not a challenge


def with_challenge(world: World, body: bytes, change: Callable[[Node], None]) -> bytes:
    """A CertRep that the CA signed with another kemPopChallenge."""
    tree = challenge_parts(body)
    change(tree)
    return resigned(world, body, {KEM_POP_CHALLENGE: tree.der()})


def set_version(tree: Node) -> None:
    tree[0].content = b"\x02"


def no_ciphertext(tree: Node) -> None:
    del tree[1][0]


def three_ciphertexts(tree: Node) -> None:
    tree[1].insert(0, tree[1][0])
    tree[1].insert(0, tree[1][0])


def two_ciphertexts(tree: Node) -> None:
    tree[1].insert(0, tree[1][0])


def truncated(tree: Node) -> None:
    tree[1][0][1].content = tree[1][0][1].content[:-1]


def empty(tree: Node) -> None:
    tree[1][0][1].content = b""


def longer(tree: Node) -> None:
    tree[1][0][1].content += b"\0"


def another_set(tree: Node) -> None:
    tree[1][0][0][0].content = tree[1][0][0][0].content[:-1] + b"\x03"
    tree[1][0][1].content = bytes(1568)


def not_ml_kem(tree: Node) -> None:
    tree[1][0][0][0].content = bytes.fromhex("2a864886f70d010101")


def with_parameters(tree: Node) -> None:
    tree[1][0][0].insert(1, Node(0x05))


def kem_context(tree: Node) -> None:
    tree[2].insert(1, Node.parse(explicit(0, tlv(0x04, b"context"))))


def short_key(tree: Node) -> None:
    tree[2][1].content = b"\x10"


def sha384(tree: Node) -> None:
    tree[2][0][0].content = tree[2][0][0].content[:-1] + b"\x1d"


def mixed(tree: Node) -> None:
    tree[2][0][0].content = tree[2][0][0].content[:-1] + b"\x1e"


def hmac_sha1(tree: Node) -> None:
    tree[2][2][0].content = tree[2][2][0].content[:-1] + b"\x07"


def utc_time(tree: Node) -> None:
    tree[3] = Node(0x17, b"261121121000Z")


SIGNED_BUT_WRONG = [
    set_version,
    no_ciphertext,
    three_ciphertexts,
    two_ciphertexts,
    truncated,
    empty,
    longer,
    another_set,
]
SIGNED_BUT_WRONG += [not_ml_kem, with_parameters, kem_context, short_key, sha384, mixed, hmac_sha1, utc_time]


@pytest.mark.parametrize("change", SIGNED_BUT_WRONG, ids=lambda change: change.__name__)
def test_a_challenge_that_is_not_what_it_should_be_is_not_decapsulated(change: Callable[[Node], None]) -> None:
    world, backend, device, body = asked()
    refuses(backend, device, with_challenge(world, body, change))


@pytest.mark.parametrize("change", [no_ciphertext, three_ciphertexts])
def test_a_challenge_has_one_or_two_ciphertexts(change: Callable[[Node], None]) -> None:
    _world, _backend, _device, body = asked()
    tree = challenge_parts(body)
    change(tree)
    with pytest.raises(Malformed, match="not 1 or 2"):
        Challenge.decode(tree.der())


def test_a_renewal_with_one_ciphertext_is_not_decapsulated() -> None:
    world = kem_world()
    backend, settings = counting()
    device = renewing(world, issued(challenged(world).poll()), settings=settings)
    body = world.send(device.start()).body
    refuses(backend, device, with_challenge(world, body, no_ciphertext))


def test_a_challenge_to_somebody_without_a_kem_key_is_refused() -> None:
    world = kem_world("rsa:2048")
    device = world.device(password=world.password())
    device.start()
    body = pending(kem_device(world, password=world.password("another")))
    attributes = {TRANSACTION_ID: craft.printable("transaction-1")}
    answer = resigned(world, body, attributes | {RECIPIENT_NONCE: tlv(0x04, device.enrolment._sender_nonce or b"")})
    with pytest.raises(ReplyRefused, match="a key that we do not have"):
        device.enrolment.receive(answer)


def test_pending_without_a_challenge_means_later() -> None:
    world, backend, device, body = asked()
    answer = resigned(world, body, {KEM_POP_CHALLENGE: None})
    assert device.enrolment.receive(answer) == StillPending(challenged=False)
    assert backend.decapsulations == 0


def test_a_confirmation_is_sent_once() -> None:
    world, _backend, device, body = asked()
    device.enrolment.receive(body)
    first, second = (Seen(device.enrolment.poll(now=world.now)) for _ in range(2))
    assert "1.3.6.1.4.1.32473.8894.2" in first.attributes
    assert "1.3.6.1.4.1.32473.8894.2" not in second.attributes


# Falling back


def test_a_required_ml_kem_key_that_is_not_there_is_an_error() -> None:
    world = World()
    with pytest.raises(ReplyRefused, match="ML-KEM is required"):
        kem_device(world, password=world.password(), settings=classic_settings(require_kem=True)).start()


def test_without_the_requirement_rsa_serves() -> None:
    world = World()
    device = kem_device(world, password=world.password(), settings=classic_settings(require_kem=False))
    pending(device)
    issued(device.poll())


def test_without_a_backend_the_requirement_cannot_be_met() -> None:
    world = kem_world("rsa:2048")
    with pytest.raises(ReplyRefused, match="ML-KEM is required"):
        world.device(settings=ClientSettings(cipher=AES256_GCM, require_kem=True)).start()


def test_an_authenticated_ml_kem_certificate_outranks_the_keyword_list() -> None:
    """GetCACaps can be stripped by anybody on the way, GetCACert's certificates cannot: ML-KEM is used."""
    world = kem_world("rsa:2048")
    device = world.device(password=world.password(), settings=classic_settings())
    recipient = second_recipient(device.start())
    assert recipient == 0xA4


def second_recipient(message: bytes) -> int:
    """The tag of the RecipientInfo in a message's envelope."""
    content = Seen(message).content
    assert content is not None
    return Node.parse(content)[1][0][1][0].tag


def test_a_client_without_a_backend_uses_rsa() -> None:
    world = kem_world("rsa:2048")
    assert second_recipient(world.device(password=world.password()).start()) == 0x30


def test_an_ml_kem_certificate_that_does_not_chain_to_the_ca_is_not_used() -> None:
    world = World()
    stranger = authority("ec:P-256", None, "stranger", ("ML-KEM-768",), False)
    bag = encode_degenerate([*world.authority.certificates(), *stranger.certificates()])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=world.now)
    assert found.kem_certificates(BACKENDS) == []
    with pytest.raises(ReplyRefused, match="ML-KEM is required"):
        found.recipient(BACKENDS, require_kem=True)


def test_an_ml_kem_certificate_that_is_not_for_encryption_is_not_used() -> None:
    world = World()
    _private, public = kem_key("ML-KEM-768", "RA")
    wrong = _ra_certificate(
        world.authority, encode_public_key(public), "digitalSignature", "odd RA", world.now, Random("odd RA")
    )
    bag = encode_degenerate([*world.authority.certificates(), craft.der_of(wrong)])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=world.now)
    assert craft.Certificate.of(wrong) in found.all and found.kem_certificates(BACKENDS) == []


def test_the_largest_parameter_set_is_chosen() -> None:
    world = kem_world(kems=("ML-KEM-1024", "ML-KEM-768"))
    chosen = world.ca_certificates().kem_certificates(BACKENDS)
    assert [str(item.key_algorithm.dotted_string)[-1] for item in chosen] == ["2", "3"]
    assert "1024" in repr(world.ca_certificates().recipient(BACKENDS))


def test_a_request_for_a_kem_key_is_resumed_from_its_octets() -> None:
    """Another process confirms what an earlier one asked: it needs the request's octets, for nonce and hash."""
    world = kem_world()
    device = kem_device(world, password=world.password())
    sent = device.start()
    again = kem_device(world, password="one-time secret")
    again.enrolment._sent = sent
    again.enrolment._client_nonce = Seen(sent).sender_nonce or b""
    world.send(sent)
    assert again.poll() == CHALLENGED
    issued(again.poll())


@pytest.mark.parametrize("as_recipient", [True, False])
def test_a_device_s_certificate_put_into_get_ca_cert_makes_nobody_an_ra(as_recipient: bool) -> None:
    """GetCACert is not signed: what chains to the CA may still be a device's own certificate, added on the way."""
    world = kem_world()
    if as_recipient:
        mallory = issued(challenged(world, label="mallory", subject="CN=mallory").poll())
    else:
        password = world.password("of mallory")
        mallory = issued(
            world.device("ec:P-256", password=password, label="mallory", settings=classic_settings()).enrol()
        )
    bag = encode_degenerate([*world.authority.certificates(), mallory.certificate])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=world.now)
    assert craft.Certificate.decode(mallory.certificate) not in found.all


@pytest.mark.parametrize("kem", [True, False])
def test_beside_an_ml_kem_certificate_nobody_is_an_ra_without_the_mark(kem: bool) -> None:
    """Servers that know nothing of ML-KEM may have RAs without cmcRA; one that does has marked them all."""
    world = kem_world(profile=Profile(extended_key_usage=()))
    password = world.password("of mallory")
    mallory = issued(world.device("ec:P-256", password=password, label="mallory", settings=classic_settings()).enrol())
    bag = encode_degenerate([*world.authority.certificates(kem=kem), mallory.certificate])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=world.now)
    assert (craft.Certificate.decode(mallory.certificate) in found.all) is not kem


def test_the_ra_s_decryption_certificate_signs_no_answers() -> None:
    world, backend, device, body = asked(rsa=True)
    decryption = world.authority.ra_decryption
    assert decryption is not None
    signer = Signer(decryption.key, craft.Certificate.of(decryption.certificate))
    assert refuses(backend, device, resigned(world, body, {}, signer=signer)) == (
        "the answer says PENDING, but we do not accept it: the CertRep is signed by a certificate whose keyUsage lacks "
        "digitalSignature"
    )
