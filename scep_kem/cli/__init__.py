"""The command `scep-kem`."""

from __future__ import annotations

import sys

import click

from ca.migrations import StoreVersionError
from ca.store import StoreUnavailable
from kem.errors import KemError
from pkix.errors import PkixError
from scep_kem.cli.ca import ca
from scep_kem.cli.challenge import challenge
from scep_kem.cli.client import enroll, poll, renew
from scep_kem.cli.common import EXIT_FAILURE, EXIT_USAGE, exit_code, report
from scep_kem.cli.config import config
from scep_kem.cli.kem import kem
from scep_kem.cli.queries import cacert, caps, getcert, getcrl
from scep_kem.cli.requests import requests
from scep_kem.cli.server import serve
from scep_kem.cli.streams import lasting_output
from scep_kem.client.transport import TransportError
from scep_kem.errors import UsageError, cannot


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="scep-kem")
def cli() -> None:
    """SCEP (RFC 8894): a CA with its responder, and a client.

    \b
    A first enrolment, in two terminals:
      scep-kem serve --dir my-ca --port 8080
      scep-kem enroll --url http://127.0.0.1:8080/scep --key device.key --subject "CN=device" \\
          --challenge "$(scep-kem challenge new --dir my-ca)" --out device.pem

    \b
    Exit codes: 0 done or issued, 1 the server or the database cannot be reached, or broke the protocol,
    2 wrong usage or input, 3 still pending, 4 refused by the CA.
    """


for command in (ca, serve, config, challenge, requests, kem, enroll, renew, poll, getcert, getcrl, caps, cacert):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors are one line on stderr."""
    with lasting_output() as faults:
        try:
            _run()
        except SystemExit as stop:
            if stop.code or not faults:
                raise
        if faults:
            report(cannot("write all of the output", faults[0]))
            sys.exit(EXIT_FAILURE)


def _run() -> None:
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.Abort:
        sys.exit(130)
    except (UsageError, TransportError, PkixError, KemError, StoreUnavailable, StoreVersionError) as error:
        report(error)
        sys.exit(exit_code(error))
