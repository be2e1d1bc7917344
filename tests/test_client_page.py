"""deploy/CLIENT.md names every option of the client's commands, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from scep_kem.cli import cli

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "deploy" / "CLIENT.md").read_text("utf-8")
COMMANDS = ("enroll", "renew", "poll", "getcert", "getcrl", "caps", "cacert")
OPTIONS = sorted(
    {option.opts[0] for name in COMMANDS for option in cli.commands[name].params if isinstance(option, click.Option)}
)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_explained(option: str) -> None:
    assert re.search(rf"{option}\b(?!-)", TEXT)


def test_no_other_option_is() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*\w", TEXT))
    assert named <= {*OPTIONS, "--help"}


def test_every_key_of_the_json_object_is_explained() -> None:
    written = set(re.findall(r"\bnote\(([^)]*)", "".join(path.read_text() for path in SOURCES)))
    keys = {key for call in written for key in re.findall(r"(\w+)=", call)}
    assert {"status", "goOn", "certificate", "leftOut"} <= keys
    assert {key for key in keys if f"`{key}`" not in TEXT} == set()


SOURCES = sorted((ROOT / "scep_kem" / "cli").glob("*.py"))


def test_readme_names_the_page() -> None:
    assert "deploy/CLIENT.md" in (ROOT / "README.md").read_text("utf-8")
