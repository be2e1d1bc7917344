"""What strangers and insiders tried on transactions, and what stops them. SECURITY.md names the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ca.memory_store import MemoryStore
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.remembered import open_remembered
from ca.store import COMPROMISED, Decision, State, Transaction
from pkix.algorithms import AES256_GCM
from pkix.asn1 import wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from scep.attributes import RESPONSE_KEY, MessageType, PkiStatus
from scep.client import Issued, Refused, StillPending
from scep.kem_pop import encode_response_key
from scep.messages import Header, PkiMessage, encode_pki_message
from scep.settings import KemPolicy, Pop
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.craft import Scripted
from tests.scep.kem_kit import (
    CHALLENGED,
    challenged,
    classic_settings,
    issued,
    kem_world,
    only,
    pending,
    refused,
    renewing,
    secrets,
    serial_of,
    signing_certificate,
    state,
    stated,
    unsigned,
    with_request,
)
from tests.world import (
    ALL_METHODS,
    AUTOMATIC,
    BACKENDS,
    Device,
    World,
    authority,
    kem_device,
    key,
    name,
    reply_of,
)

UNKNOWN = "no request matches this transactionID and requester"
REPEATED = "this request has led to a certificate already; make a new one"
COMPROMISED_KEY = "a certificate for this key was revoked for keyCompromise; make a new key"


def refusal(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return answer.text or ""


def certificates(world: World) -> list[tuple[str, str]]:
    """Profile and subject of all."""
    return [(item.profile, item.subject) for item in world.store.certificates()]


# A transaction belongs to the URL that it began at


def two_profiles(admin_policy: AuthorisationPolicy = AUTOMATIC) -> tuple[World, World]:
    """One CA with a profile for guests, where all is automatic, and one for administrators."""
    ca = authority("rsa:2048", None, "CA", ("ML-KEM-768",))
    store = MemoryStore()
    guest = World(current=ca, store=store, seed="guest", policy=ALL_METHODS, profile=Profile(name="guest"))
    admin = World(current=ca, store=store, seed="admin", policy=admin_policy, profile=Profile(name="admin"))
    return guest, admin


def elsewhere(device: Device, world: World) -> Device:
    device.world = world
    return device


def test_a_challenge_is_not_confirmed_at_another_url() -> None:
    guest, admin = two_profiles()
    device = challenged(guest, password=guest.password("for guests", profile="guest"))
    assert refusal(elsewhere(device, admin).poll()) == UNKNOWN
    assert certificates(guest) == []


def test_a_renewal_is_not_confirmed_at_another_url() -> None:
    guest, admin = two_profiles()
    first = issued(challenged(guest, password=guest.password("for guests", profile="guest")).poll())
    renewal = renewing(guest, first)
    pending(renewal)
    assert refusal(elsewhere(renewal, admin).poll()) == UNKNOWN
    assert certificates(guest) == [("guest", "CN=kem device,O=Example")]


@pytest.mark.parametrize("admin_policy", [AUTOMATIC, AuthorisationPolicy(), ALL_METHODS])
def test_an_approval_counts_at_the_url_where_it_was_asked_for(admin_policy: AuthorisationPolicy) -> None:
    guest, admin = two_profiles(admin_policy)
    device = guest.device()
    assert device.enrol() == StillPending()
    guest.decide(Decision.APPROVED)
    assert refusal(elsewhere(device, admin).poll()) == UNKNOWN
    elsewhere(device, admin).enrol()  # the request itself begins something else there, without the approval
    assert certificates(guest) == []
    issued(elsewhere(device, guest).poll())
    assert certificates(guest) == [("guest", "CN=device,O=Example")]


def test_a_poll_at_another_url_does_not_touch_the_transaction() -> None:
    guest, admin = two_profiles()
    device = challenged(guest, password=guest.password())
    before = only(guest.store)
    elsewhere(device, admin).poll()
    assert guest.store.transactions() == [before]
    assert len(secrets(guest)) == 1


def test_a_used_password_does_not_bring_the_certificate_at_another_url() -> None:
    guest, admin = two_profiles()
    device = guest.device(password=guest.password())
    issued(device.enrol())
    assert refusal(elsewhere(device, admin).enrol()) == "the challengePassword has been used"


# "Same request" includes the kind of message and the certificate to be renewed


def renewal_message(device: Device, *certificates: bytes) -> bytes:
    """A RenewalReq with the device's CSR, transactionID and signer, and these certificates beside."""
    world = device.world
    envelope = encrypt(device.request.der, [world.ca_certificates().recipient(BACKENDS)], AES256_GCM, world.random)
    header = Header(MessageType.RenewalReq, "transaction-1", b"n" * 16)
    beside = [device.signer.certificate.der, *certificates]
    return encode_pki_message(header, envelope, device.signer, hashes.SHA256(), certificates=beside, now=world.now)


