"""What is told about recipients, the content cipher and what an envelope holds, where anybody may know it.

Under AES-GCM the sender wrote what is inside, so it is named. Offsets are those of octets that are there.
"""

from __future__ import annotations

import base64
import hashlib

import pytest

from kem.der_faults import Undecoded
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, AES256_GCM
from pkix.asn1 import algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.kem_recipients import CMSORIforKEMOtherInfo, KemRecipient
from pkix.recipients import RsaRecipient
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.craft import BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, failed
from tests.scep.kem_kit import kem_world
from tests.world import BACKENDS, Device, Random, World, kem_key


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def device(world: World) -> Device:
    return world.device()


# What is inside


def structures() -> dict[str, tuple[bytes, str]]:
    csr = craft.weak_request("password")
    certificate = craft.self_made("rsa:2048", "CN=a", "a").certificate.der
    return {
        "nothing": (b"", "nothing"),
        "PEM": (b"-----BEGIN CERTIFICATE REQUEST-----\nMII=\n", "PEM (CERTIFICATE REQUEST)"),
        "base64": (base64.b64encode(csr), "base64 text of a PKCS #10 request"),
        "certificate": (certificate, "a certificate"),
        "ContentInfo": (wrap(0x30, encode(oids.DATA) + wrap(0xA0, wrap(0x04, csr))), "a ContentInfo with data"),
        "envelope": (craft.envelope(World().authority, csr), "enveloped-data (1.2.840.113549.1.7.3)"),
    }


@pytest.mark.parametrize("which", structures())
def test_what_stands_in_place_of_the_request_is_named(world: World, device: Device, which: str) -> None:
    content, what = structures()[which]
    expected = f"the envelope holds {what}; it should hold the DER of a PKCS #10 request"
    assert craft.see(world, craft.request(device, content=content)).fail_info_text == expected


@pytest.mark.parametrize("kind", [21, 22])
def test_what_stands_in_place_of_a_name_is_named(world: World, device: Device, kind: int) -> None:
    for content, what in ((device.request.der, "a PKCS #10 request"), (b"", "nothing"), (b"hello, world", "text")):
        expected = f"the envelope holds {what}; it should hold the DER of IssuerAndSerialNumber"
        failed(world, craft.request(device, kind, content=content), BAD_REQUEST, expected)
    failed(world, craft.request(device, kind, content=b"junk"), BAD_REQUEST, "the envelope holds text; it should")


def test_a_request_with_more_behind_it_or_cut_short_keeps_its_offset(world: World, device: Device) -> None:
    request = device.request.der
    text = f"octets follow where it should end; at offset {len(request)} of the enveloped content, should end"
    failed(world, craft.request(device, content=request + b"\n"), BAD_REQUEST, text)
    text = "it ends too early; at offset 0 of the enveloped content, says that it has more octets than there are"
    failed(world, craft.request(device, content=request[:-1]), BAD_REQUEST, text)


def test_an_offset_is_not_that_of_equal_octets_elsewhere(world: World, device: Device) -> None:
    """The validity of the signer's certificate stands in the message, and in the request in place of the key."""
    validity = Node.parse(device.signer.certificate.der)[0][4].der()
    info = craft.request_info(device, spki=validity)
    content = craft.signed_pkcs10(device.key, info)  # type: ignore[arg-type]
    text = (
        "subjectPKInfo is not valid DER: a value has another type than it should have; algorithm, at offset "
        f"{content.index(validity) + 2} of the enveloped content, should be a SEQUENCE"
    )
    failed(world, craft.request(device, content=content), BAD_REQUEST, text)


def test_octets_that_are_there_twice_are_in_neither_place() -> None:
    assert Undecoded(bytes, b"\5\0").explain(b"1\5\0") == "at offset 1 of the message, should be an OCTET STRING"
    assert Undecoded(bytes, b"\5\0").explain(b"\5\0\5\0") == "at offset 0 of the structure, should be an OCTET STRING"


# The content cipher


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("2.16.840.1.101.3.4.1.1", "AES-128-ECB"),
        ("2.16.840.1.101.3.4.1.3", "AES-128-OFB"),
        ("1.2.840.113549.3.2", "RC2-CBC"),
    ],
)
def test_ciphers_that_are_not_supported_have_names(world: World, device: Device, oid: str, name: str) -> None:
    sealed = craft.renamed_cipher(world.authority, device.request.der, oids.Oid(oid), wrap(0x04, bytes(16)))
    failed(world, craft.request(device, message=sealed), BAD_ALG, f"cipher {name} ({oid}) is not supported")


