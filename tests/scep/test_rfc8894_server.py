"""The server's requirements of RFC 8894 on any message, one test a requirement, named after its section.

The types of messages are in `test_rfc8894_messages`, what an answer is encrypted and signed with in
`test_rfc8894_algorithms`, GetCACaps to GetNextCACert in `test_rfc8894_ca`, transactions in `test_transactions`.
"""

from __future__ import annotations

import string
from datetime import timedelta

import pytest
from cryptography import x509
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc5652, rfc8894

from ca.methods import AuthorisationPolicy
from ca.store import Decision
from pkix import oids
from pkix.asn1 import any_of, encode, wrap
from pkix.certificates import IssuerAndSerialNumber
from pkix.enveloped_data import decrypt
from pkix.errors import Malformed
from pkix.identities import RsaIdentity
from pkix.signatures import SigningKey
from pkix.signed_data import encode_degenerate
from scep import attributes as scep
from scep.attributes import MessageType
from scep.client import Issued, StillPending
from scep.messages import PkiMessage
from scep.settings import Settings
from tests.scep import craft
from tests.scep.craft import BAD_CERT_ID, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, Seen, failed, see
from tests.world import NOW, Device, World, authority, key

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


# 2.1.2 CA certificate, 2.4 authorisation


def usages(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign", "key_agreement")
    return {item for item in names if getattr(usage, item)}


def test_2_1_2_a_ca_key_that_decrypts_says_so_in_key_usage() -> None:
    assert usages(authority("rsa:2048").ca.certificate) == {
        *("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign")
    }


@pytest.mark.parametrize("kind", ["ec:P-256", "ed25519"])
def test_2_1_2_a_ca_key_that_cannot_decrypt_leaves_it_to_the_ra_certificate(kind: str) -> None:
    made = authority(kind)
    assert usages(made.ca.certificate) == {"digital_signature", "key_cert_sign", "crl_sign"}
    assert made.ra_decryption is not None
    assert usages(made.ra_decryption.certificate) == {"key_encipherment"}


def test_2_1_2_an_ra_signer_says_digital_signature() -> None:
    made = authority("rsa:2048", "rsa:2048")
    assert made.ra_signer is not None
    assert usages(made.ra_signer.certificate) == {"digital_signature"}


def test_2_4_a_self_signed_certificate_authorises_nothing(world: World) -> None:
    failed(world, craft.request(world.device()), BAD_REQUEST, "no challengePassword")
    assert nothing_issued(world)


def test_2_4_a_renewal_req_with_a_self_signed_certificate_is_refused(world: World) -> None:
    failed(world, world.device(renewal=True).start(), BAD_REQUEST, "certificate issued by this CA")
    assert nothing_issued(world)


def test_2_4_unauthenticated_requests_may_wait_for_the_operator() -> None:
    world = World(policy=MANUAL)
    assert isinstance(world.device().enrol(), StillPending)
    assert not world.store.certificates()


def test_2_4_a_renewal_may_carry_the_used_challenge_password(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    assert isinstance(device.renewal(issued, password="one-time secret").enrol(), Issued)


# 3 and 3.1: envelopes


def test_3_pending_and_failure_omit_the_whole_envelope() -> None:
    world = World(policy=MANUAL)
    device = world.device()
    pending = see(world, device.start())
    assert (pending.status, pending.content or None) == ("3", None)
    world.decide(Decision.REJECTED)
    refused = see(world, device.enrolment.poll(now=world.now))
    assert (refused.status, refused.content or None) == ("2", None)


def test_3_1_an_unencrypted_request_is_refused(world: World, device: Device) -> None:
    bare = craft.request(device, message=device.request.der)
    failed(world, bare, BAD_REQUEST, "pkcsPKIEnvelope is a PKCS #10 request alone; it must be EnvelopedData or AuthEnv")
    assert nothing_issued(world)


def test_3_1_a_message_without_envelope_is_refused(world: World, device: Device) -> None:
    failed(world, craft.request(device, message=None), BAD_REQUEST, "no pkcsPKIEnvelope")


def test_3_1_an_envelope_for_somebody_else_is_refused(world: World, device: Device) -> None:
    other = craft.envelope(authority(label="somebody else"), device.request.der)
    failed(world, craft.request(device, message=other), BAD_MESSAGE_CHECK, "fetch them with GetCACert")


# 3.2: the SignedData


def test_3_2_e_content_type_is_data(world: World, device: Device) -> None:
    found = see(world, device.start())
    assert found.signed_data["encapContentInfo"]["eContentType"] == rfc5652.id_data


def test_3_2_another_e_content_type_is_refused(world: World, device: Device) -> None:
    message = craft.request(device, content_type=oids.ENVELOPED_DATA)
    failed(world, message, BAD_REQUEST, "not data (RFC 8894 section 3.2)")
    assert nothing_issued(world)


def test_3_2_a_signer_info_without_attributes_is_undecodable(world: World, device: Device) -> None:
    with pytest.raises(Malformed, match="no signed attributes"):
        world.send(craft.request(device, omit_signed_attributes=True).encode())


@pytest.mark.parametrize("count", [0, 2])
def test_3_2_there_is_exactly_one_signer_info(world: World, device: Device, count: int) -> None:
    with pytest.raises(Malformed, match="SignerInfo"):
        world.send(craft.request(device, signers=count).encode())


def name_and_serial(world: World) -> bytes:
    issuer = any_of(world.authority.certificate.subject)
    return encode(IssuerAndSerialNumber(issuer=issuer, serial_number=1))


@pytest.mark.parametrize("kind", [17, 19])
def test_3_2_an_enrolment_that_carries_no_pkcs10_is_refused(world: World, device: Device, kind: int) -> None:
    failed(world, craft.request(device, kind, name_and_serial(world)), BAD_REQUEST, "PKCS #10")


@pytest.mark.parametrize("kind", [21, 22])
def test_3_2_a_query_that_carries_a_pkcs10_is_refused(world: World, device: Device, kind: int) -> None:
    failed(world, craft.request(device, kind, device.request.der), BAD_REQUEST, "IssuerAndSerialNumber")


def test_3_2_2_encrypted_content_of_another_type_than_data_is_refused(world: World, device: Device) -> None:
    sealed = craft.envelope(world.authority, device.request.der)
    at = sealed.rindex(encode(oids.DATA))
    changed = sealed[:at] + encode(oids.DATA)[:-1] + b"\x02" + sealed[at + len(encode(oids.DATA)) :]
    failed(world, craft.request(device, message=changed), BAD_REQUEST, "not data (RFC 8894 section 3.2.2)")


# 3.2.1: attributes


def test_3_2_1_cert_rep_success_has_exactly_its_attributes(world: World, device: Device) -> None:
    found = see(world, device.start())
    assert set(found.attributes) == {
        *map(str, (rfc8894.id_transactionID, rfc8894.id_messageType, rfc8894.id_pkiStatus)),
        *map(str, (rfc8894.id_senderNonce, rfc8894.id_recipientNonce)),
        *map(str, (rfc5652.id_contentType, rfc5652.id_messageDigest, rfc5652.id_signingTime)),
    }
    assert (found.message_type, found.status) == ("3", "0")


def test_3_2_1_cert_rep_pending_says_so() -> None:
    world = World(policy=MANUAL)
    found = see(world, world.device().start())
    assert (found.message_type, found.status, found.fail_info, found.fail_info_text) == ("3", "3", None, None)


def test_3_2_1_cert_rep_failure_has_fail_info_and_text(world: World) -> None:
    found = see(world, world.device().start())
    assert (found.message_type, found.status, found.fail_info) == ("3", "2", BAD_REQUEST)
    assert found.fail_info_text


def without(device: Device, oid: craft.Oid) -> craft.Crafted:
    attributes = craft.header()
    del attributes[oid]
    return craft.request(device, attributes=attributes)


def test_3_2_1_without_transaction_id_there_is_nothing_to_answer(world: World, device: Device) -> None:
    with pytest.raises(Malformed, match="no transactionID"):
        world.send(without(device, scep.TRANSACTION_ID).encode())


@pytest.mark.parametrize(("oid", "text"), [(scep.MESSAGE_TYPE, "messageType"), (scep.SENDER_NONCE, "senderNonce")])
def test_3_2_1_a_missing_attribute_is_named(world: World, device: Device, oid: craft.Oid, text: str) -> None:
    failed(world, without(device, oid), BAD_REQUEST, f"no {text}")
    assert nothing_issued(world)


CMS_DEMANDS = [(oids.CONTENT_TYPE, "contentType"), (oids.MESSAGE_DIGEST, "messageDigest")]


@pytest.mark.parametrize(("left_out", "text"), CMS_DEMANDS)
def test_3_2_1_attributes_that_cms_demands_are_demanded(
    world: World, device: Device, left_out: craft.Oid, text: str
) -> None:
    whole = craft.request(device)
    digest = craft.hash_of(whole.digest, whole.content or b"")
    cms = {oids.CONTENT_TYPE: [encode(oids.DATA)], oids.MESSAGE_DIGEST: [wrap(0x04, digest)]}
    assert see(world, craft.request(device, cms=dict(cms), message=whole.content)).status == "0"
    del cms[left_out]
    message = craft.request(device, cms=cms, message=whole.content, transaction_id="2")
    failed(world, message, BAD_MESSAGE_CHECK, text)


def test_3_2_1_content_type_differs_from_e_content_type(world: World, device: Device) -> None:
    whole = craft.request(device)
    digest = craft.hash_of(whole.digest, whole.content or b"")
    cms = {oids.CONTENT_TYPE: [encode(oids.SIGNED_DATA)], oids.MESSAGE_DIGEST: [wrap(0x04, digest)]}
    failed(world, craft.request(device, cms=cms, message=whole.content), BAD_MESSAGE_CHECK, "contentType")


def test_3_2_1_another_digest_than_that_of_the_content_is_refused(world: World, device: Device) -> None:
    cms = {oids.CONTENT_TYPE: [encode(oids.DATA)], oids.MESSAGE_DIGEST: [wrap(0x04, bytes(32))]}
    failed(world, craft.request(device, cms=cms), BAD_MESSAGE_CHECK, "messageDigest does not fit")


@pytest.mark.parametrize("oid", [scep.TRANSACTION_ID, scep.MESSAGE_TYPE, scep.SENDER_NONCE])
@pytest.mark.parametrize("count", [0, 2])
def test_3_2_1_an_attribute_has_one_value(world: World, device: Device, oid: craft.Oid, count: int) -> None:
    attributes = craft.header()
    attributes[oid] = attributes[oid][:1] * count
    message = craft.request(device, attributes=attributes)
    if oid != scep.TRANSACTION_ID:
        failed(world, message, BAD_REQUEST, "exactly one value")
        return
    with pytest.raises(Malformed, match="exactly one value"):
        world.send(message.encode())


WRONG_TYPES = [
    (scep.MESSAGE_TYPE, wrap(0x0C, b"19"), "messageType is not a PrintableString but a UTF8String (RFC 8894"),
    (scep.MESSAGE_TYPE, wrap(0x02, b"\x13"), "messageType is not a PrintableString but an INTEGER (RFC 8894"),
    (scep.MESSAGE_TYPE, wrap(0x05, b""), "messageType is not a PrintableString but a value with the tag 05"),
    (scep.MESSAGE_TYPE, wrap(0x13, b"1*9"), "messageType has the octet 2a ('*') at position 2, which no PrintableStr"),
    (scep.SENDER_NONCE, wrap(0x13, b"0123456789abcdef"), "senderNonce is not valid"),
]


@pytest.mark.parametrize(("oid", "value", "text"), WRONG_TYPES)
def test_table_1_another_type_of_attribute_is_refused(
    world: World, device: Device, oid: craft.Oid, value: bytes, text: str
) -> None:
    attributes = craft.header() | {oid: [value]}
    failed(world, craft.request(device, attributes=attributes), BAD_REQUEST, text)


@pytest.mark.parametrize("value", [wrap(0x0C, b"id"), wrap(0x16, b"id"), wrap(0x04, b"id"), encode(5)])
def test_table_1_a_transaction_id_of_another_type_is_undecodable(world: World, device: Device, value: bytes) -> None:
    attributes = craft.header() | {scep.TRANSACTION_ID: [value]}
    with pytest.raises(Malformed, match="transactionID is not a PrintableString"):
        world.send(craft.request(device, attributes=attributes).encode())


# 3.2.1.1 transactionID


@pytest.mark.parametrize("text", ["1", "x" * 255, "A Za-z09 '()+,-./:=?"])
def test_3_2_1_1_the_transaction_id_is_repeated_exactly(world: World, device: Device, text: str) -> None:
    found = see(world, craft.request(device, transaction_id=text))
    assert found.status == "0"
    assert found.value(rfc8894.id_transactionID) == craft.printable(text)


UNUSABLE = {
    "": "does not have 1 to 255 characters, but 0",
    "x" * 256: "does not have 1 to 255 characters, but 256",
    "a_b": "has the octet 5f ('_') at position 2, which no PrintableString has; it has letters and digits of ASCII, ",
    "a*b": "has the octet 2a ('*') at position 2, which no PrintableString has; ",
    "ab@": "has the octet 40 ('@') at position 3, which no PrintableString has; ",
    "naïve": "has the octet c3 at position 3, which no PrintableString has; ",
    "\0ab": "has the octet 00 at position 1, which no PrintableString has; ",
}


@pytest.mark.parametrize("text", UNUSABLE)
def test_3_2_1_1_an_unusable_transaction_id_is_undecodable(world: World, device: Device, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        world.send(craft.request(device, transaction_id=text).encode())
    assert caught.value.text.startswith(f"transactionID {UNUSABLE[text]}")


def test_3_2_1_1_every_octet_is_in_a_printable_string_or_named(world: World, device: Device) -> None:
    """X.680: A to Z, a to z, 0 to 9, and ' ( ) + , - . / : = ? and the blank."""
    allowed = set(string.ascii_letters + string.digits + " '()+,-./:=?")
    for octet in range(256):
        message = craft.request(
            device, attributes=craft.header() | {scep.TRANSACTION_ID: [wrap(0x13, bytes((octet,)))]}
        )
        if chr(octet) in allowed:
            assert PkiMessage.decode(message.encode()).transaction_id == chr(octet)
            continue
        with pytest.raises(Malformed, match=f"transactionID has the octet {octet:02x}"):
            PkiMessage.decode(message.encode())


# 3.2.1.2 messageType


@pytest.mark.parametrize("kind", ["0", "1", "4", "16", "18", "23", "99", "", " 19", "019", "+19", "-19", "19.0"])
def test_3_2_1_2_an_undefined_message_type_is_an_error(world: World, device: Device, kind: str) -> None:
    text = f"messageType {kind!r} is not defined; messageType is one of 3 CertRep, 17 RenewalReq, 19 PKCSReq, "
    failed(world, craft.request(device, kind), BAD_REQUEST, text)
    assert nothing_issued(world)


def test_3_2_1_2_a_cert_rep_is_no_request(world: World, device: Device) -> None:
    failed(world, craft.request(device, 3), BAD_REQUEST, "CertRep is not a request")


# 3.2.1.4 failInfo and failInfoText


def test_3_2_1_4_bad_alg_names_what_to_use_instead(world: World, device: Device) -> None:
    failed(world, craft.request(device, digest=craft.SHA1), craft.BAD_ALG, "use SHA-256")


def test_3_2_1_4_bad_message_check_when_the_signature_is_wrong(world: World, device: Device) -> None:
    message = craft.request(device, signature=lambda to_sign: bytes(256))
    failed(world, message, BAD_MESSAGE_CHECK, "does not verify")
    assert nothing_issued(world)


def test_3_2_1_4_bad_message_check_when_another_key_signed(world: World, device: Device) -> None:
    other: SigningKey = key("rsa:2048", "other")
    forged = craft.Signer(other, device.signer.certificate)
    failed(world, craft.request(device, signer=forged), BAD_MESSAGE_CHECK, "does not verify")


def test_3_2_1_4_bad_message_check_when_the_pkcs10_is_not_signed_by_its_key(world: World, device: Device) -> None:
    altered = bytearray(device.request.der)
    altered[-1] ^= 1
    failed(
        world,
        craft.request(device, content=bytes(altered)),
        BAD_MESSAGE_CHECK,
        "PKCS #10 request's signature does not verify",
    )
    assert nothing_issued(world)


@pytest.mark.parametrize("away", [timedelta(minutes=11), timedelta(minutes=-11), timedelta(days=-400)])
def test_3_2_1_4_bad_time_when_the_policy_minds(away: timedelta) -> None:
    world = World(settings=Settings(max_clock_skew=timedelta(minutes=10)))
    device = world.device(password=world.password())
    message = device.start()
    world.tick(away)
    failed(world, message, BAD_TIME, "signingTime")
    assert nothing_issued(world)


@pytest.mark.parametrize("away", [timedelta(0), timedelta(minutes=10), timedelta(minutes=-10)])
def test_3_2_1_4_a_signing_time_within_the_limit_is_fine(away: timedelta) -> None:
    world = World(settings=Settings(max_clock_skew=timedelta(minutes=10)))
    device = world.device(password=world.password())
    message = device.start()
    world.tick(away)
    assert see(world, message).status == "0"


def test_3_2_1_4_by_default_no_signing_time_is_bad_time(world: World, device: Device) -> None:
    message = device.start()
    world.tick(timedelta(minutes=59))
    assert see(world, message).status == "0"


def test_3_2_1_4_bad_cert_id_when_nothing_matches(world: World, device: Device) -> None:
    message = query(device, MessageType.GetCert, world.authority.certificate.subject, 4711)
    failed(world, message, BAD_CERT_ID, "issuer and serial number")


def test_3_2_1_4_fail_info_text_is_one_line_of_utf8(world: World) -> None:
    device = World(policy=MANUAL).device()
    device.enrol()
    device.world.decide(Decision.REJECTED, "Gerät unbekannt: ask 二階")
    found = see(device.world, device.enrolment.poll(now=NOW))
    assert found.fail_info_text == "Gerät unbekannt: ask 二階"


def test_3_2_1_4_a_reason_of_several_lines_becomes_one() -> None:
    device = World(policy=MANUAL).device()
    device.enrol()
    device.world.decide(Decision.REJECTED, "first line\nsecond line\r\n")
    text = see(device.world, device.enrolment.poll(now=NOW)).fail_info_text
    assert text is not None
    assert len(text.splitlines()) == 1


# 3.2.1.5 nonces


def test_3_2_1_5_recipient_nonce_is_the_request_s_sender_nonce(world: World, device: Device) -> None:
    nonce = bytes(range(100, 116))
    assert see(world, craft.request(device, nonce=nonce)).recipient_nonce == nonce


def test_3_2_1_5_the_nonce_is_copied_into_failures_too(world: World) -> None:
    nonce = bytes(range(100, 116))
    assert see(world, craft.request(world.device(), nonce=nonce)).recipient_nonce == nonce


def test_3_2_1_5_our_sender_nonce_is_fresh_and_16_octets(world: World, device: Device) -> None:
    first, second = see(world, device.start()), see(world, device.start())
    assert first.sender_nonce is not None
    assert second.sender_nonce is not None
    assert len(first.sender_nonce) == len(second.sender_nonce) == 16
    assert len({first.sender_nonce, second.sender_nonce, first.recipient_nonce}) == 3


@pytest.mark.parametrize("length", [0, 1, 7, 65, 200])
def test_3_2_1_5_a_nonce_far_from_16_octets_is_refused(world: World, device: Device, length: int) -> None:
    failed(world, craft.request(device, nonce=bytes(length)), BAD_REQUEST, "senderNonce of 16 octets")


def test_3_2_1_5_a_nonce_of_the_wrong_type_is_not_copied(world: World, device: Device) -> None:
    attributes = craft.header() | {scep.SENDER_NONCE: [encode(5)]}
    assert see(world, craft.request(device, attributes=attributes)).recipient_nonce is None


# What is not a message at all


@pytest.mark.parametrize("body", [b"", b"\x30", b"\x30\x80", b"\xff" * 40, b"GET / HTTP/1.0", encode(oids.DATA)])
def test_octets_that_are_no_pki_message_raise_malformed(world: World, body: bytes) -> None:
    with pytest.raises(Malformed):
        world.send(body)


def test_signed_data_without_signer_raises_malformed(world: World) -> None:
    with pytest.raises(Malformed, match="no SignerInfo"):
        world.send(encode_degenerate([world.authority.certificate.der]))


def test_an_enveloped_data_alone_raises_malformed(world: World, device: Device) -> None:
    with pytest.raises(Malformed, match=r"enveloped-data .* alone; SCEP has it in a pkiMessage"):
        world.send(craft.envelope(world.authority, device.request.der))


def test_octets_behind_the_message_raise_malformed(world: World, device: Device) -> None:
    with pytest.raises(Malformed):
        world.send(device.start() + b"\0")


def test_2_3_a_signer_certificate_that_is_not_in_the_message_is_asked_for(world: World, device: Device) -> None:
    failed(world, craft.request(device, certificates=[]), BAD_REQUEST, "SignedData has no certificates; that of the")


def test_2_3_the_signer_may_come_with_its_chain(world: World, device: Device) -> None:
    chain = [world.authority.certificate.der, device.signer.certificate.der]
    assert see(world, craft.request(device, certificates=chain)).status == "0"
