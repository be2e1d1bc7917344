"""CA: requests for ML-KEM keys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.ca_classic import BAD_ALG, BAD_REQUEST, negative, pkcs8, positive
from drafts.tools.testkit.der import NULL, Node, node, scheme
from drafts.tools.testkit.kem_messages import KemTo
from drafts.tools.testkit.messages import Attributes, Message, envelope, request_attributes
from drafts.tools.testkit.our_ca import CaUnderTest
from drafts.tools.testkit.parties import KemParty, Party, kem_ca, kem_party, name, ra_kem, self_signed
from drafts.tools.testkit.requests import (
    key_usage_request,
    password_attribute,
    pkcs10,
    request_info,
    respoiled,
    signed,
    unsigned,
)
from drafts.tools.testkit.scene import Planned, Scene, preview
from kem.keys import encode_private_key
from pkix import oids
from pkix.algorithms import AES256_GCM

SUBJECT = "CN=kem device,O=Example"
PASSWORD = "one-time secret"  # noqa: S105 - of a test
TRANSACTION = "kem-1"
NONCE = value("vectors/kem/nonce", 0, 16)
TWIN = "ca-kem-pkcsreq-768"
CHALLENGED = "PENDING challenge"


@functools.cache
def signer() -> Party:
    """The ephemeral key that signs the requests of the ML-KEM client."""
    return self_signed("ec:P-256", "kem-signer", SUBJECT)


@functools.cache
def client(parameter_set: str = "ML-KEM-768") -> KemParty:
    """The requested key."""
    return kem_party(f"kem-client-{parameter_set.lower()}", parameter_set)


def bare_scene(policy: str, *, ra: tuple[KemParty, ...] = (), kem: KemParty | None = None) -> Scene:
    """A P-256 CA whose RA has ML-KEM keys, by default one for ML-KEM-768, and the ML-KEM client."""
    ras = ra or (ra_kem(),)
    pairs = [(("ra-kem-certificate", _der(item)), ("ra-kem-key", encode_private_key(item.private))) for item in ras]
    return Scene("ca").plus(
        ("ca-certificate", kem_ca().certificate.der),
        ("ca-key", pkcs8(kem_ca().key)),
        *(block for pair in pairs for block in pair),
        ("client-certificate", signer().certificate.der),
        ("client-key", pkcs8(signer().key)),
        ("client-kem-key", encode_private_key((kem or client()).private)),
        time=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        policy=policy,
        password=PASSWORD,
        seed="vectors/kem",
    )


@functools.cache
def scene(policy: str = "challenge-password renewal", **more: Any) -> Scene:
    """The same with the GetCACaps body that the CA serves."""
    found = bare_scene(policy, **more)
    return found.plus(("ca-caps", CaUnderTest(preview(found)).responder.get_ca_caps()))


def _der(party: KemParty) -> bytes:
    assert party.certificate is not None
    return party.certificate.der


def info(*attributes: bytes, spki: bytes | None = None, subject: str = SUBJECT) -> bytes:
    """CertificationRequestInfo for the ML-KEM key, with the password unless other attributes are given."""
    given = attributes or (password_attribute(PASSWORD),)
    return request_info(name(subject).public_bytes(), spki or client().spki, given)


def sealed(content: bytes, ra: KemParty | None = None, **changes: Any) -> bytes:
    """pkcsPKIEnvelope for the RA's ML-KEM key. changes: cipher, tree, and any field of KemTo."""
    to = ra or ra_kem()
    assert to.certificate is not None
    cipher, tree = changes.pop("cipher", AES256_GCM), changes.pop("tree", None)
    arguments: dict[str, Any] = {"rid": to.certificate.issuer_and_serial} | changes
    arguments.setdefault("label", "vectors/kem/envelope/m")
    return envelope(content, [KemTo(to, **arguments)], "vectors/kem/envelope", cipher, tree)


def pkcs_req(content: bytes | None = None, **changes: Any) -> bytes:
    """The ML-KEM client's PKCSReq. changes: as in `ca_classic.pkcs_req`."""
    kind, transaction = changes.pop("kind", 19), changes.pop("transaction_id", TRANSACTION)
    attributes: Attributes = request_attributes(kind, transaction, changes.pop("nonce", NONCE))
    attributes |= changes.pop("replaced", {})
    if "envelope" not in changes:
        changes["envelope"] = sealed(unsigned(info()) if content is None else content, **changes.pop("sealing", {}))
    return Message(signer=changes.pop("signer", signer().signer), attributes=attributes, **changes).encode()


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield positive(
        TWIN,
        "PKCSReq for an ML-KEM-768 key, enveloped to the RA's ML-KEM-768 key: a challenge comes",
        "ca-kem-challenge",
        pkcs_req(),
        CHALLENGED,
        scene=scene(),
        values={"ciphertexts": "ML-KEM-768", "hash": "HKDF-SHA256"},
    )
    yield from _unsigned_requests()
    yield from _encapsulation_keys()
    yield from _other_sets()


