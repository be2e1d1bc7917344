"""CA: the PKCS #10 request, who may have a certificate, transactions, queries (RFC 8894 sections 2 to 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drafts.tools.testkit.ca_classic import (
    BAD_CHECK,
    BAD_REQUEST,
    ONE_TEXT,
    PASSWORD,
    SUBJECT,
    csr,
    device,
    negative,
    pkcs_req,
    positive,
    scene,
)
from drafts.tools.testkit.der import NULL, Node, attribute, flipped, node, scheme, sequence
from drafts.tools.testkit.messages import SHA1
from drafts.tools.testkit.parties import (
    key,
    name,
    self_signed,
    weak_key,
)
from drafts.tools.testkit.requests import password_attribute, request_info, respoiled, signed, spki_hash
from drafts.tools.testkit.scene import Planned, Scene
from pkix import oids
from pkix.asn1 import Oid, encode, wrap
from pkix.keys import spki_of

SAN = "2.5.29.17"
SECP256K1 = "1.3.132.0.10"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _pkcs10()
    yield from _passwords()
    yield from _signing_keys()


def _wrong(name: str, defect: str, expect: str, because: str, requirement: str, content: bytes, **more: Any) -> Planned:
    return negative(f"ca-{name}", defect, expect, because, requirement, pkcs_req(content), **more)


def _pkcs10() -> Iterator[Planned]:
    def signature(tree: Node) -> None:
        tree[2].content = flipped(tree[2].content)

    def no_hash(tree: Node) -> None:
        tree[1] = node(scheme(oids.RSA_ENCRYPTION, NULL))

    yield _wrong(
        "csr-signature",
        "One bit of the PKCS #10 request's signature is changed.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-csr-signature",
        respoiled(csr(), signature),
    )
    yield _wrong(
        "csr-other-key",
        "The PKCS #10 request is signed with another key than the requested one.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-csr-signature",
        csr(key("rsa:2048", "other"), spki=spki_of(device().key)),
    )
    yield _wrong(
        "csr-sha1", "The PKCS #10 request is signed with SHA-1.", BAD_CHECK, ONE_TEXT, "ca-sha1", csr(digest=SHA1)
    )
    yield _wrong(
        "csr-signature-algorithm",
        "The PKCS #10 request's signature algorithm is rsaEncryption, which names no hash.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-bad-alg",
        respoiled(csr(), no_hash),
    )
    yield _wrong(
        "csr-rsa-1024",
        "The requested RSA key has 1024 bits.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-key-size",
        csr(weak_key()),
    )
    yield _wrong(
        "csr-version",
        "The PKCS #10 request has version 3; only 0 is defined (RFC 2986 section 4.1), and 1 and 2 are in use.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-csr",
        csr(version=3),
    )
    yield _wrong(
        "csr-no-subject",
        "The PKCS #10 request has no subject (RFC 8894 section 3.3.1).",
        BAD_REQUEST,
        "no subject",
        "ca-csr",
        csr(subject=name("").public_bytes()),
    )
    curve = sequence(sequence(encode(oids.EC_PUBLIC_KEY), encode(Oid(SECP256K1))), wrap(3, b"\0\4" + bytes(64)))
    yield _wrong(
        "csr-unknown-curve",
        "The requested key is no point of any curve that is accepted.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-bad-alg",
        csr(spki=curve),
    )

    def unsigned(tree: Node) -> None:
        tree[1], tree[2] = node(scheme(oids.UNSIGNED)), Node(0x03, b"\x00")

    yield _wrong(
        "csr-unsigned-rsa",
        "The PKCS #10 request for an RSA key is not signed (id-alg-unsigned), although the key can sign.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-unsigned-only-kem",
        respoiled(csr(), unsigned),
    )


def _passwords() -> Iterator[Planned]:
    twice = (password_attribute(PASSWORD), password_attribute("another"))
    two_values = attribute(oids.CHALLENGE_PASSWORD, wrap(0x0C, PASSWORD.encode()), wrap(0x0C, b"another"))
    yield _wrong(
        "password-missing",
        "There is no challengePassword, which the policy asks for.",
        BAD_REQUEST,
        "no challengePassword",
        "ca-challenge-password",
        csr(bare=True),
    )
    yield _wrong(
        "password-wrong",
        "The challengePassword is another one.",
        BAD_REQUEST,
        "not valid",
        "ca-challenge-password",
        csr(None, password_attribute("another")),
    )
    yield _wrong(
        "password-twice",
        "The attribute challengePassword appears twice (RFC 2985 section 5.4.1).",
        BAD_CHECK,
        ONE_TEXT,
        "ca-challenge-password",
        csr(None, *twice),
    )
    yield _wrong(
        "password-two-values",
        "challengePassword has two values (RFC 2985 section 5.4.1).",
        BAD_CHECK,
        ONE_TEXT,
        "ca-challenge-password",
        csr(None, two_values),
    )
    yield _wrong(
        "password-expired",
        "The challengePassword expired a minute ago.",
        BAD_REQUEST,
        "has expired",
        "ca-challenge-password",
        csr(),
        scene=scene().plus(**{"password-expires": "2026-11-21T11:59:00Z"}),
    )
    yield _wrong(
        "password-other-subject",
        "The challengePassword was given out for another subject.",
        BAD_REQUEST,
        "another subject",
        "ca-challenge-password",
        csr(),
        scene=scene().plus(**{"password-subject": "CN=somebody else"}),
    )
    other = self_signed("rsa:2048", "other", "CN=somebody else")
    first = request_info(other.certificate.subject, spki_of(other.key), [password_attribute(PASSWORD)])
    used = pkcs_req(signed(first, other.key), signer=other.signer, transaction_id="classic-0")
    yield _wrong(
        "password-used",
        "The challengePassword, good for one certificate, was used by another client.",
        BAD_REQUEST,
        "has been used",
        "ca-one-time",
        csr(),
        scene=after(scene(), used),
    )


def after(base: Scene, *messages: bytes, at: str = "2026-11-21T11:50:00Z") -> Scene:
    """With messages that came earlier."""
    blocks = [("earlier", message) for message in messages]
    return base.plus(*blocks, earlier_time=[at] * len(blocks))


def dns(text: str) -> bytes:
    return sequence(wrap(0x82, text.encode()))


def _signing_keys() -> Iterator[Planned]:
    """Clients whose keys cannot encrypt (RFC 8894 section 3.1)."""
    client = self_signed("ec:P-256", "ec-device", SUBJECT)
    base = scene("challenge-password manual", client=client)
    good = csr(client.key)
    yield positive(
        "ca-pkcsreq-ec",
        "PKCSReq of a P-256 client: the answer is under the challengePassword (PasswordRecipientInfo)",
        "ca-password-recipient",
        pkcs_req(good, signer=client.signer),
        scene=base,
        values={"recipient": "password", "key": spki_hash(good), "key-usage": "digitalSignature"},
    )
    yield negative(
        "ca-nothing-to-encrypt-with",
        "The client's key cannot encrypt and there is no challengePassword, so that nobody could open the answer.",
        BAD_REQUEST,
        "cannot be encrypted",
        "ca-password-recipient",
        pkcs_req(csr(client.key, bare=True), signer=client.signer),
        scene=base,
        twin="ca-pkcsreq-ec",
        description="PKCSReq of a P-256 client without a challengePassword",
    )
