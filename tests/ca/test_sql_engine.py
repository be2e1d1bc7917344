"""What the Store's contract does not show of `ca.sql_engine`: which connections are kept, and how processes that write
to one SQLite file take turns, or do without when that does not work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ca import sql_engine
from ca.sql_engine import Database
from ca.sql_store import SqlStore
from ca.store import StoreBusy, StoreConflict, StoreUnavailable


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


def test_a_full_disk_is_no_lock(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with pytest.raises(StoreUnavailable, match=r"cannot be written: .*full") as raised, database.writing() as session:
        cursor = session._connection.cursor()
        for statement in (
            "PRAGMA max_page_count = 1",
            "CREATE TABLE large (x)",
            "INSERT INTO large VALUES (zeroblob(100000))",
        ):
            cursor.execute(statement)
    assert raised.type is StoreUnavailable
    database.close()


def test_a_connection_that_failed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_engine, "_SHORT_NAPS", 3)
    impatient = Database(f"sqlite:///{tmp_path}/ca.sqlite?timeout=0")
    with impatient.writing():
        pass
    holder = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with holder.writing(), pytest.raises(StoreBusy, match="locked"), impatient.writing():
        pass
    assert impatient.idle == 0
    with impatient.writing():
        pass
    assert impatient.idle == 1
    for database in (impatient, holder):
        database.close()


# All waits together have one limit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic clock of ca.sql_engine; only naps move it."""
    found = SimpleNamespace(seconds=1000.0)

    def sleep(seconds: float) -> None:
        found.seconds += seconds

    monkeypatch.setattr(sql_engine, "time", SimpleNamespace(monotonic=lambda: found.seconds, sleep=sleep))
    return found


def statements(database: Database) -> list[str]:
    """What a write says to SQLite before the caller's statements."""
    said: list[str] = []

    class Cursor:
        def execute(self, statement: str) -> None:
            said.append(statement)

    database._begin(Cursor())  # type: ignore[arg-type]
    return said


def test_who_waited_for_other_threads_waits_so_much_less_for_other_processes(
    tmp_path: Path, clock: SimpleNamespace
) -> None:
    """Else the last of eight threads waits eight times as long for a locked database as the first."""
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite")
    with database.turn:
        assert statements(database) == ["BEGIN IMMEDIATE"]
        clock.seconds += 3
        short, begin, again = statements(database)
        assert begin == "BEGIN IMMEDIATE"
        assert (short, again) == ("PRAGMA busy_timeout = 2000", "PRAGMA busy_timeout = 5000")
        clock.seconds += 100
        assert statements(database)[0] == "PRAGMA busy_timeout = 0"
    assert statements(database) == ["BEGIN IMMEDIATE"]
    database.close()


def test_who_waits_too_long_for_other_threads_is_told_that_the_store_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ca.sqlite?timeout=0")
    with database.turn, pytest.raises(StoreUnavailable, match="too many requests"), database.turn:
        pass
    with database.turn:
        pass
    database.close()


def test_the_wait_for_other_threads_is_as_long_as_that_for_other_processes(tmp_path: Path) -> None:
    waits: list[float] = []

    class Lock:
        def acquire(self, *, timeout: float) -> bool:
            waits.append(timeout)
            return False

    for query in ("", "?timeout=3"):
        database = Database(f"sqlite:///{tmp_path}/ca.sqlite{query}")
        database.turn._lock = Lock()  # type: ignore[assignment]
        with pytest.raises(StoreUnavailable), database.turn:
            pass
        database.close()
    assert waits == [sql_engine.BUSY_TIMEOUT, 3.0]


def test_the_store_writes_in_turn(store: SqlStore) -> None:
    turn: Any = store._turn
    assert turn is store._database.turn
    with turn:
        turn._patience = 0
        with pytest.raises(StoreUnavailable):
            store.next_crl_number("aa")


def test_a_database_that_stays_locked_is_not_switched_to_wal_for_ever(clock: SimpleNamespace) -> None:
    class Cursor:
        def execute(self, _statement: str) -> None:
            clock.seconds += 1  # SQLite's own wait
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

    before = clock.seconds
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sql_engine.switch_to_wal(Cursor())  # type: ignore[arg-type]
    assert clock.seconds - before <= sql_engine.BUSY_TIMEOUT + 1
