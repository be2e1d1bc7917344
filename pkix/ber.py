"""BER to DER, once, at the edge (X.690).

jscep, Bouncy Castle, Android and `openssl cms -stream` send indefinite lengths and constructed strings. `to_der`
rewrites definite DER lengths and joins the pieces of constructed strings; it does not sort SETs, because the
structures inside were signed in the order in which they stand, and it does not touch primitive contents.

One thing cannot be seen from the tags alone: a constructed [0] may be an EXPLICIT tag or an IMPLICIT OCTET STRING
in pieces. In CMS the second exists in one place, encryptedContent, which follows contentType and an
AlgorithmIdentifier; `_is_encrypted_content` recognises that place.

Left out: multi-octet tags, which nothing in CMS, PKCS #10 or X.509 uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kem.der_faults import Broken
from pkix.asn1 import decode, wrap
from pkix.errors import Malformed

T = TypeVar("T")

MAX_DEPTH = 32
MAX_VALUES = 20_000

_BIT_STRING = 0x03
_OCTET_STRING = 0x04
_CONSTRUCTED = 0x20
# BIT STRING, OCTET STRING, UTF8String, the restricted character strings, and the two times
_STRING_TAGS = frozenset({0x03, 0x04, 0x0C, *range(0x12, 0x1D), 0x1E})


def to_der(ber: bytes) -> bytes:
    """The same value with DER lengths and primitive strings; trailing octets are an error.

    Raises Malformed when the input is not BER, nests deeper than 32 or holds more than 20,000 values.
    """
    reader = _Reader(ber)
    der, end, _members = reader.value(0, 0)
    if end != len(ber):
        raise Malformed(f"{len(ber) - end} octets follow the message", Broken(ber, end))
    return der


def read_ber(read: Callable[[bytes], T], ber: bytes) -> T:
    """What `read` makes of DER; if it refuses, BER is normalised once and read again.

    The refusal may come from deep inside: some peers put BER into DER. Raises Malformed, with the first reason when
    normalising changes nothing.
    """
    try:
        return read(ber)
    except Malformed:
        der = to_der(ber)
        if der == ber:
            raise
    return read(der)


def decode_ber(cls: type[T], ber: bytes, what: str) -> T:
    """Decode one structure in DER or BER. Raises Malformed."""
    return read_ber(lambda octets: decode(cls, octets, what), ber)


class _Reader:
    """Walks one input; counts values so that a small message cannot cost much."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.values = 0

    def _broken(self, why: str, at: int) -> Malformed:
        return Malformed(why, Broken(self.data, at))

    def header(self, at: int) -> tuple[int, int | None, int]:
        """Tag, length (None: indefinite) and the offset of the contents."""
        data = self.data
        if at + 2 > len(data):
            raise self._broken("the message is cut short", at)
        start = at
        tag, first, at = data[at], data[at + 1], at + 2
        if tag & 0x1F == 0x1F:
            raise self._broken("a tag of more than one octet, which no structure here has", start)
        if first < 0x80:
            return tag, first, at
        if first == 0x80:
            if not tag & _CONSTRUCTED:
                raise self._broken("a primitive value has an indefinite length", start)
            return tag, None, at
        count = first & 0x7F
        if count > 8 or at + count > len(data):
            raise self._broken("a length does not fit the message", start)
        return tag, int.from_bytes(data[at : at + count], "big"), at + count

    def value(self, at: int, depth: int) -> tuple[bytes, int, list[bytes]]:
        """DER of the value at offset `at`, the offset behind it, and DER of the values inside if it is constructed."""
        self.values += 1
        if depth > MAX_DEPTH:
            raise Malformed(f"values nest deeper than {MAX_DEPTH}")
        if self.values > MAX_VALUES:
            raise Malformed(f"more than {MAX_VALUES} values")
        start = at
        tag, length, at = self.header(at)
        if tag & ~_CONSTRUCTED == 0:
            raise self._broken("end-of-contents octets stand where a value should be", start)
        if length is not None and at + length > len(self.data):
            raise self._broken("a value is longer than the message", start)
        if not tag & _CONSTRUCTED:
            assert length is not None
            return wrap(tag, self.data[at : at + length]), at + length, []
        members, inner, end = self.members(at, length, depth)
        if tag & ~_CONSTRUCTED in _STRING_TAGS:
            return _joined(tag & ~_CONSTRUCTED, members), end, []
        if _is_encrypted_content(members) and all(piece[0] == _OCTET_STRING for piece in inner):
            members[2] = _joined(0x80, inner)
        return wrap(tag, b"".join(members)), end, members

    def members(self, at: int, length: int | None, depth: int) -> tuple[list[bytes], list[bytes], int]:
        """DER of the values inside a constructed value whose contents start at `at`, DER of the values inside the
        last of them, and the offset behind.
        """
        last = at
        found: list[bytes] = []
        inner: list[bytes] = []
        end = None if length is None else at + length
        while True:
            if end is not None and at >= end:
                if at > end:
                    raise self._broken("a value is longer than what it stands in", last)
                return found, inner, at
            if end is None and self.data[at : at + 2] == b"\x00\x00":
                return found, inner, at + 2
            last = at
            der, at, inner = self.value(at, depth + 1)
            found.append(der)


def _is_encrypted_content(members: list[bytes]) -> bool:
    """EncryptedContentInfo with encryptedContent in pieces: OBJECT IDENTIFIER, SEQUENCE, constructed [0]."""
    return [member[0] for member in members] == [0x06, 0x30, 0xA0]


def _joined(tag: int, pieces: list[bytes]) -> bytes:
    """A primitive string from the DER pieces of a constructed one (X.690 8.6.4, 8.7.3, 8.23.6): BIT STRINGs of a
    BIT STRING, OCTET STRINGs or the same type of any other.
    """
    allowed = (_BIT_STRING,) if tag == _BIT_STRING else (tag, _OCTET_STRING)
    if any(piece[0] not in allowed for piece in pieces):
        raise Malformed("a piece of a string is not a string")
    contents = [_contents(piece) for piece in pieces]
    if tag != _BIT_STRING:
        return wrap(tag, b"".join(contents))
    if any(not part for part in contents):
        raise Malformed("a piece of a BIT STRING has no count of unused bits")
    if any(part[0] for part in contents[:-1]):
        raise Malformed("a piece of a BIT STRING other than the last has unused bits")
    unused = contents[-1][:1] if contents else b"\x00"
    return wrap(tag, unused + b"".join(part[1:] for part in contents))


def _contents(der: bytes) -> bytes:
    """Contents octets of a DER value made by `wrap`."""
    first = der[1]
    return der[2:] if first < 0x80 else der[2 + (first & 0x7F) :]
