"""What the client accepts as an answer (RFC 8894 sections 2.5, 3.2, 3.3, 4.5, 4.6), one test a requirement.

The server here is sometimes a liar: answers are put together by `tests.scep.craft` and signed with the CA's key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from pyasn1.codec.der import encoder

from ca.authority import Authority, KeyPair, issue
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision
from pkix import oids
from pkix.algorithms import AES128, TRIPLE_DES, AlgorithmPolicy
from pkix.asn1 import encode, wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed, PkixError
from pkix.identities import RsaIdentity
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import RsaRecipient
from pkix.signed_data import SignedData, Signer, encode_degenerate
from scep import attributes as scep
from scep.answers import AnswerRefused
from scep.attributes import FailInfo, MessageType, UndefinedFailInfo
from scep.ca_certificates import LeftOut
from scep.client import (
    ClientSettings,
    Crl,
    Issued,
    Query,
    Refused,
    ReplyRefused,
    StillPending,
)
from tests.scep import craft
from tests.scep.craft import Seen
from tests.world import NOW, Device, Random, World, authority, key


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device(password=world.password())


def certificate_for(world: World, request: CertificationRequest, issuer: Authority | None = None) -> bytes:
    made = issue(issuer or world.authority, Profile(), request, now=NOW, random=Random("certificate"))
    return made.der


def granted(device: Device, sent: bytes, inside: bytes | None = None, **changed: Any) -> bytes:
    """CertRep SUCCESS. inside: messageData instead of a certificate for the device's request.

    changed: see `craft.reply_header` and `craft.Crafted`.
    """
    world = device.world
    if inside is None:
        inside = encode_degenerate([certificate_for(world, device.request)])
    to = changed.pop("to", RsaRecipient(device.signer.certificate))
    sealed = encrypt(inside, [to], changed.pop("cipher", AES128), Random("granted"))
    names = ("transaction_id", "recipient_nonce", "kind", "status")
    values = {item: changed.pop(item) for item in names if item in changed}
    attributes = changed.pop("attributes", None) or craft.reply_header(Seen(sent), values.pop("status", 0), **values)
    return craft.reply(world, attributes, changed.pop("content", sealed), **changed)


# 3.2.1.5 and what else is checked of an answer


def refused(device: Device, body: bytes, error: type[PkixError], text: str) -> None:
    with pytest.raises(AnswerRefused, match=text) as refusal:
        device.enrolment.receive(body)
    assert any(isinstance(cause, error) for cause in refusal.value.causes)


def test_the_liar_can_tell_the_truth(device: Device) -> None:
    assert isinstance(device.enrolment.receive(granted(device, device.start())), Issued)


@pytest.mark.parametrize("nonce", [bytes(16), b"", bytes(15)])
def test_3_2_1_5_another_recipient_nonce_is_refused(device: Device, nonce: bytes) -> None:
    refused(device, granted(device, device.start(), recipient_nonce=nonce), ReplyRefused, "not our senderNonce")


def test_3_2_1_5_a_missing_recipient_nonce_is_refused(device: Device) -> None:
    sent = device.start()
    attributes = craft.reply_header(Seen(sent))
    del attributes[scep.RECIPIENT_NONCE]
    refused(device, granted(device, sent, attributes=attributes), ReplyRefused, "not our senderNonce")


def test_3_2_1_5_an_answer_to_an_earlier_message_is_refused(world: World, device: Device) -> None:
    old = world.send(device.start()).body
    device.start()
    refused(device, old, ReplyRefused, "not our senderNonce")


def test_3_2_1_5_the_same_answer_is_not_taken_twice(world: World, device: Device) -> None:
    body = world.send(device.start()).body
    assert isinstance(device.enrolment.receive(body), Issued)
    refused(device, body, ReplyRefused, "not our senderNonce")


def test_an_answer_before_any_request_is_refused(world: World, device: Device) -> None:
    sent = device.start()
    other = world.device(password="x")
    refused(other, granted(device, sent), ReplyRefused, "not our senderNonce")


def test_3_2_1_1_another_transaction_id_is_refused(device: Device) -> None:
    refused(device, granted(device, device.start(), transaction_id="2"), ReplyRefused, "another transactionID")


@pytest.mark.parametrize("kind", [17, 19, 20, 21, 22])
def test_3_2_1_2_an_answer_that_is_no_cert_rep_is_refused(device: Device, kind: int) -> None:
    refused(device, granted(device, device.start(), kind=kind), ReplyRefused, "not a CertRep")


@pytest.mark.parametrize("kind", ["0", "4", "", "03"])
def test_3_2_1_2_an_undefined_message_type_is_refused(device: Device, kind: str) -> None:
    refused(device, granted(device, device.start(), kind=kind), Malformed, "messageType .* is not defined")


@pytest.mark.parametrize("status", ["1", "4", "", "00", "SUCCESS", "-0"])
def test_3_2_1_3_an_undefined_pki_status_is_refused(device: Device, status: str) -> None:
    refused(device, granted(device, device.start(), status=status), Malformed, "pkiStatus .* is not defined")


def test_3_2_1_3_a_missing_pki_status_is_refused(device: Device) -> None:
    sent = device.start()
    attributes = craft.reply_header(Seen(sent))
    del attributes[scep.PKI_STATUS]
    refused(device, granted(device, sent, attributes=attributes), Malformed, "no pkiStatus")


def no(device: Device, **changed: Any) -> bytes:
    return craft.reply(device.world, craft.reply_header(Seen(device.start()), 2, **changed), None)


@pytest.mark.parametrize("info", list(FailInfo))
def test_3_2_1_4_every_fail_info_is_understood(device: Device, info: FailInfo) -> None:
    body = no(device, fail_info=str(info.value), fail_info_text="Grund: 理由")
    assert device.enrolment.receive(body) == Refused(info, "Grund: 理由")


@pytest.mark.parametrize("info", ["5", "", "-1", "00", "badAlg", "14606"])
def test_3_2_1_4_an_undefined_fail_info_is_a_refusal_all_the_same(device: Device, info: str) -> None:
    outcome = device.enrolment.receive(no(device, fail_info=info, fail_info_text="quota used up"))
    assert outcome == Refused(UndefinedFailInfo(info), "quota used up")
    assert repr(info) in outcome.fail_info.name


def test_3_2_1_4_a_failure_without_fail_info_is_refused(device: Device) -> None:
    refused(device, no(device), Malformed, "no failInfo")


def test_3_2_1_4_fail_info_text_may_be_absent(device: Device) -> None:
    assert device.enrolment.receive(no(device, fail_info="2")) == Refused(FailInfo.badRequest, None)


def test_3_2_1_4_fail_info_text_that_is_not_utf8_is_shown_as_far_as_it_goes(device: Device) -> None:
    attributes = craft.reply_header(Seen(device.start()), 2, fail_info="2")
    attributes[scep.FAIL_INFO_TEXT] = [wrap(0x0C, b"G\xfcltig")]
    assert device.enrolment.receive(craft.reply(device.world, attributes, None)) == Refused(
        FailInfo.badRequest, "G\ufffdltig"
    )


# 3.3.2 Contents


@pytest.mark.parametrize("content", [None, b""])
def test_3_3_2_1_success_without_envelope_is_refused(device: Device, content: bytes | None) -> None:
    body = craft.reply(device.world, craft.reply_header(Seen(device.start())), content)
    refused(device, body, ReplyRefused, "SUCCESS has no pkcsPKIEnvelope")


@pytest.mark.parametrize(("status", "info"), [("2", "2"), ("3", None)])
def test_3_3_2_2_and_3_failure_and_pending_with_an_envelope_are_refused(
    device: Device, status: str, info: str | None
) -> None:
    sent = device.start()
    attributes = craft.reply_header(Seen(sent), status, **({"fail_info": info} if info else {}))
    body = granted(device, sent, attributes=attributes)
    refused(device, body, ReplyRefused, "carries a pkcsPKIEnvelope")


@pytest.mark.parametrize("content", [None, b""])
def test_3_3_2_3_pending_is_understood_with_and_without_empty_content(device: Device, content: bytes | None) -> None:
    body = craft.reply(device.world, craft.reply_header(Seen(device.start()), 3), content)
    assert device.enrolment.receive(body) == StillPending()


def test_a_certificate_for_another_key_is_refused(world: World, device: Device) -> None:
    other = world.device(label="other").request
    body = granted(device, device.start(), encode_degenerate([certificate_for(world, other)]))
    refused(device, body, ReplyRefused, "no certificate for the requested key")


def test_a_certificate_that_the_ca_did_not_sign_is_refused(world: World, device: Device) -> None:
    foreign = certificate_for(world, device.request, authority(label="somebody else"))
    body = granted(device, device.start(), encode_degenerate([foreign]))
    refused(device, body, ReplyRefused, "not signed by the CA")


def test_our_own_self_signed_certificate_is_not_taken_for_the_issued_one(device: Device) -> None:
    body = granted(device, device.start(), encode_degenerate([device.signer.certificate.der]))
    refused(device, body, ReplyRefused, "not signed by the CA")


def test_a_certificate_signed_by_a_key_that_only_claims_the_ca_s_name_is_refused(world: World, device: Device) -> None:
    impostor = replace(world.authority, ca=KeyPair(key("rsa:2048", "impostor"), world.authority.ca.certificate))
    body = granted(device, device.start(), encode_degenerate([certificate_for(world, device.request, impostor)]))
    refused(device, body, ReplyRefused, "not signed by the CA")


@pytest.mark.parametrize("order", [1, -1])
def test_3_3_2_1_additional_certificates_may_come_in_any_order(world: World, device: Device, order: int) -> None:
    leaf = certificate_for(world, device.request)
    both = [leaf, world.authority.certificate.der][::order]
    answer = device.enrolment.receive(granted(device, device.start(), encode_degenerate(both)))
    assert answer == Issued(leaf, (world.authority.certificate.der,))


@pytest.mark.parametrize("inside", [encode_degenerate(), b"", b"\x30\x00", b"not CMS"])
def test_3_4_message_data_without_certificates_is_refused(device: Device, inside: bytes) -> None:
    with pytest.raises(PkixError):
        device.enrolment.receive(granted(device, device.start(), inside))


# Who signed, and with what


def test_an_answer_signed_by_somebody_else_is_refused(device: Device) -> None:
    stranger = craft.self_made("rsa:2048", "CN=CA,O=Example", "stranger")
    body = granted(device, device.start(), signer=stranger)
    refused(device, body, ReplyRefused, "did not authenticate")


def test_an_answer_signed_by_an_ra_whose_time_is_over_is_told_as_such(world: World, device: Device) -> None:
    old = craft.self_made("rsa:2048", "CN=RA,O=Example", "old RA")
    left_out = LeftOut(old.certificate.der, old.certificate, "not valid now: …")
    device.enrolment.ca = replace(device.enrolment.ca, left_out=(left_out,))
    told = r"signed by CN=RA,O=Example \(not valid now"
    refused(device, granted(device, device.start(), signer=old), ReplyRefused, told)


def test_an_answer_signed_by_the_device_itself_is_refused(device: Device) -> None:
    body = granted(device, device.start(), signer=device.signer)
    refused(device, body, ReplyRefused, "did not authenticate")


def test_an_answer_in_the_ca_s_name_with_another_key_is_refused(world: World, device: Device) -> None:
    forged = Signer(key("rsa:2048", "impostor"), world.authority.certificate)
    refused(device, granted(device, device.start(), signer=forged), IntegrityFailed, "does not verify")


def test_an_answer_that_brings_a_certificate_with_the_ca_s_name_and_serial_is_refused(
    world: World, device: Device
) -> None:
    """The signer identifier matches, the signature is good, but it is not the certificate that was authenticated."""
    serial = world.authority.certificate.serial_number
    twin = craft.self_made("rsa:2048", "CN=CA,O=Example", "twin", serial=serial)
    refused(device, granted(device, device.start(), signer=twin), ReplyRefused, "did not authenticate")


def test_ndes_sends_no_certificates_and_is_understood(device: Device) -> None:
    assert isinstance(device.enrolment.receive(granted(device, device.start(), certificates=[])), Issued)


def test_ndes_sends_an_attribute_nobody_knows_and_no_signing_time(device: Device) -> None:
    sent = device.start()
    body = granted(device, sent)
    content = Seen(body).content
    cms = {
        oids.CONTENT_TYPE: [encode(oids.DATA)],
        oids.MESSAGE_DIGEST: [wrap(0x04, craft.hash_of(hashes.SHA256(), content or b""))],
    }
    attributes = craft.reply_header(Seen(sent)) | {craft.Oid("1.3.6.1.4.1.311.21.38"): [wrap(0x04, b"x")]}
    assert isinstance(
        device.enrolment.receive(granted(device, sent, attributes=attributes, content=content, cms=cms)), Issued
    )


@pytest.mark.parametrize("at", [0.02, 0.2, 0.5, 0.7, 0.9, 0.999])
def test_a_tampered_answer_is_refused(world: World, device: Device, at: float) -> None:
    body = bytearray(world.send(device.start()).body)
    body[int(len(body) * at)] ^= 1
    with pytest.raises(PkixError):
        device.enrolment.receive(bytes(body))


def test_an_envelope_for_somebody_else_is_refused(device: Device) -> None:
    to = RsaRecipient(authority(label="somebody else").certificate)
    refused(device, granted(device, device.start(), to=to), DecryptionFailed, "addressed to none of our certificates")


def test_2_9_an_answer_with_sha1_is_refused_unless_legacy(world: World, device: Device) -> None:
    refused(device, granted(device, device.start(), digest=craft.SHA1), AlgorithmRefused, "SHA-1")
    settings = ClientSettings(policy=AlgorithmPolicy(legacy=True))
    old = world.device(settings=settings)
    assert isinstance(old.enrolment.receive(granted(old, old.start(), digest=craft.SHA1)), Issued)


def test_2_9_an_answer_with_triple_des_is_refused_unless_legacy(world: World, device: Device) -> None:
    refused(device, granted(device, device.start(), cipher=TRIPLE_DES), AlgorithmRefused, "3DES")
    settings = ClientSettings(policy=AlgorithmPolicy(legacy=True))
    old = world.device(settings=settings)
    assert isinstance(old.enrolment.receive(granted(old, old.start(), cipher=TRIPLE_DES)), Issued)


def test_3_1_a_client_that_cannot_decrypt_opens_the_answer_with_its_password(world: World) -> None:
    issued = world.device("ed25519", password=world.password()).enrol()
    assert isinstance(issued, Issued)


def test_3_1_a_wrong_password_does_not_open_it(world: World) -> None:
    device = world.device("ec:P-256", password=world.password())
    body = world.send(device.start()).body
    device.enrolment._identities = [type(device.enrolment._identities[0])(b"wrong")]  # type: ignore[call-arg]
    refused(device, body, DecryptionFailed, "cannot be opened")


# GetCert, GetCRL


def ask(device: Device, kind: MessageType, issued: bytes) -> Query:
    return Query(
        kind,
        Certificate.decode(issued).issuer_and_serial,
        ca=device.enrolment.ca,
        signer=device.signer,
        transaction_id="query",
        settings=ClientSettings(),
        random=Random("query"),
    )


def test_4_5_an_answer_with_another_certificate_is_refused(world: World, device: Device) -> None:
    mine, other = (certificate_for(world, device.request) for _ in range(2))
    other = certificate_for(world, world.device(label="other").request, authority(label="somebody else"))
    asking = ask(device, MessageType.GetCert, mine)
    sent = asking.start(now=NOW)
    body = granted(device, sent, encode_degenerate([other]))
    with pytest.raises(ReplyRefused, match="does not have the certificate asked for"):
        asking.receive(body)


def test_4_6_1_an_answer_without_crl_is_refused(world: World, device: Device) -> None:
    mine = certificate_for(world, device.request)
    asking = ask(device, MessageType.GetCRL, mine)
    body = granted(device, asking.start(now=NOW), encode_degenerate([mine]))
    with pytest.raises(ReplyRefused, match="no CRL"):
        asking.receive(body)


def test_section_3_an_unreadable_crl_costs_only_itself(world: World, device: Device) -> None:
    mine = certificate_for(world, device.request)
    crl = world.responder.crl(world.authority, now=NOW).der
    for crls, good in (([b"\x30\x00", crl], True), ([b"\x30\x00"], False)):
        asking = ask(device, MessageType.GetCRL, mine)
        body = granted(device, asking.start(now=NOW), encode_degenerate(crls=crls))
        if good:
            assert asking.receive(body) == Crl(crl)
        else:
            with pytest.raises(ReplyRefused, match="no CRL that can be read"):
                asking.receive(body)


def test_4_6_a_crl_is_returned(world: World, device: Device) -> None:
    issued = device.enrol()
    assert isinstance(issued, Issued)
    asking = ask(device, MessageType.GetCRL, issued.certificate)
    answer = asking.receive(world.send(asking.start(now=NOW)).body)
    assert isinstance(answer, Crl)
    assert x509.load_der_x509_crl(answer.crl).issuer == world.authority.ca.certificate.subject


def test_4_5_bad_cert_id_is_a_refusal(world: World, device: Device) -> None:
    asking = ask(device, MessageType.GetCert, certificate_for(world, device.request))
    answer = asking.receive(world.send(asking.start(now=NOW)).body)
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badCertId


# 2.5.1 state


def test_2_5_1_pending_then_success() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    device = world.device()
    assert device.enrol() == device.poll() == StillPending()
    world.decide(Decision.APPROVED)
    assert isinstance(device.poll(), Issued)


def test_2_5_1_pending_then_failure() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    device = world.device()
    device.enrol()
    world.decide(Decision.REJECTED, "unknown device")
    assert device.poll() == Refused(FailInfo.badRequest, "unknown device")


def test_an_answer_signed_with_pss_is_understood(world: World, device: Device) -> None:
    signer = replace(world.authority.signer, pss=True)
    body = granted(device, device.start(), signer=signer)
    public = world.authority.ca.key.public_key()
    attributes = b"\x31" + encoder.encode(Seen(body).signer_info["signedAttrs"])[1:]
    scheme = PSS(MGF1(hashes.SHA256()), 32)
    public.verify(bytes(Seen(body).signer_info["signature"]), attributes, scheme, hashes.SHA256())  # type: ignore[call-arg]
    assert isinstance(device.enrolment.receive(body), Issued)


def test_answers_are_opened_with_the_signer_s_key(world: World, device: Device) -> None:
    body = world.send(device.start()).body
    identity = RsaIdentity(device.signer.certificate, device.key)  # type: ignore[arg-type]
    opened = decrypt(Seen(body).content or b"", [identity], AlgorithmPolicy())
    assert len(SignedData.decode(opened.content).certificates) == 1
