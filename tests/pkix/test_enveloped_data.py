"""EnvelopedData that is right: everybody opens ours, and we open that of `openssl cms` (RFC 5652 section 6)."""

from __future__ import annotations

import pytest
from pyasn1_alt_modules import rfc3560

from pkix import oids
from pkix.algorithms import AES128, AES192, AES256, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.asn1 import encode
from pkix.enveloped_data import Addressed, describe, inspect
from pkix.identities import PasswordIdentity
from pkix.recipients import PasswordRecipient, Recipient, RsaRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import CONTENT, TRANSPORTS, made, opened, rsa_recipient
from tests.pkix.forge import peer
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node

POLICY = AlgorithmPolicy()
LEGACY = AlgorithmPolicy(legacy=True)
CIPHERS = [AES128, AES192, AES256, TRIPLE_DES]
FAST = 1000  # iterations: what a password costs is not under test
every_cipher = pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)


every_transport = pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS.keys())


@every_cipher
def test_6_what_is_encrypted_opens(cipher: ContentCipher) -> None:
    found = opened(made(cipher=cipher), policy=LEGACY)
    assert found.content == CONTENT
    assert found.cipher == cipher
    assert found.identity == peer().identity()
    assert found.key_transport is not None
    assert found.key_transport.algorithm == oids.RSA_ENCRYPTION


@pytest.mark.parametrize("cipher", [AES128, TRIPLE_DES], ids=lambda cipher: cipher.name)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 16, 17, 31, 32, 70_000])
def test_6_3_padding_of_every_length(cipher: ContentCipher, size: int) -> None:
    message = made(cipher=cipher, content=b"\x05" * size)
    assert opened(message, policy=LEGACY).content == b"\x05" * size


@every_transport
def test_every_key_transport_opens_and_is_reported(transport: bytes) -> None:
    found = opened(made(rsa_recipient(transport)))
    assert found.content == CONTENT
    assert found.key_transport is not None
    assert encode(found.key_transport) == transport


@every_transport
def test_openssl_opens_ours(openssl: OpenSsl, transport: bytes) -> None:
    assert openssl.decrypt(made(rsa_recipient(transport)), peer()) == CONTENT


@every_cipher
def test_openssl_opens_ours_with_every_cipher(openssl: OpenSsl, cipher: ContentCipher) -> None:
    assert openssl.decrypt(made(cipher=cipher), peer()) == CONTENT


def test_6_1_several_recipients_and_whoever_is_named_opens() -> None:
    message = made(
        RsaRecipient(peer(label="other").certificate), rsa_recipient(), PasswordRecipient(b"password", iterations=FAST)
    )
    for identity in (peer().identity(), peer(label="other").identity(), PasswordIdentity(b"password")):
        assert opened(message, identity).content == CONTENT
        assert opened(message, identity).identity == identity


def test_6_2_1_several_identities_and_the_named_one_opens() -> None:
    found = opened(made(), peer(label="other").identity(), PasswordIdentity(b"password"), peer().identity())
    assert found.identity == peer().identity()


@pytest.mark.parametrize(
    ("recipients", "version"),
    [((rsa_recipient(),), 0), ((PasswordRecipient(b"x", iterations=1), rsa_recipient()), 3)],
    ids=["RSA", "RSA and password"],
)
def test_6_1_pyasn1_reads_our_enveloped_data_as_der(recipients: tuple[Recipient, ...], version: int) -> None:
    found = second_opinion.enveloped_data(made(*recipients))
    assert found["version"] == version
    assert len(found["recipientInfos"]) == len(recipients)
    content = found["encryptedContentInfo"]
    assert str(content["contentType"]) == oids.DATA.dotted_string
    assert str(content["contentEncryptionAlgorithm"]["algorithm"]) == oids.AES128_CBC.dotted_string
    assert len(content["encryptedContent"]) == 1296


@every_transport
def test_pyasn1_reads_every_key_transport(transport: bytes) -> None:
    (info,) = second_opinion.enveloped_data(made(rsa_recipient(transport)))["recipientInfos"]
    scheme = info["ktri"]["keyEncryptionAlgorithm"]
    assert info["ktri"]["version"] == 0
    assert len(info["ktri"]["encryptedKey"]) == 256
    if str(scheme["algorithm"]) == oids.RSAES_OAEP.dotted_string:
        second_opinion.exactly(bytes(scheme["parameters"]), rfc3560.RSAES_OAEP_params())


