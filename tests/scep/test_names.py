"""Issue 10, section 1: whoever names our CA may write its name otherwise than we do (RFC 5280 section 7.1)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.name import _ASN1Type

from pkix.algorithms import AES128_GCM
from pkix.asn1 import any_of, encode
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.enveloped_data import encrypt
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer
from pkix.signed_objects import has_issued
from scep.attributes import MessageType
from scep.client import Issued
from tests.scep import craft
from tests.world import Random, World, key, name

ODD = ["string type", "case", "blanks"]


def respelled(subject: x509.Name, how: str) -> x509.Name:
    kind = _ASN1Type.PrintableString if how == "string type" else _ASN1Type.UTF8String
    change = {"case": str.swapcase, "blanks": lambda text: f" {text}  "}.get(how, str)

    def written(item: x509.NameAttribute[Any]) -> x509.NameAttribute[Any]:
        return x509.NameAttribute(item.oid, change(item.value), kind)

    return x509.Name([x509.RelativeDistinguishedName(map(written, rdn)) for rdn in subject.rdns])


def named(certificate: x509.Certificate, how: str) -> IssuerAndSerialNumber:
    issuer = respelled(certificate.issuer, how).public_bytes()
    assert issuer != Certificate.of(certificate).issuer
    return IssuerAndSerialNumber(issuer=any_of(issuer), serial_number=certificate.serial_number)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("how", ODD)
def test_is_this_certificate_ours(how: str) -> None:
    """As the issuer's certificate, renewed by other software, may spell its name."""
    ours = craft.self_made("ec:P-256", "CN=CA,O=Example", "ours", extensions=craft.CA_EXTENSIONS)
    ca = x509.load_der_x509_certificate(ours.certificate.der)

    def leaf(issuer: x509.Name, by: Any) -> x509.Certificate:
        valid = ca.not_valid_before_utc, ca.not_valid_after_utc
        return x509.CertificateBuilder(issuer, name("CN=leaf"), ca.public_key(), 7, *valid).sign(by, SHA256())

    spelled = respelled(ca.subject, how)
    assert has_issued(ca, leaf(spelled, ours.key))
    assert not has_issued(ca, leaf(name("CN=Other"), ours.key))
    assert not has_issued(ca, leaf(spelled, key("ec:P-256", "forger")))


class Renamed(Certificate):
    """A certificate that CMS names with another spelling of its issuer."""

    @property
    def issuer_and_serial(self) -> IssuerAndSerialNumber:  # type: ignore[override]
        return named(x509.load_der_x509_certificate(self.der), "case")


def renamed(certificate: x509.Certificate) -> Certificate:
    view = Certificate.of(certificate)
    return Renamed(view.der, view.issuer, view.serial_number, view.subject, view.spki)


def test_the_issuer_in_recipient_info(world: World) -> None:
    device = world.device(password=world.password())
    to = RsaRecipient(renamed(world.authority.ca.certificate))
    envelope = encrypt(device.request.der, [to], AES128_GCM, Random("envelope"))
    assert craft.see(world, craft.request(device, message=envelope)).status == "0"


def enrolled(world: World) -> tuple[Any, x509.Certificate]:
    device = world.device(password=world.password())
    answer = device.enrol()
    assert isinstance(answer, Issued)
    return device, x509.load_der_x509_certificate(answer.certificate)


@pytest.mark.parametrize("how", ODD)
@pytest.mark.parametrize("kind", [MessageType.GetCert, MessageType.GetCRL])
def test_get_cert_and_get_crl(world: World, kind: MessageType, how: str) -> None:
    device, issued = enrolled(world)
    asked = encode(named(issued, how))
    assert craft.see(world, craft.request(device, kind.value, asked)).status == "0"


@pytest.mark.parametrize("kind", [MessageType.GetCert, MessageType.GetCRL])
@pytest.mark.parametrize(
    "other", [b"\x05\x00", name("CN=CA 2,O=Example").public_bytes(), name("O=Example,CN=CA").public_bytes()]
)
def test_another_issuer_is_another(world: World, kind: MessageType, other: bytes) -> None:
    device, issued = enrolled(world)
    asked = encode(IssuerAndSerialNumber(issuer=any_of(other), serial_number=issued.serial_number))
    craft.failed(world, craft.request(device, kind.value, asked), craft.BAD_CERT_ID, "issuer")


def test_the_signer_info_s_identifier(world: World) -> None:
    device = world.device(password=world.password())
    crafted = craft.request(device)
    found = named(x509.load_der_x509_certificate(device.signer.certificate.der), "case")
    view = Certificate.decode(device.signer.certificate.der)
    crafted.certificates = [view.der]
    crafted.signer = Signer(
        device.key, Certificate(view.der, encode(found.issuer), view.serial_number, view.subject, view.spki)
    )
    assert craft.see(world, crafted).status == "0"
