"""What a KEM proof of possession is bound to, and everything that makes one wrong (KEM-POP section 4)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc9810

from ca.store import State
from kem.backends import Backends
from kem.exchange import POP_SHA256, POP_SHA512
from scep.attributes import FailInfo
from scep.client import KemKey, Refused
from scep.kem_pop import Binding
from scep.settings import KemPolicy
from tests.pkix import second_opinion
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.scep import craft
from tests.scep.kem_kit import (
    CHALLENGED,
    SUBJECT,
    UNKNOWN,
    WRONG_PROOF,
    Counting,
    challenge_parts,
    challenged,
    ciphertexts,
    confirm_parts,
    confirm_with,
    confirmation,
    flipped,
    issued,
    kem_world,
    kept_secret,
    only,
    pending,
    refused,
    renewing,
    resigned,
    secrets,
    spki,
    state,
    unsigned,
    with_request,
)
from tests.scep.seen import Seen
from tests.world import World, kem_device, kem_key

SHA = {"sha256": POP_SHA256, "sha512": POP_SHA512}
MAC_OID = {"sha256": "1.2.840.113549.2.9", "sha512": "1.2.840.113549.2.11"}
HKDF_OID = {"sha256": "1.2.840.113549.1.9.16.3.28", "sha512": "1.2.840.113549.1.9.16.3.30"}


def refuse_proof(world: World, answer: object) -> None:
    """Assert the one error with the one text that every wrong proof has, and that nothing is left of it."""
    assert refused(answer, FailInfo.badMessageCheck) == WRONG_PROOF
    assert state(world) is State.FAILED
    assert not secrets(world)
    assert not world.store.certificates()


# The proof, computed by other means from the octets on the wire


def hkdf(digest: str, secret: bytes, length: int, info: bytes) -> bytes:
    """RFC 5869 with an absent salt, for at most two blocks."""
    size = hashlib.new(digest).digest_size
    prk = hmac.digest(b"\x00" * size, secret, digest)
    first = hmac.digest(prk, info + b"\x01", digest)
    return (first + hmac.digest(prk, first + info + b"\x02", digest))[:length]


def recomputed(
    digest: str, seeds: list[bytes], request: bytes, csr: bytes, signer: bytes, body: bytes, capabilities: bytes | None
) -> bytes:
    """kemPopConfirm's DER from the messages on the wire and the private seeds, with hashlib, hmac and TLVs alone."""

    def h(data: bytes) -> bytes:
        return hashlib.new(digest, data).digest()

    asked, answered = Seen(request), Seen(body)
    sent = ciphertexts(body)
    context = tlv(
        0x30,
        integer(1),
        tlv(0x04, asked.sender_nonce or b""),
        tlv(0x04, answered.sender_nonce or b""),
        *(tlv(0x04, h(octets)) for octets in (request, csr, signer)),
        tlv(0x30, *(tlv(0x04, h(octets)) for octets in sent)),
    )
    transaction_id = asked.transaction_id.encode()
    info = tlv(0x30, tlv(0x30, tlv(0x0C, b"SCEP-KEM")), tlv(0x04, transaction_id), explicit(0, tlv(0x04, context)))
    shared = [
        MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(octets) for seed, octets in zip(seeds, sent, strict=True)
    ]
    size = hashlib.new(digest).digest_size
    derived_key = hkdf(digest, b"".join(shared), size, info)
    caps = b"" if capabilities is None else tlv(0x80, h(capabilities))
    label = tlv(0x0C, b"scep-kem-pop client confirm")
    mac = hmac.digest(derived_key, tlv(0x30, label, tlv(0x04, h(body)), caps), digest)
    return tlv(0x30, integer(1), caps, tlv(0x04, mac))


def seed_of(label: str) -> bytes:
    """The private seed of a test's KEM key."""
    seed = kem_key("ML-KEM-768", label)[0].seed
    assert seed is not None
    return seed


@pytest.mark.parametrize("digest", SHA)
@pytest.mark.parametrize("capabilities", [True, False])
def test_context_key_and_mac_are_those_of_the_design(digest: str, capabilities: bool) -> None:
    world = kem_world(ra_key_type="ec:P-384", kem=KemPolicy(parameters=SHA[digest]))
    device = kem_device(world, password=world.password(), capabilities=capabilities)
    request = device.start()
    body = world.send(request).body
    assert device.enrolment.receive(body) == CHALLENGED
    caps = world.responder.get_ca_caps() if capabilities else None
    signer = world.authority.signer.certificate.der
    mine = recomputed(digest, [seed_of("kem device")], request, device.request.der, signer, body, caps)
    assert mine == confirmation(device)
    issued(confirm_with(device, mine))


