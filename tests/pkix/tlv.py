"""A mutable tree of DER values: parse a valid message, change one thing, encode it again.

Written apart from `pkix.asn1`, so that a mistake there is not made twice. Only one-octet tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

CONSTRUCTED = 0x20


@dataclass
class Node:
    """One value: primitive with `content`, or constructed with `children`."""

    tag: int
    content: bytes = b""
    children: list[Node] | None = None

    @classmethod
    def parse(cls, der: bytes) -> Node:
        """The tree of exactly one value with definite lengths."""
        node, end = _read(der, 0, len(der))
        assert end == len(der), "octets follow the value"
        return node

    def der(self) -> bytes:
        """The value's DER; SETs are not sorted."""
        if self.children is None:
            return tlv(self.tag, self.content)
        return tlv(self.tag, *(child.der() for child in self.children))

    def copy(self) -> Node:
        """A tree that shares nothing with this one."""
        children = None if self.children is None else [child.copy() for child in self.children]
        return Node(self.tag, self.content, children)

    def __getitem__(self, index: int) -> Node:
        assert self.children is not None
        return self.children[index]

    def __setitem__(self, index: int, value: Node) -> None:
        assert self.children is not None
        self.children[index] = value

    def __delitem__(self, index: int) -> None:
        assert self.children is not None
        del self.children[index]

    def __len__(self) -> int:
        return len(self.children or ())

    def __iter__(self) -> Iterator[Node]:
        return iter(self.children or ())

    def insert(self, index: int, value: Node) -> None:
        """Put `value` before the child at `index`."""
        assert self.children is not None
        self.children.insert(index, value)

    def walk(self) -> Iterator[Node]:
        """This node and everything below it."""
        yield self
        for child in self:
            yield from child.walk()

    @property
    def tags(self) -> list[int]:
        """The children's tags."""
        return [child.tag for child in self]


def _read(data: bytes, at: int, limit: int) -> tuple[Node, int]:
    """The value at `at`, which must end at `limit` or before: a child that overlapped what follows its parent would be
    read again and again, twice as often with every level.
    """
    tag, first, start = data[at], data[at + 1], at + 2
    size = first
    if first >= 0x80:
        start += first & 0x7F
        size = int.from_bytes(data[at + 2 : start], "big")
    end = start + size
    assert end <= limit, "a value is longer than what it stands in"
    if not tag & CONSTRUCTED:
        return Node(tag, data[start:end]), end
    children = []
    while start < end:
        child, start = _read(data, start, end)
        children.append(child)
    return Node(tag, children=children), end


def tlv(tag: int, *parts: bytes) -> bytes:
    """DER of one value from its contents octets."""
    contents = b"".join(parts)
    return bytes((tag,)) + length(len(contents)) + contents


def length(size: int, octets: int = 0) -> bytes:
    """Definite length octets in the shortest form, or (BER) in the long form with this many octets."""
    if size < 0x80 and not octets:
        return bytes((size,))
    octets = octets or (size.bit_length() + 7) // 8
    return bytes((0x80 | octets,)) + size.to_bytes(octets, "big")


def integer(value: int) -> bytes:
    """DER of an INTEGER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def explicit(number: int, der: bytes) -> bytes:
    """[number] EXPLICIT, around the DER of one value."""
    return tlv(0xA0 | number, der)


class Choose(Protocol):
    """Draws an integer between two bounds, both included."""

    def __call__(self, low: int, high: int) -> int: ...


STRINGS = frozenset({0x03, 0x04, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1E})
"""String types whose BER may come in pieces."""


def to_ber(node: Node, choose: Choose) -> bytes:
    """A BER encoding of the tree: lengths indefinite or longer than needed, strings in pieces, as `choose` says."""
    if node.children is None:
        if node.tag in STRINGS and choose(0, 1):
            # The pieces of a character string or a time are OCTET STRINGs (X.690 8.23.6).
            return _in_pieces(node.tag, node.tag if node.tag == 0x03 else 0x04, node.content, choose, 0)
        return _with_length(node.tag, node.content, choose)
    parts = [to_ber(child, choose) for child in node.children]
    if node.tags == [0x06, 0x30, 0x80] and choose(0, 1):
        parts[2] = _in_pieces(0x80, 0x04, node.children[2].content, choose, 0)
    return _with_length(node.tag, b"".join(parts), choose)


def _with_length(tag: int, contents: bytes, choose: Choose) -> bytes:
    form = choose(0, 3)
    if form == 0 and tag & CONSTRUCTED:
        return bytes((tag, 0x80)) + contents + b"\x00\x00"
    octets = 4 + choose(0, 4) if form == 1 else 0
    return bytes((tag,)) + length(len(contents), octets) + contents


def _in_pieces(tag: int, piece_tag: int, content: bytes, choose: Choose, depth: int) -> bytes:
    """A constructed string; each piece may be constructed again. A BIT STRING's unused bits are its last piece's."""
    unused, octets = (content[:1], content[1:]) if piece_tag == 0x03 else (b"", content)
    count = choose(1, 3)
    cuts = sorted(choose(0, len(octets)) for _ in range(count - 1))
    bounds = [0, *cuts, len(octets)]
    pieces = []
    for number in range(count):
        part = octets[bounds[number] : bounds[number + 1]]
        if unused:
            part = (unused if number == count - 1 else b"\x00") + part
        if depth < 2 and choose(0, 3) == 0:
            pieces.append(_in_pieces(piece_tag, piece_tag, part, choose, depth + 1))
        else:
            pieces.append(_with_length(piece_tag, part, choose))
    return _with_length(tag | CONSTRUCTED, b"".join(pieces), choose)
