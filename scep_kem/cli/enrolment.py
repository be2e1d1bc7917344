"""What `enroll`, `renew` and `poll` share: the request that an earlier run left, and an exchange with its exit code."""

from __future__ import annotations

import os
import sys
from os import PathLike
from pathlib import Path
from typing import NoReturn

import click

from kem.errors import KemError
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.names import name_text, read_name, same_name
from pkix.times import THIS_DEVICE, clock, minute
from scep.ca_certificates import ReplyRefused
from scep.client import Issued, Refused, StillPending
from scep_kem import files
from scep_kem.cli.commands import given_options
from scep_kem.cli.common import EXIT_FAILURE, report, told
from scep_kem.cli.json_report import note
from scep_kem.cli.outputs import Outputs
from scep_kem.client.client import ScepClient
from scep_kem.client.exchange import MOST_KEPT, Exchange, is_busy
from scep_kem.client.options import Options
from scep_kem.client.pending import Pending
from scep_kem.client.transport import AnswerLost, InText, TransportError
from scep_kem.client.urls import shown
from scep_kem.client.wanted import AnyKey, Renewing, Wanted, fits, is_for
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError, cannot
from scep_kem.terminal import command, printable
from scep_kem.trace_contents import told_hash

EXIT_PENDING = 3
EXIT_REFUSED = 4


def begin_alone(out: Path) -> None:
    """Until the command ends, no other enrols into this --out: of two requests that are kept in one file, one would be
    lost. Raises UsageError if another one does.
    """
    if not click.get_current_context().with_resource(files.locked(lock_file(out))):
        raise UsageError(f"another command is enrolling into {out}; give this one again when it has ended")


def earlier_request(out: Path, key_file: Path) -> Pending | None:
    """The request that an earlier run left beside --out, unless it is of no more use. key_file: of the requested key.
    Raises UsageError.
    """
    file = pending_file(out)
    if not os.path.lexists(file):
        return None
    pending = Pending.load(file)
    if pending.is_stale(utc_now()) and not pending.answers:
        end, said = minute(pending.certificate.not_after), clock(utc_now(), THIS_DEVICE)
        click.echo(printable(f"the request in {file} has expired on {end}, and {said}; beginning anew"), err=True)
        return None
    if not os.path.lexists(key_file):  # a key made now is not its
        raise _another(pending, out)
    return pending


def check_same(earlier: Pending | None, url: str, wanted: Wanted, renewing: Renewing | None, out: Path) -> None:
    """Say that an earlier run left this request, if it did. Raises UsageError if it left another one."""
    if earlier is None:
        return
    if not is_for(earlier, url, wanted, renewing):
        raise _another(earlier, out)
    other = wanted.challenge_password not in (None, earlier.request.challenge_password)
    unsent = ""
    if other:
        unsent = f"; the challenge password given now is not sent, it has its own; {printable(_how_to_ask_anew(out))}"
    click.echo(f"an earlier run sent this request: going on with it{unsent}", err=True)


def _another(pending: Pending, out: Path) -> UsageError:
    whose = f"for {name_text(read_name(pending.request.subject_der, 'request'))} at {shown(pending.url)}"
    return UsageError(
        f"{pending_file(out)} holds another request that has no answer yet, {whose}: `scep-kem poll` goes on with it; "
        f"{_how_to_ask_anew(out)}"
    )


def _how_to_ask_anew(out: Path) -> str:
    return f"to ask anew, remove {pending_file(out)}, which gives up what the CA may have issued for it"


def tell_of_certificate(out: Path, wanted: Wanted) -> None:
    """Say so if there is such a certificate already: the run that got it may not have been heard to the end."""
    try:
        found = files.read_certificate(out) if os.path.lexists(out) else None
    except UsageError:
        return
    if found is None or not fits(wanted.key, found.spki) or not same_name(found.subject, wanted.subject.public_bytes()):
        return
    if found.not_after >= utc_now():
        what = f"{out} holds a certificate for this key and subject, until {minute(found.not_after)}"
        text = f"{what}, which `scep-kem renew` renews; asking for another"
        click.echo(printable(text), err=True)


def exchange_of(
    client: ScepClient, earlier: Pending | None, wanted: Wanted, renewing: Renewing | None = None
) -> Exchange:
    """The enrolment that an earlier run left, or a new one."""
    return client.enrol(wanted, renewing) if earlier is None else client.resume(earlier, wanted.key)


def end_with_kept(options: Options, earlier: Pending | None, key: AnyKey, outputs: Outputs) -> None:
    """If an answer that an earlier run refused is accepted now and brings the certificate, write it and exit, without
    asking anybody. Otherwise say what it says, or why it is not accepted.
    """
    not_accepted: list[str] = []
    for number, answer in enumerate(earlier.answers if earlier is not None else ()):
        assert earlier is not None
        file = answer_file(outputs.certificate, number)
        try:
            client = ScepClient(options, (earlier.capabilities, answer.ca_certificates))
            outcome = client.resume(earlier, key).reread(number, files.read(file, secret=True))
        except (PkixError, KemError, UsageError) as error:
            report(error, begin=f"the answer kept in {file} is not accepted: ")
            not_accepted.append(told(error))
            note(keptAnswers=not_accepted)
            continue
        if isinstance(outcome, Refused):
            said = _words(outcome)
            click.echo(f"{printable(f'the answer kept in {file}')}: {said}; asking the CA what holds now", err=True)
        if not isinstance(outcome, Issued):
            continue
        click.echo(printable(f"the answer kept in {file} is accepted now"), err=True)
        _end(outcome, outputs, client, key)
        sys.exit(0)


