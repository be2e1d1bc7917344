"""The TOML configuration: reading, checking, and the text that `ca init` writes.

Every key is named in a table below; an unknown key, a wrong type or an impossible value is a UsageError that names
the key. Times are in the unit that the key's name says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ca.authorisation import AuthorisationPolicy
from ca.profiles import (
    ALL_KEY_TYPES,
    COPYABLE,
    EXTENDED_KEY_USAGES,
    KEY_USAGES,
    SAN_TYPES,
    SUBJECT_ATTRIBUTES,
    Profile,
)
from kem.backends import AUTOMATIC, BACKEND_NAMES
from kem.exchange import POP_SHA256, POP_SHA512
from pkix.algorithms import MAX_RSA_BITS, MIN_RSA_BITS, AlgorithmPolicy
from scep.settings import KemPolicy, Pop, ResponseKeyReuse, Settings
from web.errors import UsageError

CONFIG_NAME = "scep.toml"

TEMPLATE = """\
# scep-kem: one SCEP responder. Paths are relative to this file. Every key but those in [ca] may be left out.

[ca]
dir = "."                       # folder with the keys and the database

[server]                        # for `scep-kem serve`; a WSGI server has its own
host = "127.0.0.1"
port = 8080
max_body = 1048576              # octets of one request

[algorithms]
legacy = false                  # true: also accept SHA-1 and 3DES, for clients that know nothing better
aes_gcm = true                  # accept AuthEnvelopedData with AES-GCM
ml_dsa = true                   # accept ML-DSA signers
kem_backend = "automatic"       # or "cryptography", "liboqs": see `scep-kem kem backends`

[transactions]
pending_days = 7                # how long a request waits for approval
max_pending = 1000              # how many may wait

# Each profile has its own URL: /scep for "default", /scep/NAME for the others.
[profiles.default]
validity_days = 365
backdate_minutes = 600          # for clients with slow clocks
key_types = ["rsa", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519",
             "ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ml-kem-512", "ml-kem-768", "ml-kem-1024"]
key_usage = ["digitalSignature", "keyEncipherment"]
extended_key_usage = ["clientAuth"]
san_types = ["dns", "email", "ip", "uri", "upn"]
copy_extensions = ["subjectAltName", "microsoftSid"]

# With none of these, nothing is issued.
[profiles.default.authorisation]
challenge_password = true       # made by `scep-kem challenge new`
renewal = true                  # a valid certificate of this CA signs the request
manual = false                  # true: requests without challengePassword wait for `scep-kem requests approve`
webhook = ""                    # an https URL that is asked about every other request

# How keys that cannot sign prove that the client has them.
[profiles.default.kem]
pop = "challenge"               # or "statement", "implicit", "none"
hash = "sha256"                 # of the challenge: or "sha512"
challenge_minutes = 10
response_key = "single-request" # or "transaction", "off"
classic = false                 # true: no KEM here, and only the certificates that today's clients expect
"""


@dataclass(frozen=True)
class WebhookConfig:
    """url: https, or http on a loopback address. ca_file: PEM of its CA, None for the system's. timeout in seconds."""

    url: str
    ca_file: Path | None = None
    timeout: float = 10.0


@dataclass(frozen=True)
class ProfileConfig:
    """One [profiles.NAME] with its [profiles.NAME.authorisation] and [profiles.NAME.kem]."""

    profile: Profile
    authorisation: AuthorisationPolicy
    kem: KemPolicy = field(default_factory=KemPolicy)
    webhook: WebhookConfig | None = None


@dataclass(frozen=True)
class Config:
    """A checked configuration. ca_dir: absolute. max_body in octets. database: SQLAlchemy URL or None for SQLite
    in ca_dir.
    """

    ca_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    max_body: int = 1 << 20
    database: str | None = None
    kem_backend: str = AUTOMATIC
    settings: Settings = field(default_factory=Settings)
    profiles: Mapping[str, ProfileConfig] = field(default_factory=dict)


Check = Callable[[Any], bool]
_Keys = dict[str, tuple[type | tuple[type, ...], Check | None]]


def _subset(known: tuple[str, ...]) -> Check:
    return lambda value: all(item in known for item in value)


def _positive(value: float) -> bool:
    return value > 0


