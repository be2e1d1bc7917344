"""What a server answered over HTTP: status, media type and body, in words (RFC 8894 sections 3.5.2 and 4).

A body that is right is taken whatever its media type, which is remarked on. One that is PEM, base64 or a page is never
taken for what it might hold: whoever tests a server with this client would not see the fault that stops other clients.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from pkix.errors import PkixError
from pkix.recognised import A_CERTIFICATE_ALONE, A_PAGE, begins_as_der, in_text, recognise, without_line_end
from scep.capabilities import keywords, remarks
from scep.messages import PkiMessage
from scep_kem.terminal import printable

GET_CA_CAPS, GET_CA_CERT, GET_NEXT_CA_CERT = "GetCACaps", "GetCACert", "GetNextCACert"
PKI_OPERATION = "PKIOperation"
PKI_MESSAGE = "application/x-pki-message"
_CA_CERT, _CA_RA_CERT = "application/x-x509-ca-cert", "application/x-x509-ca-ra-cert"
# Per operation: where it says what an answer is, and the media type; of GetCACert it depends on the body.
_EXPECTED = {
    GET_CA_CAPS: ("section 3.5.2", "text/plain"),
    GET_CA_CERT: ("section 4.2.1", ""),
    GET_NEXT_CA_CERT: ("section 4.7.1", "application/x-x509-next-ca-cert"),
    PKI_OPERATION: ("section 4.3.1", PKI_MESSAGE),
}
_MOST_SAID = 200  # octets of a server's text that are shown
_LOOKED_AT = 4096  # octets of a page, or a list of keywords, that are looked at
_MOST_KEYWORDS, _MOST_OF_KEYWORD = 64, 80  # that are shown, and characters of each
_NOT_TO_READ = ("base64 text", "PEM", "hex text", "percent-encoded text")
_SECONDS = re.compile("[0-9]{1,6}")
_MEDIA_TYPE = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True)
class HttpAnswer:
    """One exchange. operation: of SCEP. method, target: as asked, shown as `urls.shown_target` has it. sent: octets of
    the request's body. content_type: the header, empty if there is none. redirects: where the request was sent on to.
    location, not_followed: where it was not sent on to, and why. retry_after, authenticate: the headers Retry-After and
    WWW-Authenticate, empty if there are none. proxy: what was asked in the server's place, or None.
    """

    operation: str
    method: str
    target: str
    sent: int
    status: int
    content_type: str
    body: bytes
    redirects: tuple[str, ...] = ()
    location: str = ""
    not_followed: str = ""
    retry_after: str = ""
    authenticate: str = ""
    proxy: str | None = None

    @property
    def media_type(self) -> str:
        """Without parameters, in lower case; empty if it is missing or none."""
        found = self.content_type.partition(";")[0].strip().lower()
        return found if _MEDIA_TYPE.fullmatch(found) else ""

    @property
    def content(self) -> bytes:
        """The body, of DER without a line end behind it."""
        return self.body if self.operation == GET_CA_CAPS else without_line_end(self.body)

    @property
    def is_pki_message(self) -> bool:
        """Whether the body is a pkiMessage, which its signature authenticates whatever HTTP says."""
        return _is_pki_message(self.content)

    @property
    def pki_message_in_text(self) -> bytes | None:
        """The pkiMessage that the body is base64 or PEM of, None if it is none."""
        found = in_text(self.body)
        return found if found is not None and _is_pki_message(found) else None

    @property
    def wait(self) -> int:
        """Seconds after which the server wants to be asked again; 0 if it does not say, or names a date."""
        return int(self.retry_after) if _SECONDS.fullmatch(self.retry_after) else 0

    @property
    def is_another_form(self) -> bool:
        """Whether the body cannot be what the operation is answered with: no list of keywords, or not DER."""
        if self.operation == GET_CA_CAPS:
            first = self.body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
            return bool(self.body) and (not first.isalnum() or begins_as_der(self.body))
        return not begins_as_der(self.body)

    def described(self) -> str:
        """The body in words, with status and media type."""
        seen = recognise(self.body)
        what = seen.what if seen is not None else f"{len(self.body)} octets of DER"
        if what == A_PAGE:
            what = _page(self.body)
        elif _is_text(self.body) and not what.startswith(_NOT_TO_READ):
            # What is no ASCII is no form that is recognised.
            what = f"{what if self.body.isascii() else 'text'}: {said(self.body)}"
        return f"{what} (HTTP {self.status}, {self.media_type or 'no media type'})"

    def told(self) -> str:
        """The server's own words on an error, such as ": not found"; empty if there are none."""
        seen = recognise(self.body) if self.body else None
        if seen is not None and seen.what == A_PAGE:
            text = _page(self.body)
        elif begins_as_der(self.body):
            text = seen.what if seen is not None else f"{len(self.body)} octets of DER"
        else:
            text = said(self.body)
        return f": {text}" if text else ""

    def remarks(self) -> list[str]:
        """What is wrong about an answer that can be used."""
        if self.is_another_form or (self.status != 200 and not self.is_pki_message):
            return []
        section, expected = _EXPECTED[self.operation]
        if self.operation == GET_CA_CERT:
            expected = _CA_CERT if _is_certificate(self.content) else _CA_RA_CERT
        found = []
        if self.content != self.body:
            found.append(f"{len(self.body) - len(self.content)} octets, a line end, behind the DER")
        if self.status != 200:
            found.append(f"HTTP {self.status} with a pkiMessage; RFC 8894 {section} has 200")
        if self.media_type != expected:
            what = f"media type {self.media_type}" if self.media_type else "no media type"
            found.append(f"{what}; RFC 8894 {section} has {expected}")
        return found

    def lines(self) -> list[str]:
        """For a trace."""
        sent = f", {self.sent} octets" if self.sent else ""
        through = f", through the proxy {self.proxy}" if self.proxy else ""
        answered = f"HTTP {self.status}, {self.media_type or 'no media type'}, {len(self.body)} octets"
        return [
            f"{self.method} {self.target}{sent}{through}",
            *(f"    redirected to {target}" for target in self.redirects),
            f"    {answered}{self.told() if self.status != 200 and not self.is_pki_message else ''}",
            *([f"    Location {self.location}: {self.not_followed}"] if self.location else []),
            *(f"    ODD: {text}" for text in self.remarks()),
        ]


