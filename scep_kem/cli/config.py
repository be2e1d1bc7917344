"""scep-kem config: what is wrong with a configuration before a server takes it, and what each key may be."""

from __future__ import annotations

from pathlib import Path

import click

from scep_kem.ca_dir import CaDir
from scep_kem.cli.commands import Group
from scep_kem.cli.common import one_of_places, place_options
from scep_kem.clock import utc_now
from scep_kem.config import Config, examine
from scep_kem.config_advice import advice
from scep_kem.config_faults import Faults
from scep_kem.config_reference import reference
from scep_kem.database import check_database
from scep_kem.errors import UsageError
from scep_kem.kem import backends
from scep_kem.owner import as_owner
from scep_kem.server.routes import misleading, ungiven
from scep_kem.terminal import printable


@click.group(cls=Group)
def config() -> None:
    """The configuration file, scep.toml."""


@config.command()
@place_options
def check(directory: Path | None, config_file: Path | None) -> None:
    """Say all that is wrong with a configuration, a line each.

    Exit code 2 if a server would not take it. Warnings are of what is possible and perhaps not meant. Nothing is
    changed, and no webhook or database is asked.
    """
    given = one_of_places(directory, config_file)
    with as_owner(given) as place:
        path = CaDir(place).config_path if config_file is None else place
        read, faults = examine(path)
    warnings: list[str] = []
    if read is not None:
        found = Faults()
        warnings = [*advice(read), *_of_profiles(read, found), *_of_folder(read, path, found)]
        faults = [f"{path}: {text}" for text in found.texts]
    for text in warnings:
        click.echo(f"WARNING: {printable(text)}", err=True)
    for text in faults[:-1]:
        click.echo(f"scep-kem: {printable(text)}", err=True)
    if read is None or faults:
        raise UsageError(faults[-1])
    click.echo(printable(f"{path} is right: CA in {read.ca_dir}, profiles {', '.join(read.profiles)}"))


def _of_profiles(read: Config, faults: Faults) -> list[str]:
    """Warnings. What this machine lacks, and what has ended, are faults."""
    warnings = []
    with faults.collected():
        backends(read.kem_backend)
    for name, item in read.profiles.items():
        warnings += misleading(item.profile, read.profiles)
        if item.webhook is not None:
            with faults.collected():
                item.webhook.check_ends(name, now=utc_now())
                warnings += map(str, item.webhook.lapses(name, now=utc_now()))
    return warnings


def _of_folder(read: Config, path: Path, faults: Faults) -> list[str]:
    """Warnings of the CA's folder and its database, which are looked at and not opened."""
    found = CaDir(read.ca_dir, path)
    if not found.has_folder():
        return [str(found.nothing())]
    warnings: list[str] = []
    with faults.collected(), as_owner(read.ca_dir) as folder:
        found = CaDir(folder, path)
        if not folder.is_dir():
            raise UsageError(f"ca.dir: {folder} is not a folder")
        with faults.collected():
            check_database(found.database_url(read.database), create=not found.exists())
        if not found.exists() and not found.remains():
            return [str(found.nothing())]
        found.require()
        found.server_key()
        warnings += ungiven(read, found.load().current)
    return warnings


@config.command("reference")
def show_reference() -> None:
    """Show every key, and what it may be."""
    click.echo(reference(), nl=False)
