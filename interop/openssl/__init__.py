"""OpenSSL's command line: CMS with ML-KEM and ML-DSA, private keys and certificates, both ways.

Two versions. KEMRecipientInfo came with OpenSSL 3.6, which is taken from Debian's testing; 3.5 of Debian 13 has the
keys and signatures alone.
"""

from __future__ import annotations

from pathlib import Path

from interop.kit.cases import Peer
from interop.kit.roots import FORKY
from interop.openssl.cases import register

VERSION = r"OpenSSL (\d+\.\d+\.\d+)"

PEER = Peer(
    name="openssl",
    title="OpenSSL with KEMRecipientInfo, from 3.6 on (Debian testing's package in a root of its own)",
    folder=Path(__file__).parent,
    probe=lambda: FORKY.version("openssl", "version", pattern=VERSION),
    install=FORKY.build,
    server="ours-kem",
)
register(PEER, FORKY, has_kemri=True)
