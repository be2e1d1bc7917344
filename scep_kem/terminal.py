"""Text from elsewhere on its way to a person's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line: whatever could end it, move the cursor or turn the writing direction is shown as an escape.

    Names, reasons and whatever else a peer says may hold such characters, to forge lines or to hide them.
    """
    return "".join(item if item.isprintable() else _escaped(item) for item in text)


def revealed(text: str) -> str:
    """One line, for whoever decides by it: text that is not ASCII is followed by its escapes.

    A Cyrillic letter that looks like a Latin one, a combining mark or a blank letter is printable and deceives
    nevertheless. The escapes do not.
    """
    return printable(text) if text.isascii() else f"{printable(text)} (in ASCII: {_escaped(text)})"


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()
