"""The factory for production servers, as the README starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.web.kit import ROOT
from web.ca_dir import CaDir

ASK = """
import sys
from web.wsgi import create_app
print(create_app(sys.argv[1]).test_client().get("/scep?operation=GetCACaps").text)
"""


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, because an application keeps its database open. gunicorn looks into the home directory."""
    command = (sys.executable, *arguments)
    environment = os.environ | {"HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_factory_serves_a_configuration_file(own: CaDir, tmp_path: Path) -> None:
    done = run(tmp_path, "-c", ASK, str(own.path / "scep.toml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "POSTPKIOperation" in done.stdout


def test_gunicorn_loads_the_factory(own: CaDir, tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "gunicorn", "--check-config", f'web.wsgi:create_app("{own.path}/scep.toml")')
    assert (done.returncode, done.stderr) == (0, "")
