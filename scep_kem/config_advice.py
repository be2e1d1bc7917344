"""What a configuration may say and its author hardly means; one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pkix.attribute_types import attribute_oid
from scep_kem.config import Config, ProfileConfig
from scep_kem.config_faults import ambiguous


def advice(config: Config) -> Iterator[str]:
    """Nothing here keeps a server from starting."""
    if config.settings.log_causes:
        yield "server.log_causes is on: whoever reads the log can decrypt recorded requests in AES-CBC"
    if config.settings.algorithms.legacy:
        yield "algorithms.legacy is on: SHA-1 and 3DES are accepted"
    for network in config.trusted_proxies:
        if network.prefixlen == 0:
            yield f"server.trusted_proxies has {network}: the X-Forwarded-* headers of everybody are believed"
    for name, item in config.profiles.items():
        for text in (*_issues_nothing(item), *_without_use(item), *_patterns(item)):
            yield f"profile {name} {text}"


def _issues_nothing(item: ProfileConfig) -> Iterator[str]:
    policy, profile = item.authorisation, item.profile
    if policy.nothing(None) and item.webhook is None:
        yield "issues nothing: no key of its authorisation is on"
    if not profile.key_types:
        yield "issues nothing: key_types is empty"
    allowed = {attribute_oid(word) for word in profile.allowed_subject}
    missing = [word for word in profile.required_subject if allowed and attribute_oid(word) not in allowed]
    if missing:
        yield f"issues nothing: required_subject has {', '.join(missing)}, which allowed_subject lacks"


def _without_use(item: ProfileConfig) -> Iterator[str]:
    policy, profile = item.authorisation, item.profile
    if policy.renewal_grace and not policy.renewal:
        yield "has renewal_grace_days, which is for renewals, and renewal is off"
    allowed = {attribute_oid(word) for word in profile.allowed_subject}
    for word in profile.subject_patterns:
        if allowed and attribute_oid(word) not in allowed:
            yield f"has a pattern for {word}, which allowed_subject lacks"
    for kind in profile.san_patterns:
        if kind not in profile.san_types:
            yield f"has a pattern for {kind}, which san_types lacks"
    for key_type in profile.key_types:
        _kind, _colon, bits = key_type.partition(":")
        if bits.isdecimal() and not profile.min_rsa_bits <= int(bits) <= profile.max_rsa_bits:
            yield f"has {key_type} in key_types, and min_rsa_bits and max_rsa_bits forbid it"
    if not profile.extended_key_usage:
        yield "has an empty extended_key_usage: what it issues is good for everything, also for posing as a server"


def _never_matches(kind: str, pattern: str) -> bool:
    r"""Whether it asks for capital letters in the host of an address or URI, which it sees in lower case. An escape,
    such as \S, is no letter.
    """
    letters = re.sub(r"\\.", "", pattern)
    parts = {"email": letters.rpartition("@")[2:], "uri": letters.partition("://")[2].split("/")[:1]}
    return any(map(str.isupper, "".join(parts.get(kind, ()))))


def _patterns(item: ProfileConfig) -> Iterator[str]:
    for key in ("subject_patterns", "san_patterns"):
        for word, pattern in getattr(item.profile, key).items():
            if ambiguous(pattern):
                yield (
                    f"has a pattern in {key}.{word} that a later Python may read otherwise: inside [ ], put a "
                    "backslash before [ and before the second of two equal signs"
                )
    for kind, pattern in item.profile.san_patterns.items():
        if _never_matches(kind, pattern):
            yield f"has a pattern in san_patterns.{kind} with capital letters in the host, which it sees in lower case"
