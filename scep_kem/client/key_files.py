"""The private keys of one run of the client, in files that may be under one password."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from kem.keys import DecapsulationKey
from pkix.keys import is_encrypted
from pkix.signatures import SigningKey
from scep_kem import files

log = logging.getLogger(__name__)

OPTION = "--key-password-file"
K = TypeVar("K", covariant=True)


class _Reader(Protocol[K]):
    def __call__(self, path: Path, *, password: bytes | None, option: str) -> K: ...


@dataclass(frozen=True)
class KeyFiles:
    """password: of every key that is encrypted, and of those that are made; None: keys are written in clear.

    A key in clear is read nevertheless, and that it is one is said. Every method raises UsageError.
    """

    password: bytes | None = field(default=None, repr=False)

    def read(self, path: Path) -> SigningKey | DecapsulationKey:
        """A key of either kind."""
        return self._read(files.read_any_key, path)

    def read_signing(self, path: Path) -> SigningKey:
        """A key that signs."""
        return self._read(files.read_key, path)

    def read_kem(self, path: Path) -> DecapsulationKey:
        """An ML-KEM key."""
        return self._read(files.read_kem_key, path)

    def write_new(self, path: Path, key: SigningKey | DecapsulationKey) -> bool:
        """A new key, unless there is a file; whether it was written."""
        return files.write_new_key(path, key, password=self.password)

    def _read(self, reader: _Reader[K], path: Path) -> K:
        unused = self.password is not None and not is_encrypted(files.read(path))
        found = reader(path, password=None if unused else self.password, option=OPTION)
        if unused:  # what is no key is not called one
            log.warning("%s is not encrypted: the password of %s is not used for it", path, OPTION)
        return found
