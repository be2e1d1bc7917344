"""What the Store's contract does not show of `ca.sql_engine`: which connections are kept, and how processes that write
to one SQLite file take turns, or do without when that does not work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca import sql_engine
from ca.sql_engine import Database
from ca.sql_store import SqlStore
from ca.store import StoreConflict, StoreUnavailable


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(f"sqlite:///{tmp_path}/ca.sqlite") as found:
        yield found


@pytest.fixture
def turn(tmp_path: Path, store: SqlStore) -> Iterator[int]:
    """The file on which turns are taken, as another process has it open."""
    assert store.next_crl_number("warm-up") == 1
    descriptor = os.open(tmp_path / "ca.sqlite-wal", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def is_free(turn: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(turn, fcntl.LOCK_UN)
        return True
    return False


def test_a_writer_has_the_turn_until_its_end(tmp_path: Path, turn: int) -> None:
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with database.writing():
        assert not is_free(turn)
    assert is_free(turn)
    database.close()


def test_a_failed_writer_gives_its_turn_back(tmp_path: Path, turn: int) -> None:
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with pytest.raises(ZeroDivisionError), database.writing():
        raise ZeroDivisionError
    assert is_free(turn)
    database.close()


def test_who_keeps_the_turn_without_writing_is_passed(
    store: SqlStore, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_engine, "_SHORT_NAPS", 3)
    fcntl.flock(turn, fcntl.LOCK_EX)
    assert store.next_crl_number("aa") == 1


def test_without_the_file_writers_do_without(tmp_path: Path, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: object) -> int:
        raise FileNotFoundError

    assert store.next_crl_number("aa") == 1
    monkeypatch.setattr(os, "open", missing)
    assert store.next_crl_number("aa") == 2


def test_a_connection_is_kept_after_a_conflict(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with pytest.raises(StoreConflict), database.writing():
        raise StoreConflict
    assert database.idle == 1
    database.close()
    assert database.idle == 0


def test_a_connection_that_failed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_engine, "_SHORT_NAPS", 3)
    impatient = Database(f"sqlite:///{tmp_path}/ca.sqlite?timeout=0")
    with impatient.writing():
        pass
    holder = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with holder.writing(), pytest.raises(StoreUnavailable, match="locked"), impatient.writing():
        pass
    assert impatient.idle == 0
    with impatient.writing():
        pass
    assert impatient.idle == 1
    for database in (impatient, holder):
        database.close()
