"""Authorised by a certificate of this CA that is to be renewed (RFC 8894 section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from ca.applications import Application, Names, Renewal
from ca.authorisation import RENEWAL, Approved, Once
from ca.authorities import Records
from ca.errors import NamesRefused, NotRenewable, RequestRefused
from ca.profiles import Profile, microsoft_sids, names_of, requested_san
from ca.requests import CertificateRequest
from ca.store import IssuedCertificate
from pkix.certificates import extensions_of
from pkix.general_names import comparable_general_name
from pkix.names import comparable


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
        renewal = application.renewal
        previous = self.records.find(renewal.certificate) if renewal is not None else None
        if renewal is None or (previous is None and not renewal.explicit):
            return None
        try:
            return self._renew(application.request, renewal, previous, now)
        except RequestRefused:
            if renewal.explicit or not application.identity.password:
                raise
            return None

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
            raise NotRenewable("the certificate to renew is not valid now")
        window = self.profile.renewal_window
        if window is not None and now < previous.not_after - window:
            first = (previous.not_after - window).strftime("%Y-%m-%d %H:%M UTC")
            raise NotRenewable(f"the certificate may be renewed from {first} on")
        if previous.profile != self.profile.name:
            raise NotRenewable("the certificate to renew was issued under another profile")
        _check_names(x509.load_der_x509_certificate(previous.der), request, renewal.names)
        return Approved(self.name, rests_on=previous)


def _check_names(previous: x509.Certificate, request: CertificateRequest, names: Names) -> None:
    """A renewal keeps the subject, which is issued as it stands in `previous`, and adds no subjectAltName."""
    if comparable(request.subject) != comparable(previous.subject):
        raise NamesRefused("the subject differs from that of the certificate to renew")
    if not set(microsoft_sids(request.extensions)) <= set(microsoft_sids(extensions_of(previous))):
        raise NamesRefused("the request asks for a Microsoft SID that the certificate to renew does not have")
    wanted, had = (
        set(map(comparable_general_name, each)) for each in (requested_san(request) or (), names_of(previous))
    )
    if not wanted <= had:
        raise NamesRefused("the request asks for a subjectAltName that the certificate to renew does not have")
    if names is Names.same and wanted != had:
        raise NamesRefused("the subjectAltName differs from that of the certificate to renew")
