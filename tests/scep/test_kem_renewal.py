"""Renewal by a client whose only keys are KEM keys: two ciphertexts, and no certificate without both proofs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.methods import AuthorisationPolicy
from ca.store import State
from pkix.certificates import Certificate
from pkix.pkcs10 import encode_certification_request
from scep.attributes import FailInfo
from scep.client import Issued, KemKey
from scep.settings import KemPolicy, Pop
from tests.scep.kem_kit import (
    SUBJECT,
    WRONG_PROOF,
    ciphertexts,
    confirm_with,
    enrolled,
    issued,
    kem_world,
    pending,
    refused,
    renewing,
    serial_of,
    signing_certificate,
    spki,
    unsigned,
    with_request,
)
from tests.world import World, authority, kem_device, kem_key, key, name

KEY_COMPROMISE = "keyCompromise"


def renewed_transaction(world: World) -> State:
    """Where the renewal stands."""
    (found,) = (item for item in world.store.transactions() if item.key.transaction_id == "renewal-1")
    return found.state


def test_10_1_a_renewal_in_another_spelling_keeps_the_one_that_was_issued() -> None:
    world = kem_world()
    old = enrolled(world)
    spelled = SUBJECT.swapcase().replace("cn=", "CN=").replace("o=", "O=")
    device = renewing(world, old, subject=spelled)
    pending(device)
    new = Certificate.decode(issued(device.poll()).certificate)
    assert new.subject == name(SUBJECT).public_bytes() != name(spelled).public_bytes()


def unproven(world: World, answer: object) -> None:
    """Assert the one error of a wrong proof, and that there is one certificate, the old one."""
    refused(answer, FailInfo.badMessageCheck, WRONG_PROOF)
    assert renewed_transaction(world) is State.FAILED
    assert len(world.store.certificates()) == 1


def old_key(label: str, certificate: Issued) -> KemKey:
    """A private key said to be that of a certificate."""
    private, _public = kem_key("ML-KEM-768", label)
    decoded = Certificate.decode(certificate.certificate)
    return KemKey(private, decoded.spki, decoded)


@pytest.mark.parametrize("pop", [Pop.challenge, Pop.statement, Pop.implicit, Pop.none])
def test_both_keys_are_proven_whatever_the_policy_says_of_new_requests(pop: Pop) -> None:
    """What authorises is the possession of the old key. The signer is RSA, so that Pop.none has whom to answer."""
    first = kem_world("rsa:2048")
    old = enrolled(first)
    world = kem_world("rsa:2048", store=first.store, kem=KemPolicy(pop=pop), seed="renewal")
    device = renewing(world, old, signer_key="rsa:2048")
    body = pending(device)
    assert len(ciphertexts(body)) == 2
    new = issued(device.poll())
    assert Certificate.decode(new.certificate).spki == spki("renewed")
    assert len(world.store.certificates()) == 2


def test_the_old_certificate_takes_the_place_of_a_password() -> None:
    world = kem_world()
    device = renewing(world, enrolled(world))
    assert device.request.challenge_password is None
    pending(device)
    issued(device.poll())


def test_the_wrong_old_key_is_no_proof() -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old, renewed=old_key("somebody else's", old))
    pending(device)
    unproven(world, device.poll())


def test_the_wrong_new_key_is_no_proof() -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old)
    wrong = KemKey(kem_key("ML-KEM-768", "wrong")[0], spki("renewed"))
    device = kem_device(
        world, label="renewed", transaction_id="renewal-1", renewal=True, renewed=old_key("kem device", old)
    )
    device.enrolment._kem_keys[0] = wrong
    pending(device)
    unproven(world, device.poll())


def test_the_keys_in_the_wrong_order_are_no_proof() -> None:
    world = kem_world()
    device = renewing(world, enrolled(world))
    device.enrolment._kem_keys.reverse()
    pending(device)
    unproven(world, device.poll())


def test_a_revoked_certificate_is_not_renewed() -> None:
    world = kem_world()
    old = enrolled(world)
    world.store.revoke(world.authority.identifier, serial_of(old), reason=KEY_COMPROMISE, now=world.now)
    refused(renewing(world, old).enrol(), text="revoked")


@pytest.mark.parametrize("by_poll", [True, False])
def test_a_certificate_revoked_meanwhile_gets_no_further_challenge(by_poll: bool) -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old)
    pending(device)
    world.store.revoke(world.authority.identifier, serial_of(old), reason=KEY_COMPROMISE, now=world.now)
    refused(confirm_with(device, None) if by_poll else device.enrol(), text="revoked")


def test_a_certificate_revoked_between_challenge_and_confirmation_is_not_renewed() -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old)
    pending(device)
    world.store.revoke(world.authority.identifier, serial_of(old), reason=KEY_COMPROMISE, now=world.now)
    refused(device.poll(), text="revoked")
    assert len(world.store.certificates()) == 1


def test_an_expired_certificate_is_not_renewed() -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old)
    world.tick(timedelta(days=366))
    refused(device.enrol(), text="not valid now")


def test_a_certificate_of_another_subject_is_not_renewed() -> None:
    world = kem_world()
    old = enrolled(world)
    device = renewing(world, old, subject="CN=somebody else")
    refused(device.enrol(), text="the subject differs")
    assert len(world.store.certificates()) == 1


@pytest.mark.parametrize("key_type", ["ec:P-256", "rsa:2048"])
def test_a_stranger_s_kem_certificate_renews_nothing_for_another_kind_of_key(key_type: str) -> None:
    """Without a challenge nothing would be proven: the certificate is public."""
    world = kem_world()
    old = enrolled(world)
    thief = key(key_type, "thief")
    request = encode_certification_request(thief, name(SUBJECT), challenge_password="x" * 20)
    stolen = old_key("kem device", old)
    device = with_request(world, request, signer=None, label="thief", kem=None, renewed=stolen, renewal=True)
    refused(device.enrol(), text="another kind of key")
    assert len(world.store.certificates()) == 1


def test_a_stranger_s_kem_certificate_renews_nothing_for_the_thief_s_own_kem_key() -> None:
    world = kem_world()
    old = enrolled(world)
    thief = renewing(world, old, label="thief", renewed=old_key("thief", old))
    pending(thief)
    unproven(world, thief.poll())


def test_a_kem_certificate_of_another_ca_renews_nothing() -> None:
    elsewhere = kem_world(label="another CA")
    foreign = enrolled(elsewhere)
    world = kem_world()
    refused(renewing(world, foreign).enrol(), text="issued by this CA")
    assert not world.store.certificates()


def test_a_kem_certificate_that_is_not_in_the_store_renews_nothing() -> None:
    """The right issuer's name is not enough: what counts is our record, octet by octet."""
    elsewhere = kem_world()
    foreign = enrolled(elsewhere)
    world = kem_world(seed="an empty store")
    refused(renewing(world, foreign).enrol(), text="issued by this CA")


