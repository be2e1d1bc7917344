"""No command writes over a private key that it was not given: a slip of the hand would cost it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkix.keys import dump_private_key, encode_key
from scep_kem import files
from scep_kem.errors import UsageError
from tests.scep_kem.devices import Device
from tests.scep_kem.kit import LAST_RESORT, Result, ca_pair, environment, run
from tests.world import key

pytestmark = pytest.mark.any_day

HOLD_A_KEY: dict[str, Callable[[Path], object]] = {
    "PKCS #8": lambda path: files.write_key(path, key("ed25519")),
    "encrypted": lambda path: files.write_key(path, key("ed25519"), password=b"secret"),
    "DER": lambda path: path.write_bytes(encode_key(key("ed25519"))),
    "behind its certificate": lambda path: path.write_bytes(
        files.pem(ca_pair("ec:P-256").certificate) + dump_private_key(key("ec:P-256"))
    ),
}


def written_by(command: str, device: Device, victim: Path, password_file: Path) -> Result:
    if command.startswith("--"):
        return device.enroll(command, victim, *(("--p12-password-file", password_file) if command == "--p12" else ()))
    if command == "enroll":
        device.out = victim
        return device.enroll()
    if command == "poll":
        (victim.parent / f"{victim.name}.pending").write_bytes((device.folder / "device.pem.pending").read_bytes())
        device.out = victim
        return device.poll()
    if command == "cacert":
        return run("cacert", "--url", device.url, "--out", victim)
    if command == "ca crl":
        return run("ca", "crl", "--dir", device.server.directory, "--out", victim)
    return device.signed(command, *(("--serial", "1") if command == "getcert" else ()), out=str(victim))


@pytest.mark.parametrize("kind", HOLD_A_KEY)
@pytest.mark.parametrize("command", ["enroll", "--ca-out", "--p12", "cacert", "getcert", "getcrl", "renew", "ca crl"])
def test_no_private_key_is_written_over(enrolled: Device, tmp_path: Path, kind: str, command: str) -> None:
    """Told before anything is sent: nobody listens at this URL."""
    victim, password_file = tmp_path / "victim.key", tmp_path / "password"
    HOLD_A_KEY[kind](victim)
    password_file.write_text("secret")
    password_file.chmod(0o600)
    before = victim.read_bytes()
    enrolled.url = "http://127.0.0.1:1/scep"
    found = written_by(command, enrolled, victim, password_file)
    found.refused_in_one_line(2, f"{victim} holds a private key, which is not overwritten; name another file")
    assert victim.read_bytes() == before


def test_nor_by_poll(make: Callable[..., Device], tmp_path: Path) -> None:
    device = make("/manual")
    assert device.enroll().code == 3
    HOLD_A_KEY["PKCS #8"](tmp_path / "victim.key")
    found = written_by("poll", device, tmp_path / "victim.key", tmp_path)
    found.refused_in_one_line(2, "victim.key holds a private key, which is not overwritten")


def test_a_certificate_does_not_replace_pkcs12_but_pkcs12_does(enrolled: Device, tmp_path: Path) -> None:
    """A renewal writes the same file again."""
    own, password_file = tmp_path / "own.p12", tmp_path / "password"
    password_file.write_text("secret")
    password_file.chmod(0o600)
    more = ("--p12", own, "--p12-password-file", password_file)
    enrolled.signed("renew", *more, out="new.pem").good()
    before = own.read_bytes()
    enrolled.signed("renew", *more, out="new.pem").good()
    assert own.read_bytes() != before
    run("cacert", "--url", enrolled.url, "--out", own).refused_in_one_line(2, "own.p12 holds a private key")


def test_what_cacert_cannot_write_is_told_before_it_asks(tmp_path: Path) -> None:
    found = run("cacert", "--url", "http://127.0.0.1:1/scep", "--out", tmp_path / "absent" / "ca.pem")
    found.refused_in_one_line(2, "cannot write ")


def test_the_file_that_stdout_is_keeps_what_was_printed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "from pathlib import Path; from scep_kem import files; files.write(Path('/dev/stdout'), b'behind')"
    with log.open("a") as stdout:
        command = [sys.executable, "-c", code]
        subprocess.run(command, stdout=stdout, env=environment(), check=True, timeout=LAST_RESORT)
    assert log.read_text() == "before\nbehind"


def test_a_large_file_is_no_key(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(dump_private_key(key("ed25519")) + bytes(1 << 20))
    files.check_no_key(large)
    large.write_bytes(dump_private_key(key("ed25519")))
    with pytest.raises(UsageError, match="holds a private key"):
        files.check_no_key(large)
