"""SCEP over HTTP without a web framework: method, operation, base64, one call, media type (RFC 8894 section 4.1).

A profile is reached at /scep (the one named "default") or /scep/NAME, and any SCEPPATH below: clients append
/pkiclient.exe (Windows, Intune) or are set to /cgi-bin/pkiclient.exe or /certsrv/mscep/mscep.dll, which also work
at the root and mean "default". Without an operation, GET gives a page for people, and the files of
`scep_kem.server.routes`, which CRL Distribution Points and Authority Information Access name.

HEAD is GET without the body, but it is for asking what is there: it executes no PKIOperation. An operation or message
that comes twice is refused, because whoever stands between client and CA may have read the other one.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from urllib.parse import parse_qsl

from ca.crl import CRL_LIFETIME
from ca.errors import CrlRefused
from pkix.recognised import no_base64
from scep.responder import Responder
from scep_kem.clock import utc_now
from scep_kem.server.caching import A_DAY, ASK_AGAIN, cached
from scep_kem.server.health import PATH, health
from scep_kem.server.http import Answer, Request, text
from scep_kem.server.pages import index_page
from scep_kem.server.routes import CA_CERTIFICATE, CRL, route
from scep_kem.server.service import Service
from scep_kem.terminal import printable

PKI_MESSAGE = "application/x-pki-message"
NEXT_CA = "application/x-x509-next-ca-cert"
_OPERATIONS = {name.lower(): name for name in ("GetCACaps", "GetCACert", "GetNextCACert", "PKIOperation")}
_ENCODED = re.compile("%[0-9A-Fa-f]{2}")
_FROM_BASE64URL = str.maketrans("-_", "+/")


def answer(service: Service, request: Request) -> Answer:
    """The answer to one request. Raises Malformed and StoreUnavailable."""
    if request.path == PATH and request.method != "POST":
        request.details["operation"] = "health"
        return health(service)
    profile, tail = route(request.path, service.config.profiles)
    responder = service.responder(profile) if profile else None
    if responder is None:
        return text(printable(f"there is no SCEP profile at /{request.path}"), 404)
    request.details["profile"] = responder.profile.name
    arguments = parse_qsl(request.query, keep_blank_values=True, errors="replace")
    given = dict(arguments)
    for name in ("operation", "message"):
        if sum(name == other for other, _value in arguments) > 1:
            return text(f"{name} is there more than once", 400)
    operation = given.get("operation", "").lower()
    if operation:
        request.details["operation"] = _OPERATIONS.get(operation, given["operation"][:40])
    if request.method == "POST":
        if operation not in ("", "pkioperation"):
            return text("POST is for operation=PKIOperation (RFC 8894 section 4.3)", 400)
        return _pki_operation(responder, request, request.body)
    if operation == "pkioperation":
        if request.method != "GET":
            return text("PKIOperation is for GET and POST (RFC 8894 section 4.3)", 405, ("Allow", "GET, POST"))
        try:
            message = _base64(given.get("message", ""))
        except ValueError as error:
            return text(str(error), 400)
        return _pki_operation(responder, request, message)
    return _get(service, responder, request, operation, tail)


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
    request.details["operation"] = kind if kind in (CRL, CA_CERTIFICATE) else "page"
    if kind in (CRL, CA_CERTIFICATE):
        return _file(responder, request, kind, identifier, utc_now())
    return Answer(index_page(service, responder, request.root).encode(), "text/html; charset=utf-8")


def _file(responder: Responder, request: Request, kind: str, identifier: str, now: datetime) -> Answer:
    """The CRL or certificate of one generation, or of the current one if no identifier is given, which may be another
    one soon: caches have to ask each time.
    """
    authority = responder.authorities.named(identifier) if identifier else responder.current
    if authority is None:
        return text(printable(f"there is no CA {identifier} here"), 404)
    if kind == CA_CERTIFICATE:
        control = A_DAY if identifier else ASK_AGAIN  # its issuer may renew it
        found = Answer(authority.certificate.der, "application/pkix-cert")
        return cached(found, request, digest=authority.fingerprint, control=control, now=now)
    try:
        crl = responder.crl(authority, now=now)
    except CrlRefused as error:
        return text(error.text, 404)
    left = max(int((crl.made + CRL_LIFETIME - now).total_seconds()), 0)
    control = f"public, max-age={left}" if identifier else ASK_AGAIN
    found = Answer(crl.der, "application/pkix-crl")
    return cached(found, request, digest=crl.digest, control=control, made=crl.made, now=now)


def _pki_operation(responder: Responder, request: Request, message: bytes) -> Answer:
    """The CertRep that answers a pkiMessage. Raises Malformed, StoreUnavailable."""
    request.details["operation"] = _OPERATIONS["pkioperation"]
    if not message:
        return text("the request has no message: a GET has it as message=BASE64 in the URL, a POST as its body", 400)
    reply = responder.pki_operation(message, now=utc_now(), client=request.client)
    return Answer(reply.body, PKI_MESSAGE, events=reply.events)


def _base64(text: str) -> bytes:
    """The message of a GET. Raises ValueError.

    Tolerated: line ends every 64 characters (strongSwan, Cisco), + that arrived as a space because the client
    escaped only = (Apple), the base64url alphabet (micromdm 2.3.0), missing padding.
    Hex and PEM consist of characters of base64, so they are looked for first.
    """
    if _ENCODED.search(text):
        raise ValueError("message is percent-encoded twice; encode it once (RFC 8894 section 4.1)")
    if "%" in text:
        raise ValueError("message has a % without two hex digits behind it")
    form = no_base64(text.encode())
    if form is not None:
        raise ValueError(f"message is {form}; it must be base64 of the DER octets (RFC 8894 section 4.1)")
    compact = "".join(text.replace(" ", "+").split()).translate(_FROM_BASE64URL).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError:  # binascii.Error is one; for text that is not ASCII it is a plain one
        raise ValueError("message is not base64 (RFC 8894 section 4.1)") from None
