"""ML-KEM.KeyGen_internal (FIPS 203 algorithm 16) in plain Python: a seed's expanded key, to compare or to encode.

RFC 9935 section 8 asks that a private key with seed and expanded key be checked by expanding the seed, and a key kept
as seed may have to be written in expanded form. Neither is what `cryptography` offers. No shared secret is ever
computed here.

This code is *not* constant-time: Python's integers and `%` are not. It runs when a key file is read or written,
in a process that holds the key anyway, never in answer to a peer's message, so that nobody can time it repeatedly with
inputs of their choice. About 2 ms for ML-KEM-768.

Polynomials are lists of 256 integers in 0 .. q - 1. Names follow FIPS 203.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kem.errors import InvalidKey
from kem.parameters import MODULUS, ParameterSet

N = 256
Polynomial = list[int]


def _bit_reversed(value: int) -> int:
    """BitRev7 of section 4.3."""
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, _bit_reversed(i), MODULUS) for i in range(128)]
_GAMMAS = [pow(17, 2 * _bit_reversed(i) + 1, MODULUS) for i in range(128)]


def expand(parameter_set: ParameterSet, seed: bytes) -> bytes:
    """The expanded decapsulation key dk of a 64-octet seed d || z. Raises InvalidKey for another length."""
    if len(seed) != parameter_set.seed_length:
        raise InvalidKey(f"{parameter_set} seed of {len(seed)} octets; it must have {parameter_set.seed_length}")
    d, z = seed[:32], seed[32:]
    encapsulation_key, secret = _k_pke_keygen(parameter_set, d)
    return secret + encapsulation_key + hashlib.sha3_256(encapsulation_key).digest() + z


def _k_pke_keygen(parameter_set: ParameterSet, d: bytes) -> tuple[bytes, bytes]:
    """Algorithm 13: the encapsulation key, and the secret vector that begins the decapsulation key."""
    k, eta = parameter_set.rank, parameter_set.eta1
    expanded = hashlib.sha3_512(d + bytes((k,))).digest()
    rho, sigma = expanded[:32], expanded[32:]
    noise = [_ntt(_sample_cbd(sigma, counter, eta)) for counter in range(2 * k)]
    s, e = noise[:k], noise[k:]
    t = []
    for i in range(k):
        row = [_sample_ntt(rho + bytes((j, i))) for j in range(k)]
        products = [_multiply_ntts(a, b) for a, b in zip(row, s, strict=True)]
        t.append([sum(terms) % MODULUS for terms in zip(e[i], *products, strict=True)])
    return _encode(t) + rho, _encode(s)


def _sample_ntt(index: bytes) -> Polynomial:
    """Algorithm 7. A SHAKE is read here as a whole, so a longer output is asked for in the rare case of need."""
    length = 3 * 280  # of the 560 candidates, 455 are expected to be below q
    while True:
        stream = hashlib.shake_128(index).digest(length)
        candidates: list[int] = []
        for i in range(0, length, 3):
            low, middle, high = stream[i : i + 3]
            candidates += (low | (middle & 15) << 8, middle >> 4 | high << 4)
        accepted = [value for value in candidates if value < MODULUS]
        if len(accepted) >= N:
            return accepted[:N]
        length *= 2


def _sample_cbd(sigma: bytes, counter: int, eta: int) -> Polynomial:
    """Algorithm 8 on PRF_eta(sigma, counter) of section 4.1."""
    stream = hashlib.shake_256(sigma + bytes((counter,))).digest(64 * eta)
    bits = int.from_bytes(stream, "little")
    mask = (1 << eta) - 1
    coefficients = []
    for i in range(N):
        x = bits >> (2 * i * eta) & mask
        y = bits >> ((2 * i + 1) * eta) & mask
        coefficients.append((x.bit_count() - y.bit_count()) % MODULUS)
    return coefficients


def _ntt(coefficients: Polynomial) -> Polynomial:
    """Algorithm 9."""
    f = list(coefficients)
    i, length = 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % MODULUS
                f[j + length] = (f[j] - t) % MODULUS
                f[j] = (f[j] + t) % MODULUS
        length //= 2
    return f


def _multiply_ntts(f: Polynomial, g: Polynomial) -> Polynomial:
    """Algorithms 11 and 12. The results are not reduced; the caller adds some up and then does."""
    h: Polynomial = []
    for i, gamma in enumerate(_GAMMAS):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += (a0 * b0 + a1 * b1 * gamma, a0 * b1 + a1 * b0)
    return h


def _encode(vector: Sequence[Polynomial]) -> bytes:
    """ByteEncode with d = 12 (algorithm 5) of each polynomial, one after the other."""
    encoded = bytearray()
    for polynomial in vector:
        for i in range(0, N, 2):
            encoded += (polynomial[i] | polynomial[i + 1] << 12).to_bytes(3, "little")
    return bytes(encoded)
