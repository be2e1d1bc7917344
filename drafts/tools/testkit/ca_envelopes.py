"""CA: pkcsPKIEnvelope with RSA key transport and AES-CBC (RFC 8894 section 3.2.2), and AuthEnvelopedData."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes

from drafts.tools.testkit.ca_classic import (
    BAD_ALG,
    BAD_CHECK,
    BAD_REQUEST,
    ONE_TEXT,
    TWIN,
    csr,
    negative,
    pkcs_req,
    positive,
    scene,
)
from drafts.tools.testkit.der import Node, flipped, node, octets, scheme, sequence
from drafts.tools.testkit.messages import authenticating, content_info, recipient_info
from drafts.tools.testkit.parties import root
from drafts.tools.testkit.requests import spki_hash
from drafts.tools.testkit.scene import Planned
from pkix import oids
from pkix.algorithms import AES128_GCM, AES256, AES256_GCM, TRIPLE_DES
from pkix.asn1 import algorithm, encode, wrap

RSA_KEM = "1.2.840.113549.1.9.16.3.14"
GCM_TWIN = "ca-envelope-gcm"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _content()
    yield from _recipients()
    yield from _ciphers()
    yield from _gcm()
    yield from _good()


def _content() -> Iterator[Planned]:
    yield _negative(
        "missing",
        "There is no content (RFC 8894 section 3.3.1: a PKCSReq has messageData).",
        BAD_REQUEST,
        "no pkcsPKIEnvelope",
        "ca-envelope",
        envelope=None,
    )
    yield _negative(
        "not-enveloped",
        "The content is the PKCS #10 request, not encrypted (RFC 8894 section 3).",
        BAD_REQUEST,
        "pkcsPKIEnvelope",
        "ca-envelope",
        envelope=csr(),
    )
    yield _negative(
        "signed-data",
        "The content is a ContentInfo with id-data, not EnvelopedData.",
        BAD_REQUEST,
        "a ContentInfo with data; it must be EnvelopedData",
        "ca-envelope",
        envelope=sequence(encode(oids.DATA), wrap(0xA0, octets(csr()))),
    )
    yield _spoiled(
        "inner-type",
        "The encrypted contentType is id-signedData, not id-data (RFC 8894 section 3.2.2).",
        BAD_REQUEST,
        "not data",
        "ca-envelope",
        _inner_type,
    )
    yield _spoiled(
        "content-missing",
        "encryptedContent is missing.",
        BAD_REQUEST,
        "no encryptedContent",
        "ca-envelope",
        _no_content,
    )
    yield _negative(
        "message-data-text",
        "messageData is text, not a PKCS #10 request.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-content-matches-type",
        content=b"not a request",
    )
    yield _negative(
        "message-data-sequence",
        "messageData is an empty SEQUENCE, not a PKCS #10 request.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-content-matches-type",
        content=b"\x30\x00",
    )


def _recipients() -> Iterator[Planned]:
    def nobody(tree: Node) -> None:
        tree[1][0][1] = Node(0x31, children=[])

    def key_of_nobody(tree: Node) -> None:
        recipient_info(tree)[1] = node(wrap(0x80, bytes(20)))

    def transport(tree: Node) -> None:
        recipient_info(tree)[2] = node(scheme(RSA_KEM))

    def encrypted_key(tree: Node) -> None:
        recipient_info(tree)[3] = Node(0x04, flipped(recipient_info(tree)[3].content))

    yield _spoiled("no-recipient", "There is no RecipientInfo.", BAD_REQUEST, "recipients", "ca-envelope", nobody)
    other = root("rsa:2048", "other", "CN=Somebody else,O=Example")
    yield _negative(
        "other-recipient",
        "The envelope is addressed to another CA.",
        BAD_CHECK,
        "none of our certificates",
        "ca-envelope-recipient",
        sealing={"ca": other},
    )
    yield _spoiled(
        "other-key-identifier",
        "The RecipientInfo names another subjectKeyIdentifier.",
        BAD_CHECK,
        "none of our certificates",
        "ca-envelope-recipient",
        key_of_nobody,
    )
    yield _spoiled(
        "key-transport",
        "The key transport is RSA-KEM, which nobody announced.",
        BAD_ALG,
        f"key transport RSA-KEM ({RSA_KEM})",
        "ca-bad-alg",
        transport,
    )

    def ml_kem(tree: Node) -> None:
        recipient_info(tree)[2] = node(scheme(oids.ML_KEM_768))

    yield _spoiled(
        "key-transport-ml-kem",
        "The KeyTransRecipientInfo names id-alg-ml-kem-768 as its algorithm (RFC 9936).",
        BAD_REQUEST,
        "use KEMRecipientInfo",
        "ca-key-transport",
        ml_kem,
    )
    yield _spoiled(
        "encrypted-key", "One bit of encryptedKey is changed.", BAD_CHECK, ONE_TEXT, "ca-one-text", encrypted_key
    )


def _ciphers() -> Iterator[Planned]:
    def cipher(oid: str, parameters: bytes) -> Any:
        def change(tree: Node) -> None:
            content_info(tree)[1] = node(scheme(oid, parameters))

        return change

    def cut(tree: Node) -> None:
        content_info(tree)[2].content = content_info(tree)[2].content[:-16]

    def odd(tree: Node) -> None:
        content_info(tree)[2].content = content_info(tree)[2].content[:-1]

    iv = octets(bytes(16))
    yield _spoiled(
        "des",
        "The cipher is single DES (RFC 8894 sections 2.9 and 7.5: MUST NOT).",
        BAD_ALG,
        "DES-CBC",
        "ca-no-des",
        cipher(oids.DES_CBC.dotted_string, octets(bytes(8))),
    )
    yield _negative(
        "3des",
        "The cipher is 3DES, which the policy does not allow.",
        BAD_ALG,
        "3DES-CBC",
        "ca-3des",
        sealing={"cipher": TRIPLE_DES},
    )
    yield _spoiled(
        "unknown-cipher",
        "The cipher is one that nobody knows.",
        BAD_ALG,
        "cipher 1.3.6.1.4.1.32473.2",
        "ca-bad-alg",
        cipher("1.3.6.1.4.1.32473.2", iv),
    )
    yield _spoiled(
        "gcm-in-enveloped-data",
        "EnvelopedData names AES-128-GCM, which belongs into AuthEnvelopedData (RFC 5083).",
        BAD_ALG,
        "GCM belongs in AuthEnvelopedData",
        "ca-gcm",
        cipher(oids.AES128_GCM.dotted_string, sequence(octets(bytes(12)))),
    )
    yield _spoiled(
        "iv-length",
        "The IV of AES-128-CBC has 8 octets.",
        BAD_REQUEST,
        "IV of 8 octets",
        "ca-envelope",
        cipher(oids.AES128_CBC.dotted_string, octets(bytes(8))),
    )
    yield _spoiled(
        "padding",
        "The last block of the ciphertext is missing, so that the padding is wrong.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-one-text",
        cut,
    )
    yield _spoiled("block", "The last octet of the ciphertext is missing.", BAD_CHECK, ONE_TEXT, "ca-one-text", odd)


def _gcm() -> Iterator[Planned]:
    """AuthEnvelopedData: version, recipientInfos, authEncryptedContentInfo, mac (RFC 5083 section 2.1)."""

    def tag(tree: Node) -> None:
        tree[1][0][3].content = flipped(tree[1][0][3].content)

    def short(tree: Node) -> None:
        tree[1][0][3].content = tree[1][0][3].content[:8]
        content_info(tree)[1][1][1].content = b"\x08"

    def disagree(tree: Node) -> None:
        del content_info(tree)[1][1][1]

    def nonce(tree: Node) -> None:
        content_info(tree)[1][1][0].content = bytes(4)

    def cbc(tree: Node) -> None:
        content_info(tree)[1] = node(scheme(oids.AES128_CBC, octets(bytes(16))))

    def added(tree: Node) -> None:
        tree[1][0].insert(3, node(wrap(0xA1, sequence(encode(oids.CONTENT_TYPE), wrap(0x31, encode(oids.DATA))))))

    def gcm(name: str, defect: str, expect: str, because: str, change: Any, requirement: str = "ca-gcm") -> Planned:
        message = pkcs_req(sealing={"cipher": AES128_GCM, "tree": change})
        return negative(f"ca-envelope-gcm-{name}", defect, expect, because, requirement, message, twin=GCM_TWIN)

    yield positive(
        GCM_TWIN,
        "PKCSReq in AuthEnvelopedData with AES-128-GCM, which the answer uses, too",
        "ca-gcm",
        pkcs_req(sealing={"cipher": AES128_GCM}),
        values={"cipher": "AES-128-GCM"},
    )
    covered = authenticating("vectors/classic/envelope", csr(), AES128_GCM)
    yield positive(
        "ca-envelope-gcm-auth-attributes",
        "The same with authAttrs, which are authenticated data (RFC 5083 section 2.2)",
        "ca-gcm",
        pkcs_req(sealing={"cipher": AES128_GCM, "tree": covered}),
        values={"cipher": "AES-128-GCM"},
    )
    yield gcm("tag", "One bit of the tag is changed.", BAD_CHECK, ONE_TEXT, tag)
    yield gcm(
        "tag-length",
        "Tag and aes-ICVlen have 8 octets; RFC 5084 section 3.2 begins with 12.",
        BAD_ALG,
        "a tag of 8 octets",
        short,
    )
    yield gcm(
        "icv-length",
        "aes-ICVlen is absent, which means 12, but the tag has 16 octets (RFC 5084 section 3.2).",
        BAD_ALG,
        "aes-ICVlen 12",
        disagree,
    )
    yield gcm("nonce", "The nonce has 4 octets.", BAD_ALG, "nonce of 4 octets", nonce)
    yield gcm("cipher", "AuthEnvelopedData names AES-128-CBC.", BAD_ALG, "in AuthEnvelopedData", cbc)
    yield gcm("attributes", "authAttrs were added, which the tag does not cover.", BAD_CHECK, ONE_TEXT, added)
    yield negative(
        "ca-envelope-gcm-disabled",
        "The CA does not list AES-GCM, and AuthEnvelopedData comes.",
        BAD_ALG,
        "not enabled",
        "ca-gcm",
        pkcs_req(sealing={"cipher": AES128_GCM}),
        scene=scene("challenge-password no-gcm"),
        twin=GCM_TWIN,
    )


def _good() -> Iterator[Planned]:
    key = {"key": spki_hash(csr())}
    yield positive(
        "ca-envelope-aes256",
        "PKCSReq with AES-256-CBC, which the answer uses, too",
        "ca-same-algorithms",
        pkcs_req(sealing={"cipher": AES256}),
        values=key | {"cipher": "AES-256-CBC"},
    )
    yield positive(
        "ca-envelope-aes256-gcm",
        "PKCSReq in AuthEnvelopedData with AES-256-GCM and SHA-512",
        "ca-gcm",
        pkcs_req(sealing={"cipher": AES256_GCM}, digest=hashes.SHA512()),
        values=key | {"cipher": "AES-256-GCM", "digest": "SHA-512"},
    )
    yield positive(
        "ca-envelope-3des-legacy",
        "PKCSReq with 3DES at a CA whose policy allows it",
        "ca-3des",
        pkcs_req(sealing={"cipher": TRIPLE_DES}),
        scene=scene("challenge-password legacy"),
        values={"cipher": "3DES-CBC"},
    )
    oaep = algorithm(oids.RSAES_OAEP, b"\x30\x00")
    yield positive(
        "ca-envelope-oaep",
        "PKCSReq with RSAES-OAEP and default parameters, as Windows sends",
        "ca-mandatory",
        pkcs_req(sealing={"transport": oaep}),
        values=key,
    )


def _inner_type(tree: Node) -> None:
    content_info(tree)[0] = node(encode(oids.SIGNED_DATA))


def _no_content(tree: Node) -> None:
    del content_info(tree)[2]


def _negative(name: str, defect: str, expect: str, because: str, requirement: str, **changes: Any) -> Planned:
    return negative(f"ca-envelope-{name}", defect, expect, because, requirement, pkcs_req(**changes), twin=TWIN)


def _spoiled(name: str, defect: str, expect: str, because: str, requirement: str, change: Any) -> Planned:
    """An envelope that was spoiled after it was made; the message around it is signed correctly."""
    return _negative(name, defect, expect, because, requirement, sealing={"tree": change})
