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
import uuid

from cryptography import x509

from pkix.asn1 import Oid, any_of, decode, sequence, tag_of
from pkix.attribute_types import string_text
from pkix.errors import Malformed
from pkix.mail_and_host_names import host_name_fault, is_host_name, is_mailbox, mailbox_fault, shown
from pkix.names import comparable, is_seen, name_text
from pkix.subjects import check_subject

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's user principal name
HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")  # RFC 4108 section 5
PERMANENT_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.3")  # RFC 4043
SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598
OBJECT_GUID = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.1")  # of a domain controller, [MS-WCCE]

# The types of subjectAltName that a profile can allow, beside OTHER_NAME with an OID that is not one of _OTHER_NAMES.
SAN_TYPES = (
    *("dns", "email", "ip", "uri", "upn", "dn", "registeredID"),
    *("hardwareModuleName", "permanentIdentifier", "objectGUID"),
)
OTHER_NAME = "otherName:"
_OTHER_NAMES = {
    UPN: "upn",
    HARDWARE_MODULE_NAME: "hardwareModuleName",
    PERMANENT_IDENTIFIER: "permanentIdentifier",
    OBJECT_GUID: "objectGUID",
}
# Only for texts: RFC 4120, RFC 6120, RFC 4985, RFC 7585 and RFC 9598.
_MORE_NAMES = {
    "1.3.6.1.5.2.2": "KRB5PrincipalName",
    "1.3.6.1.5.5.7.8.5": "xmppAddr",
    "1.3.6.1.5.5.7.8.7": "dnsSRV",
    "1.3.6.1.5.5.7.8.8": "NAIRealm",
    SMTP_UTF8_MAILBOX.dotted_string: "SmtpUTF8Mailbox",
}