def test_a_renewal_s_key_is_made_of_both_secrets_new_key_first() -> None:
    world = kem_world()
    device = renewing(world, issued(challenged(world).poll()))
    request = device.start()
    body = world.send(request).body
    assert device.enrolment.receive(body) == CHALLENGED
    seeds = [seed_of("renewed"), seed_of("kem device")]
    signer, caps = world.authority.signer.certificate.der, world.responder.get_ca_caps()
    assert recomputed("sha256", seeds, request, device.request.der, signer, body, caps) == confirmation(device)


@pytest.mark.parametrize("digest", SHA)
def test_the_challenge_is_rfc_9810_s_structures(digest: str) -> None:
    world = kem_world(kem=KemPolicy(parameters=SHA[digest]))
    body = pending(kem_device(world, password=world.password()))
    version, infos, parameters, expires = challenge_parts(body)
    assert version.content == b"\x01"
    (info,) = (second_opinion.exactly(item.der(), rfc9810.KemCiphertextInfo()) for item in infos)
    assert str(info["kem"]["algorithm"]) == "2.16.840.1.101.3.4.4.2"
    assert not info["kem"]["parameters"].isValue
    assert len(info["ct"]) == 1088
    found = second_opinion.exactly(parameters.der(), rfc9810.KemBMParameter())
    assert not found["kemContext"].isValue
    assert int(found["len"]) == hashlib.new(digest).digest_size
    assert str(found["mac"]["algorithm"]) == MAC_OID[digest]
    assert str(found["kdf"]["algorithm"]) == HKDF_OID[digest]
    assert not found["kdf"]["parameters"].isValue
    assert expires.der() == tlv(0x18, b"20261121121000Z")


def test_the_kdf_s_info_is_rfc_9810_s_kem_other_info() -> None:
    info = tlv(0x30, tlv(0x30, tlv(0x0C, b"SCEP-KEM")), tlv(0x04, b"id"), explicit(0, tlv(0x04, b"context")))
    found, rest = decode(info, asn1Spec=rfc9810.KemOtherInfo())
    assert not rest
    assert [str(item) for item in found["staticString"]] == ["SCEP-KEM"]
    assert (bytes(found["transactionID"]), bytes(found["kemContext"])) == (b"id", b"context")


def test_pending_carries_no_envelope_and_a_nonce_of_16_octets() -> None:
    world = kem_world()
    found = Seen(pending(kem_device(world, password=world.password())))
    assert (found.status, found.content) == ("3", b"")
    assert len(found.sender_nonce or b"") == 16


# Relayed, replayed and re-signed


def test_the_owner_s_answer_to_a_relayed_ciphertext_is_no_proof_for_another_subject() -> None:
    """Mallory asks for the device's key under a name of her own, and has the device decapsulate for her."""
    world = kem_world()
    mallory = with_request(
        world,
        unsigned(subject="CN=mallory", challenge_password=world.password()),
        transaction_id="m",
        label="kem device",
        signer=craft.self_made("ec:P-256", "CN=mallory", "mallory"),
    )
    body = world.send(mallory.start()).body
    device = kem_device(world, password=world.password("of the device"), transaction_id="m")
    device.start()
    answered = resigned(world, body, {craft.scep.RECIPIENT_NONCE: tlv(0x04, device.enrolment._sender_nonce or b"")})
    assert device.enrolment.receive(answered) == CHALLENGED
    refuse_proof(world, confirm_with(mallory, confirmation(device)))


