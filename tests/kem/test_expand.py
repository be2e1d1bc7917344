"""KeyGen_internal in Python against NIST's vectors and the backends."""

from __future__ import annotations

import hashlib
import os

import pytest

import kem.expand
from kem.backend import Backend
from kem.errors import InvalidKey
from kem.expand import expand
from kem.keys import DecapsulationKey
from kem.parameters import ML_KEM_768, PARAMETER_SETS, ParameterSet, by_name
from tests.kem.published import load


@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_every_key_generation_of_nist_acvp(parameter_set: ParameterSet) -> None:
    cases = [case for case in load("acvp/keyGen.json") if case["parameterSet"] == parameter_set.name]
    assert len(cases) == 25
    for case in cases:
        dk = expand(parameter_set, bytes.fromhex(case["d"] + case["z"]))
        ek = dk[384 * parameter_set.rank : -64]
        found = (hashlib.sha256(ek).hexdigest(), hashlib.sha256(dk).hexdigest())
        assert found == (case["ek_sha256"], case["dk_sha256"]), case["tcId"]


def test_every_backend_generates_the_same_public_key(backend: Backend) -> None:
    for case in load("acvp/keyGen.json"):
        parameter_set = by_name(case["parameterSet"])
        if parameter_set in backend.parameter_sets:
            key = DecapsulationKey(parameter_set, seed=bytes.fromhex(case["d"] + case["z"]))
            ek = backend.encapsulation_key(key).octets
            assert hashlib.sha256(ek).hexdigest() == case["ek_sha256"], case["tcId"]


def test_random_seeds_expand_as_liboqs_expands_them(liboqs_backend: Backend) -> None:
    for parameter_set in PARAMETER_SETS:
        key = DecapsulationKey(parameter_set, seed=os.urandom(64))
        liboqs_backend.encapsulation_key(key)
        assert key.prepared["liboqs"] == key.expanded_key()


def test_rejection_sampling_asks_for_more_when_the_stream_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIPS 203 algorithm 7 squeezes as long as it needs; a stream of candidates that are all too large must go on."""
    asked = []

    class Shake:
        def __init__(self, index: bytes) -> None:
            self.index = index

        def digest(self, length: int) -> bytes:
            asked.append(length)
            return (b"\xff" * 840 + hashlib.shake_256(self.index).digest(length))[:length]

    monkeypatch.setattr(kem.expand.hashlib, "shake_128", Shake)
    polynomial = kem.expand._sample_ntt(b"index")
    assert asked == [840, 1680]
    assert len(polynomial) == 256
    assert max(polynomial) < 3329


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidKey, match="it must have 64"):
        expand(ML_KEM_768, bytes(length))
