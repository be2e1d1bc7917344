"""From the decryption of EnvelopedData on, every failure has one failInfo, one text and the same work (Vaudenay's
attack).

A recorded envelope is changed in every way that ends at another place of the reader, and signed anew by a stranger.
What went wrong is in the log alone. Work is counted, not timed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import pkix.pkcs10
import pkix.public_keys
import pkix.requests
from ca.events import Reply
from ca.methods import AuthorisationPolicy
from ca.store import Decision
from kem import der_faults
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, AES256_GCM, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.asn1 import algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.content import CANNOT_OPEN, PADDING_WRONG
from pkix.errors import AlgorithmRefused
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import Signer
from scep.client import ClientSettings, StillPending
from scep.messages import PkiMessage
from scep.opening import _STAND_IN, NOT_LOGGED
from scep.settings import Settings
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.craft import BAD_ALG, BAD_CERT_ID, BAD_MESSAGE_CHECK, failed
from tests.scep.kem_kit import SUBJECT, kem_world, stated, unsigned
from tests.scep.seen import Seen
from tests.world import Device, World, kem_device

PASSWORD = "K7QW3ZJ5PDX2M4RTBVYN6HSAFGCEULOI"
REQUESTS, QUERIES = (17, 19), (21, 22)
Change = Callable[[World, Device], bytes]  # an envelope that holds nothing right


@pytest.fixture(scope="module")
def world() -> World:
    return World(settings=Settings(log_causes=True))


@pytest.fixture(scope="module")
def device(world: World) -> Device:
    return world.device(password=world.password(PASSWORD))


def sealed(world: World, content: bytes, cipher: ContentCipher = AES128) -> bytes:
    return craft.envelope(world.authority, content, cipher)


def changed(world: World, content: bytes, change: Callable[[Node], None]) -> bytes:
    """An envelope with a change to its EnvelopedData."""
    tree = Node.parse(sealed(world, content))
    change(tree[1][0])
    return tree.der()


def with_content(change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> Change:
    """The recorded request with another IV and ciphertext."""

    def make(world: World, device: Device) -> bytes:
        def both(enveloped: Node) -> None:
            scheme, content = enveloped[2][1][1], enveloped[2][2]
            scheme.content, content.content = change(scheme.content, content.content)

        return changed(world, device.request.der, both)

    return make


def with_key(octets: bytes | None) -> Change:
    """The recorded request with another content-encryption key, or with none that can be unwrapped."""

    def make(world: World, device: Device) -> bytes:
        private = world.authority.ca.key
        assert isinstance(private, rsa.RSAPrivateKey)
        other = b"\x00" * 256 if octets is None else private.public_key().encrypt(octets, padding.PKCS1v15())

        def replace(enveloped: Node) -> None:
            enveloped[1][0][3].content = other

        return changed(world, device.request.der, replace)

    return make


def holding(content: Callable[[World, Device], bytes]) -> Change:
    """A well-made envelope around something else."""
    return lambda world, device: sealed(world, content(world, device))


def flipped(octets: bytes, at: int, mask: int = 1) -> bytes:
    found = bytearray(octets)
    found[at] ^= mask
    return bytes(found)


def oaep_garbage(world: World, device: Device) -> bytes:
    def replace(enveloped: Node) -> None:
        enveloped[1][0][2] = Node.parse(encode(algorithm(oids.RSAES_OAEP, b"\x30\x00")))

    return changed(world, device.request.der, replace)


def with_spki(spki: Callable[[Device], bytes]) -> Callable[[World, Device], bytes]:
    return lambda world, device: craft.signed_pkcs10(device.key, craft.request_info(device, spki=spki(device)))  # type: ignore[arg-type]


CHANGES: dict[str, Change] = {
    "key that cannot be unwrapped": with_key(None),
    "key of another length": with_key(b"k" * 24),
    "key of no length": with_key(b""),
    "another key": with_key(b"k" * 16),
    "OAEP that fails": oaep_garbage,
    "wrong padding": with_content(lambda iv, sent: (iv, flipped(sent, -17, 0x80))),
    "last block cut off": with_content(lambda iv, sent: (iv, sent[:-16])),
    "first block garbled": with_content(lambda iv, sent: (flipped(iv, 0, 0xFF), sent)),
    "a block in the middle garbled": with_content(lambda iv, sent: (iv, flipped(sent, 100))),
    "one block alone": with_content(lambda iv, sent: (sent[16:32], sent[32:48])),
    "spliced around a block": with_content(lambda iv, sent: (iv, sent[:16] + bytes(16) + sent[160:176])),
    "not whole blocks": with_content(lambda iv, sent: (iv, sent[:-1])),
    "nothing": holding(lambda _world, _device: b""),
    "text": holding(lambda _world, _device: b"<html>"),
    "an empty SEQUENCE": holding(lambda _world, _device: b"\x30\x00"),
    "a name of nobody": holding(lambda _world, _device: wrap(0x30, b"\x30\x00" + wrap(0x02, b"secret!"))),
    "a serial number of nobody": holding(
        lambda world, _device: wrap(0x30, world.authority.certificate.subject + encode(4711))
    ),
    "a request of another version": holding(
        lambda _world, device: craft.signed_pkcs10(device.key, craft.request_info(device, version=b"\x05\x00"))  # type: ignore[arg-type]
    ),
    "attributes that are none": holding(
        lambda _world, device: craft.signed_pkcs10(device.key, craft.request_info(device, attributes=b"\x05\x00"))  # type: ignore[arg-type]
    ),
    "a challengePassword that is no text": holding(
        lambda _world, device: craft.signed_pkcs10(
            device.key,  # type: ignore[arg-type]
            craft.request_info(
                device,
                attributes=wrap(0x30, encode(oids.CHALLENGE_PASSWORD) + wrap(0x31, wrap(0x02, b"\x01"))),
            ),
        )
    ),
    "a key of no kind": holding(with_spki(lambda _device: wrap(0x30, wrap(0x30, encode(oids.SHA256)) + b"\x03\1\0"))),
    "a key that is none": holding(
        with_spki(lambda _device: wrap(0x30, encode(algorithm(oids.RSA_ENCRYPTION, b"\5\0")) + b"\x03\1\0"))
    ),
    "a key that is too short": holding(lambda _world, _device: craft.weak_request(PASSWORD)),
    "a signature algorithm of no kind": holding(
        lambda _world, device: craft.with_signature_algorithm(device.request, encode(algorithm(oids.SHA256)))
    ),
    "a signature with SHA-1": holding(lambda _world, _device: craft.sha1_request(PASSWORD)),
    "a wrong signature": holding(lambda _world, device: flipped(device.request.der, -1)),
    "an unsigned request": holding(lambda _world, _device: unsigned(challenge_password=PASSWORD)),
    "a statement by a stranger": holding(
        lambda _world, _device: stated(craft.self_made("ec:P-256", "CN=stranger", "stranger"))
    ),
}
VISIBLE = "not whole blocks"  # anybody can see what is wrong
ALL = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


def message(envelope: bytes, kind: int) -> bytes:
    mallory = craft.self_made("rsa:2048", "CN=mallory", "mallory")
    return craft.Crafted(signer=mallory, content=envelope, attributes=craft.header(kind)).encode()


def sent(world: World, envelope: bytes, kind: int) -> Reply:
    return world.send(message(envelope, kind))


@pytest.mark.parametrize("kind", [*REQUESTS, *QUERIES])
@ALL
def test_there_is_one_answer(world: World, device: Device, change: Change, kind: int) -> None:
    answer = PkiMessage.decode(sent(world, change(world, device), kind).body)
    expected = BAD_MESSAGE_CHECK if kind in REQUESTS else BAD_CERT_ID
    if len(Node.parse(change(world, device))[1][0][2][2].content) % 16:
        expected = BAD_MESSAGE_CHECK  # what anybody can see
    assert (str(answer.fail_info.value), answer.fail_info_text) == (expected, CANNOT_OPEN)
    assert not world.store.certificates()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often a signature of a request is verified and a certificate looked for."""
    counted: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            try:
                return real(*arguments, **more)
            except AlgorithmRefused:
                counted[name] -= 1  # nothing was computed
                raise
            finally:
                counted[name] += 1

        return call

    monkeypatch.setattr(pkix.requests, "verify", counting("signatures", pkix.requests.verify))
    monkeypatch.setattr("pkix.enveloped_data.open_content", counting("decryptions", pkix.enveloped_data.open_content))
    yield counted