def test_the_same_csr_in_a_renewal_is_another_request() -> None:
    world = kem_world(policy=ALL_METHODS)
    victim = challenged(world, subject="CN=victim", label="victim", transaction_id="victim")
    certificate = issued(victim.poll()).certificate
    stranger = challenged(world, password=None, subject="CN=victim", label="stranger")
    for message in (renewal_message(stranger), renewal_message(stranger, certificate)):
        answer = reply_of(world, message)
        assert (answer.pki_status, answer.fail_info_text) == (
            PkiStatus.FAILURE,
            "another request is waiting under this transactionID",
        )
    assert stranger.poll() == StillPending()  # proven, and an operator has to look at it


def test_another_certificate_to_renew_makes_another_request() -> None:
    world = kem_world()
    password = world.password(one_time=False)
    olds = [
        issued(challenged(world, password=password, label=label, transaction_id=label).poll()) for label in ("a", "b")
    ]
    renewal = renewing(world, olds[0], old_label="a")
    pending(renewal)
    other = renewal_message(renewal, olds[1].certificate)
    changed = PkiMessage.decode(other)
    assert changed.transaction_id == "transaction-1"
    renewed_other = renewing(world, olds[1], old_label="b", transaction_id="renewal-1")
    assert refusal(renewed_other.enrol()) == "another request is waiting under this transactionID"
    issued(renewal.poll())


def test_a_proof_for_one_s_own_key_does_not_renew_a_victim_s_certificate() -> None:
    """The interleaved messages arrive between the check of the MAC and the compare-and-swap that follows."""

    class Interleaved(MemoryStore):
        between: Callable[[], None] | None = None

        def replace(self, old: Transaction, new: Transaction) -> None:
            between = self.between
            if between and old.state is State.CHALLENGED and new.state is State.AWAITING_APPROVAL:
                self.between = None
                between()
            super().replace(old, new)

    store = Interleaved()
    world = kem_world(policy=ALL_METHODS, store=store)
    victim = challenged(world, subject="CN=victim", label="victim", transaction_id="victim")
    certificate = issued(victim.poll()).certificate
    stranger = challenged(world, password=None, subject="CN=victim", label="stranger")
    for _ in range(4):
        stranger.enrolment._confirm = None
        assert stranger.poll() == CHALLENGED
    right = stranger.enrolment.poll(now=world.now)
    without = stranger.enrolment.poll(now=world.now)
    renewal = renewal_message(stranger, certificate)

    def between() -> None:
        assert reply_of(world, without).pki_status is PkiStatus.FAILURE  # one too many: the transaction ends
        assert reply_of(world, renewal).pki_status is PkiStatus.PENDING  # and another begins under its name

    store.between = between
    assert reply_of(world, right).pki_status is PkiStatus.PENDING
    assert store.between is None
    assert [item.spki_hash for item in store.certificates()] == [victim_hash(certificate)]


def victim_hash(certificate: bytes) -> bytes:
    return Certificate.decode(certificate).key_hash


# Copies are recognised by what is signed


def _signed_data(tree: Node) -> Node:
    return tree[1][0]


def _signer_info(tree: Node) -> Node:
    signed = _signed_data(tree)
    return signed[len(signed) - 1][0]


