"""What `pkix` reads for other protocols and SCEP does not take, and what it always took (RFC 8894 sections 3.2, 3.2.2).

Each kind is a correct message but for the one thing, so that nothing else can be the reason.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.algorithms import AES256_GCM, AlgorithmPolicy
from pkix.asn1 import Oid
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import AlgorithmRefused, Malformed
from pkix.recipients import RsaRecipient
from pkix.signed_data import NoSigner, Signer, Signs, encode_degenerate, encode_signed_data
from scep.answers import AnswerRefused
from scep.attributes import FailInfo, MessageType, PkiStatus
from scep.messages import PKI_ENVELOPE, Header, PkiMessage
from scep.next_ca import decode_next_ca
from tests.scep import craft
from tests.world import NOW, Random, World

POLICY = AlgorithmPolicy()
PKI_DATA = Oid("1.3.6.1.5.5.7.12.2")


@pytest.fixture(scope="module")
def world() -> World:
    """A CA that nothing here changes."""
    return World("rsa:2048")


def message(world: World, signer: Signs, content_type: Oid = oids.DATA, *, inside: Oid = oids.DATA) -> bytes:
    """A PKCSReq with a good request of a device, in SignedData of this kind, with the device's certificate in it."""
    device = world.device("rsa:2048")
    recipient = RsaRecipient(Certificate.of(world.authority.ca.certificate))
    envelope = encrypt(device.request.der, [recipient], AES256_GCM, Random("envelope"), content_type=inside)
    attributes = Header(MessageType.PKCSReq, "transaction-1", bytes(16)).encode()
    return encode_signed_data(
        envelope,
        attributes,
        signer,
        hashes.SHA256(),
        certificates=[device.signer.certificate.der],
        now=NOW,
        content_type=content_type,
    )


def signer(world: World, *, by_key: bool = False) -> Signer:
    """The device's."""
    usual = world.device("rsa:2048").signer
    return Signer(usual.key, usual.certificate, by_key=by_key)


@pytest.mark.parametrize("by_key", [False, True])
def test_5_3_a_signer_is_named_either_way(world: World, by_key: bool) -> None:
    PkiMessage.decode(message(world, signer(world, by_key=by_key))).verify(POLICY)


@pytest.mark.parametrize("content_type", [PKI_DATA, oids.SIGNED_DATA], ids=oids.label)
def test_3_2_content_other_than_data_is_refused(world: World, content_type: Oid) -> None:
    found = PkiMessage.decode(message(world, signer(world), content_type))
    found.signed.verify(found.signed.signer_certificate(), POLICY)
    with pytest.raises(Malformed, match=r"eContentType is .*, not data \(RFC 8894 section 3.2\)"):
        found.verify(POLICY)


def test_3_2_what_nobody_signed_is_refused(world: World) -> None:
    identifier = signer(world).certificate.subject_key_identifier
    found = PkiMessage.decode(message(world, NoSigner(identifier)))
    assert found.signed.check_unsigned(POLICY) == identifier
    with pytest.raises(AlgorithmRefused) as caught:
        found.verify(POLICY)
    text = (
        "signature algorithm no-signature (1.3.6.1.5.5.7.6.2) does not go with an RSA key; use sha256WithRSAEncryption"
    )
    assert caught.value.text == text


def test_4_7_1_a_next_ca_that_nobody_signed_is_refused(world: World) -> None:
    ca = world.authority.ca_signer.certificate
    body = encode_signed_data(
        encode_degenerate([ca.der]),
        [],
        NoSigner(ca.subject_key_identifier),
        hashes.SHA256(),
        certificates=[ca.der],
        now=NOW,
    )
    with pytest.raises(AlgorithmRefused, match="no-signature"):
        decode_next_ca(body, world.ca_certificates(), POLICY)


def test_3_2_2_an_envelope_over_other_content_than_data_is_refused(world: World) -> None:
    """By the responder, with the text that it always had."""
    reply = PkiMessage.decode(world.send(message(world, signer(world), inside=PKI_DATA)).body)
    assert (reply.pki_status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.badRequest)
    inner = "1.3.6.1.5.5.7.12.2, not data (RFC 8894 section 3.2.2)"
    assert reply.fail_info_text == f"encryptedContentInfo holds {inner}"


def test_3_2_2_a_client_refuses_it_too(world: World) -> None:
    device = world.device("rsa:2048")
    body = encrypt(
        encode_degenerate(world.authority.certificates()),
        [RsaRecipient(device.signer.certificate)],
        AES256_GCM,
        Random("answer"),
        content_type=oids.SIGNED_DATA,
    )
    request = craft.Seen(device.start())
    answered = craft.Crafted(world.authority.signer, body, craft.reply_header(request)).encode()
    with pytest.raises(AnswerRefused, match=r"not data \(RFC 8894 section 3.2.2\)"):
        device.enrolment.receive(answered)


def test_3_2_2_the_texts_name_the_pkcs_pki_envelope() -> None:
    with pytest.raises(Malformed, match=r"^pkcsPKIEnvelope is not valid DER"):
        decrypt(b"\x30\x00", [], POLICY, expected=PKI_ENVELOPE)
