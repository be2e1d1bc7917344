"""Renders the document: text, HTML and XML in build/draft/, without any network.

    draft-todo-lamps-scep-kem.md --kramdown-rfc--> XML --xml2rfc--> XML version 3, text, HTML; idnits looks at both XML

A word on standard error by kramdown-rfc or xml2rfc fails the build, and so does an error of idnits, or a warning of a
kind that is not expected of kramdown-rfc's XML. The date is the one in the document's front matter, so that the output
does not change with the day.

kramdown-rfc is Debian's ruby-kramdown-rfc2629, idnits comes from npm into .cache/. Both, and Node.js, are installed
when they are missing and the machine lets us.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from drafts.tools import DRAFTS

ROOT = DRAFTS.parent
SOURCE = DRAFTS / "draft-todo-lamps-scep-kem.md"
OUTPUT = ROOT / "build" / "draft"
IDNITS_VERSION = "3.0.0-alpha.74"
IDNITS = ROOT / ".cache" / "idnits"
XML2RFC = Path(sys.executable).with_name("xml2rfc")
# xml2rfc and idnits compare the document's date with today, whatever --date says. The draft is built on every day, and
# dated on the one it is posted.
XML2RFC_OF_THE_DAY = "The document date ({date}) is more than 3 days away from today's date"
IDNITS_OF_THE_DAY = {"ValidationWarning DOC_DATE_IN_PAST", "ValidationWarning DOC_DATE_IN_FUTURE"}
# The vocabulary of kramdown-rfc 1.6.22 is still that of version 2 in places; xml2rfc converts it.
EXPECTED_WARNINGS = {"DEPRECATED_ELEMENT", "DEPRECATED_REFERENCES_TITLE"}


class BuildFailed(Exception):
    """The document could not be rendered, or not without complaint."""


def run(command: Sequence[str | Path], *, folder: Path = DRAFTS, environment: dict[str, str] | None = None) -> str:
    """The standard output of a program. Raises BuildFailed when it fails or says anything on standard error."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        capture_output=True,
        check=False,
    )
    output = done.stdout.decode()
    complaints = [line for line in done.stderr.decode().splitlines() if not line.startswith(" Created file ")]
    if done.returncode or complaints:
        text = "\n".join(complaints) or output
        raise BuildFailed(f"{Path(command[0]).name} (status {done.returncode}) says:\n{text}")
    return output


def require(program: str, *packages: str) -> None:
    """Have a program, by way of its Debian packages if it is missing. Raises BuildFailed."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise BuildFailed(f"{program} is missing; install it, on Debian with: apt-get install {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)


def require_idnits() -> None:
    """Install idnits into .cache/, in the version that the expectations here are about. Raises BuildFailed."""
    package = IDNITS / "node_modules" / "@ietf-tools" / "idnits" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == IDNITS_VERSION:
        return
    require("npm", "nodejs", "npm")
    IDNITS.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(IDNITS), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*command, f"@ietf-tools/idnits@{IDNITS_VERSION}"], check=True, stdout=subprocess.DEVNULL)


def front_matter(field: str) -> str:
    """A field of the document's front matter. Raises BuildFailed."""
    found = re.search(rf"^{field}: *(\S+)", SOURCE.read_text().split("--- abstract")[0], re.MULTILINE)
    if not found:
        raise BuildFailed(f"{SOURCE.name} has no {field}")
    return found[1]


def kramdown(name: str, folder: Path) -> Path:
    """Markdown to XML. name: of the document with its version, which replaces `-latest`."""
    with tempfile.TemporaryDirectory() as empty:
        # A reference that is not given inline would be looked up, so there is no network and no cache to look in.
        environment = {"KRAMDOWN_OFFLINE": "1", "KRAMDOWN_NO_SOURCE": "1", "KRAMDOWN_REFCACHEDIR": empty}
        xml = run(["kramdown-rfc2629", "--v3", SOURCE.name], environment=environment)
    path = folder / f"{name}.xml"
    path.write_text(xml.replace(front_matter("docname"), name))
    return path


def xml2rfc(path: Path, *arguments: str | Path) -> None:
    """Run xml2rfc on a file, as if it were the document's date. Only its warning that it is not is silenced."""
    date = front_matter("date")
    options = ["--no-network", "--skip-config-files", "--date", date]
    options += ["--silence", XML2RFC_OF_THE_DAY.format(date=date)]
    run([XML2RFC, *options, *arguments, path], folder=OUTPUT)


def idnits(path: Path, mode: str) -> str:
    """A summary of what idnits says of an XML file. Raises BuildFailed for what it should not say.

    Mode submission is what the datatracker wants of an upload. Mode normal looks at more, but of xml2rfc's XML it takes
    the section around both lists of references for a third one, and then asks the network in spite of --offline.
    """
    # Debian 12 has Node.js 18, on which idnits works, although its command line parser asks for 20.
    environment = {"YARGS_MIN_NODE_VERSION": "18"}
    program = IDNITS / "node_modules" / "@ietf-tools" / "idnits" / "cli.js"
    command: list[str | Path] = ["node", program, "--offline", "-m", mode, "-o", "json", path]
    return judge(json.loads(run(command, environment=environment))["nits"])


def judge(nits: Sequence[dict[str, str]]) -> str:
    """A summary of idnits' nits, the same on every day. Raises BuildFailed for one that is not expected."""
    kept = [nit for nit in nits if f"{nit['severity']} {nit['code']}" not in IDNITS_OF_THE_DAY]
    for nit in kept:
        expected = nit["severity"] == "ValidationWarning" and nit["code"] in EXPECTED_WARNINGS
        if nit["severity"] != "ValidationComment" and not expected:
            raise BuildFailed(f"idnits: {nit['code']}: {nit['desc']} {nit.get('path', '')}")
    count = Counter(f"{nit['severity'].removeprefix('Validation')} {nit['code']}" for nit in kept)
    return f"no error; {', '.join(f'{number} {kind}' for kind, number in sorted(count.items())) or 'no nit'}"


def build() -> None:
    """Render and check the document, and say what was made."""
    require("kramdown-rfc2629", "ruby-kramdown-rfc2629")
    require_idnits()
    require("node", "nodejs")
    name = front_matter("docname").replace("-latest", "-00")
    intermediate = OUTPUT / "kramdown"
    shutil.rmtree(OUTPUT, ignore_errors=True)
    intermediate.mkdir(parents=True)
    xml = kramdown(name, intermediate)
    final = OUTPUT / xml.name
    xml2rfc(xml, "--v2v3", "--out", final)
    xml2rfc(final, "--text", "--html")
    summaries = {mode: idnits(path, mode) for mode, path in (("normal", xml), ("submission", final))}
    for path in sorted(OUTPUT.glob(f"{name}.*")):
        text = path.read_text()
        pages = f"{text.count(chr(12)) + 1} pages, " if path.suffix == ".txt" else ""
        print(f"{path.relative_to(ROOT)}: {pages}{len(text.splitlines())} lines, {path.stat().st_size // 1000} kB")
    for mode, summary in summaries.items():
        print(f"idnits {IDNITS_VERSION}, mode {mode}: {summary}")
