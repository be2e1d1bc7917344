"""strongSwan `pki --scep` and `pki --scepca`, as packaged by the machine's Debian.

Facts about 5.9.8 that shape the cases (its own sources and our runs):

- It tests capability bits against numbers that are not masks, so AES counts as supported exactly when the list
  has SHA-384, and whenever it accepts a list at all it also takes POST for supported: it never sends a GET.
  Fixed in 5.9.11. The GET case is for strongswan6 therefore.
- transactionID is the SHA-1 of the public key, so the same key repeats its transactionID.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from interop.kit import install
from interop.kit.cases import Missing, Peer
from interop.strongswan.cases import Pki, register

PACKAGES = ("strongswan-pki", "libstrongswan-extra-plugins")
FIRST_WITH_GET = (5, 9, 11)


def _probe() -> str:
    if shutil.which("pki") is None:
        raise Missing("strongswan-pki is not installed")
    shown = subprocess.run(("pki", "--help"), capture_output=True, text=True, timeout=20, check=False)
    if "curl" not in shown.stdout + shown.stderr or "plugin 'curl'" in shown.stdout + shown.stderr:
        raise Missing("pki has no HTTP: libstrongswan-extra-plugins (its curl plugin) is not installed")
    match = re.search(r"strongSwan (\d+\.\d+\.\d+)", shown.stdout + shown.stderr)
    return match[1] if match else "unknown version"


def _can_get() -> bool:
    return tuple(int(part) for part in _probe().split(".")) >= FIRST_WITH_GET


PEER = Peer(
    name="strongswan",
    title="strongSwan pki (Debian packages strongswan-pki and libstrongswan-extra-plugins)",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: install.apt_install(*PACKAGES),
)
register(PEER, Pki(("pki",), None), can_get=_can_get)
