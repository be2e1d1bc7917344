"""Client and responder paired in memory: every key type against every kind of CA."""

from __future__ import annotations

import pytest

from pkix.keys import KEY_TYPES
from scep.client import Issued
from tests.world import World

CAS = [("rsa:2048", None), ("ec:P-256", None), ("ed25519", None), ("rsa:2048", "rsa:2048"), ("ec:P-384", "ed25519")]
CLIENT_KEYS = [kind for kind in KEY_TYPES if kind not in ("rsa:3072", "rsa:4096")]


@pytest.mark.parametrize("client_key", CLIENT_KEYS)
@pytest.mark.parametrize(("ca_key", "ra_key"), CAS)
def test_every_key_type_enrols_with_every_ca(ca_key: str, ra_key: str | None, client_key: str) -> None:
    world = World(ca_key, ra_key_type=ra_key)
    assert isinstance(world.device(client_key, password=world.password()).enrol(), Issued)
