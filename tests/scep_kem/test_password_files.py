"""Files with passwords: their first line, also of what a shell opens for us, and by one rule for every option."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scep_kem import files
from scep_kem.errors import UsageError
from tests.scep_kem.devices import Device, password


@contextmanager
def piped(data: bytes) -> Iterator[Path]:
    """As `<(command)` in bash."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


def test_a_challenge_password_may_come_through_the_shell_s_pipe(make: Callable[..., Device], ca_folder: Path) -> None:
    with piped(password(ca_folder).encode() + b"\n") as pipe:
        make().enroll("--challenge-file", pipe).good()


@pytest.mark.parametrize("content", [b"secret", b"secret\n", b"secret\r\nand more\n"])
def test_the_first_line_is_the_password(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    (tmp_path / "password").chmod(0o600)
    assert files.read_first_line(tmp_path / "password") == b"secret"
    with piped(content) as pipe:
        assert files.read_first_line(pipe) == b"secret"


def test_a_pipe_that_brings_nothing_is_told() -> None:
    with piped(b"") as pipe, pytest.raises(UsageError, match="is empty; it should be the password"):
        files.read_first_line(pipe)


def test_a_pipe_that_has_a_name_may_be_somebody_else_s(make: Callable[..., Device], tmp_path: Path) -> None:
    """And would make us wait for ever."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    make().enroll("--challenge-file", tmp_path / "pipe").refused_in_one_line(2, "not a regular file")


@pytest.mark.parametrize("option", ["--challenge-file", "--key-password-file"])
def test_a_password_file_that_others_may_read_is_warned_of(
    make: Callable[..., Device], tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o644)
    make("/manual").enroll(option, tmp_path / "password")
    assert f"others may read {tmp_path / 'password'} (mode 0644)" in caplog.text
