"""What several commands share: options, names, durations."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from ca.authorities import Authorities
from ca.authority import Authority
from ca.profiles import Profile
from ca.sql_store import SqlStore
from kem.errors import KemError
from pkix import errors, names
from pkix.attribute_types import KEYWORDS
from pkix.certificates import load_certificate
from pkix.errors import LegacyRefused, PkixError, cited, shortened
from pkix.subjects import check_subject
from scep.answers import AnswerRefused
from scep.ca_certificates import ReplyRefused
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.config import load
from scep_kem.config_faults import impossible, nearest, not_known
from scep_kem.errors import MachineError, UsageError
from scep_kem.owner import as_owner
from scep_kem.terminal import printable

FILE = click.Path(path_type=Path, dir_okay=False)
MOST = 1_000_000  # records that a list shows: all there are


class Word(click.Choice):  # type: ignore[type-arg]  # generic since click 8.4
    """One of several words, in any case. What is none of them is answered as in the configuration."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = next((word for word in self.choices if word.lower() == str(value).lower()), None)
        if found is None:
            self.fail(impossible(value, f"one of {', '.join(self.choices)}", self.choices), param, ctx)
        return str(found)


# What a command leaves to be done by who runs it, as writing to a file that they have named.
Left = Callable[[], None]
Command = Callable[..., Left | None]

_FOLDER = click.Path(path_type=Path, file_okay=False)

dir_option = click.option("--dir", "directory", type=_FOLDER, required=True, help="Folder of the CA.")


def place_options(command: Command) -> Command:
    """--dir and --config, of which `located` makes the CA's folder."""
    folder = click.option("--dir", "directory", type=_FOLDER, help="Folder of the CA.")
    file = click.option(
        "--config",
        "config_file",
        type=FILE,
        help="Configuration file (TOML) that the CA is served by, instead of --dir.",
    )
    return folder(file(command))


def ca_options(command: Command) -> Command:
    """The options by which a command finds a CA that is there; it gets the folder as its first argument.

    Every command uses these, so that none acts on another database than the server with the same option. Root acts as
    the owner of what it was given (`scep_kem.owner`), and in a configuration of its own, of the folder that this names.
    """

    @place_options
    @functools.wraps(command)
    def with_ca(*args: Any, directory: Path | None, config_file: Path | None, **more: Any) -> None:
        given = one_of_places(directory, config_file)
        if directory is not None and not CaDir(directory).has_folder():
            raise CaDir(directory).nothing()
        with as_owner(given) as place:
            found = located(place, None) if config_file is None else located(None, place)
            with as_owner(found.path) as folder:
                found = CaDir(folder, None if config_file is None else place)
                found.require()
                left = command(found, *args, **more)
        if left is not None:
            left()

    return with_ca


def certificate_option(_context: click.Context, _option: click.Parameter, file: Path | None) -> x509.Certificate | None:
    """Of a file of who runs the command, which is read before root acts as the CA's owner. Raises UsageError."""
    if file is None:
        return None
    try:
        return load_certificate(files.read_certificate(file).der)
    except PkixError as error:
        raise UsageError(f"{file}: {error.text}") from None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


EXIT_FAILURE = 1
EXIT_USAGE = 2


def exit_code(error: Exception) -> int:
    """Of an error that is told in one line."""
    wrong_input = isinstance(error, UsageError | click.ClickException) and not isinstance(error, MachineError)
    return EXIT_USAGE if wrong_input else EXIT_FAILURE


def told(error: Exception) -> str:
    """What its text says, and as far as it is known where a structure is broken or which option helps."""
    text = errors.located(error) if isinstance(error, PkixError | KemError) else str(error)
    if isinstance(error, LegacyRefused) or (isinstance(error, ReplyRefused) and error.legacy):
        text = f"{error}; --legacy accepts that"
    elif isinstance(error, AnswerRefused) and error.old_algorithms:
        text = f"{error}; no option accepts that" + ("" if error.diagnosis else ", but --diagnose shows what is in it")
    return "; ".join((text, *getattr(error, "__notes__", ())))


def report(error: Exception, advice: str = "", *, begin: str = "scep-kem: ") -> None:
    """One line on stderr, after those of a diagnosis."""
    for line in error.diagnosis if isinstance(error, AnswerRefused) else ():
        click.echo(printable(line), err=True)
    click.echo(f"{printable(begin + told(error))}{advice}", err=True)


def parse_name(text: str) -> x509.Name:
    """A subject as `pkix.names.parse_name` reads it, that a certificate may carry. Raises UsageError."""
    utf8(text, "the subject")
    if not text.strip():
        raise UsageError("the subject is empty")
    try:
        name = names.parse_name(text)
    except names.UnknownKeyword as error:
        raise UsageError(not_known(f"{cited(text)}: {error.text}", error.word, KEYWORDS.values())) from None
    except PkixError as error:
        hint = 'write it like "CN=device,O=Example"'
        raise UsageError(f"{cited(text)} is not a distinguished name: {error.text}; {hint}") from None
    try:
        for attribute in name:
            part = x509.Name([attribute])
            check_subject(part.public_bytes(), shortened(names.name_text(part)))
        check_subject(name.public_bytes(), cited(text))
    except PkixError as error:
        raise UsageError(error.text) from None
    return name


def parse_duration(text: str) -> timedelta:
    """`90s`, `10m`, `1h`, `7d`. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match or int(match[1]) == 0:
        raise UsageError(f"{cited(text)} is not a duration; write it like 30m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def parse_serial(text: str) -> int:
    """A serial number in hex, with or without colons and 0x. Raises UsageError, also for one with a sign."""
    digits = re.fullmatch(r"(?:0[xX])?([0-9A-Fa-f]+)", text.replace(":", ""))
    if not digits:
        raise UsageError(f"{cited(text)} is not a serial number in hex")
    return int(digits[1], 16)


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


def located(directory: Path | None, config_file: Path | None) -> CaDir:
    """The CA folder that one of the two options names, whether or not it holds a CA. Raises UsageError."""
    given = one_of_places(directory, config_file)
    return CaDir(given) if config_file is None else CaDir(load(given).ca_dir, given)


def one_of_places(directory: Path | None, config_file: Path | None) -> Path:
    """Exactly one of the two options. Raises UsageError."""
    given = [item for item in (directory, config_file) if item is not None]
    if len(given) != 1:
        raise UsageError("give either --dir or --config")
    return given[0]


def generation(generations: Authorities, identifier: str | None) -> Authority:
    """The CA with this ID of `ca show`, or whole fingerprint; the current one for None. Raises UsageError."""
    if identifier is None:
        return generations.current
    authority = generations.named(identifier.replace(":", ""))
    if authority is None:
        raise UsageError(f"no CA has the ID {identifier}; `ca show` shows them")
    return authority


def configured_profile(ca_dir: CaDir, profile: str) -> Profile:
    """Of the CA's configuration. Raises UsageError if that has no such profile."""
    known = ca_dir.configuration().profiles
    if profile not in known:
        meant = nearest(profile, known)
        raise UsageError(f"{ca_dir.config_path} has no profile {cited(profile)}{meant}; it has {', '.join(known)}")
    return known[profile].profile


def open_store(ca_dir: CaDir) -> SqlStore:
    """The Store of a CA folder, as its configuration names it. Raises UsageError."""
    return ca_dir.open_store(ca_dir.configuration().database)
