"""Connections to one server, through a proxy or not, with TLS or not, and in words of our own why one fails."""

from __future__ import annotations

import re
import ssl

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)
from urllib3.exceptions import SSLError as TlsError

from scep_kem import network_errors
from scep_kem.client.bounds import BoundedResponse, OutOfBounds, bounded
from scep_kem.client.http_options import HttpOptions, proxy_for, tls_context
from scep_kem.client.urls import read_url
from scep_kem.errors import UsageError

# Seconds to connect, and without an octet. The client gives up last, so that an answer that is on its way arrives.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
WHOLE = 10  # times as many seconds for a whole answer as without an octet
BESIDE = 1 << 20  # octets of an answer that are no body, such as headers
_PROXY_STATUS = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
WANTS_A_USER = "; it wants a user and a password, which http_proxy or https_proxy in the environment may hold"

# Devices often enrol before they know the time; what is wrong with a certificate is said without this.
urllib3.disable_warnings(urllib3.exceptions.SystemTimeWarning)


class NoAnswer(Exception):
    """Nothing came that is an HTTP answer; the text says why. sent: whether the request may have been."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class _HandshakeTimeout(ConnectTimeoutError):
    """There is a connection, but no TLS on it."""


class _Connection(urllib3.connection.HTTPConnection):
    response_class = BoundedResponse


class _TlsConnection(urllib3.connection.HTTPSConnection):
    """Tells a handshake that takes too long from an answer that does."""

    response_class = BoundedResponse

    def connect(self) -> None:
        """Raises what urllib3's does."""
        try:
            super().connect()
        except TimeoutError:
            raise _HandshakeTimeout from None


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _TooLong(HTTPError):
    """An answer that has more octets than are read."""


class Connections:
    """To the server of a URL. proxy: URL of the one that is used, without user and password, or None."""

    def __init__(self, url: str, options: HttpOptions) -> None:
        """Raises UsageError."""
        self._host, self._tls_ca = _host(url), options.tls_ca
        self._connecting = options.timeout or CONNECT_TIMEOUT
        self._reading = options.timeout or READ_TIMEOUT
        proxy = proxy_for(url, options.proxy)
        self.proxy = None if proxy is None else proxy.url
        uses_tls = any(each.lower().startswith("https:") for each in (url, self.proxy or ""))
        if options.tls_ca is not None and not uses_tls:
            raise UsageError("--tls-ca is for an https URL")
        tls: ssl.SSLContext | None = tls_context(options.tls_ca) if uses_tls else None
        timeout = urllib3.Timeout(connect=self._connecting, read=self._reading)
        if proxy is None:
            self._pool = urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=tls)
        else:
            self._pool = urllib3.ProxyManager(
                proxy.url,
                timeout=timeout,
                retries=False,
                proxy_headers=proxy.headers,
                proxy_ssl_context=tls,
                ssl_context=tls,
            )
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def exchange(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], most: int
    ) -> tuple[int, urllib3.HTTPHeaderDict, bytes]:
        """One request: status, headers and body of its answer, whatever they are. most: octets of a body. Raises
        NoAnswer.
        """
        response = None
        # Twice the body, because chunks of it have lengths.
        limits = bounded(seconds=WHOLE * self._reading, waiting=self._reading, octets=2 * most + BESIDE)
        try:
            with limits:
                response = self._pool.request(
                    method, url, body=body, headers=headers, preload_content=False, redirect=False
                )
                return response.status, response.headers, _read(response, most)
        except (HTTPError, OSError) as error:
            text = self._reason(error, self._host, answering=response is not None)
            raise NoAnswer(text, sent=not isinstance(error, TlsError)) from None

    def _reason(self, error: BaseException, host: str, *, answering: bool = False) -> str:
        """host: whom we were connecting or connected to. answering: whether the beginning of an answer came."""
        if isinstance(error, ProxyError):
            return self._proxy_reason(error.original_error)
        if isinstance(error, _TooLong):
            return str(error)
        if isinstance(error, _HandshakeTimeout):
            return f"no TLS handshake within {self._connecting:g} seconds; does it speak TLS, or only http://?"
        if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
            return f"no connection within {self._connecting:g} seconds"
        if isinstance(error, ReadTimeoutError):
            if answering:
                return f"the answer stopped: no more of it within {self._reading:g} seconds"
            return f"connected, but no answer within {self._reading:g} seconds"
        if isinstance(error, DecodeError):
            return "the answer is compressed, and cannot be unpacked"
        innermost = _innermost(error)
        if isinstance(innermost, OutOfBounds):
            return str(innermost)
        return network_errors.reason(innermost, host, tls_advice=self._tls_advice)

    def _proxy_reason(self, error: BaseException) -> str:
        proxy = self.proxy or ""
        refused = _PROXY_STATUS.search(str(error))
        if refused is None:
            return f"the proxy {proxy}: {self._reason(error, _host(proxy))}"
        advice = WANTS_A_USER if refused[1] == "407" else ""
        return f"the proxy {proxy} refuses to connect to it: HTTP {refused[1]}{advice}"

    @property
    def _tls_advice(self) -> str:
        file = self._tls_ca
        return "give its CA's with --tls-ca" if file is None else f"no certificate in {file} is it, or has issued it"


def _host(url: str) -> str:
    parts = read_url(url)
    return (parts.host if parts is not None else None) or ""


def _read(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The body of an answer, at most `most` octets. Raises urllib3's HTTPError.

    After a longer one, the connection is closed: the rest must not be taken for the next answer.
    """
    try:
        body = response.read(most + 1)
        if len(body) > most:
            response.close()
            raise _TooLong(f"the answer has more than {most} octets")
        return body
    finally:
        response.release_conn()


def _innermost(error: BaseException) -> BaseException:
    """What happened: urllib3 wraps it several times, in several ways."""
    while True:
        inside = (error.__cause__, getattr(error, "original_error", None), *error.args)
        following = next((item for item in inside if isinstance(item, BaseException)), None)
        if following is None:
            return error
        error = following