def other_s(message: bytes) -> bytes:
    """ECDSA signatures come in pairs: (r, s) and (r, n - s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    tree = Node.parse(message)
    signature = _signer_info(tree)[len(_signer_info(tree)) - 1]
    r, s = decode_dss_signature(signature.content)
    signature.content = encode_dss_signature(r, order - s)
    return tree.der()


def unsigned_attribute(message: bytes) -> bytes:
    tree = Node.parse(message)
    attribute = wrap(0x30, b"\x06\x02\x2a\x03" + wrap(0x31, b"\x05\x00"))
    _signer_info(tree).children.append(Node.parse(wrap(0xA1, attribute)))
    return tree.der()


def second_certificate(message: bytes) -> bytes:
    tree = Node.parse(message)
    found = _signed_data(tree)[3]
    found.children.append(found[0].copy())
    return tree.der()


def second_digest(message: bytes) -> bytes:
    tree = Node.parse(message)
    found = _signed_data(tree)[1]
    found.children.append(found[0].copy())
    return tree.der()


def indefinite(message: bytes) -> bytes:
    return b"\x30\x80" + message[4:] + b"\x00\x00"


def attributes_in_another_order(message: bytes) -> bytes:
    """Which verifies all the same, because Apple's clients sign the sorted ones."""
    tree = Node.parse(message)
    signed = next(item for item in _signer_info(tree).children if item.tag == 0xA0)
    signed.children.reverse()
    return tree.der()


COPIES = [
    bytes,
    other_s,
    unsigned_attribute,
    second_certificate,
    second_digest,
    indefinite,
    attributes_in_another_order,
]


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: str(copy.__name__))
@pytest.mark.parametrize("kind", ["request", "poll"])
def test_a_copy_gets_the_answer_that_the_message_had(kind: str, copy: Callable[[bytes], bytes]) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    message = device.start()
    answer = world.send(message).body
    assert device.enrolment.receive(answer) == CHALLENGED
    if kind == "poll":
        device.enrolment._confirm = None
        message = device.enrolment.poll(now=world.now)
        answer = world.send(message).body
        assert device.enrolment.receive(answer) == CHALLENGED
    changed = copy(message)
    assert (changed != message) == (copy is not bytes)
    assert world.send(changed).body == answer
    issued(device.poll())


def test_a_new_message_of_the_client_gets_a_new_challenge() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    first = world.send(device.start()).body
    assert world.send(device.start()).body != first


# Recorded requests and compromised keys


@pytest.mark.parametrize("reason", COMPROMISED)
def test_a_compromised_key_is_not_certified_again(reason: str) -> None:
    world = World("rsa:2048")
    password = world.password(one_time=False)
    device = world.device(password=password)
    issued(device.enrol())
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason=reason, now=world.now)
    assert refusal(device.enrol()) == COMPROMISED_KEY
    again = world.device(password=password, subject="CN=other", transaction_id="2")
    assert refusal(again.enrol()) == COMPROMISED_KEY
    issued(world.device(password=password, label="new key", transaction_id="3").enrol())


def test_a_renewal_to_a_compromised_key_is_refused() -> None:
    world = World("rsa:2048")
    password = world.password(one_time=False)
    issued(world.device(password=password, label="stolen", transaction_id="stolen").enrol())
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="keyCompromise", now=world.now)
    device = world.device(password=password)
    renewal = device.renewal(issued(device.enrol()), label="stolen")
    assert refusal(renewal.enrol()) == COMPROMISED_KEY


REVOKED = "a certificate that the request rests on is revoked, or its key is compromised"


def revoke(world: World, certificate: bytes, reason: str) -> None:
    found = x509.load_der_x509_certificate(certificate)
    world.store.revoke(world.authority.identifier, found.serial_number, reason=reason, now=world.now)


@pytest.mark.parametrize("challenges", [1, 2])
@pytest.mark.parametrize("reason", ["keyCompromise", "cessationOfOperation"])
def test_a_certificate_revoked_after_the_challenge_renews_nothing(reason: str, challenges: int) -> None:
    """It has signed a RenewalReq for an ML-KEM key, so nothing but this look at it stands in the way."""
    world = kem_world()
    identity = signing_certificate(world)
    device = with_request(world, unsigned(), signer=identity, renewal=True)
    for _ in range(challenges):  # the first answer was lost, and the request sent anew
        pending(device)
    revoke(world, identity.certificate.der, reason)
    assert refusal(device.poll()) == REVOKED
    assert state_of(world, "transaction-1") is State.FAILED


@pytest.mark.parametrize("challenges", [1, 2])
def test_a_statement_s_certificate_revoked_after_the_challenge_brings_nothing(challenges: int) -> None:
    world = kem_world()
    identity = signing_certificate(world)
    request = stated(identity, challenge_password=world.password("statement"))
    device = with_request(world, request, transaction_id="stated")
    for _ in range(challenges):
        pending(device)
    revoke(world, identity.certificate.der, "superseded")
    assert refusal(device.poll()) == REVOKED


