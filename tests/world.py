"""A CA with its responder and its clients in memory, with a fixed clock and reproducible randomness.

    world = World(key_type="ec:P-256")
    device = world.device("rsa:2048", password=world.password())
    issued = device.enrol()

Keys are made once per run and shared (`key`): making RSA keys is what a test run would otherwise spend its time on.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from ca import methods
from ca.authorities import Authorities
from ca.authority import Authority, create_authority
from ca.credentials import add_password
from ca.events import Reply
from ca.memory_store import MemoryStore
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.sealing import ServerKey
from ca.store import Decision, State, Store
from ca.webhook import Webhook
from kem.backends import load
from kem.keys import DecapsulationKey, EncapsulationKey, encode_public_key
from kem.parameters import by_name
from pkix.algorithms import AES256_GCM
from pkix.asn1 import Oid
from pkix.certificates import Certificate
from pkix.keys import generate
from pkix.pkcs10 import CertificationRequest, encode_certification_request, encode_unsigned_request
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from scep.ca_certificates import CaCertificates
from scep.client import ClientSettings, Enrolment, Issued, KemKey, Refused, StillPending, self_signed
from scep.messages import PkiMessage
from scep.responder import Responder
from scep.settings import KemPolicy, Settings

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
BACKENDS = load("cryptography")
ALL_METHODS = AuthorisationPolicy(challenge_password=True, renewal=True, manual=True)
AUTOMATIC = AuthorisationPolicy(challenge_password=True, renewal=True)


class Random:
    """Octets that are the same in every run: SHA-256 of a label and a counter. Not for anything but tests."""

    def __init__(self, label: str) -> None:
        self._label = label.encode()
        self._count = 0

    def __call__(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            self._count += 1
            found += hashlib.sha256(self._label + self._count.to_bytes(4, "big")).digest()
        return found[:size]


@functools.cache
def key(key_type: str, label: str = "") -> SigningKey:
    """A private key; the same one for the same type and label within a run."""
    return generate(key_type)


@functools.cache
def kem_key(parameter_set: str = "ML-KEM-768", label: str = "") -> tuple[DecapsulationKey, EncapsulationKey]:
    """An ML-KEM key pair from a seed that depends on the label alone."""
    private = DecapsulationKey(by_name(parameter_set), seed=Random(f"kem {parameter_set} {label}")(64))
    return private, BACKENDS.encapsulation_key(private)


@functools.cache
def authority(
    key_type: str = "rsa:2048",
    ra_key_type: str | None = None,
    label: str = "CA",
    kems: tuple[str, ...] = (),
    rsa_decryption: bool = True,
) -> Authority:
    """An authority; the same one for the same arguments within a run. kems: parameter sets of RA keys."""
    return create_authority(
        name(f"CN={label},O=Example"),
        key_type,
        ra_key_type=ra_key_type,
        now=NOW,
        random=Random(f"authority {label} {key_type} {kems}"),
        ra_kem=[kem_key(kem, f"RA {label}") for kem in kems],
        rsa_decryption=rsa_decryption,
    )


def name(text: str) -> x509.Name:
    """A Name from RFC 4514 text."""
    return x509.Name.from_rfc4514_string(text)


class World:
    """One CA. `now` moves only when a test moves it (`tick`)."""

    def __init__(
        self,
        key_type: str = "rsa:2048",
        *,
        ra_key_type: str | None = None,
        policy: AuthorisationPolicy = AUTOMATIC,
        profile: Profile | None = None,
        settings: Settings | None = None,
        store: Store | None = None,
        webhook: Webhook | None = None,
        previous: tuple[Authority, ...] = (),
        retired: tuple[Authority, ...] = (),
        next_authority: Authority | None = None,
        current: Authority | None = None,
        kem: KemPolicy | None = None,
        seed: str = "world",
    ) -> None:
        self.now = NOW
        self.random = Random(seed)
        self.authority = current or authority(key_type, ra_key_type)
        self.store: Store = store or MemoryStore()
        self.server_key = ServerKey(b"\x01" * 32)
        self.profile = profile or Profile()
        authorities = Authorities(self.authority, previous, next_authority, retired)
        self.backends = BACKENDS
        self.authoriser = methods.authoriser(
            policy=policy,
            profile=self.profile,
            authorities=authorities.all,
            store=self.store,
            server_key=self.server_key,
            webhook=webhook,
        )
        self.responder = Responder(
            profile=self.profile,
            authorities=authorities,
            authoriser=self.authoriser,
            store=self.store,
            server_key=self.server_key,
            settings=settings or Settings(),
            kem=kem or KemPolicy(),
            backends=self.backends,
            random=self.random,
        )

    def tick(self, delta: timedelta) -> None:
        """Move the clock."""
        self.now += delta

    def password(self, text: str = "one-time secret", *, one_time: bool = True, **more: Any) -> str:
        """Register a challenge password and return it."""
        add_password(self.store, self.server_key, text, now=self.now, one_time=one_time, weak=True, **more)
        return text

    def ca_certificates(self) -> CaCertificates:
        """GetCACert, authenticated by fingerprint."""
        body, _media_type = self.responder.get_ca_cert()
        return CaCertificates.decode(body, fingerprint=self.authority.fingerprint, now=self.now)

    def device(self, key_type: str = "rsa:2048", **more: Any) -> Device:
        """A client; see Device."""
        return Device(self, key_type, **more)

    def send(self, message: bytes) -> Reply:
        """PKIOperation."""
        return self.responder.pki_operation(message, now=self.now)

    def decide(self, decision: Decision, reason: str = "") -> None:
        """The operator's decision on the one waiting request."""
        (waiting,) = self.store.transactions(State.AWAITING_APPROVAL)
        self.store.replace(waiting, replace(waiting, decision=decision, reason=reason))


