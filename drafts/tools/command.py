"""The one command: renders the document, makes its examples and vectors or compares them, runs the vectors.

Exit codes: 0 done, 1 something differs or failed, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from drafts.tools.build import BuildFailed, build
from drafts.tools.examples import generate as examples
from drafts.tools.made_files import MadeFiles
from drafts.tools.testkit import generate as vectors
from drafts.tools.testkit.ours import run
from drafts.tools.testkit.scene import WrongCase
from drafts.vectors import runner

MADE = {
    "examples": MadeFiles(examples.EXAMPLES, examples.generate, by_hand=("README.md",)),
    # Beside the cases and their index stand the README and the runner.
    "vectors": MadeFiles(vectors.VECTORS, vectors.generate, places=("cases", "INDEX.md")),
}


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "build":
            build()
        elif options.command == "run":
            return runner.main(options.files, run, text=True)
        elif options.check:
            return _check(options.command)
        else:
            print(f"{options.command}: {MADE[options.command].write()}")
    except (BuildFailed, subprocess.CalledProcessError, WrongCase) as error:
        print(f"python -m drafts {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> _Parser:
    parser = _Parser("python -m drafts", "The Internet-Draft, its examples and its vectors.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about)

    add("build", "Render the document to build/draft/ and check it.")
    for name, what in (("examples", "the examples"), ("vectors", "the vectors and their index")):
        made = add(name, f"Make {what}.")
        made.add_argument("--check", action="store_true", help="write nothing, name the files that differ")
    cases = add("run", "Run vectors through this project's responder and client.")
    cases.add_argument("files", nargs="*", metavar="FILE", help="a case; all of them, if none is named")
    return parser


def _check(command: str) -> int:
    differing = MADE[command].check()
    for name, how in differing.items():
        print(f"{command}/{name}: {how}")
    return 1 if differing else 0
