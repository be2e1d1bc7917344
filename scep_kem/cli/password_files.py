"""Options that name a file with a password; - is stdin, for one of them."""

from __future__ import annotations

from pathlib import Path

import click

from scep_kem import files
from scep_kem.cli.commands import given_options
from scep_kem.cli.common import stdin_password
from scep_kem.errors import UsageError

STDIN = Path("-")
PASSWORD_FILE = click.Path(path_type=Path, dir_okay=False)  # of every option that may have stdin


def claim_stdin(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    """A file that may be stdin, of which there is one. Raises UsageError if another option has it, too."""
    given = given_options()
    readers = [
        item.opts[0]
        for item in context.command.params
        if item.type is PASSWORD_FILE and str(given.get(item.name or "")) == str(STDIN)
    ]
    if file == STDIN and len(readers) > 1:
        raise UsageError(f"{' and '.join(readers)} both read stdin; give a file for one of them")
    return file


def password_in(context: click.Context, option: click.Parameter, file: Path | None) -> bytes | None:
    """The first line of the file that an option names. Raises UsageError."""
    if claim_stdin(context, option, file) is None:
        return None
    if file == STDIN:
        return first_line_of_stdin(option.opts[0]).encode()
    assert file is not None
    return files.read_first_line(file)


def first_line_of_stdin(option: str) -> str:
    """A password. option: which takes it. Raises UsageError if there is none: a shell that got no password passes on
    an empty one.
    """
    found = stdin_password()
    if not found:
        raise UsageError(f"{option} -: stdin is empty; its first line should be the password")
    return found