def test_the_ra_s_own_kem_certificate_renews_nothing() -> None:
    world = kem_world()
    (pair,) = world.authority.ra_kem
    certificate = Certificate.of(pair.certificate)
    device = kem_device(
        world,
        label="thief",
        renewal=True,
        renewed=KemKey(kem_key("ML-KEM-768", "thief")[0], certificate.spki, certificate),
    )
    refused(device.enrol(), text="issued by this CA")


def test_a_renewal_where_renewal_is_off_is_refused() -> None:
    world = kem_world(policy=AuthorisationPolicy(challenge_password=True))
    old = enrolled(world)
    refused(renewing(world, old).enrol(), text="renewal is not enabled")


def test_a_renewal_without_the_old_certificate_is_refused() -> None:
    world = kem_world()
    enrolled(world)
    refused(kem_device(world, label="renewed", renewal=True, transaction_id="r").enrol(), text="issued by this CA")


def test_a_kem_certificate_beside_a_pkcs_req_authorises_nothing() -> None:
    """Only a RenewalReq renews; in a PKCSReq the certificate is a stranger's."""
    world = kem_world()
    old = enrolled(world)
    refused(renewing(world, old, renewal=False).enrol(), text="no challengePassword")


def test_a_kem_certificate_is_renewed_after_a_rollover() -> None:
    """Both generations of the CA have the same name; the old one's certificates renew under the new one."""
    first = kem_world()
    old = enrolled(first)
    current = authority("ec:P-384", None, "CA", ("ML-KEM-768",), False)
    assert current.certificate.subject == first.authority.certificate.subject
    world = World(current=current, previous=(first.authority,), store=first.store)
    device = renewing(world, old)
    pending(device)
    issued(device.poll())


def test_a_signing_certificate_becomes_a_kem_certificate_with_one_ciphertext() -> None:
    world = kem_world()
    signer = signing_certificate(world)
    device = with_request(world, unsigned(), signer=signer, renewal=True)
    assert len(ciphertexts(pending(device))) == 1
    issued(device.poll())


def test_two_kem_certificates_in_the_message_are_not_both_believed() -> None:
    """The first that is a KEM certificate is the one to renew; its key is proven."""
    world = kem_world()
    old = enrolled(world)
    world.password("second")
    other = enrolled(world, password="second", label="other", transaction_id="other")
    device = renewing(world, other, old_label="other")
    device.enrolment._renewed = old_key("kem device", old)
    pending(device)
    refused(device.poll(), FailInfo.badMessageCheck, WRONG_PROOF)


def test_a_classic_renewal_that_carries_the_ra_s_certificates_is_not_disturbed() -> None:
    """A client may send the chain along; the RA's ML-KEM certificate in it is nobody's to renew."""
    world = kem_world("rsa:2048")
    device = world.device(password=world.password())
    again = device.renewal(issued(device.enrol()))
    message, enrolment = again.enrolment._message, again.enrolment
    body = message(enrolment._kind, again.request.der, world.now, certificates=world.authority.certificates())
    issued(enrolment.receive(world.send(body).body))
