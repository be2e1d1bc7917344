"""What the certificates of a CA and of its issuers let it certify: names (RFC 5280 section 4.2.1.10) and purposes.

RFC 5280 gives an extendedKeyUsage in a CA certificate no meaning for what the CA issues, but Microsoft, Go and OpenSSL
do: a certificate is good for no purpose that its issuers do not have.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.errors import NamesRefused, UsageRefused
from ca.granted import usage_name
from pkix.certificates import extensions_of
from pkix.errors import Malformed
from pkix.name_constraints import alternative_names, constraints_of, outside
from pkix.names import name_text
from pkix.usages import extended_usages

_Extensions = Sequence[x509.Extension[x509.ExtensionType]]


def check_constraints(issuers: Sequence[x509.Certificate], subject: x509.Name, extensions: _Extensions) -> None:
    """Raise NamesRefused or UsageRefused for a certificate that nobody would accept. issuers: the CA and those above.
    extensions: of the certificate.
    """
    check_names(issuers, subject, extensions)
    for issuer in issuers:
        lacking = lacking_purposes(issuer, extended_usages(x509.Extensions(extensions)) or [])
        if lacking:
            wanted, named = ", ".join(usage_name(item) for item in lacking), name_text(issuer.subject)
            raise UsageRefused(f"the extendedKeyUsage {wanted} is not one that the CA certificate {named} can give")


def check_names(issuers: Sequence[x509.Certificate], subject: x509.Name, extensions: _Extensions = ()) -> None:
    """Raise NamesRefused for names that the name constraints of the CA or of those above forbid, or may forbid, because
    they cannot be read. As `check_constraints` otherwise.
    """
    for issuer in issuers:
        named = name_text(issuer.subject)
        try:
            constraints = constraints_of(issuer)
        except Malformed:
            text = f"no name is known to be permitted: the name constraints of the CA {named} cannot be read"
            raise NamesRefused(text) from None
        refused = "" if constraints is None else outside(constraints, subject, alternative_names(extensions))
        if refused:
            raise NamesRefused(f"{refused}, by the name constraints of the CA certificate {named}")


def lacking_purposes(issuer: x509.Certificate, wanted: Sequence[x509.ObjectIdentifier]) -> list[x509.ObjectIdentifier]:
    """Those that the issuer's extendedKeyUsage, if it has one, does not let it give."""
    given = extended_usages(extensions_of(issuer))
    if given is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in given:
        return []
    return [item for item in wanted if item not in given]


def permitted_subject(issuers: Sequence[x509.Certificate], own: x509.RelativeDistinguishedName) -> x509.Name:
    """A subject for the CA's own purposes that ends with `own`: alone where that is permitted, else below a permitted
    directoryName or below the names above the CA's own. Raises NamesRefused if there is none.

    issuers: the CA and those above. The extendedKeyUsage of these is not looked at: what an RA's certificate says of it
    is for clients of this CA, and no purpose for which others accept it.
    """
    refused: NamesRefused | None = None
    for base in _bases(issuers):
        subject = x509.Name([*base.rdns, own])
        try:
            check_names(issuers, subject)
        except NamesRefused as error:
            refused = refused or error
        else:
            return subject
    assert refused is not None  # there is a first base
    raise refused


def _bases(issuers: Sequence[x509.Certificate]) -> Iterator[x509.Name]:
    yield x509.Name([])
    for issuer in issuers:
        with contextlib.suppress(Malformed):
            constraints = constraints_of(issuer)
            permitted = (constraints.permitted_subtrees or []) if constraints is not None else []
            yield from (base.value for base in permitted if isinstance(base, x509.DirectoryName))
    yield x509.Name(issuers[0].subject.rdns[:-1])
