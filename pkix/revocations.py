"""What CRLs that are at hand say of the certificates in a path (RFC 5280 section 6.3), without fetching any.

Left out: delta and indirect CRLs, and those that cover only a part (issuingDistributionPoint): they have critical
extensions, and a CRL with one that is not known is not used.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pkix import usages
from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import UNREADABLE, Certificate
from pkix.errors import NotTrusted, PkixError
from pkix.names import comparable, name_text
from pkix.signed_objects import verify_signed_object

MAX_CRLS = 16


def check_crls(
    path: Sequence[x509.Certificate],
    crls: Sequence[bytes],
    *,
    now: datetime,
    algorithms: AlgorithmPolicy,
    every: bool,
) -> None:
    """Check each certificate but the last of a valid path against the CRLs of its issuer, which comes next.

    crls: DER CertificateLists, at most MAX_CRLS; what is wrong with one is only told if there is none better. every:
    whether each certificate needs a CRL. Raises NotTrusted.
    """
    if len(crls) > MAX_CRLS:
        raise NotTrusted(f"{len(crls)} CRLs; at most {MAX_CRLS} are looked at")
    for certificate, issuer in itertools.pairwise(path):
        whose = f"the certificate of {name_text(certificate.subject) or 'no name'}"
        usable, why = False, "there is none of its issuer"
        for der in crls:
            try:
                crl = _usable(der, issuer, now, algorithms)
            except PkixError as error:
                why = error.text
                continue
            if crl is None:
                continue
            usable = True
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise NotTrusted(f"{whose} has been revoked")
        if every and not usable:
            raise NotTrusted(f"{whose}: no CRL says that it is not revoked: {why}")


def is_crl(der: bytes) -> bool:
    """Whether it is a CertificateList that can be read."""
    try:
        x509.load_der_x509_crl(der)
    except UNREADABLE:
        return False
    return True


def issuer_of_crl(der: bytes) -> bytes:
    """DER of the Name of who made a CRL for which `is_crl` holds."""
    return x509.load_der_x509_crl(der).issuer.public_bytes()


# With one of these, also if somebody has not marked it critical, a CRL does not speak of all certificates.
_PARTIAL = (ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.DELTA_CRL_INDICATOR)


def _usable(
    der: bytes, issuer: x509.Certificate, now: datetime, algorithms: AlgorithmPolicy
) -> x509.CertificateRevocationList | None:
    """The CRL if it is this issuer's and may be relied on at `now`; None if it is another's. Raises PkixError."""
    try:
        crl = x509.load_der_x509_crl(der)
        if comparable(crl.issuer) != comparable(issuer.subject):
            return None
        unknown = [item.oid.dotted_string for item in crl.extensions if item.critical or item.oid in _PARTIAL]
        unknown += [item.oid.dotted_string for entry in crl for item in entry.extensions if item.critical]
        start, end = crl.last_update_utc, crl.next_update_utc
    except UNREADABLE:
        raise NotTrusted("a CRL cannot be read") from None
    if unknown:
        raise NotTrusted(f"its issuer's CRL has an extension that is not supported: {unknown[0]}")
    if end is None or not start <= now <= end:
        raise NotTrusted("its issuer's CRL is not that of now")
    if not usages.may(issuer, "cRLSign"):
        raise NotTrusted("its issuer's keyUsage has no cRLSign")
    verify_signed_object(der, Certificate.of(issuer).public_key, algorithms, "the CRL")
    return crl
