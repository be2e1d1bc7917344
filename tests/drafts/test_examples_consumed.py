"""Every message of the examples is read by whom it is for, from the files and the keys beside them.

That client and responder of ours accept and answer them is in how they are made, which `test_examples` repeats octet by
octet. Here the envelopes are opened with the keys in parties/, and keys and MACs are computed with hashlib and hmac.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc2986, rfc5083, rfc5280, rfc5652, rfc8894, rfc9629, rfc9810

from drafts.tools.labelled import Labelled, kem_key, signing_key
from kem.backends import load
from kem.errors import KemError
from kem.keys import DecapsulationKey, decode_public_key, encode_public_key
from pkix.algorithms import AES256_GCM, AlgorithmPolicy
from pkix.certificates import Certificate, key_identifier, load_certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import IntegrityFailed, PkixError
from pkix.identities import Identity, KekIdentity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.keys import spki_of
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form
from pkix.signed_data import SignedData
from scep.attributes import KEM_POP_CHALLENGE, KEM_POP_CONFIRM, MessageType, PkiStatus
from scep.ca_certificates import CaCertificates
from scep.capabilities import Capabilities
from scep.kem_pop import Challenge, decode_confirm, response_key_of
from scep.messages import PkiMessage
from tests.drafts import examples
from tests.drafts.examples import File
from tests.pkix import second_opinion
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.scep.seen import Seen
from tests.world import NOW

BACKENDS = load("cryptography")
LEGACY = AlgorithmPolicy(legacy=True)  # for the one message that is refused for its digest
PKI_MESSAGES = examples.pki_messages()
ENVELOPED = [file for file in PKI_MESSAGES if Seen(file.octets).content]
RA = {"ML-KEM-768": "ra-mlkem768", "ML-KEM-1024": "ra-mlkem1024"}


def ids(file: File) -> str:
    """For pytest."""
    return f"{file.example}/{file.number}-{file.what}"


# Keys and who they are


def kem_identities() -> list[Identity]:
    """Of every ML-KEM key: by its certificate, if it has one, and by its subjectKeyIdentifier."""
    found: list[Identity] = []
    for label in examples.labels():
        key = examples.key(label)
        if isinstance(key, DecapsulationKey):
            spki = encode_public_key(BACKENDS.encapsulation_key(key))
            certificate = Certificate.of(examples.certificate(label)) if label.startswith("ra-") else None
            found.append(
                KemIdentity(
                    key.parameter_set.oid, partial(BACKENDS.decapsulate, key), certificate, key_identifier(spki)
                )
            )
    return found


def rsa_identities() -> list[Identity]:
    """Of the RSA CA and the RSA device."""
    found: list[Identity] = []
    for label in ("rsa-ca", "rsa-device"):
        key = examples.key(label)
        assert isinstance(key, rsa.RSAPrivateKey)
        found.append(RsaIdentity(Certificate.of(examples.certificate(label)), key))
    return found


IDENTITIES = kem_identities() + rsa_identities()


def opened(file: File) -> bytes:
    """messageData. Response keys come from the request before."""
    identities = list(IDENTITIES)
    if file.number > 1 and file.what == "CertRep-SUCCESS":
        request = examples.messages(file.example)[file.number - 2]
        if request.what == "PKCSReq":
            response_key = response_key_of(CertificationRequest.decode(opened(request)))
            if response_key is not None:
                identities.append(KekIdentity(response_key.key, response_key.key_identifier))
    return decrypt(Seen(file.octets).content or b"", identities, AlgorithmPolicy()).content


def authority(file: File) -> Certificate:
    """The CA of an example."""
    return Certificate.of(examples.certificate("rsa-ca" if file.example == "01-classic-rsa" else "ca"))


# Every message


@pytest.mark.parametrize("file", PKI_MESSAGES, ids=ids)
def test_signatures_verify_except_the_damaged_one(file: File) -> None:
    message = PkiMessage.decode(file.octets)
    damaged = (file.example, file.number) == ("25-wrong-signature", 1)
    if damaged:
        with pytest.raises(IntegrityFailed):
            message.verify(LEGACY)
    else:
        signer = message.verify(LEGACY)
        assert (signer == authority(file)) == file.what.startswith("CertRep")


@pytest.mark.parametrize("file", PKI_MESSAGES, ids=ids)
def test_names_of_files_say_what_is_in_them(file: File) -> None:
    message = PkiMessage.decode(file.octets)
    kind, _, status = file.what.partition("-")
    assert message.message_type is MessageType[kind]
    if status:
        assert message.pki_status is PkiStatus[status]


@pytest.mark.parametrize("name", examples.names())
def test_answers_answer_the_message_before(name: str) -> None:
    files = [file for file in examples.messages(name) if file.is_pki_message]
    for request, answer in zip(files[::2], files[1::2], strict=True):
        asked, answered = Seen(request.octets), Seen(answer.octets)
        assert answered.recipient_nonce == asked.sender_nonce
        assert answered.transaction_id == asked.transaction_id
    nonces = [Seen(file.octets).sender_nonce for file in files]
    assert len(set(nonces)) == len(nonces)


@pytest.mark.parametrize("file", PKI_MESSAGES, ids=ids)
def test_pyasn1_reads_the_message_and_writes_it_again(file: File) -> None:
    signed = second_opinion.signed_data(file.octets)
    for certificate in signed["certificates"]:
        second_opinion.exactly(encode(certificate["certificate"]), rfc5280.Certificate())
    challenge = Seen(file.octets).value(KEM_POP_CHALLENGE.dotted_string)
    if challenge is not None:
        _version, ciphertexts, parameters, _expires = Node.parse(challenge)
        second_opinion.exactly(parameters.der(), rfc9810.KemBMParameter())
        for ciphertext in ciphertexts:
            assert ciphertext[1].tag == 0x04


@pytest.mark.parametrize("file", ENVELOPED, ids=ids)
def test_pyasn1_reads_the_envelope_and_writes_it_again(file: File) -> None:
    envelope = Seen(file.octets).content or b""
    if file.example == "01-classic-rsa":
        enveloped = second_opinion.enveloped_data(envelope)
    else:
        content = second_opinion.content_info(envelope, rfc5083.id_ct_authEnvelopedData)
        enveloped = second_opinion.exactly(content, rfc5083.AuthEnvelopedData())
    (recipient,) = enveloped["recipientInfos"]
    if recipient.getName() == "ori":
        second_opinion.exactly(bytes(recipient["ori"]["oriValue"]), rfc9629.KEMRecipientInfo())


@pytest.mark.parametrize("file", ENVELOPED, ids=ids)
def test_envelopes_open_with_the_keys_of_the_parties(file: File) -> None:
    content = opened(file)
    if file.what in ("PKCSReq", "RenewalReq"):
        if file.example != "16-malformed-key":
            check_request(file, content)
        second_opinion.exactly(content, rfc2986.CertificationRequest())
    elif file.what == "CertPoll":
        second_opinion.exactly(content, rfc8894.IssuerAndSubject())
    elif file.what == "GetCert":
        second_opinion.exactly(content, rfc5652.IssuerAndSerialNumber())
    else:
        (issued,) = SignedData.decode(content).certificates
        ca = examples.certificate("rsa-ca" if file.example == "01-classic-rsa" else "ca")
        second_opinion.exactly(issued, rfc5280.Certificate())
        load_certificate(issued).verify_directly_issued_by(ca)


def check_request(file: File, der: bytes) -> None:
    """Its signature: by its own key, or by that of the certificate in its statement of possession, which signs the
    message, too.
    """
    request = CertificationRequest.decode(der)
    if request.statement is None:
        request.verify(AlgorithmPolicy(), None)
    else:
        assert request.form is Form.statement
        request.verify(AlgorithmPolicy(), PkiMessage.decode(file.octets).verify(AlgorithmPolicy()))


def test_the_malformed_key_is_the_one_that_is_refused() -> None:
    request = CertificationRequest.decode(opened(examples.messages("16-malformed-key")[0]))
    with pytest.raises((KemError, PkixError), match="3329"):
        decode_public_key(request.spki)


# GetCACaps and GetCACert


@pytest.mark.parametrize(
    ("name", "kem"), [("01-classic-rsa", ""), ("02-mlkem768", "ML-KEM-768"), ("03-mlkem1024", "ML-KEM-1024")]
)
def test_a_client_chooses_by_get_ca_caps_and_get_ca_cert(name: str, kem: str) -> None:
    caps, bag = (file.octets for file in examples.messages(name)[:2])
    assert Capabilities.decode(caps).has("KEM-PoP") == bool(kem)
    ca = authority(examples.messages(name)[0])
    read = CaCertificates.decode(bag, fingerprint=hashlib.sha256(ca.der).hexdigest(), now=NOW)
    expected = [Certificate.of(examples.certificate(RA[kem])).spki] if kem else []
    assert [item.spki for item in read.kem_certificates(BACKENDS)] == expected
    envelope = encrypt(b"content", [read.recipient(BACKENDS)], AES256_GCM, Labelled("a test"))
    assert decrypt(envelope, IDENTITIES, AlgorithmPolicy()).content == b"content"


# What the texts state, computed by other means


def private(label: str) -> Any:
    """`cryptography`'s key of a party."""
    key = examples.key(label)
    assert isinstance(key, DecapsulationKey)
    kinds: dict[str, Any] = {"ML-KEM-768": MLKEM768PrivateKey, "ML-KEM-1024": MLKEM1024PrivateKey}
    return kinds[key.parameter_set.name].from_seed_bytes(key.seed)


