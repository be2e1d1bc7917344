"""How a server is reached: what the HTTP options of the client's commands come to."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

from urllib3.util import Url

from scep_kem import files
from scep_kem.client.urls import PORTS, read_url
from scep_kem.errors import UsageError


@dataclass(frozen=True)
class HttpOptions:
    """ca_identifier: which of a server's CAs is meant, the message= of GetCACert, GetCACaps and GetNextCACert. proxy:
    URL of the one to use, None for what the environment says. tls_ca: file of the certificates that an https server is
    trusted by, instead of the system's. timeout: seconds to connect and without an octet, a tenth of those for a whole
    answer, None for ours. prefer_get: PKIOperation by GET even if the server can POST.
    """

    ca_identifier: str | None = None
    proxy: str | None = None
    tls_ca: Path | None = None
    timeout: float | None = None
    prefer_get: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if self.proxy is not None:
            found = _proxy(self.proxy, "--proxy")
            if found.headers:
                raise UsageError(
                    "--proxy: a user or password is not taken here, where the list of processes shows it; put the "
                    "whole URL into http_proxy or https_proxy in the environment"
                )


@dataclass(frozen=True)
class Proxy:
    """url: its scheme, host and port. headers: what it is told of who we are."""

    url: str
    headers: dict[str, str] = field(repr=False)


def proxy_for(url: str, given: str | None) -> Proxy | None:
    """The proxy to a server: the given one, or what http_proxy, https_proxy and no_proxy in the environment say.

    They are not asked for a server on this machine, whose loopback addresses no proxy can reach. Raises UsageError.
    """
    if given is not None:
        return _proxy(given, "--proxy")
    parts = read_url(url)
    if parts is None or parts.scheme is None or parts.host is None or _is_loopback(parts.host):
        return None
    host = f"{parts.host}:{parts.port or PORTS[parts.scheme]}"
    found = urllib.request.getproxies().get(parts.scheme)
    if not found or urllib.request.proxy_bypass(host):
        return None
    return _proxy(found, f"{parts.scheme}_proxy in the environment")


def _proxy(text: str, where: str) -> Proxy:
    """Raises UsageError, which does not repeat the text: it may hold a password."""
    parts = read_url(text if "://" in text else f"http://{text}")
    if parts is None or parts.scheme not in PORTS or not parts.host or parts.path not in (None, "/"):
        raise UsageError(f"{where} is not the URL of an HTTP proxy, like http://proxy.example:3128")
    headers = {}
    if parts.auth is not None:
        user = base64.b64encode(unquote(parts.auth).encode()).decode("ascii")
        headers["Proxy-Authorization"] = f"Basic {user}"
    return Proxy(Url(parts.scheme, host=parts.host, port=parts.port).url, headers)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def tls_context(tls_ca: Path | None) -> ssl.SSLContext:
    """Whom to trust under TLS: the certificates of a file, each of which may end a chain, or the system's. Raises
    UsageError.
    """
    if tls_ca is None:
        return ssl.create_default_context()
    certificates = files.read_certificates(tls_ca)
    try:
        context = ssl.create_default_context(cadata=files.pem(*certificates).decode("ascii"))
    except ssl.SSLError:
        raise UsageError(f"{tls_ca} holds a certificate that TLS cannot use") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
