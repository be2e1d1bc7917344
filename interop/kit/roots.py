"""Debian releases other than the machine's own, each in a folder of the cache, run with chroot (as root)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from interop.kit.cases import Missing
from interop.kit.install import CACHE, InstallFailed, apt_install, only_one, step

_SCRIPTS = Path("/usr/share/debootstrap/scripts")
# What unpacking leaves behind is most of the size, and of no use to a folder that is never upgraded.
_LEFTOVERS = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")


@dataclass(frozen=True)
class DebianRoot:
    """A minimal Debian of a suite with some packages. The file `done` in it lists the packages it was made with."""

    suite: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The folder that becomes /."""
        return CACHE / self.suite

    def build(self) -> None:
        """Make it with debootstrap, or install what an older one lacks. Raises InstallFailed."""
        with only_one(self.suite):
            self._build()

    def _build(self) -> None:
        if self._is_complete():
            return
        if os.geteuid() != 0:
            raise InstallFailed(f"a Debian root ({self.suite}) needs debootstrap, which needs root")
        if (self.path / "done").exists():
            self._extend()
        else:
            self._bootstrap()
        for leftover in _LEFTOVERS:
            shutil.rmtree(self.path / leftover, ignore_errors=True)
        (self.path / "done").write_text(self._wanted())

    def require(self) -> None:
        """Raises Missing when it cannot be run."""
        if not self._is_complete():
            raise Missing(f"the Debian root {self.suite} is not complete (python -m interop install, as root)")
        if os.geteuid() != 0:
            raise Missing(f"chroot into the Debian root {self.suite} needs root")

    def command(self, *argv: str) -> tuple[str, ...]:
        """The command line that runs a program in it."""
        return ("chroot", str(self.path), *argv)

    def seen(self, path: Path) -> str:
        """A file's path as programs in it see it."""
        return "/" + str(path.relative_to(self.path))

    def fresh_folder(self, name: str) -> Path:
        """An empty folder in it, the same one every time for a name."""
        inside = self.path / "tmp" / "interop" / name
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir(parents=True)
        return inside

    def version(self, *argv: str, pattern: str) -> str:
        """The first group of `pattern` in what a program in it prints."""
        self.require()
        shown = subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=20, check=False)
        match = re.search(pattern, shown.stdout + shown.stderr)
        return match[1] if match else "unknown version"

    def _wanted(self) -> str:
        return " ".join(sorted(self.packages)) + "\n"

    def _is_complete(self) -> bool:
        done = self.path / "done"
        return done.exists() and done.read_text() == self._wanted()

    def _bootstrap(self) -> None:
        apt_install("debootstrap")
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        include = "--include=" + ",".join(self.packages)
        argv = ("debootstrap", "--variant=minbase", include, self.suite, str(self.path))
        # An older debootstrap does not know newer suites; the one for unstable makes them all.
        newer = () if (_SCRIPTS / self.suite).exists() else ("", str(_SCRIPTS / "sid"))
        step((*argv, *newer))

    def _extend(self) -> None:
        shutil.copy("/etc/resolv.conf", self.path / "etc" / "resolv.conf")
        step(self.command("apt-get", "update"))
        install = ("apt-get", "install", "-y", "--no-install-recommends", *self.packages)
        step(self.command(*install), DEBIAN_FRONTEND="noninteractive")


TRIXIE = DebianRoot("trixie", ("strongswan-pki", "libstrongswan-extra-plugins", "openssl"))
FORKY = DebianRoot("forky", ("openssl",))
