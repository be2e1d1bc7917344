"""SCEP over HTTP for the client: GetCACaps, GetCACert, GetNextCACert and PKIOperation by POST or GET (RFC 8894 section
4.1).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace

from pkix.recognised import in_text
from scep.capabilities import Capabilities
from scep_kem.client.answers import (
    GET_CA_CAPS,
    GET_CA_CERT,
    GET_NEXT_CA_CERT,
    PKI_MESSAGE,
    PKI_OPERATION,
    HttpAnswer,
)
from scep_kem.client.connections import WANTS_A_USER, Connections, NoAnswer
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.urls import (
    NotFollowed,
    check_url,
    redirected,
    shown,
    shown_location,
    shown_target,
    target_of,
)
from scep_kem.terminal import printable

MAX_BODY = 16 << 20  # a CRL can be long
MAX_UNSIGNED = 1 << 20  # of what GetCACert and GetCACaps answer, which is read before anything authenticates it
MAX_REDIRECTS = 5
# From a proxy in front of the CA, or a CA that is overloaded or stopped: nothing is said about the message.
STATUS_OF_NO_ANSWER = {408, 429, 502, 503, 504}
REDIRECTS = {301, 302, 307, 308}


class TransportError(Exception):
    """The server cannot be reached or does not answer as HTTP; the text says how.

    Nobody has authenticated it, whatever the status: the message may have reached the CA.
    """


class AnswerLost(TransportError):
    """No answer came, or not from the CA. Whether the message arrived is not known. wait: after how many seconds the
    server wants to be asked again, 0 if it does not say.
    """

    wait = 0


class AnotherForm(AnswerLost):
    """A whole answer that is no pkiMessage. To ask more than once again seldom brings another."""


class InText(TransportError):
    """The CA's answer in base64 or PEM, which other clients do not read. message: its octets."""

    def __init__(self, text: str, message: bytes) -> None:
        super().__init__(text)
        self.message = message


