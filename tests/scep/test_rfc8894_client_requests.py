"""What the client sends (RFC 8894 sections 2.3, 3.1, 3.2.1, 3.3.3, 4.4)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc8894

from ca.methods import AuthorisationPolicy
from pkix import oids
from pkix.algorithms import AES256, AlgorithmPolicy
from pkix.asn1 import wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt
from scep.client import (
    ClientSettings,
    Issued,
    new_transaction_id,
    self_signed,
)
from tests.scep import craft
from tests.scep.craft import Seen
from tests.world import NOW, Device, Random, World, key, name


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device(password=world.password())


# 2.3 The client's certificate


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ec:P-521", "ed25519"])
def test_2_3_the_self_signed_certificate_has_subject_and_key_of_the_request(kind: str) -> None:
    private, subject = key(kind, "device"), name("CN=device,O=Example")
    certificate = self_signed(private, subject, now=NOW, random=Random("x"))
    assert certificate.subject == certificate.issuer == subject
    assert certificate.public_key() == private.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_before_utc <= NOW <= certificate.not_valid_after_utc
    assert certificate.serial_number > 0


@pytest.mark.parametrize(("kind", "encipherment"), [("rsa:2048", True), ("ec:P-256", False), ("ed25519", False)])
def test_2_3_its_key_usage_says_signature_and_encipherment_if_available(kind: str, encipherment: bool) -> None:
    certificate = self_signed(key(kind, "device"), name("CN=x"), now=NOW, random=Random("x"))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment is encipherment
    assert not usage.key_cert_sign


def test_2_3_the_signer_s_certificate_is_included_and_its_key_signs(device: Device) -> None:
    sent = Seen(device.start())
    (choice,) = sent.signed_data["certificates"]
    assert int(choice["certificate"]["tbsCertificate"]["serialNumber"]) == device.signer.certificate.serial_number
    craft.verify(sent, device.signer.certificate)
    assert sent.message_type == "19"


def test_2_3_a_renewal_req_is_signed_with_the_certificate_to_renew_and_a_new_key(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    renewing = device.renewal(issued)
    sent = Seen(renewing.start())
    craft.verify(sent, Certificate.decode(issued.certificate))
    assert sent.message_type == "17"
    renewed = renewing.enrol()
    assert isinstance(renewed, Issued)
    assert Certificate.decode(renewed.certificate).spki != Certificate.decode(issued.certificate).spki


def test_3_1_the_request_is_enveloped_for_the_ca(world: World, device: Device) -> None:
    sent = Seen(device.start())
    opened = decrypt(sent.content or b"", craft.identities(world.authority), AlgorithmPolicy())
    assert opened.content == device.request.der


def test_3_5_2_aes128_and_sha256_are_the_defaults(device: Device) -> None:
    sent = Seen(device.start())
    assert sent.cipher == oids.AES128_CBC.dotted_string
    assert sent.digest == oids.SHA256.dotted_string


def test_3_5_2_the_client_can_choose_others(world: World) -> None:
    sent = Seen(world.device(settings=ClientSettings(cipher=AES256, digest=hashes.SHA512())).start())
    assert (sent.cipher, sent.digest) == (oids.AES256_CBC.dotted_string, oids.SHA512.dotted_string)


# 3.2.1 Attributes of requests


def test_3_2_1_a_request_has_transaction_id_type_and_a_fresh_nonce(device: Device) -> None:
    first, second = Seen(device.start()), Seen(device.start())
    scep_ones = {str(rfc8894.id_transactionID), str(rfc8894.id_messageType), str(rfc8894.id_senderNonce)}
    assert {item for item in first.attributes if item.startswith("2.16")} == scep_ones
    assert first.sender_nonce is not None
    assert len(first.sender_nonce) == 16
    assert first.sender_nonce != second.sender_nonce


def test_3_2_1_1_every_operation_has_its_own_printable_transaction_id() -> None:
    random = Random("ids")
    made = {new_transaction_id(random) for _ in range(100)}
    assert len(made) == 100
    assert all(len(text) == 32 and text.isalnum() for text in made)


def test_4_4_polls_carry_the_transaction_id_of_the_request_and_a_new_nonce() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    device = world.device()
    first = Seen(device.start())
    poll = Seen(device.enrolment.poll(now=NOW))
    assert poll.message_type == "20"
    assert poll.transaction_id == first.transaction_id
    assert poll.sender_nonce != first.sender_nonce


def test_3_3_3_a_poll_carries_issuer_and_subject(world: World, device: Device) -> None:
    sent = Seen(device.enrolment.poll(now=NOW))
    opened = decrypt(sent.content or b"", craft.identities(world.authority), AlgorithmPolicy())
    value, rest = decoder.decode(opened.content, asn1Spec=rfc8894.IssuerAndSubject())
    assert not rest
    assert value.isValue
    expected = world.authority.ca.certificate.subject.public_bytes() + device.request.subject_der
    assert opened.content == wrap(0x30, expected)