@pytest.mark.parametrize("challenges", [1, 2])
def test_a_password_is_used_up_however_often_its_request_was_challenged(challenges: int) -> None:
    world = kem_world()
    password = world.password("used once")
    device = with_request(world, unsigned(challenge_password=password))
    for _ in range(challenges):
        pending(device)
    assert isinstance(device.poll(), Issued)
    other = with_request(world, unsigned(label="other", challenge_password=password), transaction_id="other")
    assert refusal(other.enrol()) == "the challengePassword has been used"


def state_of(world: World, transaction_id: str) -> State:
    (found,) = (item.state for item in world.store.transactions() if item.key.transaction_id == transaction_id)
    return found


def test_a_compromised_key_renews_with_no_certificate() -> None:
    """The key has two certificates, and the compromise was noted with one of them."""
    world = World("rsa:2048")
    device = world.device(password=world.password())
    first = issued(device.enrol())
    second = issued(device.renewal(first, label="device").enrol())
    revoke(world, second.certificate, "keyCompromise")
    thief = device.renewal(first, label="thief", transaction_id="thief")
    assert refusal(thief.enrol()) == "the key of the certificate to renew was revoked for keyCompromise"


def test_a_compromised_kem_key_renews_with_no_certificate() -> None:
    world = kem_world()
    first = issued(challenged(world).poll())
    second = issued(pending_renewal(world, first, label="kem device", transaction_id="same key").poll())
    theft = pending_renewal(world, first, label="thief", transaction_id="thief")
    revoke(world, second.certificate, "keyCompromise")
    assert refusal(theft.poll()) == REVOKED


def pending_renewal(world: World, old: Issued, **more: str) -> Device:
    device = renewing(world, old, **more)
    pending(device)
    return device


def test_a_compromised_key_is_the_same_in_another_encoding() -> None:
    world = World("rsa:2048", policy=AuthorisationPolicy(), webhook=Scripted("approve", "approve"))
    private = key("ec:P-256", "stolen")
    request = encode_certification_request(private, name("CN=a"), challenge_password="for the answer")
    issued(world.device("ec:P-256", request=request, label="stolen").enrol())
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="keyCompromise", now=world.now)
    tree = Node.parse(request)
    point = tree[0][2][1]
    point.content = b"\0" + bytes((2 + (point.content[-1] & 1),)) + point.content[2:34]
    signature = private.sign(tree[0].der(), ec.ECDSA(hashes.SHA256()))  # type: ignore[union-attr, call-arg, arg-type]
    tree[2].content = b"\0" + signature
    device = world.device("ec:P-256", request=tree.der(), label="stolen", transaction_id="2")
    assert device.request.spki != CertificationRequest.decode(request).spki
    craft.failed(world, craft.request(device, content=tree.der()), craft.BAD_REQUEST, COMPROMISED_KEY)


def after_a_week(world: World) -> None:
    """When no transaction is remembered any more."""
    world.tick(timedelta(days=8))
    world.store.purge(world.now)
    assert not world.store.transactions()


def test_recorded_octets_with_a_reusable_password_bring_nothing_later() -> None:
    world = World("rsa:2048")
    device = world.device(password=world.password(one_time=False, ttl=None))
    message = device.start()
    issued(device.enrolment.receive(world.send(message).body))
    after_a_week(world)
    assert reply_of(world, message).fail_info_text == REPEATED
    assert len(world.store.certificates()) == 1
    issued(device.enrol())  # who has the key may ask again


def test_a_recorded_envelope_that_a_stranger_signs_brings_nothing_later() -> None:
    world = World("rsa:2048")
    device = world.device(password=world.password(one_time=False, ttl=None))
    message = device.start()
    issued(device.enrolment.receive(world.send(message).body))
    stranger = craft.self_made("rsa:2048", "CN=stranger", "stranger")
    envelope = PkiMessage.decode(message).signed.content
    copy = craft.Crafted(signer=stranger, content=envelope, attributes=craft.header(19, "another"))
    craft.failed(world, copy, craft.BAD_REQUEST, REPEATED)
    assert len(world.store.certificates()) == 1


