"""Each attribute of a subject has its own type and no more than its own length (RFC 5280 appendix A.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pkix.asn1 import Oid, encode
from pkix.crmf import CertReqMsg, encode_unsigned_message
from pkix.errors import Malformed
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.popo import Popo
from pkix.subjects import MAX_SUBJECT, MAX_VALUE, check_subject
from tests.pkix.forge import request_info, sequence, sign_request
from tests.pkix.tlv import tlv
from tests.world import key, name

KEY = key("ec:P-256")
BOUNDS = {
    "2.5.4.3": 64,
    "2.5.4.5": 64,
    "2.5.4.7": 128,
    "2.5.4.8": 128,
    "2.5.4.9": 128,
    "2.5.4.10": 64,
    "2.5.4.11": 64,
    "2.5.4.12": 64,
    "2.5.4.17": 40,
    "2.5.4.65": 128,
    "0.9.2342.19200300.100.1.25": 63,
    "1.2.840.113549.1.9.1": 255,
    "1.2.840.113549.1.9.2": 255,
    "1.2.3.4": MAX_VALUE,
    "2.5.4.4": MAX_VALUE,
    "0.9.2342.19200300.100.1.1": MAX_VALUE,
}
PRINTABLE, IA5 = {"2.5.4.5", "2.5.4.6"}, {"0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1"}


def attribute(oid: str, tag: int, octets: bytes) -> bytes:
    return sequence(tlv(0x31, sequence(encode(Oid(oid)), tlv(tag, octets))))


def check(der: bytes) -> None:
    check_subject(der, "PKCS #10 request")


def tag_for(oid: str) -> int:
    return 0x13 if oid in PRINTABLE else 0x16 if oid in IA5 else 0x0C


def subject_of(der: bytes) -> x509.Name:
    return CertificationRequest.decode(sign_request(request_info(KEY, subject=der), KEY)).subject


@pytest.mark.parametrize("oid", BOUNDS)
def test_an_attribute_may_be_as_long_as_its_bound_and_no_longer(oid: str) -> None:
    bound = BOUNDS[oid]
    assert len(next(iter(subject_of(attribute(oid, tag_for(oid), b"x" * bound)))).value) == bound
    with pytest.raises(Malformed, match=f"of {bound + 1} characters"):
        subject_of(attribute(oid, tag_for(oid), b"x" * (bound + 1)))


def test_characters_count_not_octets() -> None:
    check(attribute("2.5.4.3", 0x0C, "é".encode() * 64))
    check(attribute("2.5.4.3", 0x1E, "é".encode("utf-16-be") * 64))
    with pytest.raises(Malformed, match="of 65 characters"):
        check(attribute("2.5.4.3", 0x1E, "é".encode("utf-16-be") * 65))


@pytest.mark.parametrize(
    ("oid", "tag"),
    [
        *(("2.5.4.3", tag) for tag in (0x02, 0x03, 0x04, 0x05, 0x06, 0x12, 0x17, 0x18, 0x1A, 0x30, 0x80)),
        ("2.5.4.6", 0x04),
        ("2.5.4.5", 0x1E),
        ("2.5.4.46", 0x04),
        ("0.9.2342.19200300.100.1.25", 0x14),
        ("1.2.840.113549.1.9.1", 0x30),
        ("2.5.4.45", 0x0C),
        ("1.2.3.4", 0x04),
    ],
)
def test_a_value_that_is_not_of_the_attribute_s_type_is_refused(oid: str, tag: int) -> None:
    """commonName as OCTET STRING was issued."""
    value = attribute(oid, tag, b"\x05\x00" if tag == 0x30 else b"DE")
    with pytest.raises(Malformed, match="is not of its string type"):
        check(value)
    with pytest.raises(Malformed):
        subject_of(value)


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16])
@pytest.mark.parametrize(
    "oid", ["2.5.4.5", "2.5.4.6", "2.5.4.46", "0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1"]
)
def test_ascii_may_come_in_another_string_type(oid: str, tag: int) -> None:
    """As Go's encoding/asn1 writes it."""
    check(attribute(oid, tag, b"DE"))
    with pytest.raises(Malformed):
        check(attribute(oid, tag, b"\xc3\xa9"))


