"""Copies of messages that a transaction has dealt with: known in it, in the next one, and by the certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ca.authorisation import Authoriser
from ca.methods import AuthorisationPolicy
from ca.remembered import open_remembered
from ca.store import MESSAGES, Decision, State, Store
from pkix.certificates import Certificate
from pkix.signed_data import Signer
from scep.attributes import KEM_POP_CHALLENGE, FailInfo, PkiStatus
from scep.client import StillPending
from tests.scep.craft import Scripted
from tests.scep.kem_kit import (
    CHALLENGED,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    only,
    refused,
    renewing,
)
from tests.scep.test_release import Reporting
from tests.world import ALL_METHODS, Device, World, authority, kem_device, key, reply_of

MANUAL = AuthorisationPolicy(manual=True)
REPEATED = "this request has led to a certificate already; make a new one"
TOO_OFTEN = "this request was sent too often; make a new one"


class Recorder:
    """Sends a device's messages and keeps them."""

    def __init__(self, device: Device) -> None:
        self.device, self.world = device, device.world
        self.recorded: list[bytes] = []

    def send(self, message: bytes) -> object:
        self.recorded.append(message)
        return self.device.enrolment.receive(self.world.send(message).body)

    def request(self) -> object:
        return self.send(self.device.start())

    def copy(self) -> object:
        """The first message once more, by the client itself."""
        first, enrolment = self.recorded[0], self.device.enrolment
        enrolment.resume(first)
        enrolment._sent, enrolment._client_nonce = first, enrolment._sender_nonce or b""
        return enrolment.receive(self.world.send(first).body)

    def poll(self, *, bare: bool = False) -> object:
        if bare:
            self.device.enrolment._confirm = None
        return self.send(self.device.enrolment.poll(now=self.world.now))

    def wrong(self) -> object:
        """A confirmation that is wrong."""
        self.device.enrolment._confirm = flipped(confirmation(self.device), -1)
        return self.poll()


def kem_recorder(store: Store, *, manual: bool = False) -> Recorder:
    world = kem_world(store=store, policy=MANUAL if manual else ALL_METHODS)
    return Recorder(kem_device(world, password=None if manual else world.password(one_time=False, ttl=None)))


def left_alone(recorder: Recorder) -> None:
    """Nothing that was recorded before the outstanding challenge touches it."""
    copies = recorder.recorded[:]
    assert recorder.request() == CHALLENGED
    before = only(recorder.world.store)
    assert before.state is State.CHALLENGED
    for copy in copies:
        answer = reply_of(recorder.world, copy)
        assert (answer.pki_status, answer.attribute(KEM_POP_CHALLENGE)) == (PkiStatus.PENDING, None)
    assert only(recorder.world.store) == before


def test_copies_from_before_a_challenge_expired_leave_the_next_one_alone(store: Store) -> None:
    recorder = kem_recorder(store)
    assert recorder.request() == CHALLENGED
    assert recorder.poll(bare=True) == CHALLENGED
    recorder.world.tick(timedelta(minutes=11))
    refused(recorder.poll(), text="expired")
    left_alone(recorder)
    issued(recorder.poll())


def test_copies_from_before_a_wrong_confirmation_leave_the_next_challenge_alone(store: Store) -> None:
    recorder = kem_recorder(store)
    for _ in range(2):
        assert recorder.request() == CHALLENGED
        refused(recorder.wrong(), FailInfo.badMessageCheck)
        refused(recorder.poll())  # told once more
        refused(recorder.poll(bare=True))
    left_alone(recorder)
    issued(recorder.poll())


def test_copies_from_before_too_many_challenges_leave_the_next_one_alone(store: Store) -> None:
    recorder = kem_recorder(store)
    assert recorder.request() == CHALLENGED
    for _ in range(4):
        assert recorder.request() == CHALLENGED
    refused(recorder.request(), text="too many challenges")
    left_alone(recorder)
    issued(recorder.poll())


def test_copies_from_before_a_revoked_certificate_leave_the_next_challenge_alone(store: Store) -> None:
    recorder = kem_recorder(store)
    assert recorder.request() == CHALLENGED
    confirm = confirmation(recorder.device)
    issued(recorder.poll())
    recorder.device.enrolment._confirm = confirm
    issued(recorder.poll())  # the answer was lost
    issued(recorder.request())
    (record,) = store.certificates()
    store.revoke(record.authority, record.serial, reason="superseded", now=recorder.world.now)
    left_alone(recorder)
    issued(recorder.poll())
    assert len(store.certificates()) == 2


