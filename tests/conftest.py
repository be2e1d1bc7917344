"""Fixtures of more than one folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca.memory_store import MemoryStore
from ca.sql_store import SqlStore
from ca.store import Store

# Folders of tests have a name that a shell or a regular expression takes for more, in every run and not in CI's alone.
ODD_ROOT = Path(tempfile.gettempdir(), f"it is (a+b) {os.getuid()}")


def pytest_configure() -> None:
    ODD_ROOT.mkdir(exist_ok=True)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(ODD_ROOT))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a database that is not there yet."""
    return f"sqlite:///{tmp_path / 'ca.sqlite3'}"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, url: str) -> Iterator[Store]:
    """An empty Store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    with SqlStore(url) as found:
        yield found
