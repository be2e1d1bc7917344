"""What a certificate lets its key be used for: keyUsage, extendedKeyUsage and basicConstraints (RFC 5280 sections
4.2.1.3, 4.2.1.12 and 4.2.1.9).

Key usages are named as RFC 5280 names their bits, "digitalSignature", with "contentCommitment" for nonRepudiation, as
X.509 calls it now. A certificate without the extension allows all of them; what an absent extendedKeyUsage means is for
whoever asks.

What a key can be used for is a matter of its algorithm, and a CA certifies nothing else (`possible_usages`).
"""

from __future__ import annotations

from collections.abc import Collection

from cryptography import x509

from pkix.certificates import AnyCertificate, Certificate, extension_of, extensions_of
from pkix.errors import Malformed
from pkix.extensions import find
from pkix.keys import key_type_named, key_type_of

CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")  # id-kp-cmcRA, RFC 10002
CMC_CA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.27")  # id-kp-cmcCA
REQUEST_AGENT = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")  # Microsoft's Certificate Request Agent: NDES's RA
RA_MARKS = frozenset({CMC_RA, REQUEST_AGENT})  # who has one of them is taken for an RA, by some client at least

_ATTRIBUTES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}
_ONLY = {"encipherOnly": "encipher_only", "decipherOnly": "decipher_only"}  # say more of keyAgreement

KEY_USAGES = (*_ATTRIBUTES, *_ONLY)
"""The bits of keyUsage, in RFC 5280's order."""
NON_REPUDIATION = "nonRepudiation"  # another name of contentCommitment
_BY_WORD = {name.lower(): name for name in KEY_USAGES} | {NON_REPUDIATION.lower(): "contentCommitment"}

_SIGNING = frozenset({"digitalSignature", "contentCommitment", "keyCertSign", "cRLSign"})
_POSSIBLE = {
    "rsa": _SIGNING | {"keyEncipherment", "dataEncipherment"},  # RFC 3279 section 2.3.1
    "rsa-pss": _SIGNING,  # RFC 4055 section 1.2
    "ec": _SIGNING | {"keyAgreement", *_ONLY},  # RFC 5480 section 3
    "ed25519": _SIGNING,  # RFC 9295 section 3
    "ml-dsa": _SIGNING,  # RFC 9881 section 5
    "ml-kem": frozenset({"keyEncipherment"}),  # RFC 9935 section 5
}


def possible_usages(key_type: str) -> frozenset[str]:
    """The bits of keyUsage that a key can have, by its type as `pkix.keys` names it: "ec:P-256", "ml-dsa-65"."""
    kind = key_type.partition(":")[0]
    return _POSSIBLE.get(kind) or _POSSIBLE[kind.rpartition("-")[0]]


def certified_key_type(certificate: Certificate) -> str:
    """The type of a certificate's key, as `pkix.keys` names it. Raises AlgorithmRefused, Malformed."""
    return key_type_named(certificate.spki) if certificate.is_kem else key_type_of(certificate.public_key)


def usage_bit(word: str) -> str:
    """The bit of keyUsage that a name, in any case, means. Raises ValueError."""
    try:
        return _BY_WORD[word.lower()]
    except KeyError:
        raise ValueError(word) from None


def key_usage(names: Collection[str]) -> x509.KeyUsage:
    """KeyUsage from the RFC 5280 bit names; encipherOnly and decipherOnly need keyAgreement."""
    return x509.KeyUsage(**{attribute: name in names for name, attribute in (_ATTRIBUTES | _ONLY).items()})


def usage_names(extensions: x509.Extensions) -> frozenset[str] | None:
    """The bits of a keyUsage among the extensions of a certificate or request; None if there is none.

    Raises Malformed if it cannot be read.
    """
    usage = find(extensions, x509.KeyUsage)
    return None if usage is None else frozenset(bits_of(usage))


def bits_of(usage: x509.KeyUsage) -> list[str]:
    """The bits that are set, in RFC 5280's order."""
    named = _ATTRIBUTES | (_ONLY if usage.key_agreement else {})
    return [name for name, attribute in named.items() if getattr(usage, attribute)]


def may(certificate: AnyCertificate, usage: str) -> bool:
    """Whether the keyUsage has this bit, or there is no keyUsage."""
    names = usage_names(extensions_of(certificate))
    return names is None or usage in names


def extended_usages(extensions: x509.Extensions) -> list[x509.ObjectIdentifier] | None:
    """The purposes of an extendedKeyUsage among the extensions of a certificate or request; None if there is none.

    Raises Malformed if it cannot be read.
    """
    found = find(extensions, x509.ExtendedKeyUsage)
    return None if found is None else list(found)


def is_cmc_ra(certificate: AnyCertificate) -> bool:
    """Whether the extendedKeyUsage says cmcRA: an RA of the CA that issued it (RFC 10002). anyExtendedKeyUsage does
    not.
    """
    return CMC_RA in (extended_usages(extensions_of(certificate)) or ())


def is_request_agent(certificate: AnyCertificate) -> bool:
    """Whether the extendedKeyUsage is Certificate Request Agent alone, as that of an RA of Microsoft's NDES is."""
    return extended_usages(extensions_of(certificate)) == [REQUEST_AGENT]


def path_length(certificate: AnyCertificate) -> int | None:
    """How many CAs there may be below this one; None for any number."""
    found = extension_of(certificate, x509.BasicConstraints)
    return None if found is None else found.path_length


def is_ca(certificate: AnyCertificate) -> bool:
    """Whether the basicConstraints say cA. What X.509 v1 certificates are is not known: they are none, like one whose
    basicConstraints cannot be read.
    """
    try:
        found = extension_of(certificate, x509.BasicConstraints)
    except Malformed:
        return False
    return found is not None and found.ca