def test_copies_from_before_a_rejection_leave_the_next_challenge_alone(store: Store) -> None:
    recorder = kem_recorder(store, manual=True)
    assert recorder.request() == CHALLENGED
    confirm = confirmation(recorder.device)
    assert recorder.poll() == StillPending()
    recorder.device.enrolment._confirm = confirm
    assert recorder.poll() == StillPending()  # confirmed once more
    assert recorder.request() == StillPending()
    recorder.world.decide(Decision.REJECTED, "no")
    refused(recorder.poll(), text="no")
    left_alone(recorder)
    assert recorder.poll() == StillPending()
    recorder.world.decide(Decision.APPROVED)
    issued(recorder.poll())


def test_a_transaction_knows_so_many_messages_and_the_newest(store: Store) -> None:
    world = World("rsa:2048", store=store, policy=MANUAL)
    recorder = Recorder(world.device())
    for _ in range(MESSAGES + 2):
        assert recorder.request() == StillPending()
    seen = open_remembered(world.server_key, only(store)).seen
    assert seen is not None and len(seen) == len(set(seen)) == MESSAGES
    before = only(store)
    world.send(recorder.recorded[-1])
    assert only(store) == before  # a copy writes nothing
    world.decide(Decision.APPROVED)
    issued(recorder.poll())
    (record,) = store.certificates()
    assert len(record.message_hashes) == MESSAGES and not set(record.message_hashes) <= set(seen)
    ended(world, "forgotten")
    assert recorder.copy() == StillPending()
    world.decide(Decision.APPROVED)
    refused(recorder.poll(), text=REPEATED)  # the first message is never let go of


def test_what_another_server_key_has_sealed_is_in_nobody_s_way(store: Store) -> None:
    recorder = kem_recorder(store)
    assert recorder.request() == CHALLENGED
    waiting = only(store)
    store.replace(waiting, replace(waiting, sealed_request=bytes(100)))
    refused(recorder.poll(), text="key was replaced")
    failed = only(store)
    assert (failed.state, failed.sealed_request) == (State.FAILED, b"")
    store.replace(failed, replace(failed, sealed_request=bytes(100), decision=Decision.REJECTED))
    refused(recorder.poll(), text="key was replaced")
    assert recorder.request() == CHALLENGED
    issued(recorder.poll())


# Requests that an operator has rejected


@pytest.mark.parametrize("at_the_end", [False, True])
def test_no_copy_of_a_rejected_request_queues_it_again(store: Store, at_the_end: bool) -> None:
    """Neither of the message that began it nor of its retry, which may be what was told first."""
    world = World("rsa:2048", store=store, policy=ALL_METHODS)
    recorder = Recorder(world.device())
    assert recorder.request() == StillPending()
    if not at_the_end:
        assert recorder.request() == StillPending()
    world.decide(Decision.REJECTED, "not this one")
    refused(recorder.request() if at_the_end else recorder.poll(), text="not this one")
    for message in recorder.recorded:
        assert reply_of(world, message).fail_info_text == "not this one"
    assert only(store).state is State.FAILED
    assert recorder.request() == StillPending()  # the client itself may ask again


def test_a_copy_of_a_request_that_failed_otherwise_is_decided_anew(store: Store) -> None:
    """strongSwan sends the same octets again, and so do proxies."""
    recorder = kem_recorder(store)
    assert recorder.request() == CHALLENGED
    refused(recorder.wrong(), FailInfo.badMessageCheck)
    assert recorder.copy() == CHALLENGED
    issued(recorder.poll())


# Requests that have led to a certificate


def ended(world: World, end: str) -> None:
    """The latest certificate is revoked, or everything is forgotten that can be."""
    if end == "revoked":
        record = world.store.certificates()[0]
        world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
        return
    world.tick(timedelta(days=8))
    world.store.purge(world.now)
    assert not world.store.transactions()


def nothing_more(recorder: Recorder) -> None:
    before = len(recorder.world.store.certificates())
    for message in recorder.recorded:
        assert reply_of(recorder.world, message).fail_info_text == REPEATED
    assert len(recorder.world.store.certificates()) == before


ENDS = pytest.mark.parametrize("end", ["forgotten", "revoked"])


@ENDS
def test_recorded_retries_under_a_reusable_password_bring_nothing_later(store: Store, end: str) -> None:
    world = World("rsa:2048", store=store)
    recorder = Recorder(world.device(password=world.password(one_time=False, ttl=None)))
    first = issued(recorder.request())
    for _ in range(2):
        assert issued(recorder.request()).certificate == first.certificate
    assert len(store.certificates()) == 1
    ended(world, end)
    nothing_more(recorder)
    issued(recorder.request())  # who has the key may ask again


@ENDS
def test_recorded_retries_of_a_renewal_bring_nothing_later(store: Store, end: str) -> None:
    world = World("rsa:2048", store=store)
    device = world.device(password=world.password())
    recorder = Recorder(device.renewal(issued(device.enrol())))
    first = issued(recorder.request())
    assert issued(recorder.request()).certificate == first.certificate
    ended(world, end)
    nothing_more(recorder)
    issued(recorder.request())


