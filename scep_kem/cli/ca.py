"""scep-kem ca: the CA's keys, certificates and CRL."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import Authority, KeyPair
from ca.crl import REVOCATION_REASONS, Crls
from ca.errors import CrlRefused
from ca.lapses import lapses
from ca.store import HOLD, IssuedCertificate
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, key_type_of
from pkix.names import name_text
from pkix.usages import may
from scep_kem import files
from scep_kem.backup import back_up
from scep_kem.ca_dir import DEFAULT_SUBJECT, RA_ROLES, CaDir
from scep_kem.cli.commands import Group
from scep_kem.cli.common import (
    FILE,
    Left,
    Word,
    ca_options,
    dir_option,
    generation,
    open_store,
    parse_name,
)
from scep_kem.cli.importing import import_issued
from scep_kem.cli.revoking import revoke
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.imported_ca import check_imported, read_imported, read_pkcs12
from scep_kem.ra import check_not_revoked
from scep_kem.server.routes import crl_path, ungiven
from scep_kem.terminal import printable, revealed


@click.group(cls=Group)
def ca() -> None:
    """Make and look after the CA."""


Imported = tuple[KeyPair, list[x509.Certificate]] | None  # a CA made elsewhere, and its issuers


def _import_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a CA made elsewhere; the command gets it as `imported`. Its files belong to who runs the
    command, and are read before root acts as the CA's owner.
    """

    @click.option("--import-key", type=FILE, help="Use this CA key (PEM) instead of making one.")
    @click.option(
        "--import-key-password-file",
        type=FILE,
        help="File whose first line is the password of --import-key or --import-pkcs12.",
    )
    @click.option("--import-cert", type=FILE, help="The certificate of --import-key, issuers behind it (PEM).")
    @click.option("--import-pkcs12", type=FILE, help="Both, and the issuers, in one PKCS #12 file (.p12, .pfx).")
    @functools.wraps(command)
    def with_imported(
        *args: Any,
        import_key: Path | None,
        import_key_password_file: Path | None,
        import_cert: Path | None,
        import_pkcs12: Path | None,
        **more: Any,
    ) -> Any:
        if import_pkcs12 is not None and (import_key or import_cert):
            raise UsageError("--import-pkcs12 has key and certificate in it; give it without the other two")
        if (import_key is None) != (import_cert is None):
            raise UsageError("--import-key and --import-cert go together")
        if import_key is None and import_pkcs12 is None and import_key_password_file is not None:
            raise UsageError("--import-key-password-file goes with --import-key or --import-pkcs12")
        imported: Imported = None
        if import_pkcs12 is not None:
            imported = read_pkcs12(import_pkcs12, import_key_password_file, now=utc_now())
        if import_key is not None and import_cert is not None:
            imported = read_imported(import_key, import_cert, import_key_password_file, now=utc_now())
        return command(*args, imported=imported, **more)

    return with_imported


def _certificates(_context: click.Context, _option: click.Parameter, file: Path) -> list[x509.Certificate]:
    """Of a file of who runs the command, which is read before root acts as the CA's owner. Raises UsageError."""
    return files.read_certificates(file)


