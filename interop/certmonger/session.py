"""A certmonger daemon of its own on a private session bus, for one case."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import TracebackType

from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed
from interop.kit.process import Result, wait_until

NICKNAME = "scep"
FINAL = ("MONITORING", "CA_REJECTED", "CA_UNREACHABLE", "CA_UNCONFIGURED", "NEED_GUIDANCE", "NEED_CA", "CA_WORKING")


class Session:
    """Context manager: starts bus and daemon, adds the SCEP CA and waits until its data is there.

    discover: let it choose the RA's and the CA's certificate from GetCACert, instead of naming the CA's for both.

    The daemon is told to run a command and to leave with it; that command writes down the address of the bus, which
    is how getcert is called from outside of it. Were getcert called before the daemon has its name on the bus, the
    bus would start a second daemon.
    """

    def __init__(self, bench: Bench, url: str, *, discover: bool = False) -> None:
        self.bench = bench
        self.url = url
        self._discover = discover
        self.key = bench.folder / "key.pem"
        self.certificate = bench.folder / "cert.pem"
        self._address = bench.folder / "bus-address"
        self._env = {"HOME": str(bench.folder)}
        for name in ("REQUESTS_DIR", "CAS_DIR", "CONFIG_DIR", "TMPDIR"):
            folder = bench.folder / name.lower()
            folder.mkdir()
            self._env[f"CERTMONGER_{name}"] = str(folder)

    def __enter__(self) -> Session:
        shell = f"echo $DBUS_SESSION_BUS_ADDRESS >{shlex.quote(str(self._address))}; exec sleep 300"
        daemon = ("certmonger", "-s", "-n", "-d", "2", "-c", shlex.join(("sh", "-c", shell)))
        self._child = self.bench.processes.start(
            ("dbus-run-session", "--", *daemon),
            env=self._env,
            cwd=self.bench.folder,
            log=self.bench.folder / "certmonger.log",
        )
        try:
            wait_until(self._read_address, seconds=20, what="certmonger on its bus")
            ca = str(self.bench.server.ca_pem)
            given = () if self._discover else ("-N", ca, "-r", ca)
            self.getcert("add-scep-ca", "-c", NICKNAME, "-u", self.url, *given)
            wait_until(self._ca_is_known, seconds=20, what="certmonger to fetch the CA's data")
        except CaseFailed:
            # A daemon left running holds a lock that would stop the next case's daemon.
            self._child.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    def request(self, name: str, challenge: str, *, seconds: int = 20) -> None:
        """Ask for a certificate for a new RSA-2048 key and wait until the daemon has nothing more to do."""
        self.getcert(
            *("request", "-c", NICKNAME, "-k", str(self.key), "-f", str(self.certificate), "-g", "2048"),
            *("-N", f"CN={name},O=interop", "-w", "-v", "--wait-timeout", str(seconds)),
            *(("-L", challenge) if challenge else ()),
        )
        wait_until(lambda: self.status(quiet=True) in FINAL, seconds=seconds, what="certmonger to finish the request")

    def getcert(self, command: str, *options: str) -> Result:
        """Run a getcert command on the session bus; getcert's exit code says little and is not looked at."""
        return self.bench.run("getcert", command, "-s", *options, env=self._env, ok=(0, 1, 2, 3, 4, 5))

    def status(self, *, quiet: bool = False) -> str:
        """The state of the only request, such as MONITORING."""
        if quiet:
            text = self.bench.processes.run(("getcert", "list", "-s"), env=self._env, cwd=self.bench.folder).stdout
        else:
            text = self.getcert("list").stdout
        match = re.search(r"status: (\S+)", text)
        return match[1] if match else "none"

    def expect(self, status: str) -> None:
        """Fail the case unless the request has, or reaches, this state."""
        try:
            wait_until(lambda: self.status(quiet=True) == status, seconds=10, what=status)
        except CaseFailed:
            raise CaseFailed(f"status {self.status()} instead of {status}") from None

    def _read_address(self) -> bool:
        if not self._address.exists() or not self._address.read_text().endswith("\n"):
            return False
        self._env["DBUS_SESSION_BUS_ADDRESS"] = self._address.read_text().strip()
        return True

    def _ca_is_known(self) -> bool:
        shown = self.bench.processes.run(
            ("getcert", "list-cas", "-s", "-c", NICKNAME), env=self._env, cwd=self.bench.folder
        )
        return "thumbprint" in shown.stdout


def daemon_log(folder: Path) -> str:
    """What the daemon wrote."""
    path = folder / "certmonger.log"
    return path.read_text(errors="replace") if path.exists() else ""
