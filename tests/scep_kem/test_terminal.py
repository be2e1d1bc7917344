"""scep_kem/terminal.py: commands to copy name the paths that are meant, or none."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from cryptography import x509

from scep_kem import files
from scep_kem.terminal import command
from tests.scep_kem import test_ca_life
from tests.scep_kem.kit import run
from tests.world import key


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


def test_what_a_ca_made_elsewhere_is_called_makes_no_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 10: in no line of any command that shows the CA."""
    monkeypatch.setattr(
        sys.modules["scep_kem.cli.ca"],
        "lapses",
        lambda authority, **_: [authority.ca.certificate.subject.rfc4514_string()],
    )
    odd = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Sub\x1b[2J\u202eevil\nWARNING: forged")])
    monkeypatch.setattr(test_ca_life, "name", lambda _text: odd)
    purposes = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
    pair = test_ca_life.made("", key("ec:P-256", "odd"), purposes)
    files.write_key(tmp_path / "k", pair.key)
    files.write(tmp_path / "c", files.pem(pair.certificate))
    options = ("--import-key", tmp_path / "k", "--import-cert", tmp_path / "c", "--ra")
    for words in (("init", *options), ("show",), ("replace-ra",)):
        said = run("ca", *words, "--dir", tmp_path / "ca").good()
        assert "WARNING: " in said.out and "evil" in said.out, said
        for line in (*said.out.split("\n"), *said.err.split("\n")):
            assert line.isprintable() and not line.startswith("WARNING: forged")


def test_what_a_folder_is_called_makes_no_lines(tmp_path: Path) -> None:
    name = tmp_path / "a\nCA fingerprint (SHA-256): 0000"
    assert "\nCA fingerprint" not in run("ca", "init", "--dir", name, "--key-type", "ed25519").good().out
    said = run("ca", "backup", tmp_path / "b\nc", "--dir", name).good().out
    assert said.count("\n") == 1
