"""scep-kem ca import-issued: what a CA issued before it came here, and what of that is revoked."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from cryptography import x509

from ca.authority import Authority
from ca.profiles import Profile, purposes
from ca.store import IssuedCertificate, Store, StoreConflict
from pkix.certificates import UNREADABLE, Certificate, extensions_of, load_certificate
from pkix.errors import PkixError
from pkix.names import comparable
from pkix.signed_objects import has_issued
from pkix.usages import extended_usages, is_ca, is_cmc_ra
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.cli.commands import Command
from scep_kem.cli.common import FILE, ca_options, configured_profile, generation, open_store
from scep_kem.errors import UsageError
from scep_kem.ra import record_of
from scep_kem.server.routes import DEFAULT_PROFILE
from scep_kem.terminal import printable

MOST_CRL_NUMBER = 2**62  # what every database keeps

_Found = tuple[Path, x509.Certificate | str]  # a file, and a certificate in it or why there is none
_Revoked = tuple[int, str, x509.RevokedCertificate]  # serial number, reason, entry


def _read(path: Path) -> Iterator[_Found]:
    """The certificates in a file, or in the files of a folder and of those below."""
    if path.is_dir():
        for item in sorted(path.rglob("*")):
            if item.is_file():
                yield from _read(item)
        return
    try:
        for certificate in files.read_certificates(path):
            yield path, certificate
    except UsageError as error:
        yield path, str(error)


def _certificates(_context: click.Context, _argument: click.Parameter, paths: tuple[Path, ...]) -> list[_Found]:
    """Of files of who runs the command, which are read before root acts as the CA's owner."""
    return [found for path in paths for found in _read(path)]


def _crl(_context: click.Context, _option: click.Parameter, file: Path | None) -> x509.CertificateRevocationList | None:
    return None if file is None else files.read_crl(file)


@click.command("import-issued", cls=Command)
@ca_options
@click.argument(
    "found_certificates",
    metavar="PATH...",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True),
    callback=_certificates,
)
@click.option("--crl", type=FILE, callback=_crl, help="The CA's latest CRL: what it lists is revoked.")
@click.option("--crl-number", type=click.IntRange(0, MOST_CRL_NUMBER), help="Number of the latest CRL, if you lack it.")
@click.option("--profile", show_default="default", help="Profile in which they can be renewed.")
@click.option("--of", "identifier", metavar="ID", help="Of the CA with this ID in `ca show`; by default the current.")
def import_issued(
    found: CaDir,
    found_certificates: list[_Found],
    crl: x509.CertificateRevocationList | None,
    crl_number: int | None,
    profile: str | None,
    identifier: str | None,
) -> None:
    """Record certificates that the CA issued elsewhere.

    They can be revoked then, and renewed if the profile gives exactly what they are good for. Each PATH is a file with
    certificates or a folder of such files. What this CA has not signed is named and skipped, and the exit code is 2
    then. Doing it once more changes nothing.
    """
    if not found_certificates and crl is None:
        raise UsageError("give a PATH with certificates, or a --crl")
    if profile is not None and not found_certificates:
        raise UsageError("--profile is for certificates that can be renewed, so it needs a PATH with some")
    authority = generation(found.load(), identifier)
    renewing = configured_profile(found, profile or DEFAULT_PROFILE)
    revoked, number = ([], None) if crl is None else _checked(crl, authority)
    skipped = new = known = 0
    revocable: Counter[str] = Counter()
    with open_store(found) as store:
        for path, item in found_certificates:
            why = item if isinstance(item, str) else _refused(item, authority)
            if not (why or isinstance(item, str)):
                unlike = _not_renewable(item, renewing)
                recorded = _record(store, authority, item, "" if unlike else renewing.name)
                new, known = new + (recorded is True), known + (recorded is False)
                revocable[unlike] += recorded is True
                why = "another certificate with this serial number is known" if recorded is None else ""
            if why:
                skipped += 1
                click.echo(f"skipped {printable(str(path))}: {printable(why)}", err=True)
        only_numbers = _revoke(store, authority, revoked)
        for least in filter(None, (number, crl_number)):
            store.pass_crl_number(authority.identifier, least)
    listed = "no CRL given" if crl is None else f"{len(revoked)} revoked by the CRL"
    click.echo(f"{new} recorded, {known} known already, {listed}")
    if crl is None and crl_number is None:
        click.echo("our CRLs do not go on from the last number elsewhere: give --crl or --crl-number", err=True)
    for unlike, many in revocable.items():
        if unlike and many:
            click.echo(f"{many} of them can be revoked, but not renewed: {unlike}")
    if only_numbers:
        click.echo(f"{only_numbers} of the CRL are known by their number only, and stay on it until the CA ends")
    if skipped:
        raise UsageError(f"{skipped} skipped")


