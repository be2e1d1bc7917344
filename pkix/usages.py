"""What a certificate lets its key be used for: keyUsage, extendedKeyUsage and basicConstraints (RFC 5280 sections
4.2.1.3, 4.2.1.12 and 4.2.1.9).

Key usages are named as RFC 5280 names their bits: "digitalSignature". A certificate without the extension allows all of
them; what an absent extendedKeyUsage means is for whoever asks.
"""

from __future__ import annotations

from collections.abc import Collection

from cryptography import x509

from pkix.certificates import extensions_of
from pkix.errors import Malformed
from pkix.extensions import find

CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")  # id-kp-cmcRA, RFC 10002
CMC_CA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.27")  # id-kp-cmcCA

_ATTRIBUTES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}


def key_usage(names: Collection[str]) -> x509.KeyUsage:
    """KeyUsage from the RFC 5280 bit names, without encipherOnly and decipherOnly."""
    bits = {attribute: name in names for name, attribute in _ATTRIBUTES.items()}
    return x509.KeyUsage(**bits, encipher_only=False, decipher_only=False)


def usage_names(extensions: x509.Extensions) -> frozenset[str] | None:
    """The bits of a keyUsage among the extensions of a certificate or request; None if there is none.

    Raises Malformed if it cannot be read.
    """
    usage = find(extensions, x509.KeyUsage)
    if usage is None:
        return None
    return frozenset(name for name, attribute in _ATTRIBUTES.items() if getattr(usage, attribute))


def may(certificate: x509.Certificate, usage: str) -> bool:
    """Whether the keyUsage has this bit, or there is no keyUsage."""
    names = usage_names(extensions_of(certificate))
    return names is None or usage in names


def extended_usages(extensions: x509.Extensions) -> list[x509.ObjectIdentifier] | None:
    """The purposes of an extendedKeyUsage among the extensions of a certificate or request; None if there is none.

    Raises Malformed if it cannot be read.
    """
    found = find(extensions, x509.ExtendedKeyUsage)
    return None if found is None else list(found)


def is_cmc_ra(certificate: x509.Certificate) -> bool:
    """Whether the extendedKeyUsage says cmcRA: an RA of the CA that issued it (RFC 10002). anyExtendedKeyUsage does
    not.
    """
    return CMC_RA in (extended_usages(extensions_of(certificate)) or ())


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether the basicConstraints say cA. What X.509 v1 certificates are is not known: they are none, like one whose
    basicConstraints cannot be read.
    """
    try:
        found = find(extensions_of(certificate), x509.BasicConstraints)
    except Malformed:
        return False
    return found is not None and found.ca
