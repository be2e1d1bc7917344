"""Keys that protect nothing: not certified, not believed, not encrypted to."""

from __future__ import annotations

import pytest

from ca.authority import Authority, create_ra_kem
from kem.errors import InvalidKey
from kem.keys import EncapsulationKey, encode_public_key
from kem.parameters import by_name
from pkix import oids
from pkix.algorithms import AES128
from pkix.content import CANNOT_OPEN
from pkix.pkcs10 import encode_statement_request, encode_unsigned_request
from pkix.signed_data import Signer
from tests.pkix.forge import algorithm, bit_string, certificate, sequence
from tests.scep import craft
from tests.scep.craft import BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, failed
from tests.scep.kem_kit import SUBJECT, classic_settings, kem_world, signing_certificate
from tests.world import World, authority, kem_key, key, name

WEAK = EncapsulationKey(by_name("ML-KEM-768"), bytes(1152) + b"\x07" * 32)
NEUTRAL = sequence(algorithm(oids.ED25519), bit_string((1).to_bytes(32, "little")))


def test_a_key_with_which_anybody_could_decapsulate_is_not_certified() -> None:
    world = kem_world("rsa:2048", rsa=True)
    spki = encode_public_key(WEAK)
    request = encode_unsigned_request(spki, name("CN=weak"), challenge_password=world.password())
    device = world.device()
    failed(world, craft.request(device, content=request), BAD_REQUEST, "with which anybody could decapsulate")
    failed(world, craft.request(device, content=request, cipher=AES128), BAD_MESSAGE_CHECK, CANNOT_OPEN)
    assert not world.store.transactions()


def test_nor_with_a_statement() -> None:
    """Whoever states that they hold the key cannot change that everybody does."""
    world = kem_world("rsa:2048", rsa=True)
    by = signing_certificate(world)
    request = encode_statement_request(encode_public_key(WEAK), name(SUBJECT), by.key, by.certificate)
    failed(world, craft.request(world.device(), content=request), BAD_REQUEST, "anybody could decapsulate")


def test_a_client_does_not_encrypt_to_such_an_ra() -> None:
    usual = authority("ec:P-256", None, "CA", ("ML-KEM-768",), False)
    weak = create_ra_kem(usual, kem_key()[0], WEAK, now=World().now, random=World().random)
    world = World(current=Authority(ca=usual.ca, ra_kem=(weak,)))
    with pytest.raises(InvalidKey, match="anybody could decapsulate"):
        world.ca_certificates().recipient(classic_settings().backends)


def test_a_signer_whose_key_anybody_has_is_refused() -> None:
    """A message "signed" with the neutral element of Ed25519 would verify, whatever it says."""
    world = World()
    nobody = Signer(key("ed25519", "nobody"), certificate(NEUTRAL))
    message = craft.request(world.device(), signer=nobody, signature=lambda _: bytes([1]) + bytes(63))
    failed(world, message, BAD_ALG, "certificate: an Ed25519 key of small order")
