"""Requests for KEM keys: what their PKCS #10 may look like, what a statement is worth, what each policy asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile, extension
from kem.expand import expand
from kem.parameters import ML_KEM_512
from pkix import oids
from pkix.asn1 import encode
from pkix.certificates import Certificate
from pkix.pkcs10 import CertificationRequest, encode_unsigned_request
from pkix.signatures import sign
from pkix.signed_data import Signer
from pkix.usages import key_usage
from scep.answers import AnswerRefused
from scep.attributes import FailInfo
from scep.client import KemKey, StillPending
from scep.settings import KemPolicy, Pop
from tests.pkix.forge import algorithm, bit_string, sequence
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.kem_kit import (
    CHALLENGED,
    SUBJECT,
    challenged,
    classic_settings,
    enrolled,
    issued,
    kem_world,
    pending,
    refused,
    signing_certificate,
    spki,
    stated,
    unsigned,
    with_request,
)
from tests.world import World, authority, kem_device, kem_key, key, name

KEYS_ONLY = KemPolicy()


def request(**more: object) -> bytes:
    """An unsigned request with the world's usual password."""
    return unsigned(challenge_password="one-time secret", **more)  # type: ignore[arg-type]


def signed_as(der: bytes, scheme: bytes, signature: bytes = b"") -> bytes:
    """A request with another signature."""
    return craft.pkcs10(CertificationRequest.decode(der).signed_der, scheme, signature)


def refuse(der: bytes, text: str, fail_info: FailInfo = FailInfo.badRequest, **more: object) -> None:
    """Assert that a request is refused before any challenge."""
    world = kem_world(**more)  # type: ignore[arg-type]
    world.password()
    refused(with_request(world, der).enrol(), fail_info, text)
    assert not world.store.transactions()


# The signature


def test_an_unsigned_request_is_challenged() -> None:
    world = kem_world()
    world.password()
    device = with_request(world, request())
    pending(device)
    issued(device.poll())


@pytest.mark.parametrize("signature", [b"", b"\x01" * 20])
@pytest.mark.parametrize("parameters", [b"", b"\x05\x00"])
def test_id_alg_no_signature_is_accepted_as_unsigned(signature: bytes, parameters: bytes) -> None:
    """RFC 5272 appendix C.1: the signature of that algorithm is a digest, which is worth as much."""
    world = kem_world()
    world.password()
    device = with_request(world, signed_as(request(), algorithm(oids.NO_SIGNATURE, parameters), signature))
    pending(device)
    issued(device.poll())


@pytest.mark.parametrize(
    ("parameters", "signature"), [(b"\x05\x00", b""), (b"", b"\0"), (b"\x30\x00", b""), (b"", b"\1" * 64)]
)
def test_id_alg_unsigned_with_parameters_or_signature_is_refused(parameters: bytes, signature: bytes) -> None:
    der = signed_as(request(), algorithm(oids.UNSIGNED, parameters), signature)
    refuse(der, "id-alg-unsigned with a signature or with parameters")


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ed25519", "ml-dsa-65"])
@pytest.mark.parametrize("scheme", [oids.UNSIGNED, oids.NO_SIGNATURE])
def test_a_key_that_can_sign_must_sign_its_request(key_type: str, scheme: oids.Oid) -> None:
    good = kem_world("rsa:2048").device(key_type, password="one-time secret").request
    refuse(signed_as(good.der, algorithm(scheme)), "can sign its own request")


def test_a_kem_request_that_looks_self_signed_is_refused() -> None:
    signer = key("ec:P-256", "somebody")
    der = request()
    scheme, signature = sign(signer, CertificationRequest.decode(der).signed_der, craft.hashes.SHA256())
    refuse(signed_as(der, encode(scheme), signature), "an ML-KEM key cannot sign")


def test_an_empty_signature_under_a_real_algorithm_is_refused() -> None:
    refuse(signed_as(request(), algorithm(oids.ECDSA_WITH_SHA256)), "an ML-KEM key cannot sign")


# The key


def with_spki(der: bytes) -> bytes:
    """An unsigned request for any SubjectPublicKeyInfo."""
    return encode_unsigned_request(der, name(SUBJECT), challenge_password="one-time secret")


def public_key_info(change: Callable[[bytes], bytes], parameters: bytes = b"") -> bytes:
    """SubjectPublicKeyInfo of ML-KEM-768 with other octets."""
    octets = Node.parse(spki())[1].content[1:]
    return sequence(algorithm(oids.ML_KEM_768, parameters), bit_string(change(octets)))


