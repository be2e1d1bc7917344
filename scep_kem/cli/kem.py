"""scep-kem kem: the implementations of ML-KEM."""

from __future__ import annotations

import click

from scep_kem.cli.commands import Group
from scep_kem.kem import backend_list


@click.group(cls=Group)
def kem() -> None:
    """ML-KEM on this machine."""


@kem.command("backends")
def list_backends() -> None:
    """List the implementations of ML-KEM.

    Each with what it can do, or why it cannot be used. liboqs is looked for among the system's libraries and under the
    prefix that OQS_INSTALL_PATH names.
    """
    for status in backend_list():
        if status.problem is not None:
            click.echo(f"{status.name:<14} not usable: {status.problem}")
        else:
            names = ", ".join(parameter_set.name for parameter_set in status.parameter_sets)
            click.echo(f"{status.name:<14} {status.version}: {names}")
