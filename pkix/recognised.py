"""What stands in place of CMS, in words: base64, PEM, a form, a page, another structure, a message cut short.

Both sides make this mistake and see it made: a client that POSTs base64, a proxy that answers in HTML. `recognise`
looks at octets that could not be read, after the fact, and costs nothing while all is well. It goes by the outside
alone and believes nothing: what it says is advice. Whatever it is given must be public.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from pkix import oids
from pkix.asn1 import SEQUENCE_TAG, SET_TAG, Oid, decode
from pkix.errors import Malformed
from pkix.pem import pem_blocks

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")  # without white space
_BASE64_OF_DER = re.compile(rb"M[A-I]|LS0t")  # or of PEM
_MARKUP = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_FORM = re.compile(rb"[A-Za-z0-9_.-]{1,32}=")
_HEX = re.compile(rb"[0-9A-Fa-f]{16,}")  # without white space
_PERCENT = re.compile(rb"(?:[A-Za-z0-9+/_-]|%[0-9A-Fa-f]{2}){16,}")
_MIME = re.compile(rb"(mime-version|content-type|content-transfer-encoding):", re.IGNORECASE)
_CMS_LABELS = (b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA")
_CMS = {
    oids.SIGNED_DATA: "a SignedData",
    oids.ENVELOPED_DATA: "an EnvelopedData",
    oids.AUTH_ENVELOPED_DATA: "an AuthEnvelopedData",
}
_BASE64_TEXT, _FORM_TEXT, _OTHER_TEXT = "base64 text", "a form-encoded body", "text"
A_REQUEST_ALONE, A_CERTIFICATE_ALONE = "a PKCS #10 request alone", "a certificate alone"
A_PAGE = "an HTML page"
_GZIP = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_MARKS = (_UTF8_MARK, b"\xff\xfe", b"\xfe\xff")
_AS_DER = "send the DER octets as they are"
_ALONE = "send nothing behind it"
_BEFORE = "send nothing before it"
_MEMBERS = 8  # of a structure that are looked at
_LOOKED_AT = 64 * 1024  # octets of text that are examined
_TEXT = frozenset({9, 10, 12, 13, *range(32, 127)})


@dataclass(frozen=True)
class Wanted:
    """What should stand there. name: what texts call it. content_types: of its ContentInfo. whole: what to do if it is
    cut short.
    """

    name: str = "message"
    content_types: tuple[Oid, ...] = (oids.SIGNED_DATA,)
    whole: str = "send all of it; does Content-Length fit?"


MESSAGE = Wanted()
ENVELOPE = Wanted("ContentInfo", (oids.ENVELOPED_DATA, oids.AUTH_ENVELOPED_DATA), "send all of it")


@dataclass(frozen=True)
class Recognised:
    """what: such as "base64 text" or "an HTML page". advice: what to do about its form; may be empty. misplaced: it is
    another structure, of which the protocol says where it belongs.
    """

    what: str
    advice: str = ""
    misplaced: bool = False

    def text(self, begin: str, where: str, *, advise: bool = True) -> str:
        """A sentence. begin: before `what`. where: what the protocol says of another structure. advise: whether whoever
        reads it is the one who sent the octets.
        """
        advice = (self.advice, where if self.misplaced else "") if advise else ()
        return "; ".join(part for part in (f"{begin} {self.what}", *advice) if part)


def begins_as_der(octets: bytes) -> bool:
    """Whether the octets are a SEQUENCE, or the beginning of one, and no text. The tag of a SEQUENCE is the digit 0,
    but no whole structure of ours consists of printable characters.
    """
    return octets[:1] == bytes((SEQUENCE_TAG,)) and not (len(octets) >= 8 and _is_text(octets))


def recognise(octets: bytes, wanted: Wanted = MESSAGE) -> Recognised | None:
    """What the octets are, or None if they look like what is wanted, or nothing is known of them."""
    if begins_as_der(octets):
        return _structure(octets, wanted)
    behind = _behind(octets, wanted)
    if behind:
        return Recognised(behind, _BEFORE)
    if _is_outside(octets):
        return _outside(octets, wanted)
    return Recognised(f"something that begins with the octet {octets[0]:02x}, not with 30, that of a SEQUENCE", _AS_DER)


def text_form(octets: bytes) -> str | None:
    """Which text the octets are, such as "base64 text", or None if they are none."""
    return _text(octets) if octets.strip() and _is_text(octets) else None


def in_text(octets: bytes) -> bytes | None:
    """The DER in base64 text or in a PEM block, or None if there is none."""
    if begins_as_der(octets) or not _is_text(octets):
        return None
    block = next(iter(pem_blocks(octets)), None)
    found = _from_base64(b"".join((block[1] if block else octets).split()))
    return found if found is not None and begins_as_der(found) else None


def without_line_end(octets: bytes) -> bytes:
    """A structure of definite length without a line end that stands behind it; anything else as it is."""
    top = _header(octets, 0, len(octets)) if begins_as_der(octets) else None
    if top is None or top[2] is None or octets[top[2] :].strip(b"\r\n"):
        return octets
    return octets[: top[2]]


def no_base64(text: bytes) -> str | None:
    """What text is, if it is a form of its own and nothing to be given to a base64 decoder, even if that would take it:
    hex, PEM, JSON and others.
    """
    form = _form(text)
    return None if not text.strip() or form in (_BASE64_TEXT, _FORM_TEXT, _OTHER_TEXT) else form


def _behind(octets: bytes, wanted: Wanted) -> str | None:
    """A whole structure behind octets that belong to text."""
    marked = octets.startswith(_UTF8_MARK)
    rest = octets[len(_UTF8_MARK) :] if marked else octets.lstrip(b"\r\n\t ")
    top = _header(rest, 0, len(rest)) if rest[:1] == bytes((SEQUENCE_TAG,)) and not _is_text(rest) else None
    if top is None or top[2] not in (None, len(rest)):
        return None
    return f"a {wanted.name} of {len(rest)} octets behind {'a byte order mark' if marked else 'a line end or blanks'}"


def _is_outside(octets: bytes) -> bool:
    return not octets or octets.startswith((_GZIP, *_MARKS)) or _is_multipart(octets) or _is_text(octets)


def _is_multipart(octets: bytes) -> bool:
    """Whatever the parts hold."""
    return octets.startswith(b"--") and b"content-disposition:" in octets[:1024].lower()


def _outside(octets: bytes, wanted: Wanted) -> Recognised:
    form, misplaced = _form(octets), False
    label = _BEGIN.search(octets[:_LOOKED_AT])
    if form == _BASE64_TEXT:
        inside = _in_base64(b"".join(octets.split()), wanted)
        if inside is not None:
            form, misplaced = f"{form} of {inside.what}", inside.misplaced
    elif label and form.startswith("PEM"):
        misplaced = label[1] not in _CMS_LABELS
    return Recognised(form, _AS_DER, misplaced)


def _form(octets: bytes) -> str:
    """What no DER is, by its outside."""
    if not octets:
        return "empty"
    if octets.startswith(_GZIP):
        return "gzip-compressed data"
    if octets.startswith(_MARKS):
        rest = octets[len(_UTF8_MARK) :] if octets.startswith(_UTF8_MARK) else b""
        return f"{_text(rest) if rest and _is_text(rest) else _OTHER_TEXT} that begins with a byte order mark"
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
        return A_PAGE
    if text.startswith(b"<"):
        return "XML"
    if text[:1] in (b"{", b"["):
        return "JSON"
    if text[:1] == text[-1:] == b'"':
        return "a JSON string"
    if _MIME.match(text):
        return "an S/MIME message"
    if not text:
        return "white space alone"
    compact = b"".join(text.split())
    if _HEX.fullmatch(compact):
        return "hex text"
    # Words are made of the same letters; a + that became a blank stands in what begins as base64 of DER or PEM does.
    if _BASE64.fullmatch(compact) and (b" " not in text or _BASE64_OF_DER.match(text)):
        return _BASE64_TEXT
    if b"%" in compact and _PERCENT.fullmatch(compact):
        return "percent-encoded text"
    return _FORM_TEXT if _FORM.match(text) else _OTHER_TEXT


def _in_base64(text: bytes, wanted: Wanted) -> Recognised | None:
    """What base64 text holds; None if it is what is wanted, or nothing is known of it."""
    octets = _from_base64(text)
    if octets is None:
        return None
    if octets.startswith(b"-----BEGIN "):
        return _outside(octets, wanted)
    return _structure(octets, wanted) if octets[:1] == bytes((SEQUENCE_TAG,)) else None


def _from_base64(text: bytes) -> bytes | None:
    """text: without white space."""
    plain = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return None


def _structure(octets: bytes, wanted: Wanted) -> Recognised | None:
    """By the outer SEQUENCE's length, and by the first values in it."""
    name, whole = wanted.name, wanted.whole
    top = _header(octets, 0, len(octets))
    if top is None:
        return Recognised(f"the first {len(octets)} octets of a {name} that is cut short", whole)
    _tag, at, end = top
    if end is not None and end > len(octets):
        return Recognised(f"the first {len(octets)} octets of a {name} of {end}", whole)
    if end is not None and end < len(octets):
        rest = octets[end:]
        line_end = "" if rest.strip(b"\r\n") else ", a line end,"
        return Recognised(f"a {name} of {end} octets with {len(rest)} more{line_end} behind it", _ALONE)
    bare = _bare(octets, at, len(octets))
    if bare is not None:
        fits = bare in wanted.content_types
        advice = f"put it into a ContentInfo ({bare.dotted_string})" if fits else ""
        return Recognised(f"{_CMS[bare]} without its ContentInfo", advice, misplaced=not fits)
    found = _contents(octets, at, len(octets), wanted)
    return Recognised(found, misplaced=True) if found else None


