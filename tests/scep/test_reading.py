"""What deployed software writes is read, and what is refused is named, by responder and client: issue 10, section 3."""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca.profiles import Profile
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, AlgorithmPolicy
from pkix.asn1 import algorithm, encode, octet_string, wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt, inspect
from pkix.errors import Malformed
from pkix.recipients import KekRecipient, PasswordRecipient, RsaRecipient
from pkix.signed_data import encode_degenerate
from pkix.usages import CMC_RA
from scep import attributes as scep
from scep.answers import AnswerRefused
from scep.client import CaCertificates, Issued, ReplyRefused
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.craft import BAD_MESSAGE_CHECK, BAD_REQUEST, failed, see
from tests.scep.seen import Seen
from tests.world import NOW, Device, Random, World, authority

NULL, FALSE = b"\x05\x00", b"\x01\x01\x00"
SAN, USAGE, BASIC = "2.5.29.17", "2.5.29.15", "2.5.29.19"
HOST = wrap(0x30, wrap(0x82, b"host.example"))
JUNK_CERTIFICATE = wrap(0x30, b"\x02\x01\x01")
UNKNOWN = oids.Oid("1.3.6.1.4.1.99999.1")


def extension(oid: str, value: bytes, critical: bytes = b"") -> bytes:
    return wrap(0x30, encode(oids.Oid(oid)) + critical + octet_string(value))


def asking(device: Device, *extensions: bytes, more: bytes = b"", version: int = 0) -> craft.Crafted:
    """A PKCSReq whose PKCS #10 request has these extensions. more: attributes, DER or not."""
    password = wrap(0x30, encode(oids.CHALLENGE_PASSWORD) + wrap(0x31, wrap(0x0C, b"one-time secret")))
    wanted = wrap(0x30, encode(oids.EXTENSION_REQUEST) + wrap(0x31, wrap(0x30, b"".join(extensions))))
    info = craft.request_info(device, version=encode(version), attributes=wanted + password + more)
    return craft.request(device, content=craft.signed_pkcs10(device.key, info))  # type: ignore[arg-type]


def issued(world: World, message: craft.Crafted | bytes) -> x509.Certificate:
    found = see(world, message)
    assert found.status == "0", found.fail_info_text
    (record,) = world.store.certificates()
    return x509.load_der_x509_certificate(record.der)


@pytest.fixture
def world() -> World:
    found = World()
    found.password()
    return found


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not found.critical
    return found.value.get_values_for_type(x509.DNSName)


# A DEFAULT written out


def test_critical_false_as_older_certmonger_and_intel_write_it_is_issued_as_clean_der(world: World) -> None:
    message = asking(world.device(), extension(SAN, HOST, FALSE), extension(BASIC, b"\x30\x03" + FALSE, FALSE))
    assert names(issued(world, message)) == ["host.example"]


@pytest.mark.parametrize("version", [1, 2])
def test_versions_of_apple_and_meraki_are_issued(world: World, version: int) -> None:
    assert names(issued(world, asking(world.device(), extension(SAN, HOST), version=version))) == ["host.example"]


# One unreadable, unneeded item


@pytest.mark.parametrize("oid", [BASIC, USAGE, "2.5.29.37", "2.5.29.31", "2.5.29.32", "2.5.29.35"])
def test_an_extension_that_is_not_copied_may_be_anything(world: World, oid: str) -> None:
    message = asking(world.device(), extension(oid, b"junk"), extension(SAN, HOST))
    assert names(issued(world, message)) == ["host.example"]


@pytest.mark.parametrize(
    ("oid", "copied"), [(SAN, "subjectAltName"), (USAGE, "keyUsage"), ("2.5.29.37", "extendedKeyUsage")]
)
def test_an_extension_that_is_copied_must_be_readable(oid: str, copied: str) -> None:
    world = World(profile=Profile(copy_extensions=(copied,)))
    world.password()
    failed(world, asking(world.device(), extension(oid, b"junk")), BAD_REQUEST, f"{oid}) cannot be read")
    assert not world.store.certificates()


@pytest.mark.parametrize(
    "values",
    [wrap(0x31, NULL * 2), wrap(0x31, b""), wrap(0x31, b"\x04\x7f"), NULL, wrap(0x31, b"\x1f")],
    ids=["two values", "none", "cut short", "no SET", "half a tag"],
)
def test_a_request_s_attribute_that_nobody_needs_may_be_anything(world: World, values: bytes) -> None:
    junk = wrap(0x30, encode(UNKNOWN) + values)
    assert names(issued(world, asking(world.device(), extension(SAN, HOST), more=junk * 2))) == ["host.example"]