def _patterns(known: tuple[str, ...]) -> Check:
    def check(value: dict[str, Any]) -> bool:
        for name, pattern in value.items():
            if name not in known or not isinstance(pattern, str):
                return False
            re.compile(pattern)
        return True

    return check


def _usages(value: list[str]) -> bool:
    return all(item in EXTENDED_KEY_USAGES or re.fullmatch(r"[0-2](\.\d+)+", item) for item in value)


def _not_negative(value: float) -> bool:
    return value >= 0


def _strings(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


_SUBJECT = tuple(SUBJECT_ATTRIBUTES)
_NUMBER = (int, float)
_CA: _Keys = {"dir": (str, None), "database": (str, None)}
_SERVER: _Keys = {
    "host": (str, None),
    "port": (int, lambda value: 0 <= value <= 65535),
    "max_body": (int, lambda value: value >= 4096),
}
_ALGORITHMS: _Keys = {
    "legacy": (bool, None),
    "aes_gcm": (bool, None),
    "ml_dsa": (bool, None),
    "kem_backend": (str, lambda value: value in (AUTOMATIC, *BACKEND_NAMES)),
}
_TRANSACTIONS: _Keys = {
    "pending_days": (_NUMBER, _positive),
    "ended_hours": (_NUMBER, _positive),
    "max_pending": (int, _not_negative),
    "max_clock_skew_minutes": (_NUMBER, _positive),
}
_PROFILE: _Keys = {
    "validity_days": (_NUMBER, _positive),
    "backdate_minutes": (_NUMBER, _not_negative),
    "key_types": (list, _subset(ALL_KEY_TYPES)),
    "min_rsa_bits": (int, lambda value: MIN_RSA_BITS <= value <= MAX_RSA_BITS),
    "max_rsa_bits": (int, lambda value: MIN_RSA_BITS <= value <= MAX_RSA_BITS),
    "key_usage": (list, _subset(KEY_USAGES)),
    "extended_key_usage": (list, _usages),
    "required_subject": (list, _subset(_SUBJECT)),
    "allowed_subject": (list, _subset(_SUBJECT)),
    "subject_patterns": (dict, _patterns(_SUBJECT)),
    "allow_empty_subject": (bool, None),
    "san_types": (list, _subset(SAN_TYPES)),
    "san_patterns": (dict, _patterns(SAN_TYPES)),
    "copy_extensions": (list, _subset(COPYABLE)),
    "crl_urls": (list, None),
    "issuer_urls": (list, None),
    "unique_subject": (bool, None),
    "renewal_window_days": (_NUMBER, _positive),
    "authorisation": (dict, None),
    "kem": (dict, None),
}
_PARAMETERS = {"sha256": POP_SHA256, "sha512": POP_SHA512}
_KEM: _Keys = {
    "pop": (str, lambda value: value in [item.value for item in Pop]),
    "hash": (str, lambda value: value in _PARAMETERS),
    "challenge_minutes": (_NUMBER, _positive),
    "max_challenges": (int, _positive),
    "max_challenged": (int, _positive),
    "max_challenged_per_signer": (int, _positive),
    "response_key": (str, lambda value: value in [item.value for item in ResponseKeyReuse]),
    "classic": (bool, None),
}
_AUTHORISATION: _Keys = {
    "challenge_password": (bool, None),
    "renewal": (bool, None),
    "manual": (bool, None),
    "renewal_grace_days": (_NUMBER, _not_negative),
    "webhook": (str, None),
    "webhook_ca_file": (str, None),
    "webhook_timeout_seconds": (_NUMBER, _positive),
}
_TOP = {
    "ca": _CA,
    "server": _SERVER,
    "algorithms": _ALGORITHMS,
    "transactions": _TRANSACTIONS,
}


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises UsageError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    try:
        return _config(document, path.resolve().parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _config(document: dict[str, Any], base: Path) -> Config:
    unknown = set(document) - {*_TOP, "profiles"}
    if unknown:
        raise UsageError(f"unknown table [{min(unknown)}]; known: {', '.join([*_TOP, 'profiles'])}")
    tables = {name: _checked(document.get(name, {}), keys, name) for name, keys in _TOP.items()}
    if "dir" not in tables["ca"]:
        raise UsageError("[ca] has no dir")
    profiles = document.get("profiles", {"default": {}})
    if not isinstance(profiles, dict) or not profiles:
        raise UsageError("[profiles] is not a table of profiles")
    server, algorithms = tables["server"], dict(tables["algorithms"])
    backend = algorithms.pop("kem_backend", AUTOMATIC)
    return Config(
        kem_backend=backend,
        ca_dir=(base / tables["ca"]["dir"]).resolve(),
        database=tables["ca"].get("database"),
        settings=_settings(tables["transactions"], AlgorithmPolicy(**algorithms)),
        profiles={name: _profile(name, value, base) for name, value in profiles.items()},
        **server,
    )


def _checked(table: object, keys: _Keys, where: str) -> dict[str, Any]:
    """The table with every key known, of its type and possible."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table")
    for name, value in table.items():
        if name not in keys:
            raise UsageError(f"unknown key {where}.{name}; known: {', '.join(keys)}")
        kind, check = keys[name]
        wrong = isinstance(value, bool) and kind is not bool
        wrong = wrong or (isinstance(value, list) and not _strings(value))
        if wrong or not isinstance(value, kind):
            names = " or ".join(item.__name__ for item in (kind if isinstance(kind, tuple) else (kind,)))
            raise UsageError(f"{where}.{name} is not of type {names}")
        try:
            possible = check is None or check(value)
        except re.error as error:
            raise UsageError(f"{where}.{name}: not a regular expression: {error}") from None
        if not possible:
            raise UsageError(f"{where}.{name}: {value!r} is not possible")
    return table


def _settings(table: dict[str, Any], algorithms: AlgorithmPolicy) -> Settings:
    found: dict[str, Any] = {"algorithms": algorithms}
    if "pending_days" in table:
        found["pending_lifetime"] = timedelta(days=table["pending_days"])
    if "ended_hours" in table:
        found["ended_lifetime"] = timedelta(hours=table["ended_hours"])
    if "max_pending" in table:
        found["max_pending"] = table["max_pending"]
    if "max_clock_skew_minutes" in table:
        found["max_clock_skew"] = timedelta(minutes=table["max_clock_skew_minutes"])
    return Settings(**found)


def _profile(name: str, table: object, base: Path) -> ProfileConfig:
    where = f"profiles.{name}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise UsageError(f"{where}: a profile's name has 1 to 64 letters, digits, - and _")
    values = dict(_checked(table, _PROFILE, where))
    authorisation = dict(_checked(values.pop("authorisation", {}), _AUTHORISATION, f"{where}.authorisation"))
    kem = _kem_policy(_checked(values.pop("kem", {}), _KEM, f"{where}.kem"))
    found: dict[str, Any] = {"name": name}
    for key, value in values.items():
        if key == "validity_days":
            found["validity"] = timedelta(days=value)
        elif key == "backdate_minutes":
            found["backdate"] = timedelta(minutes=value)
        elif key == "renewal_window_days":
            found["renewal_window"] = timedelta(days=value)
        else:
            found[key] = tuple(value) if isinstance(value, list) else value
    webhook = _webhook(authorisation, where, base)
    grace = timedelta(days=authorisation.pop("renewal_grace_days", 0))
    return ProfileConfig(Profile(**found), AuthorisationPolicy(renewal_grace=grace, **authorisation), kem, webhook)


def _kem_policy(table: dict[str, Any]) -> KemPolicy:
    found: dict[str, Any] = dict(table)
    if "pop" in found:
        found["pop"] = Pop(found["pop"])
    if "response_key" in found:
        found["response_key"] = ResponseKeyReuse(found["response_key"])
    if "hash" in found:
        found["parameters"] = _PARAMETERS[found.pop("hash")]
    if "challenge_minutes" in found:
        found["challenge_lifetime"] = timedelta(minutes=found.pop("challenge_minutes"))
    return KemPolicy(**found)


def _webhook(authorisation: dict[str, Any], where: str, base: Path) -> WebhookConfig | None:
    url = authorisation.pop("webhook", "")
    ca_file = authorisation.pop("webhook_ca_file", None)
    timeout = authorisation.pop("webhook_timeout_seconds", 10.0)
    if not url:
        return None
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise UsageError(f"{where}.authorisation.webhook: an https URL is needed (http only on a loopback address)")
    return WebhookConfig(url, None if ca_file is None else base / ca_file, float(timeout))
