"""What is wrong with a configuration file, in our words: line and column where it is no TOML, what is possible where a
value is not. A line itself is never repeated, because it may hold a password.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator

from scep_kem.errors import UsageError

_PLACE = re.compile(r"\(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")
# How the library's texts begin, and what we say.
_TOML = (
    ("Expected '=' after a key", "a key is not followed by ="),
    ("Invalid initial character for a key part", "a key is missing, or not of letters, digits, - and _"),
    ("Expected newline or end of document", "something follows a value; is a text without quotes, or a comma missing?"),
    ("Invalid value", "a value is missing, or a text is without quotes"),
    ("Cannot overwrite a value", "a key is there twice"),
    ("Duplicate inline table key", "a key is there twice"),
    ("Cannot declare", "a table is there twice"),
    ("Cannot mutate", "a table that was closed before is added to"),
    ("Cannot redefine", "a table that was closed before is added to"),
    ("Unterminated string", "a text has no closing quote"),
    ("Illegal character", "a character is not allowed here; does a line end stand inside a text?"),
    ("Unescaped", "a backslash in a text; write it twice, or put the text into '...'"),
    ("Expected ']' at the end of a table", "the name of a table has no closing ]"),
    ("Expected ']]' at the end of an array", "the name of an array of tables has no closing ]]"),
    ("Unclosed array", "a list has no closing ], or a comma is missing"),
    ("Unclosed inline table", "a table in { } has no closing }, or a comma is missing"),
    ("Invalid date or datetime", "a date is none"),
)
_PATTERN = (
    ("missing ), unterminated subpattern", "a ( without )"),
    ("unbalanced parenthesis", "a ) without ("),
    ("unterminated character set", "a [ without ]"),
    ("nothing to repeat", "nothing before it that could be repeated"),
    ("multiple repeat", "two signs of repetition in a row"),
    ("bad escape", "a backslash before a character that it gives no meaning"),
    ("bad character range", "a range whose end comes before its beginning"),
    ("min repeat greater than max repeat", "a repetition whose most is less than its least"),
)


class Faults:
    """All that is wrong with a file, a line each."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        self.texts.append(text)

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Whatever a step refuses, the next ones are looked at, too."""
        try:
            yield
        except UsageError as error:
            self.add(str(error))


def not_known(what: str, word: str, known: Iterable[str]) -> str:
    """A word that is none of those that are known, which it may mean. what: names the place."""
    return f"{what}{nearest(word, known)}; known: {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The question whether another word is meant; empty if none is like it. Case does not matter."""
    by_lower = {item.lower(): item for item in known}
    found = difflib.get_close_matches(word.lower(), by_lower, 1)
    return f" (is {by_lower[found[0]]} meant?)" if found else ""


def toml_fault(error: tomllib.TOMLDecodeError) -> str:
    """Where a file stops to be TOML, and what is wrong there."""
    text = str(error)
    why = next((ours for theirs, ours in _TOML if text.startswith(theirs)), "this is not TOML")
    place = _PLACE.search(text)
    if place is None or place[1] is None:
        return f"not valid TOML, at the end of the file: {why}"
    return f"not valid TOML, line {place[1]}, column {place[2]}: {why}"


def pattern_fault(error: re.error) -> str:
    """What is wrong with a regular expression, and at which character."""
    why = next((ours for theirs, ours in _PATTERN if error.msg.startswith(theirs)), "it means nothing")
    return f"not a regular expression: {why}" + ("" if error.pos is None else f", at character {error.pos + 1}")
