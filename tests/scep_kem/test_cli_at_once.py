"""Two commands at once with the same files: neither takes the other's key, request or certificate."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkix.keys import generate
from scep_kem import files
from scep_kem.cli import client_files
from scep_kem.errors import UsageError
from tests.scep_kem.kit import run
from tests.scep_kem.lossy import Device
from tests.world import key


@pytest.fixture
def device(lossy: Device) -> Device:
    return lossy


def lock(device: Device) -> Path:
    return device.folder / "a.pem.lock"


# New keys


def another_is_faster(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    def slow(key_type: str) -> object:
        files.write_key(device.key, key("ec:P-256", "the faster"))
        return generate(key_type)

    monkeypatch.setattr(client_files, "generate", slow)


def test_the_key_that_another_command_has_made_is_the_one(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    another_is_faster(monkeypatch, device)
    device.enroll("--key-type", "ec:P-256").good()
    made = files.read_key(device.key)
    assert made.public_key() == key("ec:P-256", "the faster").public_key()
    client_files.check_fit(made, device.key, files.read_certificate(device.out), device.out)


def test_it_has_to_be_of_the_type_that_is_wanted(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    another_is_faster(monkeypatch, device)
    found = device.enroll("--key-type", "ec:P-384")
    found.refused_in_one_line(2, "holds a key of type ec:P-256, not ec:P-384")
    assert device.line.sent == []
    assert files.read_key(device.key).public_key() == key("ec:P-256", "the faster").public_key()


def no_links(_self: Path, _target: Path) -> None:
    raise PermissionError(errno.EPERM, "as on FAT")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_there_is_not_written_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, links: bool) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert files.write_new(tmp_path / "new", b"one", secret=True)
    assert not files.write_new(tmp_path / "new", b"two", secret=True)
    assert (tmp_path / "new").read_bytes() == b"one" and stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    (tmp_path / "link").symlink_to("nowhere")
    assert not files.write_new(tmp_path / "link", b"three") and not (tmp_path / "nowhere").exists()
    with pytest.raises(UsageError, match=r"cannot write .*/none/new"):
        files.write_new(tmp_path / "none" / "new", b"four")


# The file that keeps the request


def commands(device: Device) -> dict[str, Callable[[], Any]]:
    paths = ("--key", device.key, "--out", device.out)
    return {
        "enroll": device.enroll,
        "renew": lambda: run("renew", "--url", device.url, *device.where, *paths, "--cert", device.folder / "old.pem"),
        "poll": device.poll,
    }


@pytest.mark.parametrize("command", ["enroll", "renew", "poll"])
def test_one_command_at_a_time_enrols_into_one_file(device: Device, command: str) -> None:
    device.enroll().good()
    device.out.rename(device.folder / "old.pem")
    device.lose(device.enroll)
    kept = device.pending.read_bytes()
    with files.locked(lock(device)):
        found = commands(device)[command]()
        words = f"another command is enrolling into {device.out}; give this one again when it has ended"
        found.refused_in_one_line(2, words)
        assert device.line.sent == [] and device.pending.read_bytes() == kept
    device.poll().good()
    assert {path.name for path in device.folder.iterdir()} == {"a key", "a.pem", "old.pem"}


def test_no_key_is_made_meanwhile(device: Device) -> None:
    with files.locked(lock(device)):
        device.enroll().refused_in_one_line(2, "another command is enrolling")
    assert list(device.folder.iterdir()) == []


def test_the_lock_of_a_command_that_crashed_is_no_obstacle(device: Device) -> None:
    lock(device).write_bytes(b"")
    device.enroll().good()
    assert not lock(device).exists()


def test_the_lock_is_no_file_of_the_user_s(device: Device) -> None:
    device.key = lock(device)
    device.enroll().refused_in_one_line(2, "the file that locks --out and --key are the same file")


def test_a_lock_that_was_removed_while_we_waited_for_it_is_taken_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, real = tmp_path / "lock", fcntl.flock

    def slow(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        monkeypatch.undo()
        path.unlink()

    monkeypatch.setattr(fcntl, "flock", slow)
    with files.locked(path) as ours, files.locked(path) as theirs:
        assert ours and not theirs and path.exists()
    assert not path.exists()


def test_a_file_system_without_locks_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with files.locked(tmp_path / "lock") as ours:
        assert ours
    with pytest.raises(UsageError, match=r"cannot make .*/none/lock"), files.locked(tmp_path / "none" / "lock"):
        pass
