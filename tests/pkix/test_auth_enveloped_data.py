"""AuthEnvelopedData with AES-GCM (RFC 5083, RFC 5084): tags, nonces, authenticated attributes, and one error text."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from pyasn1.codec.der.decoder import decode as decode_asn1
from pyasn1.codec.der.encoder import encode as encode_asn1
from pyasn1_alt_modules import rfc5083, rfc5084, rfc5652

from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, AES192_GCM, AES256_GCM, AlgorithmPolicy, ContentCipher
from pkix.asn1 import encode
from pkix.content import CANNOT_OPEN
from pkix.enveloped_data import encrypt
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed
from pkix.identities import KekIdentity
from pkix.recipients import KekRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import CONTENT, cannot_decrypt, flipped, made, opened
from tests.pkix.forge import algorithm, attribute, sequence
from tests.pkix.tlv import Node, integer, tlv
from tests.world import Random

CIPHERS = [AES128_GCM, AES192_GCM, AES256_GCM]
KEK = KekIdentity(b"\x0c" * 32, b"kek")
CEK, NONCE = b"\x0d" * 32, bytes(range(12))
POLICY = AlgorithmPolicy()


def parts(message: bytes) -> Node:
    """The AuthEnvelopedData in a ContentInfo."""
    return Node.parse(message)[1][0]


def forged(
    *,
    tag_length: int = 16,
    nonce: bytes = NONCE,
    parameters: bytes | None = None,
    attributes: list[bytes] | None = None,
    aad: bytes | None = None,
    tag: bytes | None = None,
    scheme: oids.Oid = oids.AES256_GCM,
    content_type: oids.Oid = oids.AUTH_ENVELOPED_DATA,
    unauthenticated: bytes = b"",
    version: int = 0,
) -> bytes:
    """An AuthEnvelopedData under KEK, put together from TLVs and `cryptography`'s GCM."""
    listed = attributes or []
    covered = tlv(0x31, *listed) if listed else b""
    encryptor = Cipher(algorithms.AES(CEK), modes.GCM(nonce, min_tag_length=4)).encryptor()
    encryptor.authenticate_additional_data(covered if aad is None else aad)
    ciphertext = encryptor.update(CONTENT) + encryptor.finalize()
    if parameters is None:
        parameters = sequence(tlv(0x04, nonce), b"" if tag_length == 12 else integer(tag_length))
    info = KekRecipient(KEK.key, KEK.identifier).recipient_info(CEK, bytes)
    body = sequence(
        integer(version),
        tlv(0x31, info),
        sequence(encode(oids.DATA), algorithm(scheme, parameters), tlv(0x80, ciphertext)),
        tlv(0xA1, *listed) if listed else b"",
        tlv(0x04, encryptor.tag[:tag_length] if tag is None else tag),
        unauthenticated,
    )
    return sequence(encode(content_type), tlv(0xA0, body))


def refused(message: bytes, error: type[Exception], text: str, policy: AlgorithmPolicy = POLICY) -> None:
    """Assert an error that says what is wrong with the parameters."""
    with pytest.raises(error, match=text):
        opened(message, KEK, policy=policy)


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)
@pytest.mark.parametrize("content", [b"", b"\0", CONTENT], ids=["empty", "one", "many"])
def test_what_we_make_we_open(cipher: ContentCipher, content: bytes) -> None:
    found = opened(made(KekRecipient(KEK.key, KEK.identifier), cipher=cipher, content=content), KEK)
    assert (found.content, found.cipher) == (content, cipher)


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)
def test_what_we_make_is_rfc_5083_s_structure_and_aesgcm_opens_it(cipher: ContentCipher) -> None:
    message = made(KekRecipient(KEK.key, KEK.identifier), cipher=cipher)
    inner = second_opinion.content_info(message, rfc5083.id_ct_authEnvelopedData)
    found = second_opinion.exactly(inner, rfc5083.AuthEnvelopedData())
    assert int(found["version"]) == 0
    assert not found["authAttrs"].isValue
    scheme = found["authEncryptedContentInfo"]["contentEncryptionAlgorithm"]
    assert str(scheme["algorithm"]) == cipher.oid.dotted_string
    parameters, rest = decode_asn1(scheme["parameters"], asn1Spec=rfc5084.GCMParameters())
    assert not rest
    assert (len(parameters["aes-nonce"]), int(parameters["aes-ICVlen"]), len(found["mac"])) == (12, 16, 16)
    wrapped = bytes(found["recipientInfos"][0]["kekri"]["encryptedKey"])

    key = aes_key_unwrap(KEK.key, wrapped)
    sealed = bytes(found["authEncryptedContentInfo"]["encryptedContent"]) + bytes(found["mac"])
    assert AESGCM(key).decrypt(bytes(parameters["aes-nonce"]), sealed, None) == CONTENT


