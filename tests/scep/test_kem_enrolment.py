"""A device whose only key is an ML-KEM key, against a CA without RSA anywhere on the path."""

from __future__ import annotations

import pytest
from cryptography import x509

from pkix.certificates import Certificate
from scep.client import Issued, StillPending
from tests.world import World, authority, kem_device

CAS = [("ec:P-256", None), ("ml-dsa-65", None), ("ed25519", "ml-dsa-44"), ("ml-dsa-87", "ec:P-384")]


def kem_world(key_type: str = "ec:P-256", ra_key_type: str | None = None, **more: object) -> World:
    current = authority(key_type, ra_key_type, kems=("ML-KEM-768", "ML-KEM-1024"), rsa_decryption=False)
    return World(current=current, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("parameter_set", ["ML-KEM-768", "ML-KEM-1024"])
@pytest.mark.parametrize(("ca_key", "ra_key"), CAS)
def test_kem_only_device_enrols(ca_key: str, ra_key: str | None, parameter_set: str) -> None:
    world = kem_world(ca_key, ra_key)
    device = kem_device(world, parameter_set, password=world.password(), signer_key="ml-dsa-65")
    assert device.enrol() == StillPending(challenged=True)
    issued = device.poll()
    assert isinstance(issued, Issued)
    assert Certificate.decode(issued.certificate).spki == device.request.spki
    usage = x509.load_der_x509_certificate(issued.certificate).extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.value.key_encipherment
    assert not usage.value.digital_signature
