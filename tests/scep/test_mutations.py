"""Property tests over whole messages: whatever is done to a valid one, only the documented errors come of it.

The responder may raise Malformed and nothing else; everything else it answers with a CertRep that verifies, and it
issues nothing for signed content that differs from what was signed. The client raises `PkixError` and never returns a
certificate but its own. Damage inside the signatures is done by signing again: that is what a hostile peer does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from ca.methods import AuthorisationPolicy
from ca.store import Decision, State, Transaction
from pkix.algorithms import AES128, AlgorithmPolicy
from pkix.asn1 import encode, wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.errors import Malformed, PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import RsaRecipient
from pkix.signed_data import encode_degenerate
from scep.attributes import MessageType, PkiStatus
from scep.client import (
    CaCertificates,
    Crl,
    Enrolment,
    Issued,
    Query,
    Refused,
    ReplyRefused,
    StillPending,
)
from scep.messages import PkiMessage
from scep.next_ca import decode_next_ca
from tests.pkix.properties import few, mutated, mutated_octets, mutated_tree
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.world import ALL_METHODS, NOW, Device, Random, World, authority

pytestmark = pytest.mark.any_day

MANUAL = AuthorisationPolicy(manual=True)
PASSWORD = "one-time secret"


# Worlds in which the unharmed message succeeds


@functools.cache
def pkcs_req() -> bytes:
    return World().device(password=PASSWORD).start()


def world_for_pkcs_req() -> World:
    world = World()
    world.password(PASSWORD)
    return world


@functools.cache
def approved() -> tuple[bytes, Transaction]:
    """A CertPoll, and the transaction it asks for."""
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    world.decide(Decision.APPROVED)
    (waiting,) = world.store.transactions(State.AWAITING_APPROVAL)
    return device.enrolment.poll(now=NOW), waiting


def cert_poll() -> bytes:
    return approved()[0]


def world_for_cert_poll() -> World:
    world = World(policy=MANUAL)
    world.store.create(approved()[1])
    return world


@functools.cache
def get_cert() -> bytes:
    world = world_for_get_cert()
    (record,) = world.store.certificates()
    issued = x509.load_der_x509_certificate(record.der)
    return craft.request(world.device(), MessageType.GetCert.value, craft.issuer_and_serial(issued)).encode()


def world_for_get_cert() -> World:
    world = world_for_pkcs_req()
    world.send(pkcs_req())
    return world


REQUESTS: dict[str, tuple[Callable[[], bytes], Callable[[], World], int]] = {
    "PKCSReq": (pkcs_req, world_for_pkcs_req, 0),
    "CertPoll": (cert_poll, world_for_cert_poll, 0),
    "GetCert": (get_cert, world_for_get_cert, 1),
}
every_request = pytest.mark.parametrize("name", REQUESTS)


def answered(world: World, message: bytes) -> PkiMessage | None:
    """The answer, decoded and verified; None if the message was Malformed. Everything else is a failed test."""
    try:
        reply = world.send(message)
    except Malformed as error:
        one_line(error.text)
        return None
    found = PkiMessage.decode(reply.body)
    assert found.verify(AlgorithmPolicy()).der == world.authority.certificate.der
    assert found.message_type is MessageType.CertRep
    if found.pki_status is PkiStatus.FAILURE:
        assert found.fail_info is not None
        assert found.fail_info_text is not None
        one_line(found.fail_info_text)
    assert (found.pki_status is PkiStatus.SUCCESS) == bool(found.signed.content)
    return found


def one_line(text: str) -> None:
    assert text
    assert len(text.splitlines()) == 1
    assert PASSWORD not in text


def signed_part(message: bytes) -> tuple[bytes | None, bytes]:
    """What a signature covers: content and signed attributes, as they are after BER is normalised."""
    signed = PkiMessage.decode(message).signed
    assert signed.signer is not None
    attributes = sorted(item.der() for item in Node.parse(encode(signed.signer.signed_attrs)))
    return signed.content, b"".join(attributes)


def unharmed(name: str, message: bytes) -> None:
    original, make, certificates = REQUESTS[name]
    world = make()
    answer = answered(world, message)
    if answer is not None and answer.pki_status is PkiStatus.SUCCESS:
        assert signed_part(message) == signed_part(original())
    else:
        assert len(world.store.certificates()) == certificates


@every_request
def test_an_unharmed_message_succeeds(name: str) -> None:
    original, make, _certificates = REQUESTS[name]
    answer = answered(make(), original())
    assert answer is not None
    assert answer.pki_status is PkiStatus.SUCCESS


@every_request
@few(250)
@given(data=st.data())
def test_octets_of_a_request_are_changed(name: str, data: st.DataObject) -> None:
    unharmed(name, data.draw(mutated_octets(REQUESTS[name][0]())))


@every_request
@few(250)
@given(data=st.data())
def test_the_structure_of_a_request_is_changed(name: str, data: st.DataObject) -> None:
    unharmed(name, data.draw(mutated_tree(REQUESTS[name][0]())))


@few(100)
@given(st.binary(max_size=400))
def test_noise_is_malformed(noise: bytes) -> None:
    assert answered(World(), noise) is None


# Damage that is signed for


def device_of(world: World) -> Device:
    return world.device(password=PASSWORD)


@few(200)
@given(data=st.data())
def test_signed_attributes_are_changed_and_signed_again(data: st.DataObject) -> None:
    """Only the SCEP attributes: the ones CMS needs stay good."""
    world = world_for_pkcs_req()
    every = (wrap(0x30, encode(kind) + wrap(0x31, values[0])) for kind, values in craft.header().items())
    given_ones = wrap(0x31, b"".join(every))
    tree = Node.parse(data.draw(mutated_tree(given_ones).filter(is_der_set)))
    message = craft.request(device_of(world), attributes={}, extra=[item.der() for item in tree])
    answered(world, message.encode())
    assert len(world.store.certificates()) <= 1


def is_der_set(octets: bytes) -> bool:
    return octets[:1] == b"\x31" and octets[1] != 0x80 and readable(octets)


def readable(octets: bytes) -> bool:
    try:
        return Node.parse(octets).der() == octets
    except (AssertionError, IndexError, RecursionError):
        return False


@few(250)
@given(data=st.data())
def test_an_envelope_is_changed_and_signed_again(data: st.DataObject) -> None:
    world = world_for_pkcs_req()
    device = device_of(world)
    sealed = data.draw(mutated(craft.envelope(world.authority, device.request.der)))
    answered(world, craft.request(device, message=sealed).encode())
    for record in world.store.certificates():
        assert Certificate.decode(record.der).spki == device.request.spki
        assert record.subject == "CN=device,O=Example"


@few(150)
@given(data=st.data())
def test_a_pkcs10_is_changed_but_not_signed_again(data: st.DataObject) -> None:
    world = world_for_pkcs_req()
    device = device_of(world)
    content = data.draw(mutated(device.request.der))
    answered(world, craft.request(device, content=content).encode())
    if content != device.request.der:
        for record in world.store.certificates():
            issued = x509.load_der_x509_certificate(record.der)
            assert issued.public_key() == device.key.public_key()
            assert issued.subject == device.request.subject


@functools.cache
def rich_info() -> bytes:
    """A CertificationRequestInfo with all that is looked at."""
    names = x509.SubjectAlternativeName([x509.DNSName("host.example"), x509.IPAddress(IPv4Address("192.0.2.1"))])
    wanted = [x509.Extension(names.oid, False, names), craft.microsoft_sid("S-1-5-21-1-2-3-4")]
    device = World().device(password=PASSWORD, extensions=wanted)
    return device.request.signed_der


@few(400)
@given(data=st.data())
def test_a_pkcs10_is_changed_and_signed_again(data: st.DataObject) -> None:
    """What reaches the profile, the authorisation and the certificate builder."""
    world = world_for_pkcs_req()
    device = device_of(world)
    assert isinstance(device.key, rsa.RSAPrivateKey)
    content = craft.signed_pkcs10(device.key, data.draw(mutated(rich_info())))
    answered(world, craft.request(device, content=content).encode())
    for record in world.store.certificates():
        # Keys, not their octets: a certificate writes NULL where a request left the parameters of an RSA key out.
        assert Certificate.decode(record.der).public_key == CertificationRequest.decode(content).public_key
        x509.load_der_x509_certificate(record.der).verify_directly_issued_by(world.authority.ca.certificate)


@few(150)
@given(data=st.data())
@pytest.mark.parametrize("kind", [MessageType.GetCert, MessageType.GetCRL])
def test_an_issuer_and_serial_number_is_changed(kind: MessageType, data: st.DataObject) -> None:
    world = World()
    asked = data.draw(mutated(encode(world.authority.certificate.issuer_and_serial)))
    answered(world, craft.request(world.device(), kind.value, asked).encode())


@few(200)
@given(data=st.data())
def test_a_signer_certificate_is_changed(data: st.DataObject) -> None:
    """A self-signed certificate proves nothing, so any that can be read will do."""
    world = world_for_pkcs_req()
    device = device_of(world)
    der = data.draw(mutated(device.signer.certificate.der))
    message = craft.request(device, certificates=[der])
    answered(world, message.encode())
    for record in world.store.certificates():
        assert Certificate.decode(record.der).spki == device.request.spki


# The client


@functools.cache
def enrolled() -> tuple[Device, bytes, bytes]:
    """A device that waits for its answer, the answer, and the nonce that it will accept."""
    world = world_for_pkcs_req()
    device = device_of(world)
    message = device.start()
    body = world.send(message).body
    assert device.enrolment._sender_nonce is not None
    return device, body, device.enrolment._sender_nonce


def receive(body: bytes) -> Issued | StillPending | Refused | None:
    """What the client makes of it; None for a PkixError."""
    device, _answer, nonce = enrolled()
    enrolment: Enrolment = device.enrolment
    enrolment._sender_nonce = nonce
    try:
        return enrolment.receive(body)
    except PkixError as error:
        one_line(error.text)
        return None


def only_ours(found: object) -> None:
    device = enrolled()[0]
    if isinstance(found, Issued):
        assert Certificate.decode(found.certificate).spki == device.request.spki
        issued = x509.load_der_x509_certificate(found.certificate)
        issued.verify_directly_issued_by(device.world.authority.ca.certificate)


@few(300)
@given(data=st.data())
def test_a_changed_cert_rep_gives_the_same_certificate_or_none(data: st.DataObject) -> None:
    body = enrolled()[1]
    right = receive(body)
    assert isinstance(right, Issued)
    assert receive(data.draw(mutated(body))) in (right, None)


def from_the_ca(message_data: bytes) -> bytes:
    """A correct CertRep SUCCESS with this messageData."""
    device, _answer, nonce = enrolled()
    sealed = encrypt(message_data, [RsaRecipient(device.signer.certificate)], AES128, Random("x"))
    attributes = craft.header(3, device.enrolment.transaction_id)
    attributes[craft.scep.PKI_STATUS] = [craft.printable("0")]
    attributes[craft.scep.RECIPIENT_NONCE] = [wrap(0x04, nonce)]
    return craft.reply(device.world, attributes, sealed)


@functools.cache
def true_message_data() -> bytes:
    found = receive(enrolled()[1])
    assert isinstance(found, Issued)
    return encode_degenerate([found.certificate, enrolled()[0].world.authority.certificate.der])


@few(300)
@given(data=st.data())
def test_a_ca_that_sends_anything_at_all_harms_nobody(data: st.DataObject) -> None:
    only_ours(receive(from_the_ca(data.draw(mutated(true_message_data())))))


@few(150)
@given(data=st.data())
def test_a_changed_answer_to_get_crl_is_refused_or_the_same(data: st.DataObject) -> None:
    asking, body, nonce = asked_for_crl()
    asking._sender_nonce = nonce
    right = asking.receive(body)
    assert isinstance(right, Crl)
    asking._sender_nonce = nonce
    try:
        assert asking.receive(data.draw(mutated(body))) == right
    except PkixError as error:
        one_line(error.text)


@functools.cache
def asked_for_crl() -> tuple[Query, bytes, bytes]:
    world = World()
    device = world.device()
    asking = Query(
        MessageType.GetCRL,
        world.authority.certificate.issuer_and_serial,
        ca=device.enrolment.ca,
        signer=device.signer,
        transaction_id="query",
        settings=device.enrolment._settings,
        random=Random("query"),
    )
    body = world.send(asking.start(now=NOW)).body
    assert asking._sender_nonce is not None
    return asking, body, asking._sender_nonce


CA_KINDS = [("rsa:2048", None), ("ec:P-256", "ed25519")]


@functools.cache
def ca_body(kinds: tuple[str, str | None]) -> tuple[bytes, World]:
    world = World(kinds[0], ra_key_type=kinds[1])
    return world.responder.get_ca_cert()[0], world


@few(300)
@given(data=st.data())
@pytest.mark.parametrize("kinds", CA_KINDS)
def test_a_changed_get_ca_cert_never_passes_the_fingerprint(kinds: tuple[str, str | None], data: st.DataObject) -> None:
    body, world = ca_body(kinds)
    try:
        found = CaCertificates.decode(data.draw(mutated(body)), fingerprint=world.authority.identifier, now=NOW)
    except ReplyRefused as error:
        one_line(error.text)
        return
    assert found.ca.der == world.authority.certificate.der
    known = set(world.authority.certificates())
    assert {item.der for item in found.all} <= known


@few(300)
@given(data=st.data())
@pytest.mark.parametrize("kinds", CA_KINDS)
def test_a_changed_get_ca_cert_without_fingerprint_raises_nothing_else(
    kinds: tuple[str, str | None], data: st.DataObject
) -> None:
    """Nothing is authenticated here; but a client must not fall over what a stranger sends."""
    body, _world = ca_body(kinds)
    try:
        found = CaCertificates.decode(data.draw(mutated(body)), fingerprint=None, now=NOW)
        found.recipient()
    except PkixError as error:
        one_line(error.text)


@functools.cache
def next_ca_body() -> tuple[bytes, CaCertificates]:
    world = World(policy=ALL_METHODS, next_authority=authority(label="Next CA"))
    body = world.responder.get_next_ca_cert(now=NOW)
    assert body is not None
    return body, world.ca_certificates()


@few(200)
@given(data=st.data())
def test_a_changed_get_next_ca_cert_is_refused_or_the_same(data: st.DataObject) -> None:
    body, known = next_ca_body()
    try:
        found = decode_next_ca(data.draw(mutated(body)), known, AlgorithmPolicy())
    except PkixError as error:
        one_line(error.text)
        return
    assert [item.der for item in found] == [authority(label="Next CA").certificate.der]
