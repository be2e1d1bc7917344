"""Keys of the kind id-RSASSA-PSS: they only sign, and only so (issue 10 section 2; RFC 4055 sections 1.2 and 3.3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ca.profiles import Profile
from kem.structures import SubjectPublicKeyInfo
from pkix import oids
from pkix.algorithms import AES256, AlgorithmPolicy
from pkix.asn1 import decode, encode
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate
from pkix.errors import AlgorithmRefused, Malformed, PkixError
from pkix.keys import key_type_of, spki_of
from pkix.pkcs10 import CertificationRequest
from pkix.proof_value import numbered, seal_value
from pkix.pss import PssPublicKey
from pkix.public_keys import key_identity, load_public_key
from pkix.recipients import RsaRecipient
from pkix.signatures import sign, verify
from pkix.signed_data import Signer
from pkix.signed_objects import has_issued
from pkix.usages import usage_names
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.kem_pop import RESPONSE_KEY, encode_response_key
from tests.pkix.forge import NULL, algorithm, attribute, bit_string, request_info, sequence, sign_request
from tests.pkix.tlv import integer, tlv
from tests.scep.craft import seen
from tests.world import ALL_METHODS, BACKENDS, NOW, Random, World, key, name

SHA256 = algorithm(oids.SHA256, NULL)
SHA512 = algorithm(oids.SHA512, NULL)


def parameters(salt: int = 32, digest: bytes = SHA256) -> bytes:
    """RSASSA-PSS-params with one hash."""
    return sequence(tlv(0xA0, digest), tlv(0xA1, algorithm(oids.MGF1, digest)), tlv(0xA2, integer(salt)))


def pss_key() -> rsa.RSAPrivateKey:
    found = key("rsa:2048", "pss")
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def pss_spki(bound: bytes = b"") -> bytes:
    bits = decode(SubjectPublicKeyInfo, spki_of(pss_key()), "key").subject_public_key
    return sequence(algorithm(oids.RSASSA_PSS, bound), bit_string(bits.as_bytes()))


def certified(bound: bytes = b"", *, extensions: Any = ()) -> x509.Certificate:
    """A certificate for the key by itself, signed in PKCS #1 v1.5, which nobody looks at."""
    subject = name("CN=device,O=Example").public_bytes()
    days = timedelta(days=9)
    contents = Contents(9, subject, subject, pss_spki(bound), NOW - days, NOW + days, list(extensions))
    return x509.load_der_x509_certificate(encode_certificate(contents, pss_key()))


def signer() -> Signer:
    return Signer(pss_key(), Certificate.of(certified()), pss=True)


def pss_request(*attributes: bytes, bound: bytes = b"", scheme: bytes | None = None, salt: int = 32) -> bytes:
    made = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    info = request_info(
        pss_key(), *attributes, subject=name("CN=device,O=Example").public_bytes(), key_info=pss_spki(bound)
    )
    return sign_request(
        info, pss_key(), scheme=scheme or algorithm(oids.RSASSA_PSS, parameters(salt)), rsa_padding=made
    )


def password(text: str) -> bytes:
    return attribute(oids.CHALLENGE_PASSWORD, encode(text))


def test_it_is_certified_for_signing_alone_and_answered_under_the_password() -> None:
    world = World()
    device = world.device(request=pss_request(password(world.password())), signer=signer())
    answer = seen(world, world.send(device.start()))
    assert answer.status == "0"
    assert bytes.fromhex("2a864886f70d01050c") in (answer.content or b"")  # PBKDF2
    (issued,) = world.store.certificates()
    assert usage_names(x509.load_der_x509_certificate(issued.der).extensions) == {"digitalSignature"}
    assert Certificate.decode(issued.der).spki == pss_spki()


def test_it_is_answered_under_its_response_key() -> None:
    world = World()
    secret = attribute(RESPONSE_KEY, encode_response_key(bytes(16), bytes(32)))
    device = world.device(request=pss_request(*sorted([secret, password(world.password())])), signer=signer())
    answer = seen(world, world.send(device.start()))
    assert answer.status == "0" and bytes.fromhex("60864801650304012d") in (answer.content or b"")  # AES-256 key wrap


