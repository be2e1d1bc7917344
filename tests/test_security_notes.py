"""SECURITY.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"(?:tests|\.ci)/[\w/.-]+\w", TEXT)))


def test_every_finding_has_a_rule_and_a_test() -> None:
    rows = [line.strip("|").split("|") for line in TEXT.partition("## Findings")[2].splitlines() if line[:1] == "|"]
    assert len(rows) > 20
    for row in rows[2:]:
        finding, rule, test = (cell.strip() for cell in row)
        assert finding and rule and re.search(r"tests/\S+\.py", test), finding


@pytest.mark.parametrize("path", NAMED)
def test_what_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()
