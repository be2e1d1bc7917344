"""strongSwan 6 of Debian 13, run with chroot from a root that debootstrap made in the cache.

On Debian 12 this is the only strongSwan that can be made to send a GET (see interop.strongswan).
"""

from __future__ import annotations

from pathlib import Path

from interop.kit.cases import Peer
from interop.kit.roots import TRIXIE
from interop.strongswan.cases import Pki, register

PEER = Peer(
    name="strongswan6",
    title="strongSwan 6 pki (Debian 13 packages in a root of their own)",
    folder=Path(__file__).parent,
    probe=lambda: TRIXIE.version("pki", "--help", pattern=r"strongSwan (\d+\.\d+\.\d+)"),
    install=TRIXIE.build,
)
register(PEER, Pki(TRIXIE.command("pki"), TRIXIE), can_get=lambda: True)
