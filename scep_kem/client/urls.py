"""The URL of a SCEP server: what it may be, what is asked of it, how it is shown, and where it may redirect to.

A URL is read by the parser of the library that connects, so that nobody is asked but who was checked.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from pkix.errors import cited
from scep_kem.errors import UsageError
from scep_kem.terminal import printable

PORTS = {"http": 80, "https": 443}
_OURS = ("operation", "message")  # parts of the query that the client adds
_SHOWN_OF_MESSAGE = 16  # characters of base64
_MOST_SHOWN = 200  # characters of a target or a Location


def check_url(url: str) -> None:
    """Raises UsageError if no SCEP server can be at this URL. A URL that may hold a password is not repeated."""
    parts = read_url(url)
    named = "the URL" if "@" in url else cited(url)
    if parts is not None and parts.auth is not None:
        raise UsageError(
            "a URL with user or password is not taken: SCEP knows neither, and a challenge password is for "
            "--challenge-file"
        )
    if parts is None or parts.scheme not in PORTS or not parts.host or parts.port == 0:
        raise UsageError(f"{named} is not an http or https URL")
    if "#" in url:
        raise UsageError(f"{named}: give the URL without #, which is for places in a page")
    if _has_ours(parts.query):
        raise UsageError(f"{named}: give the URL without operation= and message=, which are added here")


def read_url(url: str) -> Url | None:
    """The parts of a URL as it goes over the wire; None if it is none."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        return parse_url(url)
    except LocationParseError:
        return None


def target_of(url: str, operation: str, message: str | None = None) -> str:
    """The URL that asks for an operation (RFC 8894 section 4.1). message: not encoded yet."""
    base, _, query = url.partition("?")
    asked = [query] if query else []
    asked.append(f"operation={operation}")
    if message is not None:
        asked.append(f"message={quote(message, safe='')}")
    return f"{base}?{'&'.join(asked)}"


def shown(url: str) -> str:
    """A URL for a person: the values in its query, which may hold an access token, are left out, but for the operation;
    of a message, only the beginning is there.
    """
    base, mark, query = url.partition("?")
    pairs = [_shown_pair(*pair.partition("=")) for pair in query.split("&")] if mark else []
    text = base + mark + "&".join(pairs)
    return printable(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}...")


def shown_target(url: str) -> str:
    """As `shown`, without scheme and host: what stands in the first line of a request."""
    parts = read_url(url)
    return shown(url if parts is None else parts.request_uri)


def _shown_pair(name: str, mark: str, value: str) -> str:
    known = name.lower()
    if known == "operation" or not value:
        return name + mark + value
    if known == "message":
        return name + mark + (value if len(value) <= _SHOWN_OF_MESSAGE else f"{value[:_SHOWN_OF_MESSAGE]}...")
    return f"{name}{mark}..."


class NotFollowed(Exception):
    """A redirect that is shown and not followed; the text says why."""


def redirected(asked: str, location: str) -> str:
    """The URL that a redirect leads to. asked: the URL that was asked for. Raises NotFollowed.

    Nobody else is asked than the server that was named, in the same scheme, and for nothing else than what was asked
    for: what answers elsewhere may be anybody's, or a machine that only we can reach.
    """
    try:
        target = urljoin(asked, location).partition("#")[0]
    except ValueError:
        target = ""
    before, after = read_url(asked), read_url(target)
    if before is None or after is None or after.scheme not in PORTS or not after.host:
        raise NotFollowed("that is no http or https URL")
    if after.auth is not None:
        raise NotFollowed("it has a user or password")
    if _origin(before) != _origin(after):
        raise NotFollowed("another scheme, host or port is not followed to; if it is right, give it with --url")
    if sorted(_pairs(before.query)) != sorted(_pairs(after.query)):
        raise NotFollowed("it has not the query that was asked for; if the path is right, give it with --url")
    return target


def shown_location(asked: str, location: str) -> str:
    """The URL that a Location means, as `shown`, without what a client adds to it."""
    try:
        location = urljoin(asked, location)
    except ValueError:
        return shown(location)
    base, _, query = location.partition("?")
    rest = [pair for pair in query.split("&") if pair and not _has_ours(pair)]
    return shown(base + ("?" if rest else "") + "&".join(rest))


def _has_ours(query: str | None) -> bool:
    return any(name.lower() in _OURS for name, _value in _pairs(query))


def _pairs(query: str | None) -> list[tuple[str, str]]:
    return parse_qsl(query or "", keep_blank_values=True, errors="replace")


def _origin(parts: Url) -> tuple[str | None, str | None, int | None]:
    return parts.scheme, parts.host, parts.port or PORTS.get(parts.scheme or "")
