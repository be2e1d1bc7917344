"""How `ca.sql_store` connects and executes: what SQLite must be told on every connection, what a fork does to one, and
how a statement reaches the driver.

The sqlite3 module would begin transactions by itself, and too late. It is switched to leaving that to us
(isolation_level None); then a transaction begins only where we say so, with the write lock at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from ca.store import StoreBusy, StoreConflict, StoreUnavailable

if sys.platform != "win32":
    import fcntl

# Seconds to wait for the write lock, of other threads and of other processes together, unless the URL says otherwise
# (?timeout=1). `scep_kem.budgets` says how this goes together with what others wait.
BUSY_TIMEOUT = 5

_BEGIN = "BEGIN IMMEDIATE"

Values = Mapping[str, object]
Row = Sequence[Any]

# Seconds between two attempts at what SQLite does not wait for by itself.
_NAP = 0.01

# Seconds of a nap while another process is writing, and how many of them before SQLite's own wait begins.
_SHORT_NAP, _SHORT_NAPS = 0.0001, 2000

# How many free pages (4 kB each) `shrink` gives back at most, and how large (octets) the -wal file may stay.
_PAGES_AT_A_TIME, _WAL_SIZE = 5000, 8 << 20
# Seconds of waiting for other threads that do not count.
_UNNOTICED = 0.05

# Closing any file descriptor of a file drops the process's POSIX locks on it, SQLite's among them. So a thread
# creates the file alone, before any other can have opened it.
_creating = threading.Lock()


def store_engine(url: str | URL) -> Engine:
    """An engine whose connections read in autocommit mode. Raises ValueError for in-memory SQLite."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, hide_parameters=True)
    _create_file(parsed)
    if "timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"timeout": str(BUSY_TIMEOUT)})
    engine = create_engine(
        parsed,
        # An exception's text must not show what was stored.
        hide_parameters=True,
        # So that a statement takes a record's values by the names of its columns, as with other drivers.
        paramstyle="named",
        pool_use_lifo=True,
        connect_args={"isolation_level": None},
    )
    event.listen(engine, "connect", _prepare)
    return engine


class Session:
    """A connection of the pool in use. All values of a statement are parameters. Exceptions are the driver's.

    SQLAlchemy writes the SQL, once, and the driver executes it; its own `execute` would cost more than the read.
    """

    def __init__(self, connection: PoolProxiedConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def rows(self, statement: ClauseElement, values: Values) -> list[Row]:
        """All rows of a query."""
        cursor = self._execute(statement, values)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def row(self, statement: ClauseElement, values: Values) -> Row | None:
        """The row of a query that has at most one."""
        found = self.rows(statement, values)
        return found[0] if found else None

    def change(self, statement: ClauseElement, values: Values) -> int:
        """Execute an INSERT, UPDATE or DELETE; the number of rows concerned."""
        cursor = self._execute(statement, values)
        try:
            return cursor.rowcount
        finally:
            cursor.close()

    def add(self, statement: ClauseElement, values: Values, known: str) -> None:
        """Execute an INSERT. Raises StoreConflict, with the text `known`, if what must be unique is there already."""
        try:
            self.change(statement, values)
        except self._dialect.loaded_dbapi.IntegrityError as error:
            raise StoreConflict(known) from error

    def _execute(self, statement: ClauseElement, values: Values) -> DBAPICursor:
        cursor = self._connection.cursor()
        cursor.execute(_sql(statement, self._dialect), values)
        return cursor


@functools.lru_cache(maxsize=256)
def _sql(statement: ClauseElement, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))


class Database:
    """A database and its connections, which stay open between uses, as many as were once in use at a time.

    SQLAlchemy's pool only makes them: taking one out of it and putting it back costs more than SQLite's part of a read.
    """

    def __init__(self, url: str | URL) -> None:
        self.engine = store_engine(url)
        self._patience = _patience(self.engine.url)
        self.turn = Turn(self._patience)
        self._path = str(self.engine.url.database) if self.engine.dialect.name == "sqlite" else None
        self._file = self._there()
        self._idle: list[PoolProxiedConnection] = []
        _databases.add(self)

    @property
    def idle(self) -> int:
        """How many connections are open for the next use."""
        return len(self._idle)

    def close(self) -> None:
        """Close the connections that are not in use. Using the database again opens new ones."""
        while self._idle:
            self._idle.pop().close()
        self.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A connection for single statements, each of which sees one state of the database. Raises StoreUnavailable."""
        with self._connection("read") as connection:
            yield Session(connection, self.engine.dialect)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that has the write lock from its beginning; committed at the end, rolled back by an exception.

        Raises StoreUnavailable.
        """
        sqlite = self.engine.dialect.name == "sqlite"
        with self._connection("written") as connection:
            turn = _take_turn(f"{self.engine.url.database}-wal") if sqlite else None
            try:
                if sqlite:
                    self._begin(connection.cursor())
                yield Session(connection, self.engine.dialect)
                connection.commit()
            finally:
                if turn is not None:
                    os.close(turn)

    def shrink(self) -> None:
        """Give the pages that nothing stands on back to the file system, some at a time. SQLite only; best effort."""
        if self.engine.dialect.name == "sqlite":
            with contextlib.suppress(StoreUnavailable), self._connection("shrunk") as connection:
                driver: Any = connection.dbapi_connection
                # The pragma frees one page a step, and `execute` takes one step.
                driver.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_A_TIME})")

    def copy_to(self, path: Path) -> None:
        """A copy of SQLite's file, of one moment; what is in its -wal is part of it. Raises StoreUnavailable."""
        with self._connection("copied") as connection:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection.cursor().execute("VACUUM INTO :path", {"path": str(path)})

    @contextlib.contextmanager
    def _connection(self, purpose: str) -> Iterator[PoolProxiedConnection]:
        """An idle connection or a new one, without a transaction afterwards. One that has failed is not used again."""
        connection = None
        try:
            connection = self._take()
            yield connection
        except self.engine.dialect.loaded_dbapi.OperationalError as error:
            if connection is not None:
                connection.close()
            raise _unavailable(error)(f"the database cannot be {purpose}: {error}") from error
        except BaseException:
            if connection is not None:
                self._put_back(connection)
            raise
        self._put_back(connection)

    def _begin(self, cursor: DBAPICursor) -> None:
        """Take the write lock, waiting only for what is left: who has waited for a turn has spent that much."""
        left = self.turn.left()
        if left >= self._patience:
            cursor.execute(_BEGIN)
            return
        cursor.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
        cursor.execute(_BEGIN)
        cursor.execute(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")

    def _take(self) -> PoolProxiedConnection:
        self._check_file()
        with contextlib.suppress(IndexError):  # asked beforehand, another thread may be faster
            return self._idle.pop()
        connection = self.engine.raw_connection()
        connection.detach()
        return connection

    def _check_file(self) -> None:
        """SQLite would go on writing into a file that has no name any more, and lose that with the process; beside one
        that has taken its place may lie the -wal file of the old.
        """
        there = self._there()
        if there != self._file:
            said = "its file is missing" if there is None else "another file has taken its place; restart for that"
            raise sqlite3.OperationalError(said)

    def _there(self) -> tuple[int, int] | None:
        """What no other file of SQLite has: device and inode."""
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)  # noqa: PTH116 - before every use, and a Path would take longer than the call
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _put_back(self, connection: PoolProxiedConnection) -> None:
        connection.rollback()
        self._idle.append(connection)


