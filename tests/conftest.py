"""Fixtures of more than one folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ca.memory_store import MemoryStore
from ca.sql_store import SqlStore
from ca.store import Store


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
