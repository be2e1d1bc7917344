"""What is wrong with a configuration file, in our words: line and column where it is no TOML, what is possible where a
value is not. A line itself is never repeated, because it may hold a password.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import functools
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from pkix.errors import shortened
from scep_kem.errors import UsageError

_ALIKE = 0.6  # from 0 to 1, of a word that may be meant
_LONGEST = 80  # characters of a value, or bits of a number, that a fault repeats
_PLACE = re.compile(r"\(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")
# How the library's texts begin, and what we say.
_TOML = (
    ("Invalid statement", "neither a key with = and a value nor the name of a table in [ ]"),
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
    ('Expected "', "a text has no closing quote"),
    ("Found invalid character", "a character is not allowed here; does a line end stand inside a text?"),
    ("Invalid hex value", "behind \\u four hex digits are needed, behind \\U eight"),
    ("Escaped character is not", "a number behind \\u or \\U that is no character's"),
)
_MARKS = (  # the longer first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "it begins with a byte order mark; save it as UTF-8 without one"),
    (codecs.BOM_UTF32_LE, "it is UTF-32; save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "it is UTF-32; save it as UTF-8"),
    (codecs.BOM_UTF16_LE, "it is UTF-16; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "it is UTF-16; save it as UTF-8"),
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
    ("global flags not at the start", "flags for the whole, as (?i), anywhere but at the beginning"),
    ("look-behind requires fixed-width", "a (?<= or (?<! for a text without a fixed length"),
    ("unknown extension", "a (? before a character that it gives no meaning"),
    ("unexpected end of pattern", "an end behind (?"),
    ("unknown flag", "a (? with a letter that is no flag"),
    ("missing -, : or )", "a (? with a letter that is no flag, or nothing behind its flags"),
    ("missing flag", "a (? with - and no flag behind it"),
    ("missing :", "a (? with flags and nothing behind them"),
    ("bad inline flags", "a (? with flags that do not go together"),
    ("missing ), unterminated comment", "a (?# without )"),
    ("missing ), unterminated name", "the name of a group without )"),
    ("missing >, unterminated name", "the name of a group without >"),
    ("missing group name", "a group without the name that its ? announces"),
    ("bad character in group name", "the name of a group with a character that is not allowed"),
    ("redefinition of group name", "a group with the name of another"),
    ("unknown group name", "the name of a group that is not there"),
    ("invalid group reference", "the number of a group that is not there"),
    ("bad group number", "the number of a group that is not there"),
    ("cannot refer to", "a group that is meant before it has ended"),
    ("conditional backref", "a (?( with more than two ways"),
    ("incomplete escape", "a backslash and a letter with too few digits behind it"),
    ("octal escape value", "a backslash and a number that is no character's"),
    ("undefined character name", "a character by a name that none has"),
)


# What other programs call what has another name here.
_ELSEWHERE = {
    "prime256v1": "ec:P-256",
    "secp256r1": "ec:P-256",
    "secp384r1": "ec:P-384",
    "secp521r1": "ec:P-521",
}


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


def impossible(value: object, possible: str, known: Iterable[str] = ()) -> str:
    """That a value is not possible, which word may be meant, and what is possible. known: the words that are."""
    meant = nearest(value, known) if isinstance(value, str) else ""
    return f"{shown(value)} is not possible{meant}; {possible}"


def not_known(what: str, word: str, known: Iterable[str]) -> str:
    """A word that is none of those that are known, which it may mean. what: names the place."""
    return f"{what}{nearest(word, known)}; known: {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The question whether another word is meant, the first of those most alike; empty if none is. Case and signs make
    no difference.
    """
    letters = _letters(_ELSEWHERE.get(word.lower(), word))
    alike = {item: difflib.SequenceMatcher(None, _letters(item), letters).ratio() for item in known}
    found = max(alike, key=alike.__getitem__, default="")
    return f" (is {found} meant?)" if found and alike[found] >= _ALIKE else ""


def _letters(word: str) -> str:
    """And digits; the word itself if it has none."""
    return "".join(filter(str.isalnum, word.lower())) or word


def shown(value: object) -> str:
    """A value of the file as a fault repeats it, which is not whole if it is long."""
    if isinstance(value, int) and value.bit_length() > _LONGEST:
        return "a number of so many digits"
    return shortened(repr(value), _LONGEST)


def document(content: bytes) -> dict[str, Any]:
    """What a file of TOML has in it. Raises UsageError."""
    if not content.strip():
        raise UsageError('the file is empty; it needs [ca] with dir, as in dir = "."')
    for mark, why in _MARKS:
        if content.startswith(mark):
            raise UsageError(f"not valid TOML: {why}")
    try:
        return tomllib.loads(content.decode())
    except tomllib.TOMLDecodeError as error:
        raise UsageError(toml_fault(error)) from None
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1
        raise UsageError(f"not valid TOML, line {line}, column {column}: it is not UTF-8") from None
    except RecursionError:
        raise UsageError("not valid TOML: it nests too deep") from None
    except ValueError:  # of `int`, which takes so many digits and no more
        raise UsageError("not valid TOML: a number has too many digits") from None


def toml_fault(error: tomllib.TOMLDecodeError) -> str:
    """Where a file stops to be TOML, and what is wrong there."""
    text = str(error)
    why = next((ours for theirs, ours in _TOML if text.startswith(theirs)), "this is not TOML")
    place = _PLACE.search(text)
    if place is None or place[1] is None:
        return f"not valid TOML, at the end of the file: {why}"
    return f"not valid TOML, line {place[1]}, column {place[2]}: {why}"


@functools.lru_cache
def ambiguous(pattern: str) -> bool:
    """Whether a regular expression may mean something else to a later Python. Raises UsageError if it is none.

    Kept, because Python keeps expressions, and says what it has to say the first time only.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(pattern_fault(error)) from None
        except OverflowError:
            raise UsageError("not a regular expression: a repetition of too many") from None
        except RecursionError:
            raise UsageError("not a regular expression: it nests too deep") from None
    return bool(said)


def pattern_fault(error: re.error) -> str:
    """What is wrong with a regular expression, and at which character."""
    why = next((ours for theirs, ours in _PATTERN if error.msg.startswith(theirs)), "it means nothing")
    return f"not a regular expression: {why}" + ("" if error.pos is None else f", at character {error.pos + 1}")
