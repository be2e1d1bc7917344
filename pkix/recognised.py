"""What arrived in place of DER CMS, in words: base64, PEM, a form, a page, another structure, a message cut short.

Both sides make this mistake and see it made: a client that POSTs base64, a proxy that answers in HTML. `recognise`
looks at octets that could not be read, after the fact, and costs nothing while all is well. It goes by the outside
alone and believes nothing: what it says is advice.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from pkix import oids
from pkix.asn1 import SEQUENCE_TAG, Oid, decode
from pkix.errors import Malformed

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")  # without white space
_MARKUP = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_FORM = re.compile(rb"[A-Za-z0-9_.-]{1,32}=")
_ENVELOPES = (oids.ENVELOPED_DATA, oids.AUTH_ENVELOPED_DATA)
A_REQUEST_ALONE = "a PKCS #10 request alone"
_GZIP = b"\x1f\x8b"
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_AS_DER = "send the DER octets as they are"
_WHOLE = "send all of it; does Content-Length fit?"
_ALONE = "send nothing behind it"
_LOOKED_AT = 64 * 1024  # octets of text that are examined
_TEXT = frozenset({9, 10, 12, 13, *range(32, 127)})


@dataclass(frozen=True)
class Recognised:
    """what: such as "base64 text" or "an HTML page". advice: what to send instead; empty for DER of another structure,
    of which the protocol says where it belongs.
    """

    what: str
    advice: str = ""


def recognise(octets: bytes) -> Recognised | None:
    """What the octets are, or None if nothing is known of them."""
    # The tag of a SEQUENCE is the digit 0, but no whole structure of ours consists of printable characters.
    if octets[:1] == bytes((SEQUENCE_TAG,)) and not (len(octets) >= 8 and _is_text(octets)):
        return _structure(octets)
    return Recognised(_outside(octets), _AS_DER) if _is_outside(octets) else None


def _is_outside(octets: bytes) -> bool:
    return not octets or octets.startswith((_GZIP, *_MARKS)) or _is_multipart(octets) or _is_text(octets)


def _is_multipart(octets: bytes) -> bool:
    """Whatever the parts hold."""
    return octets.startswith(b"--") and b"content-disposition:" in octets[:1024].lower()


def _outside(octets: bytes) -> str:
    if not octets:
        return "empty"
    if octets.startswith(_GZIP):
        return "gzip-compressed data"
    if octets.startswith(_MARKS):
        return "text that begins with a byte order mark"
    return _text(octets)


def _is_text(octets: bytes) -> bool:
    return set(octets[:_LOOKED_AT]) <= _TEXT or bool(_MARKUP.search(octets[:1024]))


def _text(octets: bytes) -> str:
    text = octets[:_LOOKED_AT].strip()
    label = _BEGIN.search(text)
    if _is_multipart(text):
        return "a multipart/form-data body"
    if label:
        return f"PEM ({label[1].decode('ascii')})"
    if _MARKUP.search(text[:1024]):
        return "an HTML page"
    if text.startswith(b"<"):
        return "XML"
    if text[:1] in (b"{", b"["):
        return "JSON"
    if not text:
        return "white space alone"
    if _BASE64.fullmatch(b"".join(text.split())):
        inside = _decoded(b"".join(octets.split()))
        return "base64 text" + (f" of {inside}" if inside else "")
    return "a form-encoded body" if _FORM.match(text) else "text"


def _decoded(text: bytes) -> str | None:
    """What base64 text holds; None if nothing is known of it."""
    plain = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        octets = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return None
    found = _structure(octets) if octets[:1] == bytes((SEQUENCE_TAG,)) else None
    return found.what if found else None


def _structure(octets: bytes) -> Recognised | None:
    """By the outer SEQUENCE's length, and by the first values in it."""
    top = _header(octets, 0, len(octets))
    if top is None:
        return Recognised(f"the first {len(octets)} octets of a message that is cut short", _WHOLE)
    _tag, at, end = top
    if end is not None and end > len(octets):
        return Recognised(f"the first {len(octets)} octets of a message of {end}", _WHOLE)
    if end is not None and end < len(octets):
        rest = octets[end:]
        line_end = "" if rest.strip(b"\r\n") else ", a line end,"
        return Recognised(f"a message of {end} octets with {len(rest)} more{line_end} behind it", _ALONE)
    found = _contents(octets, at, len(octets))
    return Recognised(found) if found else None


def _contents(octets: bytes, at: int, end: int) -> str | None:
    first = _header(octets, at, end)
    if first is None or first[2] is None or first[2] > end:
        return None
    tag, inner, next_at = first[0], first[1], first[2]
    if tag == 0x06:
        return _content_info(octets[at:next_at])
    second = _header(octets, next_at, end)
    if tag == 0x02 and second is not None:  # PFX ::= version 3, ContentInfo; PKCS #8 ::= version, algorithm
        authenticated = octets[inner:next_at] == b"\x03"
        return "a PKCS #12 file" if authenticated else "a structure that begins with a number, such as a private key"
    if tag != SEQUENCE_TAG:
        return None
    member = _header(octets, inner, next_at)
    if member is None or member[2] is None:
        return None
    if member[0] == 0xA0:
        return "a certificate alone"
    if member[0] == 0x02:
        if second is not None and second[0] & 0xE0 == 0xA0:
            return "a PKIMessage of CMP (RFC 9810)"
        name = _header(octets, member[2], next_at)
        inner_tag = octets[name[1]] if name is not None and name[1] < next_at else 0
        return "a certificate alone" if inner_tag == 0x06 else A_REQUEST_ALONE
    if member[0] == SEQUENCE_TAG:
        return "a PKIData of CMC (RFC 10002)"
    return None


def _content_info(kind: bytes) -> str | None:
    try:
        found = decode(Oid, kind, "contentType")
    except Malformed:
        return None
    if found in _ENVELOPES:
        return f"{oids.name(found)} alone"
    if found == oids.DATA:
        return "a ContentInfo with data"
    return None


def _header(octets: bytes, at: int, end: int) -> tuple[int, int, int | None] | None:
    """Tag, offset of the contents and of what is behind them (None: indefinite length); None if it is cut off."""
    if at + 2 > end:
        return None
    tag, first, at = octets[at], octets[at + 1], at + 2
    if first == 0x80:
        return tag, at, None
    if first < 0x80:
        return tag, at, at + first
    count = first & 0x7F
    if count > 4 or at + count > end:
        return None
    return tag, at + count, at + count + int.from_bytes(octets[at : at + count], "big")
