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
from ca.store import IssuedCertificate, Store
from pkix.asn1 import encode
from pkix.certificates import IssuerAndSerialNumber
from pkix.enveloped_data import Opened
from pkix.names import comparable_der
from pkix.signed_data import encode_degenerate
from scep.attributes import PkiStatus
from scep.exchange import Exchange, Outcome
from scep.opening import open_name, refuse_name


@dataclass(frozen=True)
class Queries:
    """What clients may ask about the certificates of a CA."""

    authorities: Authorities
    store: Store
    crls: Crls

    def get_cert(self, exchange: Exchange, opened: Opened) -> Outcome:
        """The certificate named. Raises CertificateUnknown, Malformed."""
        name = open_name(opened, exchange.details)
        for _authority, found in list(self._named(name)):
            if found is not None:
                exchange.details["serial"] = f"{found.serial:x}"
                return Outcome(PkiStatus.SUCCESS, encode_degenerate([found.der]))
        raise refuse_name(opened, exchange.details, "no certificate of this CA has this issuer and serial number")

    def get_crl(self, exchange: Exchange, opened: Opened) -> Outcome:
        """The CRL for the certificate named. Raises CertificateUnknown, Malformed.

        Generations of a CA have one name, so the serial number tells which is meant. If none issued it, it may be the
        CA certificate's own, which sscep sends. In AuthEnvelopedData any serial number will do: the complete CRL
        answers for every certificate.
        """
        name = open_name(opened, exchange.details)
        named = list(self._named(name))
        issued = [authority for authority, found in named if found is not None]
        own = [authority for authority, _found in named if authority.certificate.serial_number == name.serial_number]
        any_other = [authority for authority, _found in named] if opened.cipher.authenticated else []
        chosen = [*issued, *own, *any_other]
        if not chosen:
            raise refuse_name(opened, exchange.details, "this CA issues no CRL for this issuer")
        return Outcome(PkiStatus.SUCCESS, encode_degenerate(crls=[self.crls.get(chosen[0], now=exchange.now)]))

    def _named(self, name: IssuerAndSerialNumber) -> Iterator[tuple[Authority, IssuedCertificate | None]]:
        """The generations with the issuer's name, and the certificate that each issued under the serial number.

        Every generation's certificates are searched, whatever its name, so that the work is the same for any name.
        """
        issuer = comparable_der(encode(name.issuer))
        for authority in self.authorities.known:
            found = self.store.certificate(authority.identifier, name.serial_number)
            if issuer is not None and issuer == authority.certificate.compared_subject:
                yield authority, found if found is not None and found.released else None
