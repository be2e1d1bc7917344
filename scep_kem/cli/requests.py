"""scep-kem requests: what waits for an operator, and the operator's word."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import click

from ca.store import Decision, State, Store, StoreConflict, Transaction
from scep_kem.approval import ID_LENGTH, Certified, Desk, Notice, request_id, request_state
from scep_kem.ca_dir import CaDir
from scep_kem.cli.common import MOST, ca_options, open_store
from scep_kem.clock import utc_now
from scep_kem.contents import Facts
from scep_kem.errors import UsageError
from scep_kem.terminal import printable, revealed

_FINGERPRINT = re.compile("[0-9a-f]{64}")


@click.group()
def requests() -> None:
    """Requests that wait for manual approval."""


@requests.command("list")
@ca_options
@click.option("--all", "everything", is_flag=True, help="Also requests that have ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_requests(found: CaDir, everything: bool, as_json: bool) -> None:
    """List waiting requests.

    The newest first, each with ID, state, age, profile and subject, and behind "!" what to look at before approving.
    """
    now = utc_now()
    with open_store(found) as store:
        chosen = [item for item in (_all(store) if everything else _waiting(store)) if item.expires >= now]
        desk = _desk(found, store) if chosen else None
        for item in chosen:
            notices = desk.view(item).notices if desk is not None and item.state is State.AWAITING_APPROVAL else []
            click.echo(json.dumps(_summary(item, notices)) if as_json else _line(item, notices, now))


@requests.command("show")
@ca_options
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show_request(found: CaDir, request_id: str, as_json: bool) -> None:
    """Show one request and everything that would be issued.

    Also what it asked for and does not get, what to look at before approving, and the fingerprint of what is shown.
    """
    with open_store(found) as store:
        view = _desk(found, store).view(_find(store, request_id))
    if as_json:
        click.echo(json.dumps(view.facts))
        return
    _show({name: value for name, value in view.facts.items() if name not in ("warnings", "fingerprint")})
    for notice in view.notices:
        click.echo(f"WARNING: {revealed(notice.text)}")
    click.echo(f"fingerprint: {view.fingerprint}")


@requests.command()
@ca_options
@click.argument("request_id", metavar="ID")
@click.option("--fingerprint", help="Approve only what `requests show` showed under this fingerprint.")
def approve(found: CaDir, request_id: str, fingerprint: str | None) -> None:
    """Let the client have its certificate.

    It is issued when the client polls. Takes the whole ID. With --fingerprint, a request whose certificate would be
    another by now is not approved.
    """
    if fingerprint is not None:
        fingerprint = fingerprint.lower().replace(":", "")
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise UsageError("the fingerprint has 64 hex digits; `requests show` prints it")
    with open_store(found) as store:
        item = _waiting_one(store, request_id)
        view = _desk(found, store).view(item)
        if view.refusal:
            raise UsageError(f"request {request_id} would be refused when issued: {view.refusal}")
        if fingerprint is not None and not hmac.compare_digest(fingerprint, view.fingerprint):
            raise UsageError(f"request {request_id} is not what was shown under this fingerprint; look again")
        _decide(store, item, Decision.APPROVED, "")


@requests.command()
@ca_options
@click.argument("request_id", metavar="ID")
@click.option("--reason", default="", help="Shown to the client as failInfoText.")
def reject(found: CaDir, request_id: str, reason: str) -> None:
    """Refuse the request.

    The client learns it when it polls.
    """
    with open_store(found) as store:
        _decide(store, _waiting_one(store, request_id), Decision.REJECTED, reason)


def _decide(store: Store, item: Transaction, decision: Decision, reason: str) -> None:
    """Unless somebody changed the transaction since it was read."""
    try:
        store.replace(item, replace(item, decision=decision, reason=reason, updated=utc_now()))
    except StoreConflict:
        raise UsageError(f"request {request_id(item)} has just changed; look again") from None
    click.echo(f"{decision.value}: {revealed(item.subject)}")


def _desk(found: CaDir, store: Store) -> Desk:
    now = utc_now()
    return Desk(
        profiles=found.configuration().profiles,
        generations=found.load(),
        server_key=found.server_key(),
        certified=Certified(store, now),
        now=now,
    )


def _waiting_one(store: Store, given: str) -> Transaction:
    """The request to decide about: by its whole ID, because what else begins so may come and go."""
    if len(given) != ID_LENGTH:
        raise UsageError(f"{given} is not the whole ID of a request, which has {ID_LENGTH} digits")
    item = _find(store, given)
    if item.state is not State.AWAITING_APPROVAL:
        raise UsageError(f"request {given} does not wait: it is {item.state.value}")
    return item


def _find(store: Store, given: str) -> Transaction:
    """The one request whose ID begins so; one that has expired counts as none, as it does for the client."""
    now = utc_now()
    found = [item for item in _all(store) if item.expires >= now and request_id(item).startswith(given.lower())]
    if len(found) != 1:
        raise UsageError(f"{'no' if not found else 'more than one'} request has the ID {given}")
    return found[0]


def _waiting(store: Store) -> Sequence[Transaction]:
    """Newest first. The server lets far fewer wait (max_pending), so that none is left out."""
    return store.transactions(State.AWAITING_APPROVAL, limit=MOST)


def _all(store: Store) -> list[Transaction]:
    """The newest of every state, and all that wait: ended ones must not hide a request that an operator looks for."""
    newest = store.transactions()
    known = {item.key for item in newest}
    return [*newest, *(item for item in _waiting(store) if item.key not in known)]


def _line(item: Transaction, notices: list[Notice], now: datetime) -> str:
    minutes = int((now - item.created).total_seconds() // 60)
    words = [request_id(item), f"{request_state(item):<17}", f"{minutes:>5} min", printable(item.profile)]
    line = "  ".join([*words, revealed(item.subject)])
    return f"{line}  ! {', '.join(dict.fromkeys(notice.word for notice in notices))}" if notices else line


def _summary(item: Transaction, notices: list[Notice]) -> dict[str, str | list[str]]:
    return {
        "id": request_id(item),
        "state": request_state(item),
        "subject": item.subject,
        "profile": item.profile,
        "transactionID": item.key.transaction_id,
        "signer key": item.key.requester.hex(),
        "request": item.request_hash.hex(),
        "created": item.created.isoformat(),
        "expires": item.expires.isoformat(),
        "serial": "" if item.serial is None else f"{item.serial:x}",
        "reason": item.reason,
        "warnings": [notice.text for notice in notices],
    }


def _show(facts: Facts, indent: str = "") -> None:
    """Facts as lines; what is empty is left out, for it would hide what is not."""
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{name}:")
            _show(value, indent + "  ")
        elif isinstance(value, list):
            for item in value:
                click.echo(f"{indent}{name:<{20 - len(indent)}} {revealed(item)}")
        elif value:
            click.echo(f"{indent}{name:<{20 - len(indent)}} {revealed(value)}")