@ALL
def test_every_request_costs_one_signature(world: World, device: Device, change: Change, work: Counter[str]) -> None:
    """Of the request itself, or of the stand-in: also where nothing could be unwrapped, or the padding is wrong."""
    envelope = change(world, device)
    work.clear()
    sent(world, envelope, 19)
    seen_by_anybody = len(Node.parse(envelope)[1][0][2][2].content) % 16
    assert work == ({} if seen_by_anybody else {"signatures": 1, "decryptions": 1})


@pytest.mark.parametrize("kind", QUERIES)
@ALL
def test_every_query_costs_one_search(
    world: World, device: Device, change: Change, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = change(world, device)
    asked = []
    real = world.store.certificate
    monkeypatch.setattr(world.store, "certificate", lambda *name: asked.append(name) or real(*name))
    sent(world, envelope, kind)
    seen_by_anybody = len(Node.parse(envelope)[1][0][2][2].content) % 16
    assert len(asked) == (0 if seen_by_anybody else 1)


def test_wrong_padding_alone_stops_nobody(world: World, device: Device, work: Counter[str]) -> None:
    """The request is read to its own length and verified like any other; its signature is right, the answer is not."""
    request = device.request.der
    plaintext = request + bytes(-len(request) % 16 or 16)
    tree = Node.parse(sealed(world, plaintext))
    tree[1][0][2][2].content = tree[1][0][2][2].content[:-16]  # the padding that `sealed` has put there
    reply = sent(world, tree.der(), 19)
    answer = PkiMessage.decode(reply.body)
    assert (str(answer.fail_info.value), answer.fail_info_text) == (BAD_MESSAGE_CHECK, CANNOT_OPEN)
    assert work == {"signatures": 1, "decryptions": 1}
    found = f"{PADDING_WRONG}; what stands before it is a PKCS #10 request with a right signature"
    assert reply.events[0].details["cause"] == found


def test_a_right_statement_costs_what_garbage_costs(work: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for an ML-KEM key is refused before its statement's certificate is looked up and its key checked."""
    world = World()
    identity = world.device(subject=SUBJECT, password=world.password("another"))
    identity.enrol()
    signer = Signer(identity.key, Certificate.decode(world.store.certificates()[0].der))
    envelopes = {cipher: sealed(world, stated(signer), cipher) for cipher in (AES128_GCM, AES128)}
    seen: Counter[str] = Counter()
    for where, name in ((world.store, "certificate"), (pkix.pkcs10, "check_strength")):
        real = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *given, real=real, name=name: seen.update([name]) or real(*given))
    sent(world, envelopes[AES128_GCM], 19)
    assert seen == {"certificate": 1, "check_strength": 1}  # where it is accepted, both are done
    work.clear()
    seen.clear()
    failed(world, message(envelopes[AES128], 19), BAD_MESSAGE_CHECK, CANNOT_OPEN)
    assert (seen, work) == ({}, {"signatures": 1, "decryptions": 1})


def test_the_stand_in_is_a_right_request_loaded_anew_every_time(
    world: World, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    real = pkix.requests.load_public_key
    monkeypatch.setattr(pkix.requests, "load_public_key", lambda *key: loaded.append(key) or real(*key))
    for _ in range(2):
        sent(world, sealed(world, b"garbage"), 19)
    assert len(loaded) == 2


def test_a_request_whose_attributes_alone_are_garbled_is_verified_with_its_own_key(
    world: World, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a garbled password costs what any other costs, whatever the kind of key."""
    verified = []
    real = pkix.requests.verify
    monkeypatch.setattr(
        pkix.requests, "verify", lambda key, *more, **named: verified.append(key) or real(key, *more, **named)
    )
    sent(world, CHANGES["a challengePassword that is no text"](world, device), 19)
    sent(world, CHANGES["a wrong signature"](world, device), 19)
    sent(world, CHANGES["text"](world, device), 19)
    own = device.request.public_key
    assert [key == own for key in verified] == [True, True, False]


@pytest.mark.parametrize("which", CHANGES)
def test_nobody_looks_where_a_structure_in_cbc_is_broken(
    world: World, device: Device, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long that takes depends on what was decrypted."""

    def looked(*_: object) -> None:
        raise AssertionError("where it is broken was looked for")

    monkeypatch.setattr(der_faults, "find_fault", looked)
    for kind in (*REQUESTS, *QUERIES):
        (event,) = sent(world, CHANGES[which](world, device), kind).events
        assert event.kind != "request", event


# The operator


@pytest.mark.parametrize("kind", [*REQUESTS, *QUERIES])
def test_the_log_does_not_tell_either_unless_nothing_is_at_stake(kind: int) -> None:
    """Who reads it, and has recorded a request, is as near to the plaintext as who gets different answers."""
    world = World()
    device = world.device(password=world.password(PASSWORD))
    (first, *others) = (
        sent(world, make(world, device), kind).events for name, make in CHANGES.items() if name != VISIBLE
    )
    assert first[0].details["cause"] == NOT_LOGGED
    assert all(events == first for events in others)


@pytest.mark.parametrize("content", [b"x", b""])
def test_the_log_does_not_tell_how_a_key_under_rsa_failed(content: bytes) -> None:
    """The key of a recorded request can be put before an envelope in AES-GCM."""
    world = World()
    private = world.authority.ca.key
    assert isinstance(private, rsa.RSAPrivateKey)
    causes = set()
    for octets in (b"k" * 16, b"k" * 24, b""):
        tree = Node.parse(sealed(world, content, AES128_GCM))
        tree[1][0][1][0][3].content = private.public_key().encrypt(octets, padding.PKCS1v15())
        causes.add(sent(world, tree.der(), 19).events[0].details["cause"])
    assert causes == {NOT_LOGGED}


FOR_KEM = "Malformed: a request for an ML-KEM key comes in EnvelopedData; AuthEnvelopedData is needed"
CAUSES = {
    "key that cannot be unwrapped": ("PKCS #1 v1.5", PADDING_WRONG, "Malformed"),
    "key of another length": (
        "the content-encryption key does not have the 16 octets of AES-128-CBC, or encryptedKey is not encrypted with "
        "PKCS #1 v1.5 to the key of this certificate",
    ),
    "OAEP that fails": (
        "the content-encryption key cannot be unwrapped: encryptedKey is not encrypted with RSAES-OAEP to this key",
    ),
    "a key that is too short": ("AlgorithmRefused: PKCS #10 request: RSA key of 1024 bits",),
    "a wrong signature": ("IntegrityFailed: the PKCS #10 request's signature does not verify",),
    "an unsigned request": (FOR_KEM,),
    "a statement by a stranger": (FOR_KEM,),
}


@pytest.mark.parametrize("which", CAUSES)
def test_the_cause_is_in_the_log(world: World, device: Device, which: str) -> None:
    (event,) = sent(world, CHANGES[which](world, device), 19).events
    assert any(text in event.details["cause"] for text in CAUSES[which]), event.details
    assert event.details["text"] == CANNOT_OPEN


@pytest.mark.parametrize("kind", [*REQUESTS, *QUERIES])
@ALL
def test_every_failure_has_a_cause_in_the_log(world: World, device: Device, change: Change, kind: int) -> None:
    """And of octets that were decrypted with a random key, nothing is said."""
    (event,) = sent(world, change(world, device), kind).events
    assert event.details["text"] == CANNOT_OPEN
    cause = event.details["cause"]
    assert cause
    assert not ("content-encryption key" in cause and "Malformed" in cause)


def test_every_failure_under_gcm_has_a_cause_in_the_log(world: World, device: Device) -> None:
    tree = Node.parse(sealed(world, device.request.der, AES128_GCM))
    tree[1][0][3].content = bytes(16)
    short, other = Node.parse(tree.der()), Node.parse(tree.der())
    short[1][0][1][0][3].content = bytes(128)
    other[1][0][1][0][2] = Node.parse(encode(algorithm(oids.RSAES_OAEP, b"\x30\x00")))
    for made, cause in (
        (tree, "the tag is wrong: another key, nonce, ciphertext or authAttrs"),
        (short, "the content-encryption key cannot be unwrapped: encryptedKey has 128 octets, the key 256"),
        (other, "encryptedKey is not encrypted with RSAES-OAEP to this key"),
    ):
        for kind in (*REQUESTS, *QUERIES):
            (event,) = sent(world, made.der(), kind).events
            assert (event.details["text"], cause in event.details["cause"]) == (CANNOT_OPEN, True)


@pytest.mark.parametrize(
    ("octets", "cause"),
    [(b"", "0 octets, and padding alone fills a block"), (bytes(1001), "1001 octets, not blocks of 16")],
)
def test_an_encrypted_content_that_is_not_blocks(world: World, octets: bytes, cause: str) -> None:
    def change(enveloped: Node) -> None:
        enveloped[2][2].content = octets

    for kind in (*REQUESTS, *QUERIES):
        (event,) = sent(world, changed(world, b"x", change), kind).events
        assert event.details["text"] == CANNOT_OPEN
        assert event.details["cause"] == f"encryptedContent has {cause} (RFC 5652 section 6.3)"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "nothing"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "PEM"),
        (b"MIICWDCCAUACAQAwEz", "base64 text"),
        (b"\x04\x03\x30\x01\x00", "an OCTET STRING"),
        (wrap(0x30, encode(oids.DATA) + wrap(0xA0, wrap(0x04, bytes(300)))), "a ContentInfo"),
        (craft.self_made("rsa:2048", "CN=a", "a").certificate.der, "a certificate"),
    ],
)
def test_what_is_in_the_envelope_instead_is_in_the_log(world: World, content: bytes, kind: str) -> None:
    (event,) = sent(world, sealed(world, content), 19).events
    assert event.details["cause"].endswith(f"; the envelope holds {kind}")


