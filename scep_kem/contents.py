"""A certificate, fact by fact, for people who decide about it and for programs: text, lists and dictionaries only.

Nothing is left out: an extension that nobody here knows is shown in hex (RFC 5280 section 4.2).
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.granted import extension_facts
from pkix.attribute_types import KEYWORDS
from pkix.certificates import Certificate, extensions_of
from pkix.names import attribute_text, name_text

Facts = dict[str, Any]

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


def _attribute(item: x509.NameAttribute[str | bytes]) -> str:
    return KEYWORDS.get(item.oid) or item.oid.dotted_string
