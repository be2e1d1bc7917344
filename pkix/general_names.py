"""What a subjectAltName may hold (RFC 5280 section 4.2.1.6), type by type.

`cryptography.x509` reads any octets. Others do not: one stops at a NUL, one at a line end, one takes a network for an
address. So a name that is not of the form of its type is refused before any rule looks at it, and what the rules match
is the value that is issued. Where a form has parts that nobody sends in certificates (quoted local parts and address
literals in e-mail addresses), they are left out.

Deployed clients send an underscore in host names, which RFC 1123 forbids and everybody reads, and single blanks within
a URI: "ID:Microsoft Endpoint Manager:GUID:" and a device ID is what Intune sends for Cisco's ISE.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from cryptography import x509

from pkix.asn1 import decode
from pkix.errors import Malformed
from pkix.names import is_seen
from pkix.subjects import check_subject

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's user principal name

MAX_HOST_NAME = 253
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"(?=.{{1,64}}$){_ATOM}(?:\.{_ATOM})*")
_IN_URI = r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_IN_URI}(?: {_IN_URI})*")


def checked_text(name: x509.GeneralName) -> tuple[str, str]:
    """Type ("dns", "email", "ip", "uri", "upn", "dn", or "other") and text of a requested name.

    Raises Malformed for a value that is not of the form of its type. What an "other" one holds is not looked at.
    """
    if isinstance(name, x509.DNSName):
        _check(_is_host(name.value.removeprefix("*.")), "dNSName is not a host name (RFC 1123)")
        return "dns", name.value
    if isinstance(name, x509.RFC822Name):
        local, _, domain = name.value.rpartition("@")
        right = _LOCAL_PART.fullmatch(local) is not None and _is_host(domain)
        _check(right, "rfc822Name is not an e-mail address (RFC 5321)")
        return "email", name.value
    if isinstance(name, x509.UniformResourceIdentifier):
        _check(_URI.fullmatch(name.value) is not None, "the URI is not one with a scheme (RFC 3986)")
        return "uri", name.value
    if isinstance(name, x509.IPAddress):
        address = isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
        _check(address, "iPAddress is a network; it has 4 or 16 octets")
        return "ip", str(name.value)
    if isinstance(name, x509.DirectoryName):
        return "dn", _directory_name(name.value)
    if isinstance(name, x509.OtherName) and name.type_id == UPN:
        return "upn", _user_principal_name(name.value)
    return "other", ""


def _check(right: bool, what: str) -> None:
    if not right:
        raise Malformed(f"PKCS #10 request: subjectAltName: {what}")


def _is_host(text: str) -> bool:
    return len(text) <= MAX_HOST_NAME and _HOST.fullmatch(text) is not None


def _directory_name(name: x509.Name) -> str:
    _check(len(name) > 0, "directoryName is empty")
    try:
        check_subject(name.public_bytes())
    except Malformed as error:
        raise Malformed(f"PKCS #10 request: subjectAltName: directoryName: {error.text.rpartition(': ')[2]}") from None
    return name.rfc4514_string()


def _user_principal_name(value: bytes) -> str:
    """Of Active Directory: user@domain, of any letters."""
    try:
        text = decode(str, value, "UPN")
    except Malformed:
        raise Malformed("PKCS #10 request: subjectAltName: the UPN is not a UTF8String") from None
    user, _, domain = text.partition("@")
    right = bool(user and domain) and "@" not in domain and all(map(_is_seen, text))
    _check(right, "the UPN is not user@domain")
    return text


def _is_seen(character: str) -> bool:
    """No blank, nothing that is invisible, nothing without a meaning of its own in Unicode."""
    return is_seen(character) and unicodedata.category(character)[0] != "C"