class Device:
    """A client with one key, one request and one transaction."""

    def __init__(
        self,
        world: World,
        key_type: str = "rsa:2048",
        *,
        subject: str = "CN=device,O=Example",
        password: str | None = None,
        label: str = "device",
        transaction_id: str = "transaction-1",
        settings: ClientSettings | None = None,
        capabilities: bool = True,
        kem: KemKey | None = None,
        renewed: KemKey | None = None,
        extensions: list[x509.Extension[x509.ExtensionType]] | None = None,
        signer: Signer | None = None,
        renewal: bool = False,
        request: bytes | None = None,
    ) -> None:
        self.world = world
        self.key = key(key_type, label)
        self.request = CertificationRequest.decode(
            request
            or encode_certification_request(self.key, name(subject), challenge_password=password, extensions=extensions)
        )
        if signer is None:
            certificate = self_signed(self.key, name(subject), now=world.now, random=Random(f"self-signed {label}"))
            signer = Signer(self.key, Certificate.of(certificate))
        self.signer = signer
        self.enrolment = Enrolment(
            request=self.request,
            renewal=renewal,
            ca=world.ca_certificates(),
            signer=signer,
            transaction_id=transaction_id,
            settings=settings or ClientSettings(),
            random=Random(f"client {label} {transaction_id}"),
            kem=kem,
            renewed=renewed,
            capabilities=world.responder.get_ca_caps() if capabilities and kem is not None else None,
        )

    def start(self) -> bytes:
        """The PKCSReq or RenewalReq."""
        return self.enrolment.start(now=self.world.now)

    def enrol(self) -> Issued | StillPending | Refused:
        """Send the request and take the answer."""
        return self.enrolment.receive(self.world.send(self.start()).body)

    def poll(self) -> Issued | StillPending | Refused:
        """Send a CertPoll and take the answer."""
        return self.enrolment.receive(self.world.send(self.enrolment.poll(now=self.world.now)).body)

    def renewal(self, issued: Issued, key_type: str = "rsa:2048", **more: Any) -> Device:
        """A device that renews `issued`, with a new key."""
        signer = Signer(self.key, Certificate.decode(issued.certificate))
        arguments: dict[str, Any] = {"label": "renewed", "transaction_id": "renewal-1", "renewal": True} | more
        return Device(self.world, key_type, signer=signer, **arguments)


def kem_device(
    world: World,
    parameter_set: str = "ML-KEM-768",
    *,
    signer_key: str = "ec:P-256",
    subject: str = "CN=kem device,O=Example",
    password: str | None = None,
    label: str = "kem device",
    settings: ClientSettings | None = None,
    attributes: Sequence[tuple[Oid, bytes]] = (),
    **more: Any,
) -> Device:
    """A client whose requested key is an ML-KEM key, with an ephemeral signer."""
    private, public = kem_key(parameter_set, label)
    spki = encode_public_key(public)
    request = encode_unsigned_request(spki, name(subject), challenge_password=password, attributes=attributes)
    chosen = settings or ClientSettings(cipher=AES256_GCM, backends=world.backends, require_kem=True)
    return Device(
        world,
        signer_key,
        subject=subject,
        label=label,
        request=request,
        settings=chosen,
        kem=KemKey(private, spki),
        **more,
    )


def reply_of(world: World, message: bytes) -> PkiMessage:
    """The responder's answer to any message, decoded but not checked."""
    return PkiMessage.decode(world.send(message).body)