class HttpTransport:
    """One server. url: the SCEP URL. heard: called with each answer, whatever it is.

    no_capabilities: why GetCACaps brought none; empty if it brought some.
    """

    def __init__(
        self, url: str, options: HttpOptions | None = None, *, heard: Callable[[HttpAnswer], None] | None = None
    ) -> None:
        """Raises UsageError."""
        check_url(url)
        self.url, self.no_capabilities = url, ""
        self._options, self._heard = options or HttpOptions(), heard
        self._connections = Connections(url, self._options)

    def capabilities(self) -> tuple[bytes | None, Capabilities]:
        """GetCACaps: the body and what it says; an HTTP error means that nothing is supported (section 3.5.2), and so
        does a page or whatever else is no list.

        Raises AnswerLost for an error that is not the CA's: a client that acted on nothing would look like one whose
        capabilities somebody has suppressed.
        """
        answer = self._get(GET_CA_CAPS)
        if answer.status != 200:
            refused = self._refused(answer)
            if answer.status in STATUS_OF_NO_ANSWER:
                raise refused
            self.no_capabilities = str(refused)
            return None, Capabilities()
        if answer.is_another_form:
            self.no_capabilities = self._another_form(answer)
            return answer.body, Capabilities()
        return answer.body, Capabilities.decode(answer.body)

    def get_ca_cert(self) -> bytes:
        """Body of GetCACert."""
        return self._body(self._get(GET_CA_CERT))

    def get_next_ca_cert(self) -> bytes:
        """Body of GetNextCACert."""
        return self._body(self._get(GET_NEXT_CA_CERT))

    def pki_operation(self, message: bytes, capabilities: Capabilities) -> bytes:
        """Send a pkiMessage and return the answer's body: by POST if the server can (section 4.1, a MUST).

        A pkiMessage is an answer under any HTTP status: it is signed, which HTTP is not, and has the CA's own reason.
        """
        if capabilities.has("POSTPKIOperation") and not self._options.prefer_get:
            answer = self._ask("POST", PKI_OPERATION, target_of(self.url, PKI_OPERATION), message)
        else:
            encoded = base64.b64encode(message).decode("ascii")
            answer = self._ask("GET", PKI_OPERATION, target_of(self.url, PKI_OPERATION, encoded))
        if answer.status != 200 and answer.is_pki_message:
            return answer.content
        return self._body(answer)

    def _get(self, operation: str) -> HttpAnswer:
        return self._ask("GET", operation, target_of(self.url, operation, self._options.ca_identifier))

    def _ask(self, method: str, operation: str, url: str, body: bytes | None = None) -> HttpAnswer:
        """One request, sent on where the server redirects it to, with the same method and body. Raises
        TransportError.
        """
        asked = [url]
        while True:
            status, headers, content = self._exchange(method, operation, asked[-1], body)
            answer = HttpAnswer(
                operation=operation,
                method=method,
                target=shown_target(asked[0]),
                sent=len(body or b""),
                status=status,
                content_type=headers.get("Content-Type", ""),
                body=content,
                redirects=tuple(map(shown_target, asked[1:])),
                retry_after=headers.get("Retry-After", "").strip(),
                authenticate=headers.get("WWW-Authenticate", ""),
                proxy=self._connections.proxy,
            )
            location = headers.get("Location", "") if 300 <= status < 400 else ""
            if location:
                try:
                    asked.append(_following(status, location, asked))
                    continue
                except NotFollowed as error:
                    answer = replace(answer, location=shown_location(asked[-1], location), not_followed=str(error))
            if self._heard is not None:
                self._heard(answer)
            return answer

    def _exchange(
        self, method: str, operation: str, url: str, body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {} if body is None else {"Content-Type": PKI_MESSAGE}
        most = MAX_BODY if operation == PKI_OPERATION else MAX_UNSIGNED
        try:
            return self._connections.exchange(method, url, body, headers, most)
        except NoAnswer as error:
            kind = AnswerLost if error.sent else TransportError
            raise kind(f"{operation}: {shown(self.url)}: {error}") from None

    def _body(self, answer: HttpAnswer) -> bytes:
        """Raises TransportError for what cannot be a right answer; AnswerLost if the CA may have got a message."""
        if answer.status != 200:
            raise self._refused(answer)
        if answer.is_another_form:
            message = answer.pki_message_in_text if answer.operation == PKI_OPERATION else None
            if message is not None:
                raise InText(self._another_form(answer), message)
            kind = AnotherForm if answer.operation == PKI_OPERATION else TransportError
            raise kind(self._another_form(answer))
        return answer.content

    def _another_form(self, answer: HttpAnswer) -> str:
        should = "" if answer.operation == GET_CA_CAPS else ", not DER"
        whose = f"is {shown(self.url)} the SCEP URL?"
        if should and in_text(answer.body) is not None:
            whose = "that is a fault of the server"
        return f"{answer.operation}: the answer is {answer.described()}{should}; {whose}"

    def _refused(self, answer: HttpAnswer) -> TransportError:
        """An HTTP status other than 200."""
        status = answer.status
        kind = AnswerLost if status in STATUS_OF_NO_ANSWER else TransportError
        through = f" through the proxy {answer.proxy}" if answer.proxy else ""
        text = f"{answer.operation}: {shown(self.url)}{through} answered HTTP {status}"
        if status in REDIRECTS and not answer.location:
            text += " without a Location"
        if answer.location:
            text += f", Location {answer.location}: {answer.not_followed}"
        elif status == 407 and answer.proxy:
            text += f", which is the proxy's{WANTS_A_USER}"
        else:
            text += answer.told()
        if answer.retry_after:
            text += f" (Retry-After: {printable(answer.retry_after[:40])})"
        if status == 401:
            scheme = printable(answer.authenticate.partition(" ")[0][:40])
            text += f"; it wants HTTP authentication{f' ({scheme})' if scheme else ''}, which this client does not do"
        if status == 400 and answer.operation == GET_CA_CERT and self._options.ca_identifier is None:
            text += "; if the server has several CAs, --ca-identifier says which"
        error = kind(text)
        if isinstance(error, AnswerLost):
            error.wait = answer.wait
        return error


def _following(status: int, location: str, asked: list[str]) -> str:
    """Where a redirect leads to. asked: the URLs that were asked for, the latest last. Raises NotFollowed."""
    if status not in REDIRECTS:
        raise NotFollowed("that status redirects no request of ours")
    url = redirected(asked[-1], location)
    if url in asked:
        raise NotFollowed("that was asked for already")
    if len(asked) > MAX_REDIRECTS:
        raise NotFollowed(f"no more than {MAX_REDIRECTS} redirects are followed")
    return url
