"""SCEP over HTTP without a web framework: method, operation, base64, one call, media type (RFC 8894 section 4.1).

A profile is reached at /scep (the one named "default") or /scep/NAME, and any SCEPPATH below: clients append
/pkiclient.exe (Windows, Intune) or are set to /cgi-bin/pkiclient.exe or /certsrv/mscep/mscep.dll, which also work
at the root and mean "default". Without an operation, GET gives a page for people, and the files of `web.routes`, which
CRL Distribution Points and Authority Information Access name.

HEAD is GET without the body, but it is for asking what is there: it executes no PKIOperation. An operation or message
that comes twice is refused, because whoever stands between client and CA may have read the other one.
"""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from ca.store import StoreBusy, StoreUnavailable
from pkix.errors import Malformed
from scep.responder import LogEvent, Responder
from web.budgets import RETRY_AFTER
from web.pages import index_page
from web.routes import CA_CERTIFICATE, CRL, route
from web.service import Service, utc_now
from web.terminal import printable

log = logging.getLogger("scep")

PKI_MESSAGE = "application/x-pki-message"
NEXT_CA = "application/x-x509-next-ca-cert"
_FROM_BASE64URL = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class Request:
    """method: GET, HEAD or POST. path: decoded, without the slash it begins with. query: as it stands in the URL.

    body: of a POST, whatever its Content-Type. root: URL of the server as the client sees it, for the page. client: its
    address, for the log.
    """

    method: str
    path: str
    query: str
    body: bytes = b""
    root: str = ""
    client: str | None = None


@dataclass(frozen=True)
class Answer:
    """content_type goes out as it is: clients such as certmonger compare it as a string. events: for the log."""

    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    events: tuple[LogEvent, ...] = ()


def guarded(service: Service, request: Request) -> Answer:
    """`answer` with what the operator's log has to know. Whatever goes wrong is answered here, once; never raises."""
    try:
        found = answer(service, request)
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


def answer(service: Service, request: Request) -> Answer:
    """The answer to one request. Raises Malformed and StoreUnavailable."""
    profile, tail = route(request.path, service.config.profiles)
    responder = service.responder(profile) if profile else None
    if responder is None:
        return text(printable(f"there is no SCEP profile at /{request.path}"), 404)
    arguments = parse_qsl(request.query, keep_blank_values=True, errors="replace")
    given = dict(arguments)
    for name in ("operation", "message"):
        if sum(name == other for other, _value in arguments) > 1:
            return text(f"{name} is there more than once", 400)
    operation = given.get("operation", "").lower()
    origin = {"profile": responder.profile.name, "client": request.client or ""}
    if request.method == "POST":
        if operation not in ("", "pkioperation"):
            return text("POST is for operation=PKIOperation (RFC 8894 section 4.3)", 400)
        return _pki_operation(responder, request.body, origin)
    if operation == "pkioperation":
        if request.method != "GET":
            return text("PKIOperation is for GET and POST (RFC 8894 section 4.3)", 405, ("Allow", "GET, POST"))
        try:
            message = _base64(given.get("message", ""))
        except ValueError as error:
            return text(str(error), 400)
        return _pki_operation(responder, message, origin)
    return _get(service, responder, request, operation, tail)


def text(line: str, status: int, *headers: tuple[str, str]) -> Answer:
    """An answer of one line for people."""
    return Answer(f"{line}\n".encode(), "text/plain", status, headers)


def _get(service: Service, responder: Responder, request: Request, operation: str, tail: str) -> Answer:
    """Every GET but PKIOperation."""
    if operation == "getcacaps":
        return Answer(responder.get_ca_caps(), "text/plain")
    if operation == "getcacert":
        return Answer(*responder.get_ca_cert())
    if operation == "getnextcacert":
        body = responder.get_next_ca_cert(now=utc_now())
        if body is None:
            return text("no next CA certificate is prepared", 404)
        return Answer(body, NEXT_CA)
    if operation:
        return text("operation is not GetCACaps, GetCACert, GetNextCACert or PKIOperation (RFC 8894 section 4)", 400)
    kind, _, identifier = tail.partition("/")
    if kind in (CRL, CA_CERTIFICATE):
        return _file(responder, kind, identifier)
    return Answer(index_page(service, responder, request.root).encode(), "text/html; charset=utf-8")


def _file(responder: Responder, kind: str, identifier: str) -> Answer:
    """The CRL or certificate of one generation, or of the current one if no identifier is given."""
    authority = responder.authorities.named(identifier) if identifier else responder.current
    if authority is None:
        return text(printable(f"there is no CA {identifier} here"), 404)
    if kind == CRL:
        return Answer(responder.crl(authority, now=utc_now()), "application/pkix-crl")
    return Answer(authority.certificate.der, "application/pkix-cert")


def _pki_operation(responder: Responder, message: bytes, origin: dict[str, str]) -> Answer:
    """The CertRep that answers a pkiMessage. origin: where it came from, for the log. Raises Malformed,
    StoreUnavailable.
    """
    if not message:
        return text("the request has no message", 400)
    reply = responder.pki_operation(message, now=utc_now())
    events = tuple(replace(event, details=event.details | origin) for event in reply.events)
    return Answer(reply.body, PKI_MESSAGE, events=events)


def _base64(text: str) -> bytes:
    """The message of a GET. Raises ValueError.

    Tolerated: line ends every 64 characters (strongSwan, Cisco), + that arrived as a space because the client
    escaped only = (Apple), the base64url alphabet (micromdm 2.3.0), missing padding.
    """
    compact = "".join(text.replace(" ", "+").split()).translate(_FROM_BASE64URL).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError:  # binascii.Error is one; for text that is not ASCII it is a plain one
        raise ValueError("message is not base64 (RFC 8894 section 4.1)") from None


def _line(event: LogEvent) -> str:
    """One log line; values are quoted as JSON, so that nothing a peer sends can forge a line."""
    return " ".join([event.what, *(f"{name}={json.dumps(value)}" for name, value in event.details.items())])
