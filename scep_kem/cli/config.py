"""scep-kem config: what is wrong with a configuration before a server takes it, and what each key may be."""

from __future__ import annotations

from pathlib import Path

import click

from scep_kem.ca_dir import CaDir
from scep_kem.cli.common import one_of_places, place_options
from scep_kem.clock import utc_now
from scep_kem.config import Config, examine
from scep_kem.config_reference import reference
from scep_kem.errors import UsageError
from scep_kem.owner import as_owner
from scep_kem.server.routes import misleading, ungiven
from scep_kem.terminal import printable


@click.group()
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
        if read is not None:
            try:
                read.check_ends(now=utc_now())
            except UsageError as error:
                read, faults = None, [f"{path}: {error}"]
        warnings = [] if read is None else _warnings(read)
    if read is None:
        for text in faults[:-1]:
            click.echo(f"scep-kem: {printable(text)}", err=True)
        raise UsageError(faults[-1])
    if CaDir(read.ca_dir).exists():
        with as_owner(read.ca_dir) as folder:
            warnings += ungiven(read, CaDir(folder, path).load().current)
    else:
        warnings.append(f"there is no CA in {read.ca_dir} yet")
    for text in warnings:
        click.echo(f"WARNING: {printable(text)}", err=True)
    click.echo(printable(f"{path} is right: CA in {read.ca_dir}, profiles {', '.join(read.profiles)}"))


def _warnings(read: Config) -> list[str]:
    found = list(read.webhook_lapses(now=utc_now()))
    if read.settings.algorithms.legacy:
        found.append("algorithms.legacy is on: SHA-1 and 3DES are accepted")
    for name, item in read.profiles.items():
        policy = item.authorisation
        if not (policy.challenge_password or policy.renewal or policy.manual or item.webhook):
            found.append(f"profile {name} issues nothing: no key of its authorisation is on")
        found += misleading(item.profile, read.profiles)
    return found


@config.command("reference")
def show_reference() -> None:
    """Show every key, and what it may be."""
    click.echo(reference(), nl=False)
