"""The subject of a request: each attribute of its own type and of no more than its own length (RFC 5280 appendix A.1).

The subject goes into the certificate as it was received, so what is wrong in it would be signed. The types and lengths
are in `pkix.attribute_types`. An attribute that is not listed there may be of any string type, up to MAX_VALUE
characters. No value is empty or holds nothing but blanks and what nobody sees: such an attribute would be there for a
rule that asks for it, and for nobody else.

RFC 5280 section 4.1.2.4 forbids no old string types in certificates for subjects that had them before, so
DirectoryString has all its five alternatives here, and IA5String, which old devices send. Where the type is
PrintableString or IA5String, ASCII in another common string type is let pass: Go (micromdm, step) writes
every value as PrintableString or UTF8String.
"""

from __future__ import annotations

import unicodedata

from pkix.asn1 import TLV, Oid, parse, tag_of
from pkix.attribute_types import (
    ASCII_ONLY,
    MAX_VALUE,
    PRINTABLE,
    PRINTABLE_CHARACTERS,
    STRING_NAMES,
    TELETEX,
    AttributeType,
    attribute_type,
    string_text,
)
from pkix.errors import Malformed
from pkix.names import is_seen, rdns_of

__all__ = ["MAX_SUBJECT", "MAX_VALUE", "check_subject"]

MAX_SUBJECT = 4096  # octets of the whole Name


def check_subject(name: bytes, whose: str) -> None:
    """Raises Malformed. name: DER Name; its structure is for `cryptography.x509` to check. whose: begins the text."""
    if len(name) > MAX_SUBJECT:
        raise Malformed(f"{whose}: a subject of {len(name)} octets; at most {MAX_SUBJECT} are accepted")
    for relative in rdns_of(name, f"{whose}: unusable name"):
        for kind, value in relative:
            _check_value(parse(kind, Oid, f"{whose}: subject"), value, whose)


def _check_value(kind: Oid, value: TLV, whose: str) -> None:
    known = attribute_type(kind)
    tag = tag_of(value)
    if tag not in known.tags:
        raise Malformed(f"{whose}: {known.name} is not of its string type (RFC 5280 appendix A)")
    if known.tags is ASCII_ONLY and not bytes(value.data).isascii():
        raise Malformed(f"{whose}: {known.name} with characters that it cannot have (RFC 5280 appendix A)")
    if tag == TELETEX and not bytes(value.data).isascii():
        # As Latin-1 by some and as UTF-8 by others, so a renewal could turn one name into another.
        raise Malformed(f"{whose}: {known.name} in TeletexString beyond ASCII", advice="use UTF8String")
    text = _text(tag, bytes(value.data), known, f"{whose}: unusable name: {known.name}")
    length = len(bytes(value.data)) - 1 if text is None else len(text)  # of a BIT STRING, without the count of bits
    if not known.least <= length <= known.most:
        bounds = f"{known.least}" if known.least == known.most else f"{known.least} to {known.most}"
        raise Malformed(f"{whose}: {known.name} of {length} characters, not {bounds} (RFC 5280 appendix A.1)")
    if text is not None and not any(map(is_seen, text)):
        raise Malformed(f"{whose}: {known.name} of nothing but blanks")


def _text(tag: int, octets: bytes, known: AttributeType, what: str) -> str | None:
    """what: begins the text of errors, such as "PKCS #10 request: unusable name: commonName"."""
    try:
        text = string_text(tag, octets)
    except ValueError:
        raise Malformed(f"{what} is not valid text of its type {STRING_NAMES[tag]}") from None
    for character in text or "":
        # Many a program ends a name at NUL, and a log or a list a line at LF.
        if unicodedata.category(character) == "Cc":
            raise Malformed(f"{what} holds the control character U+{ord(character):04X}")
        if tag == PRINTABLE and character not in PRINTABLE_CHARACTERS:
            advice = "use UTF8String" if known.tags is not ASCII_ONLY else ""  # of which X.520 has no other type
            raise Malformed(f"{what} is a PrintableString, which cannot hold {character!a}", advice=advice)
    return text
