"""EnvelopedData with something wrong in it (RFC 5652 section 6).

What cannot be opened with the key gives one error with one text, whatever the reason, so that nobody who sends
variations of somebody else's envelope learns anything from the answers. Errors that anybody can read off the
envelope without a key (structure, algorithms) are explained.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pkix import oids
from pkix.algorithms import AES256, TRIPLE_DES, AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.enveloped_data import decrypt, describe, encrypt, inspect
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed
from pkix.identities import MAX_RECIPIENTS
from pkix.recipients import RsaRecipient
from tests.pkix.envelopes import (
    CONTENT,
    TRANSPORTS,
    by_password,
    cannot_decrypt,
    changed,
    content_info,
    flipped,
    made,
    opened,
    recipient,
    rsa_recipient,
    with_content,
    with_encrypted_key,
)
from tests.pkix.forge import NULL, Peer, algorithm, certificate, peer, sequence, spki
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.world import Random

POLICY = AlgorithmPolicy()
LEGACY = AlgorithmPolicy(legacy=True)


@pytest.mark.parametrize("transport", ["PKCS #1 v1.5", "OAEP 30 00", "OAEP SHA-256"])
def test_wrong_key(transport: str) -> None:
    # PKCS #1 v1.5 yields a pseudorandom key by implicit rejection, which fits this content once in 60,000 runs.
    wrong = Peer(peer(label="other").key, peer().certificate)
    cannot_decrypt(made(rsa_recipient(TRANSPORTS[transport])), wrong.identity())


@pytest.mark.parametrize("transport", ["PKCS #1 v1.5", "OAEP 30 00"])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_changed_encrypted_key(transport: str, at: int) -> None:
    cannot_decrypt(with_encrypted_key(flipped(at), made(rsa_recipient(TRANSPORTS[transport]))))


@pytest.mark.parametrize("transport", ["PKCS #1 v1.5", "OAEP 30 00"])
@pytest.mark.parametrize("octets", [b"", b"\x01", b"\x00" * 256, b"\xff" * 256, b"\x00" * 257, b"\x02" * 4000])
def test_encrypted_key_of_impossible_value(transport: str, octets: bytes) -> None:
    cannot_decrypt(with_encrypted_key(lambda _: octets, made(rsa_recipient(TRANSPORTS[transport]))))


@pytest.mark.parametrize("size", [0, 1, 15, 17, 24, 32, 100])
def test_content_key_of_another_length(size: int) -> None:
    private = peer().key
    assert isinstance(private, rsa.RSAPrivateKey)
    other = private.public_key().encrypt(b"k" * size, padding.PKCS1v15())
    cannot_decrypt(with_encrypted_key(lambda _: other))


def test_another_content_key() -> None:
    private = peer().key
    assert isinstance(private, rsa.RSAPrivateKey)
    cannot_decrypt(with_encrypted_key(lambda _: private.public_key().encrypt(b"k" * 16, padding.PKCS1v15())))


@pytest.mark.parametrize("scheme", ["OAEP SHA-256", "OAEP label", "PKCS #1 v1.5"])
def test_key_transport_named_wrongly(scheme: str) -> None:
    def change(enveloped: Node) -> None:
        recipient(enveloped)[2] = Node.parse(TRANSPORTS[scheme])

    cannot_decrypt(changed(change, made(rsa_recipient(TRANSPORTS["OAEP 30 00"]))))


@pytest.mark.parametrize("size", [0, 1, 15, 17, 1295], ids=str)
def test_truncated_content(size: int) -> None:
    cannot_decrypt(with_content(lambda octets: octets[:size]))


def test_content_without_its_last_block() -> None:
    cannot_decrypt(with_content(lambda octets: octets[:-16], made(content=bytes(64))))


def test_changed_last_block() -> None:
    cannot_decrypt(with_content(flipped(-1)))


def padded(plaintext: bytes, message: bytes) -> bytes:
    """The envelope with another plaintext, padding included, under the key and IV that Random("envelope") gives."""
    random = Random("envelope")
    encryptor = Cipher(algorithms.AES(random(16)), modes.CBC(random(16))).encryptor()
    return with_content(lambda _: encryptor.update(plaintext), message)


def test_the_padding_helper_makes_what_opens() -> None:
    assert opened(padded(b"content" + b"\x09" * 9, made())).content == b"content"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"x" * 15 + b"\x00",
        b"x" * 15 + b"\x11",
        b"x" * 15 + b"\xff",
        b"x" * 14 + b"\x03\x02",
        b"\x11" * 16,
        b"\x0f" + b"\x10" * 15,
        b"\x20" * 32,
    ],
    ids=["0", "17", "255", "unequal", "17 of 17", "first of 16 differs", "32"],
)
def test_6_3_wrong_padding(plaintext: bytes) -> None:
    cannot_decrypt(padded(plaintext, made()))


def with_cipher(oid: Oid, parameters: bytes) -> bytes:
    """A valid envelope that names another content cipher."""

    def change(enveloped: Node) -> None:
        content_info(enveloped)[1] = Node.parse(algorithm(oid, parameters))

    return changed(change)


@pytest.mark.parametrize("policy", [POLICY, LEGACY], ids=["default", "legacy"])
@pytest.mark.parametrize(
    ("oid", "text"),
    [
        (oids.DES_CBC, "DES-CBC (1.3.14.3.2.7) is not supported; use AES-128-CBC"),
        (Oid("1.2.840.113549.3.2"), "RC2-CBC (1.2.840.113549.3.2) is not supported; use AES-128-CBC"),
        (oids.AES128_GCM, "GCM belongs in AuthEnvelopedData"),
        (oids.AES192_GCM, "GCM belongs in AuthEnvelopedData"),
        (oids.AES256_GCM, "GCM belongs in AuthEnvelopedData"),
    ],
    ids=["DES", "RC2", "AES-128-GCM", "AES-192-GCM", "AES-256-GCM"],
)
def test_rfc_8894_2_9_ciphers_that_are_refused_by_name(oid: Oid, text: str, policy: AlgorithmPolicy) -> None:
    # smallstep's client put GCM parameters into EnvelopedData.
    message = with_cipher(oid, sequence(tlv(0x04, bytes(12)), integer(16)))
    for read in (decrypt, inspect):
        with pytest.raises(AlgorithmRefused) as caught:
            read(message, [peer().identity()], policy)
        assert text in caught.value.text


def test_rfc_8894_2_9_triple_des_needs_the_legacy_policy() -> None:
    message = made(cipher=TRIPLE_DES)
    with pytest.raises(AlgorithmRefused, match="only under the legacy policy; use AES-128-CBC"):
        opened(message)
    assert opened(message, policy=LEGACY).cipher == TRIPLE_DES


def test_another_content_type() -> None:
    message = sequence(encode(oids.SIGNED_DATA), tlv(0xA0, sequence()))
    with pytest.raises(Malformed, match=r"signed-data .*, not EnvelopedData"):
        opened(message)


@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_iv_of_wrong_length(size: int) -> None:
    with pytest.raises(Malformed, match=f"IV of {size} octets, not 16"):
        opened(with_cipher(oids.AES128_CBC, tlv(0x04, bytes(size))))


@pytest.mark.parametrize(
    "parameters", [b"", NULL, integer(1), sequence()], ids=["absent", "NULL", "integer", "sequence"]
)
def test_iv_that_is_none(parameters: bytes) -> None:
    with pytest.raises(Malformed, match="IV"):
        opened(with_cipher(oids.AES128_CBC, parameters))


def test_no_recipient_of_ours() -> None:
    with pytest.raises(
        DecryptionFailed,
        match=r"to none of our certificates, but to the serial number [0-9a-f]+ \(hex\) of the issuer CN=[^;]*$",
    ):
        opened(made(), peer(label="other").identity())
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        decrypt(made(), [], POLICY)
    with pytest.raises(DecryptionFailed, match="a PasswordRecipientInfo, for which we have no password"):
        opened(by_password(), peer().identity())


def test_number_of_recipients() -> None:
    def change(count: int) -> Callable[[Node], None]:
        def multiply(enveloped: Node) -> None:
            enveloped[1].children = [recipient(enveloped).copy() for _ in range(count)]

        return multiply

    assert opened(changed(change(MAX_RECIPIENTS))).content == CONTENT
    for count in (0, MAX_RECIPIENTS + 1):
        with pytest.raises(Malformed, match="does not have 1 to 16 recipients"):
            opened(changed(change(count)))


def test_recipients_that_are_no_set() -> None:
    def change(enveloped: Node) -> None:
        enveloped[1].tag = 0x30

    with pytest.raises(Malformed, match="recipients"):
        opened(changed(change))


def test_a_recipient_of_wrong_structure() -> None:
    def change(enveloped: Node) -> None:
        del recipient(enveloped)[1]

    message = changed(change)
    with pytest.raises(Malformed, match="KeyTransRecipientInfo"):
        opened(message)
    with pytest.raises(Malformed, match="KeyTransRecipientInfo"):
        describe(message)


def test_encrypted_content_absent() -> None:
    def change(enveloped: Node) -> None:
        del content_info(enveloped)[2]

    with pytest.raises(Malformed, match="no encryptedContent"):
        opened(changed(change))


def test_6_1_encrypted_content_of_another_type() -> None:
    def change(enveloped: Node) -> None:
        content_info(enveloped)[0] = Node.parse(encode(oids.SIGNED_DATA))

    with pytest.raises(Malformed, match=r"^encryptedContentInfo holds signed-data \(1.2.840.113549.1.7.2\), not data$"):
        opened(changed(change))


def test_6_1_originator_info_and_unprotected_attributes_are_tolerated() -> None:
    def change(enveloped: Node) -> None:
        enveloped.insert(1, Node(0xA0, children=[]))
        enveloped.insert(4, Node(0xA1, children=[Node.parse(sequence(encode(oids.SHA1), tlv(0x31, NULL)))]))

    message = Node.parse(made())
    enveloped = message[1][0]
    change(enveloped)
    assert opened(message.der()).content == CONTENT


@pytest.mark.parametrize("text", [b"", b"\x30", b"\x30\x00", b"<html>", b"\x00" * 40, b"\x30\x80" * 40, b"\xff" * 40])
def test_what_is_no_cms_at_all(text: bytes) -> None:
    for read in (opened, describe):
        with pytest.raises(Malformed) as caught:
            read(text)
        assert "\n" not in caught.value.text


def test_octets_after_the_envelope() -> None:
    with pytest.raises(Malformed):
        opened(made() + b"\x00")


@pytest.mark.parametrize(
    "scheme",
    [
        algorithm(oids.SHA256),
        algorithm(oids.RSASSA_PSS),
        algorithm(oids.RSAES_OAEP, sequence(explicit(0, algorithm(oids.MD5)))),
        algorithm(oids.RSAES_OAEP, sequence(explicit(1, algorithm(oids.SHA256, algorithm(oids.SHA256))))),
        algorithm(oids.RSAES_OAEP, sequence(explicit(1, algorithm(oids.MGF1, algorithm(oids.SHA224))))),
        algorithm(oids.RSAES_OAEP, sequence(explicit(2, algorithm(oids.SHA256, tlv(0x04, b"x"))))),
    ],
    ids=["no key transport", "PSS", "MD5", "no MGF1", "MGF1 with SHA-224", "label of another kind"],
)
def test_key_transport_that_is_refused(scheme: bytes) -> None:
    def change(enveloped: Node) -> None:
        recipient(enveloped)[2] = Node.parse(scheme)

    with pytest.raises(AlgorithmRefused):
        opened(changed(change))


@pytest.mark.parametrize(
    "parameters",
    [integer(1), sequence(integer(1)), sequence(explicit(1, algorithm(oids.MGF1))), sequence(explicit(3, NULL))],
    ids=["integer", "not a hash", "MGF1 without hash", "unknown field"],
)
def test_oaep_parameters_of_wrong_structure(parameters: bytes) -> None:
    def change(enveloped: Node) -> None:
        recipient(enveloped)[2] = Node.parse(algorithm(oids.RSAES_OAEP, parameters))

    with pytest.raises(Malformed):
        opened(changed(change))


def test_rfc_8017_a_2_1_oaep_label_absent_parameters() -> None:
    scheme = algorithm(oids.RSAES_OAEP, sequence(explicit(2, algorithm(oids.P_SPECIFIED))))
    assert opened(made(rsa_recipient(scheme))).content == CONTENT


def test_rfc_3560_3_oaep_parameters_absent() -> None:
    assert opened(made(rsa_recipient(algorithm(oids.RSAES_OAEP)))).content == CONTENT


@pytest.mark.parametrize("kind", ["ec:P-256", "ed25519"])
def test_rsa_recipient_needs_an_rsa_certificate(kind: str) -> None:
    with pytest.raises(AlgorithmRefused, match="without an RSA key"):
        encrypt(CONTENT, [RsaRecipient(peer(kind).certificate)], AES256, Random("x"))


def test_rsa_recipient_refuses_what_it_cannot_speak() -> None:
    with pytest.raises(AlgorithmRefused, match="key transport"):
        made(rsa_recipient(algorithm(oids.SHA256)))


def test_6_2_1_recipient_named_by_the_hash_of_its_key() -> None:
    # The certificate has no subjectKeyIdentifier, so the identifier is the SHA-1 of the key (RFC 5280 4.2.1.2).
    plain = certificate(spki(peer().key.public_key()))
    identity = Peer(peer().key, plain).identity()

    def change(enveloped: Node) -> None:
        recipient(enveloped)[1] = Node(0x80, peer().certificate.subject_key_identifier)

    assert decrypt(changed(change), [identity], POLICY).content == CONTENT
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        decrypt(made(), [identity], POLICY)
