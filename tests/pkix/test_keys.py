"""Private keys in PEM, their names, and what goes with each kind."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kem.keys import DecapsulationKey, PrivateKeyForm, decode_private_key, encode_private_key
from kem.parameters import by_name
from pkix.errors import AlgorithmRefused, Malformed
from pkix.keys import (
    KEY_TYPES,
    certificate_hash,
    dump_private_key,
    generate,
    key_hash,
    key_type_of,
    load_kem_key,
    load_private_key,
    message_digest,
    spki_of,
)
from tests.pkix.forge import peer, small_rsa_key, spki
from tests.pkix.openssl import OpenSsl

UNKNOWN = b"""-----BEGIN PRIVATE KEY-----
MBACAQAwBwYFKoN9AwQEAgUA
-----END PRIVATE KEY-----
"""
ALL = ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
SECRET = b"the pass phrase"
every_key = pytest.mark.parametrize("key_type", ALL)
TRADITIONAL = ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521"]


def pem(key: PrivateKeyTypes, form: PrivateFormat, password: bytes | None = None) -> bytes:
    """The key in PEM."""
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption())


@every_key
@pytest.mark.parametrize("password", [None, SECRET])
def test_pkcs_8_in_pem(key_type: str, password: bytes | None) -> None:
    private = peer(key_type).key
    found = load_private_key(pem(private, PrivateFormat.PKCS8, password), password=password)
    assert spki_of(found) == spki_of(private)


@pytest.mark.parametrize("key_type", TRADITIONAL)
@pytest.mark.parametrize("password", [None, SECRET])
def test_pkcs_1_and_sec_1_in_pem(key_type: str, password: bytes | None) -> None:
    private = peer(key_type).key
    text = pem(private, PrivateFormat.TraditionalOpenSSL, password)
    assert text.startswith(b"-----BEGIN RSA PRIVATE" if key_type.startswith("rsa") else b"-----BEGIN EC PRIVATE")
    assert spki_of(load_private_key(text, password=password)) == spki_of(private)


@pytest.mark.parametrize(
    "arguments",
    [
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("genpkey", "-algorithm", "ED25519"),
        ("ecparam", "-name", "prime256v1", "-genkey"),
        ("ecparam", "-name", "secp384r1", "-genkey", "-noout"),
    ],
    ids=["PKCS #8 EC", "PKCS #8 Ed25519", "SEC 1 with parameters before it", "SEC 1"],
)
def test_keys_by_openssl(openssl: OpenSsl, arguments: tuple[str, ...]) -> None:
    text = openssl.run(*arguments)
    assert spki_of(load_private_key(text)) == openssl.run(
        "pkey", "-pubout", "-outform", "DER", "-in", openssl.file(text)
    )


@every_key
def test_dump_is_unencrypted_pkcs_8_and_loads_again(key_type: str) -> None:
    text = dump_private_key(peer(key_type).key)
    assert text.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert spki_of(load_private_key(text)) == spki_of(peer(key_type).key)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS #8", "PKCS #1"])
@pytest.mark.parametrize("password", [None, b"another pass phrase", b""], ids=["none", "wrong", "empty"])
def test_wrong_password(form: PrivateFormat, password: bytes | None) -> None:
    text = pem(peer().key, form, SECRET)
    with pytest.raises(Malformed, match=r"the private key (cannot be read|is encrypted$)") as caught:
        load_private_key(text, password=password)
    assert caught.value.text.isprintable()
    assert SECRET.decode() not in caught.value.text


def test_password_for_a_key_without_one() -> None:
    with pytest.raises(Malformed, match="the private key cannot be read"):
        load_private_key(dump_private_key(peer().key), password=SECRET)


GOOD = dump_private_key(peer("ec:P-256").key)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no key",
        b"\x00" * 100,
        GOOD[: len(GOOD) // 2],
        GOOD.replace(b"END PRIVATE", b"END PUBLIC"),
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
        b"\xff\xfe" + GOOD.decode().encode("utf-16-le"),
    ],
    ids=[
        *("nothing", "text", "zeros", "half", "other end", "empty", "AAAA", "no base64"),
        *("PKCS #1", "SEC 1", "encrypted", "UTF-16"),
    ],
)
def test_garbage_in_pem(text: bytes) -> None:
    with pytest.raises(Malformed, match=r"the private key (cannot be read|is encrypted$)") as caught:
        load_private_key(text)
    assert caught.value.text.isprintable()


def test_a_public_key_in_pem_is_no_private_key() -> None:
    public = peer().key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Malformed, match="the private key cannot be read"):
        load_private_key(public)


@pytest.mark.parametrize("kind", [x25519.X25519PrivateKey, ed448.Ed448PrivateKey], ids=["X25519", "Ed448"])
def test_kinds_of_keys_that_are_not_supported(kind: type[x25519.X25519PrivateKey]) -> None:
    with pytest.raises(AlgorithmRefused, match=r"key type (X25519|Ed448) is not supported"):
        load_private_key(pem(kind.generate(), PrivateFormat.PKCS8))


@pytest.mark.parametrize("kind", ["X448", "ED448", "X25519"])
def test_kinds_of_keys_by_openssl_that_are_not_supported(openssl: OpenSsl, kind: str) -> None:
    with pytest.raises(AlgorithmRefused, match=r"key type \w+ is not supported"):
        load_private_key(openssl.run("genpkey", "-algorithm", kind))


@pytest.mark.parametrize("curve", ["secp224r1", "secp256k1", "brainpoolP256r1", "sect283k1", "SM2"])
def test_curves_that_are_not_supported(openssl: OpenSsl, curve: str) -> None:
    text = openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
    with pytest.raises((AlgorithmRefused, Malformed)) as caught:
        key_type_of(load_private_key(text).public_key())
    assert caught.value.text.isprintable()


def test_a_key_of_an_unknown_algorithm() -> None:
    with pytest.raises((AlgorithmRefused, Malformed)) as caught:
        load_private_key(UNKNOWN)
    assert caught.value.text.isprintable()


@every_key
def test_key_type_of_names_every_kind(key_type: str) -> None:
    assert key_type in KEY_TYPES
    assert key_type_of(peer(key_type).key.public_key()) == key_type


def test_key_type_of_names_the_exact_size_of_rsa() -> None:
    assert key_type_of(small_rsa_key().public_key()) == "rsa:1024"


def test_key_type_of_refuses_other_kinds() -> None:
    with pytest.raises(AlgorithmRefused, match="key type X25519 is not supported"):
        key_type_of(x25519.X25519PrivateKey.generate().public_key())
    with pytest.raises(AlgorithmRefused, match=r"key type EC \(secp256k1\) is not supported"):
        key_type_of(ec.generate_private_key(ec.SECP256K1()).public_key())


@pytest.mark.parametrize(
    "name", ["", "rsa", "rsa:1024", "rsa:2049", "ec:P-224", "ec", "ed448", "RSA:2048", "rsa:2048 "]
)
def test_generate_knows_only_its_names(name: str) -> None:
    with pytest.raises(ValueError, match="unknown key type"):
        generate(name)


@pytest.mark.parametrize("key_type", ["ec:P-256", "ec:P-384", "ec:P-521", "ed25519"])
def test_generate_makes_what_it_is_told_and_never_twice(key_type: str) -> None:
    first, second = generate(key_type), generate(key_type)
    assert key_type_of(first.public_key()) == key_type
    assert spki_of(first) != spki_of(second)


def test_generate_rsa_has_the_usual_exponent() -> None:
    private = peer().key
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.public_key().public_numbers().e == 65537


@every_key
def test_spki_and_its_hash(key_type: str) -> None:
    private = peer(key_type).key
    assert spki_of(private) == spki(private.public_key()) == peer(key_type).certificate.spki
    assert key_hash(private) == hashlib.sha256(spki_of(private)).digest() == peer(key_type).certificate.key_hash


@pytest.mark.parametrize(
    ("key_type", "digest"),
    list(zip(ALL, ["sha256", "sha256", "sha384"] + 5 * ["sha512"], strict=True)),
)
def test_digest_that_goes_with_a_key(key_type: str, digest: str) -> None:
    private = peer(key_type).key
    assert message_digest(private).name == digest
    expected: hashes.HashAlgorithm | None = message_digest(private) if key_type in TRADITIONAL else None
    assert type(certificate_hash(private)) is type(expected)


@pytest.mark.parametrize("form", PrivateKeyForm, ids=lambda form: form.value)
@pytest.mark.parametrize("name", ["ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"])
def test_rfc_9935_6_kem_keys_in_pem_keep_their_form(name: str, form: PrivateKeyForm) -> None:
    private = DecapsulationKey(by_name(name), seed=bytes(64))
    given = decode_private_key(encode_private_key(private, form))
    text = dump_private_key(given)
    assert text.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert max(map(len, text.splitlines())) <= 64
    found = load_kem_key(text)
    assert (found.parameter_set, found.seed, found.expanded) == (given.parameter_set, given.seed, given.expanded)


@pytest.mark.parametrize("text", [b"", b"no key"])
def test_kem_key_without_a_pem_block(text: bytes) -> None:
    with pytest.raises(Malformed, match=r"it is (empty|text, neither PEM nor DER); a private key in PEM or DER"):
        load_kem_key(text)


def test_kem_key_that_is_another_key() -> None:
    with pytest.raises(AlgorithmRefused, match="no ML-KEM key"):
        load_kem_key(GOOD)
    with pytest.raises(AlgorithmRefused, match="cannot sign"):
        load_private_key(dump_private_key(DecapsulationKey(by_name("ML-KEM-512"), seed=bytes(64))))
