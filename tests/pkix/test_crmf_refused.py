"""CRMF requests with something wrong in them (RFC 4211): which error they give."""

from __future__ import annotations

import pytest

from kem.keys import encode_public_key
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.cert_template import CertTemplate
from pkix.crmf import MAX_ATTRIBUTES, MAX_REQUEST, MAX_REQUESTS, CertReqMsg, decode_messages, encode_unsigned_message
from pkix.errors import AlgorithmRefused, Malformed
from pkix.popo import Popo
from tests.pkix.crmf_forge import (
    CHALLENGE_RESP,
    ES256,
    NAME,
    PUBLIC_KEY,
    RA_VERIFIED,
    SPKI,
    SUBJECT,
    request,
    signature,
    signed,
    signed_input,
    signing_input,
)
from tests.pkix.forge import NULL, algorithm, bit_string, sequence
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.world import kem_key, name

POLICY = AlgorithmPolicy()
KEM = tlv(0xA6, encode_public_key(kem_key(label="crmf")[1])[4:])
ATTRIBUTE = sequence(encode(Oid("1.2.3")), NULL)
TIME = tlv(0x17, b"271121120000Z")


@pytest.mark.parametrize(
    ("field", "named"),
    [
        (tlv(0x81, b"\x07"), "serialNumber"),
        (tlv(0xA2, ES256[2:]), "signingAlg"),
        (tlv(0x87, b"\x00\x01"), "issuerUID"),
        (tlv(0x88, b"\x00\x01"), "subjectUID"),
    ],
)
def test_rfc_4211_5_what_only_the_ca_decides_is_omitted(field: bytes, named: str) -> None:
    fields = sorted([field, SUBJECT, PUBLIC_KEY], key=lambda der: der[0] & 0x1F)
    with pytest.raises(Malformed, match=rf"the template must not have {named} \(RFC 4211 section 5\)"):
        CertReqMsg.decode(signed(request(*fields)))
    CertTemplate.decode(sequence(*fields))


@pytest.mark.parametrize("version", [0, 1, 3])
def test_rfc_4211_5_the_version_is_2(version: int) -> None:
    with pytest.raises(Malformed, match=f"version {version} is not 2"):
        CertReqMsg.decode(signed(request(tlv(0x80, bytes((version,))), SUBJECT, PUBLIC_KEY)))


def test_rfc_4211_5_a_validity_has_a_time() -> None:
    with pytest.raises(Malformed, match="neither notBefore nor notAfter"):
        CertReqMsg.decode(signed(request(tlv(0xA4), SUBJECT, PUBLIC_KEY)))
    CertReqMsg.decode(signed(request(tlv(0xA4, explicit(0, TIME)), SUBJECT, PUBLIC_KEY)))


