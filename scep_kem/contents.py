"""A certificate, fact by fact, for people who decide about it and for programs: text, lists and dictionaries only.

Nothing is left out: an extension that nobody here knows is shown in hex (RFC 5280 section 4.2).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from pkix import oids
from pkix.attribute_types import KEYWORDS
from pkix.certificates import Certificate, extensions_of
from pkix.general_names import rendered
from pkix.names import attribute_text, name_text
from pkix.usages import bits_of

Facts = dict[str, Any]

MICROSOFT_SID = x509.ObjectIdentifier(oids.MS_NTDS_CA_SECURITY.dotted_string)
_SID = re.compile(rb"S-1(-\d+)+")
# They follow from the keys of subject and issuer alone.
_IDENTIFIERS = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)


def certificate_facts(certificate: x509.Certificate, key_type: str) -> Facts:
    """Everything in it but serial number, signature and key identifiers. Raises ValueError if it cannot be read."""
    facts: Facts = {
        "issuer": name_text(certificate.issuer),
        "subject": name_text(certificate.subject),
        "subject attributes": [f"{_attribute(item)}: {attribute_text(item)}" for item in certificate.subject],
        "subjectAltName": [],
        "key": key_type,
        "key SHA-256": hashlib.sha256(Certificate.decode(certificate.public_bytes(Encoding.DER)).spki).hexdigest(),
        "valid from": certificate.not_valid_before_utc.isoformat(),
        "valid to": certificate.not_valid_after_utc.isoformat(),
        "keyUsage": [],
        "extendedKeyUsage": [],
        "Microsoft SID": [],
        "CRL URLs": [],
        "AIA URLs": [],
        "other extensions": [],
    }
    for item in extensions_of(certificate):
        if not isinstance(item.value, _IDENTIFIERS):
            name, values = extension_facts(item)
            facts[name].extend(values)
    return facts


def request_facts(subject: x509.Name, extensions: x509.Extensions, key_type: str) -> Facts:
    """What a request asks for. key_type: with its size, as in rsa:2048. Raises Malformed, ValueError."""
    facts: Facts = {
        "subject": name_text(subject),
        "subject attributes": [f"{_attribute(item)}: {attribute_text(item)}" for item in subject],
        "key": key_type,
    }
    for item in extensions:
        name, values = extension_facts(item)
        facts.setdefault(name, []).extend(values)
    return facts


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
    return usage.dotted_string if usage._name == "Unknown OID" else f"{usage._name} ({usage.dotted_string})"


def _attribute(item: x509.NameAttribute[str | bytes]) -> str:
    return KEYWORDS.get(item.oid) or item.oid.dotted_string


def _access(entry: x509.AccessDescription) -> str:
    known = {AuthorityInformationAccessOID.CA_ISSUERS: "caIssuers", AuthorityInformationAccessOID.OCSP: "ocsp"}
    return known.get(entry.access_method, entry.access_method.dotted_string)
