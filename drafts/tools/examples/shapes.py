"""What the fields of a DER value are called: a small description of the ASN.1 types in SCEP messages.

A shape gives names to the parts of one TLV. It does not check anything beyond what it needs for that: the examples are
checked by being read by those whom they are for. What a shape does not cover raises NoShape, so that no field is named
by a guess.

    Leaf        a primitive value; `names` explains some of its values
    Sequence    SEQUENCE or SET with named fields; optional ones are told apart by their tags
    ListOf      SEQUENCE OF or SET OF
    Tagged      an EXPLICIT tag
    Containing  an OCTET STRING or BIT STRING whose octets are DER
    Defined     a type that an object identifier before it in the same SEQUENCE chooses
    Choice      by tag
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from drafts.tools.examples.names import NAMES
from drafts.tools.tlv import OBJECT_IDENTIFIER, Tlv, oid_of


class NoShape(Exception):
    """A value that the shapes do not describe."""


@dataclass(frozen=True)
class Part:
    """One value inside another. name: of the field, may be empty."""

    name: str
    tlv: Tlv
    shape: Shape


@dataclass(frozen=True)
class Leaf:
    """kind: the ASN.1 type, for implicit tags. names: what some values mean. bits: names of a BIT STRING's bits."""

    kind: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    bits: tuple[str, ...] = ()
    name: str = ""

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """None."""
        return iter(())


@dataclass(frozen=True)
class Field:
    """tag: which tag it has; None for any, which an optional field cannot have."""

    name: str
    shape: Shape
    tag: int | None = None


@dataclass(frozen=True)
class Sequence:
    """Fields in order; one whose tag does not fit is taken to be absent."""

    name: str
    fields: tuple[Field, ...]

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """Its fields. Raises NoShape."""
        left, oid = list(self.fields), ""
        for child in tlv.children():
            while left and left[0].tag not in (None, child.tag):
                left.pop(0)
            if not left:
                raise NoShape(f"{self.name}: no field fits tag {child.tag:02x} at offset {child.offset}")
            found = left.pop(0)
            shape = found.shape
            if isinstance(shape, Defined):
                shape = shape.choose(oid, self.name)
            if child.tag == OBJECT_IDENTIFIER:
                oid = NAMES.get(oid_of(child.content), "")
            yield Part(found.name, child, shape)


@dataclass(frozen=True)
class ListOf:
    """Any number of one type."""

    name: str
    item: Shape

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """Its members."""
        return (Part("", child, self.item) for child in tlv.children())


@dataclass(frozen=True)
class Tagged:
    """EXPLICIT."""

    item: Shape
    name: str = ""

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """The value under the tag."""
        return (Part("", child, self.item) for child in tlv.children())


@dataclass(frozen=True)
class Containing:
    """OCTET STRING or BIT STRING CONTAINING."""

    item: Shape
    name: str = ""

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """The value inside."""
        return (Part("", child, self.item) for child in tlv.opened())


@dataclass(frozen=True)
class Defined:
    """table: shapes by the names of `drafts.tools.examples.names`."""

    table: Mapping[str, Shape]
    name: str = ""

    def choose(self, oid: str, where: str) -> Shape:
        """Raises NoShape."""
        if oid not in self.table:
            raise NoShape(f"{where}: no shape for what {oid or 'an unknown OID'} chooses")
        return self.table[oid]

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """Only reached without a SEQUENCE around it, which is a mistake in `drafts.tools.examples.schema`."""
        raise NoShape("a Defined shape outside of a Sequence")


@dataclass(frozen=True)
class Choice:
    """alternatives: (name, shape) by tag."""

    alternatives: Mapping[int, tuple[str, Shape]]
    name: str = ""

    def of(self, tlv: Tlv) -> tuple[str, Shape]:
        """The alternative that a value is. Raises NoShape."""
        if tlv.tag not in self.alternatives:
            raise NoShape(f"{self.name}: no alternative has tag {tlv.tag:02x}")
        return self.alternatives[tlv.tag]

    def parts(self, tlv: Tlv) -> Iterator[Part]:
        """Those of the alternative."""
        return self.of(tlv)[1].parts(tlv)


Shape = Leaf | Sequence | ListOf | Tagged | Containing | Defined | Choice
