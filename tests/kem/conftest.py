"""The backends under test: `cryptography` always, liboqs where its library is found.

OQS_INSTALL_PATH says where; without it, the library that `python -m interop.liboqs.build` makes is used if it is there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kem.backend import Backend
from kem.backends import Backends
from kem.cryptography_backend import CryptographyBackend
from kem.errors import BackendUnavailable
from kem.liboqs_backend import LiboqsBackend

REQUIRE = "SCEP_KEM_REQUIRE_LIBOQS"
BUILT = Path(__file__).resolve().parents[2] / ".cache" / "liboqs" / "prefix"


def oqs_install_path() -> str | None:
    """Where to look for liboqs besides the system's libraries."""
    return os.environ.get("OQS_INSTALL_PATH") or (str(BUILT) if BUILT.is_dir() else None)


@pytest.fixture(scope="session")
def cryptography_backend() -> Backend:
    return CryptographyBackend()


@pytest.fixture(scope="session")
def liboqs_backend() -> Backend:
    """Without the library the test is skipped with the reason, or fails where it is required."""
    try:
        return LiboqsBackend(oqs_install_path())
    except BackendUnavailable as unavailable:
        if os.environ.get(REQUIRE):
            pytest.fail(f"{unavailable.text}, and {REQUIRE} is set")
        pytest.skip(unavailable.text)


@pytest.fixture(scope="session")
def both_backends(cryptography_backend: Backend, liboqs_backend: Backend) -> Backends:
    return Backends((cryptography_backend, liboqs_backend))


@pytest.fixture(scope="session", params=["cryptography", "liboqs"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found
