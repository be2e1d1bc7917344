"""The keys of the TOML configuration: their types, what they may be, and the settings that they become.

What is impossible is found here, when the file is read, and not at the first request that meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
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
    RSA_KINDS,
)
from kem.backends import AUTOMATIC, BACKEND_NAMES
from kem.exchange import POP_SHA256, POP_SHA512
from pkix.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from pkix.attribute_types import KEYWORDS, attribute_oid
from pkix.general_names import SAN_TYPES, is_san_type
from pkix.keys import KEY_TYPES
from pkix.usages import NON_REPUDIATION, RA_MARKS, usage_bit
from scep.settings import Pop, ResponseKeyReuse
from scep_kem.budgets import LONGEST_WEBHOOK
from scep_kem.config_faults import Faults, ambiguous, impossible, not_known
from scep_kem.errors import UsageError
from scep_kem.logs import FORMATS
from scep_kem.proxies import Network
from scep_kem.webhook_secret import Authentication

# The longest time that a key may say: any moment of ours plus or minus it is still a date.
LONGEST = timedelta(days=36_525)

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Key:
    """kind: Python type, or types, of the TOML value. check: whether the value is possible, or each item of a list, or
    each key of a table. field: name of the setting that it becomes, if that is another. convert: the setting's value
    from the TOML value. possible: what is, in words. known: the words that are, for whoever mistypes one. least: items
    of a list. patterns: the table's values are regular expressions. secret: somebody may have put a secret there.

    For the page of all keys: default is the TOML value, None for none, with an example of one then; doc says what it is
    for. listed: what is possible, in words, if the page has them in another place.
    """

    kind: type | tuple[type, ...]
    check: Check | None = None
    field: str | None = None
    convert: Callable[[Any], Any] | None = None
    possible: str = ""
    known: tuple[str, ...] = ()
    least: int = 0
    patterns: bool = False
    secret: bool = False
    default: Any = None
    example: Any = None
    doc: str = ""
    listed: str | None = None

    def described(self, default: Any, doc: str = "", *, example: Any = None, listed: str | None = None) -> Key:
        """The key with what the page of all keys has of it."""
        return replace(self, default=default, doc=doc, example=example, listed=listed)

    @property
    def type_name(self) -> str:
        """Of the TOML value."""
        kinds = self.kind if isinstance(self.kind, tuple) else (self.kind,)
        return " or ".join(_TYPES[kind] for kind in kinds)


Keys = dict[str, Key]
_TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list of texts",
    dict: "a table",
}


def checked(table: object, keys: Keys, where: str, faults: Faults) -> dict[str, Any]:
    """What is right in a table: keys that are known, of their type and possible. where: its name."""
    if not isinstance(table, dict):
        faults.add(f"{where} is not a table")
        return {}
    found = {}
    for name, value in table.items():
        if name not in keys:
            faults.add(not_known(f"unknown key {where}.{name}", name, keys))
            continue
        wrong = [*_wrong(value, keys[name])]
        for text in wrong:
            faults.add(f"{where}.{name}{text}")
        if not wrong:
            found[name] = value
    return found


def _wrong(value: Any, key: Key) -> Iterator[str]:
    """What is wrong with a value, to be said behind the name of its key."""
    # For Python, true is an int.
    wrong = isinstance(value, bool) and key.kind is not bool
    wrong = wrong or (isinstance(value, list) and not all(isinstance(item, str) for item in value))
    if wrong or not isinstance(value, key.kind):
        yield f" is not {key.type_name}"
        return
    if isinstance(value, list) and len(value) < key.least:
        yield f": an empty list is not possible; {key.possible}"
    for item in value if isinstance(value, list | dict) else (value,):
        if key.check is not None and not key.check(item):
            yield (
                f": this is not possible; {key.possible}"
                if key.secret
                else f": {impossible(item, key.possible, key.known)}"
            )
        elif key.patterns:
            yield from _wrong_pattern(item, value[item])


def _wrong_pattern(name: str, pattern: object) -> Iterator[str]:
    if not isinstance(pattern, str):
        yield f".{name} is not a text"
        return
    try:
        ambiguous(pattern)
    except UsageError as error:
        yield f".{name}: {error}"


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

    words = f"a number from 0 to {LONGEST / unit:.0f}" if zero else f"a number above 0, at most {LONGEST / unit:.0f}"
    return Key((int, float), possible, field, seconds, words)


def _count(lowest: int, highest: int | None = None) -> Key:
    words = f"a whole number from {lowest}" + ("" if highest is None else f" to {highest}")
    return Key(int, lambda value: lowest <= value and (highest is None or value <= highest), possible=words)


def _text(possible: str) -> Key:
    return Key(str, lambda value: "\0" not in value, possible=possible, secret=True)


def _one_of(known: Collection[str], field: str | None = None, convert: Callable[[str], Any] | None = None) -> Key:
    return Key(str, lambda value: value in known, field, convert, f"one of {', '.join(known)}", tuple(known))


def _some_of(
    known: Collection[str],
    check: Callable[[str], bool] | None = None,
    *,
    also: str = "",
    least: int = 0,
    convert: Callable[[list[str]], Any] | None = None,
) -> Key:
    """A list of words. check: which ones, if they are more than those known. also: these, in words."""
    words = f"any of {', '.join(known)}{also}"
    return Key(list, check or (lambda item: item in known), None, convert, words, tuple(known), least)


def _is_attribute(text: str) -> bool:
    """A keyword or a name of an attribute of a distinguished name, or an OID."""
    try:
        attribute_oid(text)
    except ValueError:
        return False
    return True


def _patterns(check: Callable[[str], bool], words: str, known: Collection[str]) -> Key:
    return Key(dict, check, possible=f"regular expressions for {words}", known=tuple(known), patterns=True)


def _is_usage(text: str) -> bool:
    """The name of an extended key usage, or an OID, but not a mark of an RA, which whoever has it could pose as."""
    if text in EXTENDED_KEY_USAGES:
        return True
    try:
        return x509.ObjectIdentifier(text) not in RA_MARKS
    except ValueError:
        return False


def _key_usages(names: list[str]) -> list[str]:
    """RFC 5280 knows the bit contentCommitment under two names."""
    return list(map(usage_bit, names))


def _is_key_type(text: str) -> bool:
    """In any case, and RSA with or without a size, as on the command line."""
    kind, _, bits = text.lower().partition(":")
    if kind in RSA_KINDS and bits.isascii() and bits.isdecimal() and len(bits) < 8:
        return MIN_RSA_BITS <= int(bits) <= MAX_RSA_BITS
    return text.lower() in _BY_LOWER


def _key_types(texts: list[str]) -> list[str]:
    return [_BY_LOWER.get(text.lower(), text.lower()) for text in texts]


def _is_location(text: str) -> bool:
    """Where a CRL or a certificate may be fetched (RFC 5280 sections 4.2.1.13 and 4.2.2.1); ldap may name no host. A
    password in it would stand in every certificate.
    """
    text = text.replace(CA_IN_URL, "")
    parts = split_url(text)
    return (
        parts is not None
        and "@" not in parts.netloc
        and not {"{", "}"} & set(text)
        and (parts.scheme == "ldap" or (parts.scheme in ("http", "https") and bool(parts.hostname)))
    )


def _is_host(text: str) -> bool:
    """Whatever it is, no URL, which may hold a password."""
    return not {"@", "/", "\0"} & set(text)


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _networks(texts: list[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_FLAG = Key(bool)
_LOCATIONS = Key(
    list,
    _is_location,
    possible="http, https or ldap URLs without a password, in which {ca} becomes the ID of the CA",
    secret=True,
)
_BY_LOWER = {kind.lower(): kind for kind in ALL_KEY_TYPES}
_ATTRIBUTES = tuple(KEYWORDS.values())
_OIDS = ", or an OID with dots"
_SIZES = f"; of RSA also one size, {MIN_RSA_BITS} to {MAX_RSA_BITS}, as in rsa:3072"
_SECOND, _MINUTE, _HOUR, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_PARAMETERS = {"sha256": POP_SHA256, "sha512": POP_SHA512}

CA: Keys = {
    "dir": _text("a folder").described(".", "where the CA's keys are; the only key that is needed"),
    "database": _text(
        "the URL of a database, as SQLAlchemy has it: sqlite:///FILE, postgresql+psycopg://HOST/NAME"
    ).described(
        None,
        "without it, store.sqlite in the folder; another wait for its write lock than 5 seconds: "
        "sqlite:///FILE?timeout=10",
        example="sqlite:///FILE",
    ),
}
SERVER: Keys = {
    "host": Key(str, _is_host, possible="an address or the name of one", secret=True).described(
        "127.0.0.1", "where `scep-kem serve` listens"
    ),
    "port": _count(0, 65535).described(8080, "of `scep-kem serve`; 0 picks one itself"),
    "max_body": _count(4096).described(1 << 20, "octets of one HTTP request"),
    "trusted_proxies": Key(
        list, _is_network, convert=_networks, possible="addresses, or networks such as 10.0.0.0/8"
    ).described(["127.0.0.1", "::1"], "whose X-Forwarded-For, -Proto and -Host are believed"),
    "log": _one_of(FORMATS).described("text", "json has one object a line (LOG.md)"),
    "log_causes": _FLAG.described(
        False, "also what was wrong inside of AES-CBC: for tests, since it helps readers of the log to decrypt"
    ),
}
ALGORITHMS: Keys = {
    "legacy": _FLAG.described(False, "also SHA-1 and 3DES"),
    "aes_gcm": _FLAG.described(True, "AuthEnvelopedData with AES-GCM; without it nobody can enrol an ML-KEM key"),
    "aes_cbc": _FLAG.described(True, "EnvelopedData with AES-CBC"),
    "ml_dsa": _FLAG.described(True, "ML-DSA signers"),
    "kem_backend": _one_of((AUTOMATIC, *BACKEND_NAMES)).described(AUTOMATIC, "see `scep-kem kem backends`"),
}
TRANSACTIONS: Keys = {
    "pending_days": _time(_DAY, "pending_lifetime").described(7, "how long a request waits for an operator"),
    "ended_hours": _time(_HOUR, "ended_lifetime").described(24, "how long the answer to one that ended is repeated"),
    "max_pending": _count(0).described(1000, "how many of a profile may wait; then the oldest undecided one gives way"),
    "max_pending_per_signer": _count(1).described(10, "how many of one key"),
    "max_failed": _count(1).described(1000, "how many refused ones are remembered"),
    "max_request": _count(4096).described(65536, "octets of encrypted content of one request"),
    "max_clock_skew_minutes": _time(_MINUTE, "max_clock_skew").described(
        None, "refuse a signingTime farther away with badTime; without it, it is ignored", example=60
    ),
}
PROFILE: Keys = {
    "validity_days": _time(_DAY, "validity").described(365, "cut at the end of the CA's certificate"),
    "backdate_minutes": _time(_MINUTE, "backdate", zero=True).described(
        600, "notBefore before now, for clients with slow clocks"
    ),
    "key_types": replace(
        _some_of(ALL_KEY_TYPES, _is_key_type, also=_SIZES, convert=_key_types), known=(*ALL_KEY_TYPES, *KEY_TYPES)
    ).described(
        [*ALL_KEY_TYPES],
        "rsa-pss are RSA keys of the kind id-RSASSA-PSS, which only sign",
        listed=f"any of these{_SIZES}",
    ),
    "min_rsa_bits": _count(MIN_RSA_BITS, MAX_RSA_BITS).described(2048, "of both kinds"),
    "max_rsa_bits": _count(MIN_RSA_BITS, MAX_RSA_BITS).described(4096),
    "key_usage": _some_of((*KEY_USAGES, NON_REPUDIATION), least=1, convert=_key_usages).described(
        ["digitalSignature", "keyEncipherment"],
        "each key gets those that its algorithm has, one or more, else it is refused; ML-KEM keys always get "
        "keyEncipherment; nonRepudiation is contentCommitment",
    ),
    "extended_key_usage": _some_of(EXTENDED_KEY_USAGES, _is_usage, also=f"{_OIDS}, but not that of an RA").described(
        ["clientAuth"]
    ),
    "required_subject": _some_of(_ATTRIBUTES, _is_attribute, also=_OIDS).described(
        [], "attributes that a subject must have"
    ),
    "allowed_subject": _some_of(_ATTRIBUTES, _is_attribute, also=_OIDS).described(
        [], "attributes that it may have; empty: all of them", listed="as required_subject"
    ),
    "subject_patterns": _patterns(
        _is_attribute, "attributes of the subject, as in required_subject", _ATTRIBUTES
    ).described({}, 'for whole values, as in { CN = "device-[0-9]+" }'),
    "allow_empty_subject": _FLAG.described(False),
    "san_types": _some_of(SAN_TYPES, is_san_type, also=", or otherName: and its OID").described(
        ["dns", "email", "ip", "uri", "upn"], "of subjectAltName"
    ),
    "san_patterns": _patterns(is_san_type, "types, as in san_types", SAN_TYPES).described(
        {},
        r"as in { dns = '[a-z0-9-]+\.devices\.example' }; without [a-z0-9-], *.devices.example would be a name, too. "
        "Say what is allowed, not what is not. Case makes no difference in dns and upn; in email and uri, a pattern "
        "sees the host, and the scheme, in lower case. Other types stay free. What a pattern sees of each: "
        "deploy/CONFIGURATION.md",
    ),
    "copy_extensions": _some_of(COPYABLE).described(["subjectAltName", "microsoftSid"]),
    "crl_urls": _LOCATIONS.described([], 'as in ["http://HOST/scep/crl/{ca}"]'),
    "issuer_urls": _LOCATIONS.described([], 'as in ["http://HOST/scep/ca.cer/{ca}"]'),
    "unique_subject": _FLAG.described(False, "refuse while another valid certificate has the subject"),
    "renewal_window_days": _time(_DAY, "renewal_window").described(
        None, "renewal only so long before the end; without it, at any time", example=30
    ),
    "authorisation": Key(dict),
    "kem": Key(dict),
}
AUTHORISATION: Keys = {
    "challenge_password": _FLAG.described(False, "made by `scep-kem challenge new`"),
    "renewal": _FLAG.described(False, "a valid certificate of this CA signs the request"),
    "renewal_grace_days": _time(_DAY, "renewal_grace", zero=True).described(
        0, "how long after its end a certificate may still renew itself"
    ),
    "manual": _FLAG.described(False, "requests wait for `scep-kem requests approve`"),
    "webhook": _text("an https URL, or http on a loopback address").described(
        "", "is asked about every other request (WEBHOOK.md)"
    ),
    "webhook_ca_file": _text("a file of certificates in PEM").described(
        None, "whom to believe; without it, the system's CAs", example="ca.pem"
    ),
    "webhook_secret_file": _text("a file of one line, 16 to 4096 printable ASCII characters without blanks").described(
        None, "how the webhook knows who asks", example="hook.secret"
    ),
    "webhook_authentication": replace(
        _one_of([item.value for item in Authentication], convert=Authentication), secret=True
    ).described(None, "hmac: that secret signs each question; bearer: it is sent with it", example="hmac"),
    "webhook_timeout_seconds": Key(
        (int, float),
        lambda value: 0 < value <= LONGEST_WEBHOOK,
        possible=f"a number above 0, at most {LONGEST_WEBHOOK:g}",
    ).described(5, "for the whole call"),
    "webhook_pause_seconds": _time(_SECOND, "webhook_pause", zero=True).described(
        60, "not asked so soon again about a request that it did not decide"
    ),
}
KEM: Keys = {
    "pop": _one_of([item.value for item in Pop], convert=Pop).described(
        Pop.challenge.value, "how keys that cannot sign prove that the client has them"
    ),
    "hash": _one_of(_PARAMETERS, "parameters", _PARAMETERS.__getitem__).described("sha256", "of the challenge"),
    "challenge_minutes": _time(_MINUTE, "challenge_lifetime").described(10, "how long the client may take"),
    "max_challenges": _count(1).described(5, "of one transaction"),
    "max_challenged": _count(1).described(1000, "how many that somebody has authorised may be in progress"),
    "max_challenged_for_operator": _count(0).described(500, "how many that an operator will look at"),
    "max_challenged_renewals": _count(0).described(500, "how many renewals of ML-KEM certificates"),
    "max_challenged_per_signer": _count(1).described(10, "how many of one key"),
    "max_challenged_per_request": _count(1).described(10, "how many with one PKCS #10 request, under whatever signers"),
    "max_challenged_per_certificate": _count(1).described(20, "how many renewals of one certificate"),
    "response_key": _one_of([item.value for item in ResponseKeyReuse], convert=ResponseKeyReuse).described(
        "single-request", "of a client whose key only signs, for its answer"
    ),
    "classic": _FLAG.described(False, "nothing of ML-KEM under this URL"),
}
