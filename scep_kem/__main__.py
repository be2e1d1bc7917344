"""`python -m scep_kem`, as `scep-kem`."""

from __future__ import annotations

from scep_kem.cli import main

main()