def test_a_recorded_renewal_brings_nothing_later() -> None:
    world = World("rsa:2048")
    device = world.device(password=world.password())
    renewal = device.renewal(issued(device.enrol()))
    message = renewal.start()
    issued(renewal.enrolment.receive(world.send(message).body))
    after_a_week(world)
    assert reply_of(world, message).fail_info_text == REPEATED
    assert len(world.store.certificates()) == 2


def test_a_renewal_that_its_certificate_signs_anew_serves_again() -> None:
    """The client lost the answer, and the CA has forgotten the transaction."""
    world = World("rsa:2048")
    device = world.device(password=world.password())
    renewal = device.renewal(issued(device.enrol()))
    issued(renewal.enrol())
    after_a_week(world)
    issued(renewal.enrol())
    assert len(world.store.certificates()) == 3


def test_a_recorded_request_that_a_webhook_approves_brings_nothing_later() -> None:
    world = World("rsa:2048", policy=AuthorisationPolicy(), webhook=Scripted("approve", "approve"))
    device = world.device()
    message = device.start()
    issued(device.enrolment.receive(world.send(message).body))
    after_a_week(world)
    assert reply_of(world, message).fail_info_text == REPEATED


@pytest.mark.parametrize("pop", [Pop.implicit, Pop.none])
def test_without_a_challenge_an_unsigned_request_serves_once(pop: Pop) -> None:
    """Nobody can show that the holder of the key has sent it again."""
    world = kem_world("rsa:2048", kem=KemPolicy(pop=pop))
    device = kem_device(world, password=world.password(one_time=False, ttl=None), signer_key="rsa:2048")
    issued(device.enrol())
    after_a_week(world)
    assert refusal(device.enrol()) == REPEATED


def test_after_a_proof_the_same_request_serves_again() -> None:
    """Also when the client sends the octets that it kept."""
    world = kem_world()
    device = kem_device(world, password=world.password(one_time=False, ttl=None))
    message = device.start()
    for _ in range(2):
        device.enrolment.resume(message)
        assert device.enrolment.receive(world.send(message).body) == CHALLENGED
        issued(device.poll())
        after_a_week(world)
    assert len(world.store.certificates()) == 2


def test_after_a_proof_and_an_approval_the_same_request_serves_again() -> None:
    world = kem_world(policy=ALL_METHODS)
    for _ in range(2):
        device = challenged(world, password=None)
        assert device.poll() == StillPending()
        world.decide(Decision.APPROVED)
        issued(device.poll())
        after_a_week(world)
    assert len(world.store.certificates()) == 2


def test_an_expired_certificate_is_not_issued_again_for_its_password() -> None:
    world = World("rsa:2048", profile=Profile(validity=timedelta(hours=1)))
    device = world.device(password=world.password(ttl=None))
    issued(device.enrol())
    world.tick(timedelta(hours=2))
    device = world.device(request=device.request.der, transaction_id="another")
    assert refusal(device.enrol()) == "the challengePassword has been used"


# unique_subject