def test_key_and_nonce_are_fresh_for_every_envelope() -> None:

    random = Random("two envelopes")
    recipient = KekRecipient(KEK.key, KEK.identifier)
    one, two = (encrypt(CONTENT, [recipient], AES256_GCM, random) for _ in range(2))
    first, second = (parts(message)[2][1][1][0].content for message in (one, two))
    assert first != second


@pytest.mark.parametrize("length", [12, 13, 14, 15, 16])
def test_every_tag_length_of_rfc_5084_is_accepted(length: int) -> None:
    assert opened(forged(tag_length=length), KEK).content == CONTENT


def test_an_absent_icv_length_means_12() -> None:
    parameters = sequence(tlv(0x04, NONCE))
    assert opened(forged(tag_length=12, parameters=parameters), KEK).content == CONTENT
    refused(
        forged(tag_length=16, parameters=parameters),
        AlgorithmRefused,
        "tag of 16 octets and aes-ICVlen 12, which absence",
    )
    refused(forged(tag_length=15, parameters=parameters), AlgorithmRefused, r"; write aes-ICVlen 15$")
    refused(forged(tag=bytes(8), parameters=parameters), AlgorithmRefused, r"tag of 8 octets and aes-ICVlen 12$")


@pytest.mark.parametrize("length", [0, 4, 8, 11, 17, 32])
def test_other_tag_lengths_are_refused(length: int) -> None:
    message = forged(parameters=sequence(tlv(0x04, NONCE), integer(length)), tag=bytes(length))
    refused(message, AlgorithmRefused, f"aes-ICVlen {length}")


@pytest.mark.parametrize("stated", [12, 16])
@pytest.mark.parametrize("given", [0, 4, 12, 15, 16, 17])
def test_a_tag_of_another_length_than_stated_is_refused(stated: int, given: int) -> None:
    if stated == given:
        given += 1
    message = forged(parameters=sequence(tlv(0x04, NONCE), integer(stated) if stated != 12 else b""), tag=bytes(given))
    refused(message, AlgorithmRefused, "tag of")


def test_a_truncated_tag_with_truncated_parameters_still_is_no_forgery() -> None:
    """A valid tag cut to 12 octets with aes-ICVlen 12 is valid under RFC 5084; below that nothing is."""
    full = parts(forged())[-1].content
    assert opened(forged(tag_length=12, tag=full[:12]), KEK).content == CONTENT
    message = forged(parameters=sequence(tlv(0x04, NONCE), integer(8)), tag=full[:8])
    refused(message, AlgorithmRefused, "tag of 8 octets")


@pytest.mark.parametrize("length", [8, 11, 12, 13, 16, 64])
def test_nonces_of_other_lengths_are_accepted(length: int) -> None:
    assert opened(forged(nonce=bytes(range(length))), KEK).content == CONTENT


@pytest.mark.parametrize("length", [0, 1, 7, 65, 300])
def test_too_short_and_too_long_nonces_are_refused(length: int) -> None:
    message = forged(parameters=sequence(tlv(0x04, bytes(length)), integer(16)))
    refused(message, AlgorithmRefused, f"nonce of {length} octets")


@pytest.mark.parametrize("parameters", [b"", b"\x05\x00", tlv(0x04, NONCE), sequence(), sequence(integer(16))])
def test_parameters_that_are_no_gcm_parameters_are_malformed(parameters: bytes) -> None:
    refused(forged(parameters=parameters or b"\x05\x00"), Malformed, "GCMParameters")


def test_section_3_an_icv_length_that_writes_out_the_default_is_read() -> None:
    for written in (b"", integer(12)):
        message = forged(tag_length=12, parameters=sequence(tlv(0x04, NONCE), written))
        assert opened(message, KEK).content == CONTENT


ATTRIBUTES = [
    attribute(oids.CONTENT_TYPE, encode(oids.DATA)),
    attribute(oids.Oid("1.2.3.4"), tlv(0x04, b"value")),
]


def test_authenticated_attributes_are_covered_under_the_tag_of_a_set() -> None:
    listed = sorted(ATTRIBUTES)
    assert opened(forged(attributes=listed), KEK).content == CONTENT
    assert parts(forged(attributes=listed))[3].tag == 0xA1