OPENSSL_TRANSPORTS = {
    "PKCS #1 v1.5": (),
    "OAEP": ("-keyopt", "rsa_padding_mode:oaep"),
    "OAEP SHA-256": ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
    "OAEP all": (
        *("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
        *("-keyopt", "rsa_mgf1_md:sha384", "-keyopt", "rsa_oaep_label:00aabb"),
    ),
}


@pytest.mark.parametrize("form", [(), ("-stream",), ("-keyid",), ("-stream", "-keyid")], ids=" ".join)
@pytest.mark.parametrize("transport", OPENSSL_TRANSPORTS.values(), ids=OPENSSL_TRANSPORTS.keys())
def test_we_open_openssl(openssl: OpenSsl, transport: tuple[str, ...], form: tuple[str, ...]) -> None:
    message = openssl.encrypt(CONTENT, peer(), "-aes128", *form, *transport)
    assert opened(message).content == CONTENT


@pytest.mark.parametrize("form", [(), ("-stream",)], ids=" ".join)
@pytest.mark.parametrize("cipher", ["-aes128", "-aes192", "-aes256", "-des3"])
def test_we_open_openssl_with_every_cipher(openssl: OpenSsl, cipher: str, form: tuple[str, ...]) -> None:
    message = openssl.encrypt(CONTENT, peer(), cipher, *form)
    assert opened(message, policy=LEGACY).content == CONTENT


def test_we_open_openssl_among_recipients_of_other_kinds(openssl: OpenSsl) -> None:
    # The EC certificate makes a KeyAgreeRecipientInfo, [1], which nobody of ours recognises.
    ec = str(openssl.certificate_file(peer("ec:P-256")))
    message = openssl.encrypt(CONTENT, peer(), "-aes128", "-pwri_password", "x", "-recip", ec)
    assert opened(message).content == CONTENT
    assert opened(message, PasswordIdentity(b"x")).content == CONTENT
    assert "another recipient type" in describe(message)


def test_an_empty_message_streamed_by_openssl(openssl: OpenSsl) -> None:
    assert opened(openssl.encrypt(b"", peer(), "-aes128", "-stream")).content == b""


@pytest.mark.parametrize("pieces", [1, 2])
def test_constructed_content_within_definite_lengths_as_micromdm_2_1_sends(pieces: int) -> None:
    tree = Node.parse(made())
    info = tree[1][0][-1]
    cut = len(info[2].content) // pieces
    parts = [info[2].content[:cut], info[2].content[cut:]][:pieces]
    info[2] = Node(0xA0, children=[Node(0x04, part) for part in parts])
    assert opened(tree.der()).content == CONTENT


def test_ber_in_a_recipient_info_alone() -> None:
    tree = Node.parse(made())
    recipient = tree[1][0][1][0]
    recipient[3] = Node(0x24, children=[recipient[3]])
    message = tree.der()
    assert opened(message).content == CONTENT
    assert inspect(message, [peer().identity()], POLICY).identity == peer().identity()
    assert describe(message).startswith("AES-128-CBC, RSA")


def test_ber_in_the_parameters_alone() -> None:
    tree = Node.parse(made())
    algorithm = tree[1][0][2][1]
    algorithm[1] = Node(0x24, children=[algorithm[1]])
    assert opened(tree.der()).content == CONTENT


def test_inspect_names_whom_an_envelope_addresses() -> None:
    message = made(cipher=AES256)
    assert inspect(message, [peer(label="other").identity()], POLICY) == Addressed(AES256, None, None)
    found = inspect(message, [peer(label="other").identity(), peer().identity()], POLICY)
    assert (found.cipher, found.identity) == (AES256, peer().identity())
    assert found.key_transport is not None
    assert found.key_transport.algorithm == oids.RSA_ENCRYPTION


def test_inspect_names_a_password() -> None:
    identity = PasswordIdentity(b"whatever it is")
    message = made(PasswordRecipient(b"x", iterations=1))
    assert inspect(message, [identity], POLICY) == Addressed(AES128, identity, None)


def test_describe_tells_algorithms_and_recipients() -> None:
    serial = f"{peer().certificate.serial_number:x}"
    assert describe(made()) == f"AES-128-CBC, RSA PKCS #1 v1.5 to serial {serial}"
    assert describe(made(PasswordRecipient(b"x", iterations=1))) == "AES-128-CBC, PBKDF2 from a password"


def test_describe_tells_a_key_identifier(openssl: OpenSsl) -> None:
    identifier = peer().certificate.subject_key_identifier.hex()
    message = openssl.encrypt(CONTENT, peer(), "-aes256", "-keyid", "-keyopt", "rsa_padding_mode:oaep")
    assert describe(message) == f"AES-256-CBC, RSAES-OAEP to key {identifier}"


def test_repr_shows_neither_content_nor_password_nor_key() -> None:
    found = opened(made(content=b"the content"))
    assert repr(found) == "Opened(content=<redacted>, cipher=AES-128-CBC)"
    assert repr(PasswordIdentity(b"the password")) == "PasswordIdentity(password=<redacted>)"
    assert repr(peer().identity()) == f"RsaIdentity(serial={peer().certificate.serial_number:x})"
    assert "the password" not in repr(PasswordRecipient(b"the password"))
