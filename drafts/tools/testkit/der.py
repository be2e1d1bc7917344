"""A mutable tree of DER values: parse a correct one, spoil one thing, encode it again. One-octet tags only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drafts.tools.tlv import Tlv, parse
from pkix.asn1 import Oid, encode, wrap

NULL = b"\x05\x00"


@dataclass
class Node:
    """One value: primitive with `content`, or constructed with `children`."""

    tag: int
    content: bytes = b""
    children: list[Node] | None = None

    @classmethod
    def parse(cls, der: bytes) -> Node:
        """The tree of exactly one value with definite lengths. Raises ValueError."""
        return cls._of(parse(der))

    @classmethod
    def _of(cls, value: Tlv) -> Node:
        if not value.constructed:
            return cls(value.tag, value.content)
        return cls(value.tag, children=[cls._of(child) for child in value.children()])

    def der(self) -> bytes:
        """The value's DER; SETs are not sorted."""
        if self.children is None:
            return wrap(self.tag, self.content)
        return wrap(self.tag, b"".join(child.der() for child in self.children))

    def __getitem__(self, index: int) -> Node:
        return self._members[index]

    def __setitem__(self, index: int, value: Node) -> None:
        self._members[index] = value

    def __delitem__(self, index: int) -> None:
        del self._members[index]

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._members)

    def insert(self, index: int, value: Node) -> None:
        """Put `value` before the child at `index`."""
        self._members.insert(index, value)

    @property
    def _members(self) -> list[Node]:
        if self.children is None:
            raise ValueError(f"a primitive value with tag {self.tag:#x}")
        return self.children


def node(der: bytes) -> Node:
    """Shorter than Node.parse."""
    return Node.parse(der)


def sequence(*parts: bytes) -> bytes:
    """DER SEQUENCE."""
    return wrap(0x30, b"".join(parts))


def bit_string(octets: bytes) -> bytes:
    """DER BIT STRING of whole octets."""
    return wrap(0x03, b"\x00" + octets)


def scheme(oid: Oid | str, parameters: bytes = b"") -> bytes:
    """DER AlgorithmIdentifier; parameters absent by default."""
    return sequence(encode(Oid(oid) if isinstance(oid, str) else oid), parameters)


def printable(text: str) -> bytes:
    """DER PrintableString, whatever is in it."""
    return wrap(0x13, text.encode())


def octets(value: bytes) -> bytes:
    """DER OCTET STRING."""
    return wrap(0x04, value)


def attribute(oid: Oid, *values: bytes) -> bytes:
    """DER Attribute with these values, in DER order."""
    return sequence(encode(oid), wrap(0x31, b"".join(sorted(values))))


def flipped(value: bytes, at: int = -1) -> bytes:
    """One bit of one octet changed, by default in the last."""
    found = bytearray(value)
    found[at] ^= 1
    return bytes(found)
