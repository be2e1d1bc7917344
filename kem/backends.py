"""Which backends there are, and which one does what: by the operator's choice, or by what each can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kem.backend import Backend, Encapsulation
from kem.cryptography_backend import CryptographyBackend
from kem.errors import BackendUnavailable, UnsupportedParameterSet
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.liboqs_backend import LiboqsBackend
from kem.parameters import PARAMETER_SETS, ParameterSet

AUTOMATIC = "automatic"
BACKEND_NAMES = (CryptographyBackend.name, LiboqsBackend.name)  # in order of preference


@dataclass(frozen=True)
class Backends:
    """Backends in use, in order of preference. Each operation goes to the first that can do it."""

    members: tuple[Backend, ...]

    @property
    def parameter_sets(self) -> tuple[ParameterSet, ...]:
        """What can be encapsulated to, from small to large."""
        known = {parameter_set for backend in self.members for parameter_set in backend.parameter_sets}
        return tuple(parameter_set for parameter_set in PARAMETER_SETS if parameter_set in known)

    def encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        """Encaps with fresh randomness. Raises UnsupportedParameterSet."""
        return self.for_parameter_set(key.parameter_set).encapsulate(key)

    def decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        """Decaps: 32 octets. Raises InvalidCiphertext, UnsupportedParameterSet, BackendUnavailable (form of key)."""
        return self.for_key(key).decapsulate(key, ciphertext)

    def encapsulation_key(self, key: DecapsulationKey) -> EncapsulationKey:
        """The public key of a private key. Raises UnsupportedParameterSet."""
        return self.for_parameter_set(key.parameter_set).encapsulation_key(key)

    def check_pair(self, key: DecapsulationKey) -> None:
        """The pairwise check, for a private key that was loaded. Raises InvalidKey and what `decapsulate` raises."""
        self.for_key(key).check_pair(key)

    def for_parameter_set(self, parameter_set: ParameterSet) -> Backend:
        """Raises UnsupportedParameterSet."""
        for backend in self.members:
            if parameter_set in backend.parameter_sets:
                return backend
        raise UnsupportedParameterSet(f"{parameter_set} is not supported here")

    def for_key(self, key: DecapsulationKey) -> Backend:
        """Raises UnsupportedParameterSet, BackendUnavailable when only the key's form is in the way."""
        for backend in self.members:
            if backend.can_use(key):
                return backend
        self.for_parameter_set(key.parameter_set)
        raise BackendUnavailable(
            f"this {key.parameter_set} private key is an expandedKey without its seed, which needs the liboqs backend"
        )


@dataclass(frozen=True)
class BackendStatus:
    """One line of a listing. problem: why the backend cannot be used, or None."""

    name: str
    version: str
    parameter_sets: tuple[ParameterSet, ...]
    problem: str | None


def load(name: str = AUTOMATIC, *, oqs_install_path: str | None = None) -> Backends:
    """The backends to use: the one called `name` and no other, or automatically all that are there.

    oqs_install_path: where liboqs is installed, the value of OQS_INSTALL_PATH.
    Raises BackendUnavailable, ValueError for an unknown name.
    """
    makers = _makers(oqs_install_path)
    if name != AUTOMATIC:
        if name not in makers:
            raise ValueError(f"unknown KEM backend {name!r}; known: {AUTOMATIC}, {', '.join(makers)}")
        return Backends((makers[name](),))
    members, problems = [], []
    for make in makers.values():
        try:
            members.append(make())
        except BackendUnavailable as unavailable:
            problems.append(unavailable.text)
    if not members:
        raise BackendUnavailable("; ".join(problems))
    return Backends(tuple(members))


def available(*, oqs_install_path: str | None = None) -> tuple[BackendStatus, ...]:
    """Every backend this package knows, usable or not."""
    return tuple(_status(name, make) for name, make in _makers(oqs_install_path).items())


def _makers(oqs_install_path: str | None) -> dict[str, Callable[[], Backend]]:
    return {
        CryptographyBackend.name: CryptographyBackend,
        LiboqsBackend.name: lambda: LiboqsBackend(oqs_install_path),
    }


def _status(name: str, make: Callable[[], Backend]) -> BackendStatus:
    try:
        backend = make()
    except BackendUnavailable as unavailable:
        return BackendStatus(name, "", (), unavailable.text)
    return BackendStatus(name, backend.version, backend.parameter_sets, None)