def test_without_either_it_is_refused_before_anything_is_issued() -> None:
    """The request brings no password, so an operator would have been asked."""
    world = World(policy=ALL_METHODS)
    answer = seen(world, world.send(world.device(request=pss_request(), signer=signer()).start()))
    assert answer.status == "2"
    assert "the signer's key (RSASSA-PSS, RFC 4055 section 1.2) cannot decrypt" in (answer.fail_info_text or "")
    assert not list(world.store.certificates())


def test_a_profile_names_it_by_itself() -> None:
    world = World(profile=Profile(key_types=("rsa",)))
    device = world.device(request=pss_request(password(world.password())), signer=signer())
    text = seen(world, world.send(device.start())).fail_info_text
    assert text == "a key of type rsa-pss; profile default issues for rsa"


def test_nobody_encrypts_to_it() -> None:
    view = Certificate.of(certified())
    assert isinstance(view.public_key, PssPublicKey) and key_type_of(view.public_key) == "rsa-pss:2048"
    with pytest.raises(AlgorithmRefused, match="without an RSA key"):
        RsaRecipient(view).recipient_info(bytes(16), Random("r"))
    with pytest.raises(AlgorithmRefused, match="only signs"):
        seal_value(b"v", pss_spki(), numbered(0), cipher=AES256, random=Random("r"), backends=BACKENDS)
    with pytest.raises(ReplyRefused, match="no certificate has a key"):
        CaCertificates(view, (view,)).recipient()


@pytest.mark.parametrize("scheme", [algorithm(oids.SHA256_WITH_RSA, NULL), algorithm(oids.RSA_ENCRYPTION, NULL)])
def test_its_signature_in_pkcs_1_v1_5_is_refused(scheme: bytes) -> None:
    found = load_public_key(pss_spki(), "key")
    named, signature = sign(pss_key(), b"data", hashes.SHA256())
    with pytest.raises(AlgorithmRefused, match=r"RFC 4055 section 1\.2"):
        verify(found, named, hashes.SHA256(), signature, b"data", policy=AlgorithmPolicy())
    with pytest.raises(AlgorithmRefused):
        CertificationRequest.decode(pss_request(scheme=scheme)).verify(AlgorithmPolicy())


def test_a_certificate_that_it_signed_in_pkcs_1_v1_5_is_not_issued_by_it() -> None:
    assert not has_issued(certified(), certified())


@pytest.mark.parametrize(
    ("bound", "salt", "text"),
    [
        (b"", 32, ""),
        (parameters(32), 32, ""),
        (parameters(20), 32, ""),
        (parameters(33), 32, "a salt of 32 octets by a key that asks for 33"),
        (parameters(32, SHA512), 32, "SHA-256 by a key that is bound to SHA-512"),
        (sequence(), 32, "SHA-256 by a key that is bound to SHA-1"),
        (
            sequence(tlv(0xA0, SHA256), tlv(0xA1, algorithm(oids.MGF1, SHA512)), tlv(0xA2, integer(32))),
            32,
            "with SHA-256 by a key that is bound to SHA-256 and MGF1 with SHA-512",
        ),
    ],
)
def test_rfc_4055_3_3_the_parameters_of_a_key_bind_its_signatures(bound: bytes, salt: int, text: str) -> None:
    request = CertificationRequest.decode(pss_request(bound=bound, salt=salt))
    if not text:
        request.verify(AlgorithmPolicy())
        return
    with pytest.raises(AlgorithmRefused, match=text):
        request.verify(AlgorithmPolicy())


@pytest.mark.parametrize("bound", [NULL, integer(1), sequence(tlv(0xA1, algorithm(oids.SHA256, SHA256)))])
def test_parameters_that_are_none_are_refused(bound: bytes) -> None:
    with pytest.raises((Malformed, AlgorithmRefused)):
        load_public_key(pss_spki(bound), "key")


def test_rfc_4055_3_1_a_salt_that_no_key_has_room_for_is_refused() -> None:
    load_public_key(pss_spki(parameters(1024)), "key")
    for salt in (-1, 1025, 2**40, 2**100):
        with pytest.raises(AlgorithmRefused, match="unusable salt length"):
            load_public_key(pss_spki(parameters(salt)), "key")


def test_one_modulus_is_one_key_for_whoever_revoked_it() -> None:
    assert key_identity(pss_spki()) == key_identity(pss_spki(parameters(20))) == key_identity(spki_of(pss_key()))


def test_errors_stay_ours() -> None:
    with pytest.raises(PkixError):
        load_public_key(pss_spki()[:-1], "key")