def test_an_encapsulation_key_that_is_not_reduced_is_refused() -> None:
    refuse(with_spki(public_key_info(lambda octets: b"\xff\xff\xff" + octets[3:])), "not below 3329")


def test_the_last_coefficient_is_checked_too() -> None:
    refuse(with_spki(public_key_info(lambda octets: octets[:1149] + b"\xff\xff\xff" + octets[1152:])), "not below 3329")


@pytest.mark.parametrize("change", [lambda octets: octets[:-1], lambda octets: octets + b"\0", lambda octets: b""])
def test_an_encapsulation_key_of_another_length_is_refused(change: Callable[[bytes], bytes]) -> None:
    refuse(with_spki(public_key_info(change)), "must have 1184")


def test_algorithm_parameters_beside_the_key_are_refused() -> None:
    refuse(with_spki(public_key_info(lambda octets: octets, b"\x05\x00")), "parameters; they must be absent")


def test_a_parameter_set_without_a_backend_is_refused() -> None:
    octets = expand(ML_KEM_512, bytes(range(64)))[384 * ML_KEM_512.rank : -64]
    der = with_spki(sequence(algorithm(oids.ML_KEM_512), bit_string(octets)))
    refuse(der, "ML-KEM-512", FailInfo.badAlg)


def test_a_parameter_set_that_the_profile_does_not_list_is_refused() -> None:
    refuse(request(), "a key of type ml-kem-768", profile=Profile(key_types=("ml-kem-1024", "ec:P-256")))


@pytest.mark.parametrize("usages", [{"digitalSignature"}, {"keyEncipherment", "digitalSignature"}, {"keyAgreement"}])
def test_a_key_usage_besides_key_encipherment_is_refused(usages: set[str]) -> None:
    der = request(extensions=[extension(key_usage(usages), critical=True)])
    refuse(der, "not keyEncipherment alone (RFC 9935")


@pytest.mark.parametrize("copied", [True, False])
def test_key_encipherment_alone_may_be_asked_for_and_is_what_comes(copied: bool) -> None:
    profile = Profile(copy_extensions=("keyUsage",) if copied else ())
    world = kem_world(profile=profile)
    world.password()
    device = with_request(world, request(extensions=[extension(key_usage({"keyEncipherment"}), critical=True)]))
    pending(device)
    certificate = x509.load_der_x509_certificate(issued(device.poll()).certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value == key_usage({"keyEncipherment"})


# The message


@pytest.mark.parametrize("length", [8, 15, 17, 64])
def test_a_sender_nonce_that_has_not_16_octets_is_refused_for_kem_keys(length: int) -> None:
    world = kem_world("rsa:2048")
    device = kem_device(world, password=world.password())
    message = craft.request(device, nonce=bytes(length), content=device.request.der)
    craft.failed(world, message, craft.BAD_REQUEST, "needs a senderNonce of 16 octets")
    assert not world.store.transactions()


def test_a_short_sender_nonce_stays_good_for_other_keys() -> None:
    world = kem_world("rsa:2048")
    device = world.device(password=world.password())
    assert craft.see(world, craft.request(device, nonce=bytes(8))).status == "0"


def test_a_retry_with_a_short_sender_nonce_is_refused_and_changes_nothing() -> None:
    world = kem_world("rsa:2048")
    device = challenged(world)
    craft.failed(
        world,
        craft.request(device, nonce=bytes(8), content=device.request.der),
        craft.BAD_REQUEST,
        "nonces of 16 octets",
    )
    issued(device.poll())


def test_a_cert_poll_may_have_a_short_sender_nonce() -> None:
    """Only the request's nonce is in the context."""
    world = kem_world("rsa:2048")
    device = challenged(world)
    confirm = device.enrolment._confirm
    assert confirm is not None
    attributes = craft.header(20, nonce=bytes(8)) | {craft.scep.KEM_POP_CONFIRM: [confirm]}
    assert craft.see(world, craft.request(device, attributes=attributes)).status == "0"


# Statements of possession, RFC 9883


@pytest.mark.parametrize(("pop", "at_once"), [(Pop.statement, True), (Pop.challenge, False)])
def test_a_statement_issues_at_once_only_where_the_policy_says_so(pop: Pop, at_once: bool) -> None:
    world = kem_world(kem=KemPolicy(pop=pop))
    by = signing_certificate(world)
    device = with_request(world, stated(by, challenge_password=world.password()), signer=by)
    answer = device.enrol()
    if not at_once:
        assert answer == CHALLENGED
        answer = device.poll()
    assert Certificate.decode(issued(answer).certificate).spki == spki()


def test_under_pop_statement_an_unsigned_request_is_challenged() -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.statement))
    device = challenged(world)
    issued(device.poll())


