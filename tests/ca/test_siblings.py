"""That the engine fits protocols that are not there yet: EST, CMC and CMP reduced to what they ask of it.

No encodings: a message is a few values. What each protocol has to write itself is the part of it that stands here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from ca.applications import Application, Identity, Names, Renewal
from ca.authorisation import OPERATOR, Approved, Authoriser, Once, Pending, Told
from ca.authorities import Authorities, Records
from ca.credentials import add_secret, find_secret
from ca.dialogue import Arrival, Challenge, Challenged, Issued, Outcome, Plain, Proof, Waiting, Withdrawn
from ca.enrolment import Enrolments
from ca.errors import (
    Busy,
    NamesRefused,
    NotAuthorised,
    NotRenewable,
    OtherRequest,
    ProofFailed,
    RequestRefused,
    UnknownTransaction,
)
from ca.issuing import REPORT
from ca.limits import Limits
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.secrets import SharedSecrets
from ca.store import Credential, Decision, IssuedCertificate, State, Store, TransactionKey
from ca.transactions import Event
from ca.webhook import ExternalAuthority, WebhookAnswer
from kem.keys import DecapsulationKey, decode_public_key, encode_public_key
from pkix.algorithms import AES256_GCM, AlgorithmPolicy
from pkix.certificates import Certificate, key_identifier
from pkix.enveloped_data import decrypt, encrypt
from pkix.kem_recipients import KemIdentity, KemRecipient
from pkix.pkcs10 import CertificationRequest, encode_certification_request, encode_unsigned_request
from tests.world import ALL_METHODS, BACKENDS, World, authority, kem_key, key, name

MANUAL = AuthorisationPolicy(manual=True, renewal=True)

MakeWorld = Callable[..., World]


@pytest.fixture
def make(store: Store) -> MakeWorld:
    """A CA with an engine, on either store."""

    def world(policy: AuthorisationPolicy = ALL_METHODS, **more: Any) -> World:
        ca = authority("ec:P-256", None, "CA", ("ML-KEM-768",), False)
        return World(current=ca, policy=policy, store=store, **more)

    return world


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

    def challenge(
        self, spkis: Sequence[bytes], request: bytes, context: bytes, *, expires: datetime, password_lasts: bool
    ) -> Challenge:
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


def test_a_confirmation_that_repeats_its_request_is_no_new_request(make: MakeWorld) -> None:
    world = make()
    private, spki, request = kem_request(world.password("otp", one_time=False))
    answer = full_cmc(world, request)
    assert isinstance(answer, Challenged)
    the_pop = hmac.digest(unseal(private, spki, answer.answer), request, "sha256")
    issued = full_cmc(world, request, the_pop=the_pop, number=3)
    assert isinstance(issued, Issued)
    certificate = issued.certificate
    world.store.revoke(certificate.authority, certificate.serial, reason="superseded", now=world.now)
    with pytest.raises(RequestRefused, match="is revoked; send"):
        full_cmc(world, request, the_pop=the_pop, number=3)


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


# CMP (RFC 9810) with encrCert: the certificate itself, encrypted to the key, is the challenge; certConf is the proof.


@dataclass
class CmpDialogue(Plain):
    arrival: Arrival
    secret: Credential | None
    cert_hash: bytes
    renewing: Certificate | None = None

    def application(self) -> Application:
        arrival = self.arrival
        assert arrival.request is not None and arrival.same is not None
        renewal = None if self.renewing is None else Renewal(self.renewing, explicit=True)
        identity = Identity(secret=None if renewal else self.secret)
        return Application(arrival.key, arrival.request, identity, arrival.same, renewal)

    def proof(self, application: Application) -> Proof:
        return Proof.acceptance

    def confirmation(self) -> Callable[[bytes], None]:
        def check(certificate: bytes) -> None:
            if not hmac.compare_digest(hashlib.sha512(certificate).digest(), self.cert_hash):
                raise ProofFailed("badCertId: certHash is not that of the certificate")

        return check


@dataclass
class Cmp:
    """ir, certConf (accept or reject) and pollReq under one shared secret, whose MAC has been checked."""

    world: World
    reference: str = "0815"

    def __post_init__(self) -> None:
        self.world.authoriser = Authoriser([SharedSecrets(self.world.profile.name), *self.world.authoriser.methods])
        add_secret(
            self.world.store, self.world.server_key, self.reference, b"s3cret", self.world.random, now=self.world.now
        )

    def send(
        self,
        event: Event,
        request: bytes | None = None,
        cert_hash: bytes = b"",
        secret: bool = True,
        renewing: Certificate | None = None,
    ) -> Outcome:
        found = find_secret(self.world.store, self.world.server_key, self.reference)
        assert found is not None and found[1] == b"s3cret"
        read = None if request is None else CertificationRequest.decode(request)
        requester = digest(b"reference:", self.reference.encode())
        arrival = Arrival(
            key=TransactionKey("cmp", "00ff", requester, self.world.profile.name),
            event=event,
            now=self.world.now,
            authority=self.world.authority,
            message_hash=digest(requester, event.name.encode(), request or b""),
            certificate=None,
            request=read,
            same=None if read is None else read.hash,
        )
        dialogue = CmpDialogue(arrival, found[0] if secret else None, cert_hash, renewing)
        return engine(self.world).handle(arrival, dialogue)

    def issued(self, request: bytes, renewing: Certificate | None = None) -> IssuedCertificate:
        """What ir or kur is answered with, encrypted."""
        outcome = self.send(Event.request, request, renewing=renewing)
        assert isinstance(outcome, Issued) and outcome.accept_until is not None
        (transaction,) = (item for item in self.world.store.transactions() if item.key.protocol == "cmp")
        assert transaction.state is State.AWAITING_RELEASE
        return outcome.certificate


def test_cmp_encr_cert(make: MakeWorld) -> None:
    cmp = Cmp(make())
    store = cmp.world.store
    private, spki, request = kem_request("")
    certificate = cmp.issued(request)
    assert not store.certificates()  # with encrCert the certificate is the secret: it is in no list
    assert cmp.issued(request) == certificate  # a copy of ir gets it once more
    encrypted = seal(cmp.world, spki, certificate.der)
    cert_hash = hashlib.sha512(unseal(private, spki, encrypted)).digest()
    for _ in range(2):  # the first pkiConf was lost
        accepted = cmp.send(Event.accept, cert_hash=cert_hash)
        assert isinstance(accepted, Issued) and accepted.accept_until is None
        assert accepted.certificate == replace(certificate, released=True) and accepted.request.der == request
    assert [item.serial for item in store.certificates()] == [certificate.serial]
    assert store.transactions()[0].state is State.ISSUED
    (secret,) = store.credentials()
    assert secret.serial == certificate.serial  # used up


def test_a_wrong_acceptance_of_what_counts_already_changes_nothing(make: MakeWorld) -> None:
    cmp = Cmp(make())
    certificate = cmp.issued(csr())
    cert_hash = hashlib.sha512(certificate.der).digest()
    cmp.send(Event.accept, cert_hash=cert_hash)
    with pytest.raises(ProofFailed):
        cmp.send(Event.accept, cert_hash=bytes(64))
    with pytest.raises(UnknownTransaction):
        cmp.send(Event.reject)
    assert isinstance(cmp.send(Event.accept, cert_hash=cert_hash), Issued)


@pytest.mark.parametrize("event", [Event.poll, Event.accept, Event.reject])
def test_a_message_about_another_request_begins_nothing(make: MakeWorld, event: Event) -> None:
    cmp = Cmp(make())
    certificate = cmp.issued(csr())
    cmp.send(Event.accept, cert_hash=hashlib.sha512(certificate.der).digest())
    with pytest.raises(OtherRequest):
        cmp.send(event, csr("CN=other"), secret=False)
    assert len(cmp.world.store.transactions()) == 1


@pytest.mark.parametrize("spoiled", ["expired", "another subject", "another profile"])
def test_a_shared_secret_is_good_for_what_it_was_made_for(make: MakeWorld, spoiled: str) -> None:
    cmp = Cmp(make())
    world = cmp.world
    world.store.remove_credential(world.server_key.reference_identifier(cmp.reference))
    more: dict[str, Any] = {
        "expired": {"ttl": timedelta(0)},
        "another subject": {"subject": name("CN=somebody")},
        "another profile": {"profile": "admin"},
    }[spoiled]
    add_secret(world.store, world.server_key, cmp.reference, b"s3cret", world.random, now=world.now, **more)
    with pytest.raises(NotAuthorised, match=spoiled):
        cmp.send(Event.request, csr())
    assert not world.store.transactions()


@pytest.mark.parametrize("end", ["wrong hash", "rejected", "too late", "revoked", "revoked unseen"])
def test_cmp_certificates_that_are_not_accepted_are_revoked(make: MakeWorld, end: str) -> None:
    cmp = Cmp(make())
    world = cmp.world
    certificate = cmp.issued(kem_request("")[2])
    right = hashlib.sha512(certificate.der).digest()
    if end == "wrong hash":
        with pytest.raises(ProofFailed, match="badCertId"):
            cmp.send(Event.accept, cert_hash=bytes(64))
    elif end == "rejected":
        assert cmp.send(Event.reject) == Withdrawn()
    elif end == "too late":
        world.tick(timedelta(minutes=10, seconds=1))
        with pytest.raises(RequestRefused, match="not accepted in time"):
            cmp.send(Event.accept, cert_hash=right)
    else:
        world.store.revoke(certificate.authority, certificate.serial, reason="superseded", now=world.now)
        with pytest.raises(NotAuthorised, match="revoked"):
            cmp.send(Event.accept, cert_hash=right)
    found = world.store.certificate(certificate.authority, certificate.serial)
    assert found is not None and found.revoked_at == world.now and not found.released
    assert not world.store.certificates()
    assert world.store.transactions()[0].state is State.FAILED
    with pytest.raises(RequestRefused):
        cmp.send(Event.accept, cert_hash=right)  # one try


def test_another_request_is_refused_while_a_certificate_waits_to_be_accepted(make: MakeWorld) -> None:
    cmp = Cmp(make())
    certificate = cmp.issued(csr())
    with pytest.raises(OtherRequest):
        cmp.send(Event.request, csr("CN=other", password=cmp.world.password("otp")), secret=False)
    found = cmp.world.store.certificate(certificate.authority, certificate.serial)
    assert found is not None and found.revoked_at is None


def test_a_certificate_that_nobody_accepted_is_revoked_when_another_request_takes_its_place(make: MakeWorld) -> None:
    """Before `purge` has seen it: else no CRL would ever list it."""
    cmp = Cmp(make())
    certificate = cmp.issued(csr())
    cmp.world.tick(timedelta(minutes=10, seconds=1))
    assert cmp.send(Event.request, csr("CN=other"), secret=False) == Waiting(OPERATOR)
    found = cmp.world.store.certificate(certificate.authority, certificate.serial)
    assert found is not None and found.revoked_at == cmp.world.now


def test_a_renewal_is_not_accepted_when_what_it_rests_on_is_revoked(make: MakeWorld) -> None:
    cmp = Cmp(make())
    world = cmp.world
    old = Certificate.decode(simple_enroll(world, csr(password=world.password("otp")), user="alice")[1])
    (record,) = world.store.certificates()
    certificate = cmp.issued(csr(label="new key"), renewing=old)
    world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
    with pytest.raises(NotAuthorised, match="one that it rests on, was revoked"):
        cmp.send(Event.accept, cert_hash=hashlib.sha512(certificate.der).digest())
    found = world.store.certificate(certificate.authority, certificate.serial)
    assert found is not None and found.revoked_at == world.now and not found.released


def test_one_that_was_revoked_meanwhile_is_not_handed_out_again(make: MakeWorld) -> None:
    cmp = Cmp(make())
    request = csr()
    certificate = cmp.issued(request)
    cmp.world.store.revoke(certificate.authority, certificate.serial, reason="superseded", now=cmp.world.now)
    with pytest.raises(NotAuthorised, match="was revoked before it was released"):
        cmp.send(Event.request, request)


@dataclass
class Careless(Plain):
    """A protocol that renews without asking for a proof."""

    arrival: Arrival
    renewed: Certificate

    def application(self) -> Application:
        arrival = self.arrival
        assert arrival.request is not None and arrival.same is not None
        renewal = Renewal(self.renewed, explicit=True, proven=False)
        return Application(arrival.key, arrival.request, Identity(), arrival.same, renewal)


def test_what_a_protocol_has_not_proven_of_a_renewal_the_engine_does_not_believe(make: MakeWorld) -> None:
    world = make()
    victim = Certificate.decode(simple_enroll(world, csr(password=world.password("otp")), user="alice")[1])
    read = CertificationRequest.decode(csr(label="thief"))
    key = TransactionKey("est", "1", digest(b"thief"), world.profile.name)
    arrival = Arrival(key, Event.request, world.now, world.authority, digest(b"m"), None, read, read.hash)
    with pytest.raises(NotRenewable, match="not proven"):
        engine(world).handle(arrival, Careless(arrival, victim))
    assert len(world.store.certificates()) == 1


def test_no_protocol_certifies_a_name_of_the_ca(make: MakeWorld) -> None:
    world = make()
    request = csr(world.authority.ca.certificate.subject.rfc4514_string(), password=world.password("otp"))
    with pytest.raises(NamesRefused, match="a name of this CA"):
        simple_enroll(world, request, user="alice")


def test_what_an_authority_has_approved_rests_on_the_certificate_it_was_told_of(make: MakeWorld) -> None:
    """Revoked while the authority thinks, it brings no other."""
    world = make()
    first = simple_enroll(world, csr(password=world.password("otp")), user="alice")[1]
    client = Certificate.decode(first)

    class Thinks:
        def ask(self, application: Application, holds: IssuedCertificate | None) -> tuple[WebhookAnswer, str]:
            assert holds is not None and holds.der == first
            world.store.revoke(holds.authority, holds.serial, reason="superseded", now=world.now)
            return WebhookAnswer.APPROVE, ""

    records = Records([world.authority], world.store)
    world.authoriser = Authoriser([ExternalAuthority(Thinks(), records, None)])
    with pytest.raises(NotAuthorised, match="rests on is revoked"):
        simple_enroll(world, csr(label="new key"), client=client)


def test_nothing_is_granted_on_the_strength_of_a_certificate_that_does_not_count_yet(make: MakeWorld) -> None:
    cmp = Cmp(make())
    certificate = cmp.issued(csr(label="unreleased"))
    client = Certificate.decode(certificate.der)
    with pytest.raises(NotRenewable):
        simple_enroll(cmp.world, csr(label="new key"), client=client, reenroll=True)
    assert Records([cmp.world.authority], cmp.world.store).find(client) is None


def test_cmp_polls_until_an_operator_decides(make: MakeWorld) -> None:
    cmp = Cmp(make(MANUAL))
    request = csr()
    assert cmp.send(Event.request, request, secret=False) == Waiting(OPERATOR)
    assert cmp.send(Event.poll) == Waiting(OPERATOR)
    with pytest.raises(UnknownTransaction):
        cmp.send(Event.accept, cert_hash=bytes(64))
    cmp.world.decide(Decision.APPROVED)
    outcome = cmp.send(Event.poll)
    assert isinstance(outcome, Issued) and outcome.accept_until is not None
    cert_hash = hashlib.sha512(outcome.certificate.der).digest()
    assert isinstance(cmp.send(Event.accept, cert_hash=cert_hash), Issued)


def test_the_reference_of_a_secret_is_no_password(make: MakeWorld) -> None:
    """It is no secret; and the secret is no password either."""
    cmp = Cmp(make())
    for guess in (cmp.reference, "s3cret"):
        with pytest.raises(NotAuthorised, match="not valid"):
            simple_enroll(cmp.world, csr(password=guess), user="alice")
    assert find_secret(cmp.world.store, cmp.world.server_key, cmp.world.password("a password")) is None


# Somebody has to hear of a certificate before it counts


class Reporting(Heard):
    """An external authority that hears of certificates: as its script says, or never again."""

    reports = True

    def __init__(self, *script: Told | str | Busy) -> None:
        super().__init__()
        self.script = list(script)
        self.heard: list[int] = []

    def issued(self, application: Application, certificate: IssuedCertificate) -> Told:
        self.heard.append(certificate.serial)
        said = self.script.pop(0)
        if isinstance(said, Busy):
            raise said
        if isinstance(said, str):
            raise NotAuthorised(said)
        return said


def test_a_certificate_counts_when_the_authority_has_heard_of_it(make: MakeWorld) -> None:
    world, method = make(), Reporting(Told.LATER, Told.LATER, Told.RELEASED)
    world.authoriser = Authoriser([method])
    request = csr()
    for _ in range(2):
        assert simple_enroll(world, request, user="alice") == (202, b"")
        assert not world.store.certificates()
    assert simple_enroll(world, request, user="alice")[0] == 200
    assert simple_enroll(world, request, user="alice")[0] == 200
    assert len(world.store.certificates()) == 1 and len(method.heard) == 3 and len(set(method.heard)) == 1
    assert method.failures == []


def test_an_authority_that_is_busy_hears_of_it_later(make: MakeWorld) -> None:
    world, method = make(), Reporting(Busy("busy: come back"), Told.RELEASED)
    world.authoriser = Authoriser([method])
    request = csr()
    assert simple_enroll(world, request, user="alice") == (202, b"")
    assert simple_enroll(world, request, user="alice")[0] == 200


def test_the_authority_has_longer_to_hear_of_it_than_a_client_to_accept(make: MakeWorld) -> None:
    limits = Limits()
    cmp = Cmp(make())
    cmp.world.authoriser = Authoriser([Reporting(Told.LATER, Told.RELEASED)])
    certificate = cmp.issued(csr())
    cert_hash = hashlib.sha512(certificate.der).digest()
    assert cmp.send(Event.accept, cert_hash=cert_hash) == Waiting(REPORT)
    cmp.world.tick(limits.report_lifetime)
    assert isinstance(cmp.send(Event.accept, cert_hash=cert_hash), Issued)


def test_what_nobody_heard_of_in_a_day_is_revoked(make: MakeWorld) -> None:
    world, limits = make(), Limits()
    world.authoriser = Authoriser([Reporting(Told.LATER)])
    assert simple_enroll(world, csr(), user="alice") == (202, b"")
    world.tick(limits.report_lifetime)
    world.store.purge(world.now)
    assert not world.store.revocations(world.authority.identifier, now=world.now).listed
    world.tick(timedelta(seconds=1))
    world.store.purge(world.now)
    assert len(world.store.revocations(world.authority.identifier, now=world.now).listed) == 1


def test_a_certificate_that_the_authority_does_not_want_is_revoked(make: MakeWorld) -> None:
    world, method = make(), Reporting("the device was retired")
    world.authoriser = Authoriser([method])
    request = csr()
    with pytest.raises(NotAuthorised, match="retired"):
        simple_enroll(world, request, user="alice")
    assert method.failures == [(request, "the device was retired")]
    assert not world.store.certificates()
    (gone,) = world.store.revocations(world.authority.identifier, now=world.now).listed
    assert gone.serial == method.heard[0]
    with pytest.raises(RequestRefused, match="led to a certificate already; make a new one"):
        simple_enroll(world, request, user="alice")


class Deciding(Reporting):
    """One that also decides later."""

    pause = timedelta(0)

    def decide(self, application: Application, *, now: datetime) -> Pending:  # type: ignore[override]
        return Pending(OPERATOR)

    def again(self, application: Application, *, now: datetime) -> Approved:
        return Approved(self.name)


def test_an_authority_that_decided_later_hears_that_nothing_came_of_it(make: MakeWorld) -> None:
    world, method = make(), Deciding()
    method.reports = False
    world.authoriser = Authoriser([method])
    request = csr(label="compromised")
    first = simple_enroll(world, csr("CN=first", label="compromised"), user="bob")
    assert first == (202, b"") and simple_enroll(world, request, user="alice") == (202, b"")
    certificate = Certificate.decode(simple_enroll(world, csr("CN=first", label="compromised"), user="bob")[1])
    (record,) = world.store.certificates()
    assert record.der == certificate.der
    world.store.revoke(record.authority, record.serial, reason="keyCompromise", now=world.now)
    with pytest.raises(RequestRefused, match="keyCompromise"):
        simple_enroll(world, request, user="alice")
    assert [reason for _der, reason in method.failures] == [
        "a certificate for this key was revoked for keyCompromise; make a new key"
    ]


def test_also_when_the_authority_has_decided_later(make: MakeWorld) -> None:
    world, method = make(), Deciding("the device was retired")
    world.authoriser = Authoriser([method])
    request = csr()
    assert simple_enroll(world, request, user="alice") == (202, b"")
    with pytest.raises(NotAuthorised, match="retired"):
        simple_enroll(world, request, user="alice")
    assert method.failures == [(request, "the device was retired")]
    assert world.store.transactions()[0].state is State.FAILED


def test_also_when_possession_was_proven_before(make: MakeWorld) -> None:
    world, method = make(), Reporting("the device was retired")
    world.authoriser = Authoriser([method])
    private, spki, request = kem_request("")
    answer = full_cmc(world, request)
    assert isinstance(answer, Challenged)
    the_pop = hmac.digest(unseal(private, spki, answer.answer), request, "sha256")
    with pytest.raises(NotAuthorised, match="retired"):
        full_cmc(world, request, the_pop=the_pop, number=3)
    assert method.failures == [(request, "the device was retired")]
    assert world.store.transactions()[0].state is State.FAILED


def test_a_method_that_is_not_configured_any_more_hears_of_nothing(make: MakeWorld) -> None:
    world, method = make(), Reporting(Told.LATER)
    world.authoriser = Authoriser([method])
    assert simple_enroll(world, csr_once := csr(), user="alice") == (202, b"")
    world.authoriser = Authoriser([Heard()])
    assert simple_enroll(world, csr_once, user="alice")[0] == 200


def test_the_client_accepts_before_the_authority_hears_of_it(make: MakeWorld) -> None:
    cmp = Cmp(make())
    method = Reporting(Told.LATER, Told.RELEASED)
    cmp.world.authoriser = Authoriser([method])
    certificate = cmp.issued(csr())
    assert method.heard == []
    cert_hash = hashlib.sha512(certificate.der).digest()
    assert cmp.send(Event.accept, cert_hash=cert_hash) == Waiting(REPORT)
    assert not cmp.world.store.certificates()
    assert isinstance(cmp.send(Event.accept, cert_hash=cert_hash), Issued)
    assert len(cmp.world.store.certificates()) == 1


def test_two_protocols_do_not_share_a_transaction(make: MakeWorld) -> None:
    world = make(MANUAL)
    request = csr()
    assert full_cmc(world, request) == Waiting(OPERATOR)
    assert simple_enroll(world, request, user="x") == (202, b"")
    assert len(world.store.transactions()) == 2
