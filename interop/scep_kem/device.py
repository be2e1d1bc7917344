"""A device that enrols with `scep-kem` where ML-KEM is at work."""

from __future__ import annotations

from pathlib import Path

from interop.kit.bench import Bench
from interop.kit.cases import check
from interop.kit.certs import common_name, read_certificate
from interop.kit.process import Result
from interop.kit.servers import scep_kem
from kem.keys import DecapsulationKey, encode_public_key
from pkix.certificates import Certificate
from pkix.keys import spki_of
from scep_kem.files import read_any_key
from scep_kem.kem import public_kem_key

POLLING = ("--poll-interval", "0.1", "--max-polls", "50")


class Device:
    """One client of one case: its key and certificate are files in the bench's folder."""

    def __init__(self, bench: Bench, name: str, key_type: str, *options: str, folder: Path | None = None) -> None:
        self.bench, self.name, self.key_type = bench, name, key_type
        self.key, self.cert = (folder or bench.folder) / "key.pem", (folder or bench.folder) / "cert.pem"
        self.options = ("--ca-fingerprint", bench.ours.fingerprint(), "--require-kem", *options)

    def enroll(self, url: str, *options: str, ok: tuple[int, ...] = (0,)) -> Result:
        """`scep-kem enroll` with a new key."""
        return self.bench.run(*self.command(url, *options), ok=ok)

    def command(self, url: str, *options: str) -> tuple[str, ...]:
        """The command line of `enroll`."""
        key = ("--key", str(self.key), "--key-type", self.key_type, "--out", str(self.cert))
        subject = ("--subject", f"CN={self.name},O=interop")
        return (scep_kem(), "enroll", "--url", url, *key, *subject, *self.options, *options)

    def check_certificate(self, cert: Path | None = None, key: Path | None = None) -> None:
        """The CA signed the certificate, for this name and this key."""
        certificate = read_certificate(cert or self.cert)
        certificate.verify_directly_issued_by(self.bench.server.authority)
        check(common_name(certificate) == self.name, f"common name {common_name(certificate)!r}")
        private = read_any_key(key or self.key)
        is_kem = isinstance(private, DecapsulationKey)
        public = encode_public_key(public_kem_key(private)) if is_kem else spki_of(private)  # type: ignore[arg-type]
        check(Certificate.of(certificate).spki == public, "the certificate is for another key")
