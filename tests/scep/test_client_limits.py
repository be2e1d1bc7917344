"""What a man in the middle or a broken server sends is refused in words, before it costs much, and never a
traceback.
"""

from __future__ import annotations

import pytest

import scep.ca_certificates
from kem.errors import KemError, MalformedStructure, UnsupportedAlgorithm
from kem.exchange import POP_SHA256, mac_parameters
from kem.kdf import HKDF_SHA256
from kem.keys import decode_private_key, encode_private_key
from kem.structures import KemBMParameter
from pkix.algorithms import AES128_GCM, AES256, AES256_GCM, AlgorithmPolicy
from pkix.certificates import key_identifier, load_certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import AlgorithmRefused, Malformed
from pkix.kem_recipients import KemRecipient
from pkix.signed_data import encode_degenerate
from scep.ca_certificates import MAX_BODY, CaCertificates, ReplyRefused
from scep.client import ClientSettings
from scep.next_ca import decode_next_ca
from tests.pkix.tlv import Node, integer
from tests.scep.kem_kit import classic_settings, kem_world
from tests.world import BACKENDS, NOW, World, authority, kem_device, kem_key

HUGE = 1 << 30_000


def with_time(tag: int, text: bytes, which: int) -> bytes:
    tree = Node.parse(authority().certificate.der)
    tree[0][4][which] = Node(tag, text)
    return tree.der()


@pytest.mark.parametrize("which", [0, 1], ids=["notBefore", "notAfter"])
@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x18, b"00000101000000Z"), (0x18, b"00000000000000Z"), (0x17, b"990230000000Z"), (0x18, b"20261231235960Z")],
    ids=["year 0", "nothing but 0", "30 February", "leap second"],
)
def test_a_certificate_with_an_impossible_time_is_malformed(tag: int, text: bytes, which: int) -> None:
    bad = with_time(tag, text, which)
    with pytest.raises(Malformed, match="a certificate cannot be read"):
        load_certificate(bad)
    world = World()
    for body in (bad, encode_degenerate([authority().certificate.der, bad])):
        with pytest.raises(ReplyRefused):
            CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)


def test_a_large_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    known = World().ca_certificates()
    monkeypatch.setattr(scep.ca_certificates, "SignedData", None)
    monkeypatch.setattr(scep.ca_certificates, "Certificate", None)
    body = bytes(MAX_BODY + 1)
    with pytest.raises(ReplyRefused, match=f"GetCACert: an answer of {MAX_BODY + 1} octets"):
        CaCertificates.decode(body, fingerprint=None, now=NOW)
    monkeypatch.setattr("scep.client.SignedData", None)
    with pytest.raises(ReplyRefused, match="GetNextCACert: an answer of"):
        decode_next_ca(body, known, AlgorithmPolicy())


def test_a_private_key_of_a_huge_version_is_malformed() -> None:
    tree = Node.parse(encode_private_key(kem_key()[0]))
    tree[0] = Node.parse(integer(HUGE))
    with pytest.raises(MalformedStructure, match="PKCS #8 knows 0 and 1"):
        decode_private_key(tree.der())


@pytest.mark.parametrize("length", [HUGE, -HUGE, 2**64, -1, 0], ids=["huge", "-huge", "2^64", "-1", "0"])
def test_mac_parameters_of_a_huge_length_are_refused(length: int) -> None:
    structure = KemBMParameter(
        kdf=POP_SHA256.kdf.identifier, kem_context=None, len=length, mac=POP_SHA256.mac.identifier
    )
    with pytest.raises(UnsupportedAlgorithm, match="macParams"):
        mac_parameters(structure)


@pytest.mark.parametrize("length", [HUGE, -HUGE, 0], ids=["huge", "-huge", "0"])
def test_hkdf_cannot_give_a_huge_number_of_octets(length: int) -> None:
    with pytest.raises(KemError, match="cannot derive"):
        HKDF_SHA256.derive(b"secret", length, b"")


# An ML-KEM recipient and CBC do not go together


def test_the_client_has_no_ml_kem_recipient_under_cbc() -> None:
    world = kem_world("rsa:2048", rsa=True)
    settings = ClientSettings(cipher=AES256, backends=BACKENDS)
    device = world.device(password=world.password(), settings=settings)
    (info,) = Node.parse(envelope_of(device.start()))[1][0][1]
    assert info.tag == 0x30
    device = world.device(settings=ClientSettings(cipher=AES128_GCM, backends=BACKENDS))
    (info,) = Node.parse(envelope_of(device.start()))[1][0][1]
    assert info.tag == 0xA4


def envelope_of(message: bytes) -> bytes:
    return bytes(Node.parse(message)[1][0][2][1][0].content)


def test_it_says_so_if_there_is_no_other() -> None:
    world = kem_world()
    device = world.device(settings=classic_settings(cipher=AES256))
    with pytest.raises(AlgorithmRefused, match="an ML-KEM recipient needs an AES-GCM cipher, not AES-256-CBC"):
        device.start()
    device = world.device(settings=ClientSettings(cipher=AES256, backends=BACKENDS))
    with pytest.raises(ReplyRefused, match="no certificate has a key that we can encrypt a request to"):
        device.start()


def test_an_answer_to_an_ml_kem_key_in_cbc_is_refused() -> None:
    """Our own answers never are; another server's would be."""
    device = kem_device(kem_world())
    public = kem_key("ML-KEM-768", "kem device")[1]
    to = KemRecipient(
        device.request.key_algorithm, lambda: BACKENDS.encapsulate(public), key_identifier(device.request.spki)
    )
    random = World().random
    assert decrypt(encrypt(b"x", [to], AES256_GCM, random), device.enrolment._identities, AlgorithmPolicy()).content
    with pytest.raises(AlgorithmRefused, match="use AuthEnvelopedData with AES-GCM"):
        decrypt(encrypt(b"x", [to], AES256, random), device.enrolment._identities, AlgorithmPolicy())
