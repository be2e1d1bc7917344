"""The server's requirements of RFC 8894 on each type of message (sections 3.3, 3.4, 4.4 to 4.6)."""

from __future__ import annotations

import pytest
from cryptography import x509
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc5280, rfc5652

from ca.methods import AuthorisationPolicy
from ca.store import Decision
from pkix.asn1 import any_of, encode
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.enveloped_data import decrypt
from pkix.identities import RsaIdentity
from pkix.pkcs10 import encode_certification_request
from pkix.signed_data import SignedData
from scep.attributes import MessageType
from scep.client import Issued, IssuerAndSubject, Query, Refused
from tests.scep import craft
from tests.scep.craft import BAD_CERT_ID, BAD_REQUEST, Seen, failed, see
from tests.world import NOW, Device, Random, World, authority, key, name

MANUAL = AuthorisationPolicy(manual=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device(password=world.password())


def opened(device: Device, found: Seen) -> bytes:
    """messageData of an answer to a device with an RSA key."""
    identity = RsaIdentity(device.signer.certificate, device.key)  # type: ignore[arg-type]
    assert found.content is not None
    return decrypt(found.content, [identity], device.world.responder._settings.algorithms).content


def degenerate(der: bytes) -> rfc5652.SignedData:
    """A certificates-only SignedData as pyasn1 reads it."""
    info, rest = decoder.decode(der, asn1Spec=rfc5652.ContentInfo())
    assert not rest
    assert info["contentType"] == rfc5652.id_signedData
    found, rest = decoder.decode(info["content"], asn1Spec=rfc5652.SignedData())
    assert not rest
    return found


def nothing_issued(world: World) -> bool:
    return not world.store.certificates() and not world.store.transactions()


def query(device: Device, kind: MessageType, issuer: bytes, serial: int) -> craft.Crafted:
    content = encode(IssuerAndSerialNumber(issuer=any_of(issuer), serial_number=serial))
    return craft.request(device, kind.value, content)


# 3.3.1 PKCSReq


def test_3_3_1_a_request_without_subject_is_refused(world: World) -> None:
    empty = encode_certification_request(key("rsa:2048", "device"), x509.Name([]), challenge_password=world.password())
    failed(world, craft.request(world.device(), content=empty), BAD_REQUEST, "no subject")


def test_3_3_1_the_certificate_has_the_subject_and_key_asked_for(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    assert certificate.subject == name("CN=device,O=Example")
    assert Certificate.decode(issued.certificate).spki == device.request.spki


def test_3_3_1_a_shared_secret_must_be_there_when_it_authorises(world: World) -> None:
    refused = world.device().enrol()
    assert isinstance(refused, Refused)
    assert refused.text == "the request has no challengePassword, which this profile asks for"


# 3.3.2 CertRep and 3.4 degenerate SignedData


def test_3_3_2_1_success_carries_the_issued_certificate_as_leaf(world: World, device: Device) -> None:
    found = see(world, device.start())
    inner = degenerate(opened(device, found))
    (certificate,) = inner["certificates"]
    (issued,) = world.store.certificates()
    der = craft.der_of(x509.load_der_x509_certificate(issued.der))
    decoded, _rest = decoder.decode(der, asn1Spec=rfc5280.Certificate())
    assert certificate["certificate"] == decoded


def test_3_4_degenerate_signed_data_omits_content_and_signers(world: World, device: Device) -> None:
    inner = degenerate(opened(device, see(world, device.start())))
    assert inner["encapContentInfo"]["eContentType"] == rfc5652.id_data
    assert not inner["encapContentInfo"]["eContent"].isValue
    assert len(inner["signerInfos"]) == len(inner["digestAlgorithms"]) == 0
    assert not inner["crls"].isValue


# 3.3.3 CertPoll


def test_3_3_3_a_cert_poll_goes_by_transaction_id_and_not_by_its_content() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    world.decide(Decision.APPROVED)
    other = encode(
        IssuerAndSubject(issuer=any_of(name("CN=x").public_bytes()), subject=any_of(name("CN=y").public_bytes()))
    )
    found = see(world, craft.request(device, 20, other))
    assert found.status == "0"
    (issued,) = world.store.certificates()
    assert issued.subject == "CN=device,O=Example"


def test_3_3_3_the_content_of_a_cert_poll_is_not_even_decrypted() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    world.decide(Decision.APPROVED)
    assert see(world, craft.request(device, 20, b"anything at all")).status == "0"


def test_3_3_3_a_cert_poll_without_envelope_is_understood() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    assert see(world, craft.request(device, 20, message=None)).status == "3"


def test_3_3_3_a_cert_poll_for_another_recipient_is_understood() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    other = craft.envelope(authority(label="somebody else"), b"x")
    assert see(world, craft.request(device, 20, message=other)).status == "3"


def test_3_3_3_a_cert_poll_whose_content_is_no_envelope_is_refused() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    device.enrol()
    failed(world, craft.request(device, 20, message=b"\x30\x00"), BAD_REQUEST, "pkcsPKIEnvelope")


# 3.3.4, 4.5, 4.6: GetCert and GetCRL


def ask(device: Device, kind: MessageType, certificate: bytes) -> Query:
    return Query(
        kind,
        Certificate.decode(certificate).issuer_and_serial,
        ca=device.enrolment.ca,
        signer=device.signer,
        transaction_id="query",
        settings=device.enrolment._settings,
        random=Random("query"),
    )


def test_3_3_4_get_cert_returns_the_certificate_asked_for(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    asking = ask(device, MessageType.GetCert, issued.certificate)
    assert asking.receive(world.send(asking.start(now=NOW)).body) == issued


def test_3_3_4_get_cert_finds_revoked_certificates_too(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="superseded", now=NOW)
    asking = ask(device, MessageType.GetCert, issued.certificate)
    assert asking.receive(world.send(asking.start(now=NOW)).body) == issued


def test_4_6_1_get_crl_returns_only_the_current_crl_in_the_crls_field(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="keyCompromise", now=NOW)
    found = see(world, query(device, MessageType.GetCRL, world.authority.certificate.subject, record.serial))
    data = opened(device, found)
    inner = degenerate(data)
    assert not inner["certificates"].isValue
    (choice,) = inner["crls"]
    assert choice.getName() == "crl"
    crl = x509.load_der_x509_crl(SignedData.decode(data).crls[0])
    assert crl.is_signature_valid(world.authority.ca.key.public_key())  # type: ignore[arg-type]
    revoked = crl.get_revoked_certificate_by_serial_number(record.serial)
    assert revoked is not None
    assert revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise


@pytest.mark.parametrize("kind", [MessageType.GetCert, MessageType.GetCRL])
def test_3_3_4_an_unknown_issuer_is_bad_cert_id(world: World, device: Device, kind: MessageType) -> None:
    failed(world, query(device, kind, name("CN=nobody").public_bytes(), 1), BAD_CERT_ID, "this CA")


@pytest.mark.parametrize("serial", [0, -1, -(2**200), 2**159, 2**4000])
def test_3_3_4_any_serial_number_is_answered(world: World, device: Device, serial: int) -> None:
    message = query(device, MessageType.GetCert, world.authority.certificate.subject, serial)
    failed(world, message, BAD_CERT_ID, "issuer and serial number")


@pytest.mark.parametrize("kind", [21, 22])
def test_3_3_4_a_query_without_envelope_is_refused(world: World, device: Device, kind: int) -> None:
    failed(world, craft.request(device, kind, message=None), BAD_REQUEST, "no pkcsPKIEnvelope")


# 4.4


def test_4_4_a_cert_poll_that_matches_no_request_is_refused(world: World, device: Device) -> None:
    failed(world, craft.request(device, 20, b"\x30\x00"), BAD_REQUEST, "no request matches")
