"""scep_kem/demo.py: `make demo` shows two whole enrolments, ends with 0, and leaves the CAs."""

from __future__ import annotations

import re
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
    made = {"device.key", "device.pem", "responder.log"}
    folder = tmp_path / "demo-ca"
    assert {path.name for path in folder.iterdir()} == {"classic", "classic-device", "kem", "kem-device"}
    for name in ("classic-device", "kem-device"):
        assert {path.name for path in (folder / name).iterdir()} == made
    for named in set(re.findall(r"demo-ca/[\w./-]*\w", done.stdout)):
        assert (tmp_path / named).exists(), named
    before = (folder / "kem-device" / "device.pem").read_bytes()
    (folder / "kem-device" / "device.pem.pending").write_text("of a run that was interrupted")
    again = demo(tmp_path)
    assert again.returncode == 0 and again.stderr == "", again.stderr
    assert (folder / "kem-device" / "device.pem").read_bytes() != before


def test_a_demo_that_cannot_go_on_says_why_and_how_to_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "demo-ca" / "classic").mkdir(parents=True)
    (tmp_path / "demo-ca" / "classic" / "file").touch()
    done = demo(tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.endswith("the demo ends here; without demo-ca, it begins anew\n")
