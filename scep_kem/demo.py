"""`make demo`: a CA, its responder and enrolments on this machine, with every message explained.

First a device with an RSA key, by plain RFC 8894; then a device whose only key is an ML-KEM key, at a CA that has no
RSA key at all. It runs the commands that a user would type, prints them, and leaves in demo-ca/ all that they wrote:
the CAs, and beside each its device's key and certificate and the responder's log. It may be run again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("demo-ca")
SCEP_KEM = Path(sys.executable).with_name("scep-kem")


def main() -> int:
    """Run the demo. Returns the exit code."""
    try:
        _title("1. RFC 8894: an RSA key")
        _enrolment("classic", [], ["--subject", "CN=device,O=Example", "--san", "dns:device.example"])
        _title("2. The update: a device whose only key is ML-KEM-768; ML-DSA and ML-KEM everywhere, RSA nowhere")
        ca = ["--key-type", "ml-dsa-65", "--kem", "ml-kem-768", "--no-rsa"]
        wanted = ["--subject", "CN=kem device,O=Example", "--key-type", "ml-kem-768", "--require-kem"]
        _enrolment("kem", ca, wanted)
    except subprocess.CalledProcessError as error:
        print(f"{error.stderr.rstrip()}\nthe demo ends here; without {FOLDER}, it begins anew", file=sys.stderr)
        return 1
    print(f"The responders have been stopped. What was written is in {FOLDER}:")
    for path in sorted(FOLDER.glob("*-device/*")):
        print(f"    {path}")
    print(f"$ scep-kem serve --dir {FOLDER}/kem    # starts that CA again")
    return 0


def _enrolment(name: str, ca: list[str], wanted: list[str]) -> None:
    """Make the CA, serve it, enrol a device, and show what the server has to say."""
    folder, device = FOLDER / name, FOLDER / f"{name}-device"
    for path in (FOLDER, device):
        path.mkdir(mode=0o700, exist_ok=True)
    key, out = device / "device.key", device / "device.pem"
    # What an interrupted demo left, whose server listened on another port.
    out.with_name(f"{out.name}.pending").unlink(missing_ok=True)
    if not folder.exists():
        _show("ca", "init", "--dir", str(folder), *ca)
        _run("ca", "init", "--dir", str(folder), *ca)
    with _server(folder, device / "responder.log") as (url, fingerprint, log):
        password = _run("challenge", "new", "--dir", str(folder))
        files = ["--key", str(key), "--out", str(out)]
        enroll = ["enroll", "--url", url, "--ca-fingerprint", fingerprint, *wanted, *files, "--trace"]
        _show(*enroll, then=f' --challenge "$(scep-kem challenge new --dir {shlex.quote(str(folder))})"')
        print()
        print(_run(*enroll, "--challenge", password))
        lines = out.read_text().splitlines()
        shown = lines if len(lines) < 40 else [*lines[:4], f"... {len(lines) - 6} lines ...", *lines[-2:]]
        print(f"\n{out}:", *shown, "", sep="\n")
        print(f"The responder's log, {log}:")
        print("".join(f"    {line}" for line in log.read_text().splitlines(keepends=True)))


@contextmanager
def _server(folder: Path, log: Path) -> Iterator[tuple[str, str, Path]]:
    """`scep-kem serve` in the background: its URL, CA fingerprint and log file."""
    command = [str(SCEP_KEM), "serve", "--dir", str(folder), "--port", "0"]
    _show("serve", "--dir", str(folder), "--port", "0")
    with log.open("w") as written:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True)  # noqa: S603
        try:
            assert process.stdout is not None
            said: dict[str, str] = {}
            for line in process.stdout:
                print(f"    {line}", end="")
                name, _, value = line.strip().partition(": ")
                said[name] = value
                if name == "Challenge password":
                    break
            else:
                raise subprocess.CalledProcessError(process.wait(), command, stderr=log.read_text())
            yield said["URL"], said["CA fingerprint (SHA-256)"], log
        finally:
            process.terminate()
            process.communicate()


def _run(*arguments: str) -> str:
    done = subprocess.run([SCEP_KEM, *arguments], check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.rstrip()


def _show(*arguments: str, then: str = "") -> None:
    print(f"$ scep-kem {shlex.join(arguments)}{then}", flush=True)


def _title(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}\n")


if __name__ == "__main__":
    sys.exit(main())