def shown_keywords(body: bytes) -> list[str]:
    """The keywords of a GetCACaps as they came, in their order and case; of many, and of a long one, not all."""
    found = keywords(body[:_LOOKED_AT])
    return [word[:_MOST_OF_KEYWORD] for word in found[:_MOST_KEYWORDS]]


def keyword_remarks(body: bytes) -> list[str]:
    """What is odd about those keywords."""
    return remarks("\n".join(shown_keywords(body)).encode())


def said(body: bytes) -> str:
    """The beginning of a text from a server, in one line."""
    return printable(" ".join(body[:_MOST_SAID].decode("utf-8", "replace").split()))


def _is_text(body: bytes) -> bool:
    text = body[:_MOST_SAID].decode("utf-8", "replace").rstrip("\ufffd")  # the last character may be cut
    return bool(text.strip()) and all(item.isprintable() or item.isspace() for item in text) and "\ufffd" not in text


def _page(body: bytes) -> str:
    """A page by its title and its text: NDES says in the text why it refused."""
    title = _title(body)
    unseen = ("script", "style", "title") if title else ("script", "style")
    first, *more = body[:_LOOKED_AT].decode("utf-8", "replace").split("<")
    tags = [piece.partition(">") for piece in more]
    texts = [text for tag, _end, text in tags if not tag.lower().startswith(unseen)]
    text = said(html.unescape(" ".join((first, *texts))).encode())
    return "an HTML page" + (f', title "{title}"' if title else "") + (f": {text}" if text else "")


def _title(body: bytes) -> str:
    lowered = body.lower()
    begin = lowered.find(b">", lowered.find(b"<title")) + 1 if b"<title" in lowered else 0
    end = lowered.find(b"</title", begin)
    if not begin or end < 0:
        return ""
    return said(html.unescape(body[begin : min(end, begin + _LOOKED_AT)].decode("utf-8", "replace")).encode())


def _is_pki_message(body: bytes) -> bool:
    try:
        PkiMessage.decode(body, advise=False)
    except PkixError:
        return False
    return True


def _is_certificate(body: bytes) -> bool:
    seen = recognise(body)
    return seen is not None and seen.what == A_CERTIFICATE_ALONE
