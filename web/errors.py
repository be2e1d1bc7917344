"""Errors for the person at the command line: one line on stderr and exit code 2."""


class UsageError(Exception):
    """Something the user gave (a file, an option, a configuration) cannot be used; the text says why and what to do."""
