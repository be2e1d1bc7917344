"""What the certificates of GetCACert are: their roles, and the chain from an issued one up to what was pinned."""

from __future__ import annotations

from collections.abc import Sequence

from pkix import oids
from pkix.certificates import Certificate
from pkix.signed_objects import has_issued
from pkix.usages import is_ca, may
from scep.ca_certificates import CaCertificates


def issuers_of(certificates: Sequence[Certificate], first: Certificate) -> list[Certificate]:
    """Those of CAs, without those of RAs: the one that issues first, then the others as they came."""
    found = [item for item in certificates if item == first or is_ca(item)]
    return sorted(found, key=lambda item: item != first)


def roles_of(certificate: Certificate, ca: CaCertificates) -> list[str]:
    """What a certificate of GetCACert is there for, in words."""
    if certificate == ca.ca:
        roles = ["CA that issues"]
    elif is_ca(certificate):
        roles = ["CA above or beside it"]
    else:
        roles = ["RA"]
    if certificate in ca.signers() and may(certificate, "digitalSignature"):
        roles.append("signs answers")
    if may(certificate, "keyEncipherment") and certificate.key_algorithm == oids.RSA_ENCRYPTION:
        roles.append("requests are encrypted to it")
    if certificate.is_kem:
        roles.append("requests are encrypted to it with ML-KEM")
    return roles


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
