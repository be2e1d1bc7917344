"""Text on its way to a person's terminal: what comes from elsewhere, and commands to copy."""

from __future__ import annotations

import shlex
from os import PathLike, fspath


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


def command(*words: str | PathLike[str]) -> str:
    """A command for a shell, which names the paths among its words and no others, or says that it cannot be printed."""
    texts = [
        fspath(word) if isinstance(word, str) or fspath(word)[:1] != "-" else f"./{fspath(word)}" for word in words
    ]
    if not "".join(texts).isprintable():
        return "a command with a name that cannot be printed"
    return shlex.join(texts)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()