def unique_world(**more: object) -> World:
    return World("rsa:2048", profile=Profile(unique_subject=True), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("subject", ["CN=DEVICE,O=Example", "CN=device\\ ,O=Example", "CN=de\u00advice,O=EXAMPLE"])
def test_another_spelling_is_the_same_name(subject: str) -> None:
    world = unique_world()
    password = world.password(one_time=False)
    issued(world.device(password=password).enrol())
    other = world.device(password=password, subject=subject, label="other", transaction_id="2")
    assert "a valid certificate for this subject exists" in refusal(other.enrol())


def test_a_certificate_of_an_earlier_generation_counts() -> None:
    world = unique_world()
    password = world.password(one_time=False)
    issued(world.device(password=password).enrol())
    rolled = unique_world(
        current=authority("rsa:2048", None, "CA2"), previous=(world.authority,), store=world.store, seed="later"
    )
    assert "exists" in refusal(rolled.device(password=password, label="other", transaction_id="2").enrol())


def test_of_two_approved_requests_for_one_subject_one_is_issued() -> None:
    world = unique_world(policy=ALL_METHODS)
    devices = [world.device(label=label, transaction_id=label) for label in "ab"]
    for device in devices:
        assert device.enrol() == StillPending()
    for item in world.store.transactions():
        world.store.replace(item, replace(item, decision=Decision.APPROVED))
    issued(devices[0].poll())
    (event,) = world.send(devices[1].enrolment.poll(now=world.now)).events
    assert "exists" in event.details["waits for"]
    (first,) = world.store.certificates()
    world.store.revoke(first.authority, first.serial, reason="superseded", now=world.now)
    issued(devices[1].poll())  # as RFC 8894 figure 12 has it


# Withdrawing


@pytest.mark.parametrize("one_time", [True, False])
def test_a_password_withdrawn_after_the_challenge_issues_nothing(one_time: bool) -> None:
    world = kem_world()
    device = challenged(world, password=world.password("to be withdrawn", one_time=one_time))
    assert world.store.remove_credential(world.server_key.identifier("to be withdrawn"))
    assert refusal(device.poll()) == "the challengePassword was withdrawn or has expired"
    assert state(world) is State.FAILED
    assert not world.store.certificates()


def test_a_password_that_the_same_client_has_used_up_elsewhere_meanwhile_issues_nothing() -> None:
    guest, admin = two_profiles()
    password = guest.password()
    one = challenged(guest, password=password)
    two = challenged(admin, password=password, transaction_id="2")
    issued(one.poll())
    assert refusal(two.poll()) == "the challengePassword has been used"
    assert certificates(guest) == [("guest", "CN=kem device,O=Example")]


# What ended transactions keep


def test_a_used_password_stores_nothing_however_often_it_comes() -> None:
    world = World("rsa:2048")
    device = world.device(password=world.password())
    first = issued(device.enrol())
    for at in range(3):
        again = world.device(request=device.request.der, transaction_id=f"again {at}")
        assert issued(again.enrol()).certificate == first.certificate
    assert len(world.store.transactions()) == 1


def test_a_failed_transaction_keeps_nothing_of_its_request() -> None:
    """Only what copies of its messages are known by."""
    world = kem_world()
    device = challenged(world)
    device.enrolment._confirm = None
    for _ in range(5):
        device.enrolment._confirm = None
        device.poll()
    found = only(world.store)
    assert (found.state, secrets(world)) == (State.FAILED, {})
    kept = open_remembered(world.server_key, found)
    assert kept.seen is not None and len(kept.seen) == 6
    assert (kept.request, kept.context, kept.answered, kept.answer) == (b"", b"", None, None)
    assert (kept.rests_on, kept.credential_id) == (None, None)
    refused(device.poll(), text="too many challenges")


def test_a_copy_of_a_rejected_request_does_not_queue_it_again() -> None:
    world = World("rsa:2048", policy=ALL_METHODS)
    device = world.device()
    message = device.start()
    assert device.enrolment.receive(world.send(message).body) == StillPending()
    world.decide(Decision.REJECTED, "not this one")
    assert refusal(device.poll()) == "not this one"
    for _ in range(2):
        assert reply_of(world, message).fail_info_text == "not this one"
    assert len(only(world.store).sealed_request) < 200
    assert device.enrol() == StillPending()  # the client itself may ask again


def test_an_approved_request_whose_profile_was_changed_waits() -> None:
    world = World("rsa:2048", policy=ALL_METHODS)
    device = world.device()
    assert device.enrol() == StillPending()
    world.decide(Decision.APPROVED)
    stricter = World(
        current=world.authority, store=world.store, policy=ALL_METHODS, profile=Profile(required_subject=("OU",))
    )
    assert elsewhere(device, stricter).poll() == StillPending()
    issued(elsewhere(device, world).poll())


def test_an_issued_transaction_keeps_the_request_and_no_challenge() -> None:
    world = kem_world()
    device = challenged(world)
    waiting = len(only(world.store).sealed_request)
    first = issued(device.poll())
    assert len(only(world.store).sealed_request) < waiting - 1500  # the CertRep with the challenge
    assert serial_of(issued(device.poll())) == serial_of(first)


def test_a_response_key_is_remembered_only_of_those_who_were_authorised() -> None:
    world = kem_world(policy=ALL_METHODS)
    brings = (RESPONSE_KEY, encode_response_key(bytes(16), bytes(32)))
    request = encode_certification_request(key("ed25519"), name("CN=device"), attributes=[brings])
    device = world.device("ed25519", request=request, label="", settings=classic_settings())
    assert device.enrol() == StillPending()
    assert secrets(world) == {}
    world.decide(Decision.APPROVED)
    issued(device.poll())
    assert len(secrets(world)) == 1
