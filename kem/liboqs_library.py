"""Importing `oqs` (liboqs-python), safely and silently. The one module of this package that touches its surroundings.

liboqs-python looks for the C library when it is imported. If it finds none it counts down five seconds, clones liboqs,
builds and installs it, and ends the program if that fails; in any case it writes lines to standard output, and a
warning when the two versions differ. None of that is ours to do on an operator's machine, so here

* the C library must be found and loadable where liboqs-python will look, before it is imported;
* while it is imported, PYOQS_VERSION names no version, which its installer refuses before it starts (0.16.0.1);
* its logger is disabled, and the warning ignored: `LiboqsBackend.version` shows both versions.

That the two fit is checked by what they do (`liboqs_backend`), not by their numbers.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from kem.errors import BackendUnavailable

_FILE_NAME = "liboqs.dylib" if sys.platform == "darwin" else "liboqs.so"


def load(install_path: str | None) -> ModuleType:
    """The module `oqs`. install_path: an installation of liboqs (with lib/ or lib64/), as OQS_INSTALL_PATH says.

    A liboqs among the system's libraries goes first, because liboqs-python prefers it. A process has one liboqs, that
    of the first import. Raises BackendUnavailable.
    """
    if "oqs" in sys.modules:
        return sys.modules["oqs"]
    if importlib.util.find_spec("oqs") is None:
        raise BackendUnavailable("backend liboqs: liboqs-python is not installed; install scep-kem[oqs]")
    if not any(_loads(path) for path in _candidates(install_path)):
        raise BackendUnavailable(
            f"backend liboqs: no {_FILE_NAME} among the system's libraries or in OQS_INSTALL_PATH"
            f" ({install_path or 'not set'}); install liboqs and set OQS_INSTALL_PATH to its prefix"
        )
    return _import(install_path)


def _candidates(install_path: str | None) -> list[str]:
    found = [ctypes.util.find_library("liboqs"), ctypes.util.find_library("oqs")]
    if install_path is not None:
        found += [os.path.join(install_path, folder, _FILE_NAME) for folder in ("lib", "lib64")]  # noqa: PTH118
    return [path for path in found if path is not None]


def _loads(path: str) -> bool:
    try:
        ctypes.CDLL(path)
    except OSError:
        return False
    return True


def _import(install_path: str | None) -> ModuleType:
    logging.getLogger("oqs.oqs").disabled = True
    environment = {"PYOQS_VERSION": "none"}
    if install_path is not None:
        environment["OQS_INSTALL_PATH"] = install_path
    try:
        with warnings.catch_warnings(), _environment(environment):
            warnings.simplefilter("ignore")
            return importlib.import_module("oqs")
    except AttributeError as error:
        # liboqs-python names every function it may ever call, so one that this liboqs lacks stops the import.
        raise BackendUnavailable(
            f"backend liboqs: liboqs-python and liboqs do not fit, install matching versions: {error}"
        ) from None
    except (Exception, SystemExit) as error:
        raise BackendUnavailable(f"backend liboqs: liboqs-python cannot be imported: {error}") from error


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of an import, then as before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
