"""Extended key usages by name (RFC 5280 section 4.2.1.12): what command line, configuration and texts call them.

Names are those of the documents that assign them, without id-kp-; Microsoft's have names like these. The obsolete ones
of IPsec (RFC 4945 section 5.1.3.12) are what older devices still ask for.
"""

from __future__ import annotations

from pkix.asn1 import Oid
from pkix.usages import CMC_CA, CMC_RA, REQUEST_AGENT

_KP = "1.3.6.1.5.5.7.3"
_MICROSOFT = "1.3.6.1.4.1.311"

PURPOSES = {
    "serverAuth": Oid(f"{_KP}.1"),
    "clientAuth": Oid(f"{_KP}.2"),
    "codeSigning": Oid(f"{_KP}.3"),
    "emailProtection": Oid(f"{_KP}.4"),
    "timeStamping": Oid(f"{_KP}.8"),
    "OCSPSigning": Oid(f"{_KP}.9"),
    "ipsecIKE": Oid(f"{_KP}.17"),  # RFC 4945
    "ipsecEndSystem": Oid(f"{_KP}.5"),
    "ipsecTunnel": Oid(f"{_KP}.6"),
    "ipsecUser": Oid(f"{_KP}.7"),
    "eapOverPPP": Oid(f"{_KP}.13"),  # RFC 4334
    "eapOverLAN": Oid(f"{_KP}.14"),
    "secureShellClient": Oid(f"{_KP}.21"),  # RFC 6187
    "secureShellServer": Oid(f"{_KP}.22"),
    "documentSigning": Oid(f"{_KP}.36"),  # RFC 9336
    "cmcCA": CMC_CA,  # RFC 10002
    "cmcRA": CMC_RA,
    "pkinitClientAuth": Oid("1.3.6.1.5.2.3.4"),  # RFC 4556
    "pkinitKDC": Oid("1.3.6.1.5.2.3.5"),
    "smartcardLogon": Oid(f"{_MICROSOFT}.20.2.2"),
    "certificateRequestAgent": REQUEST_AGENT,
    "encryptingFileSystem": Oid(f"{_MICROSOFT}.10.3.4"),
    "msDocumentSigning": Oid(f"{_MICROSOFT}.10.3.12"),
    "anyExtendedKeyUsage": Oid("2.5.29.37.0"),
}
_NAMES = {oid: name for name, oid in PURPOSES.items()}
_BY_WORD = {name.lower(): oid for name, oid in PURPOSES.items()}


def purpose(word: str) -> Oid:
    """The extended key usage that a name, in any case, or an OID with dots means. Raises ValueError."""
    found = _BY_WORD.get(word.lower())
    return found if found is not None else Oid(word)


def purpose_name(usage: Oid) -> str:
    """Its name, or its OID if it has none."""
    return _NAMES.get(usage, usage.dotted_string)
