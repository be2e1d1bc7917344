"""Envelopes of ours to the usual recipients, and ways to change one thing in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pkix import oids
from pkix.algorithms import AES128, AlgorithmPolicy, ContentCipher
from pkix.asn1 import AlgorithmIdentifier, Oid, decode
from pkix.content import CANNOT_OPEN
from pkix.enveloped_data import Opened, decrypt, encrypt
from pkix.errors import DecryptionFailed
from pkix.identities import Identity, PasswordIdentity
from pkix.recipients import PasswordRecipient, Recipient, RsaRecipient
from tests.pkix.forge import NULL, algorithm, peer, sequence
from tests.pkix.tlv import Node, explicit, tlv
from tests.world import Random

POLICY = AlgorithmPolicy(kem_in_cbc=True)  # the mechanism is tested with every cipher
CONTENT = bytes(range(256)) * 5 + b"!"
PASSWORD = PasswordIdentity(b"password")


def mgf1(digest: Oid) -> bytes:
    """RSAES-OAEP-params field [1]."""
    return explicit(1, algorithm(oids.MGF1, algorithm(digest, NULL)))


def label(text: bytes) -> bytes:
    """RSAES-OAEP-params field [2]."""
    return explicit(2, algorithm(oids.P_SPECIFIED, tlv(0x04, text)))


SHA256 = explicit(0, algorithm(oids.SHA256, NULL))
TRANSPORTS = {
    "PKCS #1 v1.5": algorithm(oids.RSA_ENCRYPTION, NULL),
    "PKCS #1 v1.5, parameters absent": algorithm(oids.RSA_ENCRYPTION),
    "OAEP 30 00": algorithm(oids.RSAES_OAEP, sequence()),
    "OAEP SHA-256": algorithm(oids.RSAES_OAEP, sequence(SHA256, mgf1(oids.SHA256))),
    "OAEP SHA-256, MGF1 with SHA-1": algorithm(oids.RSAES_OAEP, sequence(SHA256)),
    "OAEP SHA-512": algorithm(oids.RSAES_OAEP, sequence(explicit(0, algorithm(oids.SHA512, NULL)), mgf1(oids.SHA512))),
    "OAEP SHA-256, MGF1 with SHA-384, label": algorithm(
        oids.RSAES_OAEP, sequence(SHA256, mgf1(oids.SHA384), label(b"a label\x00"))
    ),
    "OAEP label": algorithm(oids.RSAES_OAEP, sequence(label(b"another"))),
    "OAEP empty label": algorithm(oids.RSAES_OAEP, sequence(label(b""))),
}
"""KeyEncryptionAlgorithms, DER."""


def rsa_recipient(transport: bytes | None = None) -> RsaRecipient:
    """The usual peer, by this KeyEncryptionAlgorithm."""
    scheme = None if transport is None else decode(AlgorithmIdentifier, transport, "key transport")
    return RsaRecipient(peer().certificate, scheme)


def made(*recipients: Recipient, cipher: ContentCipher = AES128, content: bytes = CONTENT) -> bytes:
    """An envelope of ours, to the usual peer by default."""
    return encrypt(content, recipients or (rsa_recipient(),), cipher, Random("envelope"))


def by_password(iterations: int = 1) -> bytes:
    """An envelope of ours under PASSWORD."""
    return made(PasswordRecipient(PASSWORD.password, iterations=iterations))


def opened(message: bytes, *identities: Identity, policy: AlgorithmPolicy = POLICY) -> Opened:
    """What the usual peer or PASSWORD finds, or these identities."""
    return decrypt(message, identities or (peer().identity(), PASSWORD), policy)


def changed(change: Callable[[Node], None], message: bytes | None = None) -> bytes:
    """A valid envelope with one change made to the tree of its EnvelopedData."""
    tree = Node.parse(message or made())
    change(tree[1][0])
    return tree.der()


def recipient(enveloped: Node) -> Node:
    """The first RecipientInfo."""
    return enveloped[1][0]


def content_info(enveloped: Node) -> Node:
    """encryptedContentInfo."""
    return enveloped[-1]


def cannot_decrypt(message: bytes, *identities: Identity, policy: AlgorithmPolicy = POLICY) -> None:
    """Assert that opening fails in the one way that explains nothing."""
    with pytest.raises(DecryptionFailed) as caught:
        opened(message, *identities, policy=policy)
    assert caught.value.text == CANNOT_OPEN
    assert caught.value.__cause__ is None


def with_encrypted_key(octets: Callable[[bytes], bytes], message: bytes | None = None) -> bytes:
    """A valid envelope with another encryptedKey."""

    def change(enveloped: Node) -> None:
        recipient(enveloped)[-1].content = octets(recipient(enveloped)[-1].content)

    return changed(change, message)


def with_content(octets: Callable[[bytes], bytes], message: bytes | None = None) -> bytes:
    """A valid envelope with another encryptedContent."""

    def change(enveloped: Node) -> None:
        content_info(enveloped)[2].content = octets(content_info(enveloped)[2].content)

    return changed(change, message)


def flipped(at: int) -> Callable[[bytes], bytes]:
    """Change one bit."""

    def change(octets: bytes) -> bytes:
        found = bytearray(octets)
        found[at] ^= 1
        return bytes(found)

    return change