def refused(
    name: str, defect: str, expect: str, because: str, requirement: str, message: bytes, **more: Any
) -> Planned:
    arguments: dict[str, Any] = {"scene": scene(), "twin": TWIN} | more
    arguments.setdefault("description", "PKCSReq for an ML-KEM key that should be refused")
    return negative(f"ca-kem-{name}", defect, expect, because, requirement, message, **arguments)


def _unsigned_requests() -> Iterator[Planned]:
    usage = password_attribute(PASSWORD)
    null = pkcs10(info(), scheme(oids.UNSIGNED, NULL))
    yield refused(
        "unsigned-parameters",
        "The parameters of id-alg-unsigned are NULL; they must be absent.",
        BAD_REQUEST,
        "with parameters",
        "ca-unsigned-form",
        pkcs_req(null),
    )
    yield refused(
        "unsigned-signature",
        "The signature under id-alg-unsigned is not empty.",
        BAD_REQUEST,
        "with a signature",
        "ca-unsigned-form",
        pkcs_req(pkcs10(info(), scheme(oids.UNSIGNED), bytes(8))),
    )
    ephemeral = signed(info(), signer().key)
    yield refused(
        "signed-by-ephemeral",
        "The request for an ML-KEM key is signed by the ephemeral key, with neither "
        "id-alg-unsigned nor a statement of possession.",
        BAD_REQUEST,
        "cannot sign",
        "ca-unsigned-form",
        pkcs_req(ephemeral),
    )
    for suffix, what, bits, unused in (
        ("signature", "digitalSignature", b"\x80", 7),
        ("both", "keyEncipherment and digitalSignature", b"\xa0", 5),
        ("agreement", "keyAgreement", b"\x08", 3),
    ):
        wrong = unsigned(info(usage, key_usage_request(bits, unused)))
        yield refused(
            f"usage-{suffix}",
            f"The requested keyUsage is {what} (RFC 9935 section 5: keyEncipherment alone).",
            BAD_REQUEST,
            "keyEncipherment alone",
            "ca-kem-usage",
            pkcs_req(wrong),
            twin="ca-kem-usage",
        )
    right = unsigned(info(usage, key_usage_request(b"\x20", 5)))
    yield positive(
        "ca-kem-usage",
        "PKCSReq for an ML-KEM key that asks for keyUsage keyEncipherment",
        "ca-kem-usage",
        pkcs_req(right),
        CHALLENGED,
        scene=scene(),
    )
    yield positive(
        "ca-kem-no-signature",
        "PKCSReq for an ML-KEM key with id-alg-noSignature (RFC 5272) instead of id-alg-unsigned",
        "ca-unsigned-form",
        pkcs_req(pkcs10(info(), scheme(oids.NO_SIGNATURE, NULL), bytes(32))),
        CHALLENGED,
        scene=scene(),
    )
    yield refused(
        "sender-nonce-short",
        "senderNonce has 8 octets; the proof of possession is bound to 16.",
        BAD_REQUEST,
        "senderNonce of 16 octets",
        "ca-sender-nonce",
        pkcs_req(nonce=NONCE[:8]),
    )
    yield refused(
        "password-wrong",
        "The challengePassword is another one: no challenge before that is right.",
        BAD_REQUEST,
        "not valid",
        "ca-password-before-challenge",
        pkcs_req(unsigned(info(password_attribute("another")))),
    )
    manual = scene("challenge-password manual")
    yield positive(
        "ca-kem-manual",
        "PKCSReq for an ML-KEM key without challengePassword at a CA whose operator approves "
        "by hand: the challenge comes first",
        "ca-kem-challenge",
        pkcs_req(unsigned(info(key_usage_request(b"\x20", 5)))),
        CHALLENGED,
        scene=manual,
    )


