"""Build liboqs with ML-KEM alone, from the sources in the Rust crate `oqs-sys`; print the path for OQS_INSTALL_PATH.

    export OQS_INSTALL_PATH="$(python -m interop.liboqs.build)"

Distributions rarely package liboqs, and liboqs-python would clone it. The crate registry has it under a checksum
(Cargo.lock); no Rust is compiled. Needs cargo 1.78 or newer, cmake, a C compiler and make; on Debian 12 the packages
cargo-web (its `cargo` is too old for the registry), cmake, gcc, libc6-dev and make, on Debian 13 cargo instead of
cargo-web. As root they are installed if missing. The result is kept in .cache/liboqs, and made anew when a file here
changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from pathlib import Path

from interop.kit.install import CHECKOUT, InstallFailed, apt_install, package_obtainable, step

HERE = Path(__file__).resolve().parent
CACHE = CHECKOUT / ".cache" / "liboqs"
PREFIX = CACHE / "prefix"
INPUTS = ("Cargo.toml", "Cargo.lock", "lib.rs", "supports_ctx_str.c", "build.py")
CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_INSTALL_LIBDIR=lib",
    "-DBUILD_SHARED_LIBS=ON",
    "-DOQS_BUILD_ONLY_LIB=ON",
    "-DOQS_DIST_BUILD=ON",  # chooses by processor when it runs, so a cache may move between machines
    "-DOQS_USE_OPENSSL=OFF",
    "-DOQS_MINIMAL_BUILD=KEM_ml_kem_512;KEM_ml_kem_768;KEM_ml_kem_1024",
)


def build() -> Path:
    """The installed library's prefix, building it if it is not there. Raises InstallFailed."""
    stamp, state = PREFIX / "built-from", _inputs_hash()
    if stamp.exists() and stamp.read_text() == state:
        return PREFIX
    _install_tools()
    work = CACHE / "work"
    shutil.rmtree(CACHE, ignore_errors=True)
    work.mkdir(parents=True)
    _fetch_sources(work)
    _compile(work)
    shutil.rmtree(work)
    stamp.write_text(state)
    return PREFIX


def _inputs_hash() -> str:
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((HERE / name).read_bytes() + b"\0")
    return digest.hexdigest()


def _install_tools() -> None:
    packages = {"cmake": ("cmake",), "cc": ("gcc", "libc6-dev"), "make": ("make",)}
    missing = [name for tool, names in packages.items() if shutil.which(tool) is None for name in names]
    if shutil.which("cargo") is None:
        missing.append("cargo-web" if package_obtainable("cargo-web") else "cargo")
    apt_install(*missing)


def _fetch_sources(work: Path) -> None:
    """Into work/vendor, in a copy of the package, since cargo writes beside its manifest."""
    for name in ("Cargo.toml", "Cargo.lock", "lib.rs"):
        shutil.copy(HERE / name, work)
    step(("cargo", "vendor", "--quiet", "--locked", "vendor"), cwd=work)


def _compile(work: Path) -> None:
    extra = work / "supports_ctx_str.o"
    step(("cc", "-O2", "-fPIC", "-Wall", "-Werror", "-c", str(HERE / "supports_ctx_str.c"), "-o", str(extra)))
    paths = ("-S", str(work / "vendor" / "oqs-sys" / "liboqs"), "-B", str(work / "build"))
    placed = (f"-DCMAKE_INSTALL_PREFIX={PREFIX}", f"-DCMAKE_SHARED_LINKER_FLAGS={extra}")
    step(("cmake", *paths, *CMAKE_OPTIONS, *placed))
    step(("cmake", "--build", str(work / "build"), "--parallel", str(os.cpu_count() or 1)))
    step(("cmake", "--install", str(work / "build")))


def main() -> int:
    """Progress goes to standard error, the path alone to standard output."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prefix = build()
    except InstallFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(prefix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
