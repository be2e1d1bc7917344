"""PasswordRecipientInfo: PBKDF2 and id-alg-PWRI-KEK (RFC 5652 section 6.2.4, RFC 3211, RFC 8018)."""

from __future__ import annotations

import pytest
from pyasn1_alt_modules import rfc8018

from pkix import oids
from pkix.algorithms import AES128, AES192, AES256, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.asn1 import Oid
from pkix.errors import AlgorithmRefused, Malformed
from pkix.identities import PasswordIdentity
from pkix.recipients import MAX_PBKDF2_ITERATIONS, PasswordRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import (
    CONTENT,
    by_password,
    cannot_decrypt,
    changed,
    flipped,
    made,
    opened,
    recipient,
    with_encrypted_key,
)
from tests.pkix.forge import NULL, algorithm
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv

LEGACY = AlgorithmPolicy(legacy=True)
PASSWORD = "ein Geheimnis ✓"
CIPHERS = [AES128, AES192, AES256, TRIPLE_DES]
FAST = 1000  # iterations: what a password costs is not under test
every_cipher = pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)


@pytest.mark.parametrize("wrapping", [AES128, AES192, AES256], ids=lambda cipher: cipher.name)
@every_cipher
def test_6_2_4_openssl_opens_ours_by_password(openssl: OpenSsl, cipher: ContentCipher, wrapping: ContentCipher) -> None:
    message = made(PasswordRecipient(PASSWORD.encode(), wrapping, FAST), cipher=cipher)
    assert openssl.decrypt(message, None, "-pwri_password", PASSWORD) == CONTENT


@pytest.mark.parametrize("wrapping", [AES128, AES192, AES256], ids=lambda cipher: cipher.name)
@every_cipher
def test_6_2_4_what_is_encrypted_by_password_opens(cipher: ContentCipher, wrapping: ContentCipher) -> None:
    message = made(PasswordRecipient(PASSWORD.encode(), wrapping, FAST), cipher=cipher)
    found = opened(message, PasswordIdentity(PASSWORD.encode()), policy=LEGACY)
    assert found.content == CONTENT
    assert found.cipher == cipher
    assert found.key_transport is None


def test_6_2_4_default_iterations_and_an_empty_password() -> None:
    message = made(PasswordRecipient(b""))
    assert opened(message, PasswordIdentity(b"")).content == CONTENT


def test_pyasn1_reads_our_password_recipient() -> None:
    message = made(PasswordRecipient(b"x", AES192, 1000))
    (info,) = second_opinion.enveloped_data(message)["recipientInfos"]
    assert info["pwri"]["version"] == 0
    derivation = info["pwri"]["keyDerivationAlgorithm"]
    assert str(derivation["algorithm"]) == oids.PBKDF2.dotted_string
    params = second_opinion.exactly(bytes(derivation["parameters"]), rfc8018.PBKDF2_params())
    assert params["iterationCount"] == 1000
    assert len(params["salt"]["specified"]) == 16
    assert str(params["prf"]["algorithm"]) == oids.HMAC_SHA256.dotted_string
    assert str(info["pwri"]["keyEncryptionAlgorithm"]["algorithm"]) == oids.PWRI_KEK.dotted_string


@pytest.mark.parametrize("form", [(), ("-stream",)], ids=" ".join)
@pytest.mark.parametrize("cipher", ["-aes128", "-aes192", "-aes256"])
def test_we_open_openssl_by_password(openssl: OpenSsl, cipher: str, form: tuple[str, ...]) -> None:
    message = openssl.encrypt(CONTENT, None, cipher, *form, "-pwri_password", PASSWORD)
    assert opened(message, PasswordIdentity(PASSWORD.encode())).content == CONTENT


def test_wrong_password() -> None:
    cannot_decrypt(by_password(), PasswordIdentity(b"another password"))
    cannot_decrypt(by_password(), PasswordIdentity(b""))


@pytest.mark.parametrize("at", [0, 3, 16, 31])
def test_changed_password_wrapped_key(at: int) -> None:
    cannot_decrypt(with_encrypted_key(flipped(at), by_password()))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 48, 160])
