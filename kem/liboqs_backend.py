"""All three parameter sets by liboqs through liboqs-python, which takes private keys in expanded form.

liboqs-python describes liboqs' OQS_KEM structure by hand, so with a liboqs of another version its fields could be read
from the wrong places. A parameter set is therefore offered only if the lengths read from the structure are those of
FIPS 203 and a key pair made from a seed opens what is encapsulated to it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kem import liboqs_library
from kem.backend import Backend, Encapsulation
from kem.errors import BackendUnavailable
from kem.expand import expand
from kem.keys import DecapsulationKey, EncapsulationKey, embedded_key
from kem.parameters import PARAMETER_SETS, ParameterSet


class LiboqsBackend(Backend):
    """install_path: see `liboqs_library.load`. Raises BackendUnavailable."""

    name = "liboqs"

    def __init__(self, install_path: str | None = None) -> None:
        self._oqs: ModuleType = liboqs_library.load(install_path)
        self.version = f"liboqs {self._oqs.oqs_version()} through liboqs-python {self._oqs.oqs_python_version()}"
        enabled = self._oqs.get_enabled_kem_mechanisms()
        self.parameter_sets = tuple(parameter_set for parameter_set in PARAMETER_SETS if parameter_set.name in enabled)
        if not self.parameter_sets:
            raise BackendUnavailable(f"backend liboqs: {self.version} was built without ML-KEM")
        for parameter_set in self.parameter_sets:
            self._check_fits(parameter_set)

    def _check_fits(self, parameter_set: ParameterSet) -> None:
        with self._open(parameter_set) as kem:
            read = (kem.length_public_key, kem.length_secret_key, kem.length_ciphertext, kem.length_shared_secret)
        known = (
            parameter_set.encapsulation_key_length,
            parameter_set.decapsulation_key_length,
            parameter_set.ciphertext_length,
            parameter_set.shared_secret_length,
        )
        if read != known:
            raise BackendUnavailable(
                f"backend liboqs: {self.version}: {parameter_set} with lengths {read} instead of {known};"
                " install matching versions"
            )
        self.check_pair(DecapsulationKey(parameter_set, seed=bytes(parameter_set.seed_length)))

    def _open(self, parameter_set: ParameterSet, expanded: bytes | None = None) -> Any:
        """A KeyEncapsulation, to be used in a `with`, which frees it and wipes its copy of the private key."""
        return self._oqs.KeyEncapsulation(parameter_set.name, expanded)

    def _encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        with self._open(key.parameter_set) as kem:
            ciphertext, shared_secret = kem.encap_secret(key.octets)
        return Encapsulation(ciphertext, shared_secret)

    def _decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        with self._open(key.parameter_set, self._expanded(key)) as kem:
            shared_secret: bytes = kem.decap_secret(ciphertext)
        return shared_secret

    def _public_octets(self, key: DecapsulationKey) -> bytes:
        return embedded_key(key.parameter_set, self._expanded(key))

    def _expanded(self, key: DecapsulationKey) -> bytes:
        """The expanded key; that of a seed is made once for a key object."""
        if key.expanded is not None:
            return key.expanded
        prepared = key.prepared.get(self.name)
        if not isinstance(prepared, bytes):
            prepared = key.prepared[self.name] = self._expand(key.parameter_set, key.seed or b"")
        return prepared

    def _expand(self, parameter_set: ParameterSet, seed: bytes) -> bytes:
        with self._open(parameter_set) as kem:
            # Older versions of the wrapper cannot make a key from a seed, and then it is done in Python.
            if getattr(kem, "length_keypair_seed", 0) != len(seed):
                return expand(parameter_set, seed)
            kem.generate_keypair_seed(seed)
            expanded: bytes = kem.export_secret_key()
        return expanded
