"""Messages of the proof of possession with any octet changed: never a certificate, and only documented errors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import encoder

from kem.errors import KemError
from pkix.errors import Malformed, PkixError
from scep.attributes import KEM_POP_CHALLENGE, PkiStatus
from scep.client import StillPending
from scep.messages import PkiMessage
from tests.scep.kem_kit import (
    CHALLENGED,
    challenge_parts,
    confirm_with,
    confirmation,
    kem_world,
    resigned,
)
from tests.scep.seen import Seen
from tests.world import kem_device

PROPERTY = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
OCTETS = st.tuples(st.integers(min_value=0), st.integers(min_value=1, max_value=255))


def mutated(message: bytes, at: int, mask: int) -> bytes:
    """One octet changed."""
    found = bytearray(message)
    found[at % len(found)] ^= mask
    return bytes(found)


class Fixed:
    """A challenged transaction that can be put back to where it was."""

    def __init__(self) -> None:
        self.world = kem_world()
        self.device = kem_device(self.world, password=self.world.password())
        self.request = self.device.start()
        self.body = self.world.send(self.request).body
        self.nonce = self.device.enrolment._sender_nonce
        assert self.device.enrolment.receive(self.body) == CHALLENGED
        self.confirm = confirmation(self.device)
        self.poll = self.device.enrolment.poll(now=self.world.now)
        store = vars(self.world.store)
        self._kept = {name: dict(value) for name, value in store.items() if isinstance(value, dict)}

    def reset(self) -> None:
        """As after the challenge."""
        for name, value in self._kept.items():
            setattr(self.world.store, name, dict(value))
        self.device.enrolment._sender_nonce = self.nonce
        self.device.enrolment._confirm = None

    def receive(self, body: bytes) -> object:
        """The client's answer to a CertRep, or the documented error."""
        try:
            return self.device.enrolment.receive(body)
        except (PkixError, KemError) as error:
            return error


@pytest.fixture(scope="module")
def fixed() -> Fixed:
    return Fixed()


@PROPERTY
@given(change=OCTETS)
def test_a_pending_with_another_octet_confirms_nothing(fixed: Fixed, change: tuple[int, int]) -> None:
    """Only octets that nothing depends on, such as an unused certificate, may differ; then the MAC does."""
    fixed.reset()
    answer = fixed.receive(mutated(fixed.body, *change))
    if isinstance(answer, StillPending):
        assert answer == CHALLENGED
        fixed.device.poll()
    else:
        assert isinstance(answer, PkixError | KemError)
        assert fixed.device.enrolment._confirm is None
    assert not fixed.world.store.certificates()


@PROPERTY
@given(change=OCTETS)
def test_a_cert_poll_with_another_octet_brings_no_certificate(fixed: Fixed, change: tuple[int, int]) -> None:
    """An octet that no signature covers (the certificates' own signatures, an unused one) may change; nothing else."""
    fixed.reset()
    message = mutated(fixed.poll, *change)
    try:
        reply = fixed.world.send(message)
    except Malformed:
        return
    status = PkiMessage.decode(reply.body).pki_status
    if status is PkiStatus.SUCCESS:
        assert same_signed_part(message, fixed.poll)
    else:
        assert status is PkiStatus.FAILURE
        assert not fixed.world.store.certificates()


def same_signed_part(message: bytes, original: bytes) -> bool:
    """Whether the octets that the signature covers are in the message unchanged, the content by its digest."""
    attributes = encoder.encode(Seen(original).signer_info["signedAttrs"])
    return attributes in message


@PROPERTY
@given(change=OCTETS)
def test_a_signed_confirmation_with_another_octet_brings_no_certificate(fixed: Fixed, change: tuple[int, int]) -> None:
    fixed.reset()
    tampered = mutated(fixed.confirm, *change)
    try:
        answer = confirm_with(fixed.device, tampered)
    except Malformed:
        return  # the message itself cannot be written or read
    assert type(answer).__name__ == "Refused"
    assert not fixed.world.store.certificates()


@PROPERTY
@given(size=st.integers(min_value=0, max_value=2000))
def test_a_cut_confirmation_brings_no_certificate(fixed: Fixed, size: int) -> None:
    fixed.reset()
    cut = fixed.confirm[: size % len(fixed.confirm)]
    if not cut:
        return
    answer = None
    with contextlib.suppress(Malformed):
        answer = confirm_with(fixed.device, cut)
    assert answer is None or type(answer).__name__ == "Refused"
    assert not fixed.world.store.certificates()


@PROPERTY
@given(change=OCTETS)
def test_a_signed_challenge_with_another_octet_brings_no_certificate(fixed: Fixed, change: tuple[int, int]) -> None:
    """The CA itself signed it, so the client goes as far as it can; the CA knows the difference."""
    fixed.reset()
    der = challenge_parts(fixed.body).der()
    try:
        body = resigned(fixed.world, fixed.body, {KEM_POP_CHALLENGE: mutated(der, *change)})
    except ValueError:
        return
    answer = fixed.receive(body)
    if answer == CHALLENGED:
        fixed.device.poll()
    else:
        assert isinstance(answer, PkixError | KemError)
    assert not fixed.world.store.certificates()


@PROPERTY
@given(change=OCTETS)
def test_a_request_with_another_octet_brings_no_certificate(fixed: Fixed, change: tuple[int, int]) -> None:
    fixed.reset()
    try:
        reply = fixed.world.send(mutated(fixed.request, *change))
    except Malformed:
        return
    assert PkiMessage.decode(reply.body).pki_status is not PkiStatus.SUCCESS
    assert not fixed.world.store.certificates()


@PROPERTY
@given(octets=st.binary(max_size=60))
def test_any_octets_as_a_confirmation_bring_no_certificate(fixed: Fixed, octets: bytes) -> None:
    fixed.reset()
    value = b"\x04" + bytes((len(octets),)) + octets
    answer = confirm_with(fixed.device, value)
    assert type(answer).__name__ == "Refused"
    assert not fixed.world.store.certificates()


def test_the_world_of_these_tests_does_issue_for_what_is_not_changed(fixed: Fixed) -> None:
    fixed.reset()
    assert PkiMessage.decode(fixed.world.send(fixed.poll).body).pki_status is PkiStatus.SUCCESS
    fixed.reset()
