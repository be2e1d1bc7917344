"""An accepted signer of answers is no CA: what a CertRep brings must be signed by the CA itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pkix.algorithms import AES128
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer, encode_degenerate
from scep.answers import AnswerRefused
from scep.attributes import MessageType
from scep.client import ClientSettings, Crl, Issued, Outcome, Query
from tests.scep import craft
from tests.scep.seen import Seen
from tests.world import NOW, Device, Random, World, key


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device()


def answered(device: Device, kind: MessageType, inside: bytes, *, serial: int = 7, known: bool = False) -> Outcome:
    """What the client makes of a CertRep by the CA's signer. known: whether it trusts the stranger."""
    world = device.world
    query = Query(
        kind,
        Certificate.of(issued_by(world.authority.ca.key, serial)).issuer_and_serial,
        ca=world.ca_certificates(),
        signer=device.signer,
        transaction_id="query",
        settings=ClientSettings(),
        random=Random("query"),
        issuers=[stranger().certificate] if known else (),
    )
    request = Seen(query.start(now=NOW))
    sealed = encrypt(inside, [RsaRecipient(device.signer.certificate)], AES128, Random("answer"))
    return query.receive(craft.reply(world, craft.reply_header(request), sealed))


def stranger() -> Signer:
    """With the CA's name."""
    return craft.self_made("rsa:2048", "CN=CA,O=Example", "stranger", extensions=craft.CA_EXTENSIONS)


def issued_by(by: object, serial: int) -> x509.Certificate:
    name = craft.name("CN=CA,O=Example")
    return x509.CertificateBuilder(
        name, name, key("rsa:2048", "device").public_key(), serial, NOW, NOW + timedelta(days=1), []
    ).sign(by, hashes.SHA256())  # type: ignore[arg-type]


def crl_by(by: object, issuer: str = "CN=CA,O=Example") -> bytes:
    builder = x509.CertificateRevocationListBuilder(craft.name(issuer), NOW, NOW + timedelta(days=1), [])
    return builder.sign(by, hashes.SHA256()).public_bytes(craft.Encoding.DER)  # type: ignore[arg-type]


def test_a_certificate_that_the_ca_has_signed_is_taken(device: Device) -> None:
    made = craft.der_of(issued_by(device.world.authority.ca.key, 7))
    assert answered(device, MessageType.GetCert, encode_degenerate([made])) == Issued(made)


def test_a_certificate_with_the_name_and_number_asked_for_by_a_stranger_is_refused(device: Device) -> None:
    forged = craft.der_of(issued_by(stranger().key, 7))
    with pytest.raises(
        AnswerRefused, match="the certificate received is not signed by the CA: its signature is not by"
    ):
        answered(device, MessageType.GetCert, encode_degenerate([forged]))
    assert answered(device, MessageType.GetCert, encode_degenerate([forged]), known=True) == Issued(forged)


def test_a_crl_that_the_ca_has_signed_is_taken(device: Device) -> None:
    made = crl_by(device.world.authority.ca.key)
    assert answered(device, MessageType.GetCRL, encode_degenerate(crls=[made])) == Crl(made)


@pytest.mark.parametrize(
    ("issuer", "why"),
    [("CN=CA,O=Example", "its signature is not by the key of"), ("CN=stranger", "its issuer is CN=str")],
)
def test_a_crl_by_a_stranger_is_refused(device: Device, issuer: str, why: str) -> None:
    inside = encode_degenerate(crls=[crl_by(stranger().key, issuer)])
    with pytest.raises(AnswerRefused, match=f"the CRL received is not signed by the CA: {why}"):
        answered(device, MessageType.GetCRL, inside)


def test_a_crl_of_a_ca_that_was_followed_by_another_is_taken_if_that_is_known(device: Device) -> None:
    made = crl_by(stranger().key)
    assert answered(device, MessageType.GetCRL, encode_degenerate(crls=[made]), known=True) == Crl(made)


def test_a_crl_of_another_ca_that_is_trusted_is_not_the_one_asked_for(device: Device) -> None:
    other = crl_by(device.world.authority.ca.key, "CN=Other")
    with pytest.raises(AnswerRefused, match="the CRL received is not signed by the CA: its issuer is CN=Other"):
        answered(device, MessageType.GetCRL, encode_degenerate(crls=[other]))


def test_the_certificate_to_renew_is_no_renewal(world: World) -> None:
    device = world.device(password=world.password())
    first = device.enrol()
    assert isinstance(first, Issued)
    renewing = device.renewal(first, label="device")
    request = Seen(renewing.start())
    inside = encode_degenerate([first.certificate])
    sealed = encrypt(inside, [RsaRecipient(renewing.signer.certificate)], AES128, Random("answer"))
    with pytest.raises(AnswerRefused, match="the certificate received is the one that was to be renewed"):
        renewing.enrolment.receive(craft.reply(world, craft.reply_header(request), sealed))
