"""CRMF requests (RFC 4211): ours as others read them, others' as we read them, and what is verified of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.type import tag, univ
from pyasn1_alt_modules import rfc4211, rfc5280

from ca.profiles import extension
from kem.errors import InvalidKey
from kem.keys import encode_public_key
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, algorithm, encode
from pkix.cert_template import CertTemplate, encode_cert_template
from pkix.crmf import (
    CertReqMsg,
    decode_messages,
    encode_messages,
    encode_signed_message,
    encode_unsigned_message,
    wanted_key,
)
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.keys import spki_of
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.popo import Popo
from pkix.requests import Form
from tests.pkix import second_opinion
from tests.pkix.crmf_forge import KEY, PUBLIC_KEY, SPKI, SUBJECT, request, signed, signed_input, signing_input
from tests.pkix.forge import small_rsa_key
from tests.pkix.tlv import explicit, tlv
from tests.world import kem_key, key, name

POLICY = AlgorithmPolicy()
DEVICE = name("CN=device,O=Example")
SAN = extension(x509.SubjectAlternativeName([x509.DNSName("device.example")]))
SIGNERS = ["rsa:2048", "ec:P-256", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-87"]
REG_TOKEN = (Oid("1.3.6.1.5.5.7.5.1.1"), b"\x0c\x05token")
UTF8_PAIRS = (Oid("1.3.6.1.5.5.7.5.2.1"), b"\x0c\x04a?b%")
KEM_SPKI = encode_public_key(kem_key(label="crmf")[1])


@pytest.mark.parametrize("key_type", SIGNERS)
def test_a_signed_request_is_rfc_4211_s_structure_and_verifies(key_type: str) -> None:
    private = key(key_type, "crmf")
    der = encode_signed_message(
        private, DEVICE, request_id=7, extensions=[SAN], controls=[REG_TOKEN], reg_info=[UTF8_PAIRS]
    )
    seen = second_opinion.exactly(der, rfc4211.CertReqMsg())
    template = seen["certReq"]["certTemplate"]
    assert int(seen["certReq"]["certReqId"]) == 7
    assert second_opinion.encoded(template["subject"]) == explicit(5, DEVICE.public_bytes())
    public = template["publicKey"]
    assert spki_of(private).endswith(public["subjectPublicKey"].asOctets())
    assert str(template["extensions"][0]["extnID"]) == "2.5.29.17"
    assert seen["popo"].getName() == "signature"
    found = CertReqMsg.decode(der)
    found.verify(POLICY)
    assert (found.form, found.popo, found.request_id) == (Form.self_signed, Popo.signature, 7)
    assert (found.key_type, found.is_kem, found.spki) == (key_type, False, spki_of(private))
    assert found.request_der == second_opinion.encoded(seen["certReq"])
    assert (found.controls, found.reg_info) == ((REG_TOKEN,), (UTF8_PAIRS,))


def test_a_request_reads_as_the_pkcs_10_request_for_the_same() -> None:
    ours = CertReqMsg.decode(encode_signed_message(KEY, DEVICE, extensions=[SAN]))
    other = CertificationRequest.decode(encode_certification_request(KEY, DEVICE, extensions=[SAN]))
    for field in ("subject_der", "subject", "subject_text", "spki", "key_type", "is_kem", "form", "key_algorithm"):
        assert getattr(ours, field) == getattr(other, field), field
    assert list(ours.extensions) == list(other.extensions)
    assert len(ours.hash) == 32 and ours.hash != other.hash


def test_what_pyasn1_writes_is_read() -> None:
    template = rfc4211.CertTemplate()
    template["version"] = 2
    template["issuer"] = _name("CN=CA", 3)
    template["subject"] = _name("CN=device", 5)
    time = rfc5280.Time().subtype(explicitTag=_context(1))
    time["utcTime"] = "271121120000Z"
    template["validity"]["notAfter"] = time
    message = rfc4211.CertReqMsg()
    message["certReq"]["certReqId"] = 3
    message["certReq"]["certTemplate"] = template
    found = CertReqMsg.decode(second_opinion.encoded(message))
    assert (found.spki, found.key_type, found.key_algorithm, found.popo) == (None, "", None, Popo.absent)
    assert found.template.issuer == name("CN=CA").public_bytes()
    assert found.template.not_after == datetime(2027, 11, 21, 12, 0, tzinfo=UTC)
    assert (found.template.version, found.template.not_before) == (2, None)


def _context(number: int) -> object:
    return tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number)


def _name(text: str, number: int) -> object:
    empty = rfc5280.Name().subtype(explicitTag=_context(number))
    value, _rest = decode(explicit(number, name(text).public_bytes()), asn1Spec=empty)
    return value


@pytest.mark.parametrize(
    ("popo", "octets"),
    [
        (Popo.raVerified, "8000"),
        (Popo.encrCert, "a203810100"),
        (Popo.challengeResp, "a203810101"),
        (Popo.absent, ""),
    ],
)
def test_the_other_proofs_octet_by_octet(popo: Popo, octets: str) -> None:
    der = encode_unsigned_message(KEM_SPKI, DEVICE, popo)
    assert der.endswith(bytes.fromhex(octets))
    seen = second_opinion.exactly(der, rfc4211.CertReqMsg())
    assert seen["popo"].isValue is (popo is not Popo.absent)
    found = CertReqMsg.decode(der)
    found.verify(POLICY)
    assert (found.form, found.popo, found.is_kem, found.key_type) == (Form.unsigned, popo, True, "ml-kem-768")
    assert found.signing is None


@pytest.mark.parametrize("popo", [Popo.encrCert, Popo.challengeResp, Popo.raVerified])
def test_an_rsa_key_may_be_one_that_only_decrypts(popo: Popo) -> None:
    private = key("rsa:2048", "crmf")
    CertReqMsg.decode(encode_unsigned_message(spki_of(private), DEVICE, popo)).verify(POLICY)


def test_an_ra_has_verified_a_signing_key() -> None:
    found = CertReqMsg.decode(encode_unsigned_message(SPKI, DEVICE, Popo.raVerified))
    found.verify(POLICY)
    assert found.form is Form.unsigned


@pytest.mark.parametrize(
    ("wanted", "key_type"),
    [
        (algorithm(oids.ML_KEM_768), "ml-kem-768"),
        (algorithm(oids.ML_DSA_65), "ml-dsa-65"),
        (algorithm(oids.ED25519), "ed25519"),
        (algorithm(oids.RSA_ENCRYPTION, b"\x05\x00"), "rsa"),
        (algorithm(oids.EC_PUBLIC_KEY, bytes.fromhex("06082a8648ce3d030107")), "ec:P-256"),
        (algorithm(oids.EC_PUBLIC_KEY, bytes.fromhex("06052b81040022")), "ec:P-384"),
    ],
)
def test_a_key_that_the_ca_makes_is_named_by_an_empty_one(wanted: object, key_type: str) -> None:
    der = encode_unsigned_message(wanted_key(wanted), DEVICE, Popo.absent)  # type: ignore[arg-type]
    found = CertReqMsg.decode(der)
    found.verify(POLICY)
    assert (found.spki, found.key_type, found.form) == (None, key_type, Form.unsigned)
    assert found.is_kem is key_type.startswith("ml-kem")
    seen = second_opinion.exactly(der, rfc4211.CertReqMsg())
    assert seen["certReq"]["certTemplate"]["publicKey"]["subjectPublicKey"] == univ.BitString("")
    with pytest.raises(Malformed, match="no public key in it"):
        _ = found.public_key


def test_a_key_that_the_ca_makes_may_be_left_to_the_ca() -> None:
    found = CertReqMsg.decode(encode_unsigned_message(None, DEVICE, Popo.absent))
    assert (found.spki, found.key_type, found.is_kem, found.key_algorithm) == (None, "", False, None)


@pytest.mark.parametrize(
    "wanted",
    [
        algorithm(oids.EC_PUBLIC_KEY, bytes.fromhex("06052b8104000a")),
        algorithm(oids.EC_PUBLIC_KEY),
        algorithm(oids.RSA_ENCRYPTION),
        algorithm(oids.ML_KEM_768, b"\x05\x00"),
        algorithm(Oid("1.2.3")),
    ],
    ids=["secp256k1", "no curve", "RSA without NULL", "ML-KEM with NULL", "unknown"],
)
def test_a_key_that_nobody_here_makes(wanted: object) -> None:
    found = CertReqMsg.decode(encode_unsigned_message(wanted_key(wanted), DEVICE, Popo.absent))  # type: ignore[arg-type]
    with pytest.raises(AlgorithmRefused, match="with these parameters is not supported"):
        _ = found.key_type


def test_rfc_4211_4_1_without_a_subject_the_signature_is_over_its_input() -> None:
    found = CertReqMsg.decode(signed_input(request(PUBLIC_KEY), signing_input()))
    found.verify(POLICY)
    assert found.signing is not None and found.signing.poposk_input == signing_input()
    assert found.signing.auth_info == explicit(0, explicit(4, name("CN=device").public_bytes()))
    assert (found.template.subject, found.subject_der, found.subject_text) == (None, b"\x30\x00", "")


def test_the_empty_subject_is_a_subject() -> None:
    found = CertReqMsg.decode(signed(request(explicit(5, b"\x30\x00"), PUBLIC_KEY)))
    found.verify(POLICY)
    assert (found.template.subject, found.subject_text) == (b"\x30\x00", "")


def test_the_signature_covers_the_request() -> None:
    whole = CertReqMsg.decode(signed(request()))
    other = CertReqMsg.decode(whole.der.replace(b"device", b"devicf"))
    whole.verify(POLICY)
    with pytest.raises(IntegrityFailed, match="the CRMF request's signature does not verify"):
        other.verify(POLICY)


def test_the_signature_covers_the_input() -> None:
    der = signed_input(request(PUBLIC_KEY), signing_input())
    with pytest.raises(IntegrityFailed, match="does not verify"):
        CertReqMsg.decode(der.replace(b"device", b"devicf")).verify(POLICY)


def test_the_input_has_the_template_s_key() -> None:
    other = spki_of(key("ec:P-256", "another"))
    template = request(tlv(0xA6, other[2:]))
    with pytest.raises(Malformed, match="poposkInput and template have different keys"):
        CertReqMsg.decode(signed_input(template, signing_input())).verify(POLICY)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("CN=" + "x" * 65, "commonName of 65 characters"),
        ("C=Germany", "countryName of 7 characters"),
        ("CN=a\x07b", r"commonName holds the control character U\+0007"),
    ],
)
def test_names_are_checked_as_in_pkcs_10(subject: str, text: str) -> None:
    kind, _, value = subject.partition("=")
    oid = {"CN": "2.5.4.3", "C": "2.5.4.6"}[kind]
    der = tlv(0x30, tlv(0x31, tlv(0x30, encode(Oid(oid)), tlv(0x0C, value.encode()))))
    found = CertReqMsg.decode(signed(request(explicit(5, der), PUBLIC_KEY)))
    found.verify(POLICY)
    with pytest.raises(Malformed, match=f"CRMF request: .*{text}"):
        _ = found.subject


def test_weak_keys_are_refused_as_in_pkcs_10() -> None:
    found = CertReqMsg.decode(encode_signed_message(small_rsa_key(), DEVICE))
    with pytest.raises(AlgorithmRefused, match="CRMF request: RSA key of 1024 bits"):
        found.verify(POLICY)


def test_weak_ml_kem_keys_are_refused() -> None:
    weak = KEM_SPKI[:-1184] + bytes(1152) + KEM_SPKI[-32:]
    with pytest.raises(InvalidKey, match="anybody could decapsulate"):
        CertReqMsg.decode(encode_unsigned_message(weak, DEVICE, Popo.encrCert)).verify(POLICY)


def test_the_policy_says_which_signatures() -> None:
    found = CertReqMsg.decode(encode_signed_message(key("ml-dsa-44", "crmf"), DEVICE))
    with pytest.raises(AlgorithmRefused, match="ML-DSA is not enabled"):
        found.verify(AlgorithmPolicy(ml_dsa=False))


def test_an_extension_twice_or_unreadable() -> None:
    der = encode_signed_message(KEY, DEVICE, extensions=[SAN, SAN])
    with pytest.raises(Malformed, match=r"CRMF request: extensions: the extension 2\.5\.29\.17 is there twice"):
        _ = CertReqMsg.decode(der).extensions


def test_messages_are_several_requests() -> None:
    parts = [encode_signed_message(KEY, DEVICE, request_id=number) for number in (0, 1)]
    der = encode_messages(parts)
    assert len(second_opinion.exactly(der, rfc4211.CertReqMessages())) == 2
    assert [item.der for item in decode_messages(der)] == parts


def test_a_template_names_a_certificate() -> None:
    """As a revocation in CMP does."""
    der = encode_cert_template(issuer=name("CN=CA"), serial_number=2**159 - 1)
    second_opinion.exactly(der, rfc4211.CertTemplate())
    found = CertTemplate.decode(der)
    assert (found.issuer, found.serial_number) == (name("CN=CA").public_bytes(), 2**159 - 1)
    assert found.subject is found.public_key is found.extensions is found.version is None


def test_repr_shows_no_names() -> None:
    assert "device" not in repr(CertReqMsg.decode(signed(request(SUBJECT, PUBLIC_KEY))))


def test_the_numbers_of_requests() -> None:
    for number in (0, 2**32 - 1):
        assert CertReqMsg.decode(signed(request(number=number))).request_id == number
