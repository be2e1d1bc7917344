"""Options that name a file with a password; - is stdin, for one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from scep_kem import files
from scep_kem.cli.common import FILE, stdin_password
from scep_kem.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

STDIN = Path("-")
_READS_STDIN = "scep_kem.reads_stdin"


def claim_stdin(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    """A file that may be stdin, of which there is one. Raises UsageError if another option has it."""
    if file == STDIN:
        other = context.meta.setdefault(_READS_STDIN, option.opts[0])
        if other != option.opts[0]:
            raise UsageError(f"{other} and {option.opts[0]} both read stdin; give a file for one of them")
    return file


def password_file_option(*names: str, help: str) -> Callable[[F], F]:
    """An option for a file whose first line is a password; the command gets its octets."""
    return click.option(*names, type=FILE, callback=password_in, help=help)


def password_in(context: click.Context, option: click.Parameter, file: Path | None) -> bytes | None:
    """The first line of the file that an option names. Raises UsageError."""
    if claim_stdin(context, option, file) is None:
        return None
    if file == STDIN:
        found = stdin_password().encode()
        if not found:
            raise UsageError(f"{option.opts[0]} -: stdin is empty; its first line should be the password")
        return found
    assert file is not None
    return files.read_first_line(file)