@ca.command()
@dir_option
@click.option("--subject", default=DEFAULT_SUBJECT, show_default=True, help="Name of the CA.")
@click.option(
    "--key-type",
    type=Word(KEY_TYPES),
    default="rsa:2048",
    show_default=True,
    help="Key of the CA.",
)
@click.option("--ra", is_flag=True, help="Answers are signed by an RA's key instead of the CA's.")
@click.option("--ra-key-type", type=Word(KEY_TYPES), help="Its type; implies --ra.")
@click.option(
    "--kem",
    "kems",
    type=Word(KEM_KEY_TYPES),
    multiple=True,
    help="ML-KEM key for the RA, to which clients can encrypt. Repeatable. Which keys are certified, the profile says.",
)
@click.option("--no-rsa", is_flag=True, help="No RSA key for the RA: only clients that speak ML-KEM can enrol.")
@_import_options
@click.pass_context
def init(
    context: click.Context,
    directory: Path,
    subject: str,
    key_type: str,
    ra: bool,
    ra_key_type: str | None,
    kems: tuple[str, ...],
    no_rsa: bool,
    imported: Imported,
) -> None:
    """Make a CA: keys, SQLite database and scep.toml in a folder.

    A CA whose key is not RSA also gets an RSA certificate to which clients encrypt their requests.
    """
    pair, chain = imported or (None, [])
    for name in ("subject", "key_type"):
        if pair is not None and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')} is for a CA that is made; an imported one has its own")
    is_rsa = key_type.startswith("rsa:") if pair is None else isinstance(pair.key, rsa.RSAPrivateKey)
    if no_rsa and (not kems or is_rsa):
        raise UsageError("--no-rsa needs --kem and a CA key that is not RSA")
    own_type = "rsa:2048" if is_rsa else key_type_of(pair.key.public_key()) if pair is not None else key_type
    signer_type = ra_key_type or ((key_type if pair is None else own_type) if ra else None)
    found = CaDir(directory)
    authority = found.create(
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
    _warn(ungiven(found.configuration(), authority))


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
        click.echo(f"  {title}: {revealed(name_text(certificate.subject))}")
        click.echo(f"    SHA-256  {hashlib.sha256(der).hexdigest()}")
        click.echo(f"    SHA-1    {hashlib.sha1(der, usedforsecurity=False).hexdigest()}")
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        click.echo(f"    valid    from {start:%Y-%m-%d} until {end:%Y-%m-%d}")
    for serial, (title, certificate) in _still_opened(authority).items():
        end = certificate.not_valid_after_utc
        click.echo(f"  earlier {title}, serial {serial:x}: opened until it ends on {end:%Y-%m-%d}")
    _warn(lapses(authority, now=utc_now()))


def _still_opened(authority: Authority) -> dict[int, tuple[str, x509.Certificate]]:
    """Certificates of the RA that a renewal has followed by others, by their serial number."""
    present = {certificate.serial_number for _title, certificate in authority.by_role}
    earlier = [pair for ra in authority.earlier for pair in ra.by_role]
    return {item.serial_number: (title, item) for title, item in earlier if item.serial_number not in present}


def _of_ras(found: CaDir) -> set[int]:
    """Serial numbers of all certificates that requests are opened and answers are signed with."""
    known = found.load().known
    return {item.serial_number for of in known for ra in of.ra_sets for _title, item in ra.by_role}


def _warn(texts: Iterable[str]) -> None:
    """A line each. They may hold names that others gave."""
    for text in texts:
        click.echo(f"  WARNING: {printable(text)}")


@ca.command("add-kem")
@ca_options
@click.argument("kem", type=Word(KEM_KEY_TYPES))
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


@ca.command("new-database")
@ca_options
def new_database(found: CaDir) -> None:
    """Make an empty database for a CA that has none.

    For a CA that has lost its own, or gets another. It knows of no certificate that was issued, none that is revoked
    and no challenge password. If there is a backup, restore that instead. `ca import-issued --crl` brings back
    certificates and revocations.
    """
    found.make_database(found.configuration().database)
    click.echo("a database was made that knows of nothing: no CRL has what was revoked before")


def _ra_reason(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--reason for certificates of an RA. None of them is put on hold, because their keys do not come back."""
    reasons = [reason for reason in REVOCATION_REASONS if reason != HOLD]
    return click.option(
        "--reason",
        type=Word(reasons),
        default=default,
        show_default=True,
        help="Reason in the CRL for the RA's certificates (RFC 5280 section 5.3.1).",
    )


@ca.command("replace-ra")
@ca_options
@click.option("--only", type=Word(RA_ROLES), help="Only the RA's certificate for this; the default is all.")
@click.option(
    "--of", "identifier", metavar="ID", help="Only of the CA with this ID in `ca show`; by default of all in use."
)
@_ra_reason("unspecified")
def replace_ra(found: CaDir, only: str | None, identifier: str | None, reason: str) -> None:
    """Replace the RA's keys and certificates at once.

    The old keys open and sign nothing any more, their certificates are served no more and the CRL lists them. Their
    files are kept under names that show the moment. A running server notices by itself.
    """
    before = _of_ras(found)
    with open_store(found) as store:
        of = generation(found.load(), identifier) if identifier is not None else None
        concerned = found.replace_ra(only, store=store, reason=reason, now=utc_now(), of=of)
    current = found.load().current.identifier
    for authority in concerned:
        _show("current" if authority.identifier == current else "other", authority)
    revoked = ", ".join(f"{serial:x}" for serial in sorted(before - _of_ras(found)))
    click.echo(
        f"\nThe old certificates are revoked, serial {revoked}."
        "\nClients have to fetch GetCACert before their next request; where the RA's certificates were stored or"
        "\nconfigured by hand, these have to be replaced. A request that was encrypted to an old key is refused, and"
        "\nits client has to send it again."
    )


@ca.command("renew-ra")
@ca_options
@click.option("--new-keys", is_flag=True, help="Make new keys, too; by default the keys stay.")
@click.option(
    "--of", "identifier", metavar="ID", help="Only of the CA with this ID in `ca show`; by default of all in use."
)
def renew_ra(found: CaDir, new_keys: bool, identifier: str | None) -> None:
    """Make new certificates for the RA.

    Nothing is revoked: requests that are encrypted to the old certificates are opened until those end, and answered
    by the old signer, because their clients know no other. A running server notices by itself.
    """
    of = generation(found.load(), identifier) if identifier is not None else None
    concerned = found.renew_ra(new_keys=new_keys, now=utc_now(), of=of)
    current = found.load().current.identifier
    for authority in concerned:
        _show("current" if authority.identifier == current else "other", authority)
    click.echo("\nGetCACert has the new certificates. What is encrypted to the old ones is opened until they end.")


@ca.command()
@_import_options
@ca_options
@click.option("--activate", is_flag=True, help="Make the prepared CA the current one.")
@click.option("--abort", is_flag=True, help="Take the prepared CA out of use.")
def rollover(found: CaDir, activate: bool, abort: bool, imported: Imported) -> None:
    """Prepare the next CA, put it in force, or drop it.

    Once prepared, clients get it with GetNextCACert, signed by the current CA, and a request encrypted to it is
    issued by it. The next of a subordinate CA is imported. One that is dropped is retired: whoever has its certificate
    keeps it, and its CRL is served. A running server notices by itself.
    """
    if activate + abort + (imported is not None) > 1:
        raise UsageError("give one of --activate, --abort and what is imported")
    if activate:
        prepared = found.load().following
        if prepared is not None:
            with open_store(found) as store:
                check_not_revoked(prepared, store)
        _show("current", found.activate_rollover())
    elif abort:
        with open_store(found) as store:
            dropped = found.abort_rollover(store=store, now=utc_now())
        short = dropped.short_identifier
        click.echo(f"the prepared CA {short} is retired; its CRL stays at {crl_path(short)}")
    else:
        pair, chain = imported or (None, [])
        _show("next", found.prepare_rollover(now=utc_now(), ca=pair, chain=chain))
        if not may(found.load().current.ca.certificate, "digitalSignature"):
            click.echo("WARNING: GetNextCACert is signed by the CA's key, whose keyUsage lacks digitalSignature")


@ca.command("import-cert")
@ca_options
@click.argument("certificates", metavar="FILE", type=FILE, callback=_certificates)
def import_cert(found: CaDir, certificates: list[x509.Certificate]) -> None:
    """Take a new certificate for the CA's key.

    FILE holds it, and its issuers behind it (PEM): for a CA whose issuer has renewed its certificate. What the CA has
    issued stays valid, and ID, CRL and URLs stay. A running server notices by itself.
    """
    check_imported(certificates, now=utc_now())
    ends = {authority.identifier: authority.ca.certificate.not_valid_after_utc for authority in found.load().known}
    renewed = found.import_certificate(certificates)
    _show("renewed", renewed)
    before, after = ends[renewed.identifier], renewed.ca.certificate.not_valid_after_utc
    if after < before:
        _warn([f"it ends on {after:%Y-%m-%d}, the certificate before it on {before:%Y-%m-%d}: is it the right file?"])


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
            try:
                made = Crls(store).make(authority, now=now).der
            except CrlRefused as error:
                raise UsageError(f"CA {authority.short_identifier}: {error}") from None
            data += made if der else x509.load_der_x509_crl(made).public_bytes(Encoding.PEM)
    if out is not None:
        return functools.partial(files.write, out, data)
    click.echo(data, nl=False)
    return None


ca.add_command(revoke)
ca.add_command(import_issued)
