"""What every protocol's adapter has to do with HTTP: a request in, an answer out, and one function that guards it.

An adapter turns a Request into an Answer (`scep_kem.server.scep`). Whatever it raises is answered and logged here,
once, for every way into the program.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.events import LogEvent
from ca.store import StoreBusy, StoreUnavailable
from pkix.errors import Malformed
from scep_kem.budgets import RETRY_AFTER
from scep_kem.logs import Line, Value

if TYPE_CHECKING:
    from scep_kem.server.service import Service

log = logging.getLogger("scep")


@dataclass(frozen=True)
class Request:
    """method: GET, HEAD or POST. path: decoded, without the slash it begins with. query: as it stands in the URL.

    body: of a POST, whatever its Content-Type. root: URL of the server as the client sees it, for the page. client: its
    address, for the log. if_none_match, if_modified_since: these header fields as they stand, of a GET or HEAD.
    details: also for the log, filled on the way: "operation", "profile"; nothing secret.
    """

    method: str
    path: str
    query: str
    body: bytes = b""
    root: str = ""
    client: str | None = None
    if_none_match: str = ""
    if_modified_since: str = ""
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """content_type goes out as it is: clients such as certmonger compare it as a string. events: for the log."""

    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    events: tuple[LogEvent, ...] = ()


# Raises Malformed for what is no message of its protocol, and StoreUnavailable.
Adapter = Callable[["Service", Request], Answer]


# Asked for every few seconds by whoever watches the server: in the log only if something is wrong.
ROUTINE = ("health",)


def guarded(adapter: Adapter, service: Service, request: Request) -> Answer:
    """An adapter's answer, and the one line that the operator's log has for it. Whatever goes wrong is answered here,
    once; this never raises.
    """
    start = time.monotonic()
    level, wrong, defect = logging.INFO, "", None
    try:
        found = adapter(service, request)
    except Malformed as error:
        found = text(f"not a pkiMessage: {error}", 400)
    except StoreUnavailable as error:
        level, wrong = logging.ERROR, str(error)
        state = "is busy" if isinstance(error, StoreBusy) else "cannot be read or written at the moment"
        found = text(f"the CA's database {state}; try again later", 503, ("Retry-After", str(RETRY_AFTER)))
    except Exception as error:
        level, defect = logging.ERROR, error
        found = text("internal error", 500)
    if found.status < 400 and request.details.get("operation") in ROUTINE:
        level = logging.DEBUG
    events = found.events or (_event(request, found, wrong),)
    fields = _fields(request, found, time.monotonic() - start)
    for event in events:
        line = Line(event.kind, event.outcome, event.details | fields)
        log.log(logging.WARNING if event.alarming else level, line, exc_info=defect)
    return found


def _event(request: Request, answer: Answer, wrong: str) -> LogEvent:
    """What the log says of a request that is no message of a protocol. wrong: why the server could not answer it."""
    if answer.status < 400:
        return LogEvent(request.details.get("operation", "request"), "answered", {})
    said = wrong or answer.body.decode(errors="replace").strip()
    return LogEvent("request", "failed" if answer.status >= 500 else "refused", {"text": said})


def _fields(request: Request, answer: Answer, seconds: float) -> dict[str, Value]:
    """What the log says of every request. Of a query only the operation, because the rest of it is a message."""
    return {
        **request.details,
        "client": request.client or "",
        "method": request.method,
        "path": f"/{request.path}",
        "http status": answer.status,
        "octets in": len(request.body or request.query),
        "octets out": len(answer.body),
        "milliseconds": round(seconds * 1000, 1),
    }


def text(line: str, status: int, *headers: tuple[str, str]) -> Answer:
    """An answer of one line for people. What went wrong may go well the next time, so no cache keeps it."""
    kept = () if status < 400 else (("Cache-Control", "no-store"),)
    return Answer(f"{line}\n".encode(), "text/plain", status, (*headers, *kept))
