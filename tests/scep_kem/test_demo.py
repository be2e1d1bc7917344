"""scep_kem/demo.py: `make demo` shows two whole enrolments, ends with 0, and leaves the CAs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scep_kem.kit import LAST_RESORT, environment


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scep_kem.demo"]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=LAST_RESORT
    )


def test_the_demo_enrols_and_explains_every_message(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        *("URL: http://127.0.0.1:", "GetCACaps: ", "GetCACert: ", "client -> CA  PKCSReq", "CA -> client  CertRep"),
        *("pkiStatus      SUCCESS", "-----BEGIN CERTIFICATE-----", "subject        CN=device,O=Example"),
        *("kemPopChallenge ML-KEM-768", "kemPopConfirm  mac ", "subject        CN=kem device,O=Example"),
    ):
        assert words in done.stdout, words
    assert done.stderr == "" and "PRIVATE KEY" not in done.stdout and "Traceback" not in done.stdout
    assert {path.name for path in (tmp_path / "demo-ca").iterdir()} == {"classic", "kem"}
