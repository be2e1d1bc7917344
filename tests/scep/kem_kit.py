"""What the tests of the KEM proof of possession share: worlds, devices, and ways to change one thing on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cryptography import x509

from ca.store import State, Store, Transaction
from kem.backend import Encapsulation
from kem.backends import Backends
from kem.cryptography_backend import CryptographyBackend
from kem.errors import KemError
from kem.keys import DecapsulationKey, EncapsulationKey, encode_public_key
from pkix.algorithms import AES256_GCM
from pkix.asn1 import Oid
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.pkcs10 import encode_statement_request, encode_unsigned_request
from pkix.signed_data import Signer
from scep.attributes import KEM_POP_CHALLENGE, KEM_POP_CONFIRM, FailInfo
from scep.client import ClientSettings, Issued, KemKey, Refused, StillPending
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.seen import Seen
from tests.world import BACKENDS, Device, World, authority, kem_device, kem_key, key, name

SUBJECT = "CN=kem device,O=Example"
WRONG_PROOF = "the proof of possession is wrong"
EXPIRED = "the challenge has expired on "
UNKNOWN = "no request matches this transactionID and requester"
CHALLENGED = StillPending(challenged=True)


def kem_world(
    key_type: str = "ec:P-256",
    ra_key_type: str | None = None,
    *,
    kems: tuple[str, ...] = ("ML-KEM-768",),
    label: str = "CA",
    rsa: bool = False,
    **more: Any,
) -> World:
    """A CA whose RA has ML-KEM keys, and an RSA key only if asked."""
    return World(current=authority(key_type, ra_key_type, label, kems, rsa), **more)


def classic_settings(**more: Any) -> ClientSettings:
    """A client that encrypts with AES-GCM and to ML-KEM keys."""
    return ClientSettings(**({"cipher": AES256_GCM, "backends": BACKENDS, "require_kem": True} | more))


def pending(device: Device) -> bytes:
    """Send the request; the octets of the CertRep with its challenge, which the device has answered for itself."""
    body = device.world.send(device.start()).body
    assert device.enrolment.receive(body) == CHALLENGED
    return body


def challenged(world: World, **more: Any) -> Device:
    """A KEM device whose challenge is waiting to be confirmed. Its password is new unless given."""
    if "password" not in more:
        more["password"] = world.password(f"password of {more.get('label', 'kem device')}")
    device = kem_device(world, **more)
    pending(device)
    return device


def enrolled(world: World, **more: Any) -> Issued:
    """What a KEM device gets."""
    return issued(challenged(world, **more).poll())


def issued(answer: object) -> Issued:
    """A success."""
    assert isinstance(answer, Issued), f"{answer}"[:200]
    return answer


def refused(answer: object, fail_info: FailInfo = FailInfo.badRequest, text: str = "") -> str:
    """The text of a failure, which holds `text`."""
    assert isinstance(answer, Refused), f"{answer}"[:200]
    assert answer.fail_info is fail_info, answer
    assert answer.text is not None
    assert text in answer.text, answer.text
    return answer.text


def only(store: Store) -> Transaction:
    """The one transaction."""
    (found,) = store.transactions()
    return found


def state(world: World) -> State:
    """Where the one transaction stands."""
    return only(world.store).state


def kept_secret(world: World) -> bytes:
    """What the Store keeps for the challenge of the one transaction, opened."""
    transaction = only(world.store)
    assert transaction.secret_id is not None
    purpose = b"challenge " + transaction.key.hash + transaction.secret_id.encode()
    return world.server_key.open(secrets(world)[transaction.secret_id][0], purpose)


def secrets(world: World) -> dict[str, Any]:
    """What the in-memory Store keeps as secrets."""
    found: dict[str, Any] = world.store._secrets  # type: ignore[attr-defined]
    return found


def confirmation(device: Device) -> bytes:
    """The kemPopConfirm that the device would send next."""
    confirm = device.enrolment._confirm
    assert confirm is not None
    return confirm


def confirm_with(device: Device, confirm: bytes | None) -> Issued | StillPending | Refused:
    """Poll with this kemPopConfirm in place of the device's own."""
    device.enrolment._confirm = confirm
    return device.poll()


def confirm_parts(confirm: bytes) -> Node:
    """The tree of a kemPopConfirm: version, [0] capsHash unless absent, mac."""
    return Node.parse(confirm)


def challenge_parts(body: bytes) -> Node:
    """The tree of the kemPopChallenge in a CertRep."""
    der = Seen(body).value(KEM_POP_CHALLENGE.dotted_string)
    assert der is not None
    return Node.parse(der)


def ciphertexts(body: bytes) -> list[bytes]:
    """The KEM ciphertexts in a CertRep."""
    return [info[1].content for info in challenge_parts(body)[1]]


