"""liboqs-python is imported silently, only with a library that loads, and never clones or builds one."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kem import liboqs_library
from kem.backend import Backend
from kem.errors import BackendUnavailable
from kem.keys import DecapsulationKey
from kem.liboqs_backend import LiboqsBackend
from kem.parameters import ML_KEM_768, PARAMETER_SETS
from tests.kem.conftest import oqs_install_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process that has not imported oqs, on a machine that has liboqs-python but no liboqs."""
    monkeypatch.delitem(sys.modules, "oqs", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(liboqs_library.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(importlib, "import_module", must_not_be_imported)
    return monkeypatch


def must_not_be_imported(name: str) -> ModuleType:
    raise AssertionError(f"{name} was imported")


def test_without_liboqs_python_the_extra_is_named(not_imported: pytest.MonkeyPatch) -> None:
    not_imported.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"liboqs-python is not installed; install scep-kem\[oqs\]$"):
        liboqs_library.load(None)


def test_without_a_library_nothing_is_imported(not_imported: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable) as refused:
        liboqs_library.load(None)
    assert "OQS_INSTALL_PATH (not set)" in refused.value.text
    assert "\n" not in refused.value.text
    with pytest.raises(BackendUnavailable, match=re.escape(str(tmp_path))):
        liboqs_library.load(str(tmp_path))


def test_a_library_that_does_not_load_is_none(not_imported: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """liboqs-python would take it for missing and start building."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / liboqs_library._FILE_NAME).write_bytes(b"not a library")
    with pytest.raises(BackendUnavailable, match="among the system's libraries"):
        liboqs_library.load(str(tmp_path))


@pytest.mark.parametrize("folder", ["lib", "lib64"])
def test_the_library_is_looked_for_where_liboqs_python_looks(not_imported: pytest.MonkeyPatch, folder: str) -> None:
    tried = []
    not_imported.setattr(liboqs_library, "_loads", lambda path: tried.append(path))
    with pytest.raises(BackendUnavailable):
        liboqs_library.load("/opt/oqs")
    assert f"/opt/oqs/{folder}/{liboqs_library._FILE_NAME}" in tried


def importing(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """A library that loads, and an import that ends like this."""

    def import_module(name: str) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result()

    monkeypatch.setattr(liboqs_library, "_loads", lambda path: True)
    monkeypatch.setattr(importlib, "import_module", import_module)


def test_a_library_that_lacks_a_function_is_said_not_to_fit(not_imported: pytest.MonkeyPatch) -> None:
    importing(not_imported, AttributeError("undefined symbol: OQS_SIG_supports_ctx_str"))
    with pytest.raises(BackendUnavailable, match="do not fit, install matching versions: undefined symbol: OQS_SIG"):
        liboqs_library.load("/opt/oqs")


@pytest.mark.parametrize("error", [SystemExit(1), RuntimeError("broken"), ValueError("Cannot install liboqs")])
def test_an_import_that_fails_is_told_in_one_line(not_imported: pytest.MonkeyPatch, error: BaseException) -> None:
    importing(not_imported, error)
    with pytest.raises(BackendUnavailable, match="liboqs-python cannot be imported"):
        liboqs_library.load("/opt/oqs")


def test_the_environment_is_changed_for_the_import_only(not_imported: pytest.MonkeyPatch) -> None:
    not_imported.setenv("OQS_INSTALL_PATH", "/before")
    not_imported.delenv("PYOQS_VERSION", raising=False)
    seen: dict[str, str] = {}
    importing(not_imported, lambda: seen.update(os.environ))
    liboqs_library.load("/opt/oqs")
    assert seen["OQS_INSTALL_PATH"] == "/opt/oqs"
    assert seen["PYOQS_VERSION"] == "none"
    assert os.environ["OQS_INSTALL_PATH"] == "/before"
    assert "PYOQS_VERSION" not in os.environ


# With the real liboqs-python, in a process of its own


def child(program: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python in which `git` and `cmake` leave a mark instead of working, with every warning an error."""
    for tool in ("git", "cmake"):
        script = tmp_path / tool
        script.write_text(f"#!/bin/sh\ntouch {tmp_path}/called-{tool}\nexit 1\n")
        script.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def test_importing_it_is_silent(liboqs_backend: Backend, tmp_path: Path) -> None:
    program = f"from kem.liboqs_backend import LiboqsBackend; LiboqsBackend({oqs_install_path()!r})"
    done = child(program, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_installer_refuses_before_it_starts(liboqs_backend: Backend, tmp_path: Path) -> None:
    """The second lock: even if its search found nothing after ours did, it would not count down, clone or build."""
    program = (
        "import ctypes.util; ctypes.util.find_library = lambda name: None\n"
        "from kem import errors, liboqs_library\n"
        "try: liboqs_library._import('/nonexistent')\n"
        "except errors.BackendUnavailable as error: print(error.text)\n"
    )
    done = child(program, tmp_path)
    assert "liboqs-python cannot be imported: Cannot install liboqs version 'none'" in done.stdout
    assert done.stderr == ""
    assert not list(tmp_path.glob("called-*"))


# Whether wrapper and library fit


class KeyEncapsulation:
    """As liboqs-python's, with fields read from the wrong places."""

    length_public_key = 2400
    length_secret_key = 1184
    length_ciphertext = 1088
    length_shared_secret = 32

    def __init__(self, name: str, secret_key: bytes | None = None) -> None:
        pass

    def __enter__(self) -> KeyEncapsulation:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def wrapper(*mechanisms: str) -> Any:
    return SimpleNamespace(
        oqs_version=lambda: "9.9.9",
        oqs_python_version=lambda: "9.9.8",
        get_enabled_kem_mechanisms=lambda: mechanisms,
        KeyEncapsulation=KeyEncapsulation,
    )


def test_lengths_read_from_the_wrong_places_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs_library, "load", lambda path: wrapper("ML-KEM-768"))
    with pytest.raises(BackendUnavailable, match=r"ML-KEM-768 with lengths \(2400, 1184, 1088, 32\) instead of"):
        LiboqsBackend()


def test_a_liboqs_without_ml_kem_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs_library, "load", lambda path: wrapper("BIKE-L1"))
    with pytest.raises(BackendUnavailable, match="was built without ML-KEM"):
        LiboqsBackend()


def test_a_wrapper_that_takes_no_seed_gets_the_expanded_key(
    liboqs_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    oqs = liboqs_library.load(oqs_install_path())

    class Older(oqs.KeyEncapsulation):  # type: ignore[name-defined, misc]
        def __init__(self, name: str, secret_key: bytes | None = None) -> None:
            super().__init__(name, secret_key)
            self.length_keypair_seed = 0

        generate_keypair_seed = None

    names = {name: getattr(oqs, name) for name in vars(wrapper())}
    monkeypatch.setattr(liboqs_library, "load", lambda path: SimpleNamespace(**{**names, "KeyEncapsulation": Older}))
    older = LiboqsBackend()
    key = DecapsulationKey(ML_KEM_768, seed=bytes(64))
    assert older.parameter_sets == PARAMETER_SETS
    assert older.encapsulation_key(key) == liboqs_backend.encapsulation_key(key)
