"""Client: what is wrong with a KEM challenge itself, and challenges of renewals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

from drafts.tools.testkit.ca_kem import client
from drafts.tools.testkit.ca_kem_others import old, renewal, unsigned_renewal
from drafts.tools.testkit.client_kem import answered, challenge, ciphertexts, pending, proof, scene, spoiled, wrong
from drafts.tools.testkit.der import NULL, Node, attribute, node, octets, scheme, sequence
from drafts.tools.testkit.parties import KemParty, kem_party
from drafts.tools.testkit.scene import Planned, Scene
from kem.exchange import POP_SHA512
from kem.keys import encode_private_key
from pkix import oids
from pkix.asn1 import encode, wrap
from scep import attributes as scep

RENEWAL = "client-challenge-renewal"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _form()
    yield from _parameters()
    yield from _ciphertexts()
    yield from _renewal_challenges()


def _form() -> Iterator[Planned]:
    need, text = "client-challenge-form", "kemPopChallenge is not valid DER"

    def spoil(name: str, defect: str, because: str, change: Callable[[Node], None]) -> Planned:
        return wrong(name, defect, "challenge", because, pending(spoiled(change)), need)

    def set_to(index: int, der: bytes) -> Callable[[Node], None]:
        def change(tree: Node) -> None:
            tree[index] = node(der)

        return change

    good = challenge()
    twice = attribute(scep.KEM_POP_CHALLENGE, challenge(parameters=POP_SHA512))
    yield wrong(
        "twice",
        "The attribute kemPopChallenge appears twice.",
        "malformed",
        "exactly one value",
        pending(good, extra=[twice]),
        need,
    )
    yield wrong(
        "two-values",
        "The attribute kemPopChallenge has two values.",
        "malformed",
        "exactly one value",
        pending([good, challenge(parameters=POP_SHA512)]),
        need,
    )
    yield wrong(
        "not-a-sequence",
        "kemPopChallenge is the ciphertext alone, an OCTET STRING.",
        "challenge",
        text,
        pending(octets(ciphertexts(client())[0].octets)),
        need,
    )
    yield wrong(
        "ber",
        "A length inside of macParams is encoded in two octets, which BER allows and DER does not.",
        "challenge",
        text,
        pending(_in_ber()),
        need,
    )
    yield spoil("version", "kemPopChallenge has version 2.", "version 2", set_to(0, encode(2)))
    yield spoil("no-expiry", "expires is missing.", text, lambda tree: tree.__delitem__(3))
    yield spoil(
        "expires-utctime", "expires is a UTCTime, not a GeneralizedTime.", text, set_to(3, wrap(0x17, b"261121121000Z"))
    )
    yield spoil("trailing", "NULL follows expires.", text, lambda tree: tree.insert(4, Node(0x05)))


def _in_ber() -> bytes:
    """A kemPopChallenge in which the length of macParams' mac takes two octets."""
    version, ciphertexts_, parameters, expires = Node.parse(challenge())
    kdf, length, mac = (item.der() for item in parameters)
    stretched = sequence(kdf, length, b"\x30\x81" + mac[1:])
    return sequence(version.der(), ciphertexts_.der(), stretched, expires.der())


def _parameters() -> Iterator[Planned]:
    """macParams: kdf, [0] kemContext absent, len, mac."""

    def spoil(name: str, defect: str, because: str, change: Callable[[Node], None]) -> Planned:
        return wrong(name, defect, "challenge", because, pending(spoiled(change)), "client-mac-params")

    def part(index: int, der: bytes) -> Callable[[Node], None]:
        def change(tree: Node) -> None:
            tree[2][index] = node(der)

        return change

    def both(*parts: bytes) -> Callable[[Node], None]:
        def change(tree: Node) -> None:
            tree[2].children = [node(item) for item in parts]

        return change

    sha512, hmac512 = scheme(oids.HKDF_SHA512), scheme(oids.HMAC_SHA512, NULL)
    sha256, hmac256 = scheme(oids.HKDF_SHA256), scheme(oids.HMAC_SHA256, NULL)
    context = wrap(0xA0, octets(b"context"))
    yield spoil(
        "kem-context",
        "macParams has a kemContext; it must be absent, because each side makes its own.",
        "kemContext",
        lambda tree: tree[2].insert(1, node(context)),
    )
    yield spoil("length", "len is 16.", "16 octets", part(1, encode(16)))
    yield spoil("length-of-sha512", "len is 64, but the KDF is HKDF-SHA256.", "64 octets", part(1, encode(64)))
    yield spoil(
        "sha512-length",
        "KDF and MAC are those of SHA-512, but len is 32.",
        "32 octets",
        both(sha512, encode(32), hmac512),
    )
    yield spoil(
        "mixed", "The KDF is HKDF-SHA256 and the MAC HMAC-SHA512.", "HMAC-SHA512", both(sha256, encode(32), hmac512)
    )
    yield spoil("kdf", "The KDF is X9.63 with SHA-256.", "KDF 1.3.132.1.11.1", part(0, scheme("1.3.132.1.11.1")))
    yield spoil(
        "kdf-sha384",
        "KDF is HKDF-SHA384, which is defined, but not for this.",
        "HKDF-SHA384",
        both(scheme(oids.HKDF_SHA384), encode(48), hmac256),
    )
    yield spoil(
        "kdf-parameters",
        "HKDF-SHA256 has NULL parameters (RFC 8619 section 2: absent).",
        "parameters",
        part(0, scheme(oids.HKDF_SHA256, NULL)),
    )
    yield spoil("mac", "The MAC is HMAC-SHA1.", "MAC 1.2.840.113549.2.7", part(2, scheme(oids.HMAC_SHA1, NULL)))
    yield spoil(
        "mac-parameters",
        "HMAC-SHA256 has an INTEGER for parameters.",
        "parameters",
        part(2, scheme(oids.HMAC_SHA256, encode(32))),
    )


