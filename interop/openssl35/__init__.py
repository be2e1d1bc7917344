"""OpenSSL 3.5 of Debian 13: the first with ML-KEM and ML-DSA, and still without KEMRecipientInfo."""

from __future__ import annotations

from pathlib import Path

from interop.kit.cases import Peer
from interop.kit.roots import TRIXIE
from interop.openssl import VERSION
from interop.openssl.cases import register

PEER = Peer(
    name="openssl35",
    title="OpenSSL 3.5 (Debian 13's package in a root of its own)",
    folder=Path(__file__).parent,
    probe=lambda: TRIXIE.version("openssl", "version", pattern=VERSION),
    install=TRIXIE.build,
    server="ours-kem",
)
register(PEER, TRIXIE, has_kemri=False)
