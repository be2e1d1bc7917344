"""Words on the command line: any case, the words that are possible and the one that is meant; names of keys' files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ca.profiles import ALL_KEY_TYPES
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES
from scep_kem import files
from scep_kem.cli.common import Word
from tests.scep_kem.kit import make_ca_dir, run, unused_port
from tests.scep_kem.test_cli_help import LEAVES


def choices() -> Iterator[tuple[str, click.Parameter]]:
    """Every option and argument that takes one of several words."""
    for path, command in LEAVES:
        for parameter in command.params:
            if isinstance(parameter.type, click.Choice):
                yield " ".join([*path, *parameter.opts[:1]]), parameter


CHOICES = dict(choices())


@pytest.mark.parametrize("name", CHOICES)
def test_issue_10_6_every_word_in_any_case_and_others_are_told_what_is_possible(name: str) -> None:
    parameter = CHOICES[name]
    assert isinstance(parameter.type, Word)
    for word in parameter.type.choices:
        assert parameter.type.convert(word.upper(), parameter, None) == word
    last = parameter.type.choices[-1]
    with pytest.raises(click.BadParameter) as refused:
        parameter.type.convert(f"{last}x", parameter, None)
    assert refused.value.message == (
        f"'{last}x' is not possible (is {last} meant?); one of {', '.join(parameter.type.choices)}"
    )


def test_issue_10_6_key_types_are_spelled_as_in_the_configuration() -> None:
    made = [*KEY_TYPES, *KEM_KEY_TYPES]
    assert {word for word in made if not word.startswith("rsa:")} == {*ALL_KEY_TYPES} - {"rsa", "rsa-pss"}
    for command in ("enroll", "renew"):
        assert list(CHOICES[f"{command} --key-type"].type.choices) == made  # type: ignore[attr-defined]
        assert f"[{'|'.join(made)}]" in "".join(run(command, "--help").good().out.split())


def test_issue_10_6_the_profile_that_is_meant(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca")
    found = run("challenge", "new", "--dir", own.path, "--profile", "manul")
    found.refused_in_one_line(2, "has no profile 'manul' (is manual meant?); it has default, manual")


def arguments(folder: Path, key: str, *more: str) -> tuple[str | Path, ...]:
    url = f"http://127.0.0.1:{unused_port()}/scep"
    return ("--url", url, "--ca-fingerprint", "0" * 64, "--out", folder / "out.pem", *more, key)


@pytest.mark.parametrize("key", ["ml-kem-768", "ML-KEM-786", "rsa2048", "ec:P-256", "ed25519", "mldsa65"])
def test_issue_10_6_a_key_type_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A key of type rsa:2048 was made in a file of that name."""
    monkeypatch.chdir(tmp_path)
    found = run("enroll", *arguments(tmp_path, key, "--subject", "CN=a", "--key"))
    found.refused_in_one_line(2, f"there is no file {key} (is ", " meant?): the type of a new key is for --key-type")
    assert list(tmp_path.iterdir()) == []


def test_issue_10_6_nor_is_it_at_a_renewal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = make_ca_dir(tmp_path / "ca").load().current.ca
    files.write_key(Path("old.key"), old.key)
    files.write(Path("old.pem"), files.pem(old.certificate))
    more = ("--key", "old.key", "--cert", "old.pem", "--new-key")
    found = run("renew", *arguments(tmp_path, "ec:p256", *more))
    found.refused_in_one_line(2, "there is no file ec:p256 (is ec:P-256 meant?)")
    assert not Path("ec:p256").exists()


@pytest.mark.parametrize("key", ["device.key", "ml-kem-768.key", "device", "rsa-1"])
def test_issue_10_6_a_new_key_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Before anything is sent: whoever mistyped its name sees it."""
    monkeypatch.chdir(tmp_path)
    found = run("enroll", *arguments(tmp_path, key, "--subject", "CN=a", "--key"))
    assert found.code == 1 and Path(key).exists()
    assert found.err.splitlines()[0] == f"there was no file {key}: a new key is in it, of type rsa:2048"
    again = run("enroll", *arguments(tmp_path, key, "--subject", "CN=a", "--key"))
    assert again.code == 1 and "new key" not in again.err


def test_issue_10_6_whoever_asks_for_a_type_asks_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--key-type", "Ed25519", "--subject", "CN=a", "--key")
    found = run("enroll", *arguments(tmp_path, "ed25519", *asked))
    assert Path("ed25519").exists() and "new key" not in found.err
