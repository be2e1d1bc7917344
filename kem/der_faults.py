"""Where octets depart from the structure that they should be: the field, its offset, and what belongs there.

The library that decodes refuses, and does not say where. `find_fault` walks the same declaration afterwards, to tell
the peer's engineer. It decides nothing, and what it says holds no octet of the input, which may be a private key. Its
time depends on the input: whatever nobody may learn from a time is not given to it.
"""

from __future__ import annotations

import functools
import typing
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast

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
)
from cryptography.x509 import ObjectIdentifier as Oid

_PRIMITIVES: dict[Any, tuple[int, str]] = {
    bool: (0x01, "a BOOLEAN"),
    int: (0x02, "an INTEGER"),
    BitString: (0x03, "a BIT STRING"),
    bytes: (0x04, "an OCTET STRING"),
    Null: (0x05, "NULL"),
    Oid: (0x06, "an OBJECT IDENTIFIER"),
    str: (0x0C, "a UTF8String"),
    PrintableString: (0x13, "a PrintableString"),
    UTCTime: (0x17, "a UTCTime"),
    GeneralizedTime: (0x18, "a GeneralizedTime"),
}
_SEQUENCE, _SET = 0x30, 0x31
_CONTEXT, _CONSTRUCTED = 0x80, 0x20
_EXPLICIT, _IMPLICIT, _DEFAULT = (cast("type[Any]", note) for note in (Explicit, Implicit, Default))
_MOST_VALUES = 4096  # that are walked over; no message of ours has so many fields


@dataclass(frozen=True)
class Fault:
    """path: the names of the fields, joined by dots; empty for the whole. offset: of the first octet of what is wrong,
    in octets from the beginning of the structure. why: what is wrong with it.
    """

    path: str
    offset: int
    why: str


@dataclass(frozen=True)
class Undecoded:
    """Octets that are no DER of a declared class or primitive type."""

    kind: Any
    octets: bytes

    def explain(self, whole: bytes = b"", name: str = "message") -> str:
        """What is wrong where, or "". whole: what the octets were read from, such as the message that arrived, and its
        name. If they are there in one place, offsets count from its beginning, as `openssl asn1parse` prints them.
        """
        fault = find_fault(self.kind, self.octets)
        if fault is None:
            return ""
        begin = f"{fault.path}, " if fault.path else ""
        return f"{begin}at {_offset(self.octets, fault.offset, whole, name)}, {fault.why}"


@dataclass(frozen=True)
class Broken:
    """Octets that are broken at a known offset."""

    octets: bytes
    offset: int

    def explain(self, whole: bytes = b"", name: str = "message") -> str:
        """Where, as `Undecoded.explain` has it."""
        return f"at {_offset(self.octets, self.offset, whole, name)}"


def _offset(structure: bytes, offset: int, whole: bytes, name: str) -> str:
    """Octets that are there twice, such as NULL, may be broken in either place: then in the structure alone."""
    begin = whole.find(structure) if structure else -1
    if begin < 0 or whole.find(structure, begin + 1) >= 0:
        return f"offset {offset} of the structure"
    return f"offset {begin + offset} of the {name}"


@dataclass(frozen=True)
class _Tagging:
    """[number] EXPLICIT or IMPLICIT."""

    number: int
    explicit: bool


class _Found(Exception):
    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(path)
        self.fault = Fault(path, offset, why)


def find_fault(kind: Any, octets: bytes) -> Fault | None:
    """The first octet at which they stop to be DER of `kind`, as far as its declaration goes: a TLV may be any value.

    None if nothing is found, also in a structure of too many values.
    """
    walk = _Walk(octets)
    try:
        walk.value("", kind, 0, len(octets))
        walk.end("", walk.at, len(octets))
    except _Found as found:
        return found.fault
    except _TooMuch:
        return None
    return None


class _TooMuch(Exception):
    """More values than anybody wants to walk over."""


