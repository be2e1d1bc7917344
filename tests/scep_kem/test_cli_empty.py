"""An empty value (a variable of a shell that is not set) is an error in every command, never an option not given."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from scep_kem.client.options import read_fingerprint
from tests.scep_kem.kit import Peer, run
from tests.scep_kem.test_cli_help import LEAVES

VALUES = [
    (path, param)
    for path, command in LEAVES
    for param in command.params
    if not (isinstance(param, click.Option) and param.is_flag)
]


@pytest.mark.parametrize(
    ("path", "param"), VALUES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.opts[0]
)
def test_an_empty_value_is_told(path: tuple[str, ...], param: click.Parameter) -> None:
    """Before it is missed what else the command needs, so that nothing is done."""
    if isinstance(param, click.Option):
        run(*path, param.opts[0], "").refused_in_one_line(2, f"{param.opts[0]} is empty")
    else:
        assert param.name is not None
        run(*path, "--", "").refused_in_one_line(2, f"{param.human_readable_name.strip('[].')} is empty")


def test_one_of_several_values_is_told_too() -> None:
    run("enroll", "--san", "dns:a", "--san=", "--san", "dns:b").refused_in_one_line(2, "--san is empty")


def test_an_empty_fingerprint_does_not_trust_whatever_comes(tmp_path: Path) -> None:
    with Peer((200, b"")) as peer:
        common = ("--url", peer.url, "--key", tmp_path / "k", "--out", tmp_path / "c", "--ca-fingerprint", "")
        found = run("enroll", *common, "--subject", "CN=a", "--challenge", "secret", "--json")
        assert not peer.received and not list(tmp_path.iterdir())
    assert (found.code, found.err) == (2, "scep-kem: --ca-fingerprint is empty\n")
    said = {"command": "enroll", "status": "error", "error": "--ca-fingerprint is empty", "exitCode": 2}
    assert json.loads(found.out) == said


@pytest.mark.parametrize(
    "written",
    [
        "{0}",
        "sha256 Fingerprint={0}",  # openssl x509 -fingerprint -sha256
        "SHA256 Fingerprint={0}\n",  # the same of OpenSSL 1.1
        "SHA256:{0}",
        "sha-1: {0}",
        " {0} ",
    ],
)
@pytest.mark.parametrize("octets", [32, 20])
def test_a_fingerprint_is_taken_as_programs_print_it(written: str, octets: int) -> None:
    colons = bytes(range(octets)).hex(":").upper()
    for digits in (colons, colons.replace(":", " "), colons.replace(":", "")):
        assert read_fingerprint(written.format(digits), "x") == bytes(range(octets)).hex()
