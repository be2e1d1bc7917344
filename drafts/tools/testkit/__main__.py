"""Makes the cases of drafts/vectors/: `python -m drafts.tools.testkit`."""

from __future__ import annotations

import argparse
import sys

from drafts.tools.testkit.generate import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m drafts.tools.testkit", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    sys.exit(main(check=parser.parse_args().check))