@pytest.mark.parametrize("aad", [b"", tlv(0xA1, *ATTRIBUTES), tlv(0x31, ATTRIBUTES[0]), tlv(0x30, *ATTRIBUTES)])
def test_attributes_under_another_form_are_not_authenticated(aad: bytes) -> None:
    cannot_decrypt(forged(attributes=sorted(ATTRIBUTES), aad=aad), KEK)


def test_attributes_that_were_taken_away_or_put_in_are_noticed() -> None:
    tree = Node.parse(forged(attributes=sorted(ATTRIBUTES)))
    del tree[1][0][3]
    cannot_decrypt(tree.der(), KEK)
    tree = Node.parse(forged())
    tree[1][0].insert(3, Node.parse(tlv(0xA1, ATTRIBUTES[0])))
    cannot_decrypt(tree.der(), KEK)


def test_unauthenticated_attributes_change_nothing() -> None:
    assert opened(forged(unauthenticated=tlv(0xA2, ATTRIBUTES[1])), KEK).content == CONTENT


@pytest.mark.parametrize("at", [0, 1, 600, -1])
def test_a_flipped_bit_in_the_ciphertext_is_noticed(at: int) -> None:
    tree = Node.parse(forged())
    tree[1][0][2][2].content = flipped(at)(tree[1][0][2][2].content)
    cannot_decrypt(tree.der(), KEK)


@pytest.mark.parametrize("at", range(0, 16, 5))
def test_a_flipped_bit_in_the_tag_is_noticed(at: int) -> None:
    tree = Node.parse(forged())
    tree[1][0][-1].content = flipped(at)(tree[1][0][-1].content)
    cannot_decrypt(tree.der(), KEK)


def test_a_flipped_bit_in_the_nonce_is_noticed() -> None:
    tree = Node.parse(forged())
    nonce = tree[1][0][2][1][1][0]
    nonce.content = flipped(0)(nonce.content)
    cannot_decrypt(tree.der(), KEK)


@pytest.mark.parametrize("size", [0, 1, len(CONTENT) - 1])
def test_cut_ciphertext_is_noticed(size: int) -> None:
    tree = Node.parse(forged())
    tree[1][0][2][2].content = tree[1][0][2][2].content[:size]
    cannot_decrypt(tree.der(), KEK)


def test_the_wrong_key_has_the_same_error_as_the_wrong_content() -> None:
    cannot_decrypt(forged(), KekIdentity(b"\x0e" * 32, b"kek"))


@pytest.mark.parametrize("scheme", [oids.AES128_GCM, oids.AES192_GCM])
def test_a_key_of_another_length_than_the_cipher_s_has_the_same_error(scheme: oids.Oid) -> None:
    cannot_decrypt(forged(scheme=scheme), KEK)


def test_the_error_explains_nothing() -> None:
    with pytest.raises(DecryptionFailed) as caught:
        opened(forged(tag=bytes(16)), KEK)
    assert (caught.value.text, caught.value.__cause__) == (CANNOT_OPEN, None)


def test_gcm_in_enveloped_data_is_refused() -> None:
    """Without the tag it would be a stream cipher that anybody can edit."""
    tree = Node.parse(made(KekRecipient(KEK.key, KEK.identifier), cipher=AES128))
    tree[1][0][2][1] = Node.parse(algorithm(oids.AES128_GCM, sequence(tlv(0x04, NONCE), integer(16))))
    refused(tree.der(), AlgorithmRefused, "GCM belongs in AuthEnvelopedData")


def test_cbc_in_auth_enveloped_data_is_refused() -> None:
    message = forged(scheme=oids.AES256_CBC, parameters=tlv(0x04, bytes(16)))
    refused(message, AlgorithmRefused, "use AES-GCM")


def test_where_aes_gcm_is_off_it_is_refused() -> None:
    refused(forged(), AlgorithmRefused, "not enabled", AlgorithmPolicy(aes_gcm=False))


def test_a_mac_is_required() -> None:
    tree = Node.parse(forged())
    del tree[1][0][-1]
    refused(tree.der(), Malformed, "AuthEnvelopedData")


def test_auth_attributes_encoded_by_pyasn1_are_read() -> None:
    """The second opinion writes, and we read."""
    message = forged()
    inner = second_opinion.content_info(message, rfc5083.id_ct_authEnvelopedData)
    found = second_opinion.exactly(inner, rfc5083.AuthEnvelopedData())
    outer = rfc5652.ContentInfo()
    outer["contentType"] = rfc5083.id_ct_authEnvelopedData
    outer["content"] = encode_asn1(found)
    assert opened(encode_asn1(outer), KEK).content == CONTENT
