"""The factory for production servers, as the README starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scep_kem import gunicorn
from scep_kem.ca_dir import CaDir
from tests.scep_kem.kit import ROOT

pytestmark = pytest.mark.any_day

ASK = """
import sys
from scep_kem.wsgi import create_app
print(create_app(sys.argv[1]).test_client().get("/scep?operation=GetCACaps").text)
"""


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, because an application keeps its database open. gunicorn looks into the home directory."""
    command = (sys.executable, *arguments)
    environment = os.environ | {"HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_factory_serves_a_configuration_file(own: CaDir, tmp_path: Path) -> None:
    done = run(tmp_path, "-c", ASK, str(own.path / "scep.toml"))
    assert (done.returncode, done.stderr.count("\n")) == (0, 1) and " INFO scep: GetCACaps answered " in done.stderr
    assert "POSTPKIOperation" in done.stdout


def test_gunicorn_loads_the_factory(own: CaDir, tmp_path: Path) -> None:
    settings = ("--config", "python:scep_kem.gunicorn")
    done = run(
        tmp_path,
        "-m",
        "gunicorn",
        *settings,
        "--check-config",
        f'scep_kem.wsgi:create_app("{own.path}/scep.toml")',
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--check-config", "--preload"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[ca]\ndir = 5\n", "ca.dir is not a text"),
        ("[ca\n", "the name of a table has no closing ]"),
        ('[ca]\ndir = "nowhere"\n', "holds no CA"),
        (None, "cannot read"),
    ],
)
def test_issue_10_6_gunicorn_says_in_one_line_what_is_wrong(
    own: CaDir, tmp_path: Path, option: str, text: str | None, why: str
) -> None:
    own.config_path.unlink()
    if text is not None:
        own.config_path.write_text(text)
    application = f'scep_kem.wsgi:create_app("{own.config_path}")'
    done = run(tmp_path, "-m", "gunicorn", "--config", "python:scep_kem.gunicorn", option, application)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{own.config_path}"[:-10] in line and why in line and " ERROR " in line
    assert len(done.stderr.splitlines()) == 1


def test_another_server_gets_an_exception(own: CaDir, tmp_path: Path) -> None:
    own.config_path.write_text("[ca\n")
    done = run(tmp_path, "-c", ASK, str(own.config_path))
    assert done.returncode == 1 and "scep_kem.errors.UsageError: " in done.stderr


def test_gunicorn_reads_every_setting_of_ours(tmp_path: Path) -> None:
    """It ignores names that it does not know."""
    done = run(
        tmp_path,
        "-m",
        "gunicorn",
        "--config",
        "python:scep_kem.gunicorn",
        "--print-config",
        "scep_kem.wsgi:create_app()",
    )
    found = dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.M))
    ours = {
        name: value for name, value in vars(gunicorn).items() if name.islower() and name not in ("os", "annotations")
    }
    assert len(ours) >= 9
    for name, value in ours.items():
        if not name.startswith("_") and not callable(value):
            assert found[name] in (str(value), str([value])), name