def test_ia5string_passes_for_a_directory_string() -> None:
    check(attribute("2.5.4.3", 0x16, b"device"))
    with pytest.raises(Malformed):
        check(attribute("2.5.4.3", 0x16, b"\xc3\xa9"))


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\x1b", "\x7f", "\x85"])
@pytest.mark.parametrize("where", ["{}x", "x{}", "x{}y"])
def test_control_characters_are_refused(where: str, character: str) -> None:
    """A program that stops at NUL reads another name than the one that was checked."""
    with pytest.raises(Malformed, match=r"unusable name: \w+ holds the control character U\+00"):
        check(attribute("2.5.4.3", 0x0C, where.format(character).encode()))


def test_600_kilobytes_of_organization_are_refused() -> None:
    with pytest.raises(Malformed, match="a subject of 6000"):
        subject_of(attribute("2.5.4.10", 0x0C, b"x" * 600_000))


def test_the_whole_subject_has_a_bound() -> None:
    one = attribute("2.5.4.11", 0x0C, b"x" * 64)[2:]
    count = MAX_SUBJECT // len(one)
    subject_of(sequence(one * (count - 1)))
    with pytest.raises(Malformed, match=f"at most {MAX_SUBJECT} are accepted"):
        subject_of(sequence(one * (count + 1)))


def test_what_the_library_writes_is_accepted() -> None:
    text = "CN=device,OU=b,O=a,L=l,ST=s,C=DE,STREET=x,DC=example,UID=u,1.2.840.113549.1.9.1=a@b.example,2.5.4.5=42"
    subject = name(text)
    assert CertificationRequest.decode(encode_certification_request(KEY, subject)).subject == subject


@given(st.binary(max_size=200))
def test_whatever_is_no_name_is_malformed(octets: bytes) -> None:
    try:
        check(octets)
    except Malformed:
        return
    assert octets[:1] == b"\x30"


# Issue 10, section 1: values that hold nothing


@pytest.mark.parametrize("oid", [*BOUNDS, "2.5.4.41", "2.5.4.97", "1.3.6.1.4.1.32473.9"])
@pytest.mark.parametrize("octets", [b"", b" ", b"   "])
def test_10_1_no_value_is_empty(oid: str, octets: bytes) -> None:
    with pytest.raises(Malformed, match=r"of 0 characters, not 1 to|of nothing but blanks"):
        check(attribute(oid, tag_for(oid), octets))


@pytest.mark.parametrize("text", ["\u200b", "\u3164 ", "\u00a0"], ids=ascii)
def test_10_1_no_value_is_invisible(text: str) -> None:
    with pytest.raises(Malformed, match="of nothing but blanks"):
        check(attribute("2.5.4.10", 0x0C, text.encode()))


def test_10_1_no_bit_string_and_no_rdn_is_empty() -> None:
    check(attribute("2.5.4.45", 0x03, b"\0x"))
    with pytest.raises(Malformed, match="of 0 characters"):
        check(attribute("2.5.4.45", 0x03, b"\0"))
    with pytest.raises(Malformed, match="without attribute"):
        check(sequence(tlv(0x31, b"")))


def test_10_1_a_bmp_string_has_no_surrogates() -> None:
    """OpenSSL reads no certificate that has them."""
    check(attribute("2.5.4.3", 0x1E, "é\ufffd".encode("utf-16-be")))
    with pytest.raises(Malformed, match="commonName is not valid text of its type BMPString"):
        check(attribute("2.5.4.3", 0x1E, "\U0001f600".encode("utf-16-be")))


def test_10_1_a_teletex_string_beyond_ascii_is_told_what_to_be() -> None:
    check(attribute("2.5.4.3", 0x14, b"device"))
    with pytest.raises(Malformed, match="commonName in TeletexString beyond ASCII; use UTF8String"):
        check(attribute("2.5.4.3", 0x14, b"\xe9"))


def test_10_1_the_text_says_whose_subject_it_is() -> None:
    """Of CRMF, too."""
    template = attribute("2.5.4.10", 0x0C, b"")
    spki = CertificationRequest.decode(encode_certification_request(KEY, name("CN=a"))).spki
    message = encode_unsigned_message(spki, name("CN=a"), Popo.absent)
    request = replace(CertReqMsg.decode(message), subject_der=template)
    with pytest.raises(Malformed, match=r"^CRMF request: organizationName of 0 characters"):
        _ = request.subject
    with pytest.raises(Malformed, match=r"^PKCS #10 request: organizationName of 0 characters"):
        subject_of(template)


def test_11_3_of_another_type_nothing_is_said_where_there_is_none() -> None:
    """X.520 has serialNumber in PrintableString alone, and a user of our client does not choose the type."""
    with pytest.raises(Malformed, match=r"serialNumber is a PrintableString, which cannot hold '_'$"):
        check(attribute("2.5.4.5", 0x13, b"a_b"))
