"""scep-kem getcert, getcrl, caps, cacert: what the client asks of anybody's server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.asn1 import any_of
from pkix.certificates import Certificate, IssuerAndSerialNumber, extension_of
from pkix.errors import PkixError
from scep.attributes import MessageType
from scep.ca_certificates import ReplyRefused
from scep.client import Crl, Issued, Refused
from scep_kem import files
from scep_kem.cli.client_files import (
    check_outputs,
    querier_of,
)
from scep_kem.cli.client_options import (
    fingerprint_option,
    http_of,
    http_options,
    options_of,
    out_option,
    protocol_options,
    url_option,
)
from scep_kem.cli.common import FILE, parse_serial
from scep_kem.cli.enrolment import (
    refused,
    write_certificate,
)
from scep_kem.client.answers import keyword_remarks, shown_keywords
from scep_kem.client.client import ScepClient
from scep_kem.client.options import Options
from scep_kem.client.transport import HttpTransport, TransportError
from scep_kem.terminal import printable

MOST_REMARKS = 8


@click.command()
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="A certificate of ours to sign with (PEM).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM).")
@click.option("--serial", required=True, help="Serial number wanted, hex.")
@out_option
@protocol_options
def getcert(url: str, cert_file: Path, key_file: Path, serial: str, out: Path, **protocol: Any) -> None:
    """Get a copy of an issued certificate with GetCert.

    The answer is encrypted to --key, so that is an RSA key.
    """
    number = parse_serial(serial)
    check_outputs({"--out": out}, {"--key": key_file})
    key, certificate = querier_of(key_file, cert_file, "GetCert", "; or get it by HTTP where the CA publishes them")
    client = ScepClient(options_of(url, protocol))
    name = IssuerAndSerialNumber(issuer=any_of(client.ca.ca.subject), serial_number=number)
    outcome = client.query(MessageType.GetCert, name, key, certificate)
    if isinstance(outcome, Refused):
        own = any(item.serial_number == number for item in client.ca.all)
        advice = "`scep-kem cacert` gets a certificate of the CA's with this number" if own else ""
        refused(outcome, "; ".join(filter(None, (advice, client.note))))
    if not isinstance(outcome, Issued):
        raise ReplyRefused("the CA answered PENDING to GetCert, which only an enrolment can be")
    write_certificate(out, outcome)


@click.command()
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="The certificate whose CRL is wanted (PEM).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM).")
@click.option("--out", type=FILE, required=True, help="File for the CRL (PEM).")
@protocol_options
def getcrl(url: str, cert_file: Path, key_file: Path, out: Path, **protocol: Any) -> None:
    """Get the CRL with GetCRL.

    The answer is encrypted to --key, so that is an RSA key. The URL of the CRL needs none.
    """
    check_outputs({"--out": out}, {"--key": key_file})
    urls = " or ".join(_crl_urls(files.read_certificate(cert_file)))
    key, certificate = querier_of(
        key_file, cert_file, "GetCRL", f"; or get the CRL from {urls or 'the URL where the CA publishes it'}"
    )
    client = ScepClient(options_of(url, protocol))
    outcome = client.query(MessageType.GetCRL, certificate.issuer_and_serial, key, certificate)
    if isinstance(outcome, Refused):
        refused(outcome, client.note)
    if not isinstance(outcome, Crl):
        raise ReplyRefused("the CA answered PENDING to GetCRL, which only an enrolment can be")
    try:
        crl = x509.load_der_x509_crl(outcome.crl)
    except ValueError:
        raise ReplyRefused("the CRL received cannot be read") from None
    files.write(out, crl.public_bytes(Encoding.PEM))
    click.echo(printable(f"CRL written to {out}"))


def _crl_urls(certificate: Certificate) -> list[str]:
    """That the certificate names."""
    try:
        points = extension_of(certificate, x509.CRLDistributionPoints) or ()
    except PkixError:
        return []
    names = [name for point in points for name in point.full_name or ()]
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


@click.command()
@url_option
@http_options
def caps(url: str, **http: Any) -> None:
    """Show what the server says it can (GetCACaps).

    The keywords are shown as they came; what is odd about them, on stderr.
    """
    odd: list[str] = []
    transport = HttpTransport(url, http_of(http), heard=lambda answer: odd.extend(answer.remarks()))
    body, _capabilities = transport.capabilities()
    if transport.no_capabilities:
        raise TransportError(transport.no_capabilities)
    shown = shown_keywords(body or b"")
    for keyword in shown:
        click.echo(printable(keyword))
    if not shown:
        odd.append("the answer is empty, so the server has none of the capabilities")
    tell_remarks("GetCACaps", [*odd, *keyword_remarks(body or b"")])


def tell_remarks(where: str, found: list[str]) -> None:
    """In one line, what is odd about answers that can be used."""
    if found:
        click.echo(printable(f"{where}: {'; '.join(found[:MOST_REMARKS])}"), err=True)


@click.command()
@url_option
@fingerprint_option
@http_options
@click.option("--next", "following", is_flag=True, help="The next CA certificate (GetNextCACert), verified.")
@click.option("--out", type=FILE, help="File for the certificates (PEM); the default is stdout.")
def cacert(url: str, ca_fingerprint: str | None, following: bool, out: Path | None, **http: Any) -> None:
    """Get and authenticate the CA's certificates.

    With GetCACert or GetNextCACert.
    """
    client = ScepClient(Options(url=url, fingerprint=ca_fingerprint, http=http_of(http)))
    certificates = client.next_ca() if following else client.ca.all
    tell_remarks("HTTP", client.remarks)
    if out is None:
        click.echo(files.pem(*certificates), nl=False)
    else:
        files.write(out, files.pem(*certificates))
    if not following:
        click.echo(f"CA fingerprint (SHA-256): {client.ca.fingerprint}", err=True)
