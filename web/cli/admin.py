"""scep-kem challenge and scep-kem requests: who may have a certificate."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from ca.challenges import add_password, new_password
from ca.store import Decision, State, Store, StoreConflict, Transaction
from web.cli.common import (
    check_profile,
    dir_option,
    existing,
    open_store,
    parse_duration,
    parse_name,
    stdin_password,
)
from web.errors import UsageError
from web.service import utc_now
from web.terminal import printable

MOST_WAITING = 1_000_000


@click.group()
def challenge() -> None:
    """Challenge passwords."""


@challenge.command("new")
@dir_option
@click.option("--ttl", default="1h", show_default=True, help="How long it is good: 30m, 1h, 7d, or never.")
@click.option("--reusable", is_flag=True, help="Good for any number of requests instead of one.")
@click.option("--subject", help='The only subject it is good for, like "CN=device,O=Example".')
@click.option("--profile", help="The only profile it is good for.")
@click.option("--password-stdin", is_flag=True, help="Take the password from stdin instead of making one.")
def new_challenge(
    directory: Path, ttl: str, reusable: bool, subject: str | None, profile: str | None, password_stdin: bool
) -> None:
    """Make a challenge password and print it, alone, on stdout. Only a keyed hash of it is stored."""
    found = existing(directory)
    password = stdin_password() if password_stdin else new_password(os.urandom)
    if not password:
        raise UsageError("the password is empty")
    if profile is not None:
        check_profile(found, profile)
    with open_store(found) as store:
        try:
            add_password(
                store,
                found.server_key(),
                password,
                now=utc_now(),
                ttl=None if ttl == "never" else parse_duration(ttl),
                one_time=not reusable,
                subject=None if subject is None else parse_name(subject),
                profile=profile,
            )
        except StoreConflict:
            raise UsageError("this password is known already") from None
    click.echo(password)


@click.group()
def requests() -> None:
    """Requests that wait for manual approval."""


@requests.command("list")
@dir_option
@click.option("--all", "everything", is_flag=True, help="Also requests that have ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_requests(directory: Path, everything: bool, as_json: bool) -> None:
    """List waiting requests.

    The newest first, each with ID, state, age, profile and subject.
    """
    now = utc_now()
    with open_store(existing(directory)) as store:
        for item in _all(store) if everything else _waiting(store):
            if item.expires < now:
                continue
            if as_json:
                click.echo(json.dumps(_summary(item)))
            else:
                minutes = int((now - item.created).total_seconds() // 60)
                click.echo(
                    f"{_id(item)}  {_state(item):<17}  {minutes:>5} min  {item.profile}  {printable(item.subject)}"
                )


@requests.command("show")
@dir_option
@click.argument("request_id", metavar="ID")
def show_request(directory: Path, request_id: str) -> None:
    """Show one request."""
    with open_store(existing(directory)) as store:
        for name, value in _summary(_find(store, request_id)).items():
            click.echo(f"{name:<14} {printable(value)}")


@requests.command()
@dir_option
@click.argument("request_id", metavar="ID")
def approve(directory: Path, request_id: str) -> None:
    """Let the client have its certificate.

    It is issued when the client polls.
    """
    _decide(directory, request_id, Decision.APPROVED, "")


@requests.command()
@dir_option
@click.argument("request_id", metavar="ID")
@click.option("--reason", default="", help="Shown to the client as failInfoText.")
def reject(directory: Path, request_id: str, reason: str) -> None:
    """Refuse the request.

    The client learns it when it polls.
    """
    _decide(directory, request_id, Decision.REJECTED, reason)


def _decide(directory: Path, request_id: str, decision: Decision, reason: str) -> None:
    with open_store(existing(directory)) as store:
        item = _find(store, request_id)
        if item.state is not State.AWAITING_APPROVAL:
            raise UsageError(f"request {request_id} does not wait: it is {item.state.value}")
        try:
            store.replace(item, replace(item, decision=decision, reason=reason, updated=utc_now()))
        except StoreConflict:
            raise UsageError(f"request {request_id} has just changed; look again") from None
        click.echo(f"{decision.value}: {printable(item.subject)}")


def _find(store: Store, request_id: str) -> Transaction:
    """The one request whose ID begins so; one that has expired counts as none, as it does for the client."""
    now = utc_now()
    found = [item for item in _all(store) if item.expires >= now and _id(item).startswith(request_id.lower())]
    if len(found) != 1:
        raise UsageError(f"{'no' if not found else 'more than one'} request has the ID {request_id}")
    return found[0]


def _id(item: Transaction) -> str:
    """Twelve hex digits of a hash of transaction and request: unlike transactionID, unique and typable.

    A client may ask for something else under a transactionID that has ended; an old ID must not mean that.
    """
    return hashlib.sha256(item.key.signer + item.request_hash + item.key.transaction_id.encode()).hexdigest()[:12]


def _waiting(store: Store) -> Sequence[Transaction]:
    """Newest first. The server lets far fewer wait (max_pending), so that none is left out."""
    return store.transactions(State.AWAITING_APPROVAL, limit=MOST_WAITING)


def _all(store: Store) -> list[Transaction]:
    """The newest of every state, and all that wait: ended ones must not hide a request that an operator looks for."""
    newest = store.transactions()
    known = {item.key for item in newest}
    return [*newest, *(item for item in _waiting(store) if item.key not in known)]


def _state(item: Transaction) -> str:
    if item.state is State.AWAITING_APPROVAL and item.decision is not Decision.UNDECIDED:
        return str(item.decision.value)
    return str(item.state.value)


def _summary(item: Transaction) -> dict[str, str]:
    return {
        "id": _id(item),
        "state": _state(item),
        "subject": item.subject,
        "profile": item.profile,
        "transactionID": item.key.transaction_id,
        "signer key": item.key.signer.hex(),
        "request": item.request_hash.hex(),
        "created": item.created.isoformat(),
        "expires": item.expires.isoformat(),
        "serial": "" if item.serial is None else f"{item.serial:x}",
        "reason": item.reason,
    }
