"""Section 4: what the CA's log shows of a proof of possession beside the client's trace, and what it must not show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

import scep.client
from ca.methods import AuthorisationPolicy
from kem.exchange import POP_SHA256, POP_SHA512
from pkix.asn1 import decode, encode
from scep.kem_pop import Binding, KemPopMacInput, ScepKemContext, comparison, mac_input
from scep.proof import StoredChallenge
from scep.settings import KemPolicy
from scep_kem.trace import describe_proof
from tests.scep import craft
from tests.scep.kem_kit import CHALLENGED, confirm_parts, confirmation, flipped, issued, kem_world, renewing
from tests.world import Device, World, kem_device

SECRET = "guess me"
HASHES = ("clientNonce", "caNonce", "requestHash", "caSignerHash", "ciphertextHash 1", "certRepHash", "capsHash")


def log_of(world: World, device: Device) -> dict[str, str]:
    """What the CA logs of the confirmation, of what there is to compare."""
    (event,) = world.send(device.enrolment.poll(now=world.now)).events
    return {name: value for name, value in event.details.items() if name in trace_of(device)}


def trace_of(device: Device) -> Mapping[str, str]:
    """What the client shows."""
    proof = device.enrolment.proof
    assert proof is not None
    return proof.compared


def differing(world: World, device: Device) -> set[str]:
    """The names whose values differ between the CA's log and the client's trace."""
    log, trace = log_of(world, device), trace_of(device)
    assert log.keys() == trace.keys()
    return {name for name, value in trace.items() if log[name] != value}


def asked(world: World) -> tuple[Device, bytes]:
    """A device that has sent its request, and the challenge."""
    device = kem_device(world, password=world.password(SECRET))
    return device, world.send(device.start()).body


@pytest.mark.parametrize("parameters", [POP_SHA256, POP_SHA512])
def test_of_a_right_proof_both_sides_show_the_same(parameters: object) -> None:
    world = kem_world(kem=KemPolicy(parameters=parameters))  # type: ignore[arg-type]
    device, body = asked(world)
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == set()


def test_a_wrong_kdf_shows_in_the_derived_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device, body = asked(world)
    right = scep.client.respond
    monkeypatch.setattr(scep.client, "respond", lambda *keys, **more: hashlib.sha256(right(*keys, **more)).digest())
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == {"derived key"}


CHANGES: dict[str, Callable[[Binding], Binding]] = {
    "clientNonce": lambda found: replace(found, client_nonce=flipped(found.client_nonce)),
    "caNonce": lambda found: replace(found, ca_nonce=flipped(found.ca_nonce)),
    "requestHash": lambda found: replace(found, request_hash=flipped(found.request_hash)),
    "csrHash": lambda found: replace(found, csr=b"another request"),
    "caSignerHash": lambda found: replace(found, ca_signer=b"another certificate"),
}


@pytest.mark.parametrize("member", CHANGES)
def test_a_wrong_member_of_the_context_shows_in_it_and_in_the_derived_key(
    member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = kem_world()
    device, body = asked(world)
    right = Binding.context
    monkeypatch.setattr(Binding, "context", lambda self, sent: right(CHANGES[member](self), sent))
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == {"derived key", member}


def test_a_wrong_ciphertext_hash_shows_in_it_and_in_the_derived_key(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device, body = asked(world)
    right = Binding.context
    monkeypatch.setattr(Binding, "context", lambda self, sent: right(self, [b"another", *sent[1:]]))
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == {"derived key", "ciphertextHash 1"}


def test_a_context_with_a_member_too_many_shows_in_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device, body = asked(world)
    right = Binding.context
    monkeypatch.setattr(Binding, "context", lambda self, sent: right(self, [*sent, b"more"]))
    assert device.enrolment.receive(body) == CHALLENGED
    log, trace = log_of(world, device), trace_of(device)
    assert log["octets of the context"] != trace["octets of the context"]


def test_a_wrong_mac_shows_in_nothing() -> None:
    world = kem_world()
    device, body = asked(world)
    assert device.enrolment.receive(body) == CHALLENGED
    tree = confirm_parts(confirmation(device))
    tree[-1].content = flipped(tree[-1].content)
    device.enrolment._confirm = tree.der()
    assert differing(world, device) == set()


def test_a_wrong_mac_input_shows_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device, body = asked(world)
    label = "scep-kem-pop server confirm"
    monkeypatch.setattr(
        scep.client,
        "mac_input",
        lambda cert_rep, caps: encode(KemPopMacInput(label=label, cert_rep_hash=cert_rep, caps_hash=caps)),
    )
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == {"MAC input"}


def test_a_wrong_hash_of_the_cert_rep_shows_in_it_and_in_the_mac_input(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device, body = asked(world)
    monkeypatch.setattr(scep.client, "mac_input", lambda cert_rep, caps: mac_input(flipped(cert_rep), caps))
    assert device.enrolment.receive(body) == CHALLENGED
    assert differing(world, device) == {"MAC input", "certRepHash"}


def test_in_a_renewal_both_ciphertexts_are_compared() -> None:
    world = kem_world()
    first, body = asked(world)
    assert first.enrolment.receive(body) == CHALLENGED
    device = renewing(world, issued(first.poll()))
    assert device.enrolment.receive(world.send(device.start()).body) == CHALLENGED
    assert {"ciphertextHash 1", "ciphertextHash 2"} <= log_of(world, device).keys()


def test_what_is_shown_tests_no_guess_of_the_password() -> None:
    """All of the PKCS #10 request but the password can be known. Of its hash there are two octets, and of nothing that
    the password goes into is there more, but under a key that nobody else has.
    """
    world = kem_world()
    device, body = asked(world)
    assert device.enrolment.receive(body) == CHALLENGED
    proof = device.enrolment.proof
    assert proof is not None
    log = log_of(world, device)
    csr_hash = hashlib.sha256(device.request.der).hexdigest()
    assert log["csrHash"] == csr_hash[:4]
    assert all(len(log[name]) == 16 for name in (*HASHES, "derived key", "MAC input"))
    shown = " ".join([*log.values(), *describe_proof(proof)])
    assert csr_hash[:6] not in shown
    context_hashes = {hashlib.new(name, proof.context).hexdigest()[:6] for name in ("sha256", "sha512")}
    assert not [found for found in context_hashes if found in shown]
    members = decode(ScepKemContext, proof.context, "context")
    assert members.csr_hash.hex() == csr_hash and csr_hash not in proof.mac_input.hex()


@pytest.mark.parametrize(("one_time", "shown"), [(True, 4), (False, None)])
def test_of_a_password_that_may_serve_again_not_even_two_octets(one_time: bool, shown: int | None) -> None:
    """Two octets of each request with it would be many at last."""
    world = kem_world()
    device = kem_device(world, password=world.password(SECRET, one_time=one_time))
    assert device.enrolment.receive(world.send(device.start()).body) == CHALLENGED
    log = log_of(world, device)
    assert log["csrHash"] == (hashlib.sha256(device.request.der).hexdigest()[:shown] if shown else "withheld")
    assert log.keys() == trace_of(device).keys()


def test_nor_of_one_that_somebody_else_judges() -> None:
    """A password that we do not know may serve as often as its judge likes. Without one there is nothing to guess."""
    for password, withheld in (("anything", True), (None, False)):
        world = kem_world(policy=AuthorisationPolicy(), webhook=craft.Scripted("approve", "approve"))
        device = kem_device(world, password=password)
        assert device.enrolment.receive(world.send(device.start()).body) == CHALLENGED
        assert (log_of(world, device)["csrHash"] == "withheld") == withheld


def test_a_challenge_that_an_earlier_version_has_kept_is_still_checked() -> None:
    earlier = b"\x30\x66" + b"".join(b"\x04\x20" + octet * 32 for octet in (b"k", b"r", b"c"))
    found = decode(StoredChallenge, earlier, "stored challenge")
    assert (found.derived_key, found.caps_hash, found.context) == (b"k" * 32, b"c" * 32, None)
    assert "clientNonce" not in comparison(found.derived_key, found.context, mac_input(found.cert_rep_hash, None))


def test_the_trace_shows_what_is_compared() -> None:
    world = kem_world()
    device, body = asked(world)
    assert device.enrolment.receive(body) == CHALLENGED
    proof = device.enrolment.proof
    assert proof is not None
    lines = [line.split() for line in describe_proof(proof)]
    for name, value in proof.compared.items():
        assert [*name.split(), value] in lines
