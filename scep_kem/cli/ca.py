"""scep-kem ca: the CA's keys, certificates and CRL."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authorities import Authorities
from ca.authority import Authority, KeyPair, lapses
from ca.crl import REVOCATION_REASONS, Crls
from ca.store import HOLD, RELEASE, IssuedCertificate, Store, StoreConflict
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES
from pkix.usages import is_cmc_ra
from scep.ca_certificates import CaCertificates
from scep_kem import files
from scep_kem.backup import back_up
from scep_kem.ca_dir import DEFAULT_SUBJECT, RA_ROLES, CaDir, record_of
from scep_kem.cli.common import (
    FILE,
    Left,
    ca_options,
    dir_option,
    generation,
    open_store,
    parse_name,
    parse_serial,
)
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.imported_ca import read_imported
from scep_kem.server.routes import crl_path
from scep_kem.terminal import printable, revealed


@click.group()
def ca() -> None:
    """Make and look after the CA."""


@ca.command()
@dir_option
@click.option("--subject", default=DEFAULT_SUBJECT, show_default=True, help="Name of the CA.")
@click.option("--key-type", type=click.Choice(KEY_TYPES), default="rsa:2048", show_default=True, help="Key of the CA.")
@click.option("--ra", is_flag=True, help="Answers are signed by an RA certificate instead of the CA's key.")
@click.option("--ra-key-type", type=click.Choice(KEY_TYPES), help="Key of the RA signer (implies --ra).")
@click.option(
    "--kem",
    "kems",
    type=click.Choice(KEM_KEY_TYPES),
    multiple=True,
    help="ML-KEM key for the RA, to which clients encrypt; with it, ML-KEM keys are certified. Repeatable.",
)
@click.option("--no-rsa", is_flag=True, help="No RSA key for the RA: only clients that speak ML-KEM can enrol.")
@click.option("--import-key", type=FILE, help="Use this CA key (PEM) instead of making one.")
@click.option("--import-cert", type=FILE, help="The certificate of --import-key, issuers behind it (PEM).")
def init(
    directory: Path,
    subject: str,
    key_type: str,
    ra: bool,
    ra_key_type: str | None,
    kems: tuple[str, ...],
    no_rsa: bool,
    import_key: Path | None,
    import_cert: Path | None,
) -> None:
    """Make a CA: keys, SQLite database and scep.toml in a folder.

    A CA whose key is not RSA also gets an RSA certificate to which clients encrypt their requests.
    """
    pair, chain = _imported(import_key, import_cert)
    is_rsa = key_type.startswith("rsa:") if pair is None else isinstance(pair.key, rsa.RSAPrivateKey)
    if no_rsa and (not kems or is_rsa):
        raise UsageError("--no-rsa needs --kem and a CA key that is not RSA")
    signer_type = ra_key_type or (key_type if ra else None)
    authority = CaDir(directory).create(
        parse_name(subject),
        key_type,
        ra_key_type=signer_type,
        now=utc_now(),
        ca=pair,
        chain=chain,
        kems=kems,
        rsa_decryption=not no_rsa,
    )
    click.echo(f"CA made in {printable(str(directory))}")
    _show("current", authority)


def _imported(key_file: Path | None, cert_file: Path | None) -> tuple[KeyPair | None, list[x509.Certificate]]:
    if key_file is None and cert_file is None:
        return None, []
    if key_file is None or cert_file is None:
        raise UsageError("--import-key and --import-cert go together")
    return read_imported(key_file, cert_file, now=utc_now())


@ca.command()
@ca_options
def show(found: CaDir) -> None:
    """Show the CA's certificates and fingerprints."""
    generations = found.load()
    _show("current", generations.current)
    if generations.following:
        _show("next", generations.following)
    for authority in generations.previous:
        _show("previous", authority)
    for authority in generations.retired:
        _show("retired", authority)


def _show(role: str, authority: Authority) -> None:
    click.echo(f"\n{role} CA, ID {authority.short_identifier}")
    for title, certificate in [*authority.by_role, *(("issuer", item) for item in authority.chain)]:
        der = certificate.public_bytes(Encoding.DER)
        click.echo(f"  {title}: {revealed(certificate.subject.rfc4514_string())}")
        click.echo(f"    SHA-256  {hashlib.sha256(der).hexdigest()}")
        click.echo(f"    SHA-1    {hashlib.sha1(der, usedforsecurity=False).hexdigest()}")
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        click.echo(f"    valid    from {start:%Y-%m-%d} until {end:%Y-%m-%d}")
    for text in lapses(authority, now=utc_now()):
        click.echo(f"  WARNING: {text}")


