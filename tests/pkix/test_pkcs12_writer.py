"""pkix/pkcs12_writer.py: PKCS #12 with PBMAC1 (RFC 9579) and PBES2, by three readers."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1_alt_modules import rfc7292, rfc8018

from kem.keys import DecapsulationKey
from pkix import encrypted_keys
from pkix.certificates import Certificate
from pkix.encrypted_keys import decrypt_pbes2
from pkix.errors import Malformed, PasswordNeeded, PkixError
from pkix.keys import PrivateKey, spki_of
from pkix.pkcs12 import decode_pkcs12
from pkix.pkcs12_writer import encode_pkcs12
from tests.pkix import second_opinion
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node
from tests.world import Random, authority, kem_key, key

KINDS = ("rsa:2048", "ec:P-256", "ec:P-521", "ed25519", "ml-dsa-44", "ml-kem-768")
SECRET = "pass phräse".encode()
OWN = Certificate.of(authority("rsa:2048").ca.certificate)
CHAIN = [Certificate.of(authority("ec:P-256").ca.certificate), Certificate.of(authority("ed25519").ca.certificate)]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written takes as long to compute as an attacker should need."""
    monkeypatch.setattr(encrypted_keys, "ITERATIONS", 1000)


def private(kind: str) -> PrivateKey:
    return kem_key(kind.upper())[0] if kind.startswith("ml-kem") else key(kind)


def written(kind: str = "ec:P-256", password: bytes = SECRET) -> bytes:
    return encode_pkcs12(private(kind), OWN, CHAIN, password=password, random=Random("p12"))


def content_of(octet_string: bytes) -> bytes:
    return Node.parse(octet_string).content


def is_of(found: PrivateKey, kind: str) -> bool:
    if isinstance(found, DecapsulationKey):
        return found.seed == kem_key(kind.upper())[0].seed
    return spki_of(found) == spki_of(key(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_key_certificate_and_chain_come_back_in_order(kind: str) -> None:
    found, certificates = decode_pkcs12(written(kind), password=SECRET)
    assert is_of(found, kind)
    assert [item.public_bytes(Encoding.DER) for item in certificates] == [item.der for item in (OWN, *CHAIN)]


def test_a_wrong_password_and_none_are_told() -> None:
    with pytest.raises(Malformed, match="damaged, or its password is another one"):
        decode_pkcs12(written(), password=b"another")
    for none in (None, b""):
        with pytest.raises(PasswordNeeded, match="the PKCS #12 file is encrypted"):
            decode_pkcs12(written(), password=none)


def test_every_altered_octet_is_noticed() -> None:
    """But those of a salt that says that it is not used, which are the last."""
    der = written("ed25519")
    assert der.endswith(b"NOT USED")
    for place in range(30, len(der) - len(b"NOT USED"), 7):
        with pytest.raises(PkixError):
            decode_pkcs12(der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :], password=SECRET)


def test_rfc_9579_4_the_mac_is_pbmac1_over_the_authenticated_safe() -> None:
    """By pyasn1 and the library's PBKDF2 alone."""
    pfx = second_opinion.exactly(written(), rfc7292.PFX())
    safe = content_of(bytes(pfx["authSafe"]["content"]))
    mac = pfx["macData"]["mac"]
    assert mac["digestAlgorithm"]["algorithm"] == rfc8018.id_PBMAC1
    params = second_opinion.exactly(bytes(mac["digestAlgorithm"]["parameters"]), rfc8018.PBMAC1_params())
    assert str(params["messageAuthScheme"]["algorithm"]) == "1.2.840.113549.2.9"
    derivation = second_opinion.exactly(bytes(params["keyDerivationFunc"]["parameters"]), rfc8018.PBKDF2_params())
    assert (int(derivation["keyLength"]), int(derivation["iterationCount"])) == (32, 1000)
    salt = bytes(derivation["salt"]["specified"])
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, 1000).derive(SECRET)
    assert hmac.digest(secret, safe, "sha256") == bytes(mac["digest"])


@pytest.mark.parametrize("kind", ["ec:P-256", "ml-kem-768"])
def test_rfc_7292_4_2_the_bags_say_which_certificate_is_the_key_s(kind: str) -> None:
    pfx = second_opinion.exactly(written(kind), rfc7292.PFX())
    safes = second_opinion.exactly(content_of(bytes(pfx["authSafe"]["content"])), rfc7292.AuthenticatedSafe())
    key_bags = second_opinion.exactly(content_of(bytes(safes[1]["content"])), rfc7292.SafeContents())
    held = Node.parse(bytes(safes[0]["content"]))[1]
    scheme = encrypted_keys.decode(encrypted_keys.AlgorithmIdentifier, held[1].der(), "algorithm")
    certificates = second_opinion.exactly(decrypt_pbes2(scheme, held[2].content, SECRET), rfc7292.SafeContents())
    assert key_bags[0]["bagId"] == rfc7292.id_pkcs8ShroudedKeyBag and len(key_bags) == 1
    assert [item["bagId"] for item in certificates] == [rfc7292.id_certBag] * 3
    assert key_bags[0]["bagAttributes"] == certificates[0]["bagAttributes"]
    assert [item["bagAttributes"].hasValue() for item in certificates] == [True, False, False]


def test_nothing_stands_in_clear() -> None:
    der = written("rsa:2048")
    assert OWN.subject not in der and OWN.der[100:140] not in der
    assert key("rsa:2048").private_numbers().p.to_bytes(128, "big") not in der  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_openssl_reads_the_bags(openssl: OpenSsl, kind: str) -> None:
    """Since 3.4 it verifies PBMAC1, too; earlier ones are told not to look at the MAC."""
    file = openssl.file(written(kind, b"pass"))
    out = openssl.run("pkcs12", "-in", file, "-nodes", "-nomacver", "-passin", "pass:pass")
    assert out.count(b"-----BEGIN CERTIFICATE-----") == 3 and b"-----BEGIN PRIVATE KEY-----" in out
    found = [item.public_bytes(Encoding.DER) for item in x509.load_pem_x509_certificates(out)]
    assert sorted(found) == sorted(item.der for item in (OWN, *CHAIN))


def test_openssl_that_knows_pbmac1_verifies_it(openssl: OpenSsl, tmp_path: Path) -> None:
    if tuple(map(int, openssl.run("version").split()[1].split(b".")[:2])) < (3, 4):
        pytest.skip("this openssl is older than 3.4 and knows no PBMAC1; interop openssl/pkcs12 has newer ones")
    file = openssl.file(written("ec:P-256", b"pass"))
    openssl.run("pkcs12", "-in", file, "-nodes", "-passin", "pass:pass")
