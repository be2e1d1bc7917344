"""Public keys that peers send: how they must be encoded, and which values are no key that anybody should trust.

`load_public_key` is the one door, for requested keys and for signers', before anything is verified with them.

* RSA (RFC 3279 section 2.3.1): parameters NULL; with id-RSASSA-PSS those that bind its signatures, or none (RFC 4055
  section 1.2), and the key is a `pkix.pss.PssPublicKey`, which is no key to encrypt to. The modulus is odd,
  has no prime factor below 6,000, and its two factors are not so close together that Fermat's method finds them in
  FERMAT_STEPS steps. That a modulus is a prime itself is not found: every known test costs a hundred times the rest.
  Sizes and exponents are for `pkix.algorithms.check_key`.
* EC (RFC 5480 sections 2.1.1 and 2.2): a namedCurve, and the point uncompressed or compressed, not in X9.62's hybrid
  form.
* Ed25519 (RFC 8032 section 5.1.3, RFC 8410 section 3): parameters absent, y below 2^255 - 19, and not one of the points
  of small order, with which one signature verifies for every message.
* ML-DSA (RFC 9881 section 4): parameters absent.

ML-KEM keys are `kem.keys` and `kem.weak_keys`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from kem.structures import SubjectPublicKeyInfo
from pkix import oids
from pkix.algorithms import MAX_RSA_BITS
from pkix.asn1 import AlgorithmIdentifier, Null, Oid, decode, encode, parameters_der
from pkix.errors import AlgorithmRefused, Malformed
from pkix.pss import PssParameters, PssPublicKey, PublicKey

FERMAT_STEPS = 32
_LARGEST_FACTOR = 6000
MAX_SPKI = 4096  # octets; an ML-DSA-87 key has 2,614, an RSA key of 8,192 bits 1,062
_ML_DSA = (oids.ML_DSA_44, oids.ML_DSA_65, oids.ML_DSA_87)
_OID_TAG = 0x06
_UNCOMPRESSED_OR_COMPRESSED = (2, 3, 4)
_KEY_LENGTHS = {oids.ED25519: 32, oids.ML_DSA_44: 1312, oids.ML_DSA_65: 1952, oids.ML_DSA_87: 2592}  # octets
_WITHOUT_PARAMETERS = frozenset(_KEY_LENGTHS)
_KEY_ALGORITHMS = _WITHOUT_PARAMETERS | {oids.RSA_ENCRYPTION, oids.RSASSA_PSS, oids.EC_PUBLIC_KEY}

_P25519 = 2**255 - 19
# The y of the eight points whose order divides 8; the order of a point does not depend on the sign of its x.
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P25519 - 1, _ORDER_8, _P25519 - _ORDER_8})


def _primes(below: int) -> list[int]:
    return [
        number
        for number in range(3, below, 2)
        if all(number % factor for factor in range(3, math.isqrt(number) + 1, 2))
    ]


_SMALL_PRIMES = math.prod(_primes(_LARGEST_FACTOR))
# A square is one of these modulo 64; five in six numbers are not.
_SQUARES = frozenset(number * number % 64 for number in range(64))


def load_public_key(spki: bytes, whose: str) -> PublicKey:
    """The key in a DER SubjectPublicKeyInfo, checked as the module says. `whose` begins the text.

    Raises AlgorithmRefused for a kind of key that is not supported or an unusable value, Malformed for a wrong
    encoding.
    """
    if len(spki) > MAX_SPKI:
        raise AlgorithmRefused(f"{whose}: a public key of {len(spki)} octets; at most {MAX_SPKI} are accepted")
    info = decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo")
    scheme = info.algorithm
    if scheme.algorithm not in _KEY_ALGORITHMS:
        raise AlgorithmRefused(f"{whose}: a public key of the kind {oids.name(scheme.algorithm)} is not supported")
    _check_parameters(scheme, whose)
    bound = PssParameters.of(scheme) if _has_pss_parameters(scheme) else None
    octets = bytes(info.subject_public_key.as_bytes())
    if scheme.algorithm == oids.EC_PUBLIC_KEY and octets[:1] and octets[0] not in _UNCOMPRESSED_OR_COMPRESSED:
        raise Malformed(f"{whose}: an EC point in hybrid form", advice="send it uncompressed (RFC 5480 section 2.2)")
    if scheme.algorithm == oids.ED25519:
        _check_ed25519(octets, whose)
    if scheme.algorithm in _ML_DSA:
        _check_ml_dsa(octets, whose)
    try:
        key = load_der_public_key(_for_loading(info, spki))
    except UnsupportedAlgorithm:
        what = f"curve {_curve(scheme)}" if scheme.algorithm == oids.EC_PUBLIC_KEY else oids.name(scheme.algorithm)
        raise AlgorithmRefused(f"{whose}: {what} is not supported") from None
    except ValueError:
        raise AlgorithmRefused(f"{whose}: the public key is unusable: {_unusable(scheme, octets)}") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size > MAX_RSA_BITS:  # before anything is computed with it
            raise AlgorithmRefused(f"{whose}: RSA key of {key.key_size} bits; at most {MAX_RSA_BITS} are looked at")
        _check_modulus(key.public_numbers().n, whose)
        if scheme.algorithm == oids.RSASSA_PSS:
            return PssPublicKey(key, bound)
    return key


def _unusable(scheme: AlgorithmIdentifier, octets: bytes) -> str:
    """What is wrong with the octets of a key that cannot be loaded."""
    kind = scheme.algorithm
    if kind == oids.EC_PUBLIC_KEY:
        return f"its {len(octets)} octets are no point on the curve {_curve(scheme)} (RFC 5480 section 2.2)"
    if kind in _KEY_LENGTHS:
        return f"an {oids.label(kind)} key of {len(octets)} octets; it must have {_KEY_LENGTHS[kind]}"
    return "it is no RSAPublicKey with modulus and publicExponent (RFC 3279 section 2.3.1)"


def _curve(scheme: AlgorithmIdentifier) -> str:
    """The namedCurve of an EC key, whose parameters have been checked."""
    return oids.name(decode(Oid, parameters_der(scheme) or b"", "namedCurve"))


def key_identity(spki: bytes) -> bytes:
    """32 octets that all encodings of one public key have in common: SHA-256 of its DER SubjectPublicKeyInfo, for an EC
    key with the uncompressed point, for an RSA key with rsaEncryption also if it is of the kind id-RSASSA-PSS: whoever
    has one private key has the other. spki: DER.
    """
    try:
        info = decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo")
        loaded = load_der_public_key(_for_loading(info, spki))
        one = loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm, Malformed):
        one = spki  # a kind of key that has one encoding, such as ML-KEM
    return hashlib.sha256(one).digest()


def _check_parameters(scheme: AlgorithmIdentifier, whose: str) -> None:
    """The parameters beside the algorithm's OID. Raises Malformed."""
    kind: Oid = scheme.algorithm
    if kind == oids.RSA_ENCRYPTION and not isinstance(scheme.parameters, Null):
        raise Malformed(f"{whose}: rsaEncryption needs the parameters NULL (RFC 3279 section 2.3.1)")
    if kind == oids.EC_PUBLIC_KEY and (parameters_der(scheme) or b"\0")[0] != _OID_TAG:
        raise Malformed(f"{whose}: an EC key needs a namedCurve, not explicit parameters (RFC 5480 section 2.1.1)")
    if kind in _WITHOUT_PARAMETERS and scheme.parameters is not None:
        raise Malformed(f"{whose}: {oids.label(kind)} must have no parameters")


