"""Schema versions: a new database, one that is up to date, older, newer, or opened by many at once."""

from __future__ import annotations

import multiprocessing
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DatabaseError

from ca.migrations import SCHEMA_HEAD, StoreVersionError
from ca.sql_engine import store_engine
from ca.sql_store import SqlStore
from ca.sql_tables import METADATA

PATIENCE = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "100% ca.sqlite3"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    SqlStore(url).close()
    engine = store_engine(url)
    yield engine
    engine.dispose()


def versions(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def set_version(path: Path, version: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))


def test_the_constant_names_the_only_head() -> None:
    config = Config()
    config.set_main_option("script_location", "ca:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_HEAD]


def test_migrated_schema_is_the_schema_of_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_migrated_statements_are_those_of_the_tables(engine: Engine, tmp_path: Path) -> None:
    """What autogenerate does not compare: primary keys, partial indexes, the kind of the id columns.

    A column that a later version added stands behind the constraints in SQLite's text, so the parts are compared
    without their order.
    """
    direct = store_engine(f"sqlite:///{tmp_path}/direct.sqlite3")
    METADATA.create_all(direct)
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version' ORDER BY name"

    def parts(connection: Connection) -> list[tuple[str, list[str]]]:
        rows = connection.exec_driver_sql(query).all()  # with quotes around the name of a table that was renamed
        plain = [(name, sql.replace('"', "").replace("(", " ( ").replace(")", " ) ")) for name, sql in rows]
        return [(name, sorted(re.split(r"[\s,]+", sql))) for name, sql in plain]

    with engine.connect() as migrated, direct.connect() as created:
        assert parts(migrated) == parts(created)
    direct.dispose()


def test_a_new_database_gets_the_head(engine: Engine, path: Path) -> None:
    assert versions(path) == [(SCHEMA_HEAD,)]
    assert set(inspect(engine).get_table_names()) == {*METADATA.tables, "alembic_version"}


def test_opening_again_changes_nothing(url: str, path: Path) -> None:
    SqlStore(url).close()
    SqlStore(url).close()
    assert versions(path) == [(SCHEMA_HEAD,)]


def test_a_database_that_is_up_to_date_does_not_load_alembic(url: str) -> None:
    SqlStore(url).close()
    script = (
        "import sys; from ca.sql_store import SqlStore\n"
        "SqlStore(sys.argv[1]).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, url], check=True, timeout=PATIENCE, cwd=root)


def test_a_newer_database_is_refused_in_one_line(url: str, path: Path) -> None:
    SqlStore(url).close()
    set_version(path, "9999")
    for migrate in (True, False):
        with pytest.raises(StoreVersionError, match="schema 9999") as caught:
            SqlStore(url, migrate=migrate)
        assert "\n" not in str(caught.value)
    assert versions(path) == [("9999",)]


def test_an_empty_database_is_refused_if_it_may_not_be_migrated(url: str) -> None:
    with pytest.raises(StoreVersionError, match="schema none") as caught:
        SqlStore(url, migrate=False)
    assert "\n" not in str(caught.value)
    SqlStore(url).close()


def test_a_file_that_is_no_database_is_left_alone(url: str, path: Path) -> None:
    path.write_bytes(b"not a database\n" * 100)
    with pytest.raises(DatabaseError):
        SqlStore(url)
    assert path.read_bytes() == b"not a database\n" * 100


def test_a_failing_migration_leaves_nothing(url: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE crl_numbers (x)")
    with pytest.raises(DatabaseError):
        SqlStore(url)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("crl_numbers",)]


def test_threads_that_open_a_new_database_together(url: str, path: Path) -> None:
    barrier, opened = threading.Barrier(4), []

    def contend() -> None:
        barrier.wait(PATIENCE)
        with SqlStore(url) as store:
            opened.append(store.next_crl_number("aa"))

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(opened) == [1, 2, 3, 4]
    assert versions(path) == [(SCHEMA_HEAD,)]


def open_in_process(urls: list[str], barrier: Any, answers: Any) -> None:
    numbers = []
    for url in urls:
        barrier.wait(PATIENCE)
        with SqlStore(url) as store:
            numbers.append(store.next_crl_number("aa"))
    answers.put(numbers)


def test_processes_that_open_a_new_database_together(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{index}.sqlite3" for index in range(5)]
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=open_in_process, args=(urls, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    numbers = [answers.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    answers.close()
    answers.join_thread()
    assert [sorted(pair) for pair in zip(*numbers, strict=True)] == [[1, 2]] * 5
