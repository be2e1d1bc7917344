"""The options of the client's commands, and what they come to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from kem.backends import AUTOMATIC, BACKEND_NAMES
from scep_kem import files
from scep_kem.cli.common import FILE, Word, utf8
from scep_kem.cli.password_files import PASSWORD_FILE, STDIN, claim_stdin, first_line_of_stdin, password_in
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.key_files import KeyFiles
from scep_kem.client.options import CIPHERS, DIGESTS, Options, read_fingerprint
from scep_kem.client.pending import Pending
from scep_kem.errors import UsageError, cannot

F = TypeVar("F", bound=Callable[..., Any])

url_option = click.option("--url", required=True, help="SCEP URL of the server, without operation=.")


def read_fingerprint_option(_context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Raises UsageError."""
    return None if text is None else read_fingerprint(text, option.opts[0])


NOT_PINNED = "no --ca-fingerprint: the CA certificate is not authenticated"
_FINGERPRINT = "SHA-256 (or SHA-1) of the CA certificate, hex. "
fingerprint_option = click.option(
    "--ca-fingerprint",
    callback=read_fingerprint_option,
    help=f"{_FINGERPRINT}Without it, whatever comes is trusted.",
)
kept_fingerprint_option = click.option(
    "--ca-fingerprint",
    callback=read_fingerprint_option,
    help=f"{_FINGERPRINT}The default is what was given before.",
)
challenge_options = (
    click.option("--challenge", help="Challenge password (it shows in the process list; see --challenge-file)."),
    click.option(
        "--challenge-file",
        type=PASSWORD_FILE,
        callback=claim_stdin,
        help="File with the challenge password; - is stdin.",
    ),
)
out_option = click.option("--out", type=FILE, required=True, help="File for the certificate (PEM).")


def _keys(context: click.Context, option: click.Parameter, file: Path | None) -> KeyFiles:
    return KeyFiles(password_in(context, option, file))


