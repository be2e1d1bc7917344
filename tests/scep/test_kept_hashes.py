"""What the Store keeps of a request tests no password (`ca.turn.Turn.kept_hash`): a request for an ML-KEM key is not
signed, so its challengePassword is all that the certificate does not tell.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.requests import is_guessable
from ca.sealing import ServerKey
from ca.turn import Turn
from scep.settings import KemPolicy, Pop
from tests.scep.kem_kit import CHALLENGED, challenged, issued, kem_world
from tests.scep.test_attacks import REPEATED
from tests.world import World, kem_device, reply_of

PASSWORD = "somebody chose it"


def kept(world: World) -> str:
    """Everything in the Store, written out."""
    store = world.store
    return repr((store.transactions(), store.certificates(), store.credentials()))


@pytest.mark.parametrize("one_time", [True, False])
def test_no_hash_is_kept_that_tests_a_password(one_time: bool) -> None:
    world = kem_world()
    device = challenged(world, password=world.password(PASSWORD, one_time=one_time))
    digest = device.request.hash
    before = kept(world)
    issued(device.poll())
    for text in (before, kept(world)):
        assert repr(digest) not in text and digest.hex() not in text
    (transaction,), (certificate,) = world.store.transactions(), world.store.certificates()
    assert transaction.request_hash == certificate.request_hash == world.server_key.request_identifier(digest)
    assert transaction.request_hash != ServerKey(bytes(32)).request_identifier(digest)


def test_a_hash_that_tests_nothing_is_kept_as_it_is() -> None:
    """Also by whoever has lost the server's key: what has led to a certificate stays known."""
    world = World("rsa:2048")
    signed = world.device(password=world.password(PASSWORD))
    issued(signed.enrol())
    without = kem_world(kem=KemPolicy(pop=Pop.statement))
    assert not is_guessable(kem_device(without).request) and is_guessable(kem_device(without, password="p").request)
    (certificate,) = world.store.certificates()
    assert certificate.request_hash == signed.request.hash


def test_what_an_earlier_version_has_certified_is_not_certified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world(kem=KemPolicy(pop=Pop.none))
    device = kem_device(world, password=world.password(PASSWORD, one_time=False, ttl=None))
    with monkeypatch.context() as patch:
        patch.setattr(Turn, "kept_hash", lambda _turn, _request, digest: digest)
        message = device.start()
        issued(device.enrolment.receive(world.send(message).body))
    assert world.store.certificates()[0].request_hash == device.request.hash
    world.tick(timedelta(days=2))
    assert reply_of(world, message).fail_info_text == REPEATED
    assert len(world.store.certificates()) == 1


def test_a_transaction_that_an_earlier_version_has_begun_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kem_world()
    with monkeypatch.context() as patch:
        patch.setattr(Turn, "kept_hash", lambda _turn, _request, digest: digest)
        device = challenged(world, password=world.password(PASSWORD))
    assert device.enrol() == CHALLENGED
    issued(device.poll())
