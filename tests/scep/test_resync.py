"""The resynchronisation cases of RFC 8894 section 5.2, lost answers with one-time passwords, and manual approval."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision, State, Transaction
from scep.attributes import FailInfo
from scep.client import Issued, Refused, StillPending
from tests.world import NOW, Device, World

USED = "the challengePassword has been used"
MANUAL = AuthorisationPolicy(manual=True)


def refusal(answer: object) -> str:
    """The text of a badRequest."""
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text
    return answer.text


def issued(answer: object) -> bytes:
    """The certificate of a success."""
    assert isinstance(answer, Issued)
    return answer.certificate


def only(world: World) -> Transaction:
    (found,) = world.store.transactions()
    return found


def waiting(device: Device) -> None:
    assert device.enrol() == StillPending()


# Section 5.2


def test_5_2_case_1_a_new_pkcsreq_after_a_lost_pending_under_a_new_transaction_id() -> None:
    world = World(policy=MANUAL)
    first, second = world.device(), world.device(transaction_id="transaction-2")
    first.enrol()
    assert second.enrol() == StillPending()
    assert len(world.store.transactions(State.AWAITING_APPROVAL)) == 2


def test_5_2_case_1_a_new_pkcsreq_after_a_lost_pending_under_the_same_transaction_id() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    world.decide(Decision.APPROVED)
    assert issued(device.enrol()) == world.store.certificates()[0].der


def test_5_2_case_2_a_cert_poll_resumed_after_an_outage() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    world.send(device.enrolment.poll(now=world.now))
    world.decide(Decision.APPROVED)
    world.tick(timedelta(days=6))
    assert issued(device.poll()) == world.store.certificates()[0].der


def lost_success(world: World, device: Device) -> None:
    device.enrol()
    world.decide(Decision.APPROVED)
    world.send(device.enrolment.poll(now=world.now))
    assert only(world).state is State.ISSUED


def test_5_2_case_3_a_new_pkcsreq_after_a_lost_success_meets_the_duplicate_subject_rule() -> None:
    world = World(policy=MANUAL, profile=Profile(unique_subject=True))
    device = world.device()
    lost_success(world, device)
    seventh = world.device(transaction_id="7")
    seventh.enrol()
    world.decide(Decision.APPROVED)
    (record,) = world.store.certificates()
    assert isinstance(seventh.poll(), StillPending)
    world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
    assert issued(seventh.poll()) != record.der


def test_5_2_case_3_with_the_same_transaction_id_the_certificate_comes_again() -> None:
    world = World(policy=MANUAL, profile=Profile(unique_subject=True))
    device = world.device()
    lost_success(world, device)
    assert issued(device.enrol()) == world.store.certificates()[0].der


def test_5_2_case_4_a_cert_poll_after_a_lost_success_gets_the_certificate() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    lost_success(world, device)
    assert issued(device.poll()) == issued(device.poll()) == world.store.certificates()[0].der


# Lost answers and one-time passwords


def lost(device: Device) -> bytes:
    """Enrol and lose the answer."""
    device.world.send(device.start())
    (record,) = device.world.store.certificates()
    return record.der


@pytest.mark.parametrize("transaction_id", ["transaction-1", "another"])
def test_a_retry_of_the_same_request_gets_the_same_certificate(transaction_id: str) -> None:
    world = World()
    device = world.device(password=world.password())
    certificate = lost(device)
    retry = world.device(request=device.request.der, transaction_id=transaction_id)
    assert issued(retry.enrol()) == certificate
    assert len(world.store.certificates()) == 1


def test_a_retry_under_a_new_transaction_id_is_no_transaction_of_its_own() -> None:
    """Nothing is stored for it, so a poll matches nothing; the same octets once more are answered."""
    world = World()
    device = world.device(password=world.password())
    certificate = lost(device)
    retry = world.device(request=device.request.der, transaction_id="another")
    message = retry.start()
    world.send(message)
    assert isinstance(retry.poll(), Refused)
    retry.enrolment.resume(message)
    assert issued(retry.enrolment.receive(world.send(message).body)) == certificate


def test_a_retry_works_after_the_password_has_expired() -> None:
    world = World()
    device = world.device(password=world.password())
    certificate = lost(device)
    world.tick(timedelta(hours=2))
    assert issued(world.device(request=device.request.der, transaction_id="another").enrol()) == certificate


def test_a_regenerated_request_with_the_used_password_is_refused() -> None:
    """It may be the same device; it may also be whoever read the password. The operator hands out another."""
    world = World()
    device = world.device(password=world.password())
    lost(device)
    regenerated = world.device(password="one-time secret", subject="CN=device,O=Example,OU=again", transaction_id="2")
    assert refusal(regenerated.enrol()) == USED


def test_the_same_request_signed_by_another_key_is_refused() -> None:
    world = World()
    device = world.device(password=world.password())
    lost(device)
    thief = world.device(label="thief")
    stolen = world.device(request=device.request.der, label="thief", signer=thief.signer)
    assert refusal(stolen.enrol()) == USED


def test_another_key_with_the_used_password_is_refused() -> None:
    world = World()
    lost(world.device(password=world.password()))
    assert refusal(world.device(password="one-time secret", label="other").enrol()) == USED


def test_a_request_that_is_refused_does_not_use_the_password_up() -> None:
    world = World()
    password = world.password()
    weak = world.device(
        password=password, subject="C=DE", extensions=[san(x509.RegisteredID(x509.ObjectIdentifier("1.2")))]
    )
    assert "subjectAltName" in refusal(weak.enrol())
    issued(world.device(password=password, transaction_id="2").enrol())


def test_after_the_end_of_memory_a_lost_answer_is_gone() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    lost_success(world, device)
    world.tick(timedelta(days=1, seconds=1))
    assert refusal(device.poll()) == "no request matches this transactionID and requester"


def san(*names: x509.GeneralName) -> x509.Extension[x509.ExtensionType]:
    value = x509.SubjectAlternativeName(names)
    return x509.Extension(value.oid, False, value)


# Manual approval


def test_2_4_manual_approval_issues_at_the_next_poll() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    waiting(device)
    world.decide(Decision.APPROVED)
    certificate = issued(device.poll())
    (record,) = world.store.certificates()
    assert record.der == certificate
    assert (only(world).state, only(world).serial) == (State.ISSUED, record.serial)


@pytest.mark.parametrize(
    ("reason", "text"), [("not in the inventory", "not in the inventory"), ("", "the request was rejected")]
)
def test_2_4_a_rejection_s_reason_becomes_fail_info_text(reason: str, text: str) -> None:
    world = World(policy=MANUAL)
    device = world.device()
    waiting(device)
    world.decide(Decision.REJECTED, reason)
    assert refusal(device.poll()) == text
    assert refusal(device.poll()) == text
    assert (only(world).state, only(world).reason) == (State.FAILED, text)


def test_a_decision_still_counts_when_the_policy_has_changed_meanwhile() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    waiting(device)
    world.decide(Decision.APPROVED)
    stricter = World(policy=AuthorisationPolicy(challenge_password=True), store=world.store)
    issued(device.enrolment.receive(stricter.send(device.enrolment.poll(now=NOW)).body))


def test_4_4_a_poll_by_another_key_finds_nothing() -> None:
    world = World(policy=MANUAL)
    waiting(world.device())
    world.decide(Decision.APPROVED)
    thief = world.device(label="thief")
    assert refusal(thief.poll()) == "no request matches this transactionID and requester"
    assert not world.store.certificates()


def test_4_4_a_poll_with_another_transaction_id_finds_nothing() -> None:
    world = World(policy=MANUAL)
    waiting(world.device())
    assert refusal(world.device(transaction_id="2").poll()) == "no request matches this transactionID and requester"


def test_two_clients_may_pick_the_same_transaction_id() -> None:
    world = World()
    for label in ("first", "second"):
        device = world.device(label=label, password=world.password(f"for {label}"), subject=f"CN={label}")
        issued(device.enrol())
    assert len(world.store.certificates()) == 2


def test_strongswan_repeats_its_transaction_id_for_another_request_after_issuance() -> None:
    world = World()
    device = world.device(password=world.password("first"))
    issued(device.enrol())
    second = world.device(password=world.password("second"), subject="CN=device,O=Example,OU=second")
    assert second.enrolment.transaction_id == device.enrolment.transaction_id
    issued(second.enrol())
    assert len(world.store.certificates()) == 2
    assert "second" in only(world).subject
