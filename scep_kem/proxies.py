"""What a proxy in front says of the client: X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, believed only from
those that the configuration trusts.

Everybody else may write these headers, too, so they say nothing then. `Forwarded` (RFC 7239) is not read: a proxy that
sends one may pass on another that its client has made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# What REMOTE_ADDR says of a socket in the file system, where permissions decide who may connect.
LOCAL_SOCKET = ""

MOST_PROXIES = 32  # one behind the other that are looked at

_WITH_PORT = re.compile(r"\[(?P<six>[^]]+)\](:[0-9]{1,5})?|(?P<four>[0-9.]+):[0-9]{1,5}")
_ZONE = re.compile(r"[0-9A-Za-z._-]{1,15}")


def see_through(environ: dict[str, Any], trusted: Sequence[Network]) -> None:
    """Put into a WSGI environ what its client used: REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST. trusted: addresses of
    the proxies.
    """
    peer = environ.get("REMOTE_ADDR") or LOCAL_SOCKET
    address = _address(peer)
    if peer != LOCAL_SOCKET and (address is None or not _among(address, trusted)):
        return
    environ["REMOTE_ADDR"] = _client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""), trusted)
    scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
    if scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
    host = _last(environ.get("HTTP_X_FORWARDED_HOST", ""))
    if host:
        environ["HTTP_HOST"] = host


def _client(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The address nearest to us that is no trusted proxy's. Each proxy adds, at the end, whom it was connected to; what
    stands before an address that is not trusted may be made up, and what is no address ends the search.
    """
    found = peer
    for text in _from_the_end(forwarded):
        address = _address(text)
        if address is None:
            break
        found = str(address)
        if not _among(address, trusted):
            break
    return found


def _from_the_end(forwarded: str) -> Iterator[str]:
    if forwarded:
        yield from (text.strip() for text in reversed(forwarded.split(",")[-MOST_PROXIES:]))


def _last(values: str) -> str:
    """What the proxy in front of us has written itself."""
    return values.rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """An address, also with a port as some proxies write it, and IPv4 in whatever form. None if it is none, or has a
    zone that no interface is named like: a zone may be any text of any length.
    """
    with_port = _WITH_PORT.fullmatch(text)
    try:
        found = ip_address((with_port["six"] or with_port["four"]) if with_port else text)
    except ValueError:
        return None
    zone = getattr(found, "scope_id", None)
    if zone is not None and not _ZONE.fullmatch(zone):
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
