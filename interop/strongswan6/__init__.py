"""strongSwan 6 of Debian 13, run with chroot from a root that debootstrap made in the cache.

On Debian 12 this is the only strongSwan that can be made to send a GET (see interop.strongswan).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from interop.kit import install
from interop.kit.cases import Missing, Peer
from interop.strongswan.cases import Pki, register


def _probe() -> str:
    root = install.trixie_root()
    if not (root / "done").exists():
        raise Missing("the Debian 13 root is not there (python -m interop install, as root)")
    if os.geteuid() != 0:
        raise Missing("chroot into the Debian 13 root needs root")
    argv = ("chroot", str(root), "pki", "--help")
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    match = re.search(r"strongSwan (\d+\.\d+\.\d+)", shown.stdout + shown.stderr)
    return match[1] if match else "unknown version"


PEER = Peer(
    name="strongswan6",
    title="strongSwan 6 pki (Debian 13 packages in a root of their own)",
    folder=Path(__file__).parent,
    probe=_probe,
    install=install.build_trixie,
)
register(PEER, Pki(("chroot", str(install.trixie_root()), "pki"), install.trixie_root()), can_get=lambda: True)
