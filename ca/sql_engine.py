"""How `ca.sql_store` connects: what SQLite must be told on every connection, and what a fork does to one.

The sqlite3 module would begin transactions by itself, and too late. It is switched to leaving that to us
(isolation_level None); then a transaction begins only where we say so, with the write lock at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

# Seconds to wait for the write lock of another process, unless the URL says otherwise (?timeout=5).
BUSY_TIMEOUT = 30

_BEGIN = text("BEGIN IMMEDIATE")

# Seconds between two attempts at what SQLite does not wait for by itself.
_NAP = 0.01

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
        pool_use_lifo=True,
        connect_args={"isolation_level": None},
    )
    event.listen(engine, "connect", _prepare)
    return engine


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that has the write lock from its beginning; committed at the end, rolled back by an exception.

    SQLAlchemy's documentation would begin it in an event. A listener on connection events costs every statement,
    also the reads, a third of its time.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(_BEGIN)
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
        switch_to_wal(cursor)
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
    once, without the busy timeout: the one that lost tries again.
    """
    for _ in range(int(BUSY_TIMEOUT / _NAP)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_NAP)
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def forget_at_fork(engine: Engine) -> None:
    """Have the engine's idle connections closed before every `os.fork` of this process.

    A forked child must neither use nor close a SQLite connection that it inherited, and even a new one of its own
    would share the library's record of locks that only the parent has. With none open there is nothing to inherit.
    """
    _engines.add(engine)


def _close_idle_connections() -> None:
    for engine in list(_engines):
        engine.dispose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_idle_connections)
