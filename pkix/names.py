"""When two names are the same name, RFC 5280 section 7.1 with the string preparation of RFC 4518, and names as text.

Text has the form of RFC 4514, the last relative distinguished name first, with the keywords of `pkix.attribute_types`.
What people write is read more widely: quotation marks (RFC 2253), and OpenSSL's /O=Example/CN=device, the first first.
"""

from __future__ import annotations

import functools
import re
import unicodedata
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.name import _ASN1Type

from pkix.asn1 import SEQUENCE_TAG, SET_TAG, TLV, Oid, any_of, elements, parse, reason, tag_of
from pkix.attribute_types import BIT_STRING, KEYWORDS, STRING_CODECS, attribute_oid
from pkix.errors import Malformed, cited
from pkix.extensions import as_pkcs10

# Default_Ignorable_Code_Point of Unicode 15 without those of category Cf, what RFC 4518 section 2.2 has beside it, and
# others that have no shape of their own.
_IGNORABLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer vowels that are inherent
    (0x1806, 0x1806),  # Mongolian soft hyphen
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x2065, 0x2065),
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # Hangul filler of half the width
    (0xFFF0, 0xFFF8),
    (0xFFFC, 0xFFFC),  # object replacement character
    (0x1107F, 0x1107F),  # Brahmi number joiner
    (0x13430, 0x13440),  # Egyptian hieroglyph format controls
    (0x16FE4, 0x16FE4),  # Khitan small script filler
    (0x1BC9D, 0x1BC9D),  # Duployan thick letter selector
    (0x1D159, 0x1D159),  # musical null notehead
    (0xE0000, 0xE0FFF),  # tags and variation selectors
)
_BLANKS = "\u2800\U00013441\U00013442"  # Braille, Egyptian hieroglyphs
# Signs that join letters of their own script, and show nothing where there is none beside them: those that Unicode's
# Indic_Syllabic_Category calls Invisible_Stacker, letters that become a mark of the next one, and the like.
_JOINERS = (
    "\u1039\u17d2\u1a60\u1bab\u2d7f\uaaf6\U00010a3f\U00011133\U000113d0\U000113d1\U0001193e\U00011941"
    "\U00011a47\U00011a99\U00011d45\U00011d46\U00011d97\U00011f02\U00011f42"
)
_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", "+": "\\+"})
_OCTETS = "\x01"  # before a value that is no text; no prepared text holds it
_MAX_COMPARED = 4096  # octets of a Name; no name of ours is longer, and a longer one of a peer costs time
# Characters of a value. Normalising puts combining marks in order, in a time that grows with their number's square.
_MAX_PREPARED = 512
_LONG = "\x02"  # before a value that is longer; no prepared text holds it

# A part of a name as people write it: the keyword, the value as far as it is not escaped, and what follows it. A value
# in quotation marks may hold what else separates. Blanks around it are those of ASCII: `name_text` escapes no other,
# and what follows them may begin with #.
_BLANK = r"[ \t\r\n]*+"
_KEYWORD = rf"{_BLANK}([A-Za-z0-9.-]++){_BLANK}={_BLANK}"
_QUOTED = r'"(?:\\.|[^\\"])*+"'


def _value(ends: str) -> str:
    """A value up to one of the signs, without the blanks at its end. Possessive, so that none takes long to read."""
    return rf"(?:\\.|[^\\ \t\r\n{ends}]|[ \t\r\n]++(?![{ends}]|\Z))*+"


