"""Our own client, `scep-kem`, as the thing under test against somebody else's server."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from interop.kit.bench import Bench
from interop.kit.cases import check
from interop.kit.certs import check_issued, read_certificate
from interop.kit.process import Result
from interop.kit.servers import scep_kem

REFUSED_BY_US = 1
PENDING = 3
REFUSED_BY_CA = 4


def probe_client() -> str:
    """Version of scep-kem; raises Missing without it."""
    scep_kem()
    return f"scep-kem {metadata.version('scep-kem')}"


class Client:
    """One client of one case: its key and certificate are files in the bench's folder."""

    def __init__(self, bench: Bench, name: str, *, legacy: bool) -> None:
        self.bench, self.name = bench, name
        self.key = bench.folder / "key.pem"
        self.cert = bench.folder / "cert.pem"
        self._algorithms = ("--legacy",) if legacy else ()

    @property
    def pin(self) -> tuple[str, ...]:
        """Options that pin the server's CA certificate."""
        der = self.bench.server.authority.public_bytes(serialization.Encoding.DER)
        return ("--ca-fingerprint", hashlib.sha256(der).hexdigest())

    def run(self, command: str, url: str, *options: str, ok: tuple[int, ...] = (0,)) -> Result:
        """Run `scep-kem COMMAND` with URL and pin."""
        return self.bench.run(scep_kem(), command, "--url", url, *self.pin, *self._algorithms, *options, ok=ok)

    def enroll(self, url: str, challenge: str, *options: str, ok: tuple[int, ...] = (0,)) -> Result:
        """Enrol for a new RSA-2048 key; when that is to succeed, check the certificate."""
        result = self.run(
            *("enroll", url, "--key", str(self.key), "--key-type", "rsa:2048", "--out", str(self.cert)),
            *("--subject", f"CN={self.name},O=interop", "--challenge", challenge, *options),
            ok=ok,
        )
        if ok == (0,):
            self.check_certificate(self.cert, self.key)
        return result

    def renew(self, url: str, *options: str) -> None:
        """Renew for a new key and check the certificate."""
        new_key, new_cert = self.bench.folder / "new-key.pem", self.bench.folder / "new-cert.pem"
        self.run(
            *("renew", url, "--key", str(self.key), "--cert", str(self.cert)),
            *("--new-key", str(new_key), "--out", str(new_cert), *options),
        )
        self.check_certificate(new_cert, new_key)
        check(read_certificate(new_cert) != read_certificate(self.cert), "the certificate is still the first one")

    def identity(self) -> tuple[str, ...]:
        """Options that sign a query with what was enrolled."""
        return ("--key", str(self.key), "--cert", str(self.cert))

    def check_certificate(self, cert: Path, key: Path) -> None:
        """The certificate in the file is from this server, for this client."""
        check_issued(read_certificate(cert), self.bench.server.authority, name=self.name, key=key)


def check_capabilities(bench: Bench) -> None:
    """`caps` shows what the server said."""
    result = bench.run(scep_kem(), "caps", "--url", bench.url())
    check({"AES", "SHA-256"} <= set(result.stdout.upper().split()), "AES and SHA-256 are not shown")


def check_ca_certificate(bench: Bench) -> None:
    """`cacert` stores the CA certificate that the server has."""
    out = bench.folder / "ca.pem"
    Client(bench, "", legacy=False).run("cacert", bench.url(), "--out", str(out))
    check(read_certificate(out) == bench.server.authority, "another certificate arrived")


def check_told(result: Result, *words: str) -> None:
    """What the user sees has all of this."""
    for item in words:
        check(item in result.text, f"not shown: {item}")