_IN_URI = r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_IN_URI}(?: {_IN_URI})*")
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:]*))(?::[0-9]*)?")
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)(//[^/?#]*)?")


@sequence
class HardwareModuleName:
    """RFC 4108 section 5."""

    hw_type: Oid
    hw_serial_num: bytes


@sequence
class PermanentIdentifier:
    """RFC 4043 section 2."""

    identifier_value: str | None
    assigner: Oid | None


def is_san_type(word: str) -> bool:
    """Whether a profile can allow it: one of SAN_TYPES, or OTHER_NAME and an OID that has no word of its own."""
    if word in SAN_TYPES:
        return True
    try:
        return word.startswith(OTHER_NAME) and x509.ObjectIdentifier(word.removeprefix(OTHER_NAME)) not in _OTHER_NAMES
    except ValueError:
        return False


def type_of(name: x509.GeneralName) -> str:
    """Its type as `is_san_type` has it."""
    if isinstance(name, x509.OtherName):
        return _OTHER_NAMES.get(name.type_id) or f"{OTHER_NAME}{name.type_id.dotted_string}"
    return _TYPES[type(name)]


def type_label(name: x509.GeneralName) -> str:
    """Its type for texts; that of an otherName with its OID, and what it is called."""
    kind = type_of(name)
    if isinstance(name, x509.DirectoryName):
        return f"{kind} (directoryName)"
    if not isinstance(name, x509.OtherName) or kind == "upn":
        return kind
    dotted = name.type_id.dotted_string
    called = _OTHER_NAMES.get(name.type_id) or _MORE_NAMES.get(dotted)
    return f"otherName {dotted} ({called})" if called else f"otherName {dotted}"


def checked_text(name: x509.GeneralName, whose: str) -> str:
    """The value of a name as text, for rules and for people.

    registeredID: the OID. dn: as `pkix.names.name_text` has it. hardwareModuleName: hwType, a colon and the serial
    number in hex. permanentIdentifier: identifierValue, a slash and the assigner, each as far as it is there.
    objectGUID: as GUIDs are written. Another otherName: the text of a string, or # and the DER in hex; so is a string
    that begins with #. whose: begins the text of errors. Raises Malformed for a value that is not of its type's form.
    """
    try:
        return _text(name)
    except Malformed as error:
        raise Malformed(f"{whose}: subjectAltName: {error.text}") from None


def rendered(name: x509.GeneralName) -> str:
    """Type and value for people, such as "dns: device.example", also of a name that nobody may have."""
    kind = type_label(name) if type_of(name).startswith(OTHER_NAME) else type_of(name)
    try:
        return f"{kind}: {_text(name)}"
    except Malformed:
        value = name.value
        shown = value.hex() if isinstance(value, bytes) else name_text(value) if isinstance(value, x509.Name) else value
        return f"{kind}, unreadable: {shown}"


def comparable_general_name(name: x509.GeneralName) -> tuple[str, object]:
    """What two names have in common if and only if they are the same name (RFC 5280 sections 7.1 to 7.5).

    Case makes no difference in a host name, in the host of an e-mail address, and in scheme and host of a URI.
    """
    kind, value = type_of(name), name.value
    if isinstance(value, x509.Name):
        return kind, comparable(value)
    return kind, with_lower_host(kind, value) if isinstance(value, str) else value


def with_lower_host(kind: str, text: str) -> str:
    """The text of a name (`checked_text`) with a host name in it, and the scheme of a URI, in lower case: there, case
    makes no difference. kind: `type_of` it.
    """
    if kind == "dns":
        return text.lower()
    if kind in ("email", "upn", f"{OTHER_NAME}{SMTP_UTF8_MAILBOX.dotted_string}"):
        local, at, domain = text.rpartition("@")
        return local + at + domain.lower()
    return _AUTHORITY.sub(_lower_authority, text, count=1) if kind == "uri" else text


def _lower_authority(found: re.Match[str]) -> str:
    user, at, host = (found[2] or "").rpartition("@")
    return found[1].lower() + user + at + host.lower()


def _text(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName):
        host = name.value.removeprefix("*.")
        if not is_host_name(host):
            fault = f"{shown(name.value)}, {host_name_fault(host)}"
            raise Malformed(f"dNSName is not a host name (RFC 1123): {fault}")
        return name.value
    if isinstance(name, x509.RFC822Name):
        if not is_mailbox(name.value):
            fault = f"{shown(name.value)}, {mailbox_fault(name.value)}"
            raise Malformed(f"rfc822Name is not an e-mail address (RFC 5321): {fault}")
        return name.value
    if isinstance(name, x509.UniformResourceIdentifier):
        _check(is_uri(name.value), "the URI is not one with a scheme (RFC 3986)")
        authority = _AUTHORITY.match(name.value)
        hosted = authority is None or authority[2] is None or _has_host(authority[2])
        _check(hosted, "the authority of the URI has no host name or address (RFC 5280 section 4.2.1.6)")
        return name.value
    if isinstance(name, x509.IPAddress):
        address = isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
        _check(address, "iPAddress is a network; it has 4 or 16 octets")
        return str(name.value)
    if isinstance(name, x509.DirectoryName):
        return _directory_name(name.value)
    if isinstance(name, x509.RegisteredID):
        return name.value.dotted_string
    assert isinstance(name, x509.OtherName)
    return _OTHER_TEXTS.get(name.type_id, _other_name)(name.value)


def _check(right: bool, what: str) -> None:
    if not right:
        raise Malformed(what)


def is_uri(text: str) -> bool:
    """A URI with a scheme (RFC 3986), of which parts may have single blanks between them."""
    return _URI.fullmatch(text) is not None


def _has_host(authority: str) -> bool:
    """authority: of a URI, with its two slashes."""
    found = _HOST_AND_PORT.fullmatch(authority.rpartition("@")[2].removeprefix("//"))
    if found is None or found[2] is not None:
        return found is not None and is_host_name(found[2])
    try:
        return bool(ipaddress.IPv6Address(found[1]))
    except ValueError:
        return False


def _directory_name(name: x509.Name) -> str:
    _check(len(name) > 0, "directoryName is empty")
    check_subject(name.public_bytes(), "directoryName")
    return name_text(name)


def _user_principal_name(value: bytes) -> str:
    """Of Active Directory: user@domain, of any letters."""
    try:
        text = decode(str, value, "UPN")
    except Malformed:
        raise Malformed("the UPN is not a UTF8String") from None
    user, _, domain = text.partition("@")
    right = bool(user and domain) and "@" not in domain and all(map(_is_seen, text))
    _check(right, "the UPN is not user@domain")
    return text


def _hardware_module_name(value: bytes) -> str:
    found = decode(HardwareModuleName, value, "hardwareModuleName")
    _check(len(found.hw_serial_num) > 0, "hardwareModuleName without serial number (RFC 4108 section 5)")
    return f"{found.hw_type.dotted_string}:{found.hw_serial_num.hex()}"


def _permanent_identifier(value: bytes) -> str:
    found = decode(PermanentIdentifier, value, "permanentIdentifier")
    if found.identifier_value is not None:
        _check(_is_legible(found.identifier_value), "identifierValue of permanentIdentifier is empty or not legible")
    return f"{found.identifier_value or ''}/{found.assigner.dotted_string if found.assigner else ''}"


def _object_guid(value: bytes) -> str:
    octets = decode(bytes, value, "objectGUID")
    _check(len(octets) == 16, "objectGUID does not have 16 octets")
    return str(uuid.UUID(bytes_le=octets))


def _other_name(value: bytes) -> str:
    found = any_of(value)
    try:
        text = string_text(tag_of(found), bytes(found.data))
    except ValueError:
        text = ""
    if text is None:
        return f"#{value.hex()}"
    _check(_is_legible(text), "the value of an otherName is empty or not legible")
    return f"#{value.hex()}" if text.startswith("#") else text


_OTHER_TEXTS = {
    UPN: _user_principal_name,
    HARDWARE_MODULE_NAME: _hardware_module_name,
    PERMANENT_IDENTIFIER: _permanent_identifier,
    OBJECT_GUID: _object_guid,
}
_TYPES: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "dns",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "uri",
    x509.IPAddress: "ip",
    x509.DirectoryName: "dn",
    x509.RegisteredID: "registeredID",
}


def _is_seen(character: str) -> bool:
    """No blank, nothing that is invisible, nothing without a meaning of its own in Unicode."""
    return is_seen(character) and unicodedata.category(character)[0] != "C"


def _is_legible(text: str) -> bool:
    """Characters that are seen, with single blanks between them."""
    return all(word and all(map(_is_seen, word)) for word in text.split(" "))
