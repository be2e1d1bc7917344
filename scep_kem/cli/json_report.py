"""--json: how a command of the client ended, as one JSON object on stdout. What else it would print goes to stderr."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kem.errors import KemError
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.names import name_text
from scep_kem.cli.commands import Command
from scep_kem.cli.common import exit_code, told
from scep_kem.client.transport import TransportError
from scep_kem.errors import UsageError
from scep_kem.trace import key_name

F = TypeVar("F", bound=Callable[..., Any])

_FACTS = "scep_kem.report"
_OPTION = "--json"


class Reporting(Command):
    """A command with --json. Its object has `command`, `status` and `exitCode`; the rest comes from `note`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As ever; what cannot be parsed is reported, too."""
        wanted = _OPTION in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except (click.ClickException, UsageError) as error:
            if wanted:
                text = error.format_message() if isinstance(error, click.ClickException) else str(error)
                _emit({"command": info_name, "status": "error", "error": text, "exitCode": exit_code(error)})
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --json, its object is printed when it has ended."""
        if not ctx.params.pop("as_json"):
            return super().invoke(ctx)
        ctx.meta[_OPTION] = True
        facts: dict[str, Any] = ctx.meta.setdefault(_FACTS, {})
        first = {"command": ctx.info_name, "status": "done"}
        try:
            with contextlib.redirect_stdout(sys.stderr):
                result = super().invoke(ctx)
        except SystemExit as stop:
            _emit(first | facts | {"exitCode": stop.code})
            raise
        except (UsageError, TransportError, PkixError, KemError) as error:
            _emit(first | facts | {"status": "error", "error": told(error), "exitCode": exit_code(error)})
            raise
        _emit(first | facts | {"exitCode": 0})
        return result


json_option = click.option(_OPTION, "as_json", is_flag=True, help="One JSON object on stdout; the rest on stderr.")


def reported() -> bool:
    """Whether the result goes into the object of --json, and nowhere else."""
    return _OPTION in click.get_current_context().meta


def note(**facts: Any) -> None:
    """What the object of --json will have. A Certificate becomes an object of its own."""
    kept = click.get_current_context().meta.setdefault(_FACTS, {})
    kept.update({name: facts_of(value) if isinstance(value, Certificate) else value for name, value in facts.items()})


def facts_of(certificate: Certificate) -> dict[str, str]:
    """What is in a certificate. Times are UTC, numbers and digests in hex."""
    return {
        "subject": name_text(certificate.subject_name),
        "issuer": name_text(certificate.issuer_name),
        "key": key_name(certificate),
        "serial": f"{certificate.serial_number:x}",
        "notBefore": f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ}",
        "notAfter": f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "sha256": hashlib.sha256(certificate.der).hexdigest(),
        "pem": certificate.pem.decode(),
    }


def _emit(facts: dict[str, Any]) -> None:
    click.echo(json.dumps(facts))
