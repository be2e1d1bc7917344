"""Of the certificates of GetCACert, those to trust, and the chain from an issued one up to what was pinned."""

from __future__ import annotations

from collections.abc import Sequence

from pkix.certificates import Certificate
from pkix.signed_objects import has_issued
from pkix.usages import is_ca
from scep.ca_certificates import CaCertificates


def issuers_of(certificates: Sequence[Certificate], first: Certificate) -> list[Certificate]:
    """Those of CAs, without those of RAs: the one that issues first, then the others as they came."""
    found = [item for item in certificates if item == first or is_ca(item)]
    return sorted(found, key=lambda item: item != first)


def chain_of(ca: CaCertificates, certificate: Certificate) -> list[Certificate]:
    """The issuer of a certificate, its issuer, and so on up to the certificate that was pinned; without RAs."""
    chain: list[Certificate] = []
    candidates, last = issuers_of(ca.all, ca.ca), certificate
    while not has_issued(last, last):
        left = [item for item in candidates if item not in (last, *chain)]
        above = next((item for item in left if has_issued(item, last)), None)
        if above is None:
            break
        chain.append(above)
        last = above
    return chain