def http_options(command: F) -> F:
    """Options of every command that asks a server."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 3600),
            help="Seconds to connect, and without an octet; an answer may take ten times as long.",
        ),
        click.option("--tls-ca", type=FILE, help="Certificates (PEM, DER) to trust an https server by."),
        click.option("--proxy", help="URL of an HTTP proxy; the default is http_proxy, https_proxy and no_proxy."),
        click.option("--ca-identifier", help="Which CA of the server is meant (message= of GetCACert)."),
    ):
        command = option(command)
    return command


def http_of(given: dict[str, Any]) -> HttpOptions:
    """Raises UsageError."""
    identifier: str | None = given["ca_identifier"]
    return HttpOptions(
        ca_identifier=None if identifier is None else utf8(identifier, "--ca-identifier"),
        proxy=given["proxy"],
        tls_ca=given["tls_ca"],
        timeout=given["timeout"],
        prefer_get=given.get("prefer_get", False),
    )


def message_options(command: F) -> F:
    """Options of every command that sends a pkiMessage, but for the CA that it believes."""
    command = http_options(command)
    for option in (
        click.option(
            "--key-password-file",
            "keys",
            type=PASSWORD_FILE,
            callback=_keys,
            help="File whose first line is the password of encrypted keys, and of a new one; - is stdin.",
        ),
        click.option("--save-messages", type=click.Path(path_type=Path, file_okay=False), help="Keep messages here."),
        click.option("--trace", is_flag=True, help="Print every message in words."),
        legacy_option,
        click.option(
            "--diagnose",
            is_flag=True,
            help="Show what is in an answer that is not accepted, single DES and MD5 too. It stays refused.",
        ),
        click.option("--pss", is_flag=True, help="Sign with RSASSA-PSS."),
        click.option("--get", "prefer_get", is_flag=True, help="Send by HTTP GET even if the server can POST."),
        click.option("--digest", type=Word(DIGESTS), help="Digest; SHA-256 or the key's match by default."),
        click.option("--cipher", type=Word(CIPHERS), help="Content cipher; by default the best known."),
        click.option("--require-kem", is_flag=True, help="Go on only if messages can be encrypted to an ML-KEM key."),
        click.option(
            "--kem-backend", type=Word((AUTOMATIC, *BACKEND_NAMES)), default=AUTOMATIC, help="Implementation of ML-KEM."
        ),
    ):
        command = option(command)
    return command


legacy_option = click.option(
    "--legacy", is_flag=True, help="Accept SHA-1 and 3DES, and use them if the server knows no better."
)


def protocol_options(command: F) -> F:
    """The same, and --ca-fingerprint."""
    return fingerprint_option(message_options(command))


def waiting_options(command: F) -> F:
    """Options of commands that may have to poll."""
    for option in (
        click.option(
            "--max-polls",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="How often to ask.",
        ),
        click.option(
            "--poll-interval", type=click.FloatRange(0.05), default=5.0, show_default=True, help="In seconds."
        ),
    ):
        command = option(command)

    @functools.wraps(command)
    def waiting(*args: Any, **more: Any) -> Any:
        given = click.get_current_context().get_parameter_source("poll_interval")
        if given is ParameterSource.COMMANDLINE and not more["max_polls"]:
            raise UsageError("--poll-interval is between polls, and without --max-polls there are none")
        return command(*args, **more)

    return waiting  # type: ignore[return-value]


def options_of(url: str, protocol: dict[str, Any], earlier: Pending | None = None) -> Options:
    """earlier: a request to go on with, whose pinned CA stays pinned, and whose options hold unless others are given.
    Raises UsageError.
    """
    given = _given(protocol, earlier)
    protocol = protocol | given
    fingerprint: str | None = protocol["ca_fingerprint"]
    if fingerprint is None and earlier is not None:
        fingerprint = earlier.fingerprint
    save: Path | None = protocol["save_messages"]
    options = Options(
        url=url,
        fingerprint=fingerprint,
        cipher=protocol["cipher"],
        digest=protocol["digest"],
        legacy=protocol["legacy"],
        http=http_of(protocol),
        pss=protocol["pss"],
        require_kem=protocol["require_kem"],
        diagnose=protocol["diagnose"],
        kem_backend=protocol["kem_backend"],
        keys=protocol["keys"],
        trace=click.echo if protocol["trace"] else None,
        save=save,
        # A later run may be started in another folder.
        given={name: str(value.absolute()) if isinstance(value, Path) else value for name, value in given.items()},
    )
    if save is not None:
        try:
            save.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise cannot(f"make {save}", error) from None
    if options.fingerprint is None:
        click.echo(NOT_PINNED, err=True)
    return options


_KEPT = (
    *("cipher", "digest", "legacy", "pss", "require_kem", "kem_backend"),
    *("prefer_get", "ca_identifier", "proxy", "tls_ca", "timeout"),
)


def _given(protocol: dict[str, Any], earlier: Pending | None) -> dict[str, Any]:
    """The options of this command, and where it has none, those of an earlier one."""
    context = click.get_current_context()
    kept = earlier.options if earlier is not None else {}
    found = {}
    for param in context.command.params:
        name = param.name or ""
        if name not in _KEPT:
            continue
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            found[name] = protocol[name]
        elif name in kept:
            try:
                found[name] = param.type_cast_value(context, kept[name])
            except (click.ClickException, TypeError, ValueError, AttributeError) as error:
                why = error.format_message() if isinstance(error, click.ClickException) else f"not {kept[name]!r}"
                raise UsageError(f"{param.opts[0]}, as it was kept with the request: {why}") from None
    return found


def password_of(given: str | None, file: Path | None) -> str | None:
    if given is not None and file is not None:
        raise UsageError("give either --challenge or --challenge-file")
    if given is not None:
        return utf8(given, "the challenge password")
    if file is None:
        return None
    if file == STDIN:
        return first_line_of_stdin("--challenge-file")
    try:
        return files.read_first_line(file).decode()
    except UnicodeDecodeError:
        raise UsageError(f"the challenge password in {file} is not UTF-8") from None
