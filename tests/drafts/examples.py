"""The examples as files, read without the code that made them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from drafts.tools.examples.generate import EXAMPLES
from kem.keys import DecapsulationKey
from pkix.keys import load_key
from pkix.signatures import SigningKey

NAME = re.compile(r"(\d+)-(.+)\.(der|txt)")


@dataclass(frozen=True)
class File:
    """One message. what: "PKCSReq", "CertRep-SUCCESS"."""

    example: str
    number: int
    what: str
    octets: bytes

    @property
    def is_pki_message(self) -> bool:
        """GetCACaps and GetCACert have answers of their own kind."""
        return not self.what.startswith("GetCAC")


def names() -> list[str]:
    """Of all examples."""
    return sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "parties")


def texts() -> list[Path]:
    """What the draft includes."""
    return sorted(EXAMPLES.glob("*.txt"))


def messages(example: str) -> list[File]:
    """The messages of one example, in order."""
    found = []
    for path in (EXAMPLES / example).iterdir():
        match = NAME.fullmatch(path.name)
        assert match, path.name
        found.append(File(example, int(match[1]), match[2], path.read_bytes()))
    return sorted(found, key=lambda file: file.number)


def pki_messages() -> list[File]:
    """Every pkiMessage of every example."""
    return [file for name in names() for file in messages(name) if file.is_pki_message]


def key(label: str) -> SigningKey | DecapsulationKey:
    """A party's private key."""
    pem = (EXAMPLES / "parties" / f"{label}.pem").read_bytes()
    return load_key(pem)


def certificate(label: str) -> x509.Certificate:
    """A party's certificate."""
    return x509.load_pem_x509_certificate((EXAMPLES / "parties" / f"{label}.pem").read_bytes())


def labels() -> list[str]:
    """Of all parties."""
    return sorted(path.stem for path in (EXAMPLES / "parties").iterdir())


def text_of(example: str) -> str:
    """The example's text."""
    return (EXAMPLES / f"{example}.txt").read_text("ascii")
