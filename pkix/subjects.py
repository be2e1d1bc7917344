"""The subject of a request: each attribute of its own type and of no more than its own length (RFC 5280 appendix A.1).

The subject goes into the certificate as it was received, so what is wrong in it would be signed. Types and lengths of
other attributes than those of RFC 5280 are those of X.520, RFC 4519 and RFC 2985. An attribute that is not listed may
be of any string type, up to MAX_VALUE characters.

RFC 5280 section 4.1.2.4 forbids no old string types in certificates for subjects that had them before, so
DirectoryString has all its five alternatives here, and IA5String, which old devices send. Where the type is
PrintableString or IA5String, ASCII in another common string type is let pass: Go (micromdm, step) writes
every value as PrintableString or UTF8String.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from pkix.asn1 import SEQUENCE_TAG, SET_TAG, TLV, Oid, any_of, elements, parse, tag_of
from pkix.errors import Malformed

MAX_SUBJECT = 4096  # octets of the whole Name
MAX_VALUE = 256

_BIT_STRING, _UTF8, _PRINTABLE, _TELETEX, _IA5, _VISIBLE, _UNIVERSAL, _BMP = (3, 12, 19, 20, 22, 26, 28, 30)
STRING_CODECS = {
    _UTF8: "utf-8",
    _PRINTABLE: "ascii",
    _TELETEX: "latin-1",  # as everybody reads it
    _IA5: "ascii",
    _VISIBLE: "ascii",
    _UNIVERSAL: "utf-32-be",
    _BMP: "utf-16-be",
}
_DIRECTORY_STRING = (_UTF8, _PRINTABLE, _TELETEX, _IA5, _UNIVERSAL, _BMP)
_ASCII_ONLY = (_PRINTABLE, _UTF8, _IA5)
_ANY_STRING = tuple(STRING_CODECS)


@dataclass(frozen=True)
class _Kind:
    """An attribute type. tags: of its ASN.1 type. least, most: characters."""

    name: str
    most: int = MAX_VALUE
    tags: tuple[int, ...] = _DIRECTORY_STRING
    least: int = 1


_KINDS = {
    Oid(dotted): kind
    for dotted, kind in {
        "2.5.4.3": _Kind("commonName", 64),
        "2.5.4.4": _Kind("surname"),
        "2.5.4.5": _Kind("serialNumber", 64, _ASCII_ONLY),
        "2.5.4.6": _Kind("countryName", 2, _ASCII_ONLY, 2),
        "2.5.4.7": _Kind("localityName", 128),
        "2.5.4.8": _Kind("stateOrProvinceName", 128),
        "2.5.4.9": _Kind("streetAddress", 128),
        "2.5.4.10": _Kind("organizationName", 64),
        "2.5.4.11": _Kind("organizationalUnitName", 64),
        "2.5.4.12": _Kind("title", 64),
        "2.5.4.13": _Kind("description"),
        "2.5.4.15": _Kind("businessCategory", 128),
        "2.5.4.17": _Kind("postalCode", 40),
        "2.5.4.41": _Kind("name"),
        "2.5.4.42": _Kind("givenName"),
        "2.5.4.43": _Kind("initials"),
        "2.5.4.44": _Kind("generationQualifier"),
        "2.5.4.45": _Kind("x500UniqueIdentifier", MAX_VALUE, (_BIT_STRING,)),
        "2.5.4.46": _Kind("dnQualifier", MAX_VALUE, _ASCII_ONLY),
        "2.5.4.65": _Kind("pseudonym", 128),
        "2.5.4.97": _Kind("organizationIdentifier"),
        "0.9.2342.19200300.100.1.1": _Kind("userId"),
        "0.9.2342.19200300.100.1.25": _Kind("domainComponent", 63, _ASCII_ONLY),
        "1.2.840.113549.1.9.1": _Kind("emailAddress", 255, _ASCII_ONLY),
        "1.2.840.113549.1.9.2": _Kind("unstructuredName", 255, _DIRECTORY_STRING),
        "1.2.840.113549.1.9.8": _Kind("unstructuredAddress", 255),
        "1.3.6.1.4.1.311.60.2.1.1": _Kind("jurisdictionLocalityName", 128),
        "1.3.6.1.4.1.311.60.2.1.2": _Kind("jurisdictionStateOrProvinceName", 128),
        "1.3.6.1.4.1.311.60.2.1.3": _Kind("jurisdictionCountryName", 2, _ASCII_ONLY, 2),
    }.items()
}


def check_subject(name: bytes, whose: str = "PKCS #10 request") -> None:
    """Raises Malformed. name: DER Name; its structure is for `cryptography.x509` to check. whose: begins the text."""
    if len(name) > MAX_SUBJECT:
        raise Malformed(f"{whose}: a subject of {len(name)} octets; at most {MAX_SUBJECT} are accepted")
    for relative in elements(_of_kind(any_of(name), SEQUENCE_TAG, whose)):
        for attribute in elements(_of_kind(relative, SET_TAG, whose)):
            members = elements(_of_kind(attribute, SEQUENCE_TAG, whose))
            if len(members) != 2:
                raise Malformed(f"{whose}: unusable subject: an attribute is not a type and a value")
            _check_value(parse(members[0], Oid, f"{whose}: subject"), members[1], whose)


def _of_kind(value: TLV, tag: int, whose: str) -> TLV:
    if tag_of(value) != tag:
        raise Malformed(f"{whose}: unusable subject: it is no Name")
    return value


def _check_value(kind: Oid, value: TLV, whose: str) -> None:
    known = _KINDS.get(kind) or _Kind(f"subject attribute {kind.dotted_string}", MAX_VALUE, _ANY_STRING, 0)
    tag = tag_of(value)
    if tag not in known.tags:
        raise Malformed(f"{whose}: a {known.name} whose value is not of its string type (RFC 5280 appendix A)")
    if known.tags is _ASCII_ONLY and not bytes(value.data).isascii():
        raise Malformed(f"{whose}: a {known.name} with characters that it cannot have (RFC 5280 appendix A)")
    if tag == _TELETEX and not bytes(value.data).isascii():
        # As Latin-1 by some and as UTF-8 by others, so a renewal could turn one name into another.
        raise Malformed(f"{whose}: a {known.name} in TeletexString beyond ASCII; use UTF8String")
    length = _characters(bytes(value.data), tag, whose)
    if not known.least <= length <= known.most:
        raise Malformed(f"{whose}: a {known.name} of {length} characters (RFC 5280 appendix A.1)")


def _characters(octets: bytes, tag: int, whose: str) -> int:
    """Of a string; of a BIT STRING, its octets."""
    codec = STRING_CODECS.get(tag)
    if codec is None:
        return len(octets)
    try:
        text = octets.decode(codec)
    except UnicodeDecodeError:
        raise Malformed(f"{whose}: unusable subject: a value is not valid text of its string type") from None
    if any(unicodedata.category(character) == "Cc" for character in text):
        # Many a program ends a name at NUL, and a log or a list a line at LF.
        raise Malformed(f"{whose}: unusable subject: a value holds control characters")
    return len(text)
