"""scep-kem getcert, getcrl, caps, cacert: what the client asks of anybody's server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.asn1 import any_of
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.usages import is_ca
from scep.attributes import MessageType
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import Crl, Issued, Refused
from scep_kem import files
from scep_kem.cli.client_files import (
    check_outputs,
    signer_of,
)
from scep_kem.cli.client_options import (
    fingerprint_option,
    options_of,
    out_option,
    protocol_options,
    url_option,
)
from scep_kem.cli.common import FILE, parse_serial
from scep_kem.cli.enrolment import refused
from scep_kem.cli.outputs import write_certificate
from scep_kem.cli.report import Reporting, facts_of, json_option, note, reported
from scep_kem.client.chains import issuers_of
from scep_kem.client.client import ScepClient
from scep_kem.client.options import Options
from scep_kem.client.transport import HttpTransport, TransportError
from scep_kem.terminal import printable


@click.command(cls=Reporting)
@json_option
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="A certificate of ours to sign with (PEM or DER).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM or DER).")
@click.option("--serial", required=True, help="Serial number wanted, hex.")
@out_option
@protocol_options
def getcert(url: str, cert_file: Path, key_file: Path, serial: str, out: Path, **protocol: Any) -> None:
    """Get a copy of an issued certificate with GetCert."""
    number = parse_serial(serial)
    check_outputs({"--out": out}, {"--key": key_file})
    options = options_of(url, protocol)
    signer = signer_of(key_file, cert_file, options)
    client = ScepClient(options)
    name = IssuerAndSerialNumber(issuer=any_of(client.ca.ca.subject), serial_number=number)
    outcome = client.query(MessageType.GetCert, name, signer)
    if isinstance(outcome, Refused):
        refused(outcome)
    if not isinstance(outcome, Issued):
        raise ReplyRefused("the CA answered PENDING to GetCert, which only an enrolment can be")
    write_certificate(out, Certificate.load(outcome.certificate))


@click.command(cls=Reporting)
@json_option
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="The certificate whose CRL is wanted (PEM or DER).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM or DER).")
@click.option("--out", type=FILE, required=True, help="File for the CRL (PEM).")
@protocol_options
def getcrl(url: str, cert_file: Path, key_file: Path, out: Path, **protocol: Any) -> None:
    """Get the CRL with GetCRL."""
    check_outputs({"--out": out}, {"--key": key_file})
    options = options_of(url, protocol)
    signer = signer_of(key_file, cert_file, options)
    outcome = ScepClient(options).query(MessageType.GetCRL, signer.certificate.issuer_and_serial, signer)
    if isinstance(outcome, Refused):
        refused(outcome)
    if not isinstance(outcome, Crl):
        raise ReplyRefused("the CA answered PENDING to GetCRL, which only an enrolment can be")
    try:
        crl = x509.load_der_x509_crl(outcome.crl)
    except ValueError:
        raise ReplyRefused("the CRL received cannot be read") from None
    files.write(out, crl.public_bytes(Encoding.PEM))
    note(crl=crl.public_bytes(Encoding.PEM).decode())
    click.echo(printable(f"CRL written to {out}"))


@click.command(cls=Reporting)
@json_option
@url_option
def caps(url: str) -> None:
    """Show what the server says it can (GetCACaps)."""
    body, _capabilities = HttpTransport(url).capabilities()
    if body is None:
        raise TransportError(f"{url}: GetCACaps is answered with an HTTP error, which means no capabilities")
    found = sorted(body.decode("utf-8", "replace").split())
    note(url=url, capabilities=found)
    if not reported():
        for keyword in found:
            click.echo(printable(keyword))


@click.command(cls=Reporting)
@json_option
@url_option
@fingerprint_option
@click.option("--next", "following", is_flag=True, help="The next CA certificate (GetNextCACert), verified.")
@click.option("--all", "everything", is_flag=True, help="Also the RA's certificates, which are nothing to trust.")
@click.option("--out", type=FILE, help="File for the certificates (PEM); the default is stdout.")
def cacert(url: str, ca_fingerprint: str | None, following: bool, everything: bool, out: Path | None) -> None:
    """Get and authenticate the CA's certificates.

    With GetCACert or GetNextCACert. The certificates of CAs are written, the one that issues first: a file to trust,
    as with `openssl verify -CAfile`. What each certificate is for is on stderr.
    """
    client = ScepClient(Options(url=url, fingerprint=ca_fingerprint))
    ca = client.ca
    received = client.next_ca() if following else ca.all
    certificates = list(received) if everything else issuers_of(received, ca.ca)
    _tell(received, ca, following)
    if out is not None:
        files.write(out, files.pem(*certificates))
    elif not reported():
        click.echo(files.pem(*certificates), nl=False)
    if not following:
        click.echo(f"CA fingerprint (SHA-256): {ca.fingerprint}", err=True)


def _tell(received: Sequence[Certificate], ca: CaCertificates, following: bool) -> None:
    """Say of every certificate what it is for, and what is left out and why."""
    facts = []
    for item in received:
        role = ("next CA" if is_ca(item) else "its RA") if following else ca.role(item)
        known = facts_of(item)
        facts.append({"role": role} | known)
        click.echo(printable(f"{role}: {known['subject']}, {known['key']}"), err=True)
        click.echo(f"    valid   {known['notBefore']} to {known['notAfter']}", err=True)
        click.echo(f"    SHA-256 {known['sha256']}", err=True)
    for left_out in ca.left_out:
        click.echo(printable(f"left out: {left_out}"), err=True)
    reasons = [{"name": item.name, "reason": item.reason} for item in ca.left_out]
    note(caSha256=ca.fingerprint, certificates=facts, leftOut=reasons)