def hkdf(digest: str, secret: bytes, length: int, info: bytes) -> bytes:
    """RFC 5869 with an absent salt, for at most two blocks."""
    size = hashlib.new(digest).digest_size
    prk = hmac.digest(bytes(size), secret, digest)
    first = hmac.digest(prk, info + b"\x01", digest)
    return (first + hmac.digest(prk, first + info + b"\x02", digest))[:length]


def stated(example: str, octets: bytes) -> bool:
    """Whether the example's text has these octets as a value of their own."""
    lines = [line.strip() for line in examples.text_of(example).splitlines()]
    hexed = octets.hex()
    rows = [hexed[start : start + 64] for start in range(0, len(hexed), 64)]
    return any(lines[place : place + len(rows)] == rows for place, line in enumerate(lines) if line == rows[0])


@pytest.mark.parametrize(
    ("example", "number", "label"),
    [
        ("02-mlkem768", 3, "ra-mlkem768"),
        ("02-mlkem768", 5, "ra-mlkem768"),
        ("02-mlkem768", 6, "device-2"),
        ("03-mlkem1024", 3, "ra-mlkem1024"),
        ("03-mlkem1024", 6, "device-3"),
        ("04-rfc9883", 4, "device-4"),
        ("05-kem-renewal", 1, "ra-mlkem768"),
        ("05-kem-renewal", 4, "device-5"),
        ("06-response-key", 1, "ra-mlkem768"),
    ],
)
def test_the_keys_on_the_way_into_an_envelope(example: str, number: int, label: str) -> None:
    """ss, KEK and CEK, and that the text states them."""
    file = examples.messages(example)[number - 1]
    content = second_opinion.content_info(Seen(file.octets).content or b"", rfc5083.id_ct_authEnvelopedData)
    (recipient,) = second_opinion.exactly(content, rfc5083.AuthEnvelopedData())["recipientInfos"]
    info, _rest = decode(bytes(recipient["ori"]["oriValue"]), asn1Spec=rfc9629.KEMRecipientInfo())
    ss = private(label).decapsulate(bytes(info["kemct"]))
    wrap = bytes.fromhex("300b060960864801650304012d")  # id-aes256-wrap, parameters absent
    kek = hkdf("sha256", ss, 32, tlv(0x30, wrap, integer(32)))
    cek = aes_key_unwrap(kek, bytes(info["encryptedKey"]))
    assert all(stated(example, octets) for octets in (ss, kek, cek))


