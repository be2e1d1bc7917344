"""The RA of a generation of the CA: what follows a pair of its keys, and what its revocation records."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.authority import RA_VALIDITY, Authority, KemPair, KeyPair, create_authority, create_ra, create_ra_kem
from ca.errors import RequestRefused
from ca.store import IssuedCertificate, Store, StoreConflict
from pkix.certificates import Certificate
from pkix.keys import KEY_TYPES, generate, key_type_of
from pkix.names import comparable, name_text
from pkix.public_keys import key_identity
from pkix.times import THIS_MACHINE, outside
from pkix.usages import may
from scep_kem.errors import UsageError
from scep_kem.generation_files import ra_pairs
from scep_kem.kem import new_kem_key, public_kem_key

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def _certifying(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """What makes certificates for an RA, and raises UsageError where the CA may not certify one."""

    @functools.wraps(make)
    def certify(*args: Arguments.args, **more: Arguments.kwargs) -> Made:
        try:
            return make(*args, **more)
        except RequestRefused as error:
            raise UsageError(f"the RA gets no certificate: {error.text}") from None

    return certify


new_authority = _certifying(create_authority)
new_ra_kem = _certifying(create_ra_kem)


@_certifying
def successor(by: Authority, pair: KeyPair | KemPair, now: datetime, *, new_key: bool = True) -> KeyPair | KemPair:
    """A new key of the same type, or the same key, certified for the same role."""
    if isinstance(pair, KemPair):
        private = pair.key
        public = public_kem_key(private)
        if new_key:
            private, public = new_kem_key(private.parameter_set.name.lower())
        return create_ra_kem(by, private, public, now=now, random=os.urandom)
    role = "digitalSignature" if may(pair.certificate, "digitalSignature") else "keyEncipherment"
    return create_ra(by, generate(key_type(pair)) if new_key else pair.key, role, now, os.urandom)


def check_valid(authority: Authority, now: datetime, hint: str = "") -> None:
    """Raise UsageError if the CA can certify no RA now."""
    certificate = authority.ca.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        period = outside(certificate.not_valid_before_utc, certificate.not_valid_after_utc, now, THIS_MACHINE)
        raise UsageError(f"the CA certificate is not valid now, so it can certify no RA{hint}: {period}")


def revoke_ra(authority: Authority, only: str | None, *, store: Store, reason: str, now: datetime) -> None:
    """Record that the RA's certificates, the earlier ones, too, are revoked, so that the CRL lists them."""
    pairs = [pair for ra in authority.ra_sets for pair in ra_pairs(ra, only).values()]
    for pair in pairs:
        with contextlib.suppress(StoreConflict):  # known since an attempt that was stopped
            store.record(record_of(authority, pair.certificate))
        store.revoke(authority.identifier, pair.certificate.serial_number, reason=reason, now=now)


def check_not_revoked(authority: Authority, store: Store) -> None:
    """Raise UsageError if a certificate of the RA is revoked, as after an `abort` that was stopped halfway."""
    for _title, certificate in authority.by_role:
        known = store.certificate(authority.identifier, certificate.serial_number)
        if known is not None and known.revoked_at is not None:
            raise UsageError(
                "the RA of the prepared CA has been revoked: `ca rollover --abort` drops that CA, "
                "`ca replace-ra` gives it another RA"
            )


def record_of(authority: Authority, certificate: x509.Certificate, *, profile: str = "") -> IssuedCertificate:
    """The record of a certificate of which the Store knows nothing, so that it can be revoked.

    profile: in which it may be renewed; empty for none.
    """
    as_cms = Certificate.of(certificate)
    return IssuedCertificate(
        authority=authority.identifier,
        serial=certificate.serial_number,
        der=as_cms.der,
        subject=name_text(certificate.subject),
        spki_hash=key_identity(as_cms.spki),
        profile=profile,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        name=comparable(certificate.subject) if profile else "",
    )


def last_end(authority: Authority, now: datetime) -> datetime:
    """When a certificate of the RA made now ends."""
    return min(now + RA_VALIDITY, authority.ca.certificate.not_valid_after_utc)


def folder_name(authority: Authority) -> str:
    return f"ca-{authority.short_identifier}"


def key_type(pair: KeyPair) -> str:
    """The type of a new key like the pair's. An imported RSA key may have any length: the new one is not shorter,
    unless it was longer than the longest that we make.
    """
    key = pair.key
    if not isinstance(key, rsa.RSAPrivateKey):
        return key_type_of(key.public_key())
    sizes = [int(name.removeprefix("rsa:")) for name in KEY_TYPES if name.startswith("rsa:")]
    return f"rsa:{min((size for size in sizes if size >= key.key_size), default=max(sizes))}"
