"""What is encrypted in a message, in words: the client knows its own request before it is enveloped, and the
certificates once it has opened the answer.

Secrets are named, and never shown: a trace is sent to others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography import x509

from ca.granted import extension_facts
from ca.requests import WITHHELD, is_guessable
from pkix import oids
from pkix.asn1 import Oid, encode
from pkix.attribute_types import KEYWORDS
from pkix.certificates import Certificate
from pkix.extensions import Unreadable
from pkix.names import name_text, read_name
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form
from scep.attributes import RESPONSE_KEY
from scep.client import Issued
from scep_kem.terminal import printable
from scep_kem.trace import certificate_and_role, part, value_or_odd

_HIDDEN = "present, never shown"
# Of PKCS #9, the update and [MS-WCCE] section 2.2.2.7.
_ATTRIBUTES = {
    oids.CHALLENGE_PASSWORD: "challengePassword",
    oids.EXTENSION_REQUEST: "extensionRequest",
    oids.MS_EXTENSION_REQUEST: "extensionRequest, Microsoft's",
    oids.STATEMENT_OF_POSSESSION: "statementOfPossession",
    RESPONSE_KEY: "response key",
    Oid("1.3.6.1.4.1.311.13.2.1"): "enrollmentNameValuePair",
    Oid("1.3.6.1.4.1.311.13.2.2"): "enrolmentCSPProvider",
    Oid("1.3.6.1.4.1.311.13.2.3"): "OSVersion",
    Oid("1.3.6.1.4.1.311.21.20"): "requestClientInfo",
}


def describe_request(request: CertificationRequest) -> list[str]:
    """Lines about a PKCS #10 request: hash, subject, key, proof of possession, attributes, extensions."""
    lines = [
        f"request SHA-256 {told_hash(request)}, of its PKCS #10",
        f"    subject           {value_or_odd(lambda: _subject(request))}",
        f"    key               {value_or_odd(lambda: request.key_type)}",
        f"    possession        {value_or_odd(lambda: _possession(request))}",
        *(f"    {line}" for line in part("attributes", lambda: list(_attributes(request)))),
        *(f"    {line}" for line in part("extensions", lambda: list(_extensions(request.extensions)))),
    ]
    return [printable(line) for line in lines]


def told_hash(request: CertificationRequest) -> str:
    """SHA-256 of a request, by which the CA's operator knows it, or why it is not shown."""
    return WITHHELD if is_guessable(request) else request.hash.hex()


def describe_issued(issued: Issued, known: Sequence[Certificate]) -> list[str]:
    """Lines about the certificates that an opened CertRep holds. known: those of GetCACert."""
    lines = [f"issued         {certificate_and_role(issued.certificate, known)}"]
    lines += [f"with it        {certificate_and_role(other, known)}" for other in issued.others]
    return [printable(line) for line in lines]


def _subject(request: CertificationRequest) -> str:
    """Also one that no certificate may carry."""
    text = name_text(read_name(request.subject_der, request.what)) or "empty"
    fault = value_or_odd(lambda: request.subject_text)
    return f"{text}, {fault}" if fault.startswith("ODD: ") else text


def _possession(request: CertificationRequest) -> str:
    algorithm = oids.name(request.signature_algorithm.algorithm)
    if request.form is Form.unsigned:
        return f"not signed, {algorithm}"
    statement = request.statement if request.form is Form.statement else None
    if statement is None:
        return f"signed by the requested key, {algorithm}"
    issuer = name_text(read_name(encode(statement.signer.issuer), "issuer"))
    return f"stated by serial number {statement.signer.serial_number:x} of {issuer} (RFC 9883), {algorithm}"


def _attributes(request: CertificationRequest) -> Iterator[str]:
    for kind, values in request.all_attributes:
        name = _ATTRIBUTES.get(kind) or KEYWORDS.get(kind) or oids.name(kind)
        size = f"{len(values)} value{'s' * (len(values) != 1)}, {sum(map(len, values))} octets"
        yield f"attribute         {name}: {_HIDDEN if kind in (oids.CHALLENGE_PASSWORD, RESPONSE_KEY) else size}"


def _extensions(extensions: x509.Extensions) -> Iterator[str]:
    for item in extensions:
        name, values = extension_facts(item)
        known = name != "other extensions"  # which tell by themselves whether they are critical
        odd = "ODD, cannot be read: " if isinstance(item.value, Unreadable) else ""
        yield f"{name:<17} {'critical: ' if item.critical and known else ''}{odd}{', '.join(values)}"
