"""Reading the files of tests/vectors/."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
SEED = bytes(range(64))  # of every key in RFC 9935


def pem(name: str) -> bytes:
    """The DER inside a PEM file."""
    lines = (VECTORS / name).read_text().splitlines()
    return base64.b64decode("".join(line for line in lines if not line.startswith("-----")))


@cache
def load(name: str) -> Any:
    """A JSON file."""
    return json.loads((VECTORS / name).read_text())


@cache
def digests() -> dict[str, str]:
    """SHA-256 of the DER in each key file of lamps-wg/kyber-certificates, by file name."""
    lines = (VECTORS / "rfc9935" / "published.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}
