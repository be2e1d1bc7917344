"""A client of `scep-kem serve` in a folder of its own, and what tests of several commands do with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from scep_kem import files
from scep_kem.client.transport import HttpTransport
from tests.scep_kem.kit import Answer, Peer, Received, Result, Served, run
from tests.world import key


def password(ca_folder: Path, *arguments: str) -> str:
    """`challenge new`."""
    return run("challenge", "new", "--dir", ca_folder, *arguments).good().out.strip()


class Device:
    """A folder with device.key, and the options that every command of one device has. Keys are made once per run."""

    def __init__(self, folder: Path, server: Served, profile: str = "", key_type: str = "rsa:2048") -> None:
        self.folder = folder
        self.server = server
        self.url = server.url + profile
        self.key = folder / "device.key"
        self.out = folder / "device.pem"
        files.write_key(self.key, key(key_type, "live device"))

    @property
    def where(self) -> tuple[str, ...]:
        """--url and --ca-fingerprint."""
        return "--url", self.url, "--ca-fingerprint", self.server.fingerprint

    def enroll(self, *arguments: str | Path, subject: str = "CN=device,O=Example") -> Result:
        """`enroll` into device.pem."""
        return run("enroll", *self.where, "--key", self.key, "--subject", subject, "--out", self.out, *arguments)

    def signed(self, command: str, *arguments: str | Path, out: str = "answer.pem") -> Result:
        """A command that the certificate signs."""
        signing = ("--cert", self.out, "--key", self.key)
        return run(command, *self.where, *signing, "--out", self.folder / out, *arguments)

    def poll(self, *arguments: str | Path) -> Result:
        """`poll` for device.pem."""
        return run("poll", "--key", self.key, "--out", self.out, *arguments)

    @property
    def certificate(self) -> x509.Certificate:
        """What device.pem holds."""
        return files.read_certificates(self.out)[0]

    @property
    def names(self) -> set[str]:
        """The files of the folder."""
        return {path.name for path in self.folder.iterdir()}


def waiting(ca_folder: Path, subject: str) -> str:
    """The ID of the newest request for a subject."""
    lines = run("requests", "list", "--dir", ca_folder).good().out.splitlines()
    return next(line.split()[0] for line in lines if line.partition("  ! ")[0].endswith(f"  {subject}"))


def pending(device: Device, ca_folder: Path, subject: str, *arguments: str) -> str:
    """An enrolment that waits. Returns the request's ID."""
    assert device.enroll(*arguments, subject=subject).code == 3
    return waiting(ca_folder, subject)


def answering(server: Served, **instead: Answer) -> Callable[[Received], Answer]:
    """A server that passes on to the real one, but answers the operations in `instead` as told."""
    real = HttpTransport(server.url)

    def answer(request: Received) -> Answer:
        operation = request.path.partition("operation=")[2].partition("&")[0]
        if operation in instead:
            return instead[operation]
        if operation == "GetCACaps":
            return 200, b"AES\nPOSTPKIOperation\nSHA-256\n"
        if operation == "GetCACert":
            return 200, real.get_ca_cert()
        return 200, real.pki_operation(request.body, real.capabilities()[1])

    return answer


def against(peer: Peer, device: Device, *arguments: str) -> Result:
    device.url = peer.url
    return device.enroll("--challenge", "wrong", *arguments)
