"""Name constraints (RFC 5280 section 4.2.1.10): whether the names of a certificate are within those of its CA.

directoryName, dNSName, rfc822Name (also of emailAddress in the subject), URI and iPAddress are processed. A name of
another form is outside as soon as there is a constraint for its form, because none of those can be processed. The
common name is no host name here, as the RFC has it; OpenSSL takes it for one when there is no dNSName.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from cryptography import x509

from pkix.certificates import Certificate, extension_of
from pkix.errors import Malformed
from pkix.extensions import has_distances
from pkix.names import comparable, name_text


def constraints_of(ca: x509.Certificate) -> x509.NameConstraints | None:
    """Those in a CA certificate, None if it has none. Raises Malformed for those that cannot be read or processed."""
    found = extension_of(ca, x509.NameConstraints)
    octets = None if found is None else Certificate.of(ca).extension_value(x509.NameConstraints.oid)
    if octets is not None and has_distances(octets):
        raise Malformed("certificate: nameConstraints with a minimum or maximum (RFC 5280 section 4.2.1.10)")
    return found


def alternative_names(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> list[x509.GeneralName]:
    """What the subjectAltName among the extensions holds."""
    return [name for item in extensions if isinstance(item.value, x509.SubjectAlternativeName) for name in item.value]


def outside(constraints: x509.NameConstraints, subject: x509.Name, names: Iterable[x509.GeneralName]) -> str:
    """Which name of a certificate the constraints forbid, and why; empty if none. names: its subjectAltName."""
    for name in _names(subject, names):
        for base in _of_form(name, constraints.excluded_subtrees):
            if not _supported(name) or _within(name, base, excluded=True):
                return f"{_text(name)} is within the excluded subtree {_text(base)}"
        permitted = list(_of_form(name, constraints.permitted_subtrees))
        if permitted and not (_supported(name) and any(_within(name, base, excluded=False) for base in permitted)):
            return f"{_text(name)} is outside of the permitted {', '.join(map(_text, permitted))}"
    return ""


def _names(subject: x509.Name, names: Iterable[x509.GeneralName]) -> Iterator[x509.GeneralName]:
    if len(subject):
        yield x509.DirectoryName(subject)
    for attribute in subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name._init_without_validation(str(attribute.value))
    yield from names


def _of_form(name: x509.GeneralName, bases: Iterable[x509.GeneralName] | None) -> Iterator[x509.GeneralName]:
    """The constraints for names of this form; other names have a form for each type-id."""
    for base in bases or ():
        if type(base) is type(name) and getattr(base, "type_id", None) == getattr(name, "type_id", None):
            yield base


def _supported(name: x509.GeneralName) -> bool:
    return not isinstance(name, x509.OtherName | x509.RegisteredID)


def _within(name: x509.GeneralName, base: x509.GeneralName, *, excluded: bool) -> bool:
    """Whether a name is in a subtree of its own form. What cannot be told is decided against the name."""
    if isinstance(name, x509.DirectoryName) and isinstance(base, x509.DirectoryName):
        length = len(base.value.rdns)
        return comparable(x509.Name(name.value.rdns[:length])) == comparable(base.value)
    if isinstance(name, x509.DNSName) and isinstance(base, x509.DNSName):
        return _in_domain(name.value, base.value, excluded=excluded)
    if isinstance(name, x509.RFC822Name) and isinstance(base, x509.RFC822Name):
        local, _, host = name.value.rpartition("@")
        wanted, at, domain = base.value.rpartition("@")
        return _is_host_of(host, domain) and (not at or local == wanted)
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(base, x509.UniformResourceIdentifier):
        named = _host(name.value)
        return excluded if named is None else _is_host_of(named, base.value)
    if isinstance(name, x509.IPAddress) and isinstance(base, x509.IPAddress):
        network = base.value
        return isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network) and name.value in network
    return excluded


def _in_domain(host: str, domain: str, *, excluded: bool) -> bool:
    """A dNSName: the domain and everything below; with a dot at its beginning, as some write, what is below. A wildcard
    is in an excluded domain if one of the hosts that it stands for is.
    """
    host, domain = host.lower(), domain.lower()
    if not domain or host == domain or host.endswith(domain if domain.startswith(".") else f".{domain}"):
        return True
    return excluded and host.startswith("*.") and domain.removeprefix(".").endswith(host[1:])


def _is_host_of(host: str, domain: str) -> bool:
    """The host of an rfc822Name or URI: this one, or with a dot at the domain's beginning, one below it."""
    host, domain = host.lower(), domain.lower()
    return not domain or (host.endswith(domain) if domain.startswith(".") else host == domain)


def _host(uri: str) -> str | None:
    """The host name of a URI; None if there is none, or an address, which a constraint always refuses."""
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    return None if not host or _is_address(host) else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _text(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DirectoryName):
        return f"directoryName {name_text(name.value)}"
    forms = {
        x509.DNSName: "dNSName",
        x509.RFC822Name: "rfc822Name",
        x509.UniformResourceIdentifier: "URI",
        x509.IPAddress: "iPAddress",
        x509.RegisteredID: "registeredID",
    }
    if isinstance(name, x509.OtherName):
        return f"otherName {name.type_id.dotted_string}"
    return f"{forms[type(name)]} {name.value}"
