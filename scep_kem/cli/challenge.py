"""scep-kem challenge: passwords that let their holders have a certificate."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime

import click

from ca.credentials import WeakPassword, add_password, new_password
from ca.store import Credential, Store, StoreConflict
from scep_kem.ca_dir import CaDir
from scep_kem.cli.commands import Group
from scep_kem.cli.common import (
    MOST,
    ca_options,
    configured_profile,
    open_store,
    parse_duration,
    parse_name,
    stdin_password,
)
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from scep_kem.terminal import printable, revealed

ID_LENGTH = 12  # hex digits of a keyed hash, which tells nothing of the password


@click.group(cls=Group)
def challenge() -> None:
    """Challenge passwords."""


@challenge.command("new")
@ca_options
@click.option("--ttl", default="1h", show_default=True, help="How long it is good: 30m, 1h, 7d, or never.")
@click.option("--reusable", is_flag=True, help="Good for any number of requests instead of one.")
@click.option(
    "--subject",
    help='The only subject it is good for, like "CN=device,O=Example"; subjectAltNames are up to the profile.',
)
@click.option("--profile", help="The only profile it is good for.")
@click.option(
    "--password-stdin", is_flag=True, help="Take the password, 16 random characters or more, from stdin; makes none."
)
def new_challenge(
    found: CaDir, ttl: str, reusable: bool, subject: str | None, profile: str | None, password_stdin: bool
) -> None:
    """Make a challenge password and print it, alone, on stdout. Only a keyed hash of it is stored."""
    password = stdin_password() if password_stdin else new_password(os.urandom)
    if profile is not None:
        configured_profile(found, profile)
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
        except WeakPassword as error:
            raise UsageError(str(error)) from None
        except StoreConflict:
            raise UsageError("this password is known already") from None
    click.echo(password)


@challenge.command("list")
@ca_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_challenges(found: CaDir, as_json: bool) -> None:
    """List the challenge passwords that are known, newest first.

    Each with ID, state (free, held by a request, used by the certificate with this serial number, or expired), when
    it was made, until when it is good, whether for one request, profile and subject. Never the password, which
    nobody here knows.
    """
    now = utc_now()
    with open_store(found) as store:
        for item in store.credentials(limit=MOST):
            click.echo(json.dumps(_summary(item, now)) if as_json else _line(item, now))


@challenge.command("revoke")
@ca_options
@click.argument("credential_id", metavar="[ID]", required=False)
@click.option("--password-stdin", is_flag=True, help="The password to revoke, from stdin, instead of an ID.")
@click.option("--all", "everything", is_flag=True, help="Every password, or with --profile every one of a profile.")
@click.option("--profile", help="With --all: only passwords that are for this profile alone.")
def revoke_challenge(
    found: CaDir, credential_id: str | None, password_stdin: bool, everything: bool, profile: str | None
) -> None:
    """Take a challenge password back. Nothing is issued with it any more.

    Not even to a request that was sent with it and waits. Certificates issued before stay valid: see `ca revoke`.
    """
    if (credential_id is not None) + password_stdin + everything != 1:
        raise UsageError("give one of ID, --password-stdin and --all")
    if profile is not None and not everything:
        raise UsageError("--profile goes with --all")
    with open_store(found) as store:
        chosen = _chosen(store, found, credential_id, password_stdin, profile)
        gone = 0
        for item in chosen:
            if store.remove_credential(item.identifier):
                gone += 1
                click.echo(f"revoked {item.identifier[:ID_LENGTH]}, {_told(item)}")
    if everything:
        click.echo(f"{gone} revoked")
    elif not gone:
        raise UsageError("the password has just been revoked by somebody else")


def _chosen(
    store: Store, found: CaDir, credential_id: str | None, password_stdin: bool, profile: str | None
) -> Sequence[Credential]:
    if password_stdin:
        known = store.credential(found.server_key().identifier(stdin_password()))
        if known is None:
            raise UsageError("this password is not known")
        return [known]
    items = store.credentials(limit=MOST)
    if credential_id is None:
        return [item for item in items if profile in (None, item.profile)]
    matching = [item for item in items if item.identifier.startswith(credential_id.lower())]
    if len(credential_id) < ID_LENGTH or not matching:
        raise UsageError(f"no challenge password has the ID {credential_id}; `challenge list` shows them")
    if len(matching) > 1:
        raise UsageError(f"more than one challenge password has the ID {credential_id}; give more of its digits")
    return matching


def _told(item: Credential) -> str:
    """What a revocation does not do."""
    if item.serial is not None:
        return f"used already: the certificate {item.serial:x} stays valid"
    if not item.one_time:
        return "reusable: certificates issued with it stay valid"
    return "never used" if item.holder is None else "held by a request, which gets nothing"


def _state(item: Credential, now: datetime) -> str:
    if item.serial is not None:
        return "used"
    if item.expires is not None and item.expires <= now:
        return "expired"
    return "free" if item.holder is None else "held"


def _line(item: Credential, now: datetime) -> str:
    state, until = _state(item, now), "never" if item.expires is None else f"{item.expires:%Y-%m-%d %H:%M}"
    words = [
        item.identifier[:ID_LENGTH],
        f"{state:<7}",
        f"{item.created:%Y-%m-%d %H:%M}",
        f"{until:<16}",
        "one-time" if item.one_time else "reusable",
        printable(item.profile or "any profile"),
        revealed(item.subject) if item.subject is not None else "any subject",
    ]
    if item.serial is not None:
        words.append(f"serial {item.serial:x}")
    return "  ".join(words)


def _summary(item: Credential, now: datetime) -> dict[str, str | bool | None]:
    return {
        "id": item.identifier[:ID_LENGTH],
        "state": _state(item, now),
        "created": item.created.isoformat(),
        "expires": None if item.expires is None else item.expires.isoformat(),
        "one-time": item.one_time,
        "profile": item.profile,
        "subject": item.subject,
        "serial": None if item.serial is None else f"{item.serial:x}",
    }