def test_an_unreadable_certificate_beside_the_signer_s(world: World) -> None:
    device = world.device(password="one-time secret")
    issued(world, craft.request(device, certificates=[JUNK_CERTIFICATE, device.signer.certificate.der]))


@pytest.mark.parametrize("values", [[], [NULL, wrap(0x02, b"\x01")]], ids=["no value", "two values"])
def test_a_signed_attribute_that_nobody_needs(world: World, values: list[bytes]) -> None:
    device = world.device(password="one-time secret")
    issued(world, craft.request(device, attributes=craft.header() | {UNKNOWN: values}))


def test_a_signing_time_that_nobody_needs(world: World) -> None:
    device = world.device(password="one-time secret")
    digest = wrap(0x04, craft.hash_of(hashes.SHA256(), sealed := craft.envelope(world.authority, device.request.der)))
    cms = {
        oids.CONTENT_TYPE: [encode(oids.DATA)],
        oids.SIGNING_TIME: [wrap(0x17, b"261121130000+0100")] * 2,
        oids.MESSAGE_DIGEST: [digest],
    }
    issued(world, craft.request(device, message=sealed, cms=cms))


CA_FALSE = (extension(BASIC, b"\x30\x03" + FALSE), extension(USAGE, b"\x03\x02\x05\xa0"))
CRITICAL_FALSE = (
    extension(BASIC, b"\x30\x03" + FALSE, FALSE),
    extension(USAGE, b"\x03\x02\x05\xa0", FALSE),
    extension("2.5.29.37", wrap(0x30, encode(CMC_RA)), FALSE),
)


@pytest.mark.parametrize("extensions", [CA_FALSE, CRITICAL_FALSE], ids=["cA FALSE", "critical FALSE"])
def test_the_client_reads_an_ra_certificate_with_a_default_written_out(
    world: World, extensions: tuple[bytes, ...]
) -> None:
    """The CA's signature is over the octets as they came."""
    odd = craft.certificate_with(world.authority.ca, *extensions)
    bag = encode_degenerate([odd, world.authority.certificate.der])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=NOW)
    assert [item.der for item in found.all] == [odd, world.authority.certificate.der]
    recipient = found.recipient()
    assert isinstance(recipient, RsaRecipient)
    assert recipient.certificate.der == odd
    forged = bytearray(odd)
    forged[-1] ^= 1
    bag = encode_degenerate([bytes(forged), world.authority.certificate.der])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=NOW)
    assert [item.der for item in found.all] == [world.authority.certificate.der]


def test_the_library_does_not_even_load_one_with_critical_false(world: World) -> None:
    with pytest.raises(ValueError, match="EncodedDefault"):
        x509.load_der_x509_certificate(craft.certificate_with(world.authority.ca, *CRITICAL_FALSE))


@pytest.mark.parametrize("oid", [BASIC, USAGE, "2.5.29.37", "2.5.29.30"])
def test_a_certificate_of_which_nobody_knows_what_it_is_good_for_costs_only_itself(world: World, oid: str) -> None:
    odd = craft.certificate_with(world.authority.ca, extension(oid, b"junk"))
    ours = world.authority.certificate.der
    found = CaCertificates.decode(encode_degenerate([odd, ours]), fingerprint=None, now=NOW)
    assert [item.der for item in found.all] == [ours]


@pytest.mark.parametrize("first", [True, False])
def test_an_unreadable_certificate_in_get_ca_cert_costs_only_itself(world: World, first: bool) -> None:
    ours = world.authority.certificate.der
    bag = encode_degenerate([JUNK_CERTIFICATE, ours] if first else [ours, JUNK_CERTIFICATE])
    found = CaCertificates.decode(bag, fingerprint=world.authority.identifier, now=NOW)
    assert [item.der for item in found.all] == [ours]
    with pytest.raises(ReplyRefused, match=r"no certificate of a CA; left out: a certificate \(cannot be read: "):
        CaCertificates.decode(encode_degenerate([JUNK_CERTIFICATE]), fingerprint=None, now=NOW)


