"""The paths of the responder: which profile a path means, and where a CA's certificate and CRL are published.

A profile is reached at /scep (the one named "default") or /scep/NAME, and any SCEPPATH below. Behind it, crl and ca.cer
are the files of the CA that is current; crl/ID and ca.cer/ID those of one generation, whatever is current. Only the
latter belong into certificates, which outlive a rollover (RFC 5280 sections 4.2.1.13 and 4.2.2.1).
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from ca.authority import Authority
from ca.constraints import lacking_purposes
from ca.profiles import CA_IN_URL, Profile, purposes
from pkix.names import name_text
from scep_kem.config import Config

DEFAULT_PROFILE = "default"
CRL, CA_CERTIFICATE = "crl", "ca.cer"
SCEP_PATHS = ("cgi-bin", "certsrv", "pkiclient.exe", "mscep.dll")


def route(path: str, profiles: Collection[str]) -> tuple[str | None, str]:
    """The profile a path means (None: none) and what stands behind it. path: without the slash it begins with."""
    first, _, rest = path.partition("/")
    if {".", ".."} & {*path.split("/")}:
        return None, path  # a proxy in front, which resolves them, would guard another profile than is meant here
    if first == "scep":
        second, _, tail = rest.partition("/")
        if second in profiles:
            return second, tail
        first, path = second, rest
    if first in ("", CRL, CA_CERTIFICATE, *SCEP_PATHS):
        return DEFAULT_PROFILE, path
    return None, path


def crl_path(identifier: str) -> str:
    """Where the default profile publishes the CRL of the generation with this short identifier."""
    return f"/scep/{CRL}/{identifier}"


def ungiven(config: Config, authority: Authority) -> list[str]:
    """Which profiles have usages that the CA's certificate does not let it give, so that every request is refused; one
    line each.
    """
    found = []
    for name, item in config.profiles.items():
        for issuer in (authority.ca.certificate, *authority.chain):
            lacking = ", ".join(usage.dotted_string for usage in lacking_purposes(issuer, purposes(item.profile)))
            if lacking:
                found.append(
                    f"profile {name}: its extended_key_usage has {lacking}, which the extendedKeyUsage of "
                    f"{name_text(issuer.subject)} does not; change it, or requests are refused"
                )
    return found


def misleading(profile: Profile, profiles: Collection[str]) -> list[str]:
    """What is wrong with the profile's URLs for certificates; one line each.

    Said before there is a second generation, too: certificates that are issued until then keep their URL.
    """
    found = []
    for key, urls in (("crl_urls", profile.crl_urls), ("issuer_urls", profile.issuer_urls)):
        for url in urls:
            parts = urlsplit(url)
            name, tail = route(unquote(parts.path).lstrip("/"), profiles)
            file, _, identifier = tail.partition("/")
            if parts.scheme in ("http", "https") and name and file in (CRL, CA_CERTIFICATE) and identifier != CA_IN_URL:
                found.append(
                    f"profile {profile.name}: {key} has {url}, which is right for one generation of the CA only, while "
                    f"certificates keep it; let it end with {file}/{CA_IN_URL}"
                )
    return found
