"""The thin layer over `cryptography.hazmat.asn1`: what it adds, and the text of its errors."""

from __future__ import annotations

import pytest
from cryptography import x509

from pkix import asn1
from pkix.asn1 import (
    TLV,
    AlgorithmIdentifier,
    GeneralizedTime,
    Null,
    Oid,
    algorithm,
    any_of,
    decode,
    elements,
    encode,
    explicit,
    parameters_der,
    parse,
    reason,
    set_of,
    tag_of,
    wrap,
)
from pkix.certificates import IssuerAndSerialNumber
from pkix.errors import Malformed
from pkix.signed_data import SignedData
from tests.pkix.forge import NULL, SignedDataForge, peer, sequence
from tests.pkix.tlv import integer, tlv

OID = Oid("1.2.3")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 24])
def test_x690_8_1_3_wrap_writes_the_shortest_length(size: int) -> None:
    der = wrap(0x04, bytes(size))
    assert der == tlv(0x04, bytes(size))
    assert decode(bytes, der, "octets") == bytes(size)


def test_x690_11_6_set_of_is_sorted() -> None:
    assert set_of([b"\x02\x01\x02", b"\x01\x01\x00", b"\x02\x01\x01"]) == tlv(
        0x31, b"\x01\x01\x00", b"\x02\x01\x01", b"\x02\x01\x02"
    )
    assert set_of([], tag=0xA0) == b"\xa0\x00"


def test_explicit() -> None:
    assert explicit(3, NULL) == b"\xa3\x02\x05\x00"


def test_elements_keep_the_order_received() -> None:
    members = [tlv(0x04, b"x" * size) for size in (300, 0, 128, 70_000)]
    value = any_of(tlv(0x31, *members))
    assert [encode(member) for member in elements(value)] == members
    assert tag_of(value) == 0x31
    assert elements(any_of(b"\x31\x00")) == []


@pytest.mark.parametrize(
    "contents",
    [
        b"\x04",
        b"\x04\x05abc",
        b"\x04\x80abc",
        b"\x04\x85" + bytes(10),
        b"\x04\x82\x01",
        b"\x04\x81\x01x",
        b"\x04\x00\x04",
    ],
    ids=["one octet", "longer", "indefinite", "five octets", "cut length", "not minimal", "cut second"],
)
def test_elements_that_are_not_der(contents: bytes) -> None:
    with pytest.raises(Malformed):
        elements(any_of(tlv(0x31, contents)))


def test_rfc_5280_4_1_1_2_parameters_absent_and_null_are_different() -> None:
    assert encode(algorithm(OID)) == sequence(encode(OID))
    assert encode(algorithm(OID, NULL)) == sequence(encode(OID), NULL)
    assert encode(algorithm(OID, integer(7))) == sequence(encode(OID), integer(7))


@pytest.mark.parametrize("parameters", [None, NULL, integer(7), sequence(NULL), tlv(0x04, b"iv")])
def test_parameters_come_back_as_der(parameters: bytes | None) -> None:
    found = decode(AlgorithmIdentifier, sequence(encode(OID), parameters or b""), "algorithm")
    assert parameters_der(found) == parameters
    assert isinstance(found.parameters, Null) == (parameters == NULL)
    assert encode(found) == encode(algorithm(OID, parameters))


def test_errors_name_the_structure_and_the_reason_in_one_line() -> None:
    with pytest.raises(Malformed) as caught:
        decode(IssuerAndSerialNumber, sequence(NULL), "IssuerAndSerialNumber")
    assert caught.value.text.startswith("IssuerAndSerialNumber is not valid DER: ")
    assert "ParseError" not in caught.value.text
    assert caught.value.text.isprintable()
    assert str(caught.value) == caught.value.text


REASONS = [
    (IssuerAndSerialNumber, b"", "it ends too early"),
    (IssuerAndSerialNumber, sequence(sequence(), tlv(0x04, b"1")), "a value has another type than it should have"),
    (IssuerAndSerialNumber, sequence(sequence(), integer(1)) + NULL, "octets follow where it should end"),
    (IssuerAndSerialNumber, b"\x30\x80", "a length is not valid"),
    (int, b"\x1f\x80\x00", "a tag is not valid"),
    (str, tlv(0x0C, b"\xff"), "a value is not valid for its type"),
    (GeneralizedTime, tlv(0x18, b"00000101000000Z"), "it holds a value that cannot be read"),
]


@pytest.mark.parametrize(("kind", "der", "why"), REASONS, ids=[why for _kind, _der, why in REASONS])
def test_reasons_are_in_our_words(kind: type, der: bytes, why: str) -> None:
    """Neither ShortData { needed: 1 } nor "year 0 is out of range" says anything to whoever made the message."""
    with pytest.raises(Malformed) as caught:
        decode(kind, der, "it")
    assert caught.value.text == f"it is not valid DER: {why}"


def test_reasons_that_nobody_knows_have_one_text() -> None:
    secret = ValueError("error parsing asn1 value: ParseError { kind: Unheard { of: 7 } }")
    assert reason(secret) == reason(TypeError("0x1234")) == "it holds a value that cannot be read"
    oid = x509.ObjectIdentifier("2.5.29.17")
    assert reason(x509.DuplicateExtension("Duplicate 2.5.29.17 extension found", oid)) == (
        "extension 2.5.29.17 is there twice"
    )
    for text in (
        "ParseError { kind: EncodedDefault, location: [] }",
        "invalid DER: DEFAULT value was explicitly encoded",
    ):
        assert reason(ValueError(text)) == "a DEFAULT value is written out"
    assert reason(x509.InvalidVersion("7 is not a valid X509 version", 7)) == "its version is not a valid one"
    told = "an x400Address or ediPartyName, which no certificate gets here"
    assert reason(x509.UnsupportedGeneralNameType("x400Address")) == told


def test_parse_reads_a_value_as_another_type() -> None:
    assert parse(any_of(integer(5)), int, "number") == 5
    with pytest.raises(Malformed, match="number is not valid DER"):
        parse(any_of(NULL), int, "number")


@pytest.mark.parametrize(
    "der", [b"", b"\x02", b"\x02\x00", b"\x02\x02\x00\x01", b"\x02\x01\x01\x00", b"\x02\x81\x01\x01"]
)
def test_x690_8_3_integers_are_strict(der: bytes) -> None:
    with pytest.raises(Malformed):
        decode(int, der, "number")


@pytest.mark.parametrize(
    "der", [b"\x06\x00", b"\x06\x01\x80", b"\x06\x02\x2a\x80", b"\x06\x03\x2a\x80\x01", b"\x06\x50" + b"\x2a" * 80]
)
def test_x690_8_19_object_identifiers_are_strict(der: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Oid, der, "identifier")


def test_work_for_a_flood_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # The callers' limits are tens; a message of 1 MiB can hold half a million values.
    read = 0

    def counting(der: bytes) -> TLV:
        nonlocal read
        read += 1
        return any_of(der)

    monkeypatch.setattr(asn1, "any_of", counting)
    with pytest.raises(Malformed):
        _ = SignedData.decode(SignedDataForge(peer(), attributes=[NULL] * 20_000).encode()).attributes
    assert read < 5_000
