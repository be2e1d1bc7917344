"""The servers on the bench, each started in a folder of its own with the CA and the challenge password it is given."""

from __future__ import annotations

import abc
import os
import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from interop.bench.material import Authority
from interop.kit.cases import CaseFailed, Missing
from interop.kit.install import free_port
from interop.kit.process import Processes, wait_until
from interop.kit.servers import scep_kem

START_SECONDS = 30.0
DEPOT_PASSWORD = "depot"  # noqa: S105 -- of a CA key that lives for one run
_SESSION, _USER_TICKS, _SYSTEM_TICKS = 3, 11, 12  # fields of /proc/PID/stat behind the command's name, from 0


@dataclass(frozen=True)
class Gunicorn:
    """How gunicorn runs. With `threads` above 1 its workers are gthread's, else sync."""

    workers: int
    threads: int

    def __str__(self) -> str:
        kind = f"gthread with {self.threads} threads each" if self.threads > 1 else "sync"
        return f"{self.workers} workers, {kind}"


class BenchServer(abc.ABC):
    """A running server. path: of its URL. legacy: it answers with SHA-1 and DES. lives: how often it began anew;
    serial numbers are unique within a life.
    """

    name: str
    title: str
    path = "/scep"
    legacy = False
    lives = 1

    def __init__(self, folder: Path, processes: Processes, authority: Authority, challenge_password: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.log = folder / "server.log"
        self.log.write_bytes(b"")
        self._processes = processes
        self._authority = authority
        self._challenge_password = challenge_password
        self._prepare()
        self._start()

    def refresh(self) -> None:
        """Called before each round, for a server that must forget the one before."""
        return

    def _start(self) -> None:
        # gunicorn looks for files in the home directory, and leaves some there.
        home = {"HOME": str(self.folder)}
        self._child = self._processes.start(self._command(), env=home, cwd=self.folder, log=self.log)
        self.port = wait_until(self._listening, seconds=START_SECONDS, what=f"{self.name} to listen")

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Put the CA and the challenge password where the server looks for them."""

    @abc.abstractmethod
    def _command(self) -> tuple[str, ...]:
        """The command line of the server."""

    @abc.abstractmethod
    def _port(self) -> int | None:
        """The port, once the server listens."""

    def _listening(self) -> int | None:
        if self._child.process.poll() is not None:
            raise CaseFailed(f"{self.name} ended at once:\n{self.log.read_text(errors='replace')[-2000:]}")
        return self._port()

    def cpu_seconds(self) -> float:
        """CPU time of the server's processes so far, in clock ticks' precision (10 ms)."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # A child started by `Processes` leads a session, which its descendants stay in.
            if int(fields[_SESSION]) == self._child.process.pid:
                ticks += int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._child.stop()

    def _write_certificate(self, path: Path) -> Path:
        path.write_bytes(self._authority.certificate.public_bytes(Encoding.PEM))
        return path


class _Ours(BenchServer):
    """Our responder in a folder made by `scep-kem ca init`, configuration unchanged."""

    def _prepare(self) -> None:
        key = self.folder / "imported.key.pem"
        encoding = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key.touch(mode=0o600)
        key.write_bytes(self._authority.key.private_bytes(*encoding))
        certificate = self._write_certificate(self.folder / "imported.cert.pem")
        self._scep_kem("ca", "init", "--import-key", str(key), "--import-cert", str(certificate))
        self._add_password()

    def _add_password(self) -> None:
        password = self.folder / "challenge-password"
        password.write_text(self._challenge_password)
        made = self._processes.run(
            ("sh", "-c", '"$0" challenge new --reusable --password-stdin --dir ca <"$1"', scep_kem(), str(password)),
            cwd=self.folder,
        )
        if made.code != 0:
            raise CaseFailed(f"scep-kem challenge new failed: {made.text}")

    def _scep_kem(self, *arguments: str) -> None:
        made = self._processes.run((scep_kem(), *arguments, "--dir", "ca"), cwd=self.folder)
        if made.code != 0:
            raise CaseFailed(f"scep-kem {' '.join(arguments[:2])} failed: {made.text}")

    def _logged_port(self, pattern: str) -> int | None:
        match = re.search(pattern, self.log.read_text(errors="replace"))
        return int(match[1]) if match else None


class OursGunicorn(_Ours):
    """The WSGI application as `scep_kem.wsgi` describes it."""

    name = "ours"

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        authority: Authority,
        challenge_password: str,
        *,
        gunicorn: Gunicorn,
    ) -> None:
        self._gunicorn = gunicorn
        self.title = f"gunicorn: {gunicorn}"
        super().__init__(folder, processes, authority, challenge_password)

    def _command(self) -> tuple[str, ...]:
        kind = "gthread" if self._gunicorn.threads > 1 else "sync"
        return (
            *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--worker-class", kind),
            *("--workers", str(self._gunicorn.workers), "--threads", str(self._gunicorn.threads)),
            f'scep_kem.wsgi:create_app("{self.folder}/ca/scep.toml")',
        )

    def _port(self) -> int | None:
        # It listens before its workers are ready; a connection then waits, which the warm-up takes care of.
        return self._logged_port(r"Listening at: http://127\.0\.0\.1:(\d+)")


class OursServe(_Ours):
    """`scep-kem serve`, for information."""

    name = "serve"
    title = "scep-kem serve: waitress, one process"

    def _command(self) -> tuple[str, ...]:
        return (scep_kem(), "serve", "--dir", str(self.folder / "ca"), "--port", "0")

    def _port(self) -> int | None:
        return self._logged_port(r"URL: http://127\.0\.0\.1:(\d+)")


class Micromdm(BenchServer):
    """The `scepserver` of the Debian package scep: micromdm's, 2.1.0 in Debian 12.

    It insists on a CA key encrypted in the old PEM manner (RFC 1421). For every request it reads and writes the list
    of all certificates, so it gets slower: by a third after 4,000. Each round therefore begins with an empty depot,
    which is more than a CA in use could offer.
    """

    name = "micromdm"
    legacy = True

    def __init__(self, folder: Path, processes: Processes, authority: Authority, challenge_password: str) -> None:
        binary = shutil.which("scepserver")
        if binary is None:
            raise Missing("scepserver is not installed (python -m interop install --only scepclient)")
        self._binary = binary
        self._own_port = free_port()
        version = processes.run((binary, "-version"), cwd=folder.parent).text.split()
        self.title = f"scepserver {version[-1] if version else 'of unknown version'}"
        super().__init__(folder, processes, authority, challenge_password)

    @property
    def _depot(self) -> Path:
        # The old ones stay until the end: ext4 without a journal is slow to make files where it has just deleted some.
        return self.folder / f"depot-{self.lives}"

    def refresh(self) -> None:
        self.stop()
        self.lives += 1
        self._prepare()
        self._start()

    def _prepare(self) -> None:
        depot = self._depot
        depot.mkdir()
        self._write_certificate(depot / "ca.pem")
        key = depot / "ca.key"
        key.touch(mode=0o600)
        encryption = BestAvailableEncryption(DEPOT_PASSWORD.encode())
        key.write_bytes(self._authority.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption))

    def _command(self) -> tuple[str, ...]:
        return (
            *(self._binary, "-depot", str(self._depot), "-port", str(self._own_port)),
            *("-challenge", self._challenge_password, "-capass", DEPOT_PASSWORD, "-allowrenew", "0"),
        )

    def _port(self) -> int | None:
        try:
            socket.create_connection(("127.0.0.1", self._own_port), 1.0).close()
        except OSError:
            return None
        return self._own_port
