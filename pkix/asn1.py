"""The one door to `cryptography.hazmat.asn1`, whose API its authors call unstable.

Structures are declared as dataclasses (`@sequence`) and read or written by `decode` and `encode`, strict DER in
compiled code. What that library cannot say and we need is solved here or noted where it is used:

* an IMPLICIT tag over an ANY, and `TLV | None`, do not exist: a field of type TLV takes any tag, so its reader
  checks the tag (`tag_of`), and AlgorithmIdentifier parameters are `Null | TLV | None`;
* a SET OF is accepted only in DER order. Where peers send another order, the field is a TLV and `elements` reads it;
* top-level values that are not dataclasses decode only for primitive types.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Annotated, TypeVar, cast

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
    encode_der,
    sequence,
)
from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType
from cryptography.x509 import ObjectIdentifier as Oid

from kem.der_faults import Undecoded
from kem.structures import AlgorithmIdentifier, number
from pkix import oids
from pkix.errors import Malformed

__all__ = [
    "TLV",
    "AlgorithmIdentifier",
    "Attribute",
    "BitString",
    "Default",
    "Explicit",
    "GeneralizedTime",
    "Implicit",
    "Null",
    "Oid",
    "PrintableString",
    "SetOf",
    "UTCTime",
    "algorithm",
    "any_of",
    "attribute",
    "decode",
    "decode_parameters",
    "elements",
    "encode",
    "encode_oid",
    "explicit",
    "has_more_than",
    "integer",
    "number",
    "octet_string",
    "parameters_der",
    "parse",
    "reason",
    "sequence",
    "set_of",
    "tag_of",
    "wrap",
]

T = TypeVar("T")

MAX_ELEMENTS = 1024  # that `elements` reads; every caller expects far fewer

INTEGER_TAG = 0x02
OCTET_STRING_TAG = 0x04
SEQUENCE_TAG = 0x30
SET_TAG = 0x31
_MEMBERS_TAG = 0xA0

_KIND = re.compile(r"ParseError \{ kind: (\w+)")
_REASONS = {
    "ShortData": "it ends too early",
    "ExtraData": "octets follow where it should end",
    "InvalidLength": "a length is not valid",
    "InvalidTag": "a tag is not valid",
    "InvalidValue": "a value is not valid for its type",
    "InvalidSetOrdering": "a SET OF is not in the order of DER",
    "EncodedDefault": "a DEFAULT value is written out",
    "UnexpectedTag": "a value has another type than it should have",
    "IntegerOverflow": "a number is too large",
    "OidTooLong": "an object identifier is too long",
}


@sequence
class Attribute:
    """RFC 5652 section 5.3. The values' order is the sender's."""

    type: Oid
    values: TLV


def decode(cls: type[T], der: bytes, what: str) -> T:
    """Decode strict DER. `what` names the structure for the error text. Raises Malformed."""
    try:
        return decode_der(cls, der)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{what} is not valid DER: {reason(error)}", Undecoded(cls, der)) from None


def parse(value: TLV, cls: type[T], what: str) -> T:
    """Decode an ANY as `cls`. Raises Malformed."""
    try:
        return cast(T, value.parse(cls))
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{what} is not valid DER: {reason(error)}", Undecoded(cls, encode(value))) from None


def encode(value: object) -> bytes:
    """DER of a declared structure or a primitive value."""
    return encode_der(value)


@functools.lru_cache(maxsize=256)
def encode_oid(oid: Oid) -> bytes:
    """DER of an OBJECT IDENTIFIER, of which there are few: remembered."""
    return encode_der(oid)


def reason(error: Exception) -> str:
    """What a library's error says, in words for people: its own are for whoever debugs it, and may change.

    Kinds of errors that are not known, among them those of `datetime`, become one text.
    """
    kind = _KIND.search(str(error))
    if "DEFAULT value was explicitly encoded" in str(error):
        return _REASONS["EncodedDefault"]
    if isinstance(error, DuplicateExtension):
        return f"extension {error.oid.dotted_string} is there twice"
    if isinstance(error, InvalidVersion):
        return "its version is not a valid one"
    if isinstance(error, UnsupportedGeneralNameType):
        return "an x400Address or ediPartyName, which no certificate gets here"
    return _REASONS.get(kind[1] if kind else "", "it holds a value that cannot be read")


def any_of(der: bytes) -> TLV:
    """A complete DER value as ANY. Raises Malformed."""
    return decode(TLV, der, "value")


def tag_of(value: TLV) -> int:
    """The identifier octet; multi-octet tags (which no structure here uses) give their first octet."""
    return value.tag_bytes[0]


@sequence
class _Members:
    values: Annotated[list[TLV], Implicit(0)]


def elements(value: TLV) -> list[TLV]:
    """The values inside a constructed value, in the order received. Raises Malformed.

    They are read as a SEQUENCE OF under a tag of our own, in one step of compiled code, but counted before: an object
    for each of a million values of two octets would take a hundred times the memory of the message.
    """
    contents = bytes(value.data)
    if has_more_than(MAX_ELEMENTS, contents):
        raise Malformed(f"more than {MAX_ELEMENTS} values in one")
    return decode(_Members, wrap(SEQUENCE_TAG, wrap(_MEMBERS_TAG, contents)), "value").values


def has_more_than(most: int, contents: bytes) -> bool:
    """Whether there are more DER values than `most`, one after the other. Values that are none are not noticed."""
    if len(contents) <= 2 * most:
        return False
    at, count = 0, 0
    while at + 1 < len(contents):
        count += 1
        if count > most:
            return True
        first, at = contents[at + 1], at + 2
        if first >= 0x80:
            octets = first & 0x7F
            first, at = int.from_bytes(contents[at : at + octets], "big"), at + octets
        at += first
    return False


def wrap(tag: int, contents: bytes) -> bytes:
    """DER value with a one-octet tag."""
    size = len(contents)
    if size < 0x80:
        return bytes((tag, size)) + contents
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def integer(number: int) -> bytes:
    """DER of an INTEGER that is not negative, however large."""
    return wrap(INTEGER_TAG, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octet_string(octets: bytes) -> bytes:
    """DER of an OCTET STRING."""
    return wrap(OCTET_STRING_TAG, octets)


def explicit(number: int, der: bytes) -> bytes:
    """[number] EXPLICIT der."""
    return wrap(0xA0 | number, der)


def set_of(members: Iterable[bytes], tag: int = SET_TAG) -> bytes:
    """SET OF in DER order (X.690 11.6), from encoded members."""
    return wrap(tag, b"".join(sorted(members)))


def attribute(kind: Oid, value: bytes) -> bytes:
    """DER of an Attribute with one value, which is DER."""
    return wrap(SEQUENCE_TAG, encode_oid(kind) + wrap(SET_TAG, value))


def algorithm(oid: Oid, parameters: bytes | None = None) -> AlgorithmIdentifier:
    """AlgorithmIdentifier with DER parameters, or absent parameters."""
    if parameters is None:
        return AlgorithmIdentifier(algorithm=oid, parameters=None)
    if parameters == b"\x05\x00":
        return AlgorithmIdentifier(algorithm=oid, parameters=Null())
    return AlgorithmIdentifier(algorithm=oid, parameters=any_of(parameters))


def decode_parameters(cls: type[T], identifier: AlgorithmIdentifier, what: str) -> T:
    """The parameters, which must not be absent. what: names them for the error text. Raises Malformed."""
    der = parameters_der(identifier)
    if der is None:
        raise Malformed(f"{what}: the parameters of {oids.name(identifier.algorithm)} are missing")
    return decode(cls, der, what)


def parameters_der(identifier: AlgorithmIdentifier) -> bytes | None:
    """The parameters' DER, or None when absent."""
    return None if identifier.parameters is None else encode(identifier.parameters)
