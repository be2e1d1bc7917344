"""python -m drafts.testkit: write the cases of drafts/vectors/ anew. With --check, only say what would change."""

from __future__ import annotations

import sys

from drafts.testkit.generate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
