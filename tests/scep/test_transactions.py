"""The transaction table row by row, the resynchronisation cases of RFC 8894 section 5.2, and lost answers.

Every answer here can be lost: the tests call the responder and throw the answer away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision, IssuedCertificate, State, Transaction
from ca.transactions import Event, Step, next_step
from scep.attributes import FailInfo
from scep.client import Issued, Refused, StillPending
from scep.kem_pop import encode_confirm
from scep.settings import Settings
from scep.transactions import EVENTS, STATES, STEPS, TABLE
from tests.world import ALL_METHODS, NOW, Device, World, authority, kem_device

USED = "the challengePassword has been used"
UNKNOWN = "no request matches this transactionID and requester"
ANOTHER = "another request is waiting under this transactionID"
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


# The table, row by row: how to get into the state, then what arrives, then what comes of it


def nothing(device: Device) -> None:
    """No transaction."""


def waiting(device: Device) -> None:
    assert device.enrol() == StillPending()


def granted(device: Device) -> None:
    waiting(device)
    device.world.decide(Decision.APPROVED)
    issued(device.poll())


def rejected(device: Device) -> None:
    waiting(device)
    device.world.decide(Decision.REJECTED, "unknown device")
    assert refusal(device.poll()) == "unknown device"


def challenged(device: Device) -> None:
    assert device.enrol() == StillPending(challenged=True)


INTO: dict[State | None, Callable[[Device], None]] = {
    None: nothing,
    State.CHALLENGED: challenged,
    State.AWAITING_APPROVAL: waiting,
    State.ISSUED: granted,
    State.FAILED: rejected,
}


def again(device: Device) -> object:
    return device.enrol()


def other(device: Device) -> object:
    """Another request from the same key under the same transactionID."""
    if device.request.is_kem:
        return kem_device(device.world, subject="CN=other,O=Example", signer=device.signer).enrol()
    return device.world.device(subject="CN=other,O=Example", signer=device.signer).enrol()


def poll(device: Device) -> object:
    """A CertPoll, without the confirmation that a challenged client would send."""
    device.enrolment._confirm = None
    return device.poll()


def confirm(device: Device) -> object:
    """A CertPoll with the right confirmation after a challenge, and with a made-up one otherwise."""
    device.enrolment._confirm = device.enrolment._confirm or encode_confirm(bytes(32), None)
    return device.poll()


ARRIVES: dict[Event, Callable[[Device], object]] = {
    Event.request: again,
    Event.same_request: again,
    Event.other_request: other,
    Event.poll: poll,
    Event.confirm: confirm,
}

# What the client sees, and the state afterwards
EXPECTED: dict[tuple[State | None, Event], tuple[str, State | None]] = {
    (None, Event.request): ("pending", State.AWAITING_APPROVAL),
    (None, Event.poll): (UNKNOWN, None),
    (None, Event.confirm): (UNKNOWN, None),
    (State.CHALLENGED, Event.same_request): ("challenged", State.CHALLENGED),
    (State.CHALLENGED, Event.poll): ("challenged", State.CHALLENGED),
    (State.CHALLENGED, Event.confirm): ("pending", State.AWAITING_APPROVAL),
    (State.CHALLENGED, Event.other_request): (ANOTHER, State.CHALLENGED),
    (State.AWAITING_APPROVAL, Event.same_request): ("pending", State.AWAITING_APPROVAL),
    (State.AWAITING_APPROVAL, Event.poll): ("pending", State.AWAITING_APPROVAL),
    (State.AWAITING_APPROVAL, Event.confirm): ("pending", State.AWAITING_APPROVAL),
    (State.AWAITING_APPROVAL, Event.other_request): (ANOTHER, State.AWAITING_APPROVAL),
    (State.ISSUED, Event.same_request): ("the same certificate", State.ISSUED),
    (State.ISSUED, Event.poll): ("the same certificate", State.ISSUED),
    (State.ISSUED, Event.confirm): ("the same certificate", State.ISSUED),
    (State.ISSUED, Event.other_request): ("pending", State.AWAITING_APPROVAL),
    (State.FAILED, Event.same_request): ("pending", State.AWAITING_APPROVAL),
    (State.FAILED, Event.poll): ("unknown device", State.FAILED),
    (State.FAILED, Event.confirm): ("unknown device", State.FAILED),
    (State.FAILED, Event.other_request): ("pending", State.AWAITING_APPROVAL),
}


@pytest.mark.parametrize(("state", "event"), TABLE, ids=lambda item: getattr(item, "name", "NONE"))
def test_every_row_of_the_table(state: State | None, event: Event) -> None:
    world = World(policy=MANUAL, current=authority(kems=("ML-KEM-768",)))
    device = kem_device(world) if state is State.CHALLENGED else world.device()
    INTO[state](device)
    before = world.store.certificates()
    answer = ARRIVES[event](device)
    expected, after = EXPECTED[state, event]
    if expected == "pending":
        assert answer == StillPending()
    elif expected == "challenged":
        assert answer == StillPending(challenged=True)
    elif expected == "the same certificate":
        assert issued(answer) == before[0].der
    else:
        assert refusal(answer) == expected
    assert [item.der for item in world.store.certificates()] == [item.der for item in before]
    assert [item.state for item in world.store.transactions()] == ([after] if after else [])


def test_the_table_has_every_state_with_every_event_that_can_happen_there() -> None:
    known = {(state, event) for state in STATES for event in EVENTS if event is not Event.request}
    assert set(TABLE) == known | {(None, Event.request), (None, Event.poll), (None, Event.confirm)}
    assert set(TABLE) == set(EXPECTED)


def test_every_step_is_taken_by_some_row() -> None:
    assert set(TABLE.values()) == set(STEPS)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    ("request_hash", "step"), [(None, Step.refuse_unknown), (b"x", Step.decide), (b"y", Step.decide)]
)
def test_an_expired_transaction_counts_as_none(state: State, request_hash: bytes | None, step: Step) -> None:
    world = World(policy=MANUAL)
    waiting(world.device())
    expired = replace(only(world), state=state, expires=NOW - timedelta(seconds=1), request_hash=b"x")
    arrived = Event.poll if request_hash is None else Event.request
    assert next_step(expired, arrived, request_hash, now=NOW) is step


def test_another_request_under_the_transaction_id_that_waits_leaves_it_alone() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    waiting(device)
    before = only(world)
    assert refusal(other(device)) == "another request is waiting under this transactionID"
    assert only(world) == before


def test_strongswan_repeats_its_transaction_id_after_a_refusal() -> None:
    world = World(policy=replace(MANUAL, challenge_password=True))
    device = world.device()
    rejected(device)
    issued(world.device(password=world.password()).enrol())


# Ends


def test_a_waiting_request_is_forgotten_after_its_time() -> None:
    world = World(policy=MANUAL, settings=Settings(pending_lifetime=timedelta(hours=5)))
    device = world.device()
    waiting(device)
    world.tick(timedelta(hours=5) - timedelta(seconds=1))
    assert device.poll() == StillPending()
    world.tick(timedelta(seconds=2))
    assert refusal(device.poll()) == UNKNOWN
    assert device.enrol() == StillPending()


def test_an_expired_request_is_not_issued_although_it_was_approved() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    waiting(device)
    world.decide(Decision.APPROVED)
    world.tick(timedelta(days=7, seconds=1))
    refusal(device.poll())
    assert device.enrol() == StillPending()
    assert not world.store.certificates()


def test_a_failure_is_remembered_for_its_time() -> None:
    world = World(policy=MANUAL, settings=Settings(ended_lifetime=timedelta(hours=2)))
    device = world.device()
    rejected(device)
    world.tick(timedelta(hours=2, seconds=1))
    assert refusal(device.poll()) == "no request matches this transactionID and requester"


def test_no_more_than_max_pending_requests_wait() -> None:
    world = World(policy=ALL_METHODS, settings=Settings(max_pending=2))
    for number in range(2):
        assert world.device(transaction_id=str(number)).enrol() == StillPending()
    third = world.device(transaction_id="3")
    assert third.enrol() == StillPending()
    assert "no request matches" in refusal(world.device(transaction_id="0").poll())
    assert world.device(transaction_id="1").poll() == StillPending()
    issued(world.device(transaction_id="4", password=world.password()).enrol())


def test_a_repeated_certificate_has_not_expired() -> None:
    """Short-lived certificates end before their transaction is forgotten; the same request then means a new one."""
    world = World(profile=Profile(validity=timedelta(hours=1)))
    password = world.password("for a fleet", one_time=False, ttl=None)
    device = world.device(password=password)
    first = issued(device.enrol())
    world.tick(timedelta(hours=2))
    second = x509.load_der_x509_certificate(issued(device.enrol()))
    assert second.serial_number != x509.load_der_x509_certificate(first).serial_number
    assert second.not_valid_after_utc > world.now


# Revoked meanwhile


def revoke(world: World, reason: str = "keyCompromise") -> IssuedCertificate:
    (record,) = world.store.certificates()
    return world.store.revoke(record.authority, record.serial, reason=reason, now=world.now)


def test_a_revoked_certificate_is_not_sent_again_to_a_poll() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    granted(device)
    revoke(world)
    assert refusal(device.poll()) == "the certificate of this transaction is revoked; send a new request"


def test_an_expired_certificate_is_not_sent_again_to_a_poll() -> None:
    world = World(policy=MANUAL, profile=Profile(validity=timedelta(hours=1)))
    device = world.device()
    granted(device)
    world.tick(timedelta(hours=2))
    assert refusal(device.poll()) == (
        "the certificate of this transaction is not valid now: it is from 2026-11-21 02:00 to 2026-11-21 13:00, "
        "and the clock of this CA says 2026-11-21 14:00 UTC; send a new request"
    )


def test_a_revoked_certificate_is_not_sent_again_for_the_used_password() -> None:
    world = World()
    device = world.device(password=world.password())
    issued(device.enrol())
    revoke(world)
    assert refusal(device.enrol()) == USED
    assert refusal(world.device(request=device.request.der, transaction_id="2").enrol()) == USED


def test_after_revocation_the_same_request_is_decided_anew() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    granted(device)
    revoked = revoke(world, "superseded")
    assert device.enrol() == StillPending()
    world.decide(Decision.APPROVED)
    assert issued(device.poll()) != revoked.der


# The duplicate-subject rule


def test_unique_subject_refuses_a_second_certificate_before_the_first_ends() -> None:
    world = World(profile=Profile(unique_subject=True))
    issued(world.device(password=world.password()).enrol())
    second = world.device(password=world.password("second"), label="second", transaction_id="2")
    assert "a valid certificate for this subject exists" in refusal(second.enrol())
    world.tick(timedelta(days=366))
    issued(world.device(password=world.password("third"), label="second", transaction_id="3").enrol())


def test_unique_subject_does_not_stop_a_renewal() -> None:
    world = World(profile=Profile(unique_subject=True))
    device = world.device(password=world.password())
    answer = device.enrol()
    assert isinstance(answer, Issued)
    issued(device.renewal(answer).enrol())


def test_unique_subject_does_not_stop_a_renewal_by_pkcsreq() -> None:
    world = World(profile=Profile(unique_subject=True))
    device = world.device(password=world.password())
    answer = device.enrol()
    assert isinstance(answer, Issued)
    issued(device.renewal(answer, renewal=False).enrol())


def test_without_the_rule_the_same_subject_enrols_again() -> None:
    world = World()
    issued(world.device(password=world.password()).enrol())
    issued(world.device(password=world.password("second"), label="second").enrol())