@pytest.mark.parametrize("kind", QUERIES)
def test_the_cause_of_a_query_s_failure_too(world: World, device: Device, kind: int) -> None:
    (event,) = sent(world, CHANGES["a serial number of nobody"](world, device), kind).events
    assert "this CA" in event.details["cause"]
    (event,) = sent(world, CHANGES["text"](world, device), kind).events
    assert event.details["cause"].startswith("Malformed: messageData (IssuerAndSerialNumber) is not valid DER")


def test_what_was_read_as_an_object_identifier_is_not_in_the_log(world: World, device: Device) -> None:
    """It may be a piece of somebody's plaintext under another name."""
    secret = oids.Oid("1.2.75.55.81.87.51.90.74")
    request = craft.with_signature_algorithm(device.request, encode(algorithm(secret)))
    (event,) = sent(world, sealed(world, request), 19).events
    assert "75.55" not in str(event)
    assert "signature algorithm (an object identifier) does not go with an RSA key" in event.details["cause"]


@pytest.mark.parametrize(("oid", "name"), [("1.3.101.113", "Ed448"), ("1.2.840.10040.4.1", "DSA")])
def test_an_object_identifier_that_has_a_name_is_in_the_log(world: World, device: Device, oid: str, name: str) -> None:
    spki = wrap(0x30, wrap(0x30, encode(oids.Oid(oid))) + wrap(0x03, b"\0key"))
    request = craft.signed_pkcs10(device.key, craft.request_info(device, spki=spki))  # type: ignore[arg-type]
    (event,) = sent(world, sealed(world, request), 19).events
    assert event.details["cause"].endswith(f"a public key of the kind {name} ({oid}) is not supported")


