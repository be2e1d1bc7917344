"""That the engine fits protocols that are not there yet: EST, CMC and CMP reduced to what they ask of it.

No encodings: a message is a few values. What each protocol has to write itself is the part of it that stands here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.applications import Application, Identity, Names, Renewal
from ca.authorisation import Approved, Authoriser, Once
from ca.authorities import Authorities
from ca.dialogue import Arrival, Challenge, Challenged, Issued, Outcome, Plain, Proof, Waiting
from ca.enrolment import Enrolments
from ca.errors import ProofFailed, RequestRefused
from ca.limits import Limits
from ca.memory_store import MemoryStore
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.sql_store import SqlStore
from ca.store import Decision, Store, TransactionKey
from ca.transactions import Event
from kem.keys import DecapsulationKey, decode_public_key, encode_public_key
from pkix.algorithms import AES256_GCM, AlgorithmPolicy
from pkix.certificates import Certificate, key_identifier
from pkix.enveloped_data import decrypt, encrypt
from pkix.kem_recipients import KemIdentity, KemRecipient
from pkix.pkcs10 import CertificationRequest, encode_certification_request, encode_unsigned_request
from tests.world import ALL_METHODS, BACKENDS, World, authority, kem_key, key, name

MANUAL = AuthorisationPolicy(manual=True, renewal=True)

MakeWorld = Callable[..., World]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeWorld]:
    """A CA with an engine, on either store."""
    store: Store = MemoryStore()
    if request.param == "sqlite":
        store = SqlStore(f"sqlite:///{tmp_path}/store.sqlite")

    def world(policy: AuthorisationPolicy = ALL_METHODS, **more: Any) -> World:
        ca = authority("ec:P-256", None, "CA", ("ML-KEM-768",), False)
        return World(current=ca, policy=policy, store=store, **more)

    yield world
    store.close()


def engine(world: World) -> Enrolments:
    return Enrolments(
        profile=world.profile,
        authorities=Authorities(world.authority),
        authoriser=world.authoriser,
        store=world.store,
        server_key=world.server_key,
        limits=Limits(),
        random=world.random,
    )


def digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# EST (RFC 7030): the TLS client or the HTTP user is who asks; the request itself is the transaction.


@dataclass
class EstDialogue(Plain):
    arrival: Arrival
    reenroll: bool
    password: str | None

    def application(self) -> Application:
        arrival = self.arrival
        assert arrival.request is not None and arrival.same is not None
        renewal = None
        if self.reenroll:
            assert arrival.certificate is not None
            renewal = Renewal(arrival.certificate, explicit=True, names=Names.same)
        identity = Identity(certificate=arrival.certificate, password=self.password)
        return Application(arrival.key, arrival.request, identity, arrival.same, renewal)


def simple_enroll(
    world: World, csr: bytes, *, user: str = "", client: Certificate | None = None, reenroll: bool = False
) -> tuple[int, bytes]:
    """POST /simpleenroll or /simplereenroll: HTTP status and certificate."""
    request = CertificationRequest.decode(csr)
    request.verify(AlgorithmPolicy())
    requester = client.key_hash if client else digest(b"basic:", user.encode())
    same = digest(request.subject_der, request.spki)  # libest's challengePassword differs every time
    arrival = Arrival(
        key=TransactionKey("est", same.hex(), requester, world.profile.name),
        event=Event.request,
        now=world.now,
        authority=world.authority,
        message_hash=digest(requester, csr),
        certificate=client,
        request=request,
        same=same,
    )
    outcome = engine(world).handle(arrival, EstDialogue(arrival, reenroll, request.challenge_password))
    return (200, outcome.certificate.der) if isinstance(outcome, Issued) else (202, b"")  # with Retry-After


def csr(
    subject: str = "CN=device,O=Example", password: str | None = None, label: str = "est", names: Sequence[str] = ()
) -> bytes:
    san = x509.SubjectAlternativeName([x509.DNSName(item) for item in names])
    extensions = [x509.Extension(san.oid, False, san)] if names else []
    return encode_certification_request(
        key("ec:P-256", label), name(subject), challenge_password=password, extensions=extensions
    )


def test_est_enrols_and_a_repeated_request_gets_the_same_certificate(make: MakeWorld) -> None:
    world = make()
    request = csr(password=world.password("otp"))
    status, certificate = simple_enroll(world, request, user="alice")
    assert status == 200
    assert simple_enroll(world, request, user="alice") == (200, certificate)
    assert len(world.store.certificates()) == 1


def test_est_says_202_until_an_operator_decides(make: MakeWorld) -> None:
    world = make(MANUAL)
    request = csr()
    assert simple_enroll(world, request, user="alice") == (202, b"")
    world.tick(timedelta(seconds=1))
    again = csr()
    assert again != request and simple_enroll(world, again, user="alice") == (202, b"")
    world.decide(Decision.APPROVED)
    assert simple_enroll(world, request, user="alice")[0] == 200
    assert len(world.store.transactions()) == 1


def test_est_reenrols_with_the_certificate_of_the_tls_client(make: MakeWorld) -> None:
    world = make()
    first = simple_enroll(world, csr(password=world.password("otp")), user="alice")[1]
    client = Certificate.decode(first)
    assert simple_enroll(world, csr(label="new key"), client=client, reenroll=True)[0] == 200
    with pytest.raises(RequestRefused, match="subject differs"):
        simple_enroll(world, csr("CN=other"), client=client, reenroll=True)


def test_est_reenrols_for_the_same_names_and_no_fewer(make: MakeWorld) -> None:
    world = make()
    names = ["a.example", "b.example"]
    first = simple_enroll(world, csr(password=world.password("otp"), names=names), user="alice")[1]
    client = Certificate.decode(first)
    with pytest.raises(RequestRefused, match="subjectAltName differs"):
        simple_enroll(world, csr(label="new key", names=names[:1]), client=client, reenroll=True)
    assert simple_enroll(world, csr(label="new key", names=names), client=client, reenroll=True)[0] == 200


class Heard(Once):
    """A method that approves everything, and hears what became of it."""

    name = "heard"

    def __init__(self) -> None:
        self.failures: list[tuple[bytes, str]] = []

    def decide(self, application: Application, *, now: datetime) -> Approved:
        return Approved(self.name)

    def failed(self, application: Application, reason: str) -> None:
        self.failures.append((application.request.der, reason))


def test_a_method_hears_that_what_it_approved_led_to_no_certificate(make: MakeWorld) -> None:
    world, method = make(profile=Profile(unique_subject=True)), Heard()
    world.authoriser = Authoriser([method])
    assert simple_enroll(world, csr(), user="alice")[0] == 200
    assert method.failures == []
    another = csr(label="other")
    with pytest.raises(RequestRefused) as refused:
        simple_enroll(world, another, user="bob")
    assert method.failures == [(another, refused.value.text)]
    _private, _spki, request = kem_request("")
    assert isinstance(full_cmc(world, request), Challenged)
    with pytest.raises(ProofFailed):
        full_cmc(world, request, the_pop=bytes(32), number=3)
    assert method.failures[1:] == [(request, "popFailed")]


def test_est_has_no_proof_for_a_kem_key(make: MakeWorld) -> None:
    world = make()
    request = kem_request(world.password("otp"))[2]
    with pytest.raises(RequestRefused, match="possession"):
        simple_enroll(world, request, user="alice")
    assert not world.store.certificates()


def test_what_is_decided_for_one_user_is_nothing_to_another(make: MakeWorld) -> None:
    world = make(MANUAL)
    request = csr()
    assert simple_enroll(world, request, user="alice") == (202, b"")
    world.decide(Decision.APPROVED)
    assert simple_enroll(world, request, user="mallory") == (202, b"")
    assert not world.store.certificates()


# Shared by CMC and CMP: a value sealed to a KEM key.


def kem_request(password: str, subject: str = "CN=kem") -> tuple[DecapsulationKey, bytes, bytes]:
    """Private key, SubjectPublicKeyInfo, unsigned request."""
    private, public = kem_key()
    spki = encode_public_key(public)
    return private, spki, encode_unsigned_request(spki, name(subject), challenge_password=password)


def seal(world: World, spki: bytes, value: bytes) -> bytes:
    public = decode_public_key(spki)
    to = KemRecipient(public.parameter_set.oid, lambda: BACKENDS.encapsulate(public), key_identifier(spki))
    return encrypt(value, [to], AES256_GCM, world.random)


def unseal(private: DecapsulationKey, spki: bytes, cms: bytes) -> bytes:
    identity = KemIdentity(
        kem=private.parameter_set.oid,
        decapsulate=lambda ciphertext: BACKENDS.decapsulate(private, ciphertext),
        certificate=None,
        key_identifier=key_identifier(spki),
    )
    return decrypt(cms, [identity], AlgorithmPolicy()).content


# CMC (RFC 10002) EncryptedPOP: y to the key; thePOP = HMAC(y, R); message 3 repeats R.


@dataclass
class CmcDialogue(Plain):
    world: World
    arrival: Arrival
    the_pop: bytes

    def application(self) -> Application:
        arrival = self.arrival
        assert isinstance(arrival.request, CertificationRequest) and arrival.same is not None
        identity = Identity(password=arrival.request.challenge_password)
        return Application(arrival.key, arrival.request, identity, arrival.same)

    def proof(self, application: Application) -> Proof:
        return Proof.challenge if application.request.is_kem else Proof.nothing

    def challenge(self, spkis: Sequence[bytes], request: bytes, context: bytes, *, expires: datetime) -> Challenge:
        y = self.world.random(64)
        return Challenge(seal(self.world, spkis[0], y), y + request)

    def confirmation(self) -> Callable[[bytes], None]:
        def check(secret: bytes) -> None:
            if not hmac.compare_digest(hmac.digest(secret[:64], secret[64:], "sha256"), self.the_pop):
                raise ProofFailed("popFailed")

        return check


def full_cmc(world: World, request: bytes, *, the_pop: bytes = b"", number: int = 1, user: str = "x") -> Outcome:
    read = CertificationRequest.decode(request)
    requester = digest(b"identification:", user.encode())
    arrival = Arrival(
        key=TransactionKey("cmc", "7", requester, world.profile.name),
        event=Event.confirm if the_pop else Event.request,
        now=world.now,
        authority=world.authority,
        message_hash=digest(requester, bytes((number,))),
        certificate=None,
        request=read,
        same=read.hash,
    )
    return engine(world).handle(arrival, CmcDialogue(world, arrival, the_pop))


def test_cmc_encrypted_pop(make: MakeWorld) -> None:
    world = make()
    private, spki, request = kem_request(world.password("otp"))
    answer = full_cmc(world, request)
    assert isinstance(answer, Challenged)
    assert full_cmc(world, request) == answer  # the same octets again
    the_pop = hmac.digest(unseal(private, spki, answer.answer), request, "sha256")
    issued = full_cmc(world, request, the_pop=the_pop, number=3)
    assert isinstance(issued, Issued)
    again = full_cmc(world, request, the_pop=the_pop, number=3)
    assert isinstance(again, Issued) and again.certificate == issued.certificate


def test_cmc_wrong_pop_and_another_request(make: MakeWorld) -> None:
    world = make()
    private, spki, request = kem_request(world.password("otp", one_time=False))
    answer = full_cmc(world, request)
    assert isinstance(answer, Challenged)
    the_pop = hmac.digest(unseal(private, spki, answer.answer), request, "sha256")
    with pytest.raises(RequestRefused, match="another request"):
        full_cmc(world, kem_request("otp", "CN=other")[2], the_pop=the_pop, number=3)
    with pytest.raises(RequestRefused, match="no request matches"):
        full_cmc(world, request, the_pop=the_pop, number=3, user="mallory")
    with pytest.raises(ProofFailed, match="popFailed"):
        full_cmc(world, request, the_pop=bytes(32), number=3)
    with pytest.raises(RequestRefused, match="popFailed"):
        full_cmc(world, request, the_pop=the_pop, number=3)  # one try: the reason on record
    assert not world.store.certificates()


def test_two_protocols_do_not_share_a_transaction(make: MakeWorld) -> None:
    world = make(MANUAL)
    request = csr()
    assert full_cmc(world, request) == Waiting()
    assert simple_enroll(world, request, user="x") == (202, b"")
    assert len(world.store.transactions()) == 2
