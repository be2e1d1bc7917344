"""What an implementation of ML-KEM has to offer: `Backend`, with what is common to all of them.

The checks that FIPS 203 section 7 asks for before Encaps and Decaps are ours, not the backend's: those of keys are made
when a key object is made (`keys`), that of the ciphertext's length here.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from kem.errors import BackendUnavailable, InvalidKey, UnsupportedParameterSet
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.parameters import ParameterSet, check_ciphertext


@dataclass(frozen=True)
class Encapsulation:
    """ciphertext: parameter_set.ciphertext_length octets, not secret. shared_secret: 32 octets, never shown."""

    ciphertext: bytes
    shared_secret: bytes = field(repr=False)


class Backend(ABC):
    """One implementation. name is what configuration calls it; version says what stands behind it."""

    name: str
    version: str
    parameter_sets: tuple[ParameterSet, ...]

    def encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        """ML-KEM.Encaps (FIPS 203 algorithm 20) with fresh randomness. Raises UnsupportedParameterSet."""
        self._check_parameter_set(key.parameter_set)
        return self._encapsulate(key)

    def decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        """ML-KEM.Decaps (FIPS 203 algorithm 21): the shared secret, 32 octets; for a forgery, a useless one.

        Raises InvalidCiphertext (its length), UnsupportedParameterSet, BackendUnavailable (see `can_use`).
        """
        self._check_can_use(key)
        check_ciphertext(key.parameter_set, ciphertext)
        return self._decapsulate(key, ciphertext)

    def encapsulation_key(self, key: DecapsulationKey) -> EncapsulationKey:
        """The public key of a private key. Raises UnsupportedParameterSet."""
        embedded = key.embedded_encapsulation_key()
        if embedded is not None:
            return embedded
        self._check_parameter_set(key.parameter_set)
        return EncapsulationKey(key.parameter_set, self._public_octets(key))

    def can_use(self, key: DecapsulationKey) -> bool:
        """Whether this backend decapsulates with keys of this parameter set and form."""
        return key.parameter_set in self.parameter_sets

    def check_pair(self, key: DecapsulationKey) -> None:
        """The pairwise consistency check: what is encapsulated to the public half, the private half opens.

        It finds what the checks in `keys` cannot: an expanded key whose secret vector was changed.
        Raises InvalidKey, and what `decapsulate` raises.
        """
        sent = self.encapsulate(self.encapsulation_key(key))
        if not hmac.compare_digest(self.decapsulate(key, sent.ciphertext), sent.shared_secret):
            raise InvalidKey(f"{key.parameter_set} private key: it does not open what its public key encapsulates")

    def _check_parameter_set(self, parameter_set: ParameterSet) -> None:
        if parameter_set not in self.parameter_sets:
            raise UnsupportedParameterSet(f"{parameter_set} is not supported by the {self.name} backend")

    def _check_can_use(self, key: DecapsulationKey) -> None:
        self._check_parameter_set(key.parameter_set)
        if not self.can_use(key):
            raise BackendUnavailable(
                f"the {self.name} backend cannot use a {key.parameter_set} private key of the form {key.form.value}"
            )

    @abstractmethod
    def _encapsulate(self, key: EncapsulationKey) -> Encapsulation: ...

    @abstractmethod
    def _decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes: ...

    @abstractmethod
    def _public_octets(self, key: DecapsulationKey) -> bytes:
        """The public key of a private key whose form is seed."""

    def __repr__(self) -> str:
        return f"<{self.name} backend: {self.version}>"
