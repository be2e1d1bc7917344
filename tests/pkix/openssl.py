"""The `openssl` command as a second opinion on CMS and PKCS #10: what it makes we must read, and the other way round.

One `OpenSsl` works in one folder (a test's `tmp_path`), where keys, certificates and messages are files.
Left out: Ed25519 signers, which `openssl cms` learnt after 3.0; `verify_ed25519` checks their signature alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pkix.keys import dump_private_key
from tests.pkix.forge import Peer

REQUIRE = "SCEP_KEM_REQUIRE_OPENSSL"


def find_openssl() -> str:
    """The path of the binary. Without one the test is skipped with the reason, or fails where it is required."""
    found = shutil.which("openssl")
    if found is None:
        reason = "there is no openssl binary to give a second opinion"
        if os.environ.get(REQUIRE):
            pytest.fail(f"{reason}, and {REQUIRE} is set")
        pytest.skip(reason)
    return found


class Failed(AssertionError):
    """The command ended with an error; the text is what it wrote to stderr."""


class OpenSsl:
    """Runs commands of `binary` in `folder`. Messages go in and out as DER or BER octets."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._count = 0

    def run(self, *arguments: str | Path) -> bytes:
        """What the command writes to stdout. Raises Failed."""
        done = subprocess.run([self._binary, *map(str, arguments)], capture_output=True, check=False)
        if done.returncode:
            raise Failed(done.stderr.decode(errors="replace"))
        return done.stdout

    def file(self, data: bytes) -> Path:
        """A new file with this content."""
        self._count += 1
        path = self._folder / f"{self._count}.bin"
        path.write_bytes(data)
        return path

    def key_file(self, peer: Peer) -> Path:
        """The peer's private key as a PEM file."""
        return self.file(dump_private_key(peer.key))

    def certificate_file(self, peer: Peer) -> Path:
        """The peer's certificate as a PEM file."""
        return self.file(x509.load_der_x509_certificate(peer.certificate.der).public_bytes(Encoding.PEM))

    def sign(self, content: bytes, peer: Peer, *options: str, more: tuple[Peer, ...] = ()) -> bytes:
        """SignedData by `cms -sign`. options follow the first signer, as -keyopt wants."""
        signers: list[str | Path] = []
        for signer in (peer, *more):
            signers += ["-signer", self.certificate_file(signer), "-inkey", self.key_file(signer)]
            signers += options if signer is peer else ()
        plain = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", self.file(content))
        return self.run(*plain, *signers)

    def verify(self, message: bytes) -> bytes:
        """The content of a SignedData whose signature `cms -verify` accepts; the certificate chain is not checked."""
        plain = ("cms", "-verify", "-noverify", "-binary", "-inform", "DER")
        return self.run(*plain, "-in", self.file(message))

    def encrypt(self, content: bytes, peer: Peer | None, *options: str) -> bytes:
        """EnvelopedData by `cms -encrypt`. options stand before the recipient's -keyopt; no peer: by password only."""
        recipient: list[str | Path] = ["-recip", self.certificate_file(peer)] if peer else []
        early = [item for item in options if item in ("-stream", "-keyid")]
        late = [item for item in options if item not in early]
        plain = ("cms", "-encrypt", "-binary", "-outform", "DER", "-in", self.file(content))
        return self.run(*plain, *early, *recipient, *late)

    def decrypt(self, message: bytes, peer: Peer | None, *options: str) -> bytes:
        """The content that `cms -decrypt` finds."""
        recipient: list[str | Path] = []
        if peer:
            recipient = ["-recip", self.certificate_file(peer), "-inkey", self.key_file(peer)]
        plain = ("cms", "-decrypt", "-binary", "-inform", "DER", "-in", self.file(message))
        return self.run(*plain, *options, *recipient)

    def verify_ed25519(self, peer: Peer, signature: bytes, data: bytes) -> None:
        """Raises Failed unless `pkeyutl -verify` accepts the signature."""
        public = peer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        files = ("-sigfile", self.file(signature), "-in", self.file(data))
        self.run("pkeyutl", "-verify", "-pubin", "-inkey", self.file(public), "-rawin", *files)
