"""The TOML configuration: reading, checking, and the text that `ca init` writes.

Every key is named in `scep_kem.config_keys`; an unknown key, a wrong type or an impossible value is a UsageError that
names the key. Times are in the unit that the key's name says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from kem.backends import AUTOMATIC
from pkix.algorithms import AlgorithmPolicy
from scep.settings import KemPolicy, Settings
from scep_kem import config_keys as keys
from scep_kem import files, safety
from scep_kem.config_faults import Faults, document, not_known
from scep_kem.config_keys import checked, settings
from scep_kem.errors import UsageError
from scep_kem.logs import TEXT
from scep_kem.proxies import Network
from scep_kem.terminal import command, printable
from scep_kem.webhook_config import WebhookConfig, webhook_config

CONFIG_NAME = "scep.toml"
_MOST = 1 << 20  # octets of a file

TEMPLATE = """\
# scep-kem: one SCEP responder. Paths are relative to this file. Every key but ca.dir may be left out; the rest of them
# are in deploy/CONFIGURATION.md.

[ca]
dir = "."                       # folder with the keys and the database

[server]                        # host and port are for `scep-kem serve`; a WSGI server has its own
host = "127.0.0.1"
port = 8080
max_body = 1048576              # octets of one request
log_causes = false              # true, while you test a client: also log what was wrong inside of AES-CBC

[algorithms]
legacy = false                  # true: also accept SHA-1 and 3DES, for clients that know nothing better
aes_gcm = true                  # accept AuthEnvelopedData with AES-GCM, which ML-KEM needs
aes_cbc = true                  # accept EnvelopedData with AES-CBC, all that most of today's clients know
ml_dsa = true                   # accept ML-DSA signers
kem_backend = "automatic"       # or "cryptography", "liboqs": see `scep-kem kem backends`

[transactions]
pending_days = 7                # how long a request waits for approval
max_pending = 1000              # how many of a profile may wait; at a limit the oldest undecided one gives way
max_pending_per_signer = 10     # and how many of one key
max_request = 65536             # octets of encrypted content of one request

# Each profile has its own URL: /scep for "default", /scep/NAME for the others.
[profiles.default]
validity_days = 365
backdate_minutes = 600          # for clients with slow clocks
key_types = ["rsa", "rsa-pss", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519",
             "ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ml-kem-512", "ml-kem-768", "ml-kem-1024"]
key_usage = ["digitalSignature", "keyEncipherment"]
extended_key_usage = ["clientAuth"]
san_types = ["dns", "email", "ip", "uri", "upn"]
copy_extensions = ["subjectAltName", "microsoftSid"]
# Where certificates say that their CRL and their CA are. {ca} becomes the ID of the CA that issues, for
# /scep/crl without it is another CA's after a rollover. Write ["http://HOST/scep/crl/{ca}"] and ["http://HOST/scep/ca.cer/{ca}"].
crl_urls = []
issuer_urls = []

# With none of these, nothing is issued.
[profiles.default.authorisation]
challenge_password = true       # made by `scep-kem challenge new`
renewal = true                  # a valid certificate of this CA signs the request
manual = false                  # true: requests without challengePassword wait for `scep-kem requests approve`
webhook = ""                    # an https URL that is asked about every other request,
webhook_pause_seconds = 60      # and not again so soon about one that it did not decide

# How keys that cannot sign prove that the client has them.
[profiles.default.kem]
pop = "challenge"               # or "statement", "implicit", "none"
hash = "sha256"                 # of the challenge: or "sha512"
challenge_minutes = 10
max_challenged = 1000           # how many may be in progress that somebody has authorised; then the oldest gives way,
max_challenged_for_operator = 500   # that an operator has to look at,
max_challenged_renewals = 500   # and renewals of ML-KEM certificates
response_key = "single-request" # or "transaction", "off"
classic = false                 # true: no KEM here, and only the certificates that today's clients expect
"""


@dataclass(frozen=True)
class ProfileConfig:
    """One [profiles.NAME] with its [profiles.NAME.authorisation] and [profiles.NAME.kem]."""

    profile: Profile
    authorisation: AuthorisationPolicy
    kem: KemPolicy = field(default_factory=KemPolicy)
    webhook: WebhookConfig | None = None


@dataclass(frozen=True)
class Config:
    """A checked configuration. ca_dir: absolute, links not followed. max_body in octets. trusted_proxies: whose
    X-Forwarded-* headers are believed. log: `scep_kem.logs` has the forms. database: SQLAlchemy URL or None for SQLite
    in ca_dir.
    """

    ca_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    max_body: int = 1 << 20
    trusted_proxies: tuple[Network, ...] = (ip_network("127.0.0.1"), ip_network("::1"))
    log: str = TEXT
    database: str | None = field(default=None, repr=False)  # may have a password
    kem_backend: str = AUTOMATIC
    settings: Settings = field(default_factory=Settings)
    profiles: Mapping[str, ProfileConfig] = field(default_factory=dict)

    def check_ends(self, *, now: datetime) -> None:
        """Raise UsageError if a certificate that a webhook is believed by has ended."""
        for name, item in self.profiles.items():
            if item.webhook is not None:
                item.webhook.check_ends(name, now=now)

    def webhook_lapses(self, *, now: datetime) -> Iterator[str]:
        """What an operator should know of certificates that webhooks are believed by; one line each."""
        for name, item in self.profiles.items():
            try:
                yield from map(str, item.webhook.lapses(name, now=now) if item.webhook else ())
            except UsageError as error:  # the file was good when the configuration was read
                yield f"profiles.{name}.authorisation.webhook_ca_file: {error}"


_TOP = {
    "ca": keys.CA,
    "server": keys.SERVER,
    "algorithms": keys.ALGORITHMS,
    "transactions": keys.TRANSACTIONS,
}
# What clients and certificates have behind /scep/ for the default profile; a profile of that name would hide it.
_RESERVED = ("crl", "cgi-bin", "certsrv")


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises UsageError with the first fault, and how many more there are."""
    found, faults = examine(path)
    if found is None:
        first, *more = faults
        others = (
            f" (and {len(more)} more: `{command('scep-kem', 'config', 'check', '--config', path)}`)" if more else ""
        )
        raise UsageError(first + others)
    return found


