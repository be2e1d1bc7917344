"""Encapsulation keys with which anybody can decapsulate are refused; real ones are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from kem.backends import load
from kem.errors import InvalidKey
from kem.expand import N, _encode, _ntt, _sample_cbd
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.parameters import ML_KEM_768, MODULUS, PARAMETER_SETS, ParameterSet
from kem.weak_keys import _decoded, _inverse_ntt, check_strength
from tests.world import Random

RHO = b"\x07" * 32
BACKENDS = load("cryptography")
SETS = pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)


def with_ntt(parameter_set: ParameterSet, coefficients: Sequence[int]) -> EncapsulationKey:
    """A key whose t has this NTT, repeated as often as needed."""
    size = N * parameter_set.rank
    every = (list(coefficients) * size)[:size]
    return EncapsulationKey(parameter_set, _encode([every[at : at + N] for at in range(0, size, N)]) + RHO)


def with_t(parameter_set: ParameterSet, *polynomials: Sequence[int]) -> EncapsulationKey:
    """A key with these polynomials as t, repeated as often as needed."""
    every = [list(polynomials[number % len(polynomials)]) for number in range(parameter_set.rank)]
    return EncapsulationKey(parameter_set, _encode([_ntt([value % MODULUS for value in each]) for each in every]) + RHO)


def refused(key: EncapsulationKey) -> None:
    with pytest.raises(InvalidKey, match="with which anybody could decapsulate"):
        check_strength(key)


def numbers(label: str, below: int, count: int = N) -> list[int]:
    octets = Random(label)(4 * count)
    return [int.from_bytes(octets[at : at + 4], "big") % below for at in range(0, 4 * count, 4)]


@SETS
def test_hundreds_of_real_keys_are_accepted(parameter_set: ParameterSet) -> None:
    for number in range(100):
        seed = Random(f"real {parameter_set} {number}")(64)
        expanded = DecapsulationKey(parameter_set, seed=seed).expanded_key()
        check_strength(EncapsulationKey(parameter_set, expanded[384 * parameter_set.rank : -64]))


@SETS
def test_t_zero_is_refused(parameter_set: ParameterSet) -> None:
    refused(with_ntt(parameter_set, [0]))


def test_with_t_zero_anybody_decapsulates() -> None:
    """Why it matters: the message is v without its noise."""
    key = with_ntt(ML_KEM_768, [0])
    sent = BACKENDS.encapsulate(key)
    v, message = sent.ciphertext[960:], bytearray(32)
    for i in range(256):
        if 4 <= (v[i // 2] >> (4 * (i % 2))) & 15 < 12:
            message[i // 8] |= 1 << (i % 8)
    opened = hashlib.sha3_512(bytes(message) + hashlib.sha3_256(key.octets).digest()).digest()[:32]
    assert opened == sent.shared_secret


@SETS
@pytest.mark.parametrize("value", [1, 17, 1664, 3328])
def test_coefficients_that_are_all_equal_are_refused(parameter_set: ParameterSet, value: int) -> None:
    refused(with_ntt(parameter_set, [value]))
    refused(with_t(parameter_set, [value] * N))


@SETS
@pytest.mark.parametrize("eta", [2, 3])
def test_a_key_of_noise_alone_is_refused(parameter_set: ParameterSet, eta: int) -> None:
    """t = e: what is left when s is zero. Its NTT looks like any other."""
    refused(with_t(parameter_set, *(_sample_cbd(bytes(32), number, eta) for number in range(4))))


@SETS
@pytest.mark.parametrize("bound", [3, 30, 100])
def test_small_coefficients_are_refused_in_both_forms(parameter_set: ParameterSet, bound: int) -> None:
    small = [number - bound for number in numbers("small", 2 * bound + 1)]
    refused(with_t(parameter_set, small))
    refused(with_ntt(parameter_set, [value % MODULUS for value in small]))


@SETS
def test_a_multiple_of_small_coefficients_is_refused(parameter_set: ParameterSet) -> None:
    refused(with_t(parameter_set, [1234 * (number - 2) for number in numbers("multiple", 5)]))


@SETS
@pytest.mark.parametrize("zeros", [32, 128, 255])
def test_sparse_coefficients_are_refused_in_both_forms(parameter_set: ParameterSet, zeros: int) -> None:
    sparse = [0] * zeros + numbers("sparse", MODULUS, N - zeros)
    refused(with_t(parameter_set, sparse))
    refused(with_ntt(parameter_set, sparse))


def test_a_few_zeros_are_not_too_many() -> None:
    """Up to one coefficient in 32 may be zero; an honest key has fewer than one in all."""
    spread = [number % MODULUS for number in range(100, 100 + 13 * (N - 4), 13)]
    check_strength(with_ntt(ML_KEM_768, [*spread, 0, 0, 0, 0]))


def test_the_inverse_transform_is_the_inverse() -> None:
    polynomial = numbers("polynomial", MODULUS)
    assert _inverse_ntt(_ntt(polynomial)) == polynomial
    assert _decoded(_encode([polynomial])) == polynomial
