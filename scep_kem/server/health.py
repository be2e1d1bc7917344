"""GET /healthz: whether this server can issue, for load balancers and for who watches when certificates end.

    {"status": "warning", "database": "ok", "certificates": [
      {"ca": "0123456789abcdef", "use": "current", "role": "CA", "ends": "2031-11-20T12:00:00Z", "state": "near-end"}]}

Anybody may ask, so it says nothing that GetCACert and GetNextCACert do not say, but whether the database can be read.
`status` is "failing", with HTTP 503, when that is not so, or a certificate of the current CA or its RA is not valid;
"warning" when another is not, or one ends within 60 days; else "ok".
"""

from __future__ import annotations

import json

from ca.events import LogEvent
from ca.lapses import Validity, standing
from ca.store import StoreUnavailable
from scep_kem.clock import utc_now
from scep_kem.server.http import Answer
from scep_kem.server.service import Service

PATH = "healthz"


def health(service: Service) -> Answer:
    """The answer to GET /healthz."""
    generations, now = service.current_generations(), utc_now()
    following = [("next", generations.following)] if generations.following else []
    certificates, wrong, warning = [], [], False
    for use, authority in (("current", generations.current), *following):
        for item in standing(authority, now=now):
            ends = item.certificate.not_valid_after_utc
            certificates.append(
                {
                    "ca": authority.short_identifier,
                    "use": use,
                    "role": item.role,
                    "ends": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
                    "state": item.validity.value,
                }
            )
            ended = item.validity in (Validity.expired, Validity.not_yet)
            if ended and use == "current" and item.role != "issuer":
                wrong.append(f"the certificate {item.role} is not valid")
            warning |= item.validity is not Validity.valid
    database = "ok"
    try:
        service.store.certificate(generations.current.identifier, 0)  # one look-up, however many there are
    except StoreUnavailable:
        database = "unavailable"
        wrong.append("the database cannot be read")
    status = "failing" if wrong else "warning" if warning else "ok"
    found = {"status": status, "database": database, "certificates": certificates}
    body = json.dumps(found, indent=1).encode() + b"\n"
    events = (LogEvent("request", "failed", {"text": "; ".join(wrong)}, alarming=True),) if wrong else ()
    return Answer(body, "application/json", 503 if wrong else 200, (("Cache-Control", "no-store"),), events)
