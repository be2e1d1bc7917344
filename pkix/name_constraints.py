"""Name constraints (RFC 5280 section 4.2.1.10): whether the names of a certificate are within those of its CA.

directoryName, dNSName, rfc822Name, URI and iPAddress are processed. Constraints for rfc822Name are also for
emailAddress in the subject and for SmtpUTF8Mailbox (RFC 9598 section 6). The common name is no host name here, as the
RFC has it; OpenSSL takes it for one when there is no dNSName.

Names are compared by what they mean, and what cannot be told is decided against the name, whether the subtree is
permitted or excluded: a name or a constraint that is not of the plain form of its type ("a@b.example." is none), and
every name of a form that is not processed, as soon as there is a constraint for its form.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from cryptography import x509

from pkix.asn1 import decode
from pkix.certificates import Certificate, extension_of
from pkix.errors import Malformed
from pkix.extensions import find, has_distances
from pkix.general_names import SMTP_UTF8_MAILBOX, is_uri, type_label
from pkix.mail_and_host_names import is_host_name, is_mailbox
from pkix.names import comparable, name_text

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
# The end of a host that programs take for an IPv4 address, in whatever base.
_NUMERIC = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 addresses as IPv6 ones


def constraints_of(ca: x509.Certificate) -> x509.NameConstraints | None:
    """Those in a CA certificate, None if it has none. Raises Malformed for those that cannot be read or processed."""
    found = extension_of(ca, x509.NameConstraints)
    octets = None if found is None else Certificate.of(ca).extension_value(x509.NameConstraints.oid)
    if octets is not None and has_distances(octets):
        raise Malformed("certificate: nameConstraints with a minimum or maximum (RFC 5280 section 4.2.1.10)")
    return found


def alternative_names(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> list[x509.GeneralName]:
    """What the subjectAltName among the extensions holds. Raises Malformed if it cannot be read."""
    return list(find(x509.Extensions(list(extensions)), x509.SubjectAlternativeName) or ())


def outside(constraints: x509.NameConstraints, subject: x509.Name, names: Iterable[x509.GeneralName]) -> str:
    """Which name of a certificate the constraints forbid, and why; empty if none. names: its subjectAltName."""
    for name in _names(subject, names):
        for base in _of_form(name, constraints.excluded_subtrees):
            within = _within(name, base, excluded=True)
            if within is None:
                return f"{_text(name)} cannot be compared with the excluded subtree {_text(base)}"
            if within:
                return f"{_text(name)} is within the excluded subtree {_text(base)}"
        permitted = list(_of_form(name, constraints.permitted_subtrees))
        if permitted and not any(_within(name, base, excluded=False) for base in permitted):
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
        same = type(base) is type(name) and getattr(base, "type_id", None) == getattr(name, "type_id", None)
        if same or (isinstance(base, x509.RFC822Name) and _is_mailbox(name)):
            yield base


def _is_mailbox(name: x509.GeneralName) -> bool:
    return isinstance(name, x509.OtherName) and name.type_id == SMTP_UTF8_MAILBOX


def _within(name: x509.GeneralName, base: x509.GeneralName, *, excluded: bool) -> bool | None:
    """Whether a name is in a subtree for its form; None if that cannot be told."""
    if isinstance(name, x509.DirectoryName) and isinstance(base, x509.DirectoryName):
        length = len(base.value.rdns)
        return comparable(x509.Name(name.value.rdns[:length])) == comparable(base.value)
    if isinstance(name, x509.DNSName) and isinstance(base, x509.DNSName):
        return _in_domain(name.value, base.value, excluded=excluded)
    if isinstance(name, x509.RFC822Name | x509.OtherName) and isinstance(base, x509.RFC822Name):
        return _in_mail_domain(name, base.value, excluded=excluded)
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(base, x509.UniformResourceIdentifier):
        return _is_host_of(_host(name.value), base.value)
    if isinstance(name, x509.IPAddress) and isinstance(base, x509.IPAddress):
        return _in_network(name.value, base.value, excluded=excluded)
    return None


def _domain(base: str) -> str | None:
    """A host or domain of a constraint, lower case, without the dot of the root; None if it is neither. That at its
    beginning stays.
    """
    found = base.lower().removesuffix(".")
    return found if not base or is_host_name(found.removeprefix(".")) else None


def _in_domain(host: str, base: str, *, excluded: bool) -> bool | None:
    """A dNSName: the domain and everything below; with a dot at its beginning, as some write, what is below. A wildcard
    is in an excluded domain if one of the hosts that it stands for is.
    """
    host, domain = host.lower(), _domain(base)
    if domain is None or not is_host_name(host.removeprefix("*.")):
        return None
    if not domain or host == domain or host.endswith(domain if domain.startswith(".") else f".{domain}"):
        return True
    return excluded and host.startswith("*.") and domain.endswith(host[1:])


def _is_host_of(host: str | None, base: str) -> bool | None:
    """The host of an rfc822Name or URI, None if it has none: this one, or with a dot at the domain's beginning, one
    below it.
    """
    domain = _domain(base)
    if host is None or domain is None:
        return None
    return not domain or (host.lower().endswith(domain) if domain.startswith(".") else host.lower() == domain)


def _in_mail_domain(name: x509.RFC822Name | x509.OtherName, base: str, *, excluded: bool) -> bool | None:
    """Hosts may tell BOB and bob apart or not (RFC 5321 section 2.4), so both are excluded, and only one permitted."""
    text = _mailbox(name.value) if isinstance(name, x509.OtherName) else name.value if is_mailbox(name.value) else None
    if text is None:
        return None
    local, _, host = text.rpartition("@")
    wanted, at, domain = base.rpartition("@")
    if not at:
        return _is_host_of(host, domain)
    if not is_mailbox(base) or not local.isascii():  # which form of other letters is meant, no rule says
        return None
    same = local.lower() == wanted.lower() if excluded else local == wanted
    return same and _is_host_of(host, domain)


def _mailbox(value: bytes) -> str | None:
    """The address in a SmtpUTF8Mailbox (RFC 9598 section 3), whose host is in ASCII; None if it is none."""
    try:
        text = decode(str, value, "SmtpUTF8Mailbox")
    except Malformed:
        return None
    local, _, host = text.rpartition("@")
    return text if local and "@" not in local and local.isprintable() and is_host_name(host) else None


def _in_network(address: object, network: object, *, excluded: bool) -> bool | None:
    """An address is in an excluded network also as the IPv6 address of an IPv4 one, and the reverse (RFC 4291 section
    2.5.5.2).
    """
    if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address) or not isinstance(
        network, ipaddress.IPv4Network | ipaddress.IPv6Network
    ):
        return None
    if address in network:
        return True
    if not excluded:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped is not None and address.ipv4_mapped in network
    # ::/0, as it is used to exclude every IPv6 address, is not meant for IPv4.
    is_of_ipv4 = isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED)
    return is_of_ipv4 and ipaddress.IPv6Address(_MAPPED[0].packed[:12] + address.packed) in network


def _host(uri: str) -> str | None:
    """The host name of a URI; None if there is none that others read in the same way, or it is an address, which a
    constraint always refuses.
    """
    found = _AUTHORITY.match(uri) if is_uri(uri) else None
    if found is None or found[1].count("@") > 1:
        return None
    host, _, port = found[1].rpartition("@")[2].partition(":")
    right = is_host_name(host) and (not port or port.isdecimal())
    return host if right and not _NUMERIC.fullmatch(host.rpartition(".")[2]) else None


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
        return type_label(name)
    return f"{forms[type(name)]} {name.value}"
