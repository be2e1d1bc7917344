"""Annotated hex of a DER value that is its ASN.1 dump at the same time, for figures of at most 69 columns.

    offset  tag and length  name, type and value, indented by depth
    octets of the value, 32 to a line

        0 3081d1      ContentInfo
        3 0609         contentType id-signedData
         2a864886f70d010702  1.2.840.113549.1.7.2

A value of at most three octets stands behind its tag and length, and so do the tag and length of the only value inside
another, if there is room. Strings and times are shown as text, whose octets they are. Each object is shown once: one
that a reader has seen is named, with its length and the beginning of its SHA-256.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from drafts.tools.examples.names import NAMES
from drafts.tools.examples.schema import ALGORITHM, NAME
from drafts.tools.examples.shapes import Choice, Containing, Leaf, ListOf, Part, Sequence, Shape, Tagged
from drafts.tools.tlv import (
    BIT_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    IA5_STRING,
    INTEGER,
    NULL,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    PRINTABLE_STRING,
    SEQUENCE,
    SET,
    UTC_TIME,
    UTF8_STRING,
    Tlv,
    oid_of,
    parse,
)

WIDTH = 69
OCTETS_A_LINE = 32
HEX_INDENT = " " * (WIDTH - 2 * OCTETS_A_LINE)
SHORT = 5  # octets of tags, lengths and value that stand on one line
REMEMBERED = 96  # octets from which on a value is shown only once
CIPHERTEXTS = ("kemct", "encryptedContent", "encryptedKey")
ATTRIBUTE = "Attribute"  # whose object identifier goes on the same line
SILENT = ("values",)  # names that say nothing beside that of the value inside
_TEXT = {UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME}
_KINDS = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "INTEGER",
    BIT_STRING: "BIT STRING",
    OCTET_STRING: "OCTET STRING",
    NULL: "NULL",
    OBJECT_IDENTIFIER: "OBJECT IDENTIFIER",
    UTF8_STRING: "UTF8String",
    PRINTABLE_STRING: "PrintableString",
    IA5_STRING: "IA5String",
    UTC_TIME: "UTCTime",
    GENERALIZED_TIME: "GeneralizedTime",
    SEQUENCE: "SEQUENCE",
    SET: "SET",
}
_RDN_NAMES = {"id-at-commonName": "CN", "id-at-organizationName": "O"}


def hex_lines(octets: bytes) -> list[str]:
    """Octets in hex, right-aligned, 32 to a line."""
    lines = [octets[start : start + OCTETS_A_LINE].hex() for start in range(0, len(octets), OCTETS_A_LINE)]
    return [HEX_INDENT + line for line in lines]


class Hidden(enum.Enum):
    """Which long values a dump leaves to the file with the message."""

    nothing = "nothing"
    ciphertexts = "what carries messageData, which is shown itself"
    everything = "everything"


@dataclass
class Seen:
    """What a reader has seen. places: where a value was shown, by its octets. titles: what an object is called.
    oids: object identifiers whose dotted form was given. small: names and algorithms that were dumped.
    """

    places: dict[bytes, str] = field(default_factory=dict)
    titles: dict[bytes, str] = field(default_factory=dict)
    oids: set[str] = field(default_factory=set)
    small: set[bytes] = field(default_factory=set)

    def place(self, octets: bytes) -> str | None:
        """Where it was shown, with its title."""
        where = self.places.get(octets)
        if where is None:
            return None
        title = self.titles.get(octets)
        return f"{title}, {where}" if title else where


@dataclass
class Dump:
    """Dumps of one text. where: what is being dumped now, for references from elsewhere. hidden: which long values are
    told by their length and hash alone.
    """

    seen: Seen
    where: str = ""
    hidden: Hidden = Hidden.nothing

    def lines(self, der: bytes, shape: Shape) -> list[str]:
        """The dump of one value."""
        return list(self._value(Part("", parse(der), shape), 0))

    def part(self, part: Part, depth: int = 0) -> list[str]:
        """The dump of a value inside another, at its offset there."""
        return list(self._value(part, depth))

    def _value(self, part: Part, depth: int, before: _Start | None = None) -> Iterator[str]:
        """before: what stands on the same line, because this is the only value inside."""
        tlv, name, shape = part.tlv, part.name, part.shape
        if isinstance(shape, Choice):
            alternative, shape = shape.of(tlv)
            name = f"{name} {alternative}".strip()
        start = _Start(before.offset, before.headers + tlv.header) if before else _Start(tlv.offset, tlv.header)
        summary = self._summary(tlv, shape)
        if summary is not None:
            told = f"{_label(name, tlv, Leaf())}: {summary}"
            yield from self._line(start, depth, f"{told} (as before)", told)
            return
        place = self._place(tlv, name, shape)
        if place is not None:
            yield from self._line(start, depth, *_labels(name, tlv, shape))
            yield from self._reference(tlv.content if isinstance(shape, Leaf) else tlv.der, place)
            return
        inner = list(shape.parts(tlv)) if tlv.content else []
        if len(inner) == 1 and len(start.headers + inner[0].tlv.header) <= SHORT:
            (only,) = inner
            names = [word for word in (name, only.name) if word and word not in SILENT]
            yield from self._value(Part(".".join(names), only.tlv, only.shape), depth, start)
        elif shape.name == ATTRIBUTE and len(start.headers + inner[0].tlv.header) <= SHORT:
            kind, values = inner
            yield from self._value(Part(ATTRIBUTE, kind.tlv, kind.shape), depth, start)
            yield from self._value(values, depth + 1)
        elif inner or (tlv.constructed and not tlv.content):
            yield from self._line(start, depth, *_labels(name, tlv, shape))
            for item in inner:
                yield from self._value(item, depth + 1)
        else:
            assert isinstance(shape, Leaf | Containing), f"{name}: {shape}"
            yield from self._leaf(tlv, start, depth, name, shape if isinstance(shape, Leaf) else Leaf(name=shape.name))

    def _place(self, tlv: Tlv, name: str, shape: Shape) -> str | None:
        """Where a large value was shown; None if it is shown now."""
        if len(tlv.der) < REMEMBERED or not isinstance(shape, Leaf | Sequence):
            return None
        place = self.seen.place(tlv.der)
        if place is not None:
            return place
        everything = self.hidden is Hidden.everything
        if isinstance(shape, Leaf) and (everything or (self.hidden is Hidden.ciphertexts and name in CIPHERTEXTS)):
            return "in the .der file"
        if not everything:
            self.seen.places[tlv.der] = self.where
        return None

    def _summary(self, tlv: Tlv, shape: Shape) -> str | None:
        """Names and algorithms that were dumped before are told in one line."""
        if shape is not NAME and shape is not ALGORITHM:
            return None
        if tlv.der not in self.seen.small:
            self.seen.small.add(tlv.der)
            return None
        if shape is NAME:
            return name_text(tlv)
        algorithm, *parameters = tlv.children()
        more = [NAMES[oid_of(item.content)] for item in parameters if item.tag == OBJECT_IDENTIFIER]
        return ", ".join([NAMES[oid_of(algorithm.content)], *more])

    def _reference(self, octets: bytes, place: str) -> Iterator[str]:
        digest = hashlib.sha256(octets).hexdigest()[:16]
        place = place.replace(f"{self.where.split(', ')[0]}, ", "")
        yield from wrapped(f"-- {len(octets)} octets, {place}, SHA-256 {digest}")

    def _leaf(self, tlv: Tlv, start: _Start, depth: int, name: str, shape: Leaf) -> Iterator[str]:
        kind = shape.kind or tlv.tag
        label = _label(name, tlv, shape) if name or shape.name or kind != OBJECT_IDENTIFIER else ""
        text = f"{label} {self._decoded(tlv, kind, shape)}".strip()
        content = tlv.content
        if kind not in _TEXT and len(start.headers + content) <= SHORT:
            start, content = _Start(start.offset, start.headers + content), b""
        elif kind == BIT_STRING and len(start.headers) < SHORT and not shape.bits:
            start, content = _Start(start.offset, start.headers + content[:1]), content[1:]
        if kind in _TEXT or not content:
            yield from self._line(start, depth, text)
            return
        dotted = oid_of(tlv.content) if kind == OBJECT_IDENTIFIER else ""
        fresh = dotted and dotted not in self.seen.oids
        octets = content.hex()
        whole = f"{start.text(depth)}{text} {octets}"
        if not fresh and len(whole) <= WIDTH:
            yield whole
            return
        yield from self._line(start, depth, text)
        if fresh:
            self.seen.oids.add(dotted)
            yield f"{HEX_INDENT}{octets}  {dotted}"
        else:
            yield from hex_lines(content)

    def _decoded(self, tlv: Tlv, kind: int, shape: Leaf) -> str:
        content = tlv.content
        if kind in _TEXT:
            value = content.decode("utf-8")
            meaning = f" ({shape.names[value]})" if value in shape.names else ""
            return f'"{value}"{meaning}'
        if kind == INTEGER and len(content) <= 4:
            value = str(int.from_bytes(content, "big", signed=True))
            return f"{value} ({shape.names[value]})" if value in shape.names else value
        if kind == OBJECT_IDENTIFIER:
            return NAMES[oid_of(content)]
        if kind == BOOLEAN:
            return "TRUE" if content[0] else "FALSE"
        if kind == NULL:
            return "NULL"
        if shape.bits:
            flags = int.from_bytes(content[1:], "big")
            width = 8 * (len(content) - 1)
            return ", ".join(bit for place, bit in enumerate(shape.bits) if flags >> (width - 1 - place) & 1)
        size = len(content) - (kind == BIT_STRING)
        return f"({size} octets)" if size > OCTETS_A_LINE or not size else ""

    def _line(self, start: _Start, depth: int, text: str, shorter: str = "") -> Iterator[str]:
        """One line, or more when a text is long. shorter: what to say if the text needs more than one."""
        beginning = start.text(depth)
        room = WIDTH - len(beginning)
        if shorter and len(text) > room:
            text = shorter
        while len(text) > room:
            cut = text.rfind(" ", 0, room + 1)
            cut = cut if cut > 0 else room
            yield (beginning + text[:cut]).rstrip()
            text, beginning = text[cut:].lstrip(), " " * len(beginning)
        yield beginning + text


@dataclass(frozen=True)
class _Start:
    """The beginning of a line: an offset and what is there: tags, lengths, a short value."""

    offset: int
    headers: bytes

    def text(self, depth: int) -> str:
        """In columns."""
        return f"{self.offset:5d} {self.headers.hex():10} {' ' * depth}"


def _labels(name: str, tlv: Tlv, shape: Shape) -> tuple[str, str]:
    """A label with the type and one without it."""
    return _label(name, tlv, shape), name


def _label(name: str, tlv: Tlv, shape: Shape) -> str:
    """Field name, tag if it is a context-specific one, type."""
    tag = f"[{tlv.tag & 0x1F}]" if tlv.tag & 0x80 else ""
    kind = shape.name
    if isinstance(shape, ListOf) and not kind and not name and not tag:
        kind = "SET OF" if tlv.tag == SET else "SEQUENCE OF"
    if isinstance(shape, Tagged):
        kind = ""
    if not name and not kind and not tag:
        kind = _KINDS[tlv.tag]
    return " ".join(word for word in (name, tag, kind) if word)


def name_text(tlv: Tlv) -> str:
    """A Name in the manner of RFC 4514, in the order of the encoding."""
    found = []
    for rdn in tlv.children():
        for attribute in rdn.children():
            kind, value = attribute.children()
            found.append(f"{_RDN_NAMES[NAMES[oid_of(kind.content)]]}={value.content.decode()}")
    return ",".join(found)


def wrapped(text: str, indent: str = HEX_INDENT) -> list[str]:
    """Text in lines of at most WIDTH columns, broken at spaces."""
    lines, line = [], indent
    for word in text.split():
        if line.strip() and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = indent
        line += word if line == indent else f" {word}"
    return [*lines, line]
