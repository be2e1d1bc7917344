"""(Auth)EnvelopedData over other content than data, by the names a protocol gives it (RFC 5652 section 6, RFC 5083)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from pyasn1.codec.der.decoder import decode as decode_asn1
from pyasn1.codec.der.encoder import encode as pyasn1_encode
from pyasn1_alt_modules import rfc5083, rfc5084, rfc5652

from pkix import oids
from pkix.algorithms import AES128, AES256, AES256_GCM, AlgorithmPolicy, ContentCipher
from pkix.asn1 import Oid, encode
from pkix.content_info import content_of, encode_content_info
from pkix.enveloped_data import ENVELOPED_DATA, Expected, Opened, attempt, decrypt, describe, encrypt, inspect
from pkix.errors import DecryptionFailed, Malformed
from pkix.identities import KekIdentity
from pkix.recipients import KekRecipient, RsaRecipient
from pkix.signed_data import SignedData, encode_signed_data
from tests.pkix import second_opinion
from tests.pkix.envelopes import CONTENT, cannot_decrypt
from tests.pkix.forge import attribute, peer, sequence
from tests.pkix.kem_peer import kem_identity, kem_recipient
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, tlv
from tests.world import NOW, Random

POLICY = AlgorithmPolicy(kem_in_cbc=True)
KEY_PACKAGE = oids.ASYMMETRIC_KEY_PACKAGE
KEK = KekIdentity(b"\x0c" * 32, b"kek")
CIPHERS = [AES128, AES256_GCM]
every_cipher = pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)


def made(cipher: ContentCipher, content_type: Oid = KEY_PACKAGE) -> bytes:
    """An envelope under KEK."""
    recipient = KekRecipient(KEK.key, KEK.identifier)
    return encrypt(CONTENT, [recipient], cipher, Random("other types"), content_type=content_type)


def opened(message: bytes, content_type: Oid = KEY_PACKAGE) -> Opened:
    """What is in it, if it is of this type."""
    return decrypt(message, [KEK], POLICY, expected=Expected(content_type))


def changed(message: bytes, change: Callable[[Node], None]) -> bytes:
    """The message with one change made to the tree of its (Auth)EnvelopedData."""
    tree = Node.parse(message)
    change(tree[1][0])
    return tree.der()


@pytest.mark.parametrize("content_type", [KEY_PACKAGE, oids.SIGNED_DATA, oids.DATA], ids=oids.label)
@every_cipher
def test_what_we_make_we_open(cipher: ContentCipher, content_type: Oid) -> None:
    assert opened(made(cipher, content_type), content_type).content == CONTENT


@every_cipher
def test_to_an_ml_kem_key(cipher: ContentCipher) -> None:
    message = encrypt(CONTENT, [kem_recipient()], cipher, Random("kem"), content_type=KEY_PACKAGE)
    assert decrypt(message, [kem_identity()], POLICY, expected=Expected(KEY_PACKAGE)).content == CONTENT


@pytest.mark.parametrize(("inside", "wanted"), [(KEY_PACKAGE, oids.DATA), (oids.DATA, KEY_PACKAGE)], ids=oids.label)
@every_cipher
def test_6_1_another_type_than_expected_is_refused(cipher: ContentCipher, inside: Oid, wanted: Oid) -> None:
    """Before anything is decrypted, by everyone who reads."""
    message, expected = made(cipher, inside), Expected(wanted)
    for read in (
        lambda: decrypt(message, [KEK], POLICY, expected=expected),
        lambda: attempt(message, [KEK], POLICY, bytes, expected=expected),
        lambda: inspect(message, [KEK], POLICY, expected=expected),
        lambda: describe(message, expected=expected),
    ):
        with pytest.raises(Malformed, match=f"^encryptedContentInfo holds .*, not {oids.label(wanted)}$"):
            read()


def test_without_being_told_data_is_expected() -> None:
    assert decrypt(made(AES128, oids.DATA), [KEK], POLICY).content == CONTENT
    with pytest.raises(Malformed, match=r"not data$"):
        decrypt(made(AES128), [KEK], POLICY)
    assert Expected(oids.DATA) == ENVELOPED_DATA


def test_the_texts_are_the_protocol_s() -> None:
    expected = Expected(KEY_PACKAGE, "encryptedKey", "RFC 4211 section 4.2", "ask again")
    for octets, text in (
        (b"\x04\x00", "^encryptedKey is not valid DER"),
        (
            sequence(encode(oids.SIGNED_DATA), tlv(0xA0, sequence())),
            "^encryptedKey holds signed-data .*, not Enveloped",
        ),
        (made(AES128, oids.DATA), r"not asymmetric-key-package \(RFC 4211 section 4.2\)$"),
    ):
        with pytest.raises(Malformed, match=text):
            decrypt(octets, [KEK], POLICY, expected=expected)
    other = encrypt(CONTENT, [RsaRecipient(peer().certificate)], AES128, Random("other"), content_type=KEY_PACKAGE)
    with pytest.raises(
        DecryptionFailed, match=r"addressed to none of our certificates, but to the serial number .*; ask again$"
    ):
        decrypt(other, [], POLICY, expected=expected)


# AuthEnvelopedData: the type is authenticated


def test_rfc_5083_2_1_the_type_is_an_authenticated_attribute_for_pyasn1_too() -> None:
    inner = second_opinion.content_info(made(AES256_GCM), rfc5083.id_ct_authEnvelopedData)
    found = second_opinion.exactly(inner, rfc5083.AuthEnvelopedData())
    assert str(found["authEncryptedContentInfo"]["contentType"]) == KEY_PACKAGE.dotted_string
    (only,) = found["authAttrs"]
    assert str(only["attrType"]) == oids.CONTENT_TYPE.dotted_string
    assert [bytes(value) for value in only["attrValues"]] == [encode(KEY_PACKAGE)]


def test_rfc_5083_2_2_aesgcm_opens_it_over_the_attributes_as_a_set() -> None:
    inner = second_opinion.content_info(made(AES256_GCM), rfc5083.id_ct_authEnvelopedData)
    found = second_opinion.exactly(inner, rfc5083.AuthEnvelopedData())
    key = aes_key_unwrap(KEK.key, bytes(found["recipientInfos"][0]["kekri"]["encryptedKey"]))
    encrypted = found["authEncryptedContentInfo"]
    scheme, rest = decode_asn1(encrypted["contentEncryptionAlgorithm"]["parameters"], asn1Spec=rfc5084.GCMParameters())
    assert not rest
    sealed = bytes(encrypted["encryptedContent"]) + bytes(found["mac"])
    aad = tlv(0x31, attribute(oids.CONTENT_TYPE, encode(KEY_PACKAGE)))
    assert AESGCM(key).decrypt(bytes(scheme["aes-nonce"]), sealed, aad) == CONTENT


def test_rfc_5083_2_1_data_has_no_authenticated_attributes() -> None:
    inner = second_opinion.content_info(made(AES256_GCM, oids.DATA), rfc5083.id_ct_authEnvelopedData)
    assert not second_opinion.exactly(inner, rfc5083.AuthEnvelopedData())["authAttrs"].isValue


def test_rfc_5083_2_1_the_attribute_is_required() -> None:
    def change(enveloped: Node) -> None:
        del enveloped[3]

    with pytest.raises(Malformed, match="contentType is missing or differs"):
        opened(changed(made(AES256_GCM), change))


@pytest.mark.parametrize(
    "attributes",
    [
        [attribute(oids.CONTENT_TYPE, encode(oids.DATA))],
        [attribute(oids.CONTENT_TYPE, tlv(0x04, b"key package"))],
        [attribute(oids.CONTENT_TYPE, encode(KEY_PACKAGE), encode(KEY_PACKAGE))],
        [attribute(oids.CONTENT_TYPE, encode(KEY_PACKAGE))] * 2,
        [attribute(oids.SIGNING_TIME, encode(KEY_PACKAGE))],
        [tlv(0x04, b"no attribute")],
    ],
    ids=["other type", "not a type", "two values", "twice", "another attribute", "no attribute"],
)
def test_rfc_5652_11_1_the_attribute_must_name_the_type(attributes: list[bytes]) -> None:
    def change(enveloped: Node) -> None:
        enveloped[3].children = [Node.parse(item) for item in attributes]

    with pytest.raises(Malformed):
        opened(changed(made(AES256_GCM), change))


def test_rfc_5083_2_2_whoever_renames_the_content_is_noticed() -> None:
    """Type and attribute fit each other; the tag does not."""

    def change(enveloped: Node) -> None:
        enveloped[2][0] = Node.parse(encode(oids.SIGNED_DATA))
        enveloped[3][0][1][0] = Node.parse(encode(oids.SIGNED_DATA))

    with pytest.raises(DecryptionFailed):
        opened(changed(made(AES256_GCM), change), oids.SIGNED_DATA)


def test_rfc_5083_2_2_whoever_makes_data_of_it_is_noticed() -> None:
    def change(enveloped: Node) -> None:
        enveloped[2][0] = Node.parse(encode(oids.DATA))

    with pytest.raises(Malformed, match="contentType is missing or differs"):
        opened(changed(made(AES256_GCM), change), oids.DATA)

    def change_and_strip(enveloped: Node) -> None:
        change(enveloped)
        del enveloped[3]

    cannot_decrypt(changed(made(AES256_GCM), change_and_strip), KEK)


def test_rfc_5083_encoded_by_pyasn1_is_read() -> None:
    inner = second_opinion.content_info(made(AES256_GCM), rfc5083.id_ct_authEnvelopedData)
    outer = rfc5652.ContentInfo()
    outer["contentType"] = rfc5083.id_ct_authEnvelopedData
    outer["content"] = pyasn1_encode(second_opinion.exactly(inner, rfc5083.AuthEnvelopedData()))
    assert opened(pyasn1_encode(outer)).content == CONTENT


# Content inside content


def test_openssl_opens_and_verifies_signed_data_in_an_envelope(openssl: OpenSsl) -> None:
    """As RFC 5652 section 6.1 has it, the inner SignedData is there without a ContentInfo.

    In CBC: OpenSSL 3.0 takes authAttrs for something else, under another tag, and cannot read them.
    """
    signed = encode_signed_data(
        CONTENT,
        [],
        peer().signer(),
        hashes.SHA256(),
        certificates=[peer().certificate.der],
        now=NOW,
        content_type=KEY_PACKAGE,
    )
    bare = content_of(signed, oids.SIGNED_DATA)
    recipient = RsaRecipient(peer().certificate)
    message = encrypt(bare, [recipient], AES256, Random("nested"), content_type=oids.SIGNED_DATA)
    found = openssl.decrypt(message, peer())
    assert found == bare
    assert openssl.verify(encode_content_info(oids.SIGNED_DATA, found)) == CONTENT


@pytest.mark.parametrize("options", [("-aes-128-cbc",), ("-aes-128-cbc", "-stream"), ("-aes-256-gcm",)], ids=" ".join)
def test_openssl_by_retagging(openssl: OpenSsl, options: tuple[str, ...]) -> None:
    """`openssl cms -encrypt` writes data only; its AuthEnvelopedData has no attributes, so only CBC can be renamed."""
    signed = content_of(openssl.sign(CONTENT, peer(), "-econtent_type", KEY_PACKAGE.dotted_string), oids.SIGNED_DATA)
    message = openssl.encrypt(signed, peer(), *options)
    assert decrypt(message, [peer().identity()], POLICY).content == signed
    renamed = message.replace(encode(oids.DATA), encode(oids.SIGNED_DATA), 1)
    expected = Expected(oids.SIGNED_DATA)
    if "-aes-256-gcm" in options:
        with pytest.raises(Malformed, match=r"RFC 5083 section 2\.1"):
            decrypt(renamed, [peer().identity()], POLICY, expected=expected)
        return
    inner = decrypt(renamed, [peer().identity()], POLICY, expected=expected).content
    found = SignedData.decode(encode_content_info(oids.SIGNED_DATA, inner))
    found.verify(peer().certificate, POLICY)
    assert found.content == CONTENT
