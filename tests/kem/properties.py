"""What the property tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings


def few(examples: int) -> Callable[[Any], Any]:
    """That many examples, the same in every run, without a deadline, since tests assert no times."""
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None)
