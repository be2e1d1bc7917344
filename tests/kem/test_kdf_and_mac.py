"""HKDF and HMAC: published values, a second computation, and the identifiers that name them."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.x509 import ObjectIdentifier as Oid
from hypothesis import given
from hypothesis import strategies as st
from pyasn1_alt_modules import rfc8018, rfc8619

from kem import kdf as kdfs
from kem import mac as macs
from kem.errors import MacMismatch, MalformedStructure, UnsupportedAlgorithm
from kem.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, Kdf
from kem.mac import HMAC_SHA256, HMAC_SHA512, Mac
from kem.structures import TLV, AlgorithmIdentifier, Null, algorithm, decode, encode
from tests.kem.properties import few

KDFS = (HKDF_SHA256, HKDF_SHA384, HKDF_SHA512)
MACS = (HMAC_SHA256, HMAC_SHA512)
all_kdfs = pytest.mark.parametrize("kdf", KDFS, ids=lambda kdf: kdf.name)
all_macs = pytest.mark.parametrize("mac", MACS, ids=lambda mac: mac.name)


def hkdf(hash_name: str, secret: bytes, length: int, info: bytes) -> bytes:
    """RFC 5869 with an absent salt, by its formulas."""
    size = hashlib.new(hash_name).digest_size
    prk = hmac.digest(bytes(size), secret, hash_name)
    okm = previous = b""
    for number in range(1, -(-length // size) + 1):
        previous = hmac.digest(prk, previous + info + bytes((number,)), hash_name)
        okm += previous
    return okm[:length]


def test_rfc5869_a_3_without_salt_and_info() -> None:
    okm = HKDF_SHA256.derive(b"\x0b" * 22, 42, b"")
    assert okm.hex() == ("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")


@all_kdfs
@few(60)
@given(secret=st.binary(min_size=1, max_size=96), length=st.integers(1, 300), info=st.binary(max_size=200))
def test_hkdf_agrees_with_its_formulas(kdf: Kdf, secret: bytes, length: int, info: bytes) -> None:
    assert kdf.derive(secret, length, info) == hkdf(kdf.hash.name, secret, length, info)


@all_kdfs
def test_hkdf_gives_no_more_than_255_blocks(kdf: Kdf) -> None:
    limit = 255 * kdf.hash.digest_size
    assert len(kdf.derive(b"secret", limit, b"")) == limit
    for length in (0, -1, limit + 1):
        with pytest.raises(UnsupportedAlgorithm, match="cannot derive"):
            kdf.derive(b"secret", length, b"")


@all_kdfs
def test_rfc8619_identifiers(kdf: Kdf) -> None:
    registered = getattr(rfc8619, f"id_alg_hkdf_with_{kdf.hash.name}")
    assert kdf.oid.dotted_string == str(registered)
    assert kdfs.by_identifier(kdf.identifier) is kdf
    assert kdfs.by_oid(kdf.oid) is kdf


@all_kdfs
def test_rfc8619_2_parameters_must_be_absent(kdf: Kdf) -> None:
    assert kdf.identifier.parameters is None
    with pytest.raises(MalformedStructure, match="must be absent"):
        kdfs.by_identifier(AlgorithmIdentifier(algorithm=kdf.oid, parameters=Null()))


@all_kdfs
def test_digest_is_the_hash_of_the_kdf(kdf: Kdf) -> None:
    assert kdf.digest(b"data") == hashlib.new(kdf.hash.name, b"data").digest()


def test_another_kdf_is_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm, match=r"KDF 1\.2\.840\.113549\.1\.5\.12 is not supported"):
        kdfs.by_oid(Oid("1.2.840.113549.1.5.12"))


@pytest.mark.parametrize(
    ("mac", "expected"),
    [
        (HMAC_SHA256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            HMAC_SHA512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ],
    ids=["HMAC-SHA256", "HMAC-SHA512"],
)
def test_rfc4231_4_3(mac: Mac, expected: str) -> None:
    computed = mac.compute(b"Jefe", b"what do ya want for nothing?")
    assert computed.hex() == expected
    assert len(computed) == mac.length


@all_macs
def test_a_right_mac_is_accepted(mac: Mac) -> None:
    mac.verify(b"key", b"data", mac.compute(b"key", b"data"))


@all_macs
def test_every_wrong_mac_is_refused_with_the_same_text(mac: Mac) -> None:
    right = mac.compute(b"key", b"data")
    wrong = [
        b"",
        right[:-1],
        right[:16],
        right + b"\0",
        right[:-1] + bytes((right[-1] ^ 1,)),
        mac.compute(b"other key", b"data"),
        mac.compute(b"key", b"other data"),
    ]
    for each in wrong:
        with pytest.raises(MacMismatch) as refused:
            mac.verify(b"key", b"data", each)
        assert refused.value.text == "the MAC is wrong"


@all_macs
def test_rfc8018_b_1_2_identifiers(mac: Mac) -> None:
    registered = getattr(rfc8018, f"id_hmacWith{mac.hash_name.upper()}")
    assert mac.oid.dotted_string == str(registered)
    assert macs.by_identifier(mac.identifier) is mac
    assert encode(mac.identifier).endswith(b"\x05\x00")


@all_macs
def test_absent_parameters_are_read_like_null(mac: Mac) -> None:
    assert macs.by_identifier(algorithm(mac.oid)) is mac


@all_macs
def test_other_parameters_are_refused(mac: Mac) -> None:
    integer = decode(TLV, b"\x02\x01\x00", "INTEGER")
    with pytest.raises(MalformedStructure, match="must be NULL or absent"):
        macs.by_identifier(AlgorithmIdentifier(algorithm=mac.oid, parameters=integer))


def test_another_mac_is_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm, match=r"MAC 1\.2\.840\.113549\.2\.7 is not supported"):
        macs.by_identifier(algorithm(Oid("1.2.840.113549.2.7")))