def _refused(certificate: x509.Certificate, authority: Authority) -> str:
    """Why a certificate is none to record; empty if it is one."""
    issuer = authority.ca.certificate
    try:
        load_certificate(Certificate.of(certificate).der)
    except PkixError as error:
        return error.text
    if certificate in (issuer, authority.first):
        return "this is the CA's own certificate"
    return "" if has_issued(issuer, certificate) else "this CA has not signed it"


def _not_renewable(certificate: x509.Certificate, profile: Profile) -> str:
    """Why a certificate is not renewed; empty if it is. A renewal gives what the profile gives, so a certificate that
    is good for anything else would change its purpose. One without extendedKeyUsage is good for everything (RFC 5280
    section 4.2.1.12).
    """
    if is_ca(certificate):
        return "certificate of a CA"
    if is_cmc_ra(certificate):
        return "certificate of an RA"
    usages = extended_usages(extensions_of(certificate))
    if usages is None or set(usages) == set(purposes(profile)):
        return ""
    return f"extendedKeyUsage other than that of profile {profile.name}"


def _record(store: Store, authority: Authority, certificate: x509.Certificate, profile: str) -> bool | None:
    """Whether it is new; None if there is another one with its number. profile: as `record_of` has it."""
    item = record_of(authority, certificate, profile=profile)
    try:
        store.record(item)
    except StoreConflict:
        there = store.certificate(item.authority, item.serial)
        return False if there is not None and there.der == item.der else None
    return True


def _checked(crl: x509.CertificateRevocationList, authority: Authority) -> tuple[list[_Revoked], int | None]:
    """What a CRL lists, and its number. Raises UsageError unless it is a complete one of this CA."""
    issuer = authority.ca.certificate
    try:
        ours = comparable(crl.issuer) == comparable(issuer.subject) and crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except UNREADABLE:
        ours = False
    if not ours:
        raise UsageError("the CRL is not one that this CA has signed")
    try:
        extensions = list(crl.extensions)
        listed = [(entry.serial_number, _reason(entry), entry) for entry in crl]
    except UNREADABLE:  # what it does not say might be that it is one of a part
        raise UsageError("the CRL has an extension that cannot be read") from None
    partial = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint)
    if any(isinstance(item.value, partial) for item in extensions):
        raise UsageError("the CRL is a delta CRL or one of a part; give the complete one")
    numbers = [item.value.crl_number for item in extensions if isinstance(item.value, x509.CRLNumber)]
    if any(number > MOST_CRL_NUMBER for number in numbers):
        raise UsageError(f"the CRL has the number {numbers[0]}, from which this program cannot go on")
    return listed, numbers[0] if numbers else None


def _reason(entry: x509.RevokedCertificate) -> str:
    """Of a revocation, which is one also where its extensions cannot be read."""
    with contextlib.suppress(*UNREADABLE):
        for item in entry.extensions:
            if isinstance(item.value, x509.CRLReason):
                return str(item.value.reason.value)
    return "unspecified"


def _revoke(store: Store, authority: Authority, revoked: list[_Revoked]) -> int:
    """Revoke what a CRL lists. How many of it are no certificates that we have."""
    missing = 0
    for serial, reason, entry in revoked:
        there = store.certificate(authority.identifier, serial)
        if there is None:
            store.record(_number_only(authority, serial))
        missing += there is None or not there.der
        store.revoke(authority.identifier, serial, reason=reason, now=entry.revocation_date_utc)
    return missing


def _number_only(authority: Authority, serial: int) -> IssuedCertificate:
    """The record of a revoked certificate of which only the number is known: in no list, but on the CRL, as long as it
    could be valid.
    """
    ca = authority.ca.certificate
    return IssuedCertificate(
        authority=authority.identifier,
        serial=serial,
        der=b"",
        subject="",
        spki_hash=b"",
        profile="",
        not_before=ca.not_valid_before_utc,
        not_after=ca.not_valid_after_utc,
        released=False,
    )
