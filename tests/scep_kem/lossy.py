"""A line between client and CA on which each PKIOperation meets the next fate that a test has in mind, and a device
behind it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from scep.attributes import KEM_POP_CONFIRM
from scep.messages import PkiMessage
from scep_kem.ca_dir import CaDir
from scep_kem.client.exchange import PAUSES
from scep_kem.client.transport import HttpTransport
from tests.scep_kem.kit import Answer, Received, Result, quoted, run

NOTHING = (503, b"")


class Line:
    """Between client and CA, at the same paths. fates: what becomes of the next messages; the later ones pass. sent:
    all of them. ways: HTTP methods of those. answers: what the CA answered, heard or not. is_down: nobody
    answers anything. loses: operations that nobody answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.capabilities = HttpTransport(url).capabilities()
        self.fates: list[Fate] = []
        self.sent: list[bytes] = []
        self.ways: list[str] = []
        self.answers: list[bytes] = []
        self.held: list[bytes] = []
        self.is_down = False
        self.loses: set[str] = set()

    def __call__(self, request: Received) -> Answer:
        if self.is_down:
            return NOTHING
        parts = urlsplit(request.path)
        self.ca = HttpTransport(self.url + parts.path.removeprefix("/scep"))
        query = parse_qs(parts.query)
        if query["operation"][0] in self.loses:
            return NOTHING
        if query["operation"] == ["GetCACaps"]:
            return 200, self.capabilities[0] or b""
        if query["operation"] == ["GetCACert"]:
            return 200, self.ca.get_ca_cert()
        message = request.body or base64.b64decode(query["message"][0])
        self.sent.append(message)
        self.ways.append(request.method)
        fate = self.fates.pop(0) if self.fates else passes
        return fate(self, message)

    def deliver(self, message: bytes) -> bytes:
        """The CA's answer."""
        self.answers.append(self.ca.pki_operation(message, self.capabilities[1]))
        return self.answers[-1]

    @property
    def types(self) -> list[str]:
        """Of what the client sent; a CertPoll with a confirmation is one with a plus sign."""
        found = [PkiMessage.decode(message) for message in self.sent]
        return [each.message_type.name + "+" * (each.attribute(KEM_POP_CONFIRM) is not None) for each in found]


Fate = Callable[[Line, bytes], Answer]


def passes(line: Line, message: bytes) -> Answer:
    return 200, line.deliver(message)


def is_gone(_line: Line, _message: bytes) -> Answer:
    return NOTHING


def is_late(line: Line, message: bytes) -> Answer:
    """It arrives after the next one that passes with `and_the_late_one`."""
    line.held.append(message)
    return 504, b""


def and_the_late_one(line: Line, message: bytes) -> Answer:
    answer = line.deliver(message)
    line.deliver(line.held.pop())
    return 200, answer


def unanswered(answer: Answer) -> Fate:
    def fate(line: Line, message: bytes) -> Answer:
        line.deliver(message)
        return answer

    return fate


def is_reset(line: Line, message: bytes) -> Answer:
    line.deliver(message)
    raise ConnectionResetError


def is_cut(line: Line, message: bytes) -> Answer:
    answer = line.deliver(message)
    return 200, answer[:-1], {"Content-Length": str(len(answer)), "Connection": "close"}


def is_cut_unseen(line: Line, message: bytes) -> Answer:
    return 200, line.deliver(message)[:-1]


answer_lost = unanswered((502, b"<html>Bad Gateway</html>"))
ALL_LOST = [answer_lost, *[is_gone] * len(PAUSES)]
WAYS_OF_LOSING = {
    **{str(status): unanswered((status, b"")) for status in (408, 429, 502, 503, 504)},
    "no octet": unanswered((200, b"")),
    "a page": unanswered((200, b"<html>Log in to the hotel</html>")),
    "reset": is_reset,
    "cut": is_cut,
    "cut unseen": is_cut_unseen,
}


class Device:
    """A device behind a line."""

    def __init__(self, folder: Path, line: Line, url: str, ca_dir: CaDir) -> None:
        self.folder, self.line, self.url, self.ca_dir = folder, line, url, ca_dir
        self.key, self.out, self.pending = folder / "a key", folder / "a.pem", folder / "a.pem.pending"
        self.where = ("--ca-fingerprint", ca_dir.load().current.identifier)

    def password(self) -> str:
        return run("challenge", "new", "--dir", self.ca_dir.path).good().out.strip()

    def enroll(
        self, *more: str | Path, subject: str = "CN=lost", profile: str = "", password: str | None = None
    ) -> Result:
        """The command as README gives it: with a new challenge password each time, unless it is given."""
        if not profile:
            more = (*more, "--challenge", password or self.password())
        files_of = ("--key", self.key, "--out", self.out, "--subject", subject)
        return run("enroll", "--url", self.url + profile, *self.where, *files_of, *more)

    def kem(self, *more: str | Path) -> Result:
        return self.enroll("--key-type", "ml-kem-768", *more)

    def poll(self, *more: str) -> Result:
        return run("poll", "--key", self.key, "--out", self.out, *more)

    @property
    def polling(self) -> str:
        """What the client says to run later."""
        return f"scep-kem poll --key {quoted(self.key)} --out {quoted(self.out)}"

    def lose(self, command: Callable[[], Result]) -> Result:
        """Run a command that gives up."""
        self.line.fates = list(ALL_LOST)
        found = command()
        assert found.code == 1 and self.pending.exists(), found
        self.line.sent.clear()
        return found

    @property
    def issued(self) -> list[str]:
        """`ca list`, a line each."""
        return run("ca", "list", "--dir", self.ca_dir.path).good().out.splitlines()
