"""Files and folders that others may tamper with: what to refuse, and what to warn of.

In a folder where everybody may write, somebody else may have put a symbolic link, a pipe or a folder under the name
that we are about to use. Ours is what belongs to who runs this program, or to root, who can do anything anyway.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from scep_kem.errors import UsageError

log = logging.getLogger(__name__)

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as many as Linux follows


def check_folder(path: Path, account: int | None = None) -> bool:
    """Raise UsageError if somebody else may write to the folder, or file, or put another one in its place; whether it
    is there. account: whose it may be beside root's, by default that of who runs this program. For root that acts as an
    account (`scep_kem.owner`), it may not be root's.

    Above it, a folder where everybody may write is fine if it is sticky, like /tmp: there, only the owner of what is
    in it may replace that.
    """
    last, status = Path(os.path.realpath(path)), None
    for item in _way(path.absolute()):
        status = _status(item)
        if status is None:
            return False
        _check_owner(item, status, account)
        sticky = status.st_mode & stat.S_ISVTX and item != last
        if not stat.S_ISLNK(status.st_mode) and _others_write(status) and not sticky:
            raise UsageError(f"others may write to {item}, and so have the CA; `chmod go-w` it, or use another folder")
    if os.getuid() == 0 != os.geteuid() and status is not None and status.st_uid == 0:
        raise UsageError(f"{path} belongs to root, and not to the account that was given (uid {os.geteuid()})")
    return True


def check_links(path: Path) -> None:
    """Raise UsageError if a symbolic link of somebody else leads to the file that is about to be written.

    A link in its owner's own folder is fine, as it is for Linux (fs.protected_symlinks).
    """
    for item in _way(path.absolute()):
        status = _status(item)
        if status is not None and stat.S_ISLNK(status.st_mode):
            _check_guest(item, item, status)


def check_secret(path: Path, opened: os.stat_result | None = None) -> None:
    """Raise UsageError if somebody else may have written a secret file, or may read what goes into a pipe.

    Root may use what a service's own account has in its own folder. opened: of the descriptor that `open_secret` gave,
    so that what is judged is what is read, and nobody puts another one there in between.
    """
    real = Path(os.path.realpath(path))
    status = _status(real)
    if opened is not None and (status is None or not os.path.samestat(opened, status)):
        raise UsageError(f"{path} became another file while it was read")
    if status is not None:
        _check_guest(path, real, status)
        if stat.S_ISREG(status.st_mode) and _others_write(status):
            raise UsageError(f"others may write to {path} (mode {stat.S_IMODE(status.st_mode):04o}); `chmod go-w` it")


def open_secret(path: Path, flags: int) -> int:
    """A descriptor of a secret file, to which no symbolic link of somebody else leads. `check_secret` has to follow.
    Raises UsageError, OSError.
    """
    check_links(path)
    return os.open(os.path.realpath(path), flags | os.O_NOFOLLOW)


def warn_if_readable(path: Path) -> None:
    """Say in the log that others may read a secret file."""
    status = _status(Path(os.path.realpath(path)))
    if status is not None and stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        log.warning("others may read %s (mode %04o); `chmod 600` it", path, stat.S_IMODE(status.st_mode))


def _way(path: Path, links: int = 0) -> Iterator[Path]:
    """Every folder and symbolic link on the way to an absolute path, and itself."""
    at = Path(path.anchor)
    yield at
    for name in path.parts[1:]:
        at = at / name
        yield at
        if at.is_symlink():
            if links == _MOST_LINKS:
                raise UsageError(f"{path}: too many symbolic links")
            target = at.parent / at.readlink()
            yield from _way(target, links + 1)
            at = Path(os.path.realpath(target))


def _status(path: Path) -> os.stat_result | None:
    """Of the link, if it is one. None if there is nothing, or nothing to be seen: whoever goes on is told why."""
    try:
        return path.lstat()
    except OSError:
        return None


def _check_guest(name: Path, real: Path, status: os.stat_result) -> None:
    """Raise UsageError if it is neither ours nor that of who owns the folder it is in."""
    folder = _status(real.parent)
    if folder is None or status.st_uid != folder.st_uid:
        _check_owner(name, status)


def _check_owner(path: Path, status: os.stat_result, account: int | None = None) -> None:
    if status.st_uid not in (0, os.geteuid() if account is None else account):
        raise UsageError(f"{path} belongs to somebody else (uid {status.st_uid}), who could replace it")


def _others_write(status: os.stat_result) -> bool:
    bits = status.st_mode & _WRITABLE
    return bool(bits & stat.S_IWOTH) or (bool(bits) and not _private_group(status))


def _private_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's alone: many systems give each user one, and files are group-writable there."""
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}
