"""Errors for the person at the command line: one line on stderr, exit code 2 or for MachineError 1."""

import errno


class UsageError(Exception):
    """Something the user gave (a file, an option, a configuration) cannot be used; the text says why and what to do."""


class MachineError(UsageError):
    """What was given is right, but this machine cannot do it now, as when its disk is full: exit code 1."""


_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


def cannot(what: str, error: OSError) -> UsageError:
    """An error of the operating system in one line. what: what was tried, such as "write /a/b"."""
    kind = MachineError if error.errno in _MACHINE else UsageError
    return kind(f"cannot {what}: {error.strerror}")
