"""A backup of a CA: a folder that is a CA of its own, with the keys, what was issued until now, and the configuration.

    roles.json, server.key, ca-<16 hex digits>/*.pem     as they are
    store.sqlite                                         the database at one moment, wherever it is
    scep.toml                                            the configuration, with `dir`, `database`,
                                                         `webhook_ca_file` and `webhook_secret_file` leading into the
                                                         backup
    webhook-<profile>.pem, webhook-<profile>.secret      what these two named

Nothing else of the CA's folder is copied, and of a link what it leads to, if that is the CA's, too.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path

from sqlalchemy.engine import make_url

from ca.sql_store import SqlStore
from scep_kem import files, safety
from scep_kem.ca_dir import DATABASE_NAME, SERVER_KEY_NAME, CaDir
from scep_kem.config import CONFIG_NAME, Config
from scep_kem.errors import UsageError, cannot

Changes = Mapping[tuple[str, ...], str]  # names of tables and key, to the key's new value


def back_up(found: CaDir, store: SqlStore, target: Path) -> None:
    """Copy a CA and its database to a new folder, which is there whole or not at all. Raises UsageError."""
    if store.file is None:
        raise UsageError("this database has means of its own for a backup; copy the folder beside it")
    _check_free(target)
    if target.resolve().is_relative_to(found.path.resolve()):
        raise UsageError(f"{target} is in the CA's folder, and would be lost with it")
    safety.check_folder(target)
    with found.locked(), _new_folder(target) as folder:
        found.load()  # a backup that would not load is none
        _copy(found.path / SERVER_KEY_NAME, folder / SERVER_KEY_NAME)
        _copy(found.roles_path, folder / found.roles_path.name)
        for generation in found.generation_folders():
            (folder / generation.name).mkdir(mode=0o700)
            for item in sorted(generation.glob("*.pem")):
                _copy(item, folder / generation.name / item.name)
        _copy_configuration(found, folder)
        store.copy_to(folder / DATABASE_NAME)


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; a backup gets a folder of its own")


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder of nobody else, which in the end gets its name; when anything fails, it is gone."""
    try:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".backup-"))
    except OSError as error:
        raise cannot(f"make {target}", error) from None
    try:
        yield folder
        _check_free(target)  # renaming would replace an empty folder
        folder.rename(target)
    except OSError as error:
        raise cannot(f"make {target}", error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    safety.check_folder(source)  # a link may lead anywhere
    _write(target, files.read(source))


def _write(target: Path, data: bytes) -> None:
    """To a new file."""
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy_configuration(found: CaDir, folder: Path) -> None:
    """So that nothing in it leads out of the backup, to the CA that is in use."""
    config, text = found.configuration(), files.read(found.config_path, secret=True).decode()
    changes: dict[tuple[str, ...], str] = {("ca", "dir"): "."}
    if config.database is not None:
        moved = make_url(config.database).set(database=DATABASE_NAME)
        changes["ca", "database"] = moved.render_as_string(hide_password=False)
    for profile, key, source, target in _webhook_files(config):
        _write(folder / target, files.read(source))
        changes["profiles", profile, "authorisation", key] = target
    try:
        _write(folder / CONFIG_NAME, changed(text, changes).encode())
    except ValueError as error:
        raise UsageError(f"{found.config_path}: {error}; a backup has another value there") from None


def _webhook_files(config: Config) -> Iterator[tuple[str, str, Path, str]]:
    """Profile, key, the file that it names, and what that is called in the backup."""
    for name, item in config.profiles.items():
        if item.webhook is not None and item.webhook.ca_file is not None:
            yield name, "webhook_ca_file", item.webhook.ca_file, f"webhook-{name}.pem"
        if item.webhook is not None and item.webhook.secret_file is not None:
            yield name, "webhook_secret_file", item.webhook.secret_file, f"webhook-{name}.secret"


def changed(text: str, changes: Changes) -> str:
    """A TOML document in which keys that are there have other values. Raises ValueError if it is not written as usual,
    with one key a line below the header of its table.
    """
    lines, table = [], ()
    for line in text.split("\n"):
        header = re.fullmatch(r"\s*\[([\w.-]+)\]\s*(?:#.*)?", line)
        if header:
            table = tuple(header[1].split("."))
        key = re.match(r"\s*([\w-]+)\s*=", line)
        value = changes.get((*table, key[1])) if key else None
        lines.append(line if key is None or value is None else f"{key[0]} {dumps(value, ensure_ascii=False)}")
    made, wanted = "\n".join(lines), copy.deepcopy(tomllib.loads(text))
    for path, value in changes.items():
        inner = wanted
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(made) == wanted:
            return made
    raise ValueError(f"write {' and '.join(path[-1] for path in changes)} each on a line below the header of its table")
