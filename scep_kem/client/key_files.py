"""The private keys of one run of the client, in files that may be under one password."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from kem.keys import DecapsulationKey
from pkix.keys import is_encrypted
from pkix.signatures import SigningKey
from scep_kem import files

log = logging.getLogger(__name__)

OPTION = "--key-password-file"


@dataclass(frozen=True)
class KeyFiles:
    """password: of every key that is encrypted, and of those that are made; None: keys are written in clear.

    A key in clear is read nevertheless, and that it is one is said. Every method raises UsageError.
    """

    password: bytes | None = field(default=None, repr=False)

    def read(self, path: Path) -> SigningKey | DecapsulationKey:
        """A key of either kind."""
        return files.read_any_key(path, password=self._password_of(path), option=OPTION)

    def read_signing(self, path: Path) -> SigningKey:
        """A key that signs."""
        return files.read_key(path, password=self._password_of(path), option=OPTION)

    def read_kem(self, path: Path) -> DecapsulationKey:
        """An ML-KEM key."""
        return files.read_kem_key(path, password=self._password_of(path), option=OPTION)

    def write_new(self, path: Path, key: SigningKey | DecapsulationKey) -> bool:
        """A new key, unless there is a file; whether it was written."""
        return files.write_new_key(path, key, password=self.password)

    def _password_of(self, path: Path) -> bytes | None:
        if self.password is None or is_encrypted(files.read(path)):
            return self.password
        log.warning("%s is not encrypted: the password of %s is not used for it", path, OPTION)
        return None
