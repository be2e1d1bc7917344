"""The help of every command: it is there, complete, and says what the README promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scep_kem.cli import cli
from tests.scep_kem.kit import LAST_RESORT, environment, run

CONTRACT = {
    *(
        "ca init",
        "ca show",
        "ca list",
        "ca rollover",
        "ca revoke",
        "ca crl",
        "ca add-kem",
        "ca backup",
        "ca import-cert",
        "ca import-issued",
        "ca new-database",
        "ca renew-ra",
        "ca replace-ra",
        "ca retire",
        "kem backends",
    ),
    *("serve", "challenge new", "challenge list", "challenge revoke"),
    *("config check", "config reference"),
    *("requests list", "requests show", "requests approve", "requests reject"),
    *("enroll", "renew", "poll", "getcert", "getcrl", "caps", "cacert"),
}


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group with its words."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = list(commands())
LEAVES = [(path, command) for path, command in ALL if not isinstance(command, click.Group)]
OPTIONS = [(path, option) for path, command in LEAVES for option in command.params if isinstance(option, click.Option)]


def test_every_command_of_the_contract_is_there() -> None:
    assert {" ".join(path) for path, _command in LEAVES} == CONTRACT


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("path", [path for path, _command in ALL], ids=" ".join)
def test_help_exits_0(path: tuple[str, ...], flag: str) -> None:
    found = run(*path, flag).good()
    assert found.out.startswith("Usage: ") and found.err == ""


@pytest.mark.parametrize(
    ("path", "command"), ALL[1:], ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_every_command_says_what_it_does(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help


@pytest.mark.parametrize(
    ("path", "option"), OPTIONS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name
)
def test_every_option_has_a_help_text(path: tuple[str, ...], option: click.Option) -> None:
    assert option.help, f"scep-kem {' '.join(path)} {option.opts[0]}"


@pytest.mark.parametrize("path", [path for path, command in ALL if isinstance(command, click.Group)], ids=" ".join)
def test_the_summary_of_no_command_is_cut(path: tuple[str, ...]) -> None:
    """A list of commands whose descriptions end in dots helps nobody."""
    assert "..." not in run(*path, "--help").good().out.partition("Commands:")[2]


@pytest.mark.parametrize("path", [path for path, command in ALL if isinstance(command, click.Group)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help_and_exits_2(path: tuple[str, ...]) -> None:
    found = run(*path)
    assert found.code == 2 and "Commands:" in found.out + found.err


def test_the_exit_codes_are_explained() -> None:
    said = " ".join(run("--help").good().out.split())
    for code, meaning in (("0", "issued"), ("1", "server"), ("2", "usage"), ("3", "pending"), ("4", "refused")):
        assert f"{code} " in said and meaning in said


def test_the_version_is_printed() -> None:
    assert ", version " in run("--version").good().out


@pytest.mark.parametrize("arguments", ["nonsense", "enroll --nonsense", "enroll", "requests approve --dir x"])
def test_wrong_words_exit_2_and_point_to_the_help(arguments: str) -> None:
    found = run(*arguments.split())
    assert found.code == 2 and "--help" in found.err and "Traceback" not in found.err


def test_the_installed_command_shows_its_help_under_its_name() -> None:
    """Also without a locale, as in a container."""
    bare = {name: value for name, value in environment().items() if not name.startswith(("LC_", "LANG"))}
    command = [Path(sys.executable).with_name("scep-kem"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=bare, check=True, timeout=LAST_RESORT)
    assert done.stdout.startswith("Usage: scep-kem [OPTIONS] COMMAND") and done.stderr == ""


def test_the_package_runs_as_the_command() -> None:
    words = [sys.executable, "-m", "scep_kem", "kem", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LAST_RESORT, env=environment(), check=True)
    assert "Usage:" in done.stdout
