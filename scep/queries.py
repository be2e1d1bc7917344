"""GetCert and GetCRL on the CA's side (RFC 8894 sections 3.3.4, 4.5 and 4.6).

Whoever changes a recorded envelope can make it hold a name with octets of their choice around octets that they want to
know. Under CBC, therefore, an unknown name is answered like what is no name, both after the same search; see
`scep.opening`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ca.authorities import Authorities
from ca.authority import Authority
from ca.crl import Crls
from ca.errors import CrlRefused
from ca.profiles import CA_IN_URL, Profile
from ca.store import IssuedCertificate, Store
from pkix.asn1 import encode
from pkix.certificates import IssuerAndSerialNumber
from pkix.enveloped_data import Opened
from pkix.names import comparable_der
from pkix.signed_data import encode_degenerate
from scep.attributes import PkiStatus
from scep.exchange import Exchange, Outcome
from scep.opening import open_name, refuse_name

MAX_CRL = 1 << 20  # octets that GetCRL brings: some 20,000 entries


@dataclass(frozen=True)
class Queries:
    """What clients may ask about the certificates of a CA."""

    authorities: Authorities
    store: Store
    crls: Crls
    profile: Profile

    def get_cert(self, exchange: Exchange, opened: Opened) -> Outcome:
        """The certificate named. Raises CertificateUnknown, Malformed."""
        name = open_name(opened, exchange.details)
        named = list(self._named(name))
        for _authority, found in named:
            if found is not None:
                exchange.details["serial"] = f"{found.serial:x}"
                return Outcome(PkiStatus.SUCCESS, encode_degenerate([found.der]))
        own = {item.serial_number for authority, _found in named for _role, item in authority.by_role}
        why = "no certificate of this CA has this issuer and serial number"
        if name.serial_number in own:
            why = "this is a certificate of the CA or its RA, which GetCACert brings"
        raise refuse_name(opened, exchange.details, why)

    def get_crl(self, exchange: Exchange, opened: Opened) -> Outcome:
        """The CRL for the certificate named. Raises CertificateUnknown, Malformed.

        Generations of a CA have one name, so the serial number tells which is meant. If none issued it, it may be the
        CA certificate's own, which sscep sends. In AuthEnvelopedData any serial number will do: the complete CRL
        answers for every certificate.

        Anybody may ask, and each answer is encrypted. So a CRL of more than MAX_CRL octets has to be fetched from its
        URL, which section 2.7 prefers anyway. Raises CrlRefused for it.
        """
        name = open_name(opened, exchange.details)
        named = list(self._named(name))
        issued = [authority for authority, found in named if found is not None]
        own = [authority for authority, _found in named if authority.certificate.serial_number == name.serial_number]
        any_other = [authority for authority, _found in named] if opened.cipher.authenticated else []
        chosen = [*issued, *own, *any_other]
        if not chosen:
            raise refuse_name(opened, exchange.details, "this CA issues no CRL for this issuer")
        crl = self.crls.get(chosen[0], now=exchange.now)
        if len(crl.der) > MAX_CRL:
            raise CrlRefused(self._too_large(chosen[0], len(crl.der)))
        return Outcome(PkiStatus.SUCCESS, encode_degenerate(crls=[crl.der]))

    def _too_large(self, authority: Authority, size: int) -> str:
        urls = " or ".join(url.replace(CA_IN_URL, authority.short_identifier) for url in self.profile.crl_urls)
        where = urls or f"crl/{authority.short_identifier} behind the URL of this server, by GET without an operation"
        return f"the CRL of {size} octets is too large for GetCRL (at most {MAX_CRL}); fetch it from {where}"

    def _named(self, name: IssuerAndSerialNumber) -> Iterator[tuple[Authority, IssuedCertificate | None]]:
        """The generations with the issuer's name, and the certificate that each issued under the serial number.

        Every generation's certificates are searched, whatever its name, so that the work is the same for any name.
        """
        issuer = comparable_der(encode(name.issuer))
        for authority in self.authorities.known:
            found = self.store.certificate(authority.identifier, name.serial_number)
            if issuer is not None and issuer == authority.certificate.compared_subject:
                yield authority, found if found is not None and found.released else None
