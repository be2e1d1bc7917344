"""What can be wrong with something a peer sent, in words that fit every protocol.

A protocol converts these to its own vocabulary in exactly one place (for SCEP: `scep.failures`). The text is
written for the peer's engineer: it says what is wrong and what would be right, and never holds a secret.
"""

from __future__ import annotations

from kem.der_faults import Broken, Undecoded
from kem.errors import KemError


class PkixError(Exception):
    """Base of the errors below; `text` is one line fit to be shown to the peer: what is wrong (`fact`) and then what
    the peer is to do (`advice`), if that is said apart. To somebody who did not send it, only the fact is of use.

    undecoded: the octets of which `text` says that they are no DER.
    """

    undecoded: Undecoded | Broken | None = None

    def __init__(self, fact: str, advice: str = "") -> None:
        self.fact = _one_line(fact)
        self.text = _one_line(f"{fact}; {advice}") if advice else self.fact
        super().__init__(self.text)


def _one_line(text: str) -> str:
    """Names and reasons that others wrote may hold line ends and terminal escapes."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


class Malformed(PkixError):
    """The bytes are not the structure they should be."""

    def __init__(self, fact: str, undecoded: Undecoded | Broken | None = None, *, advice: str = "") -> None:
        super().__init__(fact, advice)
        self.undecoded = undecoded


class PasswordNeeded(Malformed):
    """What is read is encrypted, and no password was given."""


class AlgorithmRefused(PkixError):
    """An algorithm, parameter or key size that is unknown or not allowed."""


class LegacyRefused(AlgorithmRefused):
    """An algorithm that only the legacy policy allows."""


class IntegrityFailed(PkixError):
    """A signature, digest or MAC does not fit the data."""


class DecryptionFailed(PkixError):
    """No key of ours opens the envelope, or opening it failed. All causes of the latter share one text.

    cause: what went wrong, for the operator alone; it holds nothing secret.
    """

    def __init__(self, fact: str, cause: str = "", *, advice: str = "") -> None:
        super().__init__(fact, advice)
        self.cause = cause


class NotTrusted(PkixError):
    """A certificate from which no valid path leads to a trust anchor. The text says which certificate, and why."""


def shortened(text: str, most: int = 80) -> str:
    """Of a long text, its beginning. most: characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def cited(text: str) -> str:
    """What somebody has written, in quotation marks, for a text about it: as it came, but of a long one the beginning,
    and escapes where characters cannot be printed.
    """
    begin = shortened(text)
    return f"'{begin if begin.isprintable() else repr(begin)[1:-1]}'"


def located(error: PkixError | KemError, whole: bytes = b"", name: str = "message") -> str:
    """The text, and where a structure that is no DER is broken. whole: what it was read from, from whose beginning the
    offset counts, and its name. How long this takes depends on the structure.
    """
    where = error.undecoded.explain(whole, name) if error.undecoded else ""
    return f"{error.text}; {where}" if where else error.text
