"""scep-kem requests: what waits for an operator, and the operator's word."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import click

from ca.remembered import open_remembered
from ca.requests import CertificateRequest
from ca.store import Decision, State, Store, StoreConflict, Transaction
from pkix.pem import encode_pem
from pkix.times import THIS_MACHINE, clock, minute
from scep_kem.approval import ID_LENGTH, Certified, Desk, View, holds_secrets, request_id, request_state
from scep_kem.ca_dir import CaDir
from scep_kem.cli.commands import Group
from scep_kem.cli.common import MOST, ca_options, open_store
from scep_kem.clock import utc_now
from scep_kem.contents import Facts
from scep_kem.errors import UsageError
from scep_kem.terminal import printable, revealed

_OPEN = (State.AWAITING_APPROVAL, State.CHALLENGED)  # whose request is kept and may still be issued
_FINGERPRINT = re.compile("[0-9a-f]{64}")


@click.group(cls=Group)
def requests() -> None:
    """Requests that wait for manual approval."""


@requests.command("list")
@ca_options
@click.option("--all", "everything", is_flag=True, help="Also requests that have ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_requests(found: CaDir, everything: bool, as_json: bool) -> None:
    """List waiting requests.

    The newest first, each with ID, state, age, profile; of one that waits key, proof of possession and the client's
    address; subject, and behind "!" what to look at before approving. With --json all that `requests show --json` has.
    """
    now = utc_now()
    with open_store(found) as store:
        chosen = [item for item in (_all(store) if everything else _waiting(store)) if item.expires >= now]
        desk = _desk(found, store) if chosen else None
        for item in chosen:
            assert desk is not None
            view = desk.view(item) if item.state in _OPEN else None
            facts = desk.about(item) if view is None else view.facts
            click.echo(json.dumps(facts) if as_json else _line(item, view, now))


@requests.command("show")
@ca_options
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--pem", "as_pem", is_flag=True, help="The PKCS #10 request itself, nothing else.")
@click.option("--with-secrets", is_flag=True, help="Also what holds, or tests, a password or response key.")
def show_request(found: CaDir, request_id: str, as_json: bool, as_pem: bool, with_secrets: bool) -> None:
    """Show one request and everything that would be issued.

    Also what it asked for and does not get, what to look at before approving, and the fingerprint of what is shown.
    """
    if as_pem and as_json:
        raise UsageError("--pem goes without --json")
    with open_store(found) as store:
        item = _find(store, request_id)
        if as_pem:
            click.echo(_pem(open_remembered(found.server_key(), item).read(), with_secrets), nl=False)
            return
        view = _desk(found, store).view(item, with_secrets=with_secrets)
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


def _pem(request: CertificateRequest, with_secrets: bool) -> str:
    """The request in PEM. Raises UsageError if it holds secrets, unless they are asked for."""
    if holds_secrets(request):
        if not with_secrets:
            raise UsageError(
                "the request holds a challengePassword or a response key, which cannot be left out of what is signed; "
                "--with-secrets prints it nevertheless"
            )
        click.echo("WARNING: this request holds a secret of the client: keep it as safe as a password", err=True)
    return encode_pem("CERTIFICATE REQUEST", request.der).decode()


def _decide(store: Store, item: Transaction, decision: Decision, reason: str) -> None:
    """Unless somebody changed the transaction since it was read."""
    try:
        store.replace(item, replace(item, decision=decision, reason=reason, updated=utc_now()))
    except StoreConflict:
        raise UsageError(f"request {request_id(item)} has just changed; look again") from None
    before = "" if item.decision is Decision.UNDECIDED else f" (before: {item.decision.value})"
    click.echo(f"{decision.value}: {revealed(item.subject)}{before}")


def _desk(found: CaDir, store: Store) -> Desk:
    now = utc_now()
    return Desk(
        profiles=found.configuration().profiles,
        generations=found.load(),
        server_key=found.server_key(),
        certified=Certified(store, now),
        store=store,
        now=now,
    )


def _waiting_one(store: Store, given: str) -> Transaction:
    """The request to decide about: by its whole ID, because what else begins so may come and go."""
    if len(given) != ID_LENGTH:
        raise UsageError(f"{given} is not the whole ID of a request, which has {ID_LENGTH} digits")
    item = _find(store, given)
    if item.state is not State.AWAITING_APPROVAL:
        rejected = item.state is State.FAILED and item.decision is Decision.REJECTED
        raise UsageError(f"request {given} does not wait: it is {'rejected' if rejected else item.state.value}")
    return item


def _find(store: Store, given: str) -> Transaction:
    """The one request whose ID begins so; one that has expired counts as none, as it does for the client."""
    now = utc_now()
    named = [item for item in _all(store) if request_id(item).startswith(given.lower())]
    found = [item for item in named if item.expires >= now]
    if not found and len(named) == 1:
        end, said = minute(named[0].expires), clock(now, THIS_MACHINE)
        raise UsageError(f"request {given} has expired on {end}, and {said}")
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


def _line(item: Transaction, view: View | None, now: datetime) -> str:
    minutes = int((now - item.created).total_seconds() // 60)
    known = [] if view is None else [view.facts.get("key", ""), view.facts.get("proof", ""), item.client or ""]
    words = [request_id(item), f"{request_state(item):<17}", f"{minutes:>5} min", printable(item.profile)]
    line = "  ".join([*words, *(printable(word) or "-" for word in known), revealed(item.subject)])
    if view is None or not view.notices:
        return line
    return f"{line}  ! {', '.join(dict.fromkeys(notice.word for notice in view.notices))}"


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