class Turn:
    """The threads of this process queue here for SQLite's one write lock, which would poll for it with growing naps.

    Waiting here and for other processes has one limit: else each of many threads would wait as long as all before it.
    """

    def __init__(self, patience: float) -> None:
        self._lock = threading.Lock()
        self._patience = patience
        self._until = 0.0

    def __enter__(self) -> None:
        """Raises StoreUnavailable."""
        until = time.monotonic() + self._patience
        if not self._lock.acquire(timeout=self._patience):
            raise StoreBusy("the database cannot be written: too many requests wait for it")
        self._until = until

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()

    def left(self) -> float:
        """The seconds for which who has the turn may still wait; all of them when nobody has it."""
        if not self._lock.locked():
            return self._patience
        left = self._until - time.monotonic()
        # A wait that was not worth speaking of is not worth a statement to the database.
        return self._patience if left > self._patience - _UNNOTICED else max(left, 0.0)


def _unavailable(error: Exception) -> type[StoreUnavailable]:
    """What a failure of the driver is. One that is no lock, such as a full disk, does not end by waiting a little."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return StoreBusy if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else StoreUnavailable


def _patience(url: URL) -> float:
    """Seconds to wait for SQLite's write lock, at most an hour."""
    given = url.query.get("timeout") if url.get_backend_name() == "sqlite" else None
    return min(float(given), 3600.0) if isinstance(given, str) else float(BUSY_TIMEOUT)


def _take_turn(wal: str) -> int | None:
    """Let the process that is writing to a SQLite file finish, if it does so soon. Closing the file ends the turn.

    SQLite's own wait begins with a nap that is three times as long as writing a certificate takes. This is a courtesy
    between processes: whatever goes wrong with it, SQLite's lock still decides. It is a lock on the -wal file, which is
    there while a connection is open, and which SQLite itself does not lock.
    """
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(wal, os.O_RDONLY)
    except OSError:
        return None
    for _ in range(_SHORT_NAPS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_SHORT_NAP)
        except OSError:
            break
        else:
            break
    return descriptor


@contextlib.contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """A transaction like that of `Database.writing`, through SQLAlchemy alone.

    Its documentation would begin the transaction in an event. A listener on connection events costs every statement.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text(_BEGIN))
        yield connection


def _create_file(url: URL) -> None:
    """Make an empty file with mode 0600, if there is none; SQLite gives the -wal and -shm files the same mode."""
    if url.database in (None, "", ":memory:") or "uri" in url.query:
        raise ValueError("the SQL store needs a file; MemoryStore is the one in memory")
    with _creating:
        try:
            descriptor = os.open(str(url.database), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileExistsError:
            return
        os.close(descriptor)


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    try:
        # Only for a file that is still empty; an older one keeps its size and fills its free pages again.
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        switch_to_wal(cursor)
        cursor.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE}")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        # The pool does not know this connection yet, so nobody else would close it.
        connection.close()
        raise
    cursor.close()


def switch_to_wal(cursor: DBAPICursor) -> None:
    """Switch the database to WAL mode, where it then stays: for all later connections this does nothing.

    When two processes switch a new file at the same moment, SQLite sees a deadlock between them and refuses one at
    once, without the busy timeout: the one that lost tries again. A file that is locked it does wait for.
    """
    until = time.monotonic() + BUSY_TIMEOUT - _NAP
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_NAP)
        else:
            return


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _close_idle_connections() -> None:
    """Done before every `os.fork` of this process.

    A forked child must neither use nor close a SQLite connection that it inherited, and even a new one of its own
    would share the library's record of locks that only the parent has. With none open there is nothing to inherit.
    """
    for database in list(_databases):
        database.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_idle_connections)
