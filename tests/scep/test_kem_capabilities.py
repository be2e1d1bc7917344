"""Every keyword of the update is advertised when, and only when, it is enabled and enforced; the classic profile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from ca.profiles import Profile
from kem.keys import encode_public_key
from pkix.algorithms import AES128, AES256_GCM, AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.pkcs10 import encode_statement_request, encode_unsigned_request
from pkix.signed_data import Signer
from scep.attributes import FailInfo
from scep.client import ClientSettings, Issued, KemKey
from scep.settings import KemPolicy, Pop, ResponseKeyReuse, Settings
from tests.scep import craft
from tests.scep.kem_kit import (
    BACKENDS,
    CHALLENGED,
    SUBJECT,
    challenged,
    classic_settings,
    issued,
    kem_world,
    outcome,
    refused,
    signing_certificate,
)
from tests.scep.test_kem_response_keys import device_with
from tests.world import World, kem_device, kem_key

pytestmark = pytest.mark.any_day

UPDATE = {"ML-KEM-512", "ML-KEM-768", "ML-KEM-1024", "KEM-PoP", "AES-GCM", "ResponseKey", "ML-DSA"}


def keywords(world: World) -> set[str]:
    """The update's keywords in GetCACaps."""
    return set(world.responder.get_ca_caps().decode("ascii").splitlines()) & UPDATE


def without(**changed: object) -> World:
    """A CA with everything on but something."""
    return kem_world("rsa:2048", kems=("ML-KEM-768", "ML-KEM-1024"), **changed)  # type: ignore[arg-type]


def test_with_everything_on() -> None:
    assert keywords(without()) == UPDATE - {"ML-KEM-512"}


def test_a_ca_without_a_kem_key_names_no_parameter_set_and_challenges_nevertheless() -> None:
    """Section 4: the default CA has no ML-KEM key, and certifies those of others."""
    assert keywords(World()) == {"KEM-PoP", "AES-GCM", "ResponseKey", "ML-DSA"}


def test_without_a_parameter_set_in_the_profile() -> None:
    types = tuple(kind for kind in Profile().key_types if kind != "ml-kem-1024")
    world = without(profile=Profile(key_types=types))
    assert "ML-KEM-1024" not in keywords(world)
    assert "ML-KEM-768" in keywords(world)
    refused(kem_device(world, "ML-KEM-1024", password=world.password()).enrol(), text="a key of type ml-kem-1024")


def test_without_any_certified_parameter_set_there_is_no_kem_pop() -> None:
    world = without(profile=Profile(key_types=("rsa", "ec:P-256")))
    assert not keywords(world) & {"ML-KEM-768", "ML-KEM-1024", "KEM-PoP"}


@pytest.mark.parametrize("pop", [Pop.implicit, Pop.none, Pop.statement])
def test_kem_pop_is_said_only_where_every_new_request_is_challenged(pop: Pop) -> None:
    assert "KEM-PoP" not in keywords(without(kem=KemPolicy(pop=pop)))


def test_kem_pop_is_enforced_where_it_is_said() -> None:
    world = without()
    assert "KEM-PoP" in keywords(world)
    assert kem_device(world, password=world.password()).enrol() == CHALLENGED
    assert not world.store.certificates()


KEY_TYPES = {
    "all": Profile().key_types,
    "none": ("rsa", "ec:P-256"),
    "the RA's": ("rsa", "ec:P-256", "ml-kem-768"),
    "another": ("rsa", "ec:P-256", "ml-kem-1024"),
    "one that no backend has": ("rsa", "ec:P-256", "ml-kem-512"),
}


@pytest.mark.parametrize("pop", Pop)
@pytest.mark.parametrize("decrypts", ["RSA", "ML-KEM", "both", "nothing"])
@pytest.mark.parametrize("certified", KEY_TYPES)
@pytest.mark.parametrize("is_classic", [False, True])
@pytest.mark.parametrize("aes_gcm", [True, False])
def test_kem_pop_is_listed_if_and_only_if_every_request_for_an_ml_kem_key_is_challenged(
    pop: Pop, decrypts: str, certified: str, is_classic: bool, aes_gcm: bool
) -> None:
    """Section 4, with real messages: a request without proof, and one with a statement (RFC 9883)."""
    keys: dict[str, Any] = {"kems": ("ML-KEM-768",) if decrypts in ("ML-KEM", "both") else ()}
    keys["rsa"] = decrypts in ("RSA", "both")
    open_world = kem_world() if decrypts == "nothing" else kem_world(**keys)
    identity = signing_certificate(open_world)
    world = kem_world(
        **keys,
        store=open_world.store,
        profile=Profile(key_types=KEY_TYPES[certified]),
        kem=KemPolicy(pop=pop, classic=is_classic),
        settings=Settings(AlgorithmPolicy(aes_gcm=aes_gcm)),
    )
    answers: list[object] = []
    for parameter_set in ("ML-KEM-768", "ML-KEM-1024"):
        answers.append(new_request(world, f"unsigned {parameter_set}", parameter_set))
        answers.append(new_request(world, f"stated {parameter_set}", parameter_set, identity))
    challenges = CHALLENGED in answers and not any(isinstance(answer, Issued) for answer in answers)
    assert ("KEM-PoP" in keywords(world)) == challenges
    assert ("ML-KEM-768" in keywords(world)) <= bool(keys["kems"])


