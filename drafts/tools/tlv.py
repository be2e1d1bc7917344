"""DER as a tree of tags, lengths and values that know their place in a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONSTRUCTED = 0x20
BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 1, 2, 3, 4, 5, 6
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


@dataclass(frozen=True)
class Tlv:
    """One value. offset: of its tag in the message. header: tag and length. Only one-octet tags."""

    offset: int
    header: bytes
    content: bytes

    @property
    def tag(self) -> int:
        """The tag octet."""
        return self.header[0]

    @property
    def der(self) -> bytes:
        """The whole value."""
        return self.header + self.content

    @property
    def constructed(self) -> bool:
        """Whether the content is values."""
        return bool(self.tag & CONSTRUCTED)

    def children(self) -> Iterator[Tlv]:
        """The values of a constructed one."""
        if self.constructed:
            yield from parse_all(self.content, self.offset + len(self.header))

    def opened(self) -> Iterator[Tlv]:
        """The values in a string that holds DER; in a BIT STRING they come after the octet of unused bits."""
        skipped = 1 if self.tag == BIT_STRING else 0
        yield from parse_all(self.content[skipped:], self.offset + len(self.header) + skipped)


def parse_all(data: bytes, offset: int = 0) -> Iterator[Tlv]:
    """The values in `data`, the first of which is at `offset`. Raises ValueError for octets that are none."""
    position = 0
    while position < len(data):
        start, length = position + 2, data[position + 1] if position + 1 < len(data) else len(data)
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[position + 2 : start], "big")
        if start + length > len(data):
            raise ValueError(f"the value at offset {offset + position} is longer than what is there")
        yield Tlv(offset + position, data[position:start], data[start : start + length])
        position = start + length


def parse(data: bytes) -> Tlv:
    """Exactly one value. Raises ValueError."""
    (found,) = parse_all(data)
    return found


def oid_of(content: bytes) -> str:
    """The dotted form of an object identifier's content."""
    numbers, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