# What stays specific


def test_what_anybody_can_see_is_said(world: World, device: Device) -> None:
    for kind in (*REQUESTS, *QUERIES):
        bad_iv = craft.renamed_cipher(world.authority, device.request.der, AES128.oid, wrap(0x04, bytes(8)))
        failed(world, message(bad_iv, kind), craft.BAD_REQUEST, "IV of 8 octets")
        triple = sealed(world, device.request.der, TRIPLE_DES)
        failed(world, message(triple, kind), BAD_ALG, "3DES-CBC")
        elsewhere = sealed(World("rsa:3072"), device.request.der)
        failed(world, message(elsewhere, kind), BAD_MESSAGE_CHECK, "fetch them with GetCACert")


def test_what_anybody_can_see_is_said_before_the_key_is_used(
    world: World, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkix.identities.open_rsa", None)
    for parameters in (wrap(0x04, bytes(8)), b"\x05\x00"):
        bad = craft.renamed_cipher(world.authority, device.request.der, AES128.oid, parameters)
        failed(world, message(bad, 19), craft.BAD_REQUEST, "IV")
    bad = craft.renamed_cipher(world.authority, device.request.der, AES128_GCM.oid, wrap(0x30, wrap(0x04, bytes(12))))
    failed(world, message(bad, 19), BAD_ALG, "GCM belongs in AuthEnvelopedData")


def test_under_gcm_only_opening_has_the_one_answer(world: World, device: Device) -> None:
    tree = Node.parse(sealed(world, device.request.der, AES128_GCM))
    tree[1][0][3].content = bytes(16)
    for kind in (*REQUESTS, *QUERIES):
        expected = BAD_MESSAGE_CHECK if kind in REQUESTS else BAD_CERT_ID
        failed(world, message(tree.der(), kind), expected, CANNOT_OPEN)
    for which, text in (
        ("text", "the envelope holds an HTML page; it should hold the DER of a PKCS #10 request"),
        ("a wrong signature", "does not verify"),
    ):
        plaintext = {"text": b"<html>", "a wrong signature": flipped(device.request.der, -1)}[which]
        found = PkiMessage.decode(sent(world, sealed(world, plaintext, AES128_GCM), 19).body)
        assert text in (found.fail_info_text or "")


# GetCRL: an unknown serial number must not be told apart from garbage


def test_get_crl_in_cbc_needs_a_serial_number_of_ours(world: World, device: Device) -> None:
    names = [
        wrap(0x30, world.authority.certificate.subject + encode(serial))
        for serial in (4711, world.authority.certificate.serial_number)
    ]
    failed(world, message(sealed(world, names[0]), 22), BAD_CERT_ID, CANNOT_OPEN)
    assert craft.see(world, message(sealed(world, names[1]), 22)).status == "0"
    assert craft.see(world, message(sealed(world, names[0], AES128_GCM), 22)).status == "0"


def test_wrong_padding_behind_a_right_name_is_not_answered(world: World) -> None:
    """Else the padding of an envelope that names a certificate would be told."""
    name = encode(world.authority.certificate.issuer_and_serial)
    tree = Node.parse(sealed(world, name + bytes(-len(name) % 16 or 16)))
    tree[1][0][2][2].content = tree[1][0][2][2].content[:-16]
    failed(world, message(tree.der(), 22), BAD_CERT_ID, CANNOT_OPEN)
    assert craft.see(world, message(sealed(world, name), 22)).status == "0"


# The attack itself


def attack(world: World, recorded: bytes, kind: int) -> set[tuple[str, str]]:
    """The answers to 256 guesses of the octet that ends a recorded block, one of which makes the padding right."""
    tree = Node.parse(PkiMessage.decode(recorded).signed.content or b"")
    scheme, content = tree[1][0][2][1][1], tree[1][0][2][2]
    first, target = content.content[:16], content.content[160:176]
    found = set()
    for guess in range(0, 256):
        forged = bytes(15) + bytes([guess])
        if kind in QUERIES:
            scheme.content, content.content = forged, target
        else:
            content.content = first + forged + target
        answer = PkiMessage.decode(sent(world, tree.der(), kind).body)
        found.add((answer.fail_info.name, answer.fail_info_text or ""))
    return found


@pytest.mark.parametrize("kind", [19, 21, 22])
def test_256_guesses_of_a_padding_octet_learn_nothing(world: World, device: Device, kind: int) -> None:
    name = "badMessageCheck" if kind == 19 else "badCertId"
    assert attack(world, device.start(), kind) == {(name, CANNOT_OPEN)}


# Where AES-CBC is off


def test_without_aes_cbc_no_answer_comes_in_it_either() -> None:
    """A CertPoll without an envelope names no cipher."""
    settings = Settings(algorithms=AlgorithmPolicy(aes_cbc=False))
    world = World(settings=settings, policy=AuthorisationPolicy(manual=True))
    device = world.device(settings=ClientSettings(cipher=AES256_GCM))
    assert isinstance(device.enrol(), StillPending)
    world.decide(Decision.APPROVED)
    poll = craft.Crafted(signer=device.signer, content=None, attributes=craft.header(20, "transaction-1"))
    envelope = Seen(world.send(poll.encode()).body).content or b""
    assert Node.parse(envelope)[0].der() == encode(oids.AUTH_ENVELOPED_DATA)


def test_without_aes_cbc_enveloped_data_is_refused() -> None:
    world = World(settings=Settings(algorithms=AlgorithmPolicy(legacy=True, aes_cbc=False)))
    device = world.device(password=world.password())
    text = "EnvelopedData is not enabled; use AuthEnvelopedData"
    for cipher in (AES128, TRIPLE_DES):
        failed(world, message(sealed(world, device.request.der, cipher), 19), BAD_ALG, text)
    assert craft.see(world, craft.request(device, content=device.request.der)).status == "0"
    keywords = world.responder.get_ca_caps().decode().split()
    assert not {"AES", "DES3", "SCEPStandard"} & set(keywords)
    assert {"AES-GCM", "SHA-1", "SHA-256", "POSTPKIOperation"} <= set(keywords)


def test_without_aes_gcm_no_kem_is_advertised() -> None:
    world = kem_world("rsa:2048", settings=Settings(algorithms=AlgorithmPolicy(aes_gcm=False)))
    keywords = world.responder.get_ca_caps().decode()
    assert "KEM" not in keywords
    assert "AES-GCM" not in keywords
    assert not any(item.is_kem for item in world.ca_certificates().all)


def test_the_stand_in_verifies() -> None:
    CertificationRequest.decode(_STAND_IN).verify(AlgorithmPolicy())


# AES-GCM turned into CBC (RFC 9709, ePrint 2024/1110)


def test_a_gcm_recipient_in_enveloped_data_is_refused_before_decryption(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    device = kem_device(world, password=world.password())
    tree = Node.parse(PkiMessage.decode(device.start()).signed.content or b"")
    recipients = tree[1][0][1].der()
    scheme = wrap(0x30, encode(oids.AES256_CBC) + wrap(0x04, bytes(16)))
    body = b"\x02\x01\x03" + recipients + wrap(0x30, encode(oids.DATA) + scheme + wrap(0x80, bytes(32)))
    forged = wrap(0x30, encode(oids.ENVELOPED_DATA) + wrap(0xA0, wrap(0x30, body)))
    monkeypatch.setattr(type(world.backends), "decapsulate", None)
    for kind in (*REQUESTS, 20, *QUERIES):
        failed(
            world, message(forged, kind), BAD_ALG, "KEMRecipientInfo in EnvelopedData with CBC; use AuthEnvelopedData"
        )
