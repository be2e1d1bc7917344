"""HTTP for the client: GetCACaps, GetCACert, GetNextCACert and PKIOperation by POST or GET (RFC 8894 section 4.1)."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlsplit

import urllib3

from scep.capabilities import Capabilities
from scep_kem.errors import UsageError
from scep_kem.terminal import printable

# Seconds to connect, and without an octet. The client gives up last, so that an answer that is on its way arrives.
READ_TIMEOUT = 60.0
TIMEOUT = urllib3.Timeout(connect=10.0, read=READ_TIMEOUT)
MAX_BODY = 16 << 20  # a CRL can be long
MAX_UNSIGNED = 1 << 20  # of what GetCACert and GetCACaps answer, which is read before anything authenticates it
# From a proxy in front of the CA, or a CA that is overloaded or stopped: nothing is said about the message.
STATUS_OF_NO_ANSWER = {408, 429, 502, 503, 504}

# Devices often enrol before they know the time; what is wrong with a certificate is said without this.
urllib3.disable_warnings(urllib3.exceptions.SystemTimeWarning)


class TransportError(Exception):
    """The server cannot be reached or does not answer as HTTP; the text says how."""


class AnswerLost(TransportError):
    """No answer came, or not from the CA. Whether the message arrived is not known."""


class Declined(TransportError):
    """The server did not take the message: an HTTP status of 3xx or 4xx."""


def check_url(url: str) -> None:
    """Raises UsageError if no SCEP server can be at this URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # from `port` too, which is read only when asked for
        usable = False
    if not usable or " " in url or not url.isprintable():
        raise UsageError(f"{url!r} is not an http or https URL")
    if parts.query or parts.fragment:
        raise UsageError(f"{url!r}: give the URL without ? and #")


def read_body(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The body of an answer, at most `most` octets. Raises urllib3's HTTPError.

    After a longer one, the connection is closed: the rest must not be taken for the next answer.
    """
    try:
        body = response.read(most + 1)
        if len(body) > most:
            response.close()
            raise urllib3.exceptions.HTTPError(f"the answer has more than {most} octets")
        return body
    finally:
        response.release_conn()


class HttpTransport:
    """One server. url: the SCEP URL without a query. prefer_get: send PKIOperation by GET even if POST is there."""

    def __init__(self, url: str, *, prefer_get: bool = False) -> None:
        check_url(url)
        self.url = url
        self._prefer_get = prefer_get
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def capabilities(self) -> tuple[bytes | None, Capabilities]:
        """GetCACaps: the body and what it says; an HTTP error means that nothing is supported (section 3.5.2).

        Raises AnswerLost for an error that is not the CA's: a client that acted on nothing would look like one whose
        capabilities somebody has suppressed.
        """
        status, body = self._request("GET", "GetCACaps")
        if status in STATUS_OF_NO_ANSWER:
            self._ok(status, body, "GetCACaps")
        return (body, Capabilities.decode(body)) if status == 200 else (None, Capabilities())

    def get_ca_cert(self) -> bytes:
        """Body of GetCACert."""
        return self._ok(*self._request("GET", "GetCACert"), "GetCACert")

    def get_next_ca_cert(self) -> bytes:
        """Body of GetNextCACert."""
        return self._ok(*self._request("GET", "GetNextCACert"), "GetNextCACert")

    def pki_operation(self, message: bytes, capabilities: Capabilities) -> bytes:
        """Send a pkiMessage and return the answer's body: by POST if the server can (section 4.1, a MUST)."""
        if capabilities.has("POSTPKIOperation") and not self._prefer_get:
            answer = self._request("POST", "PKIOperation", body=message)
        else:
            answer = self._request("GET", "PKIOperation", message=message)
        return self._ok(*answer, "PKIOperation")

    def _request(
        self, method: str, operation: str, *, body: bytes | None = None, message: bytes | None = None
    ) -> tuple[int, bytes]:
        target = f"{self.url}?operation={operation}"
        if message is not None:
            target += f"&message={quote(base64.b64encode(message), safe='')}"
        headers = {"Content-Type": "application/x-pki-message"} if body is not None else {}
        try:
            response = self._pool.request(method, target, body=body, headers=headers, preload_content=False)
            content = read_body(response, MAX_BODY if operation == "PKIOperation" else MAX_UNSIGNED)
        except urllib3.exceptions.SSLError as error:
            raise TransportError(f"{self.url}: {_reason(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise AnswerLost(f"{self.url}: {_reason(error)}") from None
        return response.status, content

    def _ok(self, status: int, body: bytes, operation: str) -> bytes:
        if status == 200:
            return body
        said = printable(" ".join(body[:200].decode("utf-8", "replace").split()))
        kind = AnswerLost if status in STATUS_OF_NO_ANSWER else Declined if 300 <= status < 500 else TransportError
        raise kind(f"{operation}: {self.url} answered HTTP {status}" + (f": {said}" if said else ""))


def _reason(error: Exception) -> str:
    """urllib3 wraps what happened several times; the innermost text is the readable one."""
    inner: BaseException = error
    while (following := inner.__cause__ or getattr(inner, "reason", None)) and isinstance(following, BaseException):
        inner = following
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner).rsplit(": ", 1)[-1] or type(inner).__name__
