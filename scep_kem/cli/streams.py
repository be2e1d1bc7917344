"""stdout and stderr that cannot be written to: that stops no command halfway.

A reader that has seen enough, as `head` has, changes no exit code. A full disk does, when all is done.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class _Lasting(io.FileIO):
    """A descriptor that leads nowhere once it cannot be written to. faults: why, unless its reader has gone."""

    def __init__(self, number: int, faults: list[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self._faults = faults

    def write(self, octets: Any, /) -> int:
        """All of it, or what fits."""
        try:
            return super().write(octets)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self._faults.append(error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # Python writes the rest of its own buffer there, too, when it ends
            os.close(nowhere)
            return super().write(octets)


@contextlib.contextmanager
def lasting_output() -> Iterator[list[OSError]]:
    """Inside, both streams go on whatever becomes of them. Gives a list of what was wrong with them, for the end."""
    faults: list[OSError] = []
    with (
        contextlib.redirect_stdout(_lasting(sys.stdout, faults)),
        contextlib.redirect_stderr(_lasting(sys.stderr, faults)),
    ):
        yield faults


def _lasting(stream: TextIO, faults: list[OSError]) -> TextIO:
    try:
        number = stream.fileno()
        stream.flush()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return stream
    buffer = io.BufferedWriter(_Lasting(number, faults))
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True)
