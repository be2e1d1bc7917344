"""scep-kem getcert, getcrl, caps, cacert: what the client asks of anybody's server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.asn1 import any_of
from pkix.certificates import Certificate, IssuerAndSerialNumber, extension_of
from pkix.errors import PkixError
from pkix.times import THIS_DEVICE, clock, minute
from pkix.usages import is_ca
from scep.attributes import MessageType
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import Crl, Issued, Refused
from scep_kem import files
from scep_kem.cli.client_files import check_outputs, querier_of
from scep_kem.cli.client_options import (
    NOT_PINNED,
    fingerprint_option,
    http_of,
    http_options,
    legacy_option,
    options_of,
    out_option,
    protocol_options,
    read_fingerprint_option,
    url_option,
)
from scep_kem.cli.common import FILE, parse_serial
from scep_kem.cli.enrolment import refused
from scep_kem.cli.json_report import Reporting, facts_of, json_option, note, reported
from scep_kem.cli.outputs import write_certificate
from scep_kem.client.answers import keyword_remarks, shown_keywords
from scep_kem.client.chains import issuers_of
from scep_kem.client.client import ScepClient
from scep_kem.client.options import Options
from scep_kem.client.transport import HttpTransport, TransportError
from scep_kem.client.wanted import AnyKey
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.terminal import printable

MOST_REMARKS = 8

issuer_option = click.option(
    "--issuer",
    "issuer_file",
    type=FILE,
    help="Certificate of the CA that issued, if it is none of GetCACert's any more (PEM or DER). It is trusted.",
)


@click.command(cls=Reporting)
@json_option
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="A certificate of ours to sign with (PEM or DER).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM or DER).")
@click.option("--serial", required=True, help="Serial number wanted, hex.")
@issuer_option
@out_option
@protocol_options
def getcert(
    url: str, cert_file: Path, key_file: Path, serial: str, issuer_file: Path | None, out: Path, **protocol: Any
) -> None:
    """Get a copy of an issued certificate with GetCert.

    The answer is encrypted to the key that signs the query. If --key cannot decrypt, an ephemeral RSA key signs.
    """
    number = parse_serial(serial)
    check_outputs({"--out": out}, {"--key": key_file})
    key, certificate = querier_of(key_file, cert_file, protocol["keys"])
    issuer = _issuer(issuer_file)
    client = ScepClient(options_of(url, protocol))
    name = IssuerAndSerialNumber(issuer=any_of((issuer or client.ca.ca).subject), serial_number=number)
    outcome = client.query(MessageType.GetCert, name, key, certificate, issuer)
    if isinstance(outcome, Refused):
        own = any(item.serial_number == number for item in client.ca.all)
        advice = "`scep-kem cacert` gets a certificate of the CA's with this number" if own else _signed_by(key)
        refused(outcome, "; ".join(filter(None, (advice, client.note))))
    if not isinstance(outcome, Issued):
        raise ReplyRefused("the CA answered PENDING to GetCert, which only an enrolment can be")
    write_certificate(out, Certificate.load(outcome.certificate))


@click.command(cls=Reporting)
@json_option
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="The certificate whose CRL is wanted (PEM or DER).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM or DER).")
@issuer_option
@click.option("--out", type=FILE, required=True, help="File for the CRL (PEM).")
@protocol_options
def getcrl(url: str, cert_file: Path, key_file: Path, issuer_file: Path | None, out: Path, **protocol: Any) -> None:
    """Get the CRL with GetCRL.

    The answer is encrypted to the key that signs the query. If --key cannot decrypt, an ephemeral RSA key signs. The
    URL of the CRL needs neither.
    """
    check_outputs({"--out": out}, {"--key": key_file})
    key, certificate = querier_of(key_file, cert_file, protocol["keys"])
    issuer = _issuer(issuer_file)
    client = ScepClient(options_of(url, protocol))
    outcome = client.query(MessageType.GetCRL, certificate.issuer_and_serial, key, certificate, issuer)
    if isinstance(outcome, Refused):
        urls = " or ".join(_crl_urls(certificate))
        instead = f"the certificate names a URL of its CRL: {urls}" if urls else ""
        refused(outcome, "; ".join(filter(None, (_signed_by(key), instead, client.note))))
    if not isinstance(outcome, Crl):
        raise ReplyRefused("the CA answered PENDING to GetCRL, which only an enrolment can be")
    try:
        crl = x509.load_der_x509_crl(outcome.crl)
    except ValueError:
        raise ReplyRefused("the CRL received cannot be read") from None
    files.write(out, crl.public_bytes(Encoding.PEM))
    note(crl=crl.public_bytes(Encoding.PEM).decode())
    click.echo(printable(f"CRL written to {out}"))
    end = crl.next_update_utc
    if end is not None and end < utc_now():
        click.echo(
            f"it was to be followed by another one by {minute(end)}, and {clock(utc_now(), THIS_DEVICE)}", err=True
        )


def _issuer(file: Path | None) -> Certificate | None:
    """Raises UsageError."""
    found = None if file is None else files.read_certificate(file)
    if found is not None and not is_ca(found):
        raise UsageError(f"{file}: the certificate is not that of a CA")
    return found


def _signed_by(key: AnyKey) -> str:
    """What to say of a refusal if it was not --key that signed."""
    if isinstance(key, rsa.RSAPrivateKey):
        return ""
    return "an ephemeral RSA key signed, because --key cannot decrypt; some servers answer only certificates of theirs"


def _crl_urls(certificate: Certificate) -> list[str]:
    """That the certificate names."""
    try:
        points = extension_of(certificate, x509.CRLDistributionPoints) or ()
    except PkixError:
        return []
    names = [name for point in points for name in point.full_name or ()]
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


@click.command(cls=Reporting)
@json_option
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
    note(url=url, capabilities=shown)
    if not reported():
        for keyword in shown:
            click.echo(printable(keyword))
    if not shown:
        odd.append("the answer is empty, so the server has none of the capabilities")
    tell_remarks("GetCACaps", [*odd, *keyword_remarks(body or b"")])


def tell_remarks(where: str, found: list[str]) -> None:
    """In one line, what is odd about answers that can be used."""
    if found:
        click.echo(printable(f"{where}: {'; '.join(found[:MOST_REMARKS])}"), err=True)


@click.command(cls=Reporting)
@json_option
@url_option
@fingerprint_option
@http_options
@legacy_option
@click.option("--next", "following", is_flag=True, help="The next CA certificate (GetNextCACert), verified.")
@click.option(
    "--next-fingerprint",
    callback=read_fingerprint_option,
    help="SHA-256 (or SHA-1) of the next CA certificate, if the server signs it as older drafts had it.",
)
@click.option("--all", "everything", is_flag=True, help="Also the RA's certificates, which are nothing to trust.")
@click.option("--out", type=FILE, help="File for the certificates (PEM); the default is stdout.")
def cacert(
    url: str,
    ca_fingerprint: str | None,
    legacy: bool,
    following: bool,
    next_fingerprint: str | None,
    everything: bool,
    out: Path | None,
    **http: Any,
) -> None:
    """Get and authenticate the CA's certificates.

    With GetCACert or GetNextCACert. The certificates of CAs are written, the one that issues first: a file to trust,
    as with `openssl verify -CAfile`. What each certificate is for is on stderr.
    """
    check_outputs({"--out": out}, {"--tls-ca": http["tls_ca"]})
    if next_fingerprint is not None and not following:
        raise UsageError("--next-fingerprint is of the certificate that --next gets")
    check_outputs({"--out": out}, {})
    client = ScepClient(Options(url=url, fingerprint=ca_fingerprint, legacy=legacy, http=http_of(http)))
    ca = client.ca
    received = client.next_ca(next_fingerprint) if following else ca.all
    certificates = list(received) if everything else issuers_of(received, ca.ca)
    tell_remarks("HTTP", client.remarks)
    _tell(received, ca, following)
    if ca_fingerprint is None:
        click.echo(f"{NOT_PINNED}: compare its fingerprint with one that you have from elsewhere", err=True)
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
