"""All cases and their index, as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from drafts.tools.labelled import rsa_from_random
from drafts.tools.testkit import (
    ca_classic,
    ca_envelopes,
    ca_kem,
    ca_kem_others,
    ca_kemri,
    ca_proof,
    ca_requests,
    ca_rsa_ra,
    ca_sequences,
    ca_transactions,
    client_answers,
    client_ca,
    client_challenges,
    client_classic,
    client_kem,
    derivations,
)
from drafts.tools.testkit.requirements import REQUIREMENTS
from drafts.tools.testkit.scene import WrongCase, finish
from drafts.vectors.runner import CASES, Case

VECTORS = CASES.parent
HEAD = """# Index of the cases

Made by `python -m drafts vectors`. Each requirement, its level, where it stands, and its cases; \"draft\" is
`../draft-todo-lamps-scep-kem.md`, by the anchor of its section. Cases that have to work say what they are.
"""

MODULES = (
    ca_classic,
    ca_envelopes,
    ca_requests,
    ca_transactions,
    ca_kem,
    ca_kemri,
    ca_proof,
    ca_kem_others,
    ca_rsa_ra,
    ca_sequences,
    client_classic,
    client_kem,
    client_challenges,
    client_answers,
    client_ca,
    derivations,
)


def made() -> dict[str, str]:
    """Each file of the folder of cases: its name and text. Raises WrongCase, which names all that are wrong."""
    found: dict[str, str] = {}
    wrong: list[str] = []
    with rsa_from_random():
        for module in MODULES:
            for scene, told in module.cases():
                if f"{told.name}.txt" in found:
                    raise ValueError(f"two cases are called {told.name}")
                try:
                    found[f"{told.name}.txt"] = finish(scene, told)
                except WrongCase as error:
                    wrong.append(str(error))
    if wrong:
        raise WrongCase("\n".join(wrong))
    return found


def index(texts: Mapping[str, str]) -> str:
    """INDEX.md: the requirements, each with its cases, and what is expected of them."""
    cases = [Case.decode(text) for text in texts.values()]
    counted = Counter(f"{item.header('role')}, {_kind(item)}" for item in cases)
    lines = [HEAD, *(f"* {what}: {number}" for what, number in sorted(counted.items())), f"* in all: {len(cases)}"]
    for name, requirement in REQUIREMENTS.items():
        where = "; ".join(f"{document}, {section}" for document, section in requirement.where)
        lines += ["", f"## {name}", "", f"{requirement.level}: {requirement.text} ({where}).", ""]
        lines += ["| case | expected | what is wrong |", "|---|---|---|"]
        found = [item for item in cases if item.header("requirement") == name]
        lines += [_row(item) for item in sorted(found, key=lambda item: (_kind(item), item.header("name")))]
    return "\n".join(lines) + "\n"


def _kind(case: Case) -> str:
    return "negative" if "defect" in case.headers else "has to work"


def _row(case: Case) -> str:
    name, expected = case.header("name"), case.header("expect")
    what = case.header("defect") or f"(works) {case.header('description')}"
    return f"| [{name}](cases/{name}.txt) | {expected} | {what} |"


def generate() -> dict[str, bytes]:
    """The files under vectors/ by their names, without those that are written by hand. Raises WrongCase."""
    texts = made()
    files = {f"cases/{name}": text for name, text in texts.items()} | {"INDEX.md": index(texts)}
    return {name: text.encode("utf-8") for name, text in files.items()}