CHALLENGES = [
    ("02-mlkem768", 3, ["device-2"], True),
    ("03-mlkem1024", 3, ["device-3"], True),
    ("04-rfc9883", 1, ["device-4"], True),
    ("05-kem-renewal", 1, ["device-5", "device-2"], True),
    ("07-manual-approval", 1, ["device-7"], True),
    ("11-wrong-mac", 1, ["device-11"], False),
    ("12-expired-challenge", 1, ["device-12"], True),
    ("13-downgrade", 1, ["device-13"], True),
    ("14-other-request", 1, ["device-14"], True),
    ("15-used-password", 1, ["device-15"], True),
    ("21-rejected", 1, ["device-21"], True),
]


@pytest.mark.parametrize(("example", "number", "labels", "right"), CHALLENGES)
def test_the_mac_of_a_confirmation(example: str, number: int, labels: list[str], right: bool) -> None:
    """From the messages and the private keys to the MAC in the CertPoll, with hashlib, hmac and TLVs alone."""
    files = examples.messages(example)
    request, body = files[number - 1].octets, files[number].octets
    poll = next(
        file.octets for file in files[number:] if Seen(file.octets).value(KEM_POP_CONFIRM.dotted_string) is not None
    )
    challenge = Challenge.decode(Seen(body).value(KEM_POP_CHALLENGE.dotted_string) or b"")
    confirm = decode_confirm(Seen(poll).value(KEM_POP_CONFIRM.dotted_string) or b"")
    sent = [ciphertext.octets for ciphertext in challenge.ciphertexts]
    digest = challenge.parameters.kdf.hash.name
    secrets = [private(label).decapsulate(octets) for label, octets in zip(labels, sent, strict=True)]
    info = kem_other_info(digest, files[number - 1], body, sent)
    ssk = hkdf(digest, b"".join(secrets), hashlib.new(digest).digest_size, info)
    caps = confirm.caps_hash
    assert caps is not None
    hashes = tlv(0x04, hashlib.new(digest, body).digest()), tlv(0x80, caps)
    mac_input = tlv(0x30, tlv(0x0C, b"scep-kem-pop client confirm"), *hashes)
    assert (hmac.digest(ssk, mac_input, digest) == confirm.mac) is right
    assert Seen(request).transaction_id == Seen(poll).transaction_id
    if example < "08":
        assert all(stated(example, octets) for octets in (*secrets, ssk, confirm.mac))