def _encapsulation_keys() -> Iterator[Planned]:
    def key_with(change: Callable[[bytes], bytes]) -> bytes:
        def spoil(tree: Node) -> None:
            tree[0][2][1].content = b"\x00" + change(tree[0][2][1].content[1:])

        return pkcs_req(respoiled(unsigned(info()), spoil))

    def parameters(tree: Node) -> None:
        tree[0][2][0] = node(scheme(oids.ML_KEM_768, NULL))

    def unused(tree: Node) -> None:
        tree[0][2][1].content = b"\x01" + tree[0][2][1].content[1:-1] + b"\x00"

    def last(octets: bytes) -> bytes:
        return octets[:1151] + b"\xff" + octets[1152:]

    yield refused(
        "key-modulus",
        "The first coefficient of the encapsulation key is 4095 (FIPS 203 section 7.2).",
        BAD_REQUEST,
        "not below 3329",
        "ca-kem-key-check",
        key_with(lambda octets: b"\xff" + bytes((octets[1] | 0x0F,)) + octets[2:]),
    )
    yield refused(
        "key-modulus-last",
        "The last coefficient of the encapsulation key is not below 3329 (FIPS 203 section 7.2).",
        BAD_REQUEST,
        "not below 3329",
        "ca-kem-key-check",
        key_with(last),
    )
    yield refused(
        "key-zero-t",
        "t is zero, so that anybody can decapsulate with the public key alone.",
        BAD_REQUEST,
        "anybody could decapsulate",
        "ca-kem-key-weak",
        key_with(lambda octets: bytes(1152) + octets[1152:]),
    )
    yield refused(
        "key-short",
        "The last octet of the encapsulation key is missing (FIPS 203 section 7.2).",
        BAD_REQUEST,
        "key of 1183 octets",
        "ca-kem-key-check",
        key_with(lambda octets: octets[:-1]),
    )
    yield refused(
        "key-long",
        "An octet follows the encapsulation key (FIPS 203 section 7.2).",
        BAD_REQUEST,
        "key of 1185 octets",
        "ca-kem-key-check",
        key_with(lambda octets: octets + b"\x00"),
    )
    yield refused(
        "key-parameters",
        "The key's AlgorithmIdentifier has NULL parameters (RFC 9935 section 3: absent).",
        BAD_REQUEST,
        "must be absent",
        "ca-kem-key-check",
        pkcs_req(respoiled(unsigned(info()), parameters)),
    )
    yield refused(
        "key-unused-bits",
        "The key's BIT STRING has an unused bit.",
        BAD_REQUEST,
        "whole number of octets",
        "ca-kem-key-check",
        pkcs_req(respoiled(unsigned(info()), unused)),
    )


def _other_sets() -> Iterator[Planned]:
    for parameter_set in ("ML-KEM-512", "ML-KEM-1024"):
        number = parameter_set.rpartition("-")[2]
        ra, kem = ra_kem(parameter_set), client(parameter_set)
        sealing: dict[str, Any] = {"ra": ra}
        if number == "512":
            sealing |= {"wrap": oids.AES128_WRAP, "kek_length": 16}
        message = pkcs_req(unsigned(info(spki=kem.spki)), sealing=sealing)
        yield positive(
            f"ca-kem-pkcsreq-{number}",
            f"PKCSReq for an {parameter_set} key, enveloped to the RA's {parameter_set} key",
            "ca-kem-challenge",
            message,
            CHALLENGED,
            scene=scene(ra=(ra,), kem=kem),
            values={"ciphertexts": parameter_set},
        )

    def unknown(tree: Node) -> None:
        tree[0][2][0] = node(scheme("2.16.840.1.101.3.4.4.9"))

    yield refused(
        "set-unknown",
        "The requested key's algorithm is 2.16.840.1.101.3.4.4.9, which nobody knows.",
        BAD_ALG,
        "2.16.840.1.101.3.4.4.9",
        "ca-kem-sets",
        pkcs_req(respoiled(unsigned(info()), unknown)),
    )
    largest = client("ML-KEM-1024")
    message = pkcs_req(unsigned(info(spki=largest.spki)))
    yield positive(
        "ca-kem-set-certified",
        "PKCSReq for an ML-KEM-1024 key, enveloped to the RA's ML-KEM-768 key",
        "ca-kem-sets",
        message,
        CHALLENGED,
        scene=scene(kem=largest),
        values={"ciphertexts": "ML-KEM-1024"},
    )
    yield refused(
        "set-not-certified",
        "The requested key is an ML-KEM-1024 key, and the CA certifies only ML-KEM-768.",
        BAD_REQUEST,
        "a key of type ml-kem-1024",
        "ca-kem-sets",
        message,
        scene=scene("challenge-password renewal certifies=ml-kem-768,ec:P-256", kem=largest),
        twin="ca-kem-set-certified",
    )
    yield positive(
        "ca-kem-hash-sha512",
        "PKCSReq for an ML-KEM key at a CA that chose HKDF-SHA512 and HMAC-SHA512",
        "ca-kem-challenge",
        pkcs_req(),
        CHALLENGED,
        scene=scene("challenge-password hash=SHA-512"),
        values={"hash": "HKDF-SHA512"},
    )
