"""What caches of CRLs and CA certificates may keep, and "not modified" (RFC 9110 section 13, RFC 9111)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from scep_kem.server.http import Answer, Request

A_DAY = "public, max-age=86400"
ASK_AGAIN = "public, no-cache"  # keep it, but ask each time whether it is still the one


def cached(
    answer: Answer, request: Request, *, digest: str, control: str, made: datetime | None = None, now: datetime
) -> Answer:
    """The answer with its validators, or 304 if the request names it. digest: of the body, a strong ETag.

    made: when the body came to be. Last-Modified is the second after, and not said before that has come: else what
    replaces the body within the same second would pass for it.
    """
    tag, fields = f'"{digest}"', [("Cache-Control", control)]
    fields.append(("ETag", tag))
    changed = None if made is None or now <= made else made + timedelta(seconds=1)
    if changed is not None:
        fields.append(("Last-Modified", format_datetime(changed, usegmt=True)))
    found = replace(answer, headers=(*answer.headers, *fields))
    if _names(request, tag, changed):
        return replace(found, body=b"", status=304)
    return found


def _names(request: Request, tag: str, changed: datetime | None) -> bool:
    """Whether the client has this body. If-None-Match makes If-Modified-Since void (RFC 9110 section 13.1.3)."""
    if request.if_none_match:
        named = [item.strip().removeprefix("W/") for item in request.if_none_match.split(",")]
        return tag in named or named == ["*"]
    since = _date(request.if_modified_since)
    return changed is not None and since is not None and changed <= since


def _date(text: str) -> datetime | None:
    """An HTTP-date, None for what is none, which is ignored."""
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
