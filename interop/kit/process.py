"""Child processes with time-outs: every child has its own process group, and every group is killed at the end."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from interop.kit.cases import CaseFailed

POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A finished command. code is None when it had to be killed for taking too long."""

    argv: tuple[str, ...]
    code: int | None
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Standard output, then standard error."""
        return self.stdout + self.stderr

    @property
    def command_line(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.argv)


class Background:
    """A child that runs on. Its two output streams go to one file (`log`) or, without one, to pipes."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path, log: Path | None) -> None:
        self.argv = tuple(argv)
        self.log = log
        sink: int | IO[bytes] = subprocess.PIPE
        with contextlib.ExitStack() as stack:
            if log is not None:
                sink = stack.enter_context(log.open("ab"))
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def finish(self, seconds: float) -> Result:
        """Wait for the end; when the time is up, kill the group and return a Result whose code is None."""
        code: int | None
        try:
            stdout, stderr = self.process.communicate(timeout=seconds)
            code = self.process.returncode
        except subprocess.TimeoutExpired:
            self.kill()
            stdout, stderr = self.process.communicate()
            code = None
        return Result(self.argv, code, _text(stdout), _text(stderr))

    def kill(self) -> None:
        """SIGKILL to the group."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL if that does not help."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        # A grandchild may outlive its parent (dbus-run-session's daemon does), so the group is always cleared.
        self.kill()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Processes:
    """Starts children and kills whatever is left of them when closed."""

    def __init__(self) -> None:
        self._children: list[Background] = []

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path, log: Path | None = None
    ) -> Background:
        """Start a child that runs on until it is stopped or this object is closed."""
        child = Background(argv, env=env, cwd=cwd, log=log)
        self._children.append(child)
        return child

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path, seconds: float = 30.0
    ) -> Result:
        """Run to the end with captured output."""
        return self.start(argv, env=env, cwd=cwd).finish(seconds)

    def close(self) -> None:
        """Kill every child, the last one first."""
        while self._children:
            self._children.pop().stop()


def wait_until(probe: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Ask until the answer is true; short waits in between. For ports and daemons, which give no other sign."""
    pause = threading.Event()
    for _ in range(int(seconds / POLL_SECONDS)):
        answer = probe()
        if answer:
            return answer
        pause.wait(POLL_SECONDS)
    raise CaseFailed(f"waited {seconds:g} s in vain for {what}")


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")