@ENDS
def test_retries_while_it_waited_bring_nothing_later(store: Store, end: str) -> None:
    webhook = Scripted("pending", "approve", *["approve"] * 9)
    world = World("rsa:2048", store=store, policy=AuthorisationPolicy(), webhook=webhook)
    recorder = Recorder(world.device())
    assert recorder.request() == StillPending()
    assert recorder.request() == StillPending()
    world.tick(timedelta(minutes=30))
    issued(recorder.device.poll())
    ended(world, end)
    nothing_more(recorder)


@ENDS
def test_a_retry_that_brought_the_certificate_brings_nothing_later(store: Store, end: str) -> None:
    webhook = Scripted("pending", "approve", *["approve"] * 9)
    world = World("rsa:2048", store=store, policy=AuthorisationPolicy(), webhook=webhook)
    recorder = Recorder(world.device())
    assert recorder.request() == StillPending()
    world.tick(timedelta(minutes=30))
    issued(recorder.request())
    ended(world, end)
    nothing_more(recorder)


@ENDS
def test_what_failed_before_brings_nothing_after_what_succeeded(store: Store, end: str) -> None:
    webhook = Scripted("pending", "reject: not yet", *["approve"] * 9)
    world = World("rsa:2048", store=store, policy=AuthorisationPolicy(), webhook=webhook)
    recorder = Recorder(world.device())
    assert recorder.request() == StillPending()
    world.tick(timedelta(minutes=30))
    refused(recorder.request(), text="not yet")
    issued(recorder.request())
    ended(world, end)
    nothing_more(recorder)


def test_retries_before_the_certificate_counted_bring_nothing_later(store: Store) -> None:
    method = Reporting()
    world = World(current=authority("rsa:2048"), store=store)
    world.responder._enrolments = replace(world.responder._enrolments, authoriser=Authoriser([method]))
    recorder = Recorder(world.device())
    for _ in range(2):
        assert recorder.request() == StillPending()
    method.reachable = True
    issued(recorder.device.poll())
    ended(world, "forgotten")
    nothing_more(recorder)


def test_a_certificate_is_repeated_to_so_many_messages(store: Store) -> None:
    world = World("rsa:2048", store=store)
    recorder = Recorder(world.device(password=world.password(one_time=False)))
    for _ in range(MESSAGES):
        issued(recorder.request())
    refused(recorder.request(), text=TOO_OFTEN)
    refused(recorder.request(), text=TOO_OFTEN)
    issued(recorder.copy())
    issued(recorder.poll())


def test_a_copy_that_gets_the_certificate_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("rsa:2048", store=store)
    recorder = Recorder(world.device(password=world.password(one_time=False)))
    issued(recorder.request())
    issued(recorder.request())
    for method in ("add_message", "replace", "create", "issue"):
        monkeypatch.setattr(store, method, None)
    for message in recorder.recorded:
        assert reply_of(world, message).pki_status is PkiStatus.SUCCESS


def test_an_identical_request_signed_with_the_certificate_renews_it(store: Store) -> None:
    """certmonger, twice, with lost answers."""
    world = World("rsa:2048", store=store)
    device = world.device(password=world.password(one_time=False))
    recorder = Recorder(device)
    found = issued(recorder.request())
    issued(recorder.request())
    for number in range(2, 4):
        signer = Signer(key("rsa:2048", "device"), Certificate.decode(found.certificate))
        recorder = Recorder(world.device(request=device.request.der, signer=signer))
        found = issued(recorder.request())
        assert issued(recorder.request()).certificate == found.certificate  # the answer was lost
        assert len(store.certificates()) == number


def test_a_proof_made_anew_vouches_for_a_recorded_message(store: Store) -> None:
    """Where possession is proven, the certificate remembers no message."""
    recorder = kem_recorder(store)
    first, _ = recorder.request(), issued(recorder.poll())
    assert first == CHALLENGED
    issued(recorder.request())
    (record,) = store.certificates()
    assert record.message_hashes == ()
    ended(recorder.world, "forgotten")
    assert recorder.copy() == CHALLENGED
    issued(recorder.poll())


def test_a_copy_from_an_earlier_kem_renewal_leaves_the_challenge_alone(store: Store) -> None:
    world = kem_world(store=store)
    old = kem_device(world, password=world.password())
    assert old.enrol() == CHALLENGED
    recorder = Recorder(renewing(world, issued(old.poll())))
    assert recorder.request() == CHALLENGED
    refused(confirm_with(recorder.device, flipped(confirmation(recorder.device), -1)), FailInfo.badMessageCheck)
    copies = recorder.recorded[:]
    assert recorder.request() == CHALLENGED
    for copy in copies:
        assert reply_of(world, copy).attribute(KEM_POP_CHALLENGE) is None
    issued(recorder.poll())
