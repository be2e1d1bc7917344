"""Fixtures of the tests of `pkix/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pkix.openssl import OpenSsl, find_openssl


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    """The `openssl` command, working in the test's own folder."""
    return OpenSsl(find_openssl(), tmp_path)
