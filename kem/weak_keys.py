"""ML-KEM encapsulation keys that pass every check of FIPS 203 and protect nothing.

An encapsulation key is t = A s + e beside the seed of A. FIPS 203 section 7.2 checks that the coefficients of t are
reduced, not what they are. With t = 0 anybody decapsulates: v = t y + e2 + message hides the message behind small noise
alone. The same holds for a small t (what a generator makes that forgets s), for one with few coefficients that are not
zero, and for a multiple of a small one.

t of an honest key cannot be told from uniform (that is Module-LWE). `check_strength` looks at its n = 256 k
coefficients, as polynomials and as their NTT, and refuses

* a value that more than n / 32 coefficients have (expected: n / 3329, which is less than one), and
* more than n / 4 coefficients of at most 64 in absolute value modulo q (expected: n / 26).

An honest key is refused with a probability below 2^-80, by the union bound over the values and Chernoff's bound. This
is no proof that a key is good: whoever wants others to read their messages can publish the private key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kem.errors import InvalidKey
from kem.expand import ZETAS, N, Polynomial
from kem.keys import EncapsulationKey
from kem.parameters import MODULUS

MOST_OF_ONE_VALUE = 32  # at most one coefficient in so many has the same value
MOST_SMALL = 4  # at most one coefficient in so many is small
SMALL = 64
_INVERSE_128 = pow(128, -1, MODULUS)  # what algorithm 10 multiplies by at its end


def check_strength(key: EncapsulationKey) -> None:
    """Raises InvalidKey for a key with which anybody could decapsulate. About 1 ms for ML-KEM-768."""
    transformed = _decoded(key.octets[:-32])
    polynomials = [_inverse_ntt(transformed[at : at + N]) for at in range(0, len(transformed), N)]
    for coefficients in (transformed, [value for polynomial in polynomials for value in polynomial]):
        if not _look_uniform(coefficients):
            text = "key with which anybody could decapsulate: t is zero, small or sparse"
            raise InvalidKey(f"{key.parameter_set} {text}")


def _look_uniform(coefficients: Sequence[int]) -> bool:
    _value, most = Counter(coefficients).most_common(1)[0]
    small = sum(value <= SMALL or value >= MODULUS - SMALL for value in coefficients)
    return most * MOST_OF_ONE_VALUE <= len(coefficients) and small * MOST_SMALL <= len(coefficients)


def _decoded(packed: bytes) -> list[int]:
    """ByteDecode with d = 12 (FIPS 203 algorithm 6) of every polynomial, one after the other."""
    found: list[int] = []
    for at in range(0, len(packed), 3):
        low, middle, high = packed[at : at + 3]
        found += (low | (middle & 15) << 8, middle >> 4 | high << 4)
    return found


def _inverse_ntt(transformed: Polynomial) -> Polynomial:
    """FIPS 203 algorithm 10."""
    f = list(transformed)
    i, length = 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i -= 1
            for j in range(start, start + length):
                t, other = f[j], f[j + length]
                f[j] = (t + other) % MODULUS
                f[j + length] = zeta * (other - t) % MODULUS
        length *= 2
    return [value * _INVERSE_128 % MODULUS for value in f]
