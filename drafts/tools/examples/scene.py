"""One example being played: a CA, a client, the messages between them and every random value that was drawn.

A scene uses the public API alone: `scep.client` and `scep.responder`, which are given labelled randomness, a fixed
clock and deterministic keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ca import methods
from ca.authorities import Authorities
from ca.credentials import add_password
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision, State
from drafts.tools.examples.keyring import Keyring
from drafts.tools.examples.parties import Cast, ExampleCa
from drafts.tools.labelled import NOW, Labelled, LabelledBackend
from kem.backends import Backends
from pkix.algorithms import AES256_GCM, ContentCipher
from pkix.asn1 import encode
from pkix.certificates import Certificate, key_identifier
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import Signer
from scep.ca_certificates import CaCertificates
from scep.client import ClientSettings, Enrolment, Issued, KemKey, Proof, Query, Refused, StillPending
from scep.responder import Responder
from scep.settings import KemPolicy, Settings

AUTOMATIC = AuthorisationPolicy(challenge_password=True, renewal=True)
MANUAL = AuthorisationPolicy(challenge_password=True, renewal=True, manual=True)
CLIENT, CA = "client", "CA"


@dataclass(frozen=True)
class Message:
    """number: within its example. what: for people and file names. sender: CLIENT or CA."""

    number: int
    what: str
    sender: str
    octets: bytes

    @property
    def file_name(self) -> str:
        """GetCACaps alone is text."""
        return f"{self.number}-{self.what}.{'txt' if self.what == 'GetCACaps' else 'der'}"


@dataclass(frozen=True)
class Derived:
    """What the client made of one challenge. number: of the CertRep with it. request: the message that it is bound to.
    keys: the KEM keys with their labels, in the order of the ciphertexts.
    """

    number: int
    request: Message
    proof: Proof
    keys: tuple[tuple[str, KemKey], ...]
    transaction_id: str


@dataclass
class Scene:
    """name: such as "02-mlkem768", which begins all its labels. policy, kem, settings: the CA's. messages, derived:
    what happened. randoms, kem_backends: where every random value came from. keyring: whoever can open an envelope.
    """

    name: str
    title: str
    cast: Cast
    ca: ExampleCa
    policy: AuthorisationPolicy = AUTOMATIC
    kem: KemPolicy = field(default_factory=KemPolicy)
    settings: Settings = field(default_factory=Settings)
    now: datetime = NOW
    messages: list[Message] = field(default_factory=list)
    derived: list[Derived] = field(default_factory=list)
    randoms: list[Labelled] = field(default_factory=list)
    kem_backends: list[LabelledBackend] = field(default_factory=list)
    keyring: Keyring = field(default_factory=Keyring)

    def __post_init__(self) -> None:
        self.responder = self._responder(self.kem, "ca")
        authority = self.ca.authority
        for pair in authority.ra_kem:
            certificate = Certificate.of(pair.certificate)
            label = next(item.label for item in self.cast.parties.values() if item.certificate == certificate.der)
            self.keyring.kems[encode(certificate.issuer_and_serial)] = (label, pair.key)

    def _responder(self, kem: KemPolicy, who: str) -> Responder:
        profile, authorities = Profile(), Authorities(self.ca.authority)
        authoriser = methods.authoriser(
            policy=self.policy,
            profile=profile,
            authorities=authorities.all,
            store=self.ca.store,
            server_key=self.ca.server_key,
            webhook=None,
        )
        return Responder(
            profile=profile,
            authorities=authorities,
            authoriser=authoriser,
            store=self.ca.store,
            server_key=self.ca.server_key,
            settings=self.settings,
            kem=kem,
            backends=self.backends(who),
            random=self.random(who),
        )

    def other_policy(self, kem: KemPolicy, who: str) -> None:
        """The same CA under another policy, from now on."""
        self.responder = self._responder(kem, who)

    def random(self, who: str) -> Labelled:
        """The random values of one participant."""
        made = Labelled(f"{self.name}/{who}")
        assert made.label not in [random.label for random in self.randoms], "the values would be the same again"
        self.randoms.append(made)
        return made

    def backends(self, who: str) -> Backends:
        """ML-KEM of one participant."""
        made = LabelledBackend(f"{self.name}/{who}/encaps")
        self.kem_backends.append(made)
        return Backends((made,))

    def source(self, octets: bytes) -> str | None:
        """Which value of which label this is."""
        for random in self.randoms:
            if octets in random.drawn:
                return f'value {random.drawn.index(octets)} of "{random.label}"'
        return None

    def m_of(self, kemct: bytes) -> tuple[str, bytes]:
        """The m that a ciphertext was made from: which value of which label, and its octets. Raises KeyError."""
        for backend in self.kem_backends:
            if kemct in backend.ciphertexts:
                index = backend.ciphertexts.index(kemct)
                return f'value {index} of "{backend.random.label}"', backend.random.drawn[index]
        raise KeyError("a ciphertext that nobody here made")

    # What happens

    def password(self, text: str) -> str:
        """Register a one-time challengePassword."""
        add_password(self.ca.store, self.ca.server_key, text, now=self.now, one_time=True, weak=True)
        return text

    def tick(self, **more: int) -> None:
        """Let time pass."""
        self.now += timedelta(**more)

    def decide(self, decision: Decision, reason: str = "") -> None:
        """The operator's decision on the one waiting request."""
        (waiting,) = self.ca.store.transactions(State.AWAITING_APPROVAL)
        self.ca.store.replace(waiting, replace(waiting, decision=decision, reason=reason))

    def record(self, what: str, sender: str, octets: bytes) -> Message:
        """A message that was sent."""
        made = Message(len(self.messages) + 1, what, sender, octets)
        self.messages.append(made)
        return made

    def get_capabilities(self) -> None:
        """GetCACaps, shown."""
        self.record("GetCACaps", CA, self.responder.get_ca_caps())

    def get_certificates(self) -> None:
        """GetCACert, shown."""
        self.record("GetCACert", CA, self.responder.get_ca_cert()[0])

    def certificates(self) -> CaCertificates:
        """What the client has from GetCACert."""
        body, _media_type = self.responder.get_ca_cert()
        return CaCertificates.decode(body, fingerprint=self.ca.authority.identifier, now=self.now)

    def client_settings(self, who: str = CLIENT, cipher: ContentCipher = AES256_GCM, **more: Any) -> ClientSettings:
        """A client that speaks ML-KEM and nothing older."""
        return ClientSettings(cipher=cipher, backends=self.backends(who), require_kem=True, **more)

    def enrolment(
        self,
        request: bytes,
        signer: Signer,
        *,
        who: str = CLIENT,
        settings: ClientSettings | None = None,
        transaction_id: str | None = None,
        keys: tuple[tuple[str, KemKey], ...] = (),
        **more: Any,
    ) -> Client:
        """A client with one request. keys: its KEM keys with their labels, the requested one first."""
        random = self.random(who)
        for label, kem in keys[:1]:
            self.keyring.kems[key_identifier(kem.spki)] = (label, kem.key)
        arguments: dict[str, Any] = {
            "renewal": False,
            "ca": self.certificates(),
            "capabilities": self.responder.get_ca_caps() if keys else None,
            "kem": keys[0][1] if keys else None,
            "renewed": keys[1][1] if len(keys) > 1 else None,
        }
        enrolment = Enrolment(
            request=CertificationRequest.decode(request),
            signer=signer,
            transaction_id=transaction_id or random(16).hex(),
            settings=settings or self.client_settings(who),
            random=random,
            **arguments | more,
        )
        return Client(self, enrolment, keys)

    def query(self, *arguments: Any, **more: Any) -> Query:
        """A GetCert."""
        random = self.random(CLIENT)
        settings = self.client_settings()
        return Query(
            *arguments,
            ca=self.certificates(),
            transaction_id=random(16).hex(),
            settings=settings,
            random=random,
            **more,
        )

    def send(self, what: str, octets: bytes, receive: Callable[[bytes], Any]) -> Any:
        """PKIOperation: record request and answer, and let the client read that."""
        self.record(what, CLIENT, octets)
        body = self.responder.pki_operation(octets, now=self.now).body
        outcome = receive(body)
        status = {Issued: "SUCCESS", StillPending: "PENDING", Refused: "FAILURE"}[type(outcome)]
        self.record(f"CertRep-{status}", CA, body)
        return outcome


@dataclass
class Client:
    """A client with one request and one transaction."""

    scene: Scene
    enrolment: Enrolment
    keys: tuple[tuple[str, KemKey], ...]
    asked: Message | None = None

    def start(self, what: str = "PKCSReq") -> Any:
        """Send the request and take the answer."""
        return self._send(what, self.enrolment.start(now=self.scene.now))

    def poll(self) -> Any:
        """Send a CertPoll and take the answer."""
        return self._send("CertPoll", self.enrolment.poll(now=self.scene.now))

    def _send(self, what: str, octets: bytes) -> Any:
        before = self.enrolment.proof
        outcome = self.scene.send(what, octets, self.enrolment.receive)
        request, answer = self.scene.messages[-2:]
        if what != "CertPoll":
            self.asked = request
        proof = self.enrolment.proof
        if proof is not None and proof is not before:
            assert self.asked is not None
            made = Derived(answer.number, self.asked, proof, self.keys, self.enrolment.transaction_id)
            self.scene.derived.append(made)
        return outcome
