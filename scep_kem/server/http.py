"""What every protocol's adapter has to do with HTTP: a request in, an answer out, and one function that guards it.

An adapter turns a Request into an Answer (`scep_kem.server.scep`). Whatever it raises is answered and logged here,
once, for every way into the program.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.events import LogEvent
from ca.store import StoreBusy, StoreUnavailable
from pkix.errors import Malformed
from scep_kem.budgets import RETRY_AFTER

if TYPE_CHECKING:
    from scep_kem.server.service import Service

log = logging.getLogger("scep")


@dataclass(frozen=True)
class Request:
    """method: GET, HEAD or POST. path: decoded, without the slash it begins with. query: as it stands in the URL.

    body: of a POST, whatever its Content-Type. root: URL of the server as the client sees it, for the page. client: its
    address, for the log. if_none_match, if_modified_since: as these header fields stand, of a GET or HEAD.
    """

    method: str
    path: str
    query: str
    body: bytes = b""
    root: str = ""
    client: str | None = None
    if_none_match: str = ""
    if_modified_since: str = ""


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


def guarded(adapter: Adapter, service: Service, request: Request) -> Answer:
    """An adapter's answer, with what the operator's log has to know. Whatever goes wrong is answered here, once; this
    never raises.
    """
    try:
        found = adapter(service, request)
    except Malformed as error:
        log.info("undecodable message from %s: %s", request.client, error)
        return text(f"not a pkiMessage: {error}", 400)
    except StoreUnavailable as error:
        log.error("%s", error)
        state = "is busy" if isinstance(error, StoreBusy) else "cannot be read or written at the moment"
        return text(f"the CA's database {state}; try again later", 503, ("Retry-After", str(RETRY_AFTER)))
    except Exception:
        log.exception("internal error")
        return text("internal error", 500)
    for event in found.events:
        log.log(logging.WARNING if event.alarming else logging.INFO, "%s", _line(event))
    return found


def text(line: str, status: int, *headers: tuple[str, str]) -> Answer:
    """An answer of one line for people."""
    return Answer(f"{line}\n".encode(), "text/plain", status, headers)


def _line(event: LogEvent) -> str:
    """One log line; values are quoted as JSON, so that nothing a peer sends can forge a line."""
    return " ".join([event.what, *(f"{name}={json.dumps(value)}" for name, value in event.details.items())])
