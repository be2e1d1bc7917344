"""When two names are the same name: RFC 5280 section 7.1, with the string preparation of RFC 4518."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from cryptography import x509

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


def comparable(name: x509.Name) -> str:
    """A text that two names have in common if and only if they are the same name.

    Neither case nor string type, nor blanks at the ends or in a row, nor characters that nobody sees make a difference;
    the order of relative distinguished names does, that of the attributes inside one does not.
    """
    return ",".join("+".join(sorted(_attribute(item) for item in rdn)) for rdn in name.rdns)


def _attribute(item: x509.NameAttribute[str | bytes]) -> str:
    value = item.value.hex() if isinstance(item.value, bytes) else prepared(item.value)
    return f"{item.oid.dotted_string}={value.translate(_ESCAPES)}"


def prepared(text: str) -> str:
    """RFC 4518 section 2: map, normalise, and take runs of blanks for one. What it prohibits is left as it is."""
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