def _members(octets: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """Tag, offset of the contents and of what is behind them of the first values; those of indefinite length end it."""
    found: list[tuple[int, int, int]] = []
    while at < end and len(found) < _MEMBERS:
        header = _header(octets, at, end)
        if header is None or header[2] is None or header[2] > end:
            break
        tag, inner, at = header[0], header[1], header[2]
        found.append((tag, inner, at))
    return found


def _bare(octets: bytes, at: int, end: int) -> Oid | None:
    """Which type of CMS has these members: version, a SET, and a SEQUENCE that begins with an OBJECT IDENTIFIER, which
    only in an envelope is followed by an AlgorithmIdentifier (RFC 5652 sections 5.1 and 6.1, RFC 5083 section 2.1).
    """
    members = [item for item in _members(octets, at, end) if item[0] != 0xA0]  # not the originatorInfo
    if [tag for tag, _inner, _end in members[:3]] != [0x02, SET_TAG, SEQUENCE_TAG]:
        return None
    info = [tag for tag, _inner, _end in _members(octets, members[2][1], members[2][2])]
    if info[:1] != [0x06]:
        return None
    if info[1:2] != [SEQUENCE_TAG]:
        return oids.SIGNED_DATA
    return oids.AUTH_ENVELOPED_DATA if 0x04 in [tag for tag, _inner, _end in members[3:]] else oids.ENVELOPED_DATA


def _contents(octets: bytes, at: int, end: int, wanted: Wanted) -> str | None:
    first = _header(octets, at, end)
    if first is None or first[2] is None or first[2] > end:
        return None
    tag, inner, next_at = first[0], first[1], first[2]
    if tag == 0x06:
        return _content_info(octets[at:next_at], wanted)
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
        return A_CERTIFICATE_ALONE
    if member[0] == 0x02:
        if second is not None and second[0] & 0xE0 == 0xA0:
            return "a PKIMessage of CMP (RFC 9810)"
        name = _header(octets, member[2], next_at)
        inner_tag = octets[name[1]] if name is not None and name[1] < next_at else 0
        return A_CERTIFICATE_ALONE if inner_tag == 0x06 else A_REQUEST_ALONE
    if member[0] == SEQUENCE_TAG:
        return "a PKIData of CMC (RFC 10002)"
    return None


def _content_info(kind: bytes, wanted: Wanted) -> str | None:
    try:
        found = decode(Oid, kind, "contentType")
    except Malformed:
        return None
    if found in wanted.content_types:
        return None
    if found in _CMS:
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
