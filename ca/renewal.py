"""Authorised by a certificate of this CA that is to be renewed (RFC 8894 section 2.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.applications import Application, Names, Renewal
from ca.authorisation import RENEWAL, Approved, Once
from ca.authorities import Records
from ca.errors import NamesRefused, NotRenewable, RequestRefused, UsageRefused
from ca.granted import usage_name
from ca.profiles import KEY_USAGES, Profile, extension, microsoft_sids, names_of, purposes, requested_san
from ca.remembered import Remembered
from ca.requests import CertificateRequest
from ca.store import IssuedCertificate, Store
from pkix.certificates import Certificate, extensions_of
from pkix.general_names import comparable_general_name
from pkix.names import name_text, same_name
from pkix.subjects import check_subject
from pkix.times import THIS_CA, clock, minute, outside
from pkix.usages import certified_key_type, extended_usages, key_usage, possible_usages, usage_names


@dataclass(frozen=True)
class _Renewing:
    """A request with the names of the certificate that it renews: those that are the same stand as they stand there.

    Else a holder could turn a name, step by step, into another one that looks different. A subject that no request may
    have is not renewed either.

    Where the profile lets a request choose its usages, and this one does not, it asks for those of the certificate, as
    far as the profile still gives them: who was given fewer gets no more by asking for nothing.
    """

    asked: CertificateRequest
    previous: IssuedCertificate
    profile: Profile

    @property
    def syntax(self) -> str:
        return self.asked.syntax

    @property
    def what(self) -> str:
        return self.asked.what

    @property
    def der(self) -> bytes:
        return self.asked.der

    @property
    def hash(self) -> bytes:
        return self.asked.hash

    @property
    def spki(self) -> bytes:
        return self.asked.spki

    @property
    def key_type(self) -> str:
        return self.asked.key_type

    @property
    def is_kem(self) -> bool:
        return self.asked.is_kem

    @cached_property
    def _certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.previous.der)

    @cached_property
    def subject_der(self) -> bytes:
        return Certificate.decode(self.previous.der).subject

    @cached_property
    def subject(self) -> x509.Name:
        check_subject(self.subject_der, "the certificate to renew")
        return self._certificate.subject

    @property
    def subject_text(self) -> str:
        return name_text(self.subject)

    @cached_property
    def extensions(self) -> x509.Extensions:
        there = {comparable_general_name(name): name for name in names_of(self._certificate)}

        def standing(item: x509.Extension[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
            if not isinstance(item.value, x509.SubjectAlternativeName):
                return item
            names = (there.get(comparable_general_name(name), name) for name in item.value)
            return x509.Extension(item.oid, item.critical, x509.SubjectAlternativeName(names))

        return x509.Extensions([*map(standing, self.asked.extensions), *self._usages_as_before()])

    def _usages_as_before(self) -> Iterator[x509.Extension[x509.ExtensionType]]:
        """Those that the request leaves to the CA. ML-KEM keys have but one."""
        had = Certificate.decode(self.previous.der)
        copied, asked = self.profile.copy_extensions, self.asked.extensions
        if "keyUsage" in copied and not self.is_kem and usage_names(asked) is None:
            given = frozenset(self.profile.key_usage) & possible_usages(self.key_type)
            if given & _usable(had):
                yield extension(key_usage(given & _usable(had)), critical=True)
        if "extendedKeyUsage" in copied and extended_usages(asked) is None:
            before = extended_usages(extensions_of(had))
            kept = [purpose for purpose in purposes(self.profile) if before is None or _is_among(purpose, before)]
            if kept:
                yield extension(x509.ExtendedKeyUsage(kept))


def as_issued(request: CertificateRequest, previous: IssuedCertificate | None, profile: Profile) -> CertificateRequest:
    """The request with the names and usages that are issued for it. previous: the certificate that it renews, None if
    it renews none.
    """
    return request if previous is None else _Renewing(request, previous, profile)


def certificate_named(store: Store, full_name: str) -> IssuedCertificate | None:
    """What the Store has under `IssuedCertificate.full_name`."""
    authority, _, serial = full_name.partition(":")
    return store.certificate(authority, int(serial, 16))


def renewed_by(method: str, remembered: Remembered, store: Store) -> IssuedCertificate | None:
    """The certificate that is renewed by what a method has approved. Earlier versions remembered none."""
    if method != RENEWAL or not remembered.rests_on:
        return None
    return certificate_named(store, remembered.rests_on[0].decode())


@dataclass(frozen=True)
class Renewals(Once):
    """grace: how long after its end a certificate may still renew itself."""

    profile: Profile
    records: Records
    grace: timedelta = timedelta(0)
    name: str = RENEWAL

    def decide(self, application: Application, *, now: datetime) -> Approved | None:
        """See Method. A request that does not say it is a renewal goes on to the other methods if it has a password:
        sscep, Apple, and certmonger, which repeats its used-up challengePassword, renew without saying so.
        """
        renewal, previous = application.renewal, self._record(application)
        if renewal is None or (previous is None and not renewal.explicit):
            return None
        try:
            return self._renew(application.request, renewal, previous, now)
        except RequestRefused:
            if renewal.explicit or not application.identity.password:
                raise
            return None

    def previous(self, application: Application) -> IssuedCertificate | None:
        """See Method. None also if the certificate has another subject, because then nothing is renewed."""
        found = self._record(application)
        return found if found is not None and _has_subject(found, application.request) else None

    def _record(self, application: Application) -> IssuedCertificate | None:
        return None if application.renewal is None else self.records.find(application.renewal.certificate)

    def _renew(
        self, request: CertificateRequest, renewal: Renewal, previous: IssuedCertificate | None, now: datetime
    ) -> Approved:
        if previous is None:
            raise NotRenewable(
                "a renewal must be signed with a certificate issued by this CA, or bring the ML-KEM certificate"
                " to renew"
            )
        if previous.revoked_at is not None:
            raise NotRenewable("the certificate to renew is revoked")
        if self.records.store.compromised(previous.spki_hash):
            raise NotRenewable("the key of the certificate to renew was revoked for keyCompromise")
        if now < previous.not_before or previous.not_after + self.grace < now:
            period = outside(previous.not_before, previous.not_after, now, THIS_CA)
            raise NotRenewable(f"the certificate to renew is not valid now: {period}")
        window = self.profile.renewal_window
        if window is not None and now < previous.not_after - window:
            first = minute(previous.not_after - window)
            raise NotRenewable(f"the certificate may be renewed from {first} on, and {clock(now, THIS_CA)}")
        if previous.profile != self.profile.name:
            raise NotRenewable("the certificate to renew was issued under another profile")
        if not _has_subject(previous, request):
            raise NamesRefused("the subject differs from that of the certificate to renew")
        _check_names(x509.load_der_x509_certificate(previous.der), request, renewal.names)
        _check_usages(Certificate.decode(previous.der), request, self.profile.copy_extensions)
        return Approved(self.name, rests_on=previous)


def _has_subject(previous: IssuedCertificate, request: CertificateRequest) -> bool:
    return same_name(Certificate.decode(previous.der).subject, request.subject_der)


def _check_names(previous: x509.Certificate, request: CertificateRequest, names: Names) -> None:
    """A renewal adds no subjectAltName and no account."""
    if not set(microsoft_sids(request.extensions)) <= set(microsoft_sids(extensions_of(previous))):
        raise NamesRefused("the request asks for a Microsoft SID that the certificate to renew does not have")
    wanted, had = (
        set(map(comparable_general_name, each)) for each in (requested_san(request) or (), names_of(previous))
    )
    if not wanted <= had:
        raise NamesRefused("the request asks for a subjectAltName that the certificate to renew does not have")
    if names is Names.same and wanted != had:
        raise NamesRefused("the subjectAltName differs from that of the certificate to renew")


def _check_usages(previous: Certificate, request: CertificateRequest, copied: Collection[str]) -> None:
    """A renewal adds no usage where requests choose them."""
    wanted = usage_names(request.extensions) if "keyUsage" in copied else None
    more = (wanted or frozenset()) - _usable(previous)
    if more:
        raise UsageRefused(
            f"the request asks for the keyUsage {', '.join(sorted(more))}, which the certificate to renew does not have"
        )
    purposes_wanted = extended_usages(request.extensions) if "extendedKeyUsage" in copied else None
    had = extended_usages(extensions_of(previous))
    new = [usage_name(item) for item in purposes_wanted or () if had is not None and not _is_among(item, had)]
    if new:
        raise UsageRefused(
            f"the request asks for the extendedKeyUsage {', '.join(new)}, which the certificate to renew does not have"
        )


def _usable(certificate: Certificate) -> frozenset[str]:
    """The bits of keyUsage that its successor may have: its own, and those that its kind of key cannot have, which only
    a key of another kind has.
    """
    named = usage_names(extensions_of(certificate))
    every = frozenset(KEY_USAGES)
    return every if named is None else named | (every - possible_usages(certified_key_type(certificate)))


def _is_among(purpose: x509.ObjectIdentifier, others: Collection[x509.ObjectIdentifier]) -> bool:
    return purpose in others or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in others
