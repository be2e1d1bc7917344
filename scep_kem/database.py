"""The file of an SQLite database: whether it may be opened."""

from __future__ import annotations

import stat
from pathlib import Path

from scep_kem import safety
from scep_kem.errors import UsageError, cannot
from scep_kem.terminal import command


def check_database(path: Path, *, is_new: bool) -> None:
    """Raise UsageError for a file of SQLite that is missing, no file, or somebody else's."""
    safety.check_folder(path)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        if is_new:
            return
        empty = command("install", "-m", "600", "/dev/null", path)
        raise UsageError(
            f"the database {path} is missing, and with it what was issued and revoked: restore it from a "
            f"backup. For an empty one, `{empty}` as the server's account"
        ) from None
    except OSError as error:
        raise cannot(f"open the database {path}", error) from None
    if not regular:
        raise UsageError(f"the database {path} is not a regular file")
    safety.warn_if_readable(path)