def test_a_statement_is_not_enough_without_authorisation() -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.statement))
    by = signing_certificate(world)
    refused(with_request(world, stated(by)).enrol(), text="no challengePassword")


def refuse_statement(world: World, der: bytes, text: str, fail_info: FailInfo = FailInfo.badRequest) -> None:
    """Assert that a request with a statement is refused, under the policy that would believe it."""
    before = len(world.store.certificates())
    refused(with_request(world, der).enrol(), fail_info, text)
    assert len(world.store.certificates()) == before


def stating_world(**more: object) -> tuple[World, Signer]:
    """A CA that believes statements, a certificate to make them with, and a password."""
    world = kem_world(kem=KemPolicy(pop=Pop.statement), **more)  # type: ignore[arg-type]
    by = signing_certificate(world)
    world.password()
    return world, by


def test_10_1_a_statement_names_subject_and_issuer_in_any_spelling() -> None:
    """RFC 5280 section 7.1. The certificate has the subject that was asked for."""
    world, by = stating_world()
    spelled = SUBJECT.replace("kem device", "KEM Device")
    view = by.certificate
    issuer = name("O=EXAMPLE".join(world.authority.ca.certificate.subject.rfc4514_string().split("O=Example")))
    assert issuer.public_bytes() != view.issuer
    named = Certificate(view.der, issuer.public_bytes(), view.serial_number, view.subject, view.spki)
    der = stated(Signer(by.key, named), subject=spelled, challenge_password="one-time secret")
    new = Certificate.decode(issued(with_request(world, der).enrol()).certificate)
    assert new.subject == name(spelled).public_bytes() != view.subject


def test_a_statement_signed_by_another_key_is_refused() -> None:
    world, by = stating_world()
    wrong = Signer(key("ec:P-256", "not the identity"), by.certificate)
    der = stated(wrong, challenge_password="one-time secret")
    refuse_statement(world, der, "signature does not verify", FailInfo.badMessageCheck)


def test_a_statement_over_another_request_is_refused() -> None:
    world, by = stating_world()
    good = CertificationRequest.decode(stated(by, challenge_password="one-time secret"))
    other = CertificationRequest.decode(stated(by, label="another key", challenge_password="one-time secret"))
    der = craft.pkcs10(other.signed_der, encode(good.signature_algorithm), good.signature)
    refuse_statement(world, der, "signature does not verify", FailInfo.badMessageCheck)


def test_a_statement_without_a_signature_is_not_believed() -> None:
    world, by = stating_world()
    good = stated(by, challenge_password="one-time secret")
    device = with_request(world, signed_as(good, algorithm(oids.UNSIGNED)))
    assert device.enrol() == CHALLENGED


def test_a_statement_by_a_certificate_of_another_ca_is_refused() -> None:
    world, _by = stating_world()
    foreign = signing_certificate(kem_world(label="another CA"))
    der = stated(foreign, challenge_password="one-time secret")
    refuse_statement(world, der, "names no valid certificate of this CA")


def test_a_statement_by_a_self_signed_certificate_with_the_ca_s_name_is_refused() -> None:
    world, _by = stating_world()
    forged = craft.self_made("ec:P-256", SUBJECT, "forger", issuer=authority("ec:P-384", None, "CA").ca)
    refuse_statement(world, stated(forged, challenge_password="one-time secret"), "names no valid certificate")


def test_a_statement_by_a_revoked_certificate_is_refused() -> None:
    world, by = stating_world()
    serial = by.certificate.serial_number
    world.store.revoke(world.authority.identifier, serial, reason="keyCompromise", now=world.now)
    refuse_statement(world, stated(by, challenge_password="one-time secret"), "names no valid certificate")


def test_a_statement_by_a_compromised_key_is_refused_whatever_its_certificate() -> None:
    """The key was revoked for keyCompromise under another certificate."""
    world, by = stating_world()
    record = world.store.certificate(world.authority.identifier, by.certificate.serial_number)
    assert record is not None
    world.store.record(replace(record, serial=record.serial + 1))
    world.store.revoke(record.authority, record.serial + 1, reason="keyCompromise", now=world.now)
    refuse_statement(world, stated(by, challenge_password="one-time secret"), "names no valid certificate")


def test_a_statement_by_an_expired_certificate_is_refused() -> None:
    world, by = stating_world()
    world.tick(timedelta(days=366))
    told = (
        "names a certificate that is not valid now (RFC 9883 section 3): it is from 2026-11-21 02:00 to "
        "2027-11-21 12:00, and the clock of this CA says 2027-11-22 12:00 UTC"
    )
    refuse_statement(world, stated(by, challenge_password="one-time secret"), told)


