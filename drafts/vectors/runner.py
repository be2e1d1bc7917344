"""Runs the cases of this folder through an implementation; README.md describes the format.

Needs nothing but Python's standard library. An implementation brings a function from a case to what became of it:

    from runner import Case, Result, main

    def run(case: Case) -> Result: ...

    sys.exit(main(sys.argv[1:], run))

prints one line for each case, all or those of the named files, and exits with 1 if one fails.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FORMAT = "scep-kem-testkit/1"
CASES = Path(__file__).parent / "cases"
_HEADERS = """
    format name role operation description defect requirement twin time expect also text policy password
    password-expires password-subject revoked revoked-later seed transaction-id earlier-time fingerprint hash kdf wrap
    kek-length
"""
_BLOCKS = """
    ca-certificate ca-key ra-signer-certificate ra-signer-key ra-rsa-certificate ra-rsa-key ra-kem-certificate
    ra-kem-key ca-caps ca-cert issued client-certificate client-key client-kem-key client-old-certificate client-old-key
    csr response-key response-key-id earlier earlier-answer encapsulation-randomness shared-secret message name sent
    received reply request cert-rep ca-signer client-nonce ca-nonce ciphertext context derived-key kem-key
    kem-public-key randomness ukm
"""
HEADERS, BLOCKS = _HEADERS.split(), _BLOCKS.split()
EXPECTED = "expect-"  # begins the names of headers and blocks that hold expected values


class Unreadable(ValueError):
    """The file is not in this format, or in a later version of it."""


@dataclass(frozen=True)
class Case:
    """headers, blocks: each name to its values, in the order of the file."""

    headers: Mapping[str, Sequence[str]]
    blocks: Mapping[str, Sequence[bytes]]

    @classmethod
    def decode(cls, text: str) -> Case:
        """Lines `name: value`, then `--- name` before the base64 lines of each block. Raises Unreadable."""
        headers: dict[str, list[str]] = {}
        blocks: dict[str, list[str]] = {}
        current: list[str] | None = None
        for line in text.splitlines():
            if line.startswith("--- "):
                current = blocks.setdefault(_known(line[4:], BLOCKS), [])
                current.append("")
            elif current is not None:
                current[-1] += line
            elif line:
                name, _, value = line.partition(": ")
                headers.setdefault(_known(name, HEADERS), []).append(value)
        if headers.get("format") != [FORMAT]:
            raise Unreadable(f"the format is not {FORMAT}")
        decoded = {name: [base64.b64decode(item, validate=True) for item in items] for name, items in blocks.items()}
        return cls(headers, decoded)

    def header(self, name: str, default: str = "") -> str:
        """The first header of this name."""
        return self.headers.get(name, [default])[0]

    def block(self, name: str) -> bytes:
        """The only block of this name. Raises Unreadable."""
        found = self.blocks.get(name, [])
        if len(found) != 1:
            raise Unreadable(f"{len(found)} blocks {name}")
        return found[0]

    @property
    def expected(self) -> dict[str, str]:
        """The values expected besides the outcome, by name without `expect-`; those of blocks in hexadecimal."""
        found = {name: items[0] for name, items in self.headers.items() if name.startswith(EXPECTED)}
        found |= {name: items[0].hex() for name, items in self.blocks.items() if name.startswith(EXPECTED)}
        return {name.removeprefix(EXPECTED): value for name, value in found.items()}


def _known(name: str, names: Sequence[str]) -> str:
    if name not in names and not name.startswith(EXPECTED):
        raise Unreadable(f"{name!r} is not known in this version of the format")
    return name


@dataclass(frozen=True)
class Result:
    """What an implementation made of a case. text: its own words for an error. values: what expect-* names."""

    outcome: str
    text: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def differences(case: Case, result: Result, *, text: bool = False) -> list[str]:
    """What is not as expected; nothing if the case passes. text: the words for an error have to be the same, too."""
    if result.outcome in case.headers.get("also", ()):
        return []
    wanted = {"outcome": case.header("expect")} | ({"text": case.header("text")} if text else {}) | case.expected
    got = {"outcome": result.outcome, "text": result.text} | dict(result.values)
    return [f"{name}: {got.get(name)!r}, not {value!r}" for name, value in wanted.items() if got.get(name) != value]


def main(files: Sequence[str], run: Callable[[Case], Result], *, text: bool = False) -> int:
    """Run cases and print a line for each; the exit status: 1 if one failed, 2 if a file is no case."""
    failed = 0
    for path in [Path(name) for name in files] or sorted(CASES.glob("*.txt")):
        try:
            case = Case.decode(path.read_text("ascii"))
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
        try:
            found = differences(case, run(case), text=text)
        except Exception as error:  # of whatever is under test; the other cases want to be run, too
            found = [f"{type(error).__name__}: {error}"]
        failed += bool(found)
        print("FAIL" if found else "ok  ", case.header("name"), case.header("expect"), *found, sep="  ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit("this file runs nothing by itself: call main() with a function from a case to its result; see README.md")
