"""KEKRecipientInfo (RFC 5652 section 6.2.3), and AuthEnvelopedData with AES-GCM (RFC 5084) between us and `openssl`.

What AuthEnvelopedData must refuse is the subject of `test_auth_enveloped_data`.
"""

from __future__ import annotations

import pytest
from pyasn1_alt_modules import rfc5083, rfc5084

from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, AES192_GCM, AES256_GCM, ContentCipher
from pkix.content import GCM_NONCE_LENGTH, iv_length
from pkix.enveloped_data import describe
from pkix.errors import AlgorithmRefused, DecryptionFailed
from pkix.identities import KekIdentity
from pkix.recipients import KekRecipient, PasswordRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import CONTENT, TRANSPORTS, cannot_decrypt, changed, made, opened, rsa_recipient
from tests.pkix.forge import NULL, algorithm, peer
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node

CIPHERS = [AES128_GCM, AES192_GCM, AES256_GCM]
every_cipher = pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)
KEKS = [bytes(range(size)) for size in (16, 24, 32)]
every_kek = pytest.mark.parametrize("kek", KEKS, ids=len)
IDENTIFIER = b"\x01response key"


@every_cipher
def test_openssl_opens_ours(openssl: OpenSsl, cipher: ContentCipher) -> None:
    assert openssl.decrypt(made(cipher=cipher), peer()) == CONTENT


@pytest.mark.parametrize("form", [(), ("-keyid",)], ids=" ".join)
@pytest.mark.parametrize("cipher", ["-aes-128-gcm", "-aes-192-gcm", "-aes-256-gcm"])
def test_we_open_openssl(openssl: OpenSsl, cipher: str, form: tuple[str, ...]) -> None:
    message = openssl.encrypt(CONTENT, peer(), cipher, *form)
    assert opened(message).content == CONTENT


def test_every_other_recipient_fits_as_well(openssl: OpenSsl) -> None:
    message = made(
        PasswordRecipient(b"password", iterations=1000), rsa_recipient(TRANSPORTS["OAEP 30 00"]), cipher=AES256_GCM
    )
    assert opened(message, peer().identity()).content == CONTENT
    assert openssl.decrypt(message, None, "-pwri_password", "password") == CONTENT


@every_cipher
def test_pyasn1_reads_ours_as_der(cipher: ContentCipher) -> None:
    der = second_opinion.content_info(made(cipher=cipher), rfc5083.id_ct_authEnvelopedData)
    found = second_opinion.exactly(der, rfc5083.AuthEnvelopedData())
    assert found["version"] == 0
    assert len(found["mac"]) == 16
    scheme = found["authEncryptedContentInfo"]["contentEncryptionAlgorithm"]
    assert str(scheme["algorithm"]) == cipher.oid.dotted_string
    parameters = second_opinion.exactly(bytes(scheme["parameters"]), rfc5084.GCMParameters())
    assert len(parameters["aes-nonce"]) == GCM_NONCE_LENGTH == iv_length(cipher)
    assert parameters["aes-ICVlen"] == 16


@every_kek
@pytest.mark.parametrize("cipher", [AES128, AES256_GCM], ids=lambda cipher: cipher.name)
def test_rfc_5652_6_2_3_key_encryption_key(kek: bytes, cipher: ContentCipher) -> None:
    message = made(KekRecipient(kek, IDENTIFIER), cipher=cipher)
    found = opened(message, KekIdentity(kek, IDENTIFIER))
    assert found.content == CONTENT
    assert found.key_transport is None
    assert describe(message).endswith(f"AES key wrap under response key {IDENTIFIER.hex()}")


@every_kek
@pytest.mark.parametrize("cipher", [AES128, AES256_GCM], ids=lambda cipher: cipher.name)
def test_openssl_opens_ours_by_key_encryption_key(openssl: OpenSsl, kek: bytes, cipher: ContentCipher) -> None:
    message = made(KekRecipient(kek, IDENTIFIER), cipher=cipher)
    options = ("-secretkey", kek.hex(), "-secretkeyid", IDENTIFIER.hex())
    assert openssl.decrypt(message, None, *options) == CONTENT


@every_kek
def test_we_open_openssl_by_key_encryption_key(openssl: OpenSsl, kek: bytes) -> None:
    options = ("-secretkey", kek.hex(), "-secretkeyid", IDENTIFIER.hex())
    message = openssl.encrypt(CONTENT, None, "-aes128", *options)
    assert opened(message, KekIdentity(kek, IDENTIFIER)).content == CONTENT


def test_pyasn1_reads_our_kek_recipient() -> None:
    found = second_opinion.enveloped_data(made(KekRecipient(KEKS[0], IDENTIFIER)))
    (info,) = found["recipientInfos"]
    assert found["version"] == 2
    assert info["kekri"]["version"] == 4
    assert bytes(info["kekri"]["kekid"]["keyIdentifier"]) == IDENTIFIER
    assert str(info["kekri"]["keyEncryptionAlgorithm"]["algorithm"]) == oids.AES128_WRAP.dotted_string


def test_wrong_key_encryption_key() -> None:
    cannot_decrypt(made(KekRecipient(KEKS[0], IDENTIFIER)), KekIdentity(bytes(16), IDENTIFIER))


def test_another_identifier_is_for_somebody_else() -> None:
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(made(KekRecipient(KEKS[0], IDENTIFIER)), KekIdentity(KEKS[0], b"another"))
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(made(), KekIdentity(KEKS[0], IDENTIFIER))


@pytest.mark.parametrize("wrapped", [b"", bytes(8), bytes(23), bytes(24), bytes(25), bytes(4096)], ids=len)
def test_wrapped_key_of_impossible_value(wrapped: bytes) -> None:
    def change(enveloped: Node) -> None:
        enveloped[1][0][3].content = wrapped

    cannot_decrypt(changed(change, made(KekRecipient(KEKS[0], IDENTIFIER))), KekIdentity(KEKS[0], IDENTIFIER))


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (algorithm(oids.AES256_WRAP), "does not fit the key"),
        (algorithm(oids.AES128_WRAP, NULL), "has parameters; they must be absent"),
        (algorithm(oids.AES128_CBC), "use AES key wrap"),
    ],
    ids=["another length", "parameters NULL", "no wrap"],
)
def test_key_wrap_that_does_not_fit_the_key(scheme: bytes, text: str) -> None:
    def change(enveloped: Node) -> None:
        enveloped[1][0][2] = Node.parse(scheme)

    with pytest.raises(AlgorithmRefused, match=text):
        opened(changed(change, made(KekRecipient(KEKS[0], IDENTIFIER))), KekIdentity(KEKS[0], IDENTIFIER))


def test_repr_shows_no_key() -> None:
    for thing in (KekRecipient(KEKS[0], IDENTIFIER), KekIdentity(KEKS[0], IDENTIFIER)):
        assert repr(thing) == f"{type(thing).__name__}(identifier={IDENTIFIER.hex()})"
