"""What a request asks for, as people write it."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from pkix.errors import PkixError
from pkix.general_names import checked_text
from scep_kem.errors import UsageError


def san_of(names: tuple[str, ...]) -> list[x509.Extension[x509.ExtensionType]]:
    if not names:
        return []
    made: list[x509.GeneralName] = []
    for text in names:
        kind, _, value = text.partition(":")
        try:
            made.append(_general_name(kind, value))
            checked_text(made[-1], f"--san {text!r}")
        except PkixError as error:
            raise UsageError(error.text) from None
        except ValueError:
            raise UsageError(f"--san {text!r}: write dns:NAME, ip:ADDRESS, email:ADDRESS or uri:URI") from None
    value_of = x509.SubjectAlternativeName(made)
    return [x509.Extension(value_of.oid, False, value_of)]


def _general_name(kind: str, value: str) -> x509.GeneralName:
    if not value:
        raise ValueError(kind)
    if kind == "dns":
        return x509.DNSName(value)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "email":
        return x509.RFC822Name(value)
    if kind == "uri":
        return x509.UniformResourceIdentifier(value)
    raise ValueError(kind)
