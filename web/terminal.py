"""Text from elsewhere on its way to a person's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line: whatever could end it, move the cursor or turn the writing direction is shown as an escape.

    Names, reasons and whatever else a peer says may hold such characters, to forge lines or to hide them.
    """
    return "".join(item if item.isprintable() else item.encode("unicode_escape").decode() for item in text)
