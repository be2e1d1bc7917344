"""What caches of CRLs and CA certificates may keep, and "not modified" (RFC 9110 section 13, RFC 9111).

If-Modified-Since has to be the very Last-Modified that was said, as RFC 9110 section 13.1.3 allows: after a clock was
set back, or a backup restored, what is new would have the earlier date and pass for what the client has.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime

from scep_kem.server.http import Answer, Request

A_DAY = "public, max-age=86400"
ASK_AGAIN = "public, no-cache"  # keep it, but ask each time whether it is still the one
SETTLED = timedelta(minutes=1)  # after which nothing is served any more that was made before


def cached(
    answer: Answer, request: Request, *, digest: str, control: str, made: datetime | None = None, now: datetime
) -> Answer:
    """The answer with its validators, or 304 if the request names it. digest: of the body, a strong ETag.

    made: when the making of the body began. Last-Modified is SETTLED after it, and not said before that has come: a
    client without one may ask with the date of its answer, at which another body was still served.
    """
    tag, fields = f'"{digest}"', [("Cache-Control", control)]
    fields.append(("ETag", tag))
    changed = "" if made is None or now < made + SETTLED else format_datetime(made + SETTLED, usegmt=True)
    if changed:
        fields.append(("Last-Modified", changed))
    found = replace(answer, headers=(*answer.headers, *fields))
    if _names(request, tag, changed):
        return replace(found, body=b"", status=304)
    return found


def _names(request: Request, tag: str, changed: str) -> bool:
    """Whether the client has this body. If-None-Match makes If-Modified-Since void (RFC 9110 section 13.1.3)."""
    if request.if_none_match:
        named = [item.strip().removeprefix("W/") for item in request.if_none_match.split(",")]
        return tag in named or named == ["*"]
    return bool(changed) and request.if_modified_since.strip() == changed