def new_request(world: World, name: str, parameter_set: str, identity: Signer | None = None) -> object:
    """What becomes of a request for an ML-KEM key with a fresh password. identity: who states its possession."""
    private, public = kem_key(parameter_set, name)
    more: dict[str, Any] = {"challenge_password": world.password(f"password of {name}")}
    found = encode_public_key(public)
    if identity is None:
        request = encode_unsigned_request(found, x509.Name.from_rfc4514_string(SUBJECT), **more)
    else:
        subject = x509.Name.from_rfc4514_string(SUBJECT)
        request = encode_statement_request(found, subject, identity.key, identity.certificate, **more)
    settings = classic_settings(require_kem=False)
    arguments: dict[str, Any] = {"label": name, "transaction_id": name.replace(" ", "-")}
    kem = KemKey(private, found)
    device = world.device("ec:P-256", request=request, settings=settings, kem=kem, subject=SUBJECT, **arguments)
    return outcome(device.enrol)  # without a key to encrypt to, the client refuses


def test_without_aes_gcm() -> None:
    world = without(settings=Settings(AlgorithmPolicy(aes_gcm=False)))
    assert "AES-GCM" not in keywords(world)
    device = world.device(password=world.password(), settings=ClientSettings(cipher=AES256_GCM))
    refused(device.enrol(), FailInfo.badAlg, "AuthEnvelopedData is not enabled")
    other = world.device(password="one-time secret", settings=ClientSettings(cipher=AES128), transaction_id="2")
    issued(other.enrol())


def test_with_aes_gcm_the_answer_is_authenticated_too() -> None:
    world = without()
    device = world.device(password=world.password(), settings=ClientSettings(cipher=AES256_GCM))
    body = world.send(device.start()).body
    assert b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17" in body
    issued(device.enrolment.receive(body))


@pytest.mark.parametrize("key_type", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_without_ml_dsa(key_type: str) -> None:
    world = without(settings=Settings(AlgorithmPolicy(ml_dsa=False)))
    assert "ML-DSA" not in keywords(world)
    device = kem_device(world, password=world.password(), signer_key=key_type)
    refused(device.enrol(), FailInfo.badAlg, "ML-DSA is not enabled")
    assert not world.store.transactions()


@pytest.mark.parametrize("key_type", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_with_ml_dsa(key_type: str) -> None:
    world = without()
    device = challenged(world, signer_key=key_type, settings=classic_settings(digest=craft.hashes.SHA512()))
    issued(device.poll())


@pytest.mark.parametrize(
    ("key_type", "digest"), [("ml-dsa-65", craft.hashes.SHA256()), ("ml-dsa-87", craft.hashes.SHA384())]
)
def test_an_ml_dsa_signature_beside_a_short_digest_is_refused(
    key_type: str, digest: craft.hashes.HashAlgorithm
) -> None:
    """RFC 9882 section 3.3. Our own encoder chooses a longer one, so the message is put together."""
    world = without()
    signer = ml_dsa_signer(world, key_type)
    device = kem_device(world, password=world.password())
    message = craft.request(device, signer=signer, digest=digest)
    craft.failed(world, message, craft.BAD_ALG, "digest")


def ml_dsa_signer(world: World, key_type: str) -> craft.Signer:
    """An ephemeral ML-DSA signer."""
    return kem_device(world, signer_key=key_type).signer


def test_without_response_keys() -> None:
    world = without(kem=KemPolicy(response_key=ResponseKeyReuse.off))
    assert "ResponseKey" not in keywords(world)
    refused(device_with(world).enrol(), text="response keys are not enabled")


# The classic profile


def classic() -> World:
    """A path for clients of today, on a CA that has ML-KEM keys."""
    return without(kem=KemPolicy(classic=True))


def test_the_classic_profile_serves_no_ml_kem_certificate() -> None:
    modern, old = without(), classic()
    assert len(modern.ca_certificates().all) == len(old.ca_certificates().all) + 2
    assert not any(view.is_kem for view in old.ca_certificates().all)
    assert len([view for view in modern.ca_certificates().all if view.is_kem]) == 2


def test_the_classic_profile_serves_what_a_ca_without_kem_keys_serves() -> None:
    body, media_type = classic().responder.get_ca_cert()
    assert media_type == "application/x-x509-ca-cert"
    assert body == classic().authority.certificate.der


def test_the_classic_profile_has_none_of_the_keywords() -> None:
    assert keywords(classic()) == set()


def test_the_classic_profile_refuses_kem_keys_and_says_where_to_go() -> None:
    world = classic()
    device = kem_device(world, password=world.password(), settings=classic_settings(require_kem=False))
    refused(device.enrol(), text="this profile does not certify ML-KEM keys; use another SCEP URL")
    assert not world.store.transactions()


def test_the_classic_profile_enrols_classic_devices() -> None:
    world = classic()
    issued(world.device(password=world.password()).enrol())


def test_an_ra_key_of_each_parameter_set_opens_requests() -> None:
    world = without()
    for number, certificate in enumerate(world.ca_certificates().kem_certificates(BACKENDS)):
        body = world.password(f"p{number}")
        device = world.device(
            password=body, label=f"d{number}", transaction_id=f"t{number}", settings=classic_settings()
        )
        views = [item for item in device.enrolment.ca.all if not Certificate.of(item).is_kem]
        kem = [item for item in device.enrolment.ca.all if Certificate.of(item) == certificate]
        device.enrolment.ca = replace(device.enrolment.ca, all=(*views, *kem))
        issued(device.enrol())
