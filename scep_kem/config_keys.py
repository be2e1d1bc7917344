"""The keys of the TOML configuration: their types, what they may be, and the settings that they become.

What is impossible is found here, when the file is read, and not at the first request that meets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography import x509

from ca.profiles import (
    ALL_KEY_TYPES,
    CA_IN_URL,
    COPYABLE,
    EXTENDED_KEY_USAGES,
    KEY_USAGES,
)
from kem.backends import AUTOMATIC, BACKEND_NAMES
from kem.exchange import POP_SHA256, POP_SHA512
from pkix.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from pkix.attribute_types import attribute_oid
from pkix.general_names import is_san_type
from pkix.usages import CMC_RA, NON_REPUDIATION
from scep.settings import Pop, ResponseKeyReuse
from scep_kem.budgets import LONGEST_WEBHOOK
from scep_kem.errors import UsageError
from scep_kem.logs import FORMATS
from scep_kem.proxies import Network
from scep_kem.webhook_secret import Authentication

# The longest time that a key may say: any moment of ours plus or minus it is still a date.
LONGEST = timedelta(days=36_525)

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Key:
    """kind: Python type, or types, of the TOML value. check: whether the value is possible; a regular expression that
    is none raises re.error. field: name of the setting that it becomes, if that is another. convert: the setting's
    value from the TOML value.
    """

    kind: type | tuple[type, ...]
    check: Check | None = None
    field: str | None = None
    convert: Callable[[Any], Any] | None = None


Keys = dict[str, Key]


def checked(table: object, keys: Keys, where: str) -> dict[str, Any]:
    """The table with every key known, of its type and possible. where: its name. Raises UsageError."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table")
    for name, value in table.items():
        if name not in keys:
            raise UsageError(f"unknown key {where}.{name}; known: {', '.join(keys)}")
        key = keys[name]
        # For Python, true is an int.
        wrong = isinstance(value, bool) and key.kind is not bool
        wrong = wrong or (isinstance(value, list) and not all(isinstance(item, str) for item in value))
        if wrong or not isinstance(value, key.kind):
            names = " or ".join(item.__name__ for item in (key.kind if isinstance(key.kind, tuple) else (key.kind,)))
            raise UsageError(f"{where}.{name} is not of type {names}")
        try:
            possible = key.check is None or key.check(value)
        except re.error as error:
            raise UsageError(f"{where}.{name}: not a regular expression: {error}") from None
        if not possible:
            raise UsageError(f"{where}.{name}: {value!r} is not possible")
    return table


