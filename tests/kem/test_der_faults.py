"""Where a structure is broken: the walk says the same as the decoder, and names the field and the octet."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from cryptography.hazmat.asn1 import (
    TLV,
    BitString,
    Default,
    Explicit,
    GeneralizedTime,
    Implicit,
    Null,
    PrintableString,
    SetOf,
    UTCTime,
    decode_der,
    sequence,
)
from cryptography.x509 import ObjectIdentifier as Oid

from kem import der_faults
from kem.der_faults import Broken, Fault, Undecoded, find_fault
from kem.errors import MalformedStructure
from kem.structures import KemOtherInfo, SubjectPublicKeyInfo, decode

pytestmark = pytest.mark.any_day


@sequence
class Inner:
    """Named after nothing in particular."""

    the_oid: Oid
    parameters: Null | TLV | None


@sequence
class Outer:
    """Every form in which a field is declared anywhere in the project."""

    version: int
    inner: Inner
    choice: Inner | Annotated[bytes, Implicit(0)]
    wrapped: Annotated[bytes | None, Explicit(1)]
    many: Annotated[list[Inner] | None, Implicit(2)]
    number: Annotated[int | None, Implicit(3)]
    when: UTCTime | GeneralizedTime
    critical: Annotated[bool, Default(False)]
    words: list[str] | None
    names: SetOf[PrintableString]
    bits: BitString
    rest: TLV


def tlv(tag: int, *contents: bytes) -> bytes:
    inside = b"".join(contents)
    assert len(inside) < 128
    return bytes((tag, len(inside))) + inside


OID = tlv(6, b"\x2a\x03")
INNER = tlv(0x30, OID, b"\x05\x00")
FIELDS = {
    "version": tlv(2, b"\x01"),
    "inner": INNER,
    "choice": tlv(0x80, b"ab"),
    "wrapped": tlv(0xA1, tlv(4, b"xyz")),
    "many": tlv(0xA2, INNER, tlv(0x30, OID)),
    "number": tlv(0x83, b"\x05"),
    "when": tlv(0x17, b"260101000000Z"),
    "critical": tlv(1, b"\xff"),
    "words": tlv(0x30, tlv(12, "ä".encode())),
    "names": tlv(0x31, tlv(0x13, b"a"), tlv(0x13, b"b")),
    "bits": tlv(3, b"\x00\x80"),
    "rest": tlv(0xA7, b"\xff\xff"),
}


def outer(**changed: bytes) -> bytes:
    return tlv(0x30, *(FIELDS | changed).values())


def offset_of(field: str) -> int:
    before = list(FIELDS)[: list(FIELDS).index(field)]
    return 2 + sum(len(FIELDS[name]) for name in before)


FULL = outer()
SAMPLES: list[tuple[Any, bytes]] = [
    (Outer, FULL),
    (Outer, outer(choice=INNER, wrapped=b"", many=b"", number=b"", critical=b"", words=b"")),
    (Outer, outer(when=tlv(0x18, b"20500101000000Z"))),
    (SubjectPublicKeyInfo, tlv(0x30, tlv(0x30, OID), tlv(3, b"\x00key"))),
    (KemOtherInfo, tlv(0x30, tlv(0x30, tlv(12, b"a")), tlv(4, b"id"), tlv(0xA0, tlv(4, b"x")))),
]


@pytest.mark.parametrize(("kind", "der"), SAMPLES)
def test_it_finds_nothing_in_what_the_decoder_reads(kind: Any, der: bytes) -> None:
    decode_der(kind, der)
    assert find_fault(kind, der) is None


# Tags, lengths and contents that mean something somewhere.
OCTETS = (*range(8), 12, 13, 19, 23, 24, 31, 48, 49, 127, 128, 129, 130, 160, 161, 162, 163, 167, 255)


@pytest.mark.parametrize(("kind", "der"), SAMPLES)
def test_it_finds_something_in_whatever_the_decoder_refuses(kind: Any, der: bytes) -> None:
    """Any octet changed, the end cut off, and an octet more."""
    broken = [der[:size] for size in range(len(der))] + [der + b"\x00"]
    broken += [der[:at] + bytes((value,)) + der[at + 1 :] for at in range(len(der)) for value in OCTETS]
    for octets in broken:
        found = find_fault(kind, octets)
        try:
            decode_der(kind, octets)
        except (ValueError, OverflowError) as error:
            if "InvalidSetOrdering" in str(error) or "DEFAULT" in str(error):
                continue  # nothing is wrong with any one value
            assert found is not None and 0 <= found.offset <= len(octets), octets.hex()
        else:
            assert found is None, octets.hex()


WRONG = [
    ("version", tlv(4, b"\x01"), "version", 0, "should be an INTEGER"),
    ("version", b"\x02\x02\x00\x01", "version", 0, "is not a valid value of an INTEGER"),
    ("version", b"\x02\x81\x01\x01", "version", 0, "has a length that is not in the form of DER"),
    ("version", b"\x02\x80", "version", 0, "has a length that is not in the form of DER"),
    ("version", b"\x02\x82\x00\x01\x01", "version", 0, "has a length that is not in the form of DER"),
    ("inner", tlv(0x30, tlv(2, b"\x05")), "inner.theOid", 2, "should be an OBJECT IDENTIFIER"),
    ("inner", tlv(0x30, OID, b"\x05\x00", b"\x05\x00"), "inner", 8, "should end"),
    ("inner", tlv(0x30), "inner.theOid", 2, "is missing"),
    ("choice", tlv(0x81, b"ab"), "choice", 0, "should be a SEQUENCE or [0]"),
    ("wrapped", tlv(0xA1, tlv(2, b"\x01")), "wrapped", 2, "should be an OCTET STRING"),
    ("wrapped", tlv(0xA1, tlv(4, b"x"), b"\x05\x00"), "wrapped", 5, "should end"),
    ("many", tlv(0xA2, INNER, tlv(0x31, OID)), "many[1]", 10, "should be a SEQUENCE"),
    (
        "many",
        tlv(0xA2, INNER, tlv(0x30, b"\x06\x00")),
        "many[1].theOid",
        12,
        "is not a valid value of an OBJECT IDENTIFIER",
    ),
    ("when", tlv(0x17, b"26010100Z"), "when", 0, "is not a valid value of a UTCTime"),
    ("when", tlv(4, b"x"), "when", 0, "should be a UTCTime or a GeneralizedTime"),
    ("words", tlv(0x30, tlv(12, b"\xff")), "words[0]", 2, "is not a valid value of a UTF8String"),
    ("names", tlv(0x02, b"\x01"), "names", 0, "should be a SET"),
    ("bits", tlv(3, b"\x09"), "bits", 0, "is not a valid value of a BIT STRING"),
    ("bits", b"\x03\x7f\x00", "bits", 0, "says that it has more octets than there are"),
    ("rest", b"", "rest", 0, "is missing"),
    ("rest", b"\xa7", "rest", 0, "ends before its length"),
]


@pytest.mark.parametrize(("field", "octets", "path", "inside", "why"), WRONG, ids=[f"{w[2]} {w[4]}" for w in WRONG])
def test_the_field_its_offset_and_what_belongs_there(
    field: str, octets: bytes, path: str, inside: int, why: str
) -> None:
    found = find_fault(Outer, outer(**{field: octets}))
    if field == "names":  # a SEQUENCE here is taken for the words, of which there are none then
        found = find_fault(Outer, outer(words=b"", names=tlv(0x02, b"\x01")))
        assert found is not None and (found.path, found.why) == (path, why)
        return
    assert found == Fault(path, offset_of(field) + inside, why)


def test_the_offset_counts_in_the_message_if_the_structure_is_there_as_it_is() -> None:
    broken = outer(version=tlv(4, b"\x01"))
    undecoded = Undecoded(Outer, broken)
    assert undecoded.explain(b"12345" + broken) == "version, at offset 7 of the message, should be an INTEGER"
    assert undecoded.explain(b"other") == "version, at offset 2 of the structure, should be an INTEGER"
    assert Undecoded(Outer, b"").explain(b"any") == "at offset 0 of the structure, is missing"
    assert Undecoded(Outer, FULL).explain(b"any") == ""
    assert Broken(b"345", 1).explain(b"12345") == "at offset 3 of the message"
    assert Broken(b"345", 1).explain() == "at offset 1 of the structure"


def test_a_structure_of_very_many_values_is_not_walked_over() -> None:
    many = b"\x0c\x00" * 5000
    der = b"\x30\x82" + len(many).to_bytes(2, "big") + many
    assert find_fault(list[str], der + b"\x00") is None


def test_errors_carry_the_octets_and_their_text_does_not() -> None:
    with pytest.raises(MalformedStructure) as caught:
        decode(SubjectPublicKeyInfo, tlv(0x30, b"secret"), "private key")
    assert caught.value.text == "private key is not valid DER"
    assert caught.value.undecoded == Undecoded(SubjectPublicKeyInfo, tlv(0x30, b"secret"))


def test_what_is_said_holds_no_octet_of_the_input() -> None:
    """It may be a private key: one sentence for each kind of fault, whatever the octets."""
    said = {
        fault.why
        for value in OCTETS
        for at in (0, 1, 2, 3, 4)
        if (fault := find_fault(Outer, FULL[:at] + bytes((value,)) + FULL[at + 1 :]))
    }
    assert said <= {
        "should be a SEQUENCE",
        "should be an INTEGER",
        "should end",
        "is missing",
        "ends before its length",
        "is not a valid value of an INTEGER",
        "says that it has more octets than there are",
        "has a length that is not in the form of DER",
        "should be an OBJECT IDENTIFIER",
        "should be a SEQUENCE or [0]",
    }
    assert der_faults.__doc__ is not None and "no octet of the input" in der_faults.__doc__