def test_parameters_that_are_missing(world: World, device: Device) -> None:
    for cipher, what in ((AES128, "AES-128-CBC IV"), (AES128_GCM, "GCMParameters")):
        tree = Node.parse(craft.envelope(world.authority, device.request.der, cipher))
        tree[1][0][2][1].children[1:] = []
        name = oids.name(cipher.oid)
        text = f"{what}: the parameters of {name} are missing"
        assert craft.see(world, craft.request(device, message=tree.der())).fail_info_text == text


# Recipients


def test_whom_an_envelope_names_is_told(world: World, device: Device) -> None:
    other = World("rsa:3072").authority
    serial = f"{other.certificate.serial_number:x}"
    issuer = other.ca.certificate.issuer.rfc4514_string()
    text = (
        f"the envelope is addressed to none of our certificates, but to the serial number {serial} (hex) of the issuer "
        f"{issuer}; fetch them with GetCACert"
    )
    failed(world, craft.request(device, message=craft.envelope(other, b"x")), BAD_MESSAGE_CHECK, text)
    tree = Node.parse(craft.envelope(other, b"x"))
    tree[1][0][1][0][1] = Node(0x80, bytes(100))
    text = f"but to the subjectKeyIdentifier {'00' * 64}…; fetch"
    failed(world, craft.request(device, message=tree.der()), BAD_MESSAGE_CHECK, text)
    both = [RsaRecipient(other.certificate)] * 3
    sealed = encrypt(b"x", both, AES128, Random("three"))
    failed(world, craft.request(device, message=sealed), BAD_MESSAGE_CHECK, f"{issuer} and 2 others; fetch")


def test_a_name_in_a_recipient_is_shown_in_bounds(world: World, device: Device) -> None:
    tree = Node.parse(craft.envelope(world.authority, b"x"))
    value = wrap(0x30, encode(oids.Oid("2.5.4.3")) + wrap(0x0C, b"a" * 500 + b"\x1b[31m"))
    for issuer, shown in ((wrap(0x30, wrap(0x31, value)), f"CN={'a' * 125}…"), (b"\x30\x02\x31\x00", "a Name that")):
        tree[1][0][1][0][1][0] = Node.parse(issuer)
        failed(world, craft.request(device, message=tree.der()), BAD_MESSAGE_CHECK, f"of the issuer {shown}")


def test_an_envelope_to_the_client_itself(world: World, device: Device) -> None:
    sealed = encrypt(b"x", [RsaRecipient(device.signer.certificate)], AES128, Random("to itself"))
    text = "a recipient is the certificate that signed the message; encrypt to one of ours, which GetCACert brings"
    failed(world, craft.request(device, message=sealed), BAD_MESSAGE_CHECK, text)


# A KEMRecipientInfo that cannot be opened


def kem_envelope(world: World, recipient: KemRecipient) -> bytes:
    return encrypt(b"x", [recipient], AES256_GCM, Random("kem"))


@pytest.mark.parametrize("ukm", [None, b"", bytes(100)])
def test_what_the_key_derivation_read_is_in_the_log(ukm: bytes | None) -> None:
    world = kem_world()
    device = world.device()
    pair = world.authority.ra_kem[0]
    certificate = Certificate.of(pair.certificate)
    _private, other = kem_key(label="another")
    sent = BACKENDS.encapsulate(other)
    recipient = KemRecipient(kem=oids.ML_KEM_768, encapsulate=lambda: sent, rid=certificate.issuer_and_serial, ukm=ukm)
    message = craft.request(device, message=kem_envelope(world, recipient)).encode()
    (event,) = world.send(message).events
    info = encode(CMSORIforKEMOtherInfo(wrap=algorithm(oids.AES256_WRAP), kek_length=32, ukm=ukm))
    cause = event.details["cause"]
    assert cause.startswith(
        "the content-encryption key cannot be unwrapped; KDF HKDF-SHA256, kekLength 32, wrap aes256-wrap"
    )
    more = "…" if len(info) > 48 else ""
    assert f"CMSORIforKEMOtherInfo {info[:48].hex()}{more} ({len(info)} octets)" in cause
    secret = BACKENDS.decapsulate(pair.key, sent.ciphertext)
    kek = recipient.kdf.derive(secret, 32, info)
    assert (
        f"kemct {hashlib.sha256(sent.ciphertext).hexdigest()[:16]}, KEK {hashlib.sha256(kek).hexdigest()[:16]}" in cause
    )
    assert cause.endswith("octets of encryptedKey 40")
    assert kek[:4].hex() not in cause