def _for_loading(info: SubjectPublicKeyInfo, spki: bytes) -> bytes:
    """What `cryptography` is given: of a key of the kind id-RSASSA-PSS the numbers alone, under rsaEncryption, since it
    refuses parameters in which a default is written out.
    """
    if info.algorithm.algorithm != oids.RSASSA_PSS:
        return spki
    return encode(replace(info, algorithm=AlgorithmIdentifier(algorithm=oids.RSA_ENCRYPTION, parameters=Null())))


def _has_pss_parameters(scheme: AlgorithmIdentifier) -> bool:
    return scheme.algorithm == oids.RSASSA_PSS and scheme.parameters is not None


def _check_ed25519(octets: bytes, whose: str) -> None:
    y = int.from_bytes(octets, "little") & ((1 << 255) - 1)
    if y >= _P25519:
        raise Malformed(f"{whose}: an Ed25519 key that is not encoded canonically (RFC 8032 section 5.1.3)")
    if y in _SMALL_ORDER:
        raise AlgorithmRefused(f"{whose}: an Ed25519 key of small order, for which anybody can sign")


def _check_ml_dsa(octets: bytes, whose: str) -> None:
    """rho (32 octets) and t1 (FIPS 204 algorithm 22). Verification subtracts c * t1 * 2^d: with t1 = 0 any short z is a
    signature, and with few coefficients that are not zero it is for some challenges. Of an honest key's octets one in
    256 is zero.
    """
    t1 = octets[32:]
    if 4 * t1.count(0) > len(t1):
        raise AlgorithmRefused(f"{whose}: an ML-DSA key for which anybody can sign: t1 is zero or sparse")


def _check_modulus(modulus: int, whose: str) -> None:
    """Odd, without small factors, not the product of close primes. Below 0.2 ms for 2,048 bits."""
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRIMES) != 1:
        raise AlgorithmRefused(f"{whose}: an RSA modulus with a small factor")
    if _has_close_factors(modulus):
        raise AlgorithmRefused(f"{whose}: an RSA modulus whose two primes are too close to each other")


def _has_close_factors(modulus: int) -> bool:
    """Fermat: n = a^2 - b^2 = (a + b)(a - b), for an a just above the root of n (CVE-2022-26320)."""
    middle = math.isqrt(modulus - 1) + 1
    square = middle * middle - modulus
    for _ in range(FERMAT_STEPS):
        if square & 63 in _SQUARES and math.isqrt(square) ** 2 == square:
            return True
        square += 2 * middle + 1
        middle += 1
    return False
