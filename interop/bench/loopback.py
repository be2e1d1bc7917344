"""A network of our own with nothing but a loopback interface.

`scepserver` 2.1.0 takes a port but no address, and listens on all of them. In a network namespace there is only
127.0.0.1 to listen on, and its ports cannot clash with anybody's. Linux only, like the rest of the bench.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # sched.h
_SIOCSIFFLAGS = 0x8914  # netdevice(7)
_IFF_UP_RUNNING = 0x41


def enter() -> bool:
    """Move this process, and the children it will have, into such a network. False: the system does not let us.

    Only root may do so directly; others through a user namespace, which a process with threads cannot enter, so
    this is called first.
    """
    user, group, root = os.geteuid(), os.getegid(), os.geteuid() == 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if root else _CLONE_NEWNET | _CLONE_NEWUSER) != 0:
        return False
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    return True
