"""When two names are the same name: RFC 5280 section 7.1, with the string preparation of RFC 4518."""

from __future__ import annotations

import unicodedata

from cryptography import x509

_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", "+": "\\+"})


def comparable(name: x509.Name) -> str:
    """A text that two names have in common if and only if they are the same name.

    Neither case nor string type, nor blanks at the ends or in a row, nor characters that nobody sees make a difference;
    the order of relative distinguished names does, that of the attributes inside one does not.
    """
    return ",".join("+".join(sorted(_attribute(item) for item in rdn)) for rdn in name.rdns)


def _attribute(item: x509.NameAttribute[str | bytes]) -> str:
    value = item.value.hex() if isinstance(item.value, bytes) else _prepared(item.value)
    return f"{item.oid.dotted_string}={value.translate(_ESCAPES)}"


def _prepared(text: str) -> str:
    """RFC 4518 section 2: map, normalise, and take runs of blanks for one. What it prohibits is left as it is."""
    mapped = "".join(_mapped(character) for character in text)
    # Casefolding can undo normalisation and the reverse, so it stands between two of them (Unicode 3.13, D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", mapped).casefold())
    return " ".join(folded.split())


def _mapped(character: str) -> str:
    """Section 2.2: blanks of every kind are blanks; controls and format characters are nothing."""
    if character.isspace():
        return " "
    invisible = unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"
    return "" if invisible else character