@pytest.mark.parametrize(
    "fields",
    [
        (PUBLIC_KEY, SUBJECT),
        (SUBJECT, SUBJECT, PUBLIC_KEY),
        (tlv(0xA5, NAME[2:]), PUBLIC_KEY),
        (SUBJECT, explicit(6, SPKI)),
        (SUBJECT, PUBLIC_KEY, tlv(0xAA, NULL)),
        (tlv(0xA4, TIME), SUBJECT, PUBLIC_KEY),
        (tlv(0xA4, tlv(0x80, TIME[2:])), SUBJECT, PUBLIC_KEY),
        (SUBJECT, PUBLIC_KEY, tlv(0xA9)),
        (SUBJECT, PUBLIC_KEY, NULL),
    ],
    ids=[
        *("order", "twice", "name under IMPLICIT", "key under EXPLICIT", "unknown field"),
        *("time without tag", "time under IMPLICIT", "no extension", "other type"),
    ],
)
def test_templates_of_wrong_structure(fields: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        CertReqMsg.decode(signed(request(*fields)))


@pytest.mark.parametrize("number", [-1, 2**32, 2**70])
def test_numbers_that_no_request_has(number: int) -> None:
    with pytest.raises(Malformed, match="certReqId"):
        CertReqMsg.decode(signed(request(number=number)))


@pytest.mark.parametrize(
    ("popo", "text"),
    [
        (explicit(2, tlv(0x80, b"\x00\x01")), "supported with subsequentMessage alone"),
        (explicit(2, tlv(0x82, b"\x00\x01")), "supported with subsequentMessage alone"),
        (explicit(2, tlv(0xA3, ES256)), "supported with subsequentMessage alone"),
        (explicit(2, tlv(0xA4, NULL)), "supported with subsequentMessage alone"),
        (explicit(3, tlv(0x81, b"\x00")), "keyAgreement is not supported"),
    ],
    ids=["thisMessage", "dhMAC", "agreeMAC", "encryptedKey", "keyAgreement"],
)
def test_proofs_that_are_refused_by_name(popo: bytes, text: str) -> None:
    with pytest.raises(AlgorithmRefused, match=text):
        CertReqMsg.decode(sequence(request(), popo))


@pytest.mark.parametrize(
    "popo",
    [
        tlv(0x80, b"\x00"),
        explicit(2, tlv(0x81, b"\x02")),
        explicit(2, tlv(0x81, b"\xff")),
        explicit(2, tlv(0x81, b"\x00\x01")),
        explicit(2, tlv(0x81, b"")),
        tlv(0xA2),
        explicit(2, tlv(0x81, b"\x00") + tlv(0x81, b"\x01")),
        tlv(0x82, b"\x00"),
        tlv(0xA1, ES256),
        tlv(0xA1, ES256, tlv(0x03, b"\x01\x80")),
        tlv(0xA1, ES256, tlv(0x04, b"x")),
        tlv(0xA1, ES256, bit_string(b"x"), NULL),
        explicit(1, sequence(ES256, bit_string(b"x"))),
    ],
    ids=[
        *("raVerified not NULL", "subsequent 2", "subsequent -1", "two octets", "no octet", "empty", "two choices"),
        *("untagged", "no signature", "bits", "octets", "more", "signature under EXPLICIT"),
    ],
)
def test_proofs_of_wrong_structure(popo: bytes) -> None:
    with pytest.raises(Malformed):
        CertReqMsg.decode(sequence(request(), popo))


@pytest.mark.parametrize("popo", [RA_VERIFIED, CHALLENGE_RESP, tlv(0xA1, ES256, bit_string(b"x"))])
@pytest.mark.parametrize("fields", [(SUBJECT,), (SUBJECT, tlv(0xA6, algorithm(oids.ML_KEM_768), b"\x03\x01\x00"))])
def test_rfc_9483_4_1_6_nothing_is_proven_of_a_key_that_is_not_there(fields: tuple[bytes, ...], popo: bytes) -> None:
    with pytest.raises(Malformed, match="proves nothing of a key that is not there"):
        CertReqMsg.decode(sequence(request(*fields), popo))


def test_rfc_4211_4_1_an_input_beside_subject_and_key() -> None:
    with pytest.raises(Malformed, match="poposkInput must be omitted if the template has subject and publicKey"):
        CertReqMsg.decode(signed_input(request(), signing_input()))


def test_rfc_4211_4_1_no_input_without_a_subject() -> None:
    with pytest.raises(Malformed, match="poposkInput must be present unless the template has subject and publicKey"):
        CertReqMsg.decode(signed(request(PUBLIC_KEY)))


@pytest.mark.parametrize(
    "wrong",
    [sequence(SPKI), sequence(), sequence(NULL, SPKI), sequence(explicit(0, explicit(4, NAME)), SPKI, NULL)],
    ids=["no authInfo", "empty", "authInfo of another type", "more"],
)
def test_inputs_of_wrong_structure(wrong: bytes) -> None:
    with pytest.raises(Malformed, match="poposkInput is not authInfo and publicKey"):
        CertReqMsg.decode(signed_input(request(PUBLIC_KEY), wrong))


def test_an_ml_kem_key_signs_nothing() -> None:
    of = request(SUBJECT, KEM)
    with pytest.raises(Malformed, match="an ML-KEM key cannot sign"):
        CertReqMsg.decode(sequence(of, tlv(0xA1, ES256, signature(of)))).verify(POLICY)


@pytest.mark.parametrize("popo", [Popo.encrCert, Popo.challengeResp])
def test_a_key_that_only_signs_decrypts_nothing(popo: Popo) -> None:
    with pytest.raises(Malformed, match="for a key that cannot decrypt; sign the request"):
        CertReqMsg.decode(encode_unsigned_message(SPKI, name("CN=device"), popo)).verify(POLICY)


def test_a_key_that_can_sign_does() -> None:
    with pytest.raises(Malformed, match="no proof of possession, but a key of this kind can sign"):
        CertReqMsg.decode(encode_unsigned_message(SPKI, name("CN=device"), Popo.absent)).verify(POLICY)


def test_a_signature_algorithm_without_a_hash() -> None:
    of = request()
    der = sequence(of, tlv(0xA1, algorithm(oids.EC_PUBLIC_KEY), signature(of)))
    with pytest.raises(AlgorithmRefused, match="the CRMF request's signature algorithm does not name a hash"):
        CertReqMsg.decode(der).verify(POLICY)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x30",
        NULL,
        sequence(),
        sequence(request(), NULL),
        sequence(request(), sequence(ATTRIBUTE), RA_VERIFIED),
        sequence(request(), RA_VERIFIED, RA_VERIFIED),
        sequence(request(), RA_VERIFIED, sequence(ATTRIBUTE), sequence(ATTRIBUTE)),
        sequence(request(), RA_VERIFIED) + b"\x00",
        sequence(sequence(integer(0)), RA_VERIFIED),
        sequence(sequence(integer(0), sequence(SUBJECT, PUBLIC_KEY), sequence(NULL)), RA_VERIFIED),
        sequence(request(), RA_VERIFIED, sequence(NULL)),
        sequence(request(), RA_VERIFIED, sequence()),
        sequence(request(controls=sequence()), RA_VERIFIED),
    ],
    ids=[
        *("nothing", "cut", "null", "empty", "null behind", "order", "two proofs", "two regInfos", "trailing octet"),
        *("no template", "controls", "regInfo", "no regInfo", "no control"),
    ],
)
def test_requests_of_wrong_structure(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        CertReqMsg.decode(wrong)


def test_limits_of_attributes() -> None:
    most = sequence(*[ATTRIBUTE] * MAX_ATTRIBUTES)
    CertReqMsg.decode(sequence(request(controls=most), RA_VERIFIED, most))
    more = sequence(*[ATTRIBUTE] * (MAX_ATTRIBUTES + 1))
    for der in (sequence(request(controls=more), RA_VERIFIED), sequence(request(), RA_VERIFIED, more)):
        with pytest.raises(Malformed, match="do not have 1 to 64 members"):
            CertReqMsg.decode(der)


def test_limit_of_octets() -> None:
    filler = sequence(encode(Oid("1.2.3")), tlv(0x04, bytes(MAX_REQUEST)))
    with pytest.raises(Malformed, match="octets; at most 32768 are accepted"):
        CertReqMsg.decode(sequence(request(), RA_VERIFIED, sequence(filler)))


@pytest.mark.parametrize("count", [0, MAX_REQUESTS + 1])
def test_numbers_of_requests(count: int) -> None:
    parts = [sequence(request(number=number), RA_VERIFIED) for number in range(count)]
    with pytest.raises(Malformed, match="does not have 1 to 16 requests"):
        decode_messages(sequence(*parts))


def test_requests_have_different_numbers() -> None:
    part = sequence(request(), RA_VERIFIED)
    with pytest.raises(Malformed, match="a certReqId is there twice"):
        decode_messages(sequence(part, part))


def test_messages_that_are_no_sequence() -> None:
    with pytest.raises(Malformed, match="no SEQUENCE"):
        decode_messages(tlv(0x31, sequence(request(), RA_VERIFIED)))


def test_every_octet_changed_is_refused_or_read_as_something_else() -> None:
    """Whatever comes, only errors of pkix come out."""
    der = signed(request())
    for at in range(len(der)):
        for change in (0x01, 0x80, 0x20):
            wrong = der[:at] + bytes((der[at] ^ change,)) + der[at + 1 :]
            try:
                found = CertReqMsg.decode(wrong)
                found.verify(POLICY)
            except (Malformed, AlgorithmRefused):
                continue
            except Exception as error:
                assert type(error).__module__ in ("pkix.errors", "kem.errors"), (at, error)
                continue
            assert found.der == wrong and at >= len(request()), "a change that the signature does not cover"


def test_values_left_out_one_by_one() -> None:
    whole = Node.parse(signed(request()))
    for at in range(len(whole)):
        less = whole.copy()
        del less[at]
        with pytest.raises(Malformed):
            CertReqMsg.decode(less.der()).verify(POLICY)
