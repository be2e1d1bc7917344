"""Regular expressions read what strangers send, and while one tries, every thread waits: none tries the same octets in
several ways.

A repeat without an end must not meet what may follow it: `\\s*` behind `[a\\s]+` tries n ways to share n blanks, so
64 kB took a minute and a half.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ca
import kem
import pkix
import scep
import scep_kem

# Those that read only what the operator wrote: the text of a name on the command line.
FOR_OPERATORS = {"pkix.names._PART"}
# A label ends at a full stop, which is in no label, and has 63 characters to be tried in several ways.
SEPARATED = {"pkix.mail_and_host_names._HOST"}
UNENDING = 64  # repeats beyond this count as unending
parser: Any = re._parser  # type: ignore[attr-defined]  # the only reader of the syntax


def compiled() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for package in (kem, pkix, ca, scep, scep_kem):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations.versions" in found.name or found.name.endswith((".env", ".wsgi", ".gunicorn", ".__main__")):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


def starts(items: list[Any], flags: int) -> set[int]:
    """The octets that a sequence may begin with."""
    found: set[int] = set()
    for kind, value in items:
        found |= first(str(kind), value, flags)
        if not may_be_empty(str(kind), value):
            break
    return found


def first(kind: str, value: Any, flags: int) -> set[int]:
    if kind in ("LITERAL", "NOT_LITERAL", "IN", "ANY", "CATEGORY", "RANGE"):
        return octets(kind, value, flags)
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        return starts(list(value[2]), flags)
    if kind == "SUBPATTERN":
        return starts(list(value[3]), flags)
    if kind == "BRANCH":
        return set().union(*(starts(list(branch), flags) for branch in value[1]))
    return set()  # assertions


def octets(kind: str, value: Any, flags: int) -> set[int]:
    """Tried out, as far as ASCII and one more go."""
    every = [*range(128), 0xE9]
    if kind == "ANY":
        return set(every)
    one = parser.SubPattern(parser.State(), [(getattr(re._constants, kind), value)])  # type: ignore[attr-defined]
    pattern = re._compiler.compile(one, flags & ~re.DEBUG)  # type: ignore[attr-defined]
    return {octet for octet in every if pattern.fullmatch(chr(octet))}


def may_be_empty(kind: str, value: Any) -> bool:
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        return value[0] == 0 or all(may_be_empty(str(k), v) for k, v in value[2])
    if kind == "SUBPATTERN":
        return all(may_be_empty(str(k), v) for k, v in value[3])
    if kind == "BRANCH":
        return any(all(may_be_empty(str(k), v) for k, v in branch) for branch in value[1])
    return kind in ("AT", "ASSERT", "ASSERT_NOT", "GROUPREF")


def meetings(items: list[Any], flags: int, behind: set[int], repeated: bool = False) -> Iterator[str]:
    """Unending repeats whose octets may also follow them. behind: what may follow the whole. repeated: it stands in an
    unending repeat itself.
    """
    for number, (kind, value) in enumerate(items):
        rest = items[number + 1 :]
        after = starts(rest, flags) | (behind if all(may_be_empty(str(k), v) for k, v in rest) else set())
        if repeated and may_be_empty(str(kind), value) and first(str(kind), value, flags) & after:
            yield "a part of a repeat that may be left out, and what follows begins like it"
        if str(kind) in ("MAX_REPEAT", "MIN_REPEAT"):
            _least, most, inner = value
            own = starts(list(inner), flags)
            if most >= UNENDING and own & after:
                yield f"a repeat of {bytes(sorted(own))!r} meets {bytes(sorted(own & after))!r} behind it"
            unending = repeated or most >= UNENDING
            yield from meetings(list(inner), flags, after | (own if most > 1 else set()), unending)
        elif str(kind) == "SUBPATTERN":
            yield from meetings(list(value[3]), flags, after, repeated)
        elif str(kind) == "BRANCH":
            for branch in value[1]:
                yield from meetings(list(branch), flags, after, repeated)
            begin = [starts(list(branch), flags) for branch in value[1]]
            empty = [all(may_be_empty(str(k), v) for k, v in branch) for branch in value[1]]
            if repeated and (empty.count(True) > 1 or any(a & b for a, b in itertools.combinations(begin, 2))):
                yield "ways of a repeat that begin with the same"


def ambiguities(pattern: str | bytes, flags: int = 0) -> list[str]:
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    return list(meetings(list(parser.parse(text, flags)), flags, set()))


def written() -> Iterator[tuple[str, str | bytes]]:
    """Those that are written where they are used."""
    for room in (kem, pkix, ca, scep, scep_kem):
        for path in sorted(Path(room.__path__[0]).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                    continue
                of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                if of_re and isinstance(node.args[0], ast.Constant):
                    yield f"{path.name}:{node.lineno}", node.args[0].value


@pytest.mark.parametrize(("place", "pattern"), [pytest.param(*item, id=item[0]) for item in written()])
def test_nor_one_that_is_written_where_it_is_used(place: str, pattern: str | bytes) -> None:
    assert ambiguities(pattern) == [] or place.startswith("names.py"), place


def test_what_is_searched_for_does_not_begin_with_an_unending_repeat() -> None:
    """From each of n places it would be tried over all that follow."""
    found = dict(compiled())
    for room in (kem, pkix, ca, scep, scep_kem):
        for path in sorted(Path(room.__path__[0]).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for name in re.findall(r"\b(_[A-Z_]+)\.(?:search|sub|finditer|findall|split)\(", text):
                pattern = next(value for full, value in found.items() if full.endswith(f"{path.stem}.{name}"))
                text_of = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
                kind, value = next(iter(parser.parse(text_of, pattern.flags & re.IGNORECASE)))
                assert str(kind) not in ("MAX_REPEAT", "MIN_REPEAT") or value[1] < UNENDING, (path.name, name)


@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*item, id=item[0]) for item in compiled()])
def test_no_expression_tries_the_same_octets_in_several_ways(name: str, pattern: re.Pattern[Any]) -> None:
    found = ambiguities(pattern.pattern, pattern.flags & (re.IGNORECASE | re.DOTALL))
    assert bool(found) == (name in FOR_OPERATORS | SEPARATED), found


@pytest.mark.parametrize(
    "pattern",
    [
        rb"[A-Za-z0-9+/_\s-]{16,}={0,2}\s*",
        r"(a+)+b",
        r"(?:a|b)*a*c",
        r"a*?b?a*",
        r"(?:a|a)*b",
        r"(?:a|aa)*b",
        r"(?:a{1,900})*b",
        r"(?:a{1,99}){1,99}b",
        r"(?:a{0,61}a)*b",
    ],
)
def test_what_takes_long_is_found(pattern: str | bytes) -> None:
    assert ambiguities(pattern)
