"""A right proof whose certificate the CA then refuses: the transaction ends, and holds nothing."""

from __future__ import annotations

from cryptography import x509

from ca.profiles import Profile, extension
from ca.store import State
from tests.scep.kem_kit import (
    enrolled,
    kem_world,
    pending,
    refused,
    secrets,
    unsigned,
    with_request,
)
from tests.world import kem_device


def test_a_usage_that_the_profile_does_not_allow_is_refused_before_the_challenge() -> None:
    world = kem_world(profile=Profile(copy_extensions=("extendedKeyUsage",)))
    wanted = extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]))
    request = unsigned(challenge_password=world.password(), extensions=[wanted])
    refused(with_request(world, request).enrol(), text="extendedKeyUsage")
    assert not world.store.transactions()


def test_a_refusal_after_a_right_proof_ends_the_transaction_and_releases_the_password() -> None:
    world = kem_world(profile=Profile(unique_subject=True))
    second = kem_device(world, password=world.password(), label="second", transaction_id="second")
    pending(second)
    enrolled(world)
    refused(second.poll(), text="a valid certificate for this subject exists")
    (ended,) = (item for item in world.store.transactions() if item.key.transaction_id == "second")
    assert (ended.state, ended.secret_id, secrets(world)) == (State.FAILED, None, {})
    kept = world.store.credential(world.server_key.identifier("one-time secret"))
    assert kept is not None
    assert kept.holder is None