def examine(path: Path) -> tuple[Config | None, list[str]]:
    """A configuration file, or all that is wrong with it, a line each. Raises UsageError if it cannot be read."""
    content = files.read(path, secret=True, most=_MOST)
    faults, found = Faults(), None
    with faults.collected():
        found = _config(document(content), path.resolve().parent, faults)
    if found is None:
        # A quoted key of TOML may hold line ends.
        return None, [f"{path}: {printable(text)}" for text in faults.texts]
    if _holds_secret(found):
        safety.warn_if_readable(path)
    return found, []


def _holds_secret(config: Config) -> bool:
    """Whether the file has a password or a token in it."""
    database = make_url(config.database) if config.database is not None else None
    # Drivers take a password as a parameter, too: password of psycopg, passwd of MySQL's.
    if database is not None and (database.password is not None or any("pass" in key.lower() for key in database.query)):
        return True
    return any(urlsplit(item.webhook.url).query for item in config.profiles.values() if item.webhook is not None)


def _config(given: dict[str, Any], base: Path, faults: Faults) -> Config | None:
    """None if there are faults."""
    for name in given:
        if name not in (*_TOP, "profiles"):
            faults.add(not_known(f"unknown table [{name}]", name, [*_TOP, "profiles"]))
    tables = {}
    for name, known in _TOP.items():
        tables[name] = settings(checked(given.get(name, {}), known, name, faults), known)
    ca = given.get("ca", {})
    if isinstance(ca, dict) and "dir" not in ca:
        faults.add('[ca] has no dir, the folder of the CA, as in dir = "."')
    profiles = given.get("profiles", {"default": {}})
    if not isinstance(profiles, dict) or not profiles:
        faults.add("[profiles] is not a table of profiles")
        profiles = {}
    backend = tables["algorithms"].pop("kem_backend", AUTOMATIC)
    algorithms, log_causes = AlgorithmPolicy(**tables["algorithms"]), tables["server"].pop("log_causes", False)
    if not (algorithms.aes_gcm or algorithms.aes_cbc):
        faults.add("algorithms.aes_gcm and algorithms.aes_cbc are both false; nobody could send a request")
    database = tables["ca"].get("database")
    with faults.collected():
        database = None if database is None else _database(database, base)
    read = {}
    for name, value in profiles.items():
        read[name] = _profile(name, value, base, faults)
    if faults.texts:
        return None
    return Config(
        kem_backend=backend,
        ca_dir=Path(os.path.abspath(base / tables["ca"]["dir"])),  # noqa: PTH100 - `resolve` would follow links
        database=database,
        settings=Settings(algorithms=algorithms, log_causes=log_causes, **tables["transactions"]),
        profiles=read,
        **tables["server"],
    )


def _database(text: str, base: Path) -> str:
    """A database URL; the file of an SQLite one is relative to the configuration, as every path in it.

    The URL may hold a password, so no error repeats it.
    """
    try:
        url = make_url(text)
        dialect = url.get_dialect()
        if url.get_backend_name() == "sqlite":
            dialect().create_connect_args(url)  # reads the options
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageError(
            "ca.database is not the URL of a database; write it like sqlite:///FILE or postgresql+psycopg://HOST/NAME"
        ) from None
    if url.get_backend_name() != "sqlite":
        return text
    if url.database in (None, "", ":memory:") or "uri" in url.query:
        raise UsageError("ca.database: SQLite needs a file here, as in sqlite:///FILE")
    return url.set(database=str(base / str(url.database))).render_as_string(hide_password=False)


def _profile(name: str, table: object, base: Path, faults: Faults) -> ProfileConfig:
    """Of no use if `faults` has got something."""
    where = f"profiles.{name}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        faults.add(f"{where}: a profile's name has 1 to 64 letters, digits, - and _")
    if name in _RESERVED:
        faults.add(f"{where}: /scep/{name} is a path of the default profile; take another name")
    values = checked(table, keys.PROFILE, where, faults)
    # A key whose value is wrong is not in `values`, and is no reason to find fault with another.
    sizes_are_right = isinstance(table, dict) and not {"min_rsa_bits", "max_rsa_bits"} & (table.keys() - values.keys())
    given = values.pop("authorisation", {})
    authorisation = checked(given, keys.AUTHORISATION, f"{where}.authorisation", faults)
    kem = checked(values.pop("kem", {}), keys.KEM, f"{where}.kem", faults)
    profile = Profile(name=name, **settings(values, keys.PROFILE))
    if sizes_are_right and profile.min_rsa_bits > profile.max_rsa_bits:
        faults.add(f"{where}.min_rsa_bits is larger than max_rsa_bits, {profile.max_rsa_bits}")
    policy = settings(authorisation, keys.AUTHORISATION)
    wrong = given.keys() - authorisation.keys()
    webhook = webhook_config(policy, f"{where}.authorisation", base, faults, wrong=wrong)
    return ProfileConfig(profile, AuthorisationPolicy(**policy), KemPolicy(**settings(kem, keys.KEM)), webhook)
