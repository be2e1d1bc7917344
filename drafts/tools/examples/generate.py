"""All examples: played, told, and as files."""

from __future__ import annotations

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
