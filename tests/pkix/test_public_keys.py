"""Public keys that nobody should trust, whoever sends them, each with its reason; and no real key refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kem.structures import SubjectPublicKeyInfo
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import AlgorithmIdentifier, BitString, encode
from pkix.asn1 import algorithm as identifier
from pkix.errors import AlgorithmRefused, Malformed, PkixError
from pkix.key_kinds import kind_of
from pkix.keys import KEY_TYPES, generate, key_type_of, spki_of
from pkix.pkcs10 import CertificationRequest
from pkix.public_keys import FERMAT_STEPS, load_public_key
from pkix.signatures import verify
from tests.pkix.forge import NULL, algorithm, bit_string, certificate, peer, request_info, rsa_spki, sequence, spki
from tests.pkix.tlv import Node, integer, tlv
from tests.world import key

P = 2**255 - 19
RSA = spki(key("rsa:2048").public_key())
EC = spki(key("ec:P-256").public_key())
ED25519 = spki(key("ed25519").public_key())


def refused(info: bytes, error: type[PkixError], text: str) -> None:
    """As a requested key and as a signer's."""
    with pytest.raises(error, match=text) as caught:
        load_public_key(info, "whose")
    assert caught.value.text.startswith("whose: ")
    with pytest.raises(error, match=text):
        _ = certificate(info).public_key
    tree = request_info(peer().key, key_info=info)
    request = CertificationRequest.decode(
        sequence(tree.der(), algorithm(oids.SHA256_WITH_RSA, NULL), bit_string(b"worthless"))
    )
    with pytest.raises(error, match=text):
        _ = request.public_key


def changed(info: bytes, change: Callable[[Node], None]) -> bytes:
    """A SubjectPublicKeyInfo with one change."""
    tree = Node.parse(info)
    change(tree)
    return tree.der()


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_real_keys_are_accepted(kind: str) -> None:
    load_public_key(spki_of(key(kind)), "whose")


@pytest.mark.parametrize("kind", ["ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44"])
def test_hundreds_of_real_keys_are_accepted(kind: str) -> None:
    for _ in range(200):
        load_public_key(spki_of(generate(kind)), "whose")


# RSA


@pytest.mark.parametrize("parameters", [b"", sequence(), integer(1)], ids=["absent", "SEQUENCE", "INTEGER"])
def test_rfc_3279_2_3_1_rsa_parameters_are_null(parameters: bytes) -> None:
    contents = Node.parse(RSA)[1].der()
    refused(sequence(algorithm(oids.RSA_ENCRYPTION, parameters), contents), Malformed, "NULL")


def test_rfc_4055_1_2_pss_keys_may_have_none() -> None:
    load_public_key(sequence(algorithm(oids.RSASSA_PSS), Node.parse(RSA)[1].der()), "whose")


def modulus() -> int:
    numbers = key("rsa:2048").public_key().public_numbers()  # type: ignore[union-attr]
    return numbers.n  # type: ignore[union-attr]


@pytest.mark.parametrize("factor", [2, 3, 5, 7, 997, 5981, 5987])
def test_a_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    refused(rsa_spki(modulus() * factor, 65537), AlgorithmRefused, "small factor")


# Two primes of 1,024 bits: the first above 3 * 2^1022, and the first above it by so much
PRIME = 3 * 2**1022 + 145


def test_close_primes_are_refused() -> None:
    """What Fermat's method finds at once; the numbers need not be primes for that."""
    assert PRIME % 2
    for distance in (2, 2**100, 2**512, 2**514):
        refused(rsa_spki(without_small_factors(PRIME, distance), 65537), AlgorithmRefused, "too close")


def without_small_factors(start: int, distance: int) -> int:
    """The product of two numbers without a small factor, at about this distance."""
    small = [
        number for number in range(3, 6000, 2) if all(number % factor for factor in range(3, 78, 2) if factor < number)
    ]

    def rough(number: int) -> int:
        number |= 1
        while any(number % prime == 0 for prime in small):
            number += 2
        return number

    first = rough(start)
    return first * rough(first + distance)


def test_primes_at_a_distance_are_not_close() -> None:
    """FIPS 186-5 appendix A.1.3 asks for 2^(1024 - 100)."""
    load_public_key(rsa_spki(without_small_factors(PRIME, 2**924), 65537), "whose")


def test_the_search_for_close_primes_is_short() -> None:
    assert FERMAT_STEPS <= 100


# EC


