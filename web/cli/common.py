"""What several commands share: options, names, durations."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import click
from cryptography import x509

from ca.sql_store import SqlStore
from web.ca_dir import CaDir
from web.config import load
from web.errors import UsageError

FILE = click.Path(path_type=Path, dir_okay=False)

dir_option = click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the CA."
)

MOST = 1_000_000  # records that a list shows: all there are

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_name(text: str) -> x509.Name:
    """A subject in RFC 4514 form, `CN=device,O=Example`; spaces after commas are fine. Raises UsageError."""
    try:
        name = x509.Name.from_rfc4514_string(re.sub(r",\s+", ",", text), {"emailAddress": x509.NameOID.EMAIL_ADDRESS})
    except ValueError:
        raise UsageError(f'{text!r} is not a distinguished name; write it like "CN=device,O=Example"') from None
    if not len(name):
        raise UsageError("the subject is empty")
    return name


def parse_duration(text: str) -> timedelta:
    """`90s`, `10m`, `1h`, `7d`. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match or int(match[1]) == 0:
        raise UsageError(f"{text!r} is not a duration; write it like 30m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def parse_serial(text: str) -> int:
    """A serial number in hex, with or without colons and 0x. Raises UsageError."""
    try:
        return int(text.replace(":", ""), 16)
    except ValueError:
        raise UsageError(f"{text!r} is not a serial number in hex") from None


def stdin_password() -> str:
    """The first line of stdin without its end. Raises UsageError."""
    try:
        return utf8(sys.stdin.readline().rstrip("\r\n"), "the password on stdin")
    except UnicodeDecodeError:
        raise UsageError("the password on stdin is not UTF-8") from None


def utf8(text: str, what: str) -> str:
    """The text as it is. Raises UsageError if it came with octets that are not UTF-8, which Python reads as lone
    surrogates.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8") from None
    return text


def existing(directory: Path) -> CaDir:
    """The CA folder, which must hold a CA. Raises UsageError."""
    found = CaDir(directory)
    if not found.exists():
        raise UsageError(f"{directory} holds no CA; `scep-kem ca init --dir {directory}` makes one")
    return found


def check_profile(ca_dir: CaDir, profile: str) -> None:
    """Raises UsageError if the folder's configuration has no such profile."""
    if ca_dir.config_path.exists():
        known = load(ca_dir.config_path).profiles
        if profile not in known:
            raise UsageError(f"{ca_dir.config_path} has no profile {profile!r}; it has {', '.join(known)}")


def open_store(ca_dir: CaDir) -> SqlStore:
    """The Store of a CA folder, as its configuration names it. Raises UsageError."""
    database = load(ca_dir.config_path).database if ca_dir.config_path.exists() else None
    return ca_dir.open_store(database)