def _ciphertexts() -> Iterator[Planned]:
    def spoil(name: str, defect: str, because: str, change: Callable[[Node], None], *keys: KemParty) -> Planned:
        return wrong(name, defect, "challenge", because, pending(spoiled(change, *keys)), "client-ciphertexts")

    def length(size: int) -> Callable[[Node], None]:
        def change(tree: Node) -> None:
            tree[1][0][1].content = (tree[1][0][1].content + b"\x00")[:size]

        return change

    def parameters(tree: Node) -> None:
        tree[1][0][0] = node(scheme(oids.ML_KEM_768, NULL))

    def renamed(tree: Node) -> None:
        tree[1][0][0] = node(scheme(oids.RSA_ENCRYPTION))

    def none(tree: Node) -> None:
        tree[1].children = []

    def thrice(tree: Node) -> None:
        tree[1].children = [tree[1][0]] * 3

    largest = kem_party("kem-stranger-1024", "ML-KEM-1024")
    other_set = pending(challenge(largest))
    yield spoil("ciphertext-short", "The last octet of the ciphertext is missing.", "ciphertext", length(1087))
    yield spoil("ciphertext-long", "An octet follows the ciphertext.", "ciphertext", length(1089))
    yield spoil("ciphertext-empty", "The ciphertext has no octets.", "ciphertext", length(0))
    yield wrong(
        "other-set",
        "The ciphertext is one of ML-KEM-1024; the client's key is an ML-KEM-768 key.",
        "challenge",
        "ML-KEM-1024 ciphertext for a key of ML-KEM-768",
        other_set,
        "client-ciphertexts",
    )
    yield spoil("kem-parameters", "id-alg-ml-kem-768 has NULL parameters.", "parameters", parameters)
    yield spoil("not-ml-kem", "kem is rsaEncryption.", "not an ML-KEM", renamed)
    yield spoil("no-ciphertext", "There is no ciphertext.", "0 ciphertexts", none)
    yield spoil(
        "two-ciphertexts",
        "There are two ciphertexts, but the client renews no ML-KEM certificate.",
        "2 KEM ciphertexts for 1 keys",
        lambda tree: None,
        client(),
        client(),
    )
    yield spoil("three-ciphertexts", "There are three ciphertexts.", "3 ciphertexts", thrice)


@functools.cache
def renewing() -> Scene:
    """A client that renews its ML-KEM certificate."""
    certificate = old().certificate
    assert certificate is not None
    base = scene()
    blocks = tuple(
        (name, {"sent": renewal(), "csr": unsigned_renewal()}.get(name, octets_)) for name, octets_ in base.blocks
    )
    kept = replace(base, blocks=blocks).plus(
        ("client-old-certificate", certificate.der), ("client-old-key", encode_private_key(old().private))
    )
    return kept.plus(**{"transaction-id": "renewal-1"})


def _renewal_challenges() -> Iterator[Planned]:
    base = renewing()

    def sent(*keys: KemParty) -> bytes:
        return pending(challenge(*keys), transaction_id="renewal-1")

    body = sent(client(), old())
    yield answered(
        "challenge-renewal",
        "PENDING with a challenge to the new and the old key of a renewal",
        body,
        proof(body, client(), old(), base=base),
        base,
        "client-renewal",
    )
    swapped = sent(old(), client())
    yield answered(
        "challenge-renewal-swapped",
        "The same with the ciphertexts in the wrong order: no error, a mac that differs from what the CA expects",
        swapped,
        proof(swapped, client(), old(), base=base),
        base,
        "client-implicit-rejection",
    )
    yield wrong(
        "renewal-one-ciphertext",
        "There is one ciphertext, but the client renews an ML-KEM certificate.",
        "challenge",
        "1 KEM ciphertexts for 2 keys",
        sent(client()),
        "client-renewal",
        scene=base,
        twin=RENEWAL,
    )
    three = sent(client(), old(), client())
    yield wrong(
        "renewal-three-ciphertexts",
        "There are three ciphertexts.",
        "challenge",
        "3 ciphertexts",
        three,
        "client-renewal",
        scene=base,
        twin=RENEWAL,
    )