def test_rfc_5480_2_1_1_explicit_parameters_are_refused() -> None:
    """OpenSSL's curve P-256 in ECParameters, with which `cryptography` recognises the curve."""
    generator = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    curve_b = bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    prime_field = oids.Oid("1.2.840.10045.1.1")
    parameters = sequence(
        integer(1),
        sequence(encode(prime_field), integer(prime)),
        sequence(tlv(0x04, (prime - 3).to_bytes(32, "big")), tlv(0x04, curve_b)),
        tlv(0x04, generator),
        integer(order),
        integer(1),
    )
    info = sequence(algorithm(oids.EC_PUBLIC_KEY, parameters), Node.parse(EC)[1].der())
    refused(info, Malformed, "namedCurve")


@pytest.mark.parametrize("parameters", [b"", NULL], ids=["absent", "NULL (implicitCurve)"])
def test_rfc_5480_2_1_1_other_parameters_are_refused(parameters: bytes) -> None:
    refused(sequence(algorithm(oids.EC_PUBLIC_KEY, parameters), Node.parse(EC)[1].der()), Malformed, "namedCurve")


def test_rfc_5480_2_2_a_hybrid_point_is_refused() -> None:
    def change(info: Node) -> None:
        octets = info[1].content
        info[1].content = b"\x00" + bytes([6 + octets[-1] % 2]) + octets[2:]

    refused(changed(EC, change), Malformed, "hybrid form")