def kem_other_info(digest: str, request: File, body: bytes, ciphertexts: list[bytes]) -> bytes:
    """DER KemOtherInfo with the ScepKemContext in it."""

    def h(data: bytes) -> bytes:
        return tlv(0x04, hashlib.new(digest, data).digest())

    asked, answered = Seen(request.octets), Seen(body)
    context = tlv(
        0x30,
        integer(1),
        tlv(0x04, asked.sender_nonce or b""),
        tlv(0x04, answered.sender_nonce or b""),
        h(request.octets),
        h(opened(request)),
        h(authority(request).der),
        tlv(0x30, *(h(octets) for octets in ciphertexts)),
    )
    static = tlv(0x30, tlv(0x0C, b"SCEP-KEM"))
    return tlv(0x30, static, tlv(0x04, asked.transaction_id.encode()), explicit(0, tlv(0x04, context)))


def test_caps_hash_is_that_of_the_body_in_the_example() -> None:
    for example, digest in (("02-mlkem768", "sha256"), ("03-mlkem1024", "sha512")):
        files = examples.messages(example)
        confirm = decode_confirm(Seen(files[4].octets).value(KEM_POP_CONFIRM.dotted_string) or b"")
        assert confirm.caps_hash == hashlib.new(digest, files[0].octets).digest()


# Labels


def test_keys_in_pem_are_those_that_the_labels_give() -> None:
    for label in examples.labels():
        key = examples.key(label)
        if isinstance(key, DecapsulationKey):
            derived = kem_key(key.parameter_set.name, label)[0]
            assert derived.seed == key.seed
        elif not isinstance(key, rsa.RSAPrivateKey):
            kind = "ml-dsa-65" if label == "signer-3" else "ec:P-256"
            assert spki_of(signing_key(kind, label)) == spki_of(key)
