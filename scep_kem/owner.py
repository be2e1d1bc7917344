"""Root acts as the owner of what it was given, the folder of --dir or the file of --config.

So a service with an account of its own can read what is made for it, and whatever that account has put there, links
and names of other folders, makes root read or write nothing that the account may not. Who owns it is found before
anything is read, and everything after is done with that account's rights alone.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from ca.migrations import preload
from scep_kem.errors import UsageError, cannot
from scep_kem.kem import backends
from scep_kem.safety import check_folder

# The group of who has none: what Linux takes for a number that it cannot map. A uid without a name may be, as a number,
# the group of somebody else.
NO_GROUP = 65534


@contextlib.contextmanager
def as_owner(path: Path) -> Iterator[Path]:
    """Act as the owner of a file or folder, and name it by a path that needs nobody else's rights. Nothing changes for
    root's own, nor for who is not root.

    Raises UsageError if others than the owner may write to it or put something else in its place, and for root if it is
    not there: somebody could make it at that moment.
    """
    if os.geteuid() != 0:
        check_folder(path)
        yield path
        return
    try:
        account = path.stat().st_uid
        there = check_folder(path, account)
    except OSError as error:
        raise cannot(f"look into {path}", error) from None
    if not there:
        raise UsageError(f"{path} has just been removed")
    if account == 0:
        yield path
        return
    real = Path(os.path.realpath(path))
    _load_program()
    with _acting_as(account):
        yield real


def _load_program() -> None:
    """All of it that is else loaded when first needed: the account need not be able to read it."""
    preload()
    with contextlib.suppress(UsageError):
        backends()


@contextlib.contextmanager
def _acting_as(account: int) -> Iterator[None]:
    """Whatever fails, root is root again afterwards."""
    group, groups = _groups(account)
    with contextlib.ExitStack() as restore:
        for undo, before in ((os.setgroups, os.getgroups()), (os.setegid, os.getegid()), (os.seteuid, 0)):
            restore.callback(undo, before)  # type: ignore[arg-type]  # each goes with its own
        try:
            os.setgroups(groups)
            os.setegid(group)
            os.seteuid(account)
        except OSError as error:
            raise cannot(f"act as the account with uid {account}", error) from None
        yield


def _groups(account: int) -> tuple[int, list[int]]:
    """The account's own group and all its groups; never root's, whatever a folder or the list of accounts says."""
    try:
        entry = pwd.getpwuid(account)
    except KeyError:
        return NO_GROUP, []
    group = entry.pw_gid or NO_GROUP
    return group, [item for item in os.getgrouplist(entry.pw_name, group) if item != 0]
