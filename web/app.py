"""The Flask application: method, size, base64, one call, media type (RFC 8894 section 4.1).

A profile is reached at /scep (the one named "default") or /scep/NAME, and any SCEPPATH below: clients append
/pkiclient.exe (Windows, Intune) or are set to /cgi-bin/pkiclient.exe or /certsrv/mscep/mscep.dll, which also work
at the root and mean "default". Without an operation, GET gives a page for people, and crl and ca.cer the files that
CRL Distribution Points and Authority Information Access may name.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ca.store import StoreUnavailable
from pkix.errors import Malformed
from scep.responder import LogEvent, Responder
from web.pages import index_page
from web.service import Service, utc_now
from web.terminal import printable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("scep")

PKI_MESSAGE = "application/x-pki-message"
NEXT_CA = "application/x-x509-next-ca-cert"
SCEP_PATHS = ("cgi-bin", "certsrv", "pkiclient.exe", "mscep.dll")
_FROM_BASE64URL = str.maketrans("-_", "+/")
DEFAULT_PROFILE = "default"


def create_flask_app(service: Service) -> Flask:
    """The WSGI application for a service."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = service.config.max_body

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def scep(path: str) -> Response:
        return _serve(service, path)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = _text(f"{error.name}: {error.description}", error.code or 500)
        response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
        return response

    @app.errorhandler(StoreUnavailable)
    def unavailable(error: StoreUnavailable) -> Response:
        log.error("%s", error)
        return _text("the CA's database is busy; try again later", 503)

    @app.errorhandler(Malformed)
    def undecodable(error: Malformed) -> Response:
        log.info("undecodable message from %s: %s", request.remote_addr, error)
        return _text(f"not a pkiMessage: {error}", 400)

    @app.errorhandler(Exception)
    def failure(_error: Exception) -> Response:
        log.exception("internal error")
        return _text("internal error", 500)

    # mypy wants a method to stay one; this is how Flask documents the wrapping of an application in middleware.
    app.wsgi_app = _shortcut(service, app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


def _shortcut(service: Service, flask_app: WSGIApplication) -> WSGIApplication:
    """Answers the plain PKIOperation by POST, nearly all that a busy responder gets, without Flask's share of the work.

    Everything else, and everything that goes wrong here, is Flask's: its error handlers are the one place that answers
    and logs it. Doing a PKIOperation twice is doing it once, which the transaction table sees to.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH", "")
        plain = environ["REQUEST_METHOD"] == "POST" and environ.get("QUERY_STRING") == "operation=PKIOperation"
        if not plain or not length.isdecimal() or not 0 < int(length) <= service.config.max_body:
            return flask_app(environ, start_response)
        message = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = BytesIO(message)
        answer = None
        with contextlib.suppress(Exception):
            profile, _tail = _route(environ.get("PATH_INFO", "").lstrip("/"), service)
            responder = service.responder(profile) if profile else None
            if responder is not None and len(message) == int(length):
                answer = _answer(service, responder, message)
        if answer is None:
            return flask_app(environ, start_response)
        start_response("200 OK", [("Content-Type", PKI_MESSAGE), ("Content-Length", str(len(answer)))])
        return [answer]

    return application


def _serve(service: Service, path: str) -> Response:
    profile, tail = _route(path, service)
    responder = service.responder(profile) if profile else None
    if responder is None:
        return _text(printable(f"there is no SCEP profile at /{path}"), 404)
    operation = request.args.get("operation", "").lower()
    if request.method == "POST":
        if operation not in ("", "pkioperation"):
            return _text("POST is for operation=PKIOperation (RFC 8894 section 4.3)", 400)
        return _pki_operation(service, responder, request.get_data(cache=False, parse_form_data=False))
    if operation == "pkioperation":
        try:
            message = _base64(request.args.get("message", ""))
        except ValueError as error:
            return _text(str(error), 400)
        return _pki_operation(service, responder, message)
    return _get(service, responder, operation, tail)


def _get(service: Service, responder: Responder, operation: str, tail: str) -> Response:
    """Every GET but PKIOperation."""
    if operation == "getcacaps":
        return _reply(responder.get_ca_caps(), "text/plain")
    if operation == "getcacert":
        return _reply(*responder.get_ca_cert())
    if operation == "getnextcacert":
        body = responder.get_next_ca_cert(now=utc_now())
        if body is None:
            return _text("no next CA certificate is prepared", 404)
        return _reply(body, NEXT_CA)
    if operation:
        return _text("operation is not GetCACaps, GetCACert, GetNextCACert or PKIOperation (RFC 8894 section 4)", 400)
    if tail == "crl":
        return _reply(responder.crl(responder.current, now=utc_now()), "application/pkix-crl")
    if tail == "ca.cer":
        return _reply(responder.current.ca.certificate.public_bytes(Encoding.DER), "application/pkix-cert")
    page = index_page(service, responder, request.url_root)
    return _reply(page.encode(), "text/html; charset=utf-8")


def _route(path: str, service: Service) -> tuple[str | None, str]:
    """The profile a path means (None: none) and what stands behind it."""
    first, _, rest = path.partition("/")
    if first == "scep":
        second, _, tail = rest.partition("/")
        if second in service.config.profiles:
            return second, tail
        first, path = second, rest
    if first in ("", "crl", "ca.cer", *SCEP_PATHS):
        return DEFAULT_PROFILE, path
    return None, path


def _pki_operation(service: Service, responder: Responder, message: bytes) -> Response:
    """Raises Malformed."""
    if not message:
        return _text("the request has no message", 400)
    return _reply(_answer(service, responder, message), PKI_MESSAGE)


def _answer(service: Service, responder: Responder, message: bytes) -> bytes:
    """The CertRep that answers a pkiMessage, with its line in the log. Raises Malformed."""
    now = utc_now()
    service.purge_if_due(now)
    reply = responder.pki_operation(message, now=now)
    for event in reply.events:
        log.info("%s", _line(event))
    return reply.body


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


def _reply(body: bytes, content_type: str) -> Response:
    """Clients such as certmonger compare the media type as a string, so the header is set exactly."""
    response = Response(body)
    response.headers["Content-Type"] = content_type
    return response


def _text(line: str, status: int) -> Response:
    response = _reply(f"{line}\n".encode(), "text/plain")
    response.status_code = status
    return response
