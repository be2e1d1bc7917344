"""The examples that end well: what happens in each, and how much of it its text shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from ca.store import Decision
from drafts.tools.examples.page import Form, Page
from drafts.tools.examples.parties import EPHEMERAL, Cast, ExampleCa, kem_ca, name, rsa_ca
from drafts.tools.examples.scene import MANUAL, Client, Scene
from kem.exchange import POP_SHA512
from kem.keys import DecapsulationKey
from pkix.algorithms import AES128
from pkix.asn1 import encode
from pkix.certificates import Certificate
from pkix.pkcs10 import encode_certification_request, encode_statement_request, encode_unsigned_request
from pkix.signed_data import Signer
from scep.attributes import RESPONSE_KEY
from scep.client import ClientSettings, Issued, KemKey, StillPending
from scep.kem_pop import encode_response_key
from scep.settings import KemPolicy, Pop

CHALLENGED, WAITING = StillPending(challenged=True), StillPending()


@dataclass(frozen=True)
class Story:
    """A scene that has been played, and how to tell it."""

    scene: Scene
    tell: Callable[[Page], None]


@dataclass
class Stage:
    """What the stories share. issued: certificates by the label of their key."""

    cast: Cast = field(default_factory=Cast)
    issued: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rsa = rsa_ca(self.cast)
        self.ca = kem_ca(self.cast, "ML-KEM-768", "ra-mlkem768")
        self.ca_1024 = kem_ca(self.cast, "ML-KEM-1024", "ra-mlkem1024")

    def scene(self, scene_name: str, title: str, ca: ExampleCa | None = None, **more: Any) -> Scene:
        """A scene at the P-256 CA with ML-KEM-768, unless at another."""
        return Scene(scene_name, title, self.cast, ca or self.ca, **more)

    def signer(self, number: str) -> Signer:
        """The ephemeral signer of the usual client."""
        what = f"ephemeral signer of device {number}"
        return self.cast.self_signed("ec:P-256", f"signer-{number}", EPHEMERAL, what)

    def kem_client(
        self,
        scene: Scene,
        number: str,
        *,
        with_password: bool = True,
        password: str | None = None,
        private: DecapsulationKey | None = None,
        **more: Any,
    ) -> Client:
        """The usual client: an ML-KEM-768 key, an ephemeral P-256 signer and a new challengePassword, unless there is
        to be none or an old one. private: what it decapsulates with, if that is not its own key.
        """
        label = f"device-{number}"
        key = self.cast.kem_key("ML-KEM-768", label, f"key of device {number}")
        if with_password and password is None:
            password = scene.password(f"password-{number}")
        request = encode_unsigned_request(key.spki, name(f"CN=device {number}"), challenge_password=password)
        keys = ((label, KemKey(private or key.key, key.spki)),)
        return scene.enrolment(request, self.signer(number), keys=keys, **more)


def expect(outcome: object, expected: object) -> None:
    """Raises AssertionError when a story went another way than it is told."""
    assert outcome == expected, outcome


def issued(outcome: object) -> bytes:
    """The certificate of a SUCCESS."""
    assert isinstance(outcome, Issued), outcome
    return outcome.certificate


def classic_rsa(stage: Stage) -> Story:
    """RFC 8894 as it was."""
    scene = stage.scene(
        "01-classic-rsa",
        "RFC 8894 unchanged: an RSA CA, an RSA device, PKCSReq and CertRep SUCCESS, AES-128-CBC.",
        stage.rsa,
        kem=KemPolicy(classic=True),
    )
    ca_key = stage.rsa.authority.ca.key
    assert isinstance(ca_key, rsa.RSAPrivateKey)
    scene.keyring.rsa[encode(stage.rsa.authority.certificate.issuer_and_serial)] = ("rsa-ca", ca_key)
    signer = stage.cast.self_signed("rsa:2048", "rsa-device", "CN=device 1", "key and self-signed signer of device 1")
    assert isinstance(signer.key, rsa.RSAPrivateKey)
    scene.keyring.rsa[encode(signer.certificate.issuer_and_serial)] = ("rsa-device", signer.key)
    request = encode_certification_request(
        signer.key, name("CN=device 1"), challenge_password=scene.password("password-1")
    )
    scene.get_capabilities()
    scene.get_certificates()
    client = scene.enrolment(request, signer, settings=ClientSettings(cipher=AES128))
    issued(client.start())
    return Story(scene, lambda page: page.messages())


def mlkem768(stage: Stage) -> Story:
    """The main example."""
    scene = stage.scene(
        "02-mlkem768",
        "A certificate for an ML-KEM-768 key: P-256 CA with an ML-KEM-768 RA certificate, ephemeral P-256 signer, "
        "AES-256-GCM, proof of possession with HKDF-SHA256.",
    )
    scene.get_capabilities()
    scene.get_certificates()
    client = stage.kem_client(scene, "2")
    expect(client.start(), CHALLENGED)
    stage.issued["device-2"] = issued(client.poll())
    return Story(scene, lambda page: page.messages())


def mlkem1024(stage: Stage) -> Story:
    """Larger keys, a signature that is not of today, and the other parameters of the proof."""
    scene = stage.scene(
        "03-mlkem1024",
        "A certificate for an ML-KEM-1024 key: ML-KEM-1024 RA certificate, ephemeral ML-DSA-65 signer, proof of "
        "possession with HKDF-SHA512.",
        stage.ca_1024,
        kem=KemPolicy(parameters=POP_SHA512),
    )
    scene.get_capabilities()
    scene.get_certificates()
    key = stage.cast.kem_key("ML-KEM-1024", "device-3", "key of device 3")
    signer = stage.cast.self_signed("ml-dsa-65", "signer-3", EPHEMERAL, "ephemeral signer of device 3")
    password = scene.password("password-3")
    request = encode_unsigned_request(key.spki, name("CN=device 3"), challenge_password=password)
    client = scene.enrolment(request, signer, keys=(("device-3", key),))
    expect(client.start(), CHALLENGED)
    issued(client.poll())

    def tell(page: Page) -> None:
        page.messages(1, 2, form=Form.full)
        page.messages(3, form=Form.content)
        page.messages(4, form=Form.full)
        page.messages(5, 6, form=Form.brief)

    return Story(scene, tell)


def rfc9883(stage: Stage) -> Story:
    """The device has a signing certificate, of the example response-key, which is played before."""
    scene = stage.scene(
        "04-rfc9883",
        "A PKCS#10 request for an ML-KEM-768 key that is signed by the device's existing P-256 key, with a "
        "statement of possession (RFC 9883). The RenewalReq is signed by the same key. The challenge follows all "
        "the same. Messages 5 and 6: the same CertificationRequest to a CA whose policy is that the statement is "
        "enough.",
    )
    certificate = Certificate.decode(stage.issued["device-6"])
    signer = Signer(stage.cast.signing_key("ec:P-256", "device-6", "key of device 6"), certificate)
    key = stage.cast.kem_key("ML-KEM-768", "device-4", "second key of device 6")
    request = encode_statement_request(key.spki, name("CN=device 6"), signer.key, certificate)
    client = scene.enrolment(request, signer, keys=(("device-4", key),), renewal=True)
    expect(client.start("RenewalReq"), CHALLENGED)
    issued(client.poll())
    scene.other_policy(KemPolicy(pop=Pop.statement), "statement-ca")
    again = scene.enrolment(request, signer, keys=(("device-4", key),), renewal=True, who="statement-client")
    issued(again.start("RenewalReq"))

    def tell(page: Page) -> None:
        page.messages(1, form=Form.content)
        page.messages(2, 3, 4, form=Form.attributes)
        page.listing(5, 6)
        page.attributes(6)

    return Story(scene, tell)


def kem_renewal(stage: Stage) -> Story:
    """The certificate of 02-mlkem768 is renewed, and only its key can say so."""
    scene = stage.scene(
        "05-kem-renewal",
        "Renewal of the certificate of 02-mlkem768 with a new ML-KEM-768 key. The RenewalReq is signed by an ephemeral "
        "key, and the certificate to renew comes with it. The challenge has two ciphertexts, and ssk needs both "
        "secrets.",
    )
    old = Certificate.decode(stage.issued["device-2"])
    renewed = stage.cast.kem_key("ML-KEM-768", "device-2", "key of device 2")
    key = stage.cast.kem_key("ML-KEM-768", "device-5", "new key of device 2")
    signer = stage.cast.self_signed("ec:P-256", "signer-5", "CN=device 2", "ephemeral signer of the renewal")
    request = encode_unsigned_request(key.spki, name("CN=device 2"))
    keys = (("device-5", key), ("device-2", KemKey(renewed.key, renewed.spki, old)))
    client = scene.enrolment(request, signer, keys=keys, renewal=True)
    expect(client.start("RenewalReq"), CHALLENGED)
    issued(client.poll())

    def tell(page: Page) -> None:
        page.messages(1, form=Form.content)
        page.messages(2, form=Form.full)
        page.messages(3, 4, form=Form.attributes)

    return Story(scene, tell)


def response_key(stage: Stage) -> Story:
    """The requested key signs and does not decrypt."""
    scene = stage.scene(
        "06-response-key",
        "A P-256 device, whose key cannot decrypt the answer. Its CertificationRequest brings a responseKey, and the "
        "answer is encrypted under it with a KEKRecipientInfo.",
    )
    signer = stage.cast.self_signed("ec:P-256", "device-6", "CN=device 6", "key and self-signed signer of device 6")
    random = scene.random("response-key")
    identifier, kek = random(16), random(32)
    scene.keyring.keks[identifier] = ("responseKey", kek)
    request = encode_certification_request(
        signer.key,
        name("CN=device 6"),
        challenge_password=scene.password("password-6"),
        attributes=[(RESPONSE_KEY, encode_response_key(identifier, kek))],
    )
    stage.issued["device-6"] = issued(scene.enrolment(request, signer).start())
    return Story(scene, lambda page: page.messages(form=Form.content))


def manual_approval(stage: Stage) -> Story:
    """Between the proof and the certificate, somebody has to approve."""
    scene = stage.scene(
        "07-manual-approval",
        "No challengePassword: possession is proven first, and then an operator approves. Message 4 is PENDING "
        "without a challenge, and the client polls again, one hour later, after the approval.",
        policy=MANUAL,
    )
    client = stage.kem_client(scene, "7", with_password=False)
    expect(client.start(), CHALLENGED)
    expect(client.poll(), WAITING)
    scene.tick(hours=1)
    scene.decide(Decision.APPROVED)
    issued(client.poll())

    def tell(page: Page) -> None:
        page.listing(1, 3, 5)
        page.messages(2, form=Form.attributes)
        page.attributes(4)
        page.attributes(6)

    return Story(scene, tell)
