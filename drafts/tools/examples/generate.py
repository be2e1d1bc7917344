"""Makes the examples of the draft: `python -m drafts.tools.examples.generate`."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass

from drafts.tools import DRAFTS
from drafts.tools.examples.dump import Seen, wrapped
from drafts.tools.examples.failures import FAILURES
from drafts.tools.examples.page import Page
from drafts.tools.examples.parties import Party
from drafts.tools.examples.stories import (
    Stage,
    Story,
    classic_rsa,
    kem_renewal,
    manual_approval,
    mlkem768,
    mlkem1024,
    response_key,
    rfc9883,
)
from drafts.tools.labelled import rsa_from_random

EXAMPLES = DRAFTS / "examples"
PARTIES = """
    Private keys, which are public: never use them. Those that are not RSA follow from their labels. Value 0 of "key/"
    and the label is d || z of ML-KEM, xi of ML-DSA, or an integer n of 40 octets that gives the P-256 key
    n mod (q - 1) + 1, q being the order of the curve.
"""
OTHERS = "Keys of the examples that fail, derived in the same way:"
# In the order in which they happen: the certificate of one is used in another.
STORIES = (classic_rsa, mlkem768, mlkem1024, response_key, rfc9883, kem_renewal, manual_approval)


@dataclass(frozen=True)
class Played:
    """All examples in the order of their names. shown: parties of those that are shown as a whole. others: the rest."""

    stories: list[Story]
    shown: list[Party]
    others: list[Party]


def play() -> Played:
    """Let everything happen."""
    stage = Stage()
    with rsa_from_random():
        stories = [story(stage) for story in STORIES]
        shown = list(stage.cast.parties.values())
        stories += [story(stage) for story in FAILURES]
    others = [party for party in stage.cast.parties.values() if party not in shown]
    return Played(sorted(stories, key=lambda story: story.scene.name), shown, others)


def generate() -> dict[str, bytes]:
    """The files under examples/ by their names."""
    played = play()
    seen = Seen()
    for party in played.shown:
        if party.certificate is not None:
            seen.titles[party.certificate] = f"certificate {party.label}"
    files: dict[str, bytes] = {}
    for story in played.stories:
        page = Page(story.scene, seen)
        story.tell(page)
        files[f"{story.scene.name}.txt"] = page.text().encode("ascii")
        for message in story.scene.messages:
            files[f"{story.scene.name}/{message.file_name}"] = message.octets
    files["parties.txt"] = parties(played, seen).encode("ascii")
    for party in (*played.shown, *played.others):
        files[f"parties/{party.label}.pem"] = party.pem().encode("ascii")
    return files


def parties(played: Played, seen: Seen) -> str:
    """Private keys of all parties of the complete examples, and where their certificates are shown."""
    lines = [*wrapped(PARTIES, ""), ""]
    for party in played.shown:
        lines += wrapped(f"{party.label}: {party.kind}, {party.what}", "")
        if party.certificate in seen.places:
            lines += wrapped(f"certificate: {seen.places[party.certificate]}")
        lines += [*party.key_pem.decode("ascii").splitlines(), ""]
    others = ", ".join(f"{party.label} ({party.kind})" for party in played.others)
    return "\n".join([*lines, *wrapped(f"{OTHERS} {others}", "")]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the examples, or compare them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m drafts.tools.examples.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    options = parser.parse_args(arguments)
    files = generate()
    if options.check:
        return _check(files)
    _write(files)
    return 0


def present() -> dict[str, bytes]:
    """The files that are there, without the README, which nobody generates."""
    found = (path for path in EXAMPLES.rglob("*") if path.is_file() and path.name != "README.md")
    return {str(path.relative_to(EXAMPLES)): path.read_bytes() for path in found}


def _check(files: dict[str, bytes]) -> int:
    found = present()
    differing = sorted(name for name in files.keys() | found.keys() if files.get(name) != found.get(name))
    for name in differing:
        print(name)
    return 1 if differing else 0


def _write(files: dict[str, bytes]) -> None:
    for name in present().keys() - files.keys():
        (EXAMPLES / name).unlink()
    for name, octets in files.items():
        path = EXAMPLES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
    for folder in EXAMPLES.iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