def test_a_statement_for_another_subject_is_refused() -> None:
    world, by = stating_world()
    der = stated(by, subject="CN=somebody else", challenge_password="one-time secret")
    refuse_statement(world, der, "another subject")


def test_a_statement_by_a_kem_certificate_is_refused() -> None:
    """Such a key signs nothing."""
    world, by = stating_world()
    world.password("kem")
    old = enrolled(world, password="kem", label="old", transaction_id="old")
    der = stated(Signer(by.key, Certificate.decode(old.certificate)), challenge_password="one-time secret")
    refuse_statement(world, der, "", FailInfo.badAlg)


def test_a_statement_for_a_key_that_can_sign_is_refused() -> None:
    world, by = stating_world()
    own = CertificationRequest.decode(stated(by, challenge_password="one-time secret"))
    tree = Node.parse(own.signed_der)
    tree[2] = Node.parse(world.device("ec:P-384", label="own").request.spki)
    der = craft.pkcs10(tree.der(), encode(own.signature_algorithm), own.signature)
    refuse_statement(world, der, "can sign its own request")


def test_a_malformed_statement_is_refused() -> None:
    world, by = stating_world()
    der = unsigned(challenge_password="one-time secret", attributes=[(oids.STATEMENT_OF_POSSESSION, b"\x05\x00")])
    scheme, signature = sign(by.key, CertificationRequest.decode(der).signed_der, craft.hashes.SHA256())
    refuse_statement(world, signed_as(der, encode(scheme), signature), "statementOfPossession is not valid DER")


def test_a_statement_by_a_certificate_of_the_previous_ca_is_good_after_a_rollover() -> None:
    """Both generations have the same name."""
    first, by = stating_world()
    current = authority("ec:P-384", None, "CA", ("ML-KEM-768",), False)
    world = World(current=current, previous=(first.authority,), store=first.store, kem=KemPolicy(pop=Pop.statement))
    issued(with_request(world, stated(by, challenge_password="one-time secret")).enrol())


# Policies


def test_pop_implicit_issues_at_once_to_the_kem_key_alone() -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.implicit))
    device = kem_device(world, password=world.password())
    reply = world.send(device.start())
    assert "proof of possession" not in reply.events[0].details
    assert issued(device.enrolment.receive(reply.body))
    content = craft.Seen(reply.body).content
    assert content is not None
    assert [info.tag for info in Node.parse(content)[1][0][1]] == [0xA4]


def test_pop_implicit_is_no_use_to_somebody_without_the_key() -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.implicit))
    wrong = KemKey(kem_key("ML-KEM-768", "wrong")[0], spki())
    device = with_request(world, unsigned(challenge_password=world.password()), kem=wrong)
    with pytest.raises(AnswerRefused, match=r"the answer says SUCCESS, but .*: the envelope cannot be opened"):
        device.enrol()


def test_pop_none_issues_at_once_under_the_password() -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.none))
    device = kem_device(world, password=world.password())
    reply = world.send(device.start())
    content = craft.Seen(reply.body).content
    assert content is not None
    assert [info.tag for info in Node.parse(content)[1][0][1]] == [0xA3]
    issued(device.enrolment.receive(reply.body))


@pytest.mark.parametrize("pop", Pop)
def test_requests_for_other_keys_are_never_challenged(pop: Pop) -> None:
    world = kem_world("rsa:2048", kem=KemPolicy(pop=pop))
    device = world.device("ec:P-256", password=world.password(), settings=classic_settings())
    issued(device.enrol())


@pytest.mark.parametrize("pop", Pop)
def test_manual_approval_comes_after_the_proof_under_every_policy(pop: Pop) -> None:
    world = kem_world("rsa:2048", policy=AuthorisationPolicy(manual=True), kem=KemPolicy(pop=pop))
    device = kem_device(world, signer_key="rsa:2048")
    if pop in (Pop.challenge, Pop.statement):
        pending(device)
        assert device.poll() == StillPending(challenged=False)
    else:
        assert device.enrol() == StillPending(challenged=False)
    assert not world.store.certificates()


def test_the_event_of_an_issued_certificate_says_that_possession_was_verified() -> None:
    world = kem_world()
    device = challenged(world)
    (event,) = world.send(device.enrolment.poll(now=world.now)).events
    assert event.details["proof of possession"] == "verified"
    assert event.details["authorised by"] == "challengePassword"
