"""What goes wrong on a network, in words of our own, and without the text of a library, which may quote what the peer
sent.
"""

from __future__ import annotations

import http.client
import socket
import ssl

from scep_kem.clock import utc_now

_CLOCK_REASONS = {
    9: "is not valid yet",
    10: "has expired",
}
_OTHER_NAMES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
# By the numbers of OpenSSL's x509_vfy.h.
_UNTRUSTED = (2, 18, 19, 20, 21)
_CERTIFICATE_REASONS = {
    **dict.fromkeys(_UNTRUSTED, "is from no CA that is trusted here"),
    7: "has a signature that is wrong",
    23: "is revoked",
    **dict.fromkeys((24, 32, 79), "is from a certificate that may not issue any"),
    26: "is not for TLS servers",
    **dict.fromkeys((47, 48), "has names that its CA may not certify"),
    **dict.fromkeys((66, 67), "has a key that is too short, or its CA's has"),
    68: "is signed with a weak digest, or its CA's is",
    **dict.fromkeys(range(80, 95), "is not as RFC 5280 wants it, or its CA's is not"),
}
_PLAIN = "it does not speak TLS; does its URL begin with http://?"
# By OpenSSL's names of reasons.
_TLS_REASONS = {
    **dict.fromkeys(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"), _PLAIN),
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"), "it speaks no version of TLS that we do"),
    **dict.fromkeys(
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER"),
        "it refused the TLS handshake: no common algorithms, or it wants a certificate for TLS, which we do not send",
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate for TLS, which we do not send",
    "TLSV1_UNRECOGNIZED_NAME": "it knows no host of this name",
}


def reason(error: BaseException, host: str, *, tls_advice: str = "") -> str:
    """Why an exchange with a host failed. tls_advice: what to do about a CA that is not trusted."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, host, tls_advice)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection during the TLS handshake; does it speak TLS?"
    if isinstance(error, ssl.SSLError):
        return _TLS_REASONS.get(error.reason or "", "the TLS handshake failed")
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return f"the name {host} cannot be looked up: no name server answers"
        return f"there is no host of the name {host}"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return _no_http(error)
    return _operating_system(error)


def _certificate(error: ssl.SSLCertVerificationError, host: str, advice: str) -> str:
    code = error.verify_code
    if code in _CLOCK_REASONS:
        return f"its TLS certificate, or its CA's, {_CLOCK_REASONS[code]}; this machine's clock says {_now()}"
    if code in _OTHER_NAMES:
        return f"its TLS certificate is for other names than {host}"
    told = _CERTIFICATE_REASONS.get(code, f"is not accepted (reason {code} of OpenSSL)")
    return f"its TLS certificate {told}" + (f"; {advice}" if advice and code in _UNTRUSTED else "")


def _now() -> str:
    return f"{utc_now():%Y-%m-%d %H:%M} UTC"


def _no_http(error: http.client.HTTPException) -> str:
    if isinstance(error, http.client.LineTooLong):
        return "what it answered has a line that is too long for HTTP"
    if isinstance(error, http.client.IncompleteRead):
        missing = f", {error.expected} octets before its end" if error.expected else ""
        return f"the answer ended early{missing}"
    if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
        return "what it answered is no HTTP; is this the right port, and does its URL begin with https://?"
    return "what it answered is wrong as HTTP"


def _operating_system(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there (connection refused)"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, ConnectionError):
        return "it broke off the connection"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or "the connection failed"
    return "what it answered is wrong as HTTP"