def carry_out(exchange: Exchange, outputs: Outputs, key: AnyKey, key_file: Path, interval: float, most: int) -> None:
    """Begin or go on, wait if asked to, then write the certificate or say why there is none, and exit.

    What is needed to go on stays beside --out until the CA has issued or refused, and so does what it answered, if that
    was refused. key: the requested one, which is in key_file.
    """
    out = outputs.certificate
    file, later = pending_file(out), poll_command(key_file)
    exchange.keep = lambda pending: files.write(file, pending.dump(), secret=True)
    exchange.keep_answer = lambda number, octets: files.write(answer_file(out, number), octets, secret=True)
    exchange.tell = lambda line: click.echo(printable(line), err=True)
    try:
        outcome = _converse(exchange, interval, most)
    except (TransportError, PkixError, KemError) as error:
        if not exchange.begun:
            _remove(file)
            raise
        kept, how = "", "to go on"
        if exchange.refused is not None:
            kept = f"; this answer is kept in {answer_file(out, exchange.refused)}"
            how = "to go on, which asks the server again"
            if isinstance(error, InText):
                kept, how = f"{kept} as DER", "to read it there"
            elif isinstance(error, ReplyRefused) and error.legacy:
                how, later = "to read it again", f"{later} --legacy"
        elif exchange.unkept:
            kept = f"; this answer is not kept: {exchange.unkept}"
        # A server that has answered so may answer so for ever.
        last_word = not isinstance(error, AnswerLost) and (exchange.resumed or exchange.refused is None)
        anew = f"; {_how_to_ask_anew(out)}" if last_word else ""
        note(status="error", error=told(error), goOn=later)
        report(error, printable(f"{kept}; {how}: {later}{anew}"))
        sys.exit(EXIT_FAILURE)
    if isinstance(outcome, StillPending):
        note(status="pending", goOn=later)
        click.echo(f"still pending; later: {later}", err=True)
        sys.exit(EXIT_PENDING)
    if isinstance(outcome, Refused) and is_busy(outcome):
        refused(outcome, f"come back later: {later}")
    _end(outcome, outputs, exchange.client, key)


def _end(outcome: Issued | Refused, outputs: Outputs, client: ScepClient, key: AnyKey) -> None:
    """Write the certificate or say why there is none, and remove what was kept beside it."""
    out = outputs.certificate
    if isinstance(outcome, Issued):
        outputs.write(Certificate.load(outcome.certificate), client.ca, key)
    for file in (pending_file(out), *(answer_file(out, number) for number in range(MOST_KEPT))):
        _remove(file)
    if isinstance(outcome, Refused):
        refused(outcome, client.note)


def _remove(file: Path) -> None:
    """Or say that it stays there, which changes nothing about how the enrolment has ended."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        click.echo(printable(str(cannot(f"remove {file}", error))), err=True)


def _converse(exchange: Exchange, interval: float, most: int) -> Issued | StillPending | Refused:
    note(transactionID=exchange.enrolment.transaction_id, requestSha256=exchange.request.hash.hex())
    try:
        outcome = exchange.poll() if exchange.resumed else exchange.start()
    except AnswerLost as error:
        if not most:
            raise
        exchange.tell(f"{error}; going on with polling")
        outcome = StillPending()
    if isinstance(outcome, StillPending):
        click.echo("pending; for the CA's operator (of scep-kem, `requests show` tells the same):")
        click.echo(f"    transactionID   {exchange.enrolment.transaction_id}")
        click.echo(f"    request SHA-256 {told_hash(exchange.request)}")
    if isinstance(outcome, StillPending) and most:
        click.echo(f"pending; polling every {interval:g} s, at most {most} times", err=True)
        for count, outcome in exchange.polls(interval, most):
            if isinstance(outcome, StillPending):
                click.echo(f"poll {count} of {most}: still pending", err=True)
    return outcome


def refused(outcome: Refused, advice: str = "") -> NoReturn:
    note(status="refused", refused={"failInfo": outcome.fail_info.name, "text": outcome.text})
    click.echo(_words(outcome) + (printable(f"; {advice}") if advice else ""), err=True)
    sys.exit(EXIT_REFUSED)


def _words(outcome: Refused) -> str:
    return f"refused: {outcome.fail_info.name}" + (f": {printable(outcome.text)}" if outcome.text else "")


_NOT_AGAIN = ("key_file", "ca_fingerprint")  # the file of the key is said anyway, the fingerprint is kept


def poll_command(key_file: Path) -> str:
    """The command that goes on later, with every option that was given to this one and that `poll` has."""
    context = click.get_current_context()
    poll = context.find_root().command
    assert isinstance(poll, click.Group)
    words: list[str | PathLike[str]] = ["scep-kem", "poll", "--key", key_file]
    given = given_options()
    for option in poll.commands["poll"].params:
        if option.name in given and option.name not in _NOT_AGAIN:
            value = given[option.name]
            words += [option.opts[0]] if value is True else [option.opts[0], str(value)]
    return command(*words)


def pending_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.pending")


def lock_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.lock")


def answer_file(out: Path, number: int) -> Path:
    """For the answer of this number that was refused."""
    return out.with_name(f"{out.name}.answer{number + 1 if number else ''}")
