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

# A label ends at a full stop, which is in no label, and has 63 characters to be tried in several ways.
SEPARATED = {"pkix.mail_and_host_names._HOST"}
# Of operators: the patterns of a configuration, and the word that they look for.
OF_OPERATORS = {"ca/profiles.py:pattern", "scep_kem/config_faults.py:pattern"}
UNENDING = 64  # repeats beyond this, within each other, count as unending
CHOICES = 16  # of so many that do not exclude each other, 65,536 combinations are tried
EVERY = set(range(256))  # a pattern for text may tell other letters apart, but none of ours names one
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
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
    if kind in REPEATS:
        return starts(list(value[2]), flags)
    if kind == "SUBPATTERN":
        return starts(list(value[3]), within(value, flags))
    if kind == "BRANCH":
        return set().union(*(starts(list(branch), flags) for branch in value[1]))
    if kind == "GROUPREF":
        return EVERY  # whatever it was
    assert kind in ("AT", "ASSERT", "ASSERT_NOT"), f"an expression with {kind}, which this test does not know"
    return set()


def within(subpattern: Any, flags: int) -> int:
    """The flags in a group, which may have its own."""
    _group, more, fewer, _items = subpattern
    return int(flags | more) & ~int(fewer)


def octets(kind: str, value: Any, flags: int) -> set[int]:
    """Tried out."""
    if kind == "ANY":
        return EVERY
    one = parser.SubPattern(parser.State(), [(getattr(re._constants, kind), value)])  # type: ignore[attr-defined]
    pattern = re._compiler.compile(one, flags & ~re.DEBUG)  # type: ignore[attr-defined]
    return {octet for octet in EVERY if pattern.fullmatch(chr(octet))}


def may_be_empty(kind: str, value: Any) -> bool:
    if kind in REPEATS:
        return value[0] == 0 or all(may_be_empty(str(k), v) for k, v in value[2])
    if kind == "SUBPATTERN":
        return all(may_be_empty(str(k), v) for k, v in value[3])
    if kind == "BRANCH":
        return any(all(may_be_empty(str(k), v) for k, v in branch) for branch in value[1])
    return kind in ("AT", "ASSERT", "ASSERT_NOT", "GROUPREF")


def meetings(items: list[Any], flags: int, behind: set[int], times: int = 1) -> Iterator[str]:
    """Unending repeats whose octets may also follow them, and repeated choices that do not exclude each other. behind:
    what may follow the whole. times: how often it is there, because it stands in repeats itself.
    """
    repeated = times >= CHOICES
    for number, (kind, value) in enumerate(items):
        rest = items[number + 1 :]
        after = starts(rest, flags) | (behind if all(may_be_empty(str(k), v) for k, v in rest) else set())
        if repeated and may_be_empty(str(kind), value) and first(str(kind), value, flags) & after:
            yield "a part of a repeat that may be left out, and what follows begins like it"
        if str(kind) in REPEATS:
            least, most, inner = value
            own = starts(list(inner), flags)
            if str(kind) == "POSSESSIVE_REPEAT":  # it gives nothing back to what follows
                after = set()
            if most > max(least, 1) and most * times >= UNENDING and own & after:
                yield f"a repeat of {bytes(sorted(own))!r} meets {bytes(sorted(own & after))!r} behind it"
            yield from meetings(list(inner), flags, after | (own if most > 1 else set()), most * times)
        elif str(kind) == "SUBPATTERN":
            yield from meetings(list(value[3]), within(value, flags), after, times)
        elif str(kind) in ("ASSERT", "ASSERT_NOT"):
            yield from meetings(list(value[1]), flags, set(), times)
        elif str(kind) == "BRANCH":
            for branch in value[1]:
                yield from meetings(list(branch), flags, after, times)
            begin = [starts(list(branch), flags) for branch in value[1]]
            empty = [all(may_be_empty(str(k), v) for k, v in branch) for branch in value[1]]
            if repeated and (empty.count(True) > 1 or any(a & b for a, b in itertools.combinations(begin, 2))):
                yield "ways of a repeat that begin with the same"


def ambiguities(pattern: str | bytes, flags: int = 0) -> list[str]:
    tree = parser.parse(pattern, flags)
    return list(meetings(list(tree), tree.state.flags, set()))


def written() -> Iterator[tuple[str, str | bytes]]:
    """Those that are written where they are used, also if they are put together of what their module knows."""
    for room in (kem, pkix, ca, scep, scep_kem):
        root = Path(room.__path__[0])
        for path in sorted(root.rglob("*.py")):
            place = f"{room.__name__}/{path.relative_to(root).as_posix()}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                    continue
                of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                if of_re and node.func.attr != "escape" and f"{place}:{ast.unparse(node.args[0])}" not in OF_OPERATORS:
                    yield f"{place}:{node.lineno}", evaluated(node.args[0], place)


def evaluated(node: ast.expr, place: str) -> str | bytes:
    module = importlib.import_module(place.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    found: object = eval(ast.unparse(node), dict(vars(module)))  # noqa: S307 - our own code
    assert isinstance(found, str | bytes)
    return found


@pytest.mark.parametrize(("place", "pattern"), [pytest.param(*item, id=item[0]) for item in written()])
def test_nor_one_that_is_written_where_it_is_used(place: str, pattern: str | bytes) -> None:
    assert ambiguities(pattern) == [] or place.startswith("pkix/mail_and_host_names.py"), place


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
    assert bool(found) == (name in SEPARATED), found


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
        r"(?:a{1,30}){1,30}b",
        r"(?:(?:a|b){1,20}){1,20}c",
        r"(?:a?){30}a{30}",
        r"(?:a|a){60}b",
        r"(?:aa?){1,40}b",
        r"(?:x+)+y",
        r"(?:(?:ab)?a?b?)*c",
        r"(?:a(?:bc)?|ab(?:c)?)*d",
        r"(?=(a+)+$)a",
        r"(?!(?:a|a)*b)a",
        r"(a)(?:\1|a)*b",
        r"(?i:(?:ka|Kb)*)b",
        "(?:ü1|\\w)*!",
        "(?:ÿ1|[^a])*!",
    ],
)
def test_what_takes_long_is_found(pattern: str | bytes) -> None:
    assert ambiguities(pattern)


def test_a_possessive_repeat_gives_nothing_back() -> None:
    assert ambiguities(r"[a\s]+\s*b")
    assert not ambiguities(r"[a\s]++\s*+b")
    assert ambiguities(r"(?:a+)*+b")