def resigned(
    world: World, body: bytes, changes: dict[Oid, bytes | None], *, signer: Signer | None = None, **more: Any
) -> bytes:
    """A CertRep with other attributes (None: without), signed again, by the CA unless said otherwise."""
    found = Seen(body)
    attributes = {Oid(kind): [value] for kind, value in found.attributes.items()}
    for kind in ("1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5"):
        attributes.pop(Oid(kind), None)
    for kind, value in changes.items():
        attributes.pop(kind, None)
        if value is not None:
            attributes[kind] = [value]
    return craft.reply(world, attributes, found.content, **({"signer": signer} if signer else {}), **more)


class Counting(CryptographyBackend):
    """Counts what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.decapsulations = 0
        self.encapsulations = 0
        self.sent: list[Encapsulation] = []

    def encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        self.encapsulations += 1
        made = super().encapsulate(key)
        self.sent.append(made)
        return made

    def decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        self.decapsulations += 1
        return super().decapsulate(key, ciphertext)


def counting(**more: Any) -> tuple[Counting, ClientSettings]:
    """A backend that counts, and a client that uses it."""
    backend = Counting()
    return backend, classic_settings(backends=Backends((backend,)), **more)


def with_request(world: World, request: bytes, *, label: str = "kem device", **more: Any) -> Device:
    """A KEM device with any PKCS #10 request. The ephemeral signer is a P-256 key unless given."""
    private, public = kem_key("ML-KEM-768", label)
    arguments: dict[str, Any] = {"subject": SUBJECT, "label": label, "settings": classic_settings()}
    arguments |= {"kem": KemKey(private, encode_public_key(public))} | more
    return world.device("ec:P-256", request=request, **arguments)


def spki(label: str = "kem device", parameter_set: str = "ML-KEM-768") -> bytes:
    """DER SubjectPublicKeyInfo of a test's KEM key."""
    return encode_public_key(kem_key(parameter_set, label)[1])


def unsigned(label: str = "kem device", subject: str = SUBJECT, **more: Any) -> bytes:
    """DER of an unsigned request."""
    return encode_unsigned_request(spki(label), name(subject), **more)


def signing_certificate(world: World, subject: str = SUBJECT, label: str = "identity", **more: Any) -> Signer:
    """A key with a certificate of this CA to make statements with."""
    password = world.password(f"password of {label}")
    own = world.device("ec:P-256", subject=subject, password=password, label=label, transaction_id=label, **more)
    own.enrolment._settings = classic_settings(require_kem=False)
    found = issued(own.enrol())
    return Signer(key("ec:P-256", label), Certificate.decode(found.certificate))


def stated(by: Signer, label: str = "kem device", subject: str = SUBJECT, **more: Any) -> bytes:
    """DER of a request with a statement of possession (RFC 9883)."""
    return encode_statement_request(spki(label), name(subject), by.key, by.certificate, **more)


def renewing(
    world: World, old: Issued, *, old_label: str = "kem device", label: str = "renewed", **more: Any
) -> Device:
    """A device without a signing certificate that renews its KEM certificate."""
    private, public = kem_key("ML-KEM-768", old_label)
    renewed = KemKey(private, encode_public_key(public), Certificate.decode(old.certificate))
    arguments: dict[str, Any] = {"transaction_id": "renewal-1", "renewal": True, "renewed": renewed} | more
    return kem_device(world, label=label, **arguments)


def serial_of(answer: Issued) -> int:
    """The serial number of the certificate received."""
    return x509.load_der_x509_certificate(answer.certificate).serial_number


def flipped(octets: bytes, at: int = 0) -> bytes:
    """One bit changed."""
    found = bytearray(octets)
    found[at] ^= 1
    return bytes(found)


class Crash(BaseException):
    """The worker is gone, whatever it was doing."""


@contextlib.contextmanager
def crashing(store: Any, method: str, *, before: bool = True) -> Iterator[None]:
    """The worker stops right before (or after) the next call of a Store's method."""
    original: Callable[..., Any] = getattr(store, method)

    def stop(*arguments: Any, **more: Any) -> Any:
        setattr(store, method, original)
        if not before:
            original(*arguments, **more)
        raise Crash

    setattr(store, method, stop)
    try:
        yield
    finally:
        setattr(store, method, original)


def outcome(action: Callable[[], object]) -> object:
    """What an action returns, or the documented error that it raises; anything else is raised on."""
    try:
        return action()
    except (PkixError, KemError) as error:
        return error


def unique(certificates: Sequence[object]) -> set[bytes]:
    """The distinct certificates among answers that are all successes."""
    return {issued(item).certificate for item in certificates}


def kem_confirm_of(message: bytes) -> bytes | None:
    """The kemPopConfirm in a message."""
    return Seen(message).value(KEM_POP_CONFIRM.dotted_string)
