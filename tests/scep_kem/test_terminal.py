"""scep_kem/terminal.py: commands to copy name the paths that are meant, or none."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from scep_kem.terminal import command
from tests.scep_kem.kit import run


@pytest.mark.parametrize("name", ["a", "a b", "it's", "$HOME", "*", "ä", "-d", "--", "-"])
def test_a_command_names_the_path_that_is_meant(name: str) -> None:
    words = shlex.split(command("install", "-m", "600", "/dev/null", Path(name)))
    assert words[:-1] == ["install", "-m", "600", "/dev/null"] and not words[-1].startswith("-")
    assert os.path.abspath(words[-1]) == os.path.abspath(name)  # noqa: PTH100 - as the shell's commands see them


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2K", "\u202e", "\udcff", "a\rb"])
def test_of_a_name_that_cannot_be_printed_there_is_no_command(name: str) -> None:
    assert command("rm", Path(name)) == "a command with a name that cannot be printed"


def test_commands_in_errors_are_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, said in (
        ("-d", "--dir ./-d"),
        ("a\nb", "a command with a name that cannot be printed"),
        ("a b", "'a b'"),
    ):
        run("ca", "show", "--dir", name).refused_in_one_line(2, "holds no CA", said)


def test_what_a_folder_is_called_makes_no_lines(tmp_path: Path) -> None:
    name = tmp_path / "a\nCA fingerprint (SHA-256): 0000"
    assert "\nCA fingerprint" not in run("ca", "init", "--dir", name, "--key-type", "ed25519").good().out
    said = run("ca", "backup", tmp_path / "b\nc", "--dir", name).good().out
    assert said.count("\n") == 1
