"""ML-KEM-768 and ML-KEM-1024 by `cryptography`, which takes private keys as seeds only."""

from __future__ import annotations

from importlib.metadata import version
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mlkem

from kem.backend import Backend, Encapsulation
from kem.errors import BackendUnavailable
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.parameters import ML_KEM_768, ML_KEM_1024, ParameterSet

_PrivateKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_PRIVATE: dict[ParameterSet, type[mlkem.MLKEM768PrivateKey] | type[mlkem.MLKEM1024PrivateKey]] = {
    ML_KEM_768: mlkem.MLKEM768PrivateKey,
    ML_KEM_1024: mlkem.MLKEM1024PrivateKey,
}
_PUBLIC: dict[ParameterSet, type[mlkem.MLKEM768PublicKey] | type[mlkem.MLKEM1024PublicKey]] = {
    ML_KEM_768: mlkem.MLKEM768PublicKey,
    ML_KEM_1024: mlkem.MLKEM1024PublicKey,
}


class CryptographyBackend(Backend):
    """Raises BackendUnavailable when this build of `cryptography` stands on a library without ML-KEM."""

    name = "cryptography"

    def __init__(self) -> None:
        self.version = f"cryptography {version('cryptography')}"
        self.parameter_sets = tuple(_PRIVATE)
        try:
            mlkem.MLKEM768PrivateKey.generate()
        except UnsupportedAlgorithm:
            raise BackendUnavailable(
                f"backend cryptography: {self.version} was built without ML-KEM; install its wheel, or use liboqs"
            ) from None

    def can_use(self, key: DecapsulationKey) -> bool:
        return super().can_use(key) and key.seed is not None

    def _encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        shared_secret, ciphertext = _PUBLIC[key.parameter_set].from_public_bytes(key.octets).encapsulate()
        return Encapsulation(ciphertext, shared_secret)

    def _decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        return self._load(key).decapsulate(ciphertext)

    def _public_octets(self, key: DecapsulationKey) -> bytes:
        return self._load(key).public_key().public_bytes_raw()

    def _load(self, key: DecapsulationKey) -> _PrivateKey:
        """Expanding the seed takes longer than a decapsulation, so it is done once for a key object."""
        if self.name not in key.prepared:
            key.prepared[self.name] = _PRIVATE[key.parameter_set].from_seed_bytes(key.seed or b"")
        return cast(_PrivateKey, key.prepared[self.name])
