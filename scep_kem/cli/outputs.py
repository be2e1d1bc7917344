"""What a certificate that was issued is written to: --out, --ca-out, --p12."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from pkix.certificates import Certificate
from scep.ca_certificates import CaCertificates
from scep_kem import files
from scep_kem.cli.commands import given_options
from scep_kem.cli.common import FILE
from scep_kem.cli.json_report import note
from scep_kem.cli.password_files import PASSWORD_FILE, password_in
from scep_kem.client.chains import chain_of
from scep_kem.client.wanted import AnyKey
from scep_kem.errors import UsageError
from scep_kem.terminal import printable
from scep_kem.trace import describe_certificate

Command = Callable[..., None]


@dataclass(frozen=True)
class Outputs:
    """certificate: PEM. chain: PEM of what is above it. p12: PKCS #12 of key, certificate and chain."""

    certificate: Path
    chain: Path | None = None
    p12: Path | None = None
    p12_password: bytes | None = field(default=None, repr=False)

    @property
    def by_option(self) -> dict[str, Path | None]:
        """The files to be written."""
        return {"--out": self.certificate, "--ca-out": self.chain, "--p12": self.p12}

    def write(self, certificate: Certificate, ca: CaCertificates, key: AnyKey) -> None:
        """What was issued, the certificate first. key: its key. Raises UsageError."""
        chain = chain_of(ca, certificate)
        write_certificate(self.certificate, certificate)
        note(chain=[item.pem.decode() for item in chain])
        if self.chain is not None:
            files.write(self.chain, files.pem(*chain))
            click.echo(printable(f"{len(chain)} certificate(s) above it written to {self.chain}"))
        if self.p12 is not None:
            assert self.p12_password is not None
            files.write_pkcs12(self.p12, key, certificate, chain, self.p12_password)
            click.echo(printable(f"key, certificate and {len(chain)} above it written to {self.p12}"))


def write_certificate(out: Path, certificate: Certificate) -> None:
    """Write a certificate, and say what is in it. Raises UsageError."""
    files.write(out, files.pem(certificate))
    note(status="issued", certificate=certificate)
    click.echo(printable(f"certificate written to {out}"))
    for line in describe_certificate(certificate):
        click.echo(f"    {line}")


_TOGETHER = "--p12 and --p12-password-file go together"


def _p12_password(context: click.Context, option: click.Parameter, file: Path | None) -> bytes | None:
    """Raises UsageError, before a password is read for nothing."""
    if file is not None and "p12" not in given_options():
        raise UsageError(_TOGETHER)
    return password_in(context, option, file)


def output_options(command: Command) -> Command:
    """The options by which a command is told where to write what was issued; it gets them as `outputs`."""

    @click.option("--out", type=FILE, required=True, help="File for the certificate (PEM).")
    @click.option("--ca-out", type=FILE, help="File for the CA's certificates above it (PEM), the issuer's first.")
    @click.option("--p12", type=FILE, help="File for key, certificate and those above it (PKCS #12 with PBMAC1).")
    @click.option(
        "--p12-password-file",
        type=PASSWORD_FILE,
        callback=_p12_password,
        help="File whose first line is the password of --p12; - is stdin.",
    )
    @functools.wraps(command)
    def with_outputs(
        *args: Any, out: Path, ca_out: Path | None, p12: Path | None, p12_password_file: bytes | None, **more: Any
    ) -> None:
        if p12 is not None and p12_password_file is None:
            raise UsageError(_TOGETHER)
        command(*args, outputs=Outputs(out, ca_out, p12, p12_password_file), **more)

    return with_outputs
