"""`make demo`: a CA, its responder and one enrolment on this machine, with every message explained.

It runs the same commands that a user would type, prints the ones that matter, and leaves the CA in demo-ca/.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("demo-ca")
SCEP_KEM = Path(sys.executable).with_name("scep-kem")


def main() -> int:
    """Run the demo. Returns the exit code."""
    with _server() as (url, fingerprint), tempfile.TemporaryDirectory() as scratch:
        password = _run("challenge", "new", "--dir", str(FOLDER))
        out = Path(scratch) / "device.pem"
        enroll = [
            *("enroll", "--url", url, "--ca-fingerprint", fingerprint, "--trace"),
            *("--key", str(Path(scratch) / "device.key"), "--subject", "CN=device,O=Example"),
            *("--san", "dns:device.example", "--challenge", password, "--out", str(out)),
        ]
        shown = [f'"$(scep-kem challenge new --dir {FOLDER})"' if item == password else item for item in enroll]
        print(f"\n$ scep-kem {' '.join(_quoted(item) for item in shown)}\n")
        print(_run(*enroll))
        print(f"\n{out.read_text()}")
        print(f"$ scep-kem ca list --dir {FOLDER}")
        print(_run("ca", "list", "--dir", str(FOLDER)))
    return 0


@contextmanager
def _server() -> Iterator[tuple[str, str]]:
    """`scep-kem serve` in the background: its URL and CA fingerprint."""
    command = [str(SCEP_KEM), "serve", "--dir", str(FOLDER), "--port", "0"]
    print(f"$ scep-kem serve --dir {FOLDER} --port 0      # a CA is made at the first start")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            said: dict[str, str] = {}
            for line in process.stdout:
                print(f"  {line}", end="")
                name, _, value = line.strip().partition(": ")
                said[name] = value
                if "Challenge password" in said:
                    break
            yield said["URL"], said["CA fingerprint (SHA-256)"]
        finally:
            process.terminate()


def _run(*arguments: str) -> str:
    done = subprocess.run([SCEP_KEM, *arguments], check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.rstrip()


def _quoted(text: str) -> str:
    return f'"{text}"' if "=" in text and not text.startswith('"') else text


if __name__ == "__main__":
    sys.exit(main())
