"""What an extension says, in words, and what of a request's extensions a certificate does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from pkix.certificates import AnyCertificate, extensions_of
from pkix.errors import shortened
from pkix.general_names import rendered
from pkix.microsoft_sid import MICROSOFT_SID
from pkix.purposes import purpose_name
from pkix.usages import bits_of

_SID = re.compile(rb"S-1(-\d+)+")
_MOST, _LONGEST = 8, 80  # lines of a text for the log, and characters of each


def not_granted(made: AnyCertificate, wanted: x509.Extensions) -> Iterator[str]:
    """What was asked for in extensions and is not in the certificate, a line each."""
    given: dict[str, list[str]] = {}
    for item in extensions_of(made):
        title, values = extension_facts(item)
        given.setdefault(title, []).extend(values)
    for item in wanted:
        title, values = extension_facts(item)
        yield from (f"{title}: {value}" for value in values if value not in given.get(title, []))


def in_bounds(lines: list[str]) -> str:
    """The same in one line of bounded length, for the log."""
    shown = [shortened(line, _LONGEST) for line in lines[:_MOST]]
    return "; ".join([*shown, *([f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])])


def extension_facts(item: x509.Extension[x509.ExtensionType]) -> tuple[str, list[str]]:
    """Under which fact an extension is listed, and what it says, a line each."""
    value = item.value
    if isinstance(value, x509.SubjectAlternativeName):
        return "subjectAltName", [rendered(name) for name in value]
    if isinstance(value, x509.KeyUsage):
        return "keyUsage", bits_of(value)
    if isinstance(value, x509.ExtendedKeyUsage):
        return "extendedKeyUsage", [usage_name(usage) for usage in value]
    if isinstance(value, x509.CRLDistributionPoints):
        return "CRL URLs", [rendered(name) for point in value for name in point.full_name or ()]
    if isinstance(value, x509.AuthorityInformationAccess):
        return "AIA URLs", [f"{_access(entry)} {rendered(entry.access_location)}" for entry in value]
    if item.oid == MICROSOFT_SID:
        octets = value.public_bytes()
        found = _SID.search(octets)
        return "Microsoft SID", [f"{found[0].decode() if found else 'unreadable'}, in hex {octets.hex()}"]
    name = "basicConstraints" if isinstance(value, x509.BasicConstraints) else item.oid.dotted_string
    told = f"{name}{', critical' if item.critical else ''}: "
    if isinstance(value, x509.BasicConstraints):
        return "other extensions", [told + ("a CA" if value.ca else "not a CA")]
    return "other extensions", [told + value.public_bytes().hex()]


def usage_name(usage: x509.ObjectIdentifier) -> str:
    """Its name if it has one, and always its OID."""
    name, dotted = purpose_name(usage), usage.dotted_string
    return name if name == dotted else f"{name} ({dotted})"


def _access(entry: x509.AccessDescription) -> str:
    known = {AuthorityInformationAccessOID.CA_ISSUERS: "caIssuers", AuthorityInformationAccessOID.OCSP: "ocsp"}
    return known.get(entry.access_method, entry.access_method.dotted_string)