def test_an_unreadable_certificate_beside_the_one_issued(world: World) -> None:
    device = world.device(password="one-time secret")
    sent = Seen(device.start())
    made = craft.der_of(issued(world, craft.request(device)))
    bag = encode_degenerate([JUNK_CERTIFICATE, made])
    sealed = encrypt(bag, [RsaRecipient(device.signer.certificate)], AES128, Random("bag"))
    outcome = device.enrolment.receive(craft.reply(world, craft.reply_header(sent), sealed))
    assert isinstance(outcome, Issued)
    assert outcome.certificate == made


# Whom an envelope is for


def agreed(device: Device) -> bytes:
    """An envelope with a KeyAgreeRecipientInfo, of which only the tag matters here."""
    return with_recipient(device, wrap(0xA1, encode(3)))


def with_recipient(device: Device, *infos: bytes) -> bytes:
    tree = Node.parse(craft.envelope(device.world.authority, device.request.der))
    tree[1][0][1] = Node.parse(wrap(0x31, b"".join(infos)))
    return tree.der()


def test_a_recipient_that_cannot_be_read_beside_ours(world: World) -> None:
    device = world.device(password="one-time secret")
    tree = Node.parse(craft.envelope(world.authority, device.request.der))
    tree[1][0][1] = Node.parse(wrap(0x31, wrap(0x30, b"\x02\x01\x05") + tree[1][0][1][0].der()))
    issued(world, craft.request(device, message=tree.der()))


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (
            wrap(0xA1, encode(3)),
            "a KeyAgreeRecipientInfo; KeyTransRecipientInfo with RSA and KEMRecipientInfo with ML-KEM",
        ),
        (PasswordRecipient(b"secret").recipient_info(bytes(16), Random("p")), "a PasswordRecipientInfo"),
        (KekRecipient(bytes(16), b"key").recipient_info(bytes(16), Random("k")), "a KEKRecipientInfo"),
        (wrap(0xA4, encode(UNKNOWN) + NULL), "a recipient of a type that is not supported"),
    ],
    ids=["key agreement", "password", "KEK", "other"],
)
def test_a_recipient_of_a_type_that_is_not_read_is_named(world: World, info: bytes, text: str) -> None:
    failed(
        world, craft.request(device := world.device(), message=with_recipient(device, info)), BAD_MESSAGE_CHECK, text
    )


def test_the_ca_s_certificate_in_place_of_the_ra_s() -> None:
    world = World(ra_key_type="rsa:2048")
    device = world.device()
    sealed = encrypt(device.request.der, [RsaRecipient(world.authority.certificate)], AES128, Random("to the CA"))
    assert world.authority.ra_decryption is not None
    serial = f"{world.authority.ra_decryption.certificate.serial_number:x}"
    subject = world.authority.ra_decryption.certificate.subject.rfc4514_string()
    instead = f"{subject} (RSA, keyEncipherment, serial number {serial})"
    text = f"the certificate of our CA opens none; address that of {instead}"
    failed(world, craft.request(device, message=sealed), BAD_MESSAGE_CHECK, text)


def test_a_retired_ca_s_certificate() -> None:
    old = authority(label="Retired CA")
    world = World(retired=(old,))
    device = world.device()
    sealed = encrypt(device.request.der, [RsaRecipient(old.certificate)], AES128, Random("old"))
    failed(world, craft.request(device, message=sealed), BAD_MESSAGE_CHECK, "no longer in use; fetch GetCACert again")


def test_key_transport_to_our_ml_kem_certificate() -> None:
    world = World(current=authority(kems=("ML-KEM-768",)))
    device = world.device()
    named = Certificate.of(world.authority.ra_kem[0].certificate).issuer_and_serial
    info = wrap(
        0x30, encode(0) + encode(named) + encode(algorithm(oids.RSA_ENCRYPTION, NULL)) + octet_string(bytes(256))
    )
    text = "a KeyTransRecipientInfo for our ML-KEM certificate; use KEMRecipientInfo (RFC 9629, RFC 9936)"
    failed(world, craft.request(device, message=with_recipient(device, info)), BAD_MESSAGE_CHECK, text)