CHANGES: dict[str, Callable[[Binding], Binding]] = {
    "client nonce": lambda found: replace(found, client_nonce=flipped(found.client_nonce)),
    "CA nonce": lambda found: replace(found, ca_nonce=flipped(found.ca_nonce)),
    "request": lambda found: replace(found, request_hash=flipped(found.request_hash)),
    "CSR": lambda found: replace(found, csr=unsigned(subject="CN=somebody else")),
    "CA signer": lambda found: replace(found, ca_signer=b"another certificate"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_part_of_the_context_is_bound(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    body = world.send(device.start()).body
    original = Binding.context
    monkeypatch.setattr(Binding, "context", lambda self, sent: original(CHANGES[what](self), sent))
    assert device.enrolment.receive(body) == CHALLENGED
    refuse_proof(world, device.poll())


def test_each_part_of_the_context_is_in_its_octets() -> None:
    binding = Binding(b"\x01" * 16, b"\x02" * 16, b"\x03" * 32, b"csr", b"signer", POP_SHA256)
    plain = binding.context([b"ciphertext"])
    found = {change(binding).context([b"ciphertext"]) for change in CHANGES.values()}
    found |= {plain, binding.context([b"ciphertexu"]), binding.context([b"ciphertext", b""])}
    assert len(found) == len(CHANGES) + 3


def test_the_ciphertexts_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    body = world.send(device.start()).body
    original = Binding.context
    monkeypatch.setattr(Binding, "context", lambda self, sent: original(self, [b"", *sent]))
    assert device.enrolment.receive(body) == CHALLENGED
    refuse_proof(world, device.poll())


def test_the_transaction_id_is_bound() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    body = world.send(device.start()).body
    device.enrolment.transaction_id = "another"
    changes = {craft.scep.TRANSACTION_ID: craft.printable("another")}
    assert device.enrolment.receive(resigned(world, body, changes)) == CHALLENGED
    device.enrolment.transaction_id = "transaction-1"
    refuse_proof(world, device.poll())


def test_the_cert_rep_is_bound() -> None:
    """Any other CertRep, though signed by the CA with the same ciphertext and nonce, gives another MAC."""
    world = kem_world()
    device = kem_device(world, password=world.password())
    body = world.send(device.start()).body
    other = resigned(world, body, {craft.scep.FAIL_INFO_TEXT: tlv(0x0C, b"wait")})
    assert device.enrolment.receive(other) == CHALLENGED
    refuse_proof(world, device.poll())


@pytest.mark.parametrize("one_time", [True, False])
def test_a_request_signed_again_by_another_key_gets_a_challenge_of_its_own(one_time: bool) -> None:
    """The CSR proves nothing of itself: whoever sees it can send it, but not answer for it, nor keep its password."""
    world = kem_world()
    password = world.password(one_time=one_time)
    device = challenged(world, password=password)
    thief = with_request(
        world, device.request.der, signer=craft.self_made("ec:P-256", SUBJECT, "thief"), transaction_id="transaction-1"
    )
    pending(thief)
    refused(confirm_with(thief, confirmation(device)), FailInfo.badMessageCheck, WRONG_PROOF)
    assert len(world.store.transactions(State.FAILED)) == 1
    issued(device.poll())


@pytest.mark.parametrize("confirming", [True, False])
def test_a_cert_poll_of_another_signer_never_touches_the_transaction(confirming: bool) -> None:
    world = kem_world()
    device = challenged(world)
    before = only(world.store), dict(secrets(world))
    stranger = with_request(world, device.request.der, signer=craft.self_made("ec:P-256", SUBJECT, "stranger"))
    confirm = confirmation(device) if confirming else None
    refused(confirm_with(stranger, confirm), text=UNKNOWN)
    assert (only(world.store), secrets(world)) == before
    issued(device.poll())


def test_a_confirmation_of_another_transaction_is_wrong() -> None:
    world = kem_world()
    password = world.password(one_time=False)
    first = challenged(world, password=password, transaction_id="first")
    second = challenged(world, password=password, transaction_id="second")
    refused(confirm_with(second, confirmation(first)), FailInfo.badMessageCheck, WRONG_PROOF)
    issued(first.poll())


def test_a_replayed_confirmation_brings_no_second_certificate() -> None:
    world = kem_world()
    device = challenged(world)
    poll = device.enrolment.poll(now=world.now)
    first = issued(device.enrolment.receive(world.send(poll).body))
    again = Seen(world.send(poll).body).content
    (record,) = world.store.certificates()
    assert record.der == first.certificate
    # Only the KEM key opens it.
    assert again is not None and [info.tag for info in Node.parse(again)[1][0][1]] == [0xA4]


def test_the_confirmation_of_a_failed_attempt_does_not_serve_the_next_one() -> None:
    world = kem_world()
    device = challenged(world)
    good = confirmation(device)
    refuse_proof(world, confirm_with(device, with_mac(good, flipped)))
    assert device.enrol() == CHALLENGED
    refuse_proof(world, confirm_with(device, good))


def with_mac(confirm: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A confirmation with another MAC."""
    tree = confirm_parts(confirm)
    tree[-1].content = change(tree[-1].content)
    return tree.der()


@pytest.mark.parametrize(
    "change",
    [
        flipped,
        lambda mac: flipped(mac, -1),
        lambda mac: mac[:-1],
        lambda mac: b"",
        lambda mac: mac + b"\0",
        lambda mac: mac[:16],
    ],
)
def test_every_other_mac_is_wrong(change: Callable[[bytes], bytes]) -> None:
    world = kem_world()
    device = challenged(world)
    refuse_proof(world, confirm_with(device, with_mac(confirmation(device), change)))


# Keys and ciphertexts


def test_the_wrong_private_key_shows_only_as_a_wrong_mac() -> None:
    """Decapsulation does not fail (implicit rejection, FIPS 203 section 6.3)."""
    world = kem_world()
    wrong = KemKey(kem_key("ML-KEM-768", "another")[0], spki())
    device = with_request(world, unsigned(challenge_password=world.password()), kem=wrong)
    pending(device)
    refuse_proof(world, device.poll())


@pytest.mark.parametrize("at", [0, 500, 960, 1087])
def test_a_flipped_bit_in_the_ciphertext_shows_only_as_a_wrong_mac(at: int) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    body = world.send(device.start()).body
    assert device.enrolment.receive(with_ciphertext(world, body, lambda octets: flipped(octets, at))) == CHALLENGED
    refuse_proof(world, device.poll())


def with_ciphertext(world: World, body: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A CertRep of a CA whose ciphertext is another."""
    tree = challenge_parts(body)
    tree[1][0][1].content = change(tree[1][0][1].content)
    return resigned(world, body, {craft.scep.KEM_POP_CHALLENGE: tree.der()})


def test_one_encapsulation_per_challenge_and_none_before_the_checks() -> None:
    world, backend = counting_world()
    refused(kem_device(world, password="unknown").enrol(), text="challengePassword is not valid")
    assert backend.encapsulations == 0
    device = kem_device(world, password=world.password())
    bodies = [pending(device) for _ in range(5)]
    assert backend.encapsulations == 5
    assert len({tuple(ciphertexts(body)) for body in bodies}) == 5
    issued(device.poll())
    assert backend.encapsulations == 6  # one more for the certificate's envelope, none of the challenges' again
    assert len({made.shared_secret for made in backend.sent}) == 6


def counting_world(**more: Any) -> tuple[World, Counting]:
    """A CA that counts its encapsulations."""
    backend = Counting()
    world = kem_world(**more)
    backends = Backends((backend,))
    world.responder._backends = backends
    world.responder._prover = replace(world.responder._prover, backends=backends)
    return world, backend


def test_the_shared_secret_is_not_kept() -> None:
    world, backend = counting_world()
    challenged(world)
    assert backend.sent[0].shared_secret not in kept_secret(world)
    assert backend.sent[0].shared_secret.hex() not in repr(world.store.__dict__)


def test_what_is_kept_is_sealed_for_its_own_challenge() -> None:
    world = kem_world()
    device = challenged(world, password=world.password(one_time=False))
    other = challenged(world, password="one-time secret", transaction_id="other", label="other")
    kept = secrets(world)
    (one, two) = kept
    kept[one], kept[two] = kept[two], kept[one]
    for item in (device, other):
        outcome = item.poll()
        assert isinstance(outcome, Refused)
        assert outcome.text is not None
        assert "server's key" in outcome.text
    assert not world.store.certificates()


def test_a_confirmation_that_is_no_confirmation_is_a_bad_request() -> None:
    world = kem_world()
    device = challenged(world)
    good = confirm_parts(confirmation(device))
    good[0].content = b"\x02"
    for octets in (b"\x05\x00", b"\x30\x00", good.der()):
        refused(confirm_with(device, octets), text="kemPopConfirm")
    assert not world.store.certificates()


# Downgrades


def test_capabilities_that_were_never_served_are_a_detected_downgrade() -> None:
    """The MAC is right: the client itself says that it was shown something else."""
    world = kem_world()
    device = kem_device(world, password=world.password())
    device.enrolment._capabilities = b"SCEPStandard\n"
    pending(device)
    refused(device.poll(), FailInfo.badRequest, "downgrade")
    assert (state(world), secrets(world)) == (State.FAILED, {})
    assert not world.store.certificates()


def test_a_downgrade_is_in_the_log() -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    device.enrolment._capabilities = b"SCEPStandard\n"
    pending(device)
    (event,) = world.send(device.enrolment.poll(now=world.now)).events
    assert event.what == "CertPoll FAILURE"
    assert "downgrade" in event.details["text"]


def test_a_client_that_says_nothing_of_capabilities_is_accepted() -> None:
    world = kem_world()
    device = challenged(world, capabilities=False)
    assert len(confirm_parts(confirmation(device))) == 2
    issued(device.poll())


@pytest.mark.parametrize("change", ["removed", "replaced", "added"])
def test_who_cannot_make_the_mac_cannot_change_caps_hash(change: str) -> None:
    world = kem_world()
    device = challenged(world, capabilities=change != "added")
    tree = confirm_parts(confirmation(device))
    served = hashlib.sha256(world.responder.get_ca_caps()).digest()
    if change == "removed":
        del tree[1]
    elif change == "replaced":
        tree[1].content = flipped(tree[1].content)
    else:
        tree.insert(1, Node(0x80, served))
    refuse_proof(world, confirm_with(device, tree.der()))


def test_capabilities_served_when_the_challenge_was_made_are_good() -> None:
    """The configuration changed in between; the body is one that the CA served within the challenge's lifetime."""
    store = kem_world().store
    before, after = kem_world(store=store), kem_world(store=store, kem=KemPolicy(max_challenges=3), seed="after")
    after.responder._prover = replace(after.responder._prover, capabilities=b"other")
    device = challenged(before)
    device.world = after
    issued(device.poll())
