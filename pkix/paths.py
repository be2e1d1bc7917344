"""Certification paths from a certificate to a trust anchor (RFC 5280 section 6), built and validated at once.

One function, a frozen policy; nothing is fetched. The candidates in between come from whoever sent the message, in any
order: what cannot be read among them is passed over, loops end, and their number and that of the signatures that are
verified have limits. The certificate itself and every issuer are checked as section 6.1.3 and 6.1.4 say. A trust anchor
is a certificate here, and its own validity, basicConstraints and keyUsage count, too; only its signature does not.

Left out, and refused where it would matter: policies beyond "any policy will do", and critical extensions of other
kinds. Name constraints are `pkix.name_constraints`, critical or not (RFC 5280 section 4.2.1.10).
Revocation is `pkix.revocations`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from pkix import usages
from pkix.algorithms import AlgorithmPolicy, check_key
from pkix.asn1 import Oid
from pkix.certificates import Certificate, extensions_of, is_self_issued, load_certificate
from pkix.errors import Malformed, NotTrusted, PkixError
from pkix.extensions import find
from pkix.name_constraints import alternative_names, constraints_of, outside
from pkix.names import comparable, name_text, same_name
from pkix.revocations import check_crls
from pkix.signed_objects import verify_signed_object
from pkix.times import minute

_KNOWN = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,  # as long as no policy is required
    }
)
_IN_CAS = _KNOWN | {ExtensionOID.NAME_CONSTRAINTS}


@dataclass(frozen=True)
class PathPolicy:
    """algorithms: of the signatures on the way. usage: the bit of the certificate's keyUsage that is needed, if there
    is a keyUsage; None for no matter which. purposes: one of these must stand in its extendedKeyUsage, which must then
    be there; None: the caller looks at it.

    max_length: certificates in a path, with both ends. max_candidates: certificates that may come along.
    max_signatures: that are verified in all. every_crl: where CRLs are given, each certificate below the anchor needs
    one of its issuer.
    """

    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    usage: str | None = "digitalSignature"
    purposes: frozenset[Oid] | None = None
    max_length: int = 6
    max_candidates: int = 32
    max_signatures: int = 64
    every_crl: bool = True


def validate_path(
    certificate: bytes,
    candidates: Sequence[bytes],
    anchors: Sequence[x509.Certificate],
    *,
    now: datetime,
    policy: PathPolicy,
    revoked: Collection[tuple[bytes, int]] = (),
    crls: Sequence[bytes] | None = None,
) -> tuple[x509.Certificate, ...]:
    """The path from a certificate to one of the trust anchors, both included; the certificate alone if it is one.

    certificate, candidates: DER. now: aware UTC. revoked: DER Name of the issuer and serial number of certificates that
    are. crls: DER CertificateLists; None if revocation is not looked at, or only by `revoked`.
    Raises NotTrusted, Malformed if the certificate cannot be read.
    """
    if len(candidates) > policy.max_candidates:
        text = f"{len(candidates)} certificates came along; at most {policy.max_candidates} are looked at"
        raise NotTrusted(text)
    end = _Link(load_certificate(certificate))
    _check_end(end, now, policy, revoked)
    links = tuple(_readable(candidates))
    search = _Search(tuple(_Link(item) for item in anchors), links, now, policy, revoked)
    path = search.from_here((end,))
    if path is None:
        raise NotTrusted(search.why)
    found = tuple(link.certificate for link in path)
    if crls is not None:
        check_crls(found, crls, now=now, algorithms=policy.algorithms, every=policy.every_crl)
    return found


@dataclass(frozen=True)
class _Link:
    """A certificate and what is asked of it more than once."""

    certificate: x509.Certificate

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @cached_property
    def view(self) -> Certificate:
        return Certificate.of(self.certificate)

    @cached_property
    def subject(self) -> str:
        return comparable(self.certificate.subject)

    @cached_property
    def issuer(self) -> str:
        return comparable(self.certificate.issuer)

    @property
    def is_self_issued(self) -> bool:
        return is_self_issued(self.certificate)

    def __str__(self) -> str:
        return f"the certificate of {name_text(self.certificate.subject) or 'no name'}"


def _readable(candidates: Sequence[bytes]) -> Iterator[_Link]:
    for der in dict.fromkeys(candidates):
        try:
            yield _Link(load_certificate(der))
        except Malformed:
            continue


class _Search:
    """Looks for a path; `why` says what was wrong with the longest that was none."""

    def __init__(
        self,
        anchors: Sequence[_Link],
        candidates: Sequence[_Link],
        now: datetime,
        policy: PathPolicy,
        revoked: Collection[tuple[bytes, int]],
    ) -> None:
        self._anchors = anchors
        self._candidates = candidates
        self._now = now
        self._policy = policy
        self._revoked = revoked
        self._signatures = 0
        self._longest = 0
        self.why = ""

    def from_here(self, path: tuple[_Link, ...]) -> tuple[_Link, ...] | None:
        """`path` made complete, or None. Raises NotTrusted if too many signatures had to be verified."""
        last = path[-1]
        if any(last.der == anchor.der for anchor in self._anchors):
            return path
        if len(path) == self._policy.max_length:
            self._note(path, f"{last} is number {len(path)} of the path, and no more are allowed")
            return None
        self._note(path, f"{last} was issued by {_name(last.certificate.issuer)}, who is not trusted here")
        for anchor in (True, False):
            for issuer in self._anchors if anchor else self._candidates:
                if issuer.subject != last.issuer or self._is_in(path, issuer) or not self._issued(path, issuer):
                    continue
                found = (*path, issuer) if anchor else self.from_here((*path, issuer))
                if found is not None:
                    return found
        return None

    def _is_in(self, path: tuple[_Link, ...], issuer: _Link) -> bool:
        """The same name and key again lead nowhere that the first time did not."""
        return any(issuer.subject == link.subject and issuer.view.spki == link.view.spki for link in path)

    def _issued(self, path: tuple[_Link, ...], issuer: _Link) -> bool:
        """Whether the path may go on with this issuer of its last certificate. Raises NotTrusted at the limit."""
        try:
            _check_issuer(issuer, path, self._now, self._policy, self._revoked)
            if self._signatures == self._policy.max_signatures:
                raise _TooMany(f"no path to a trust anchor within {self._signatures} signatures")
            self._signatures += 1
            key = issuer.view.public_key
            check_key(key, str(issuer), policy=self._policy.algorithms)
            verify_signed_object(path[-1].der, key, self._policy.algorithms, str(path[-1]))
        except _TooMany:
            raise
        except PkixError as error:
            self._note((*path, issuer), error.text)
            return False
        return True

    def _note(self, path: tuple[_Link, ...], text: str) -> None:
        if len(path) > self._longest:
            self._longest, self.why = len(path), text


class _TooMany(NotTrusted):
    """Ends the search."""


def _name(name: x509.Name) -> str:
    return name_text(name) or "no name"


def _check_end(end: _Link, now: datetime, policy: PathPolicy, revoked: Collection[tuple[bytes, int]]) -> None:
    """Section 6.1.3 and 6.1.5 for the certificate itself. Raises NotTrusted."""
    _check_each(end, now, revoked, _KNOWN)
    if policy.usage is not None and not usages.may(end.certificate, policy.usage):
        raise NotTrusted(f"{end} has a keyUsage without {policy.usage}")
    if policy.purposes is not None:
        there = usages.extended_usages(extensions_of(end.certificate)) or []
        if not policy.purposes & set(there):
            wanted = ", ".join(sorted(purpose.dotted_string for purpose in policy.purposes))
            raise NotTrusted(f"{end} has no extendedKeyUsage with {wanted}")


def _check_issuer(
    issuer: _Link,
    path: tuple[_Link, ...],
    now: datetime,
    policy: PathPolicy,
    revoked: Collection[tuple[bytes, int]],
) -> None:
    """Section 6.1.3 and 6.1.4 for a CA above `path`. Raises NotTrusted."""
    _check_each(issuer, now, revoked, _IN_CAS)
    extensions = extensions_of(issuer.certificate)
    try:
        subtrees = constraints_of(issuer.certificate)
    except Malformed as error:
        raise NotTrusted(f"{issuer} has name constraints that cannot be read: {error.text}") from None
    for link in path:
        if subtrees is None or (link.is_self_issued and link is not path[0]):
            continue
        try:
            names = alternative_names(extensions_of(link.certificate))
        except Malformed as error:
            raise NotTrusted(f"{issuer} has name constraints, and {link}: {error.text}") from None
        forbidden = outside(subtrees, link.certificate.subject, names)
        if forbidden:
            raise NotTrusted(f"{issuer} has name constraints: {forbidden}")
    if not usages.is_ca(issuer.certificate):
        raise NotTrusted(f"{issuer} is not that of a CA")
    if not usages.may(issuer.certificate, "keyCertSign"):
        raise NotTrusted(f"{issuer} has a keyUsage without keyCertSign")
    constraints = find(extensions, x509.BasicConstraints)
    most = None if constraints is None else constraints.path_length
    between = sum(not link.is_self_issued for link in path[1:])
    if most is not None and between > most:
        raise NotTrusted(f"{issuer} has a pathLenConstraint of {most}, and {between} CAs come after it")


def _check_each(
    link: _Link, now: datetime, revoked: Collection[tuple[bytes, int]], known: frozenset[x509.ObjectIdentifier]
) -> None:
    certificate = link.certificate
    if now < certificate.not_valid_before_utc:
        raise NotTrusted(f"{link} is not valid before {minute(certificate.not_valid_before_utc)}; now is {minute(now)}")
    if now > certificate.not_valid_after_utc:
        raise NotTrusted(f"{link} has expired on {minute(certificate.not_valid_after_utc)}; now is {minute(now)}")
    if any(serial == link.view.serial_number and same_name(issuer, link.view.issuer) for issuer, serial in revoked):
        raise NotTrusted(f"{link} has been revoked")
    for item in extensions_of(certificate):
        if item.critical and item.oid not in known:
            raise NotTrusted(f"{link} has a critical extension that is not supported: {item.oid.dotted_string}")
