"""ML-KEM for the program: which backends to use, from the configuration and the environment, and new keys."""

from __future__ import annotations

import functools
import os

from kem.backends import AUTOMATIC, Backends, BackendStatus, available, load
from kem.errors import KemError
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.parameters import by_name
from scep_kem.errors import UsageError

OQS_INSTALL_PATH = "OQS_INSTALL_PATH"


@functools.cache
def backends(name: str = AUTOMATIC) -> Backends:
    """The backends to use. Raises UsageError when the one asked for is not there."""
    try:
        return load(name, oqs_install_path=os.environ.get(OQS_INSTALL_PATH))
    except KemError as error:
        raise UsageError(str(error)) from None


def backend_list() -> tuple[BackendStatus, ...]:
    """Every backend, usable or not."""
    return available(oqs_install_path=os.environ.get(OQS_INSTALL_PATH))


def new_kem_key(key_type: str) -> tuple[DecapsulationKey, EncapsulationKey]:
    """A new key of a type such as "ml-kem-768". Raises UsageError if no backend has it."""
    parameter_set = by_name(key_type.upper())
    key = DecapsulationKey(parameter_set, seed=os.urandom(parameter_set.seed_length))
    return key, public_kem_key(key)


def public_kem_key(key: DecapsulationKey) -> EncapsulationKey:
    """The public half. Raises UsageError if no backend has the parameter set."""
    try:
        return backends().encapsulation_key(key)
    except KemError as error:
        raise UsageError(f"{error}; see `scep-kem kem backends`") from None
