"""scep-kem enroll, renew, poll: the client, against anybody's server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pkix.certificate_builder import Extensions
from pkix.certificates import Certificate
from pkix.errors import PkixError
from scep_kem import files
from scep_kem.cli.client_files import (
    DEFAULT_KEY_TYPE,
    NEW_KEYS,
    can_be_made,
    check_fit,
    check_outputs,
    check_stated,
    key_of,
    statement_of,
    type_of_key,
)
from scep_kem.cli.client_options import (
    challenge_options,
    kept_fingerprint_option,
    message_options,
    options_of,
    password_of,
    protocol_options,
    url_option,
    waiting_options,
)
from scep_kem.cli.common import FILE, Word
from scep_kem.cli.enrolment import (
    begin_alone,
    carry_out,
    check_same,
    earlier_request,
    end_with_kept,
    exchange_of,
    pending_file,
    tell_of_certificate,
)
from scep_kem.cli.json_report import Reporting, json_option
from scep_kem.cli.outputs import Outputs, output_options
from scep_kem.cli.request_file import check_alone, csr_option, wanted_of
from scep_kem.cli.requested import Asked, requested_options
from scep_kem.client.client import ScepClient
from scep_kem.client.key_files import KeyFiles
from scep_kem.client.pending import Pending
from scep_kem.client.wanted import Renewing, Wanted, as_before, names_alone
from scep_kem.errors import UsageError


@click.command(cls=Reporting)
@json_option
@url_option
@click.option(
    "--key", "key_file", type=FILE, required=True, help="Private key (PEM or DER); made if the file is missing."
)
@click.option(
    "--key-type",
    type=Word(NEW_KEYS),
    show_default=DEFAULT_KEY_TYPE,
    help="Of a new key.",
)
@requested_options
@click.option("--signing-cert", type=FILE, help="For an ML-KEM key: a signing certificate of ours (PEM), to state ...")
@click.option("--signing-key", type=FILE, help="... possession with (RFC 9883), and its private key.")
@challenge_options[0]
@challenge_options[1]
@output_options
@protocol_options
@waiting_options
def enroll(
    url: str,
    key_file: Path,
    key_type: str | None,
    asked: Asked,
    signing_cert: Path | None,
    signing_key: Path | None,
    challenge: str | None,
    challenge_file: Path | None,
    outputs: Outputs,
    poll_interval: float,
    max_polls: int,
    **protocol: Any,
) -> None:
    """Get a certificate with PKCSReq.

    An ML-KEM key cannot sign its request: an ephemeral key signs the message, and possession is proven by answering
    the CA's challenge.

    If the CA says PENDING and --max-polls is used up, exit code 3; `scep-kem poll` goes on later. So does the same
    command, also after an interruption.
    """
    alone = {"--challenge": challenge, "--challenge-file": challenge_file, "--key-type": key_type}
    asked.check(key_file, key_type or DEFAULT_KEY_TYPE, alone)
    password = password_of(challenge, challenge_file)
    keys: KeyFiles = protocol["keys"]
    statement = statement_of(signing_cert, signing_key, keys)
    check_stated(statement, key_file, key_type, keys)
    inputs = {"--key": key_file, "--signing-key": signing_key, "--csr": asked.csr}
    check_outputs(outputs.by_option, inputs, waits=outputs.certificate)
    begin_alone(outputs.certificate)
    earlier = earlier_request(outputs.certificate, key_file)
    options = options_of(url, protocol, earlier)
    key = keys.read(key_file) if asked.csr else key_of(key_file, key_type, DEFAULT_KEY_TYPE, keys)
    wanted = replace(asked.wanted(key, key_file, password, statement), statement_key_file=signing_key)
    check_same(earlier, url, wanted, None, outputs.certificate)
    if earlier is None:
        tell_of_certificate(outputs.certificate, wanted)
    end_with_kept(options, earlier, key, outputs)
    exchange = exchange_of(ScepClient(options), earlier, wanted)
    carry_out(exchange, outputs, key, key_file, poll_interval, max_polls)


@click.command(cls=Reporting)
@json_option
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="Certificate to renew (PEM or DER).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM or DER).")
@click.option("--new-key", "new_key_file", type=FILE, help="New private key; made if missing. Default: keep --key.")
@click.option(
    "--key-type",
    type=Word(NEW_KEYS),
    help="Of a new key; by default as before, or rsa:2048 for RSA of a size that is not made here.",
)
@click.option(
    "--names-only", is_flag=True, help="Ask for no usages and no Microsoft SID, for a server that refuses to be asked."
)
@csr_option
@challenge_options[0]
@challenge_options[1]
@output_options
@protocol_options
@waiting_options
def renew(
    url: str,
    cert_file: Path,
    key_file: Path,
    new_key_file: Path | None,
    key_type: str | None,
    names_only: bool,
    csr_file: Path | None,
    challenge: str | None,
    challenge_file: Path | None,
    outputs: Outputs,
    poll_interval: float,
    max_polls: int,
    **protocol: Any,
) -> None:
    """Renew a certificate with RenewalReq.

    The old certificate signs, and no challenge password is needed. The request asks for what it has: subject, names,
    usages and Microsoft SID. If the old key cannot decrypt, a response key or a fresh challenge password is sent along,
    because the answer has to be encrypted under something. An ML-KEM certificate is renewed by proving possession of
    the old and of the new key.
    """
    if csr_file is not None:
        check_alone(
            {
                "--challenge": challenge,
                "--challenge-file": challenge_file,
                "--key-type": key_type,
                "--names-only": names_only or None,
            }
        )
    if key_type is not None and new_key_file is None:
        raise UsageError("--key-type is for a new key, so it needs --new-key")
    keys: KeyFiles = protocol["keys"]
    old, old_key = files.read_certificate(cert_file), keys.read(key_file)
    check_fit(old_key, key_file, old, cert_file)
    if new_key_file is not None and os.path.realpath(new_key_file) == os.path.realpath(key_file) and not key_type:
        raise UsageError(f"--new-key and --key are the same file, {key_file}; without --new-key, the key is kept")
    inputs = {"--key": key_file, "--new-key": new_key_file, "--csr": csr_file}
    check_outputs(outputs.by_option, inputs, waits=outputs.certificate)
    password = password_of(challenge, challenge_file)
    begin_alone(outputs.certificate)
    earlier = earlier_request(outputs.certificate, new_key_file or key_file)
    options = options_of(url, protocol, earlier)
    renewing = Renewing(old_key, old, key_file, cert_file)
    new_key = old_key
    if csr_file is not None:
        requested_file = new_key_file or key_file
        new_key = keys.read(requested_file)
        wanted = wanted_of(csr_file, new_key, requested_file, None, old_key=old_key)
    else:
        if new_key_file is not None:
            new_key = key_of(new_key_file, key_type, can_be_made(type_of_key(old_key)), keys)
        extensions = _to_keep(old, type_of_key(new_key), cert_file, names_only=names_only)
        wanted = Wanted(new_key, old.subject_name, extensions, password)
    check_same(earlier, url, wanted, renewing, outputs.certificate)
    end_with_kept(options, earlier, new_key, outputs)
    exchange = exchange_of(ScepClient(options), earlier, wanted, renewing)
    carry_out(exchange, outputs, new_key, new_key_file or key_file, poll_interval, max_polls)


def _to_keep(old: Certificate, key_type: str, cert_file: Path, *, names_only: bool) -> Extensions:
    """What a request for the successor of a certificate asks for. Raises UsageError."""
    try:
        found = as_before(old, key_type)
    except PkixError as error:
        raise UsageError(f"{cert_file}: {error.text}") from None
    return names_alone(found) if names_only else found


@click.command(cls=Reporting)
@json_option
@click.option("--key", "key_file", type=FILE, required=True, help="Private key of the pending request (PEM or DER).")
@output_options
@kept_fingerprint_option
@message_options
@waiting_options
def poll(key_file: Path, outputs: Outputs, poll_interval: float, max_polls: int, **protocol: Any) -> None:
    """Go on with an enrolment that is pending or was interrupted.

    With the --out of the `enroll` or `renew` before, and the key that the certificate is for. Everything else is in the
    file that they left beside --out, also the options below that they were given, but for those that name files.

    An answer that was refused is kept beside --out, too, and read again before anybody is asked: so --legacy, say, gets
    a certificate that the CA has issued already.
    """
    file = pending_file(outputs.certificate)
    if not os.path.lexists(file):
        raise UsageError(f"nothing is pending: `enroll` and `renew` leave {file} when they have to wait")
    check_outputs(outputs.by_option, {"--key": key_file}, waits=outputs.certificate)
    begin_alone(outputs.certificate)
    pending = Pending.load(file)
    options = options_of(pending.url, protocol, pending)
    key = options.keys.read(key_file)
    end_with_kept(options, pending, key, outputs)
    exchange = ScepClient(options).resume(pending, key)
    carry_out(exchange, outputs, key, key_file, poll_interval, max_polls)