@ca.command("add-kem")
@ca_options
@click.argument("kem", type=click.Choice(KEM_KEY_TYPES))
def add_kem(found: CaDir, kem: str) -> None:
    """Give the RA an ML-KEM key and certificate.

    Also the RA of a CA that `ca rollover` has prepared. A running server notices by itself.
    """
    found.add_kem(kem, now=utc_now())
    generations = found.load()
    _show("current", generations.current)
    if generations.following:
        _show("next", generations.following)


@ca.command()
@ca_options
@click.argument("target", type=click.Path(path_type=Path))
def backup(found: CaDir, target: Path) -> None:
    """Copy the CA to TARGET: keys, database, configuration.

    TARGET is a new folder in one that is there and where nobody else may write. The server need not stop. A database
    that is not SQLite is not copied.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - what links lead to is looked at later
    with open_store(found) as store:
        back_up(found, store, target)
    click.echo(f"the CA is in {printable(str(target))}, with all its keys: keep it as safe")


def _certificate(_context: click.Context, _option: click.Parameter, file: Path | None) -> x509.Certificate | None:
    """Of a file of who runs the command, which is read before root acts as the CA's owner. Raises UsageError."""
    return None if file is None else files.read_certificate(file)


def _ra_reason(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--reason for certificates of an RA. None of them is put on hold, because their keys do not come back."""
    reasons = [reason for reason in REVOCATION_REASONS if reason != HOLD]
    return click.option(
        "--reason",
        type=click.Choice(reasons),
        default=default,
        show_default=True,
        help="Reason in the CRL for the RA's certificates (RFC 5280 section 5.3.1).",
    )


@ca.command("replace-ra")
@ca_options
@click.option("--only", type=click.Choice(RA_ROLES), help="Only the RA's certificate for this; the default is all.")
@click.option(
    "--of", "identifier", metavar="ID", help="Only of the CA with this ID in `ca show`; by default of all in use."
)
@_ra_reason("unspecified")
def replace_ra(found: CaDir, only: str | None, identifier: str | None, reason: str) -> None:
    """Replace keys and certificates of the RA, and withdraw the old.

    The old keys open and sign nothing any more, their certificates are served no more and the CRL lists them. Their
    files are kept under names that show the moment. A running server notices by itself.
    """
    with open_store(found) as store:
        of = generation(found.load(), identifier) if identifier is not None else None
        concerned = found.replace_ra(only, store=store, reason=reason, now=utc_now(), of=of)
    current = found.load().current.identifier
    for authority in concerned:
        _show("current" if authority.identifier == current else "other", authority)
    click.echo(
        "\nThe old certificates are revoked. Clients have to fetch GetCACert before their next request; where the RA's"
        "\ncertificates were stored or configured by hand, these have to be replaced. A request that was encrypted to"
        "\nan old key is refused, and its client has to send it again."
    )


@ca.command()
@ca_options
@click.option("--activate", is_flag=True, help="Make the prepared CA the current one.")
def rollover(found: CaDir, activate: bool) -> None:
    """Prepare the next CA certificate, or put it in force.

    Once prepared, clients get it with GetNextCACert, signed by the current CA, and a request encrypted to it is
    issued by it. A running server notices by itself.
    """
    if activate:
        _show("current", found.activate_rollover())
    else:
        _show("next", found.prepare_rollover(now=utc_now()))


@ca.command()
@ca_options
@click.argument("identifier", metavar="ID")
@_ra_reason("cessationOfOperation")
def retire(found: CaDir, identifier: str, reason: str) -> None:
    """Take the previous CA with this ID of `ca show` out of use.

    It opens and answers nothing any more, and the certificates of its RA are revoked. Certificates that it has issued
    stay valid, can be renewed and revoked, and its CRL is served. A running server notices by itself.
    """
    authority = generation(found.load(), identifier)
    with open_store(found) as store:
        found.retire(authority, store=store, reason=reason, now=utc_now())
    click.echo(f"retired the CA {authority.short_identifier}; its CRL stays at {crl_path(authority.short_identifier)}")


@ca.command()
@ca_options
@click.argument("serial", required=False)
@click.option(
    "--cert", "certificate", type=FILE, callback=_certificate, help="Its file, instead of SERIAL; also of an RA."
)
@click.option(
    "--reason",
    type=click.Choice((*REVOCATION_REASONS, RELEASE)),
    default="unspecified",
    show_default=True,
    help="Reason in the CRL (RFC 5280 section 5.3.1); removeFromCRL releases a certificate that is on certificateHold.",
)
def revoke(found: CaDir, serial: str | None, certificate: x509.Certificate | None, reason: str) -> None:
    """Revoke the certificate with this SERIAL (hex).

    With --cert also one of this CA that its database does not know, as after a restore, and one of an RA.

    A certificateHold may be followed by another reason, and every reason by keyCompromise; the moment of revocation
    stays. Otherwise the first reason stands. No certificate of an RA is put on hold.
    """
    if (serial is None) == (certificate is None):
        raise UsageError("give either SERIAL or --cert")
    generations = found.load()
    with open_store(found) as store:
        if certificate is None:
            known = list(store.find_serial(parse_serial(str(serial))))
        else:
            known = [_record(store, generations, certificate)]
        if not known:
            raise UsageError(f"no certificate with serial {serial}; for the RA's there is `ca replace-ra`")
        if reason in (HOLD, RELEASE) and any(is_cmc_ra(x509.load_der_x509_certificate(item.der)) for item in known):
            raise UsageError("no certificate of an RA is put on hold; `ca replace-ra` replaces and revokes it")
        for item in known:
            if store.certificate(item.authority, item.serial) is None:
                _make_known(store, item, reason)
            done = store.revoke(item.authority, item.serial, reason=reason, now=utc_now())
            click.echo(_said(item, done))
            if done.revoked_at is not None:
                click.echo(_where(generations, item.authority))


def _record(store: Store, generations: Authorities, certificate: x509.Certificate) -> IssuedCertificate:
    """Of a certificate of this CA, also if the database has none. Raises UsageError."""
    for authority in generations.known:
        issuer = authority.ca.certificate
        if certificate != issuer and CaCertificates(issuer, (issuer,)).issued(certificate):
            known = store.certificate(authority.identifier, certificate.serial_number)
            return known or record_of(authority, certificate)
    raise UsageError("this is not a certificate that this CA has issued")


def _make_known(store: Store, item: IssuedCertificate, reason: str) -> None:
    """As after a restore. Raises UsageError if that would say that it is valid, of which we know nothing."""
    if reason == RELEASE:
        raise UsageError("the database does not know this certificate, so it is not on hold")
    with contextlib.suppress(StoreConflict):  # somebody was faster
        store.record(item)


def _said(before: IssuedCertificate, after: IssuedCertificate) -> str:
    """What a revocation has done to a certificate."""
    named = f"{after.serial:x} {revealed(after.subject)}"
    if after.revoked_at is None:
        return f"nothing changed: {named} is not on hold" if after == before else f"released from hold: {named}"
    state = f"({after.reason}, {after.revoked_at:%Y-%m-%d %H:%M} UTC)"
    if after == before:
        return f"nothing changed: {named} was revoked before {state}"
    was = f", before {before.reason}" if before.revoked_at is not None else ""
    return f"revoked {named} {state}{was}"


def _where(generations: Authorities, identifier: str) -> str:
    """On which CRL a certificate of this CA appears."""
    authority = generations.named(identifier)
    if authority is None:
        return "its CA is not in this folder: it appears on no CRL"
    short, current = authority.short_identifier, authority is generations.current
    also = " and /scep/crl" if current else ""
    which = "the current CA" if current else "another generation of the CA, not on that at /scep/crl"
    return f"on the CRL of {which}: {crl_path(short)}{also}, `ca crl --of {short}`"


@ca.command("list")
@ca_options
def list_certificates(found: CaDir) -> None:
    """List the issued certificates, newest first."""
    with open_store(found) as store:
        for item in store.certificates():
            click.echo(f"{item.serial:x}  {item.not_after:%Y-%m-%d}  {_status(item):<10}  {revealed(item.subject)}")


def _status(item: IssuedCertificate) -> str:
    if item.revoked_at is not None:
        return "revoked"
    return "expired" if item.not_after < utc_now() else "valid"


@ca.command()
@ca_options
@click.option("--of", "identifier", metavar="ID", help="Of the CA with this ID in `ca show`; by default the current.")
@click.option("--all", "everything", is_flag=True, help="Of every generation of the CA, one after the other (PEM).")
@click.option("--out", type=FILE, help="File to write; the default is stdout.")
@click.option("--der", is_flag=True, help="DER instead of PEM.")
def crl(found: CaDir, identifier: str | None, everything: bool, out: Path | None, der: bool) -> Left | None:
    """Sign a fresh CRL. Each generation of the CA has its own, for what it has issued."""
    if everything and (identifier is not None or der):
        raise UsageError("--all goes with neither --of nor --der")
    generations, now = found.load(), utc_now()
    chosen = generations.known if everything else [generation(generations, identifier)]
    data = b""
    with open_store(found) as store:
        for authority in chosen:
            made = Crls(store).make(authority, now=now).der
            data += made if der else x509.load_der_x509_crl(made).public_bytes(Encoding.PEM)
    if out is not None:
        return functools.partial(files.write, out, data)
    click.echo(data, nl=False)
    return None
