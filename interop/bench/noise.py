"""How busy the cores are, whoever keeps them so (proc_stat(5))."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

GLANCE_SECONDS = 0.1
QUIET = 0.15
_IDLE, _IOWAIT, _COUNTED = 3, 4, 8  # fields behind the name; those from the ninth on are contained in others


class Cores:
    """Some of the machine's cores, by their numbers."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.count = len(numbers)
        self._names = {f"cpu{number}" for number in numbers}

    def busy_seconds(self) -> float:
        """CPU seconds spent so far by everybody, kernel and hypervisor included, in clock ticks' precision (10 ms)."""
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name in self._names:
                counted = [int(field) for field in fields[:_COUNTED]]
                ticks += sum(counted) - counted[_IDLE] - counted[_IOWAIT]
        return ticks / os.sysconf("SC_CLK_TCK")

    def wait_until_quiet(self, seconds: float) -> float:
        """Return once they were nearly idle for a tenth of a second, or after `seconds`; and what is left of those."""
        began = time.monotonic()
        while (left := seconds - (time.monotonic() - began)) > 0:
            busy = self.busy_seconds()
            time.sleep(GLANCE_SECONDS)
            if self.busy_seconds() - busy < QUIET * GLANCE_SECONDS * self.count:
                break
        return max(0.0, left)
