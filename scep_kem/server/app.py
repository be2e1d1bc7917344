"""The Flask application: WSGI and the size of a request. What is answered is the adapter's, what is logged
`scep_kem.server.http`'s.

Nearly all that a busy responder gets, the plain PKIOperation by POST, does not go through Flask, whose share of the
work is worth saving. Both ways end in the one guarded answer, and each request in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wsgi import ClosingIterator

from scep_kem.proxies import see_through
from scep_kem.server.http import Adapter, Answer, Request, guarded, text
from scep_kem.server.scep import answer
from scep_kem.server.service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = "GET, HEAD, OPTIONS, POST"


def create_flask_app(service: Service) -> Flask:
    """The WSGI application for a service."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = service.config.max_body

    def answered(adapter: Adapter, body: bytes = b"") -> Response:
        path, query = request.path.lstrip("/"), request.environ.get("QUERY_STRING", "")
        asked = Request(
            *(request.method, path, query, body, request.url_root, request.remote_addr),
            if_none_match=request.headers.get("If-None-Match", ""),
            if_modified_since=request.headers.get("If-Modified-Since", ""),
        )
        return _response(guarded(adapter, service, asked))

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST", "OPTIONS"])
    @app.route("/<path:path>", methods=["GET", "POST", "OPTIONS"])
    def scep(path: str) -> Response:
        if request.method == "OPTIONS":
            return answered(lambda _service, _request: Answer(b"", "text/plain", headers=(("Allow", METHODS),)))
        return answered(
            answer, request.get_data(cache=False, parse_form_data=False) if request.method == "POST" else b""
        )

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        """What Flask itself refuses, such as other methods and bodies over max_body; also a defect of its own."""
        headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
        said = "SCEP knows GET and POST (RFC 8894 section 4)" if error.code == 405 else error.description
        refusal = text(f"{error.name}: {said}", error.code or 500, *headers)
        return answered(lambda _service, _request: refusal)

    # mypy wants a method to stay one; this is how Flask documents the wrapping of an application in middleware.
    app.wsgi_app = _forwarded(service, _housekeeping(service, _shortcut(service, app.wsgi_app)))  # type: ignore[method-assign, assignment]
    return app


def _forwarded(service: Service, application: WSGIApplication) -> WSGIApplication:
    """Shows an application behind proxies what their client has used."""

    def forwarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        see_through(environ, service.config.trusted_proxies)
        return application(environ, start_response)

    return forwarded


def _housekeeping(service: Service, application: WSGIApplication) -> WSGIApplication:
    """Lets the Store forget what has expired when an answer is out, so that no client waits for that."""

    def housekeeping(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return ClosingIterator(application(environ, start_response), service.purge_if_due)

    return housekeeping


def _shortcut(service: Service, flask_app: WSGIApplication) -> WSGIApplication:
    """Answers the plain PKIOperation by POST by itself; everything else is Flask's."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH", "")
        plain = environ["REQUEST_METHOD"] == "POST" and environ.get("QUERY_STRING") == "operation=PKIOperation"
        if not plain or not length.isdecimal() or not 0 < int(length) <= service.config.max_body:
            return flask_app(environ, start_response)
        message = environ["wsgi.input"].read(int(length))
        if len(message) != int(length):
            # The client went away in the middle of it; Flask sees the same and refuses.
            environ["wsgi.input"] = BytesIO(message)
            return flask_app(environ, start_response)
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace").lstrip("/")
        found = guarded(
            answer, service, Request("POST", path, "operation=PKIOperation", message, client=environ.get("REMOTE_ADDR"))
        )
        start_response(f"{found.status} {HTTP_STATUS_CODES[found.status]}", _headers(found))
        return [found.body]

    return application


def _headers(answer: Answer) -> list[tuple[str, str]]:
    length = ("Content-Length", str(len(answer.body)))
    return [("Content-Type", answer.content_type), length, *answer.headers]


def _response(answer: Answer) -> Response:
    """The media type is set as a header, because Flask would add a charset."""
    response = Response(answer.body, answer.status)
    response.headers.clear()
    response.headers.extend(_headers(answer))
    return response