def test_password_wrapped_key_of_another_length(size: int) -> None:
    cannot_decrypt(with_encrypted_key(lambda _: b"w" * size, by_password()))


def password_parameters(enveloped: Node) -> Node:
    """PBKDF2-params."""
    return recipient(enveloped)[1][1]


def wrap_algorithm(enveloped: Node) -> Node:
    """The AlgorithmIdentifier inside id-alg-PWRI-KEK."""
    return recipient(enveloped)[2][1]


@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_password_wrap_iv_of_wrong_length(size: int) -> None:
    def change(enveloped: Node) -> None:
        wrap_algorithm(enveloped)[1].content = b"i" * size

    cannot_decrypt(changed(change, by_password()))


def test_another_salt() -> None:
    def change(enveloped: Node) -> None:
        password_parameters(enveloped)[0].content = b""

    cannot_decrypt(changed(change, by_password()))


def test_rfc_8018_a_2_prf_absent_means_sha_1() -> None:
    def change(enveloped: Node) -> None:
        del password_parameters(enveloped)[2]

    cannot_decrypt(changed(change, by_password()))


@pytest.mark.parametrize("prf", [oids.HMAC_SHA1, oids.HMAC_SHA384, oids.HMAC_SHA512], ids=oids.label)
def test_another_prf(prf: Oid) -> None:
    def change(enveloped: Node) -> None:
        password_parameters(enveloped)[2] = Node.parse(algorithm(prf, NULL))

    cannot_decrypt(changed(change, by_password()))


@pytest.mark.parametrize(
    "count", [MAX_PBKDF2_ITERATIONS + 1, 0, -1, 1 << 40, 1 << 20_000], ids=["max + 1", "0", "-1", "2^40", "2^20000"]
)
def test_pbkdf2_iterations_beyond_the_limit(count: int) -> None:
    # The last one has more digits than Python turns into text.
    def change(enveloped: Node) -> None:
        password_parameters(enveloped)[1] = Node.parse(integer(count))

    with pytest.raises(AlgorithmRefused, match="PBKDF2"):
        opened(changed(change, by_password()))


@pytest.mark.parametrize(
    ("path", "replacement"),
    [
        ("derivation", algorithm(oids.SHA256)),
        ("prf", algorithm(Oid("1.2.840.113549.2.8"), NULL)),
        ("prf", algorithm(oids.MD5, NULL)),
        ("wrap", algorithm(oids.DES_EDE3_CBC, tlv(0x04, bytes(8)))),
        ("wrap", algorithm(oids.AES128_GCM, tlv(0x04, bytes(16)))),
        ("encryption", algorithm(oids.AES128_CBC, tlv(0x04, bytes(16)))),
    ],
    ids=["no PBKDF2", "HMAC SHA-224", "MD5", "3DES wrap", "GCM wrap", "no PWRI-KEK"],
)
def test_password_algorithms_that_are_refused(path: str, replacement: bytes) -> None:
    def change(enveloped: Node) -> None:
        node = Node.parse(replacement)
        if path == "derivation":
            recipient(enveloped)[1].children = node.children
        elif path == "prf":
            password_parameters(enveloped)[2] = node
        elif path == "wrap":
            recipient(enveloped)[2][1] = node
        else:
            recipient(enveloped)[2] = node

    with pytest.raises(AlgorithmRefused):
        opened(changed(change, by_password()), policy=LEGACY)


def test_password_recipient_without_key_derivation() -> None:
    def change(enveloped: Node) -> None:
        del recipient(enveloped)[1]

    with pytest.raises(AlgorithmRefused, match="without PBKDF2"):
        opened(changed(change, by_password()))


@pytest.mark.parametrize("which", ["derivation", "encryption", "iv", "salt"])
def test_password_parameters_of_wrong_structure(which: str) -> None:
    def change(enveloped: Node) -> None:
        if which == "derivation":
            del recipient(enveloped)[1][1]
        elif which == "encryption":
            del recipient(enveloped)[2][1]
        elif which == "iv":
            del wrap_algorithm(enveloped)[1]
        else:
            password_parameters(enveloped)[0] = Node.parse(algorithm(oids.SHA256))

    with pytest.raises(Malformed):
        opened(changed(change, by_password()))