_COMMAS = re.compile(rf"{_KEYWORD}({_QUOTED}|{_value(',+;')}){_BLANK}([,+;]|\Z)", re.DOTALL)
_SLASHES = re.compile(rf"{_KEYWORD}({_value('/+')}){_BLANK}([/+]|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)


class UnknownKeyword(Malformed):
    """A part of a name that begins with no keyword of `pkix.attribute_types`. word: what it begins with."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no attribute {cited(word)}")
        self.word = word


def comparable(name: x509.Name) -> str:
    """A text that two names have in common if and only if they are the same name.

    Neither case nor string type, nor blanks at the ends or in a row, nor characters that nobody sees make a difference;
    the order of relative distinguished names does, that of the attributes inside one does not.
    """
    return ",".join("+".join(sorted(_attribute(item) for item in rdn)) for rdn in name.rdns)


def comparable_der(der: bytes) -> str | None:
    """The same for a DER Name as a peer wrote it, None for what is none, or too long for one of ours."""
    return None if len(der) > _MAX_COMPARED else _comparable_der(der)


@functools.lru_cache(maxsize=256)
def _comparable_der(der: bytes) -> str | None:
    """Remembered, because the name in a message is compared with that of each certificate there."""
    try:
        return ",".join("+".join(sorted(_of_der(*attribute) for attribute in rdn)) for rdn in rdns_of(der, "Name"))
    except (Malformed, UnicodeDecodeError):
        return None


def rdns_of(der: bytes, what: str) -> list[list[tuple[TLV, TLV]]]:
    """Type and value of each attribute in each relative distinguished name of a DER Name. what: begins the text of
    errors. Raises Malformed.
    """
    return [
        [_type_and_value(attribute, what) for attribute in _members(rdn, SET_TAG, what)]
        for rdn in _members(any_of(der), SEQUENCE_TAG, what, least=0)
    ]


def _type_and_value(attribute: TLV, what: str) -> tuple[TLV, TLV]:
    found = _members(attribute, SEQUENCE_TAG, what)
    if len(found) != 2:
        raise Malformed(f"{what}: an attribute is not a type and a value")
    return found[0], found[1]


def _members(value: TLV, tag: int, what: str, *, least: int = 1) -> list[TLV]:
    if tag_of(value) != tag:
        raise Malformed(f"{what}: it is no Name")
    found = elements(value)
    if len(found) < least:
        raise Malformed(f"{what}: a RelativeDistinguishedName without attribute (RFC 5280 A.1)")
    return found


def same_name(one: bytes, other: bytes) -> bool:
    """Whether two DER Names are the same name. Equal octets are, whatever they are."""
    if one == other:
        return True
    compared = comparable_der(one)
    return compared is not None and compared == comparable_der(other)


def is_meant(written: x509.Name, name: x509.Name) -> bool:
    """Whether a name is the one that somebody has written down.

    RFC 4514 writes the last relative distinguished name first, and strongSwan and OpenSSL the first. A text does not
    say by which of the two it was written, so both are meant.
    """
    found = comparable(name)
    return found in (comparable(written), comparable(x509.Name(written.rdns[::-1])))


def _of_der(kind: TLV, value: TLV) -> str:
    oid, tag, octets = parse(kind, Oid, "attribute type"), tag_of(value), bytes(value.data)
    codec = STRING_CODECS.get(tag)
    if codec is None and tag != BIT_STRING:  # which no x509.Name has
        return f"{oid.dotted_string}={_OCTETS}{tag:02x}:{octets.hex()}"
    return _compared(oid, octets if codec is None else octets.decode(codec))


def _attribute(item: x509.NameAttribute[str | bytes]) -> str:
    return _compared(item.oid, item.value)


def _compared(kind: Oid, value: str | bytes) -> str:
    text = _OCTETS + value.hex() if isinstance(value, bytes) else prepared(value).translate(_ESCAPES)
    return f"{kind.dotted_string}={text}"


def read_name(der: bytes, what: str) -> x509.Name:
    """A DER Name. what: begins the error's text. Raises Malformed."""
    try:
        # Of lengths, which are for `pkix.subjects`, the library would warn.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            return as_pkcs10(der).subject
    except (ValueError, TypeError) as error:
        raise Malformed(f"{what}: unusable name: {reason(error)}") from None


def name_text(name: x509.Name) -> str:
    """A name for people, rules and the Store: `CN=device,O=Example`, as RFC 4514 has it."""
    return name.rfc4514_string(KEYWORDS)


def attribute_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    """A value as rules see it: its text, or # and the octets of a BIT STRING in hex."""
    return attribute.value if isinstance(attribute.value, str) else f"#{attribute.value.hex()}"


def parse_name(text: str) -> x509.Name:
    """A name from text as `name_text` writes it, or as people do.

    Keywords may be in any case, and blanks stand around = and commas. A value in quotation marks may hold commas. What
    begins with / is as OpenSSL writes it: parts follow a /, the first part of the name first.

    Every value becomes a UTF8String, or what its attribute has to be; whether a certificate may carry it is for
    `pkix.subjects` to say. Raises Malformed, and UnknownKeyword, with the part that is wrong.
    """
    slashes = text.lstrip().startswith("/")
    between, at = ("/", text.index("/") + 1) if slashes else (",", 0)
    rdns: list[list[x509.NameAttribute[str | bytes]]] = [[]]
    while True:
        part = (_SLASHES if slashes else _COMMAS).match(text, at)
        if part is None:
            raise Malformed(_part_fault(text[at:], between))
        word, value, end = part.groups()
        attribute = _written(word, value if slashes else _unquoted(value))
        if any(attribute.oid == other.oid for other in rdns[-1]):
            raise Malformed(f"{word} is there twice in one part, joined by +")
        rdns[-1].append(attribute)
        at = part.end()
        if end == ";":
            raise Malformed(
                f"an unescaped ; behind {cited(part[0][:-1].strip())}; write , between parts, \\; in a value"
            )
        if not end:
            return x509.Name(list(map(x509.RelativeDistinguishedName, rdns if slashes else reversed(rdns))))
        if end == between:
            rdns.append([])


def _part_fault(rest: str, between: str) -> str:
    """What is wrong where no part begins. between: the sign between parts."""
    part = (re.split(r"[/+]", rest) if between == "/" else re.split(r"[,+;]", rest))[0].strip()
    if not part:
        return f"a part is empty: a {between} or + too many"
    if "=" not in part:
        return f"{cited(part)} has no =; a {between} or + in a value is written \\{between} or \\+"
    word = part.partition("=")[0].strip()
    if not re.fullmatch(r"[A-Za-z0-9.-]+", word):
        return f"{cited(part)} begins with neither a keyword nor an OID"
    return "a \\ at the end escapes nothing"


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    if len(value) < 2 or not re.fullmatch(_QUOTED, value, re.DOTALL):
        raise Malformed(f"{cited(value)} begins with a quotation mark, and does not end with the next one")
    return f"\\{value[1:-1]}" if value[1] == "#" else value[1:-1]


def _written(word: str, value: str) -> x509.NameAttribute[str | bytes]:
    try:
        kind = attribute_oid(word)
    except ValueError:
        raise UnknownKeyword(word) from None
    if not value:
        raise Malformed(f"{word} has no value")
    if value.startswith("#"):
        if kind != x509.NameOID.X500_UNIQUE_IDENTIFIER:
            raise Malformed(f"{word} begins with #, which is for octets in hex; a value is written \\#")
        try:
            return x509.NameAttribute(kind, bytes.fromhex(value[1:]), _ASN1Type.BitString)
        except ValueError:
            raise Malformed(f"{word}: there is no hex behind #") from None

    def unescaped(found: re.Match[str]) -> str:
        return found[2] or bytes.fromhex(found[1].replace("\\", "")).decode()

    try:
        text = _ESCAPED.sub(unescaped, value)
    except UnicodeDecodeError:
        raise Malformed(f"{word}: the octets behind \\ are not UTF-8") from None
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # lengths are for `pkix.subjects`
        return x509.NameAttribute(kind, text, _validate=False)


def prepared(text: str) -> str:
    """RFC 4518 section 2: map, normalise, and take runs of blanks for one. What it prohibits is left as it is.

    Of a text of more than 512 characters, which no attribute of ours has, only case and blanks make no difference.
    """
    if len(text) > _MAX_PREPARED:
        return _LONG + " ".join(text.casefold().split())
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    mapped = "".join(_drawn(text))
    # Casefolding can undo normalisation and the reverse, so it stands between two of them (Unicode 3.13, D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", mapped).casefold())
    return " ".join(folded.split())


def is_seen(character: str) -> bool:
    """Whether it is neither a blank nor nothing, by itself."""
    return _mapped(character) not in ("", " ", *_JOINERS)


def _drawn(text: str) -> Iterator[str]:
    """Section 2.2, and of joiners those that join something."""
    before = ""
    for character, behind in zip(text, [*text[1:], ""], strict=False):
        mapped = _mapped(character)
        if mapped and mapped in _JOINERS and not any(_joined(mapped, other) for other in (before, behind)):
            continue
        if mapped and not unicodedata.combining(mapped):  # normalisation may change the order of those that combine
            before = mapped
        yield mapped


def _joined(joiner: str, other: str) -> bool:
    """Whether the other is of the joiner's script, by which the names of both begin."""
    script, its = (unicodedata.name(item, "").partition(" ")[0] if item else "" for item in (joiner, other))
    return other not in _JOINERS and script != "" and script == its


def _mapped(character: str) -> str:
    """Section 2.2: blanks of every kind are blanks; controls, format characters and fillers are nothing."""
    if character.isspace() or character in _BLANKS:
        return " "
    ignorable = any(first <= ord(character) <= last for first, last in _IGNORABLE)
    return "" if ignorable or unicodedata.category(character) in ("Cc", "Cf") else character