def test_rfc_5480_2_2_a_compressed_point_is_accepted() -> None:
    private = key("ec:P-256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def change(info: Node) -> None:
        info[1].content = b"\x00" + point

    load_public_key(changed(EC, change), "whose")


@pytest.mark.parametrize("point", [b"", b"\x00", b"\x04", b"\x05" + bytes(64), b"\x04" + bytes(64)])
def test_what_is_no_point_is_refused(point: bytes) -> None:
    def change(info: Node) -> None:
        info[1].content = b"\x00" + point

    with pytest.raises(PkixError):
        load_public_key(changed(EC, change), "whose")


# Ed25519


def ed25519_spki(y: int, sign: int = 0) -> bytes:
    return sequence(algorithm(oids.ED25519), bit_string((y | sign << 255).to_bytes(32, "little")))


def added(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """The sum of two points of edwards25519 (RFC 8032 section 5.1.4)."""
    d = -121665 * pow(121666, -1, P) % P
    (x1, y1), (x2, y2) = one, two
    product = d * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def points_with(y: int) -> list[tuple[int, int]]:
    """Both points with this y, none if there is none (RFC 8032 section 5.1.3)."""
    d = -121665 * pow(121666, -1, P) % P
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    if x * x % P != x_squared:
        x = x * pow(2, (P - 1) // 4, P) % P
    return [(x, y), (-x % P, y)] if x * x % P == x_squared else []


def small_order() -> set[int]:
    """The y of every point of small order: some point times the order of the large subgroup, and its multiples."""
    order = 2**252 + 27742317777372353535851937790883648493
    found: set[int] = set()
    for y in range(2, 40):
        for point in points_with(y):
            multiple, double, rest = (0, 1), point, order
            while rest:
                if rest & 1:
                    multiple = added(multiple, double)
                double, rest = added(double, double), rest >> 1
            found.add(multiple[1])
    return found


def test_the_list_of_points_of_small_order_is_complete() -> None:
    every = small_order()
    assert len(every) == 5
    for y in every:
        for sign in (0, 1):
            refused(ed25519_spki(y, sign), AlgorithmRefused, "small order")


@pytest.mark.parametrize("y", [P, P + 1, P + 2, P + 18, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_rfc_8032_5_1_3_ed25519_keys_are_canonical(y: int, sign: int) -> None:
    refused(ed25519_spki(y, sign), Malformed, "canonically")


def test_a_signature_of_nobody_would_have_verified() -> None:
    """Why it matters: under the neutral element, R = 0 * B and s = 0 sign anything."""
    neutral = ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    neutral.verify((1).to_bytes(32, "little") + bytes(32), b"any message")


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_rfc_8410_3_and_9881_4_parameters_are_absent(kind: str) -> None:
    def change(info: Node) -> None:
        info[0].insert(1, Node(0x05))

    refused(changed(spki_of(key(kind)), change), Malformed, "must have no parameters")


# ML-DSA, and keys of absurd size


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_an_ml_dsa_key_for_which_anybody_can_sign_is_refused(kind: str) -> None:
    """With t1 = 0, or nearly, verification asks for a short z alone."""
    info = spki_of(key(kind))
    octets = Node.parse(info)[1].content  # an octet that counts unused bits, rho, t1
    for t1 in (bytes(len(octets) - 33), b"\x01" + bytes(len(octets) - 34), octets[33:73] + bytes(len(octets) - 73)):
        weak = changed(info, lambda tree, t1=t1: setattr(tree[1], "content", octets[:33] + t1))  # type: ignore[misc]
        refused(weak, AlgorithmRefused, "for which anybody can sign")


def test_a_key_of_absurd_size_is_refused_before_anything_is_computed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message with a modulus of two million bits held a process for seconds."""

    def computed(*_arguments: object) -> None:
        raise AssertionError("a computation with a huge modulus")

    monkeypatch.setattr("pkix.public_keys._check_modulus", computed)
    monkeypatch.setattr("pkix.public_keys.load_der_public_key", computed)
    refused(rsa_spki((1 << 2_000_000) + 1, 65537), AlgorithmRefused, "a public key of")
    monkeypatch.undo()
    monkeypatch.setattr("pkix.public_keys._check_modulus", computed)
    refused(rsa_spki((1 << 16_000) + 1, 65537), AlgorithmRefused, "RSA key of 16001 bits")


# Section 8: what is wrong with a key is said, in words of people


POINT = key("ec:P-256").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)  # type: ignore[union-attr]
P256 = identifier(oids.EC_PUBLIC_KEY, encode(oids.Oid("1.2.840.10045.3.1.7")))


@pytest.mark.parametrize(
    ("scheme", "octets", "text"),
    [
        (P256, POINT[:1] + bytes(64), "its 65 octets are no point on the curve P-256 (1.2.840.10045.3.1.7)"),
        (P256, POINT[:-1], "its 64 octets are no point on the curve P-256 (1.2.840.10045.3.1.7)"),
        (identifier(oids.RSA_ENCRYPTION, b"\5\0"), bytes(256), "it is no RSAPublicKey with modulus and publicExponent"),
        (identifier(oids.ED25519), b"a" * 31, "an Ed25519 key of 31 octets; it must have 32"),
        (identifier(oids.ML_DSA_44), b"a" * 1311, "an ML-DSA-44 key of 1311 octets; it must have 1312"),
        (identifier(oids.ML_DSA_65), b"a" * 1951, "an ML-DSA-65 key of 1951 octets; it must have 1952"),
        (identifier(oids.ML_DSA_87), b"a" * 2591, "an ML-DSA-87 key of 2591 octets; it must have 2592"),
    ],
)
def test_8_what_is_wrong_with_a_key_is_said(scheme: AlgorithmIdentifier, octets: bytes, text: str) -> None:
    spki = encode(SubjectPublicKeyInfo(algorithm=scheme, subject_public_key=BitString(octets, 0)))
    with pytest.raises(AlgorithmRefused) as caught:
        load_public_key(spki, "request")
    assert caught.value.text.startswith(f"request: the public key is unusable: {text}")


def test_8_a_curve_that_is_not_supported_has_its_name() -> None:
    curve = oids.Oid("1.2.3.4")
    scheme = identifier(oids.EC_PUBLIC_KEY, encode(curve))
    spki = encode(SubjectPublicKeyInfo(algorithm=scheme, subject_public_key=BitString(POINT, 0)))
    with pytest.raises(AlgorithmRefused, match=r"^request: curve 1\.2\.3\.4 is not supported$"):
        load_public_key(spki, "request")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (x25519.X25519PrivateKey.generate(), "X25519"),
        (ec.generate_private_key(ec.SECP256K1()), r"EC \(secp256k1\)"),
    ],
)
def test_8_no_text_has_a_library_s_name_of_a_class(made: Any, kind: str) -> None:
    for found in (made, made.public_key()):
        assert re.fullmatch(kind, kind_of(found))
    with pytest.raises(AlgorithmRefused, match=f"^key type {kind} is not supported$"):
        key_type_of(made.public_key())


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_8_every_kind_of_ours_has_a_name(key_type: str) -> None:
    words = kind_of(key(key_type)).lower()
    assert key_type.partition(":")[0] in words
    assert kind_of(key(key_type).public_key()).lower() == words
    assert kind_of(object()) == "unknown"


@pytest.mark.parametrize("size", [44, 65, 87])
def test_8_ml_dsa_with_parameters_is_named_as_that(size: int) -> None:
    public = key(f"ml-dsa-{size}").public_key()
    oid = {44: oids.ML_DSA_44, 65: oids.ML_DSA_65, 87: oids.ML_DSA_87}[size]
    for parameters in (b"\5\0", b"\4\0"):
        text = rf"^signature algorithm ML-DSA-{size} \([0-9.]+\) with parameters; they must be absent \(RFC 9881 "
        with pytest.raises(AlgorithmRefused, match=text):
            verify(public, identifier(oid, parameters), hashes.SHA512(), b"", b"", policy=AlgorithmPolicy())
    with pytest.raises(AlgorithmRefused, match=rf"^signature algorithm Ed25519 .* with a key of type ML-DSA-{size}$"):
        verify(public, identifier(oids.ED25519), hashes.SHA512(), b"", b"", policy=AlgorithmPolicy())