def settings(table: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """A checked table as keyword arguments of the class that it configures."""
    found = {}
    for name, value in table.items():
        key = keys[name]
        if key.convert is not None:
            value = key.convert(value)
        found[key.field or name] = tuple(value) if isinstance(value, list) else value
    return found


def split_url(text: str) -> SplitResult | None:
    """The parts of a URL as it goes over the wire and into certificates; None if it is none."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        return None
    return parts


def _time(unit: timedelta, field: str | None = None, *, zero: bool = False) -> Key:
    """A number of units, kept in whole seconds, which is what certificates and the Store count in."""

    def seconds(value: float) -> timedelta:
        return timedelta(seconds=round(value * unit.total_seconds()))

    def possible(value: float) -> bool:
        return 0 <= value <= LONGEST / unit and (seconds(value) > timedelta(0) or (zero and value == 0))

    return Key((int, float), possible, field, seconds)


def _count(lowest: int, highest: int | None = None) -> Key:
    return Key(int, lambda value: lowest <= value and (highest is None or value <= highest))


def _one_of(known: Collection[str], field: str | None = None, convert: Callable[[str], Any] | None = None) -> Key:
    return Key(str, lambda value: value in known, field, convert)


def _subset(known: Collection[str]) -> Key:
    return Key(list, lambda value: all(item in known for item in value))


def _all(possible: Callable[[str], bool]) -> Key:
    return Key(list, lambda value: all(map(possible, value)))


def _is_attribute(text: str) -> bool:
    """A keyword or a name of an attribute of a distinguished name, or an OID."""
    try:
        attribute_oid(text)
    except ValueError:
        return False
    return True


def _patterns(known: Callable[[str], bool]) -> Key:
    def possible(value: dict[str, Any]) -> bool:
        for name, pattern in value.items():
            if not known(name) or not isinstance(pattern, str):
                return False
            re.compile(pattern)
        return True

    return Key(dict, possible)


def _is_usage(text: str) -> bool:
    """The name of an extended key usage, or an OID, but not the mark of an RA, which whoever has it could pose as."""
    if text in EXTENDED_KEY_USAGES:
        return True
    try:
        return x509.ObjectIdentifier(text) != CMC_RA
    except ValueError:
        return False


def _key_usages(names: list[str]) -> list[str]:
    """RFC 5280 knows the bit contentCommitment under two names."""
    return ["contentCommitment" if name == NON_REPUDIATION else name for name in names]


def _are_key_usages(names: list[str]) -> bool:
    """What end entities may have; a certificate that says for what its key is says something (section 4.2.1.3)."""
    return bool(names) and all(name in KEY_USAGES for name in _key_usages(names))


def _is_location(text: str) -> bool:
    """Where a CRL or a certificate may be fetched (RFC 5280 sections 4.2.1.13 and 4.2.2.1); ldap may name no host."""
    text = text.replace(CA_IN_URL, "")
    parts = split_url(text)
    return (
        parts is not None
        and not {"{", "}"} & set(text)
        and (parts.scheme == "ldap" or (parts.scheme in ("http", "https") and bool(parts.hostname)))
    )


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _networks(texts: list[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_FLAG = Key(bool)
_TEXT = Key(str)
_LOCATIONS = _all(_is_location)
_SECOND, _MINUTE, _HOUR, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_PARAMETERS = {"sha256": POP_SHA256, "sha512": POP_SHA512}

CA: Keys = {"dir": _TEXT, "database": _TEXT}
SERVER: Keys = {
    "host": _TEXT,
    "port": _count(0, 65535),
    "max_body": _count(4096),
    "trusted_proxies": Key(list, lambda value: all(_is_network(item) for item in value), convert=_networks),
    "log": _one_of(FORMATS),
}
ALGORITHMS: Keys = {
    "legacy": _FLAG,
    "aes_gcm": _FLAG,
    "aes_cbc": _FLAG,
    "ml_dsa": _FLAG,
    "kem_backend": _one_of((AUTOMATIC, *BACKEND_NAMES)),
}
TRANSACTIONS: Keys = {
    "pending_days": _time(_DAY, "pending_lifetime"),
    "ended_hours": _time(_HOUR, "ended_lifetime"),
    "max_pending": _count(0),
    "max_pending_per_signer": _count(1),
    "max_failed": _count(1),
    "max_request": _count(4096),
    "max_clock_skew_minutes": _time(_MINUTE, "max_clock_skew"),
}
PROFILE: Keys = {
    "validity_days": _time(_DAY, "validity"),
    "backdate_minutes": _time(_MINUTE, "backdate", zero=True),
    "key_types": _subset(ALL_KEY_TYPES),
    "min_rsa_bits": _count(MIN_RSA_BITS, MAX_RSA_BITS),
    "max_rsa_bits": _count(MIN_RSA_BITS, MAX_RSA_BITS),
    "key_usage": Key(list, _are_key_usages, convert=_key_usages),
    "extended_key_usage": _all(_is_usage),
    "required_subject": _all(_is_attribute),
    "allowed_subject": _all(_is_attribute),
    "subject_patterns": _patterns(_is_attribute),
    "allow_empty_subject": _FLAG,
    "san_types": _all(is_san_type),
    "san_patterns": _patterns(is_san_type),
    "copy_extensions": _subset(COPYABLE),
    "crl_urls": _LOCATIONS,
    "issuer_urls": _LOCATIONS,
    "unique_subject": _FLAG,
    "renewal_window_days": _time(_DAY, "renewal_window"),
    "authorisation": Key(dict),
    "kem": Key(dict),
}
AUTHORISATION: Keys = {
    "challenge_password": _FLAG,
    "renewal": _FLAG,
    "manual": _FLAG,
    "renewal_grace_days": _time(_DAY, "renewal_grace", zero=True),
    "webhook": _TEXT,
    "webhook_ca_file": _TEXT,
    "webhook_secret_file": _TEXT,
    "webhook_authentication": _one_of([item.value for item in Authentication], convert=Authentication),
    "webhook_pause_seconds": _time(_SECOND, "webhook_pause", zero=True),
    "webhook_timeout_seconds": Key((int, float), lambda value: 0 < value <= LONGEST_WEBHOOK),
}
KEM: Keys = {
    "pop": _one_of([item.value for item in Pop], convert=Pop),
    "hash": _one_of(_PARAMETERS, "parameters", _PARAMETERS.__getitem__),
    "challenge_minutes": _time(_MINUTE, "challenge_lifetime"),
    "max_challenges": _count(1),
    "max_challenged": _count(1),
    "max_challenged_for_operator": _count(0),
    "max_challenged_renewals": _count(0),
    "max_challenged_per_signer": _count(1),
    "max_challenged_per_request": _count(1),
    "max_challenged_per_certificate": _count(1),
    "response_key": _one_of([item.value for item in ResponseKeyReuse], convert=ResponseKeyReuse),
    "classic": _FLAG,
}
