"""Commands whose options and arguments are never empty.

A shell writes an empty text for a variable that is not set. It must not pass for an option that is not given, as the
fingerprint of the CA to trust, nor name the folder that we are in.
"""

from __future__ import annotations

from typing import Any

import click

from scep_kem.errors import UsageError

_GIVEN = "scep_kem.given"


class Command(click.Command):
    """Raises UsageError for an empty value, before anything is read or asked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever; what was given is kept as it was written."""
        given = self.make_parser(ctx).parse_args(list(args))[0]
        for param in self.params:
            value = given.get(param.name)
            if "" in (value if isinstance(value, list | tuple) else (value,)):
                name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name.strip("[].")
                raise UsageError(f"{name} is empty")
        ctx.meta[_GIVEN] = given
        return super().parse_args(ctx, args)


class Group(click.Group):
    """Commands of one kind."""

    command_class = Command


def given_options() -> dict[str, Any]:
    """The options that the command was given, by name, as they were written; True for a flag."""
    return dict(click.get_current_context().meta[_GIVEN])
