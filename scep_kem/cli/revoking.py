"""scep-kem ca revoke: revoke a certificate, put it on hold, lift that."""

from __future__ import annotations

import contextlib

import click
from cryptography import x509

from ca.authorities import Authorities
from ca.crl import REVOCATION_REASONS
from ca.store import HOLD, RELEASE, IssuedCertificate, Store, StoreConflict
from pkix.signed_objects import has_issued
from pkix.usages import is_cmc_ra
from scep_kem.ca_dir import CaDir
from scep_kem.cli.commands import Command
from scep_kem.cli.common import FILE, Word, ca_options, certificate_option, open_store, parse_serial
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.ra import record_of
from scep_kem.server.routes import crl_path
from scep_kem.terminal import revealed


@click.command(cls=Command)
@ca_options
@click.argument("serial", required=False)
@click.option(
    "--cert",
    "certificate",
    type=FILE,
    callback=certificate_option,
    help="Its file, instead of SERIAL; also of an RA.",
)
@click.option(
    "--reason",
    type=Word((*REVOCATION_REASONS, RELEASE)),
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
        if len(known) > 1:
            raise UsageError(
                f"{len(known)} certificates of several CAs here have the serial {serial}: give one by --cert"
            )
        if not known:
            raise UsageError(f"no certificate with serial {serial}; for the RA's there is `ca replace-ra`")
        if reason in (HOLD, RELEASE) and any(map(_is_ra, known)):
            raise UsageError("no certificate of an RA is put on hold; `ca replace-ra` replaces and revokes it")
        for item in known:
            if store.certificate(item.authority, item.serial) is None:
                _make_known(store, item, reason)
            done = store.revoke(item.authority, item.serial, reason=reason, now=utc_now())
            click.echo(_said(item, done))
            if done.revoked_at is not None:
                click.echo(_where(generations, item.authority))


def _is_ra(item: IssuedCertificate) -> bool:
    """Whether it is an RA's; of what is known from a CRL only, there is nothing to look at."""
    return bool(item.der) and is_cmc_ra(x509.load_der_x509_certificate(item.der))


def _record(store: Store, generations: Authorities, certificate: x509.Certificate) -> IssuedCertificate:
    """Of a certificate of this CA, also if the database has none. Raises UsageError."""
    for authority in generations.known:
        issuer = authority.ca.certificate
        if certificate != issuer and has_issued(issuer, certificate):
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
