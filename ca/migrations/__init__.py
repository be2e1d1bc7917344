"""The schema of the SQL store and the way from each of its versions to the next, run by alembic.

A new version is a module in `versions` (copy the latest one, set `revision` and `down_revision`) together with a
new SCHEMA_HEAD and the changed tables in `ca.sql_tables`. There is no way back: a program refuses a database
that is newer than itself. Alembic is imported only when there is something to migrate, because it takes longer
to load than a command takes to run.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ca.sql_engine import migrating
from ca.sql_tables import METADATA

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

# The revision that this program works with: the last one in `versions`.
SCHEMA_HEAD = "0006"

_READ_VERSION = text("SELECT version_num FROM alembic_version")

# Alembic keeps its context in global variables, so threads take turns.
_migrating = threading.Lock()


class StoreVersionError(Exception):
    """The database has a schema that this program cannot work with. The text is one line for the operator."""


class StoreEmpty(StoreVersionError):
    """The database has no tables, and none were to be made."""


def ensure_schema(engine: Engine, *, migrate: bool, create: bool) -> None:
    """Bring the database to SCHEMA_HEAD, creating the tables if there are none and `create` says so.

    The transaction has the write lock from its beginning, so of several processes that open a new database one
    migrates and the others wait for it and then find nothing left to do. Raises StoreVersionError if the
    database is newer than the program, or if it is older and `migrate` is False; StoreEmpty if it has no tables and
    `create` is False.
    """
    with engine.connect() as connection:
        if _version(connection) == SCHEMA_HEAD:
            return
    with _migrating, migrating(engine) as connection:
        version = _version(connection)
        if version is None and not create:
            raise StoreEmpty("the database has no tables")
        if version != SCHEMA_HEAD:
            _upgrade(connection, version, migrate=migrate)


def _version(connection: Connection) -> str | None:
    """The revision of the database; None if it has no tables yet."""
    try:
        row = connection.execute(_READ_VERSION).first()
    except DBAPIError:
        if inspect(connection).has_table("alembic_version"):
            raise
        return None
    return None if row is None else str(row[0])


def preload() -> None:
    """Load all that opening a database may need, for who will soon not be able to read the program's files."""
    for kind in ("sqlite", "postgresql+psycopg"):
        with contextlib.suppress(ImportError):
            make_url(f"{kind}://").get_dialect().import_dbapi()
    _scripts()


@functools.cache
def _scripts() -> ScriptDirectory:
    """The versions, all of them read."""
    from alembic.config import Config
    from alembic.runtime import environment  # noqa: F401 - what `_upgrade` needs
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "ca:migrations")
    found = ScriptDirectory.from_config(config)
    found.get_heads()
    return found


def _upgrade(connection: Connection, version: str | None, *, migrate: bool) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    scripts = _scripts()
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        raise StoreVersionError(
            f"the database has schema {version}, this program knows {SCHEMA_HEAD}: use a newer program"
        )
    if not migrate:
        raise StoreVersionError(
            f"the database has schema {version or 'none'}, this program needs {SCHEMA_HEAD}: migrate it first"
        )
    # What an env.py would do, whose file would be read each time.
    steps = functools.partial(_steps, scripts)
    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=METADATA)
        environment.run_migrations()


def _steps(scripts: ScriptDirectory, found: Any, _context: object) -> Any:
    """From what a database has to what this program works with, as alembic calls it."""
    return scripts._upgrade_revs(SCHEMA_HEAD, found)