def test_the_client_is_told_no_server_s_advice(world: World) -> None:
    for sealed, text in (
        (agreed(world.device()), "a KeyAgreeRecipientInfo"),
        (encrypt(b"x", [RsaRecipient(authority(label="else").certificate)], AES128, Random("x")), "addressed to none"),
    ):
        device = world.device()
        sent = Seen(device.start())
        with pytest.raises(AnswerRefused, match=text) as caught:
            device.enrolment.receive(craft.reply(world, craft.reply_header(sent), sealed))
        assert not re.search("GetCACert|are read|; ", caught.value.text)


def test_a_recipient_that_cannot_be_read_alone(world: World) -> None:
    """Also where nothing is opened, so that BER, which is read after DER has failed, is not taken for another's."""
    sealed = with_recipient(world.device(), wrap(0x30, b"\x02\x01\x05"))
    with pytest.raises(Malformed, match="KeyTransRecipientInfo"):
        inspect(sealed, world.authority.identities(world.backends), AlgorithmPolicy())


def test_a_certificate_with_an_unreadable_key_beside_that_of_a_renewal(world: World) -> None:
    device = world.device(password="one-time secret")
    first = device.enrol()
    assert isinstance(first, Issued)
    odd = Node.parse(device.signer.certificate.der)
    odd[0][6] = Node.parse(wrap(0x30, encode(1)))
    renewal = device.renewal(first)
    message = craft.request(renewal, 17, certificates=[renewal.signer.certificate.der, odd.der()])
    assert see(world, message).status == "0"


# Where a structure is broken: the field, and its offset as `openssl asn1parse` has it


MARK = b"\x02\x02\x2a\x2b"


def refused_at(world: World, message: bytes, where: int, text: str) -> None:
    """On the wire, and in the log."""
    text = text.format(f"at offset {where} of the message")
    failed(world, message, BAD_REQUEST, text)
    assert text in craft.answer(world, message).events[0].details["text"]


def test_an_attribute_of_the_wrong_type_is_found_in_the_message(world: World) -> None:
    made = craft.request(world.device())
    made.attributes[scep.SENDER_NONCE] = [MARK]
    message = made.encode()
    text = "senderNonce is not valid DER: a value has another type than it should have; {}, should be an OCTET STRING"
    refused_at(world, message, message.index(MARK), text)


def test_a_field_of_the_envelope_is_found_in_the_message(world: World) -> None:
    made = craft.request(world.device())
    assert made.content is not None
    envelope = Node.parse(made.content)
    envelope[1][0][2][0] = Node(MARK[0], MARK[2:])
    made.content = envelope.der()
    message = made.encode()
    refused_at(
        world, message, message.index(MARK), "encryptedContentInfo.contentType, {}, should be an OBJECT IDENTIFIER"
    )


def test_an_envelope_that_is_cut_short_says_how_much_is_missing(world: World) -> None:
    """By its own length, wherever it ends."""
    made = craft.request(world.device())
    assert made.content is not None
    whole = made.content
    made.content = whole[:-10]
    message = made.encode()
    text = f"pkcsPKIEnvelope is the first {len(whole) - 10} octets of a ContentInfo of {len(whole)}; send all of it"
    failed(world, message, BAD_REQUEST, text)


def test_a_field_of_the_signer_info_is_found_in_the_message(world: World) -> None:
    tree = Node.parse(craft.request(world.device()).encode())
    tree[1][0][-1][0][0] = Node(0x04, MARK)
    message = tree.der()
    with pytest.raises(Malformed) as caught:
        see(world, message)
    where = message.index(MARK) - 2
    assert caught.value.text.endswith(f"; version, at offset {where} of the message, should be an INTEGER")


def test_a_field_of_the_request_is_found_in_the_request(world: World) -> None:
    """It came encrypted, so it is nowhere in the message."""
    device = world.device()
    made = Node.parse(device.request.der)
    made[1][0] = Node(MARK[0], MARK[2:])
    content = made.der()
    where = f"signatureAlgorithm.algorithm, at offset {content.index(MARK)} of the enveloped content"
    failed(world, craft.request(device, content=content, cipher=AES128_GCM), BAD_REQUEST, where)


def test_the_client_learns_where_an_answer_is_broken(world: World) -> None:
    device = world.device()
    request = Seen(device.start())
    message = craft.reply(world, craft.reply_header(request, 3) | {scep.RECIPIENT_NONCE: [MARK]}, None)
    with pytest.raises(AnswerRefused) as caught:
        device.enrolment.receive(message)
    assert caught.value.text.endswith(f"at offset {message.index(MARK)} of the message, should be an OCTET STRING")
