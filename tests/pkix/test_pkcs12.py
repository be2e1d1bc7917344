"""pkix/pkcs12.py: what a file makes us compute. What is read is tested in tests/scep_kem/test_ca_import.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pkix import oids, pkcs12
from pkix.asn1 import Oid, encode_oid, explicit, integer, octet_string, wrap
from pkix.encrypted_keys import MAX_ITERATIONS
from pkix.errors import AlgorithmRefused, Malformed
from pkix.pkcs12 import decode_pkcs12

SALT = octet_string(b"saltsalt")
ENCRYPTED_DATA = Oid("1.2.840.113549.1.7.6")
BAGS = "1.2.840.113549.1.12.10.1"
TRIPLE_DES = Oid("1.2.840.113549.1.12.1.3")
SCRYPT = Oid("1.3.6.1.4.1.11591.4.11")
PBMAC1 = oids.PBMAC1
HMAC = wrap(0x30, encode_oid(oids.HMAC_SHA256))
ONE_EACH = (integer(1), integer(1))


def seq(*members: bytes) -> bytes:
    return wrap(0x30, b"".join(members))


def pbes1(count: bytes) -> bytes:
    return seq(encode_oid(TRIPLE_DES), seq(SALT, count))


def pbkdf2(count: bytes) -> bytes:
    return seq(encode_oid(oids.PBKDF2), seq(SALT, count, integer(32)))


def pbes2(derivation: bytes) -> bytes:
    return seq(encode_oid(oids.PBES2), seq(derivation, seq(encode_oid(oids.AES256_CBC), octet_string(bytes(16)))))


def mac(count: bytes | None, algorithm: bytes | None = None) -> bytes:
    digest = seq(algorithm or seq(encode_oid(oids.SHA256)), octet_string(bytes(32)))
    return seq(digest, SALT, count or b"")


def bag(kind: int, value: bytes) -> bytes:
    return seq(encode_oid(Oid(f"{BAGS}.{kind}")), explicit(0, value))


def shrouded(algorithm: bytes) -> bytes:
    """A pkcs8ShroudedKeyBag."""
    return bag(2, seq(algorithm, octet_string(bytes(16))))


def data(octets: bytes) -> bytes:
    return seq(encode_oid(oids.DATA), explicit(0, octet_string(octets)))


def encrypted(algorithm: bytes) -> bytes:
    content = seq(encode_oid(oids.DATA), algorithm, wrap(0x80, bytes(16)))
    return seq(encode_oid(ENCRYPTED_DATA), explicit(0, seq(integer(0), content)))


def pfx(*safes: bytes, mac: bytes = b"") -> bytes:
    return seq(integer(3), data(seq(*safes)), mac)


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "MacData": lambda count: pfx(mac=mac(count)),
    "PBMAC1": lambda count: pfx(
        mac=mac(integer(1), seq(encode_oid(PBMAC1), seq(pbkdf2(count), seq(encode_oid(oids.HMAC_SHA256)))))
    ),
    "encrypted data, PBES1": lambda count: pfx(encrypted(pbes1(count)), mac=mac(None)),
    "encrypted data, PBES2": lambda count: pfx(encrypted(pbes2(pbkdf2(count)))),
    "key bag, PBES1": lambda count: pfx(data(seq(shrouded(pbes1(count))))),
    "key bag, PBES2": lambda count: pfx(data(seq(shrouded(pbes2(pbkdf2(count)))))),
    "second key bag": lambda count: pfx(data(seq()), data(seq(shrouded(pbes1(integer(1))), shrouded(pbes1(count))))),
    "key bag in a bag": lambda count: pfx(data(seq(bag(6, seq(shrouded(pbes1(count))))))),
    "scrypt": lambda count: pfx(data(seq(shrouded(pbes2(seq(encode_oid(SCRYPT), seq(SALT, count, *ONE_EACH))))))),
}


class Computing(Exception):
    """The library was asked, or PBKDF2."""


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(*_arguments: object) -> None:
        raise Computing

    monkeypatch.setattr(pkcs12, "load_pkcs12", compute)
    monkeypatch.setattr(pkcs12, "derived", compute)


@pytest.mark.parametrize("place", PLACES)
def test_no_count_of_iterations_makes_an_import_compute_for_long(place: str) -> None:
    """2^31 would take half an hour in the library, which nothing can stop."""
    made = PLACES[place]
    for count in (integer(MAX_ITERATIONS + 1), integer(1 << 31), integer(1 << 4096), integer(0), b"\x02\x01\xff"):
        with pytest.raises(AlgorithmRefused, match="no iterations or, in all, for more than 10000000"):
            decode_pkcs12(made(count), password=b"password")
    with pytest.raises(Computing):
        decode_pkcs12(made(integer(MAX_ITERATIONS - 1)), password=b"password")


def test_counts_add_up() -> None:
    half = shrouded(pbes1(integer(MAX_ITERATIONS // 2)))
    with pytest.raises(AlgorithmRefused):
        decode_pkcs12(pfx(data(seq(half, half)), mac=mac(integer(1))), password=b"password")
    with pytest.raises(Computing):
        decode_pkcs12(pfx(data(seq(half, half))), password=b"password")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_factors_of_scrypt_multiply(at: int) -> None:
    factors = [integer(4096 if number != at else 1) for number in (1, 2, 3)]
    with pytest.raises(AlgorithmRefused):
        decode_pkcs12(pfx(data(seq(shrouded(pbes2(seq(encode_oid(SCRYPT), seq(SALT, *factors))))))), password=b"p")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        seq(),
        seq(integer(3)),
        seq(integer(3), integer(3)),
        pfx(integer(1)),
        pfx(mac=integer(1)),
        seq(integer(3), seq(encode_oid(oids.DATA), explicit(0, octet_string(seq() + b"\x00")))),
        pfx(data(seq() + b"\x00")),
        pfx() + b"\x00",
    ],
)
def test_what_cannot_be_looked_through_is_not_computed(octets: bytes) -> None:
    """The library passes over what follows a value: counts must not hide so."""
    with pytest.raises(Malformed, match="it is no PKCS #12 file"):
        decode_pkcs12(octets, password=b"password")
