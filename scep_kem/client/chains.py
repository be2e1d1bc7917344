"""From an issued certificate up to what was pinned."""

from __future__ import annotations

from pkix.certificates import Certificate
from pkix.signed_objects import has_issued
from pkix.usages import is_ca
from scep.ca_certificates import CaCertificates


def issuers(ca: CaCertificates) -> list[Certificate]:
    """The certificates of CAs, without those of RAs: the one that issues first, then the others as they came."""
    return [ca.ca, *(item for item in ca.all if item != ca.ca and is_ca(item))]


def chain_of(ca: CaCertificates, certificate: Certificate) -> list[Certificate]:
    """The issuer of a certificate, its issuer, and so on up to the certificate that was pinned; without RAs."""
    chain: list[Certificate] = []
    candidates, last = issuers(ca), certificate
    while not has_issued(last, last):
        above = next(
            (item for item in candidates if item != last and item not in chain and has_issued(item, last)), None
        )
        if above is None:
            break
        chain.append(above)
        last = above
    return chain
