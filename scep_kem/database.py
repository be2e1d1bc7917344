"""The database beside a CA: whether it may be opened. Its records are part of the CA, so none is made by the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from ca.migrations import StoreEmpty
from ca.sql_store import SqlStore
from ca.store import StoreUnavailable
from scep_kem import safety
from scep_kem.errors import UsageError, cannot


class NoDatabase(UsageError):
    """There is no database, or one without tables. what: which one, and how it is."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the database {what}: what was issued and revoked is not there. Restore it from a backup; "
            "`scep-kem ca new-database` makes one that knows of nothing"
        )


def check_database(url: URL, *, create: bool) -> None:
    """Raise UsageError for what can be known to be wrong without opening it. create: as in `open_database`."""
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise _no_driver(error) from None
    if url.get_backend_name() == "sqlite":
        _check_file(Path(str(url.database)), create=create)


def open_database(url: URL, *, create: bool) -> SqlStore:
    """The Store at a URL. create: it may be missing or empty, and is made then.

    Raises NoDatabase, UsageError if it cannot be one, and StoreUnavailable if it does not work.
    """
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        _check_file(Path(str(url.database)), create=create)
    try:
        return SqlStore(url, create=create)
    except StoreEmpty:
        # Of another URL, any part may be a secret.
        raise NoDatabase(f"{url.database if sqlite else 'that ca.database names'} is empty") from None
    except OSError as error:
        raise cannot(f"open the database {error.filename}", error) from None
    except ImportError as error:
        raise _no_driver(error) from None
    except DBAPIError as error:
        raise StoreUnavailable(f"the database cannot be opened: {' '.join(str(error.orig).split())}") from error


def _no_driver(error: ImportError) -> UsageError:
    return UsageError(f"cannot open the database: the Python package {error.name}, its driver, is not installed")


def _check_file(path: Path, *, create: bool) -> None:
    """Raise UsageError for a file of SQLite that is missing, no file, or somebody else's."""
    safety.check_folder(path)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        if create:
            return
        raise NoDatabase(f"{path} is missing") from None
    except OSError as error:
        raise cannot(f"open the database {path}", error) from None
    if not regular:
        raise UsageError(f"the database {path} is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise UsageError(f"we may not read and write the database {path}; is it another account's?")
    safety.warn_if_readable(path)