class _Walk:
    """at: where the walk is."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0
        self._left = _MOST_VALUES

    def value(self, path: str, kind: Any, start: int, stop: int) -> None:
        """One value of this kind, of which `stop` is the latest end."""
        kind, tagging = _chosen(*_bare(kind), self.octets[start] if start < stop else -1)
        allowed = _tags(kind, tagging)
        content, end = self._header(path, start, stop)
        if allowed is not None and self.octets[start] not in allowed:
            raise _Found(path, start, f"should be {_name(kind, tagging)}")
        if tagging is not None and tagging.explicit:
            self.value(path, kind, content, end)
            self.end(path, self.at, end)
        else:
            self._content(path, kind, start, content, end)
        self.at = end

    def end(self, path: str, at: int, stop: int) -> None:
        """Nothing is left before `stop`."""
        if at != stop:
            raise _Found(path, at, "should end")

    def _header(self, path: str, start: int, stop: int) -> tuple[int, int]:
        """Where the content begins and ends (X.690 section 8.1.3, in the one form of DER)."""
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if start >= stop:
            raise _Found(path, start, "is missing")
        at = start + 1
        if self.octets[start] & 0x1F == 0x1F:
            while at < stop and self.octets[at] & 0x80:
                at += 1
            at += 1
        if at >= stop:
            raise _Found(path, start, "ends before its length")
        size, at = self.octets[at], at + 1
        if size >= 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(self.octets[at : at + count], "big"), at + count
            if not count or size < 0x80 or size >> 8 * (count - 1) == 0:
                raise _Found(path, start, "has a length that is not in the form of DER")
        if at + size > stop:
            raise _Found(path, start, "says that it has more octets than there are")
        return at, at + size

    def _content(self, path: str, kind: Any, start: int, content: int, end: int) -> None:
        if kind in _PRIMITIVES:
            tag, name = _PRIMITIVES[kind]
            try:
                decode_der(kind, bytes((tag,)) + self.octets[start + 1 : end])
            except (ValueError, OverflowError):
                raise _Found(path, start, f"is not a valid value of {name}") from None
        elif typing.get_origin(kind) in (list, SetOf):
            (member,), number, self.at = typing.get_args(kind), 0, content
            while self.at < end:
                self.value(f"{path}[{number}]", member, self.at, end)
                number += 1
        elif kind is not TLV:
            self._fields(path, kind, content, end)

    def _fields(self, path: str, kind: Any, content: int, end: int) -> None:
        self.at = content
        for name, declared in _declared(kind).items():
            below = f"{path}.{name}" if path else name
            inner, tagging = _bare(declared)
            allowed = _tags(inner, tagging)
            here = self.octets[self.at] if self.at < end else -1
            if _may_be_left_out(declared) and (here < 0 or (allowed is not None and here not in allowed)):
                continue
            self.value(below, declared, self.at, end)
        self.end(path, self.at, end)


@functools.cache
def _declared(kind: Any) -> dict[str, Any]:
    """The fields of a declared class, by their names in ASN.1."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {_name_in_asn1(field.name): hints[field.name] for field in fields(kind)}


def _name_in_asn1(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _bare(kind: Any) -> tuple[Any, _Tagging | None]:
    """A kind without what is written around it, and its tagging."""
    tagging = None
    if typing.get_origin(kind) is Annotated:
        kind, *notes = typing.get_args(kind)
        for note in notes:
            if isinstance(note, (_EXPLICIT, _IMPLICIT)):
                tagging = _Tagging(note._0, isinstance(note, _EXPLICIT))
    variants = _variants(kind)
    return (variants[0] if len(variants) == 1 else kind), tagging


def _variants(kind: Any) -> list[Any]:
    """The kinds of a CHOICE or OPTIONAL; the kind itself if it is neither."""
    if typing.get_origin(kind) not in (Union, UnionType):
        return [kind]
    return [item for item in typing.get_args(kind) if item is not NoneType]


def _may_be_left_out(kind: Any) -> bool:
    if typing.get_origin(kind) is Annotated:
        inner, *notes = typing.get_args(kind)
        return any(isinstance(note, _DEFAULT) for note in notes) or _may_be_left_out(inner)
    return NoneType in typing.get_args(kind)


def _chosen(kind: Any, tagging: _Tagging | None, tag: int) -> tuple[Any, _Tagging | None]:
    """Of a CHOICE, the variant with this tag, and its tagging; whatever else it is, itself."""
    for variant in _variants(kind) if tagging is None else ():
        inner, its = _bare(variant)
        allowed = _tags(inner, its)
        if allowed is None or tag in allowed:
            return inner, its
    return kind, tagging


def _tags(kind: Any, tagging: _Tagging | None) -> frozenset[int] | None:
    """The identifier octets that a value may begin with; None for any."""
    if tagging is not None:
        primitive = kind in _PRIMITIVES and not tagging.explicit
        return frozenset((_CONTEXT | tagging.number | (0 if primitive else _CONSTRUCTED),))
    variants = _variants(kind)
    if len(variants) > 1:
        each = [_tags(*_bare(variant)) for variant in variants]
        return None if None in each else frozenset().union(*(tags for tags in each if tags is not None))
    if kind is TLV:
        return None
    if kind in _PRIMITIVES:
        return frozenset((_PRIMITIVES[kind][0],))
    return frozenset((_SET if typing.get_origin(kind) is SetOf else _SEQUENCE,))


def _name(kind: Any, tagging: _Tagging | None) -> str:
    """What belongs there, in words."""
    if tagging is not None:
        return f"[{tagging.number}]"
    variants = _variants(kind)
    if len(variants) > 1:
        return " or ".join(dict.fromkeys(_name(*_bare(variant)) for variant in variants))
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind][1]
    return "a SET" if typing.get_origin(kind) is SetOf else "a SEQUENCE"
