"""CA: envelopes to the RA's ML-KEM certificate (RFC 9629, RFC 9936)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from drafts.tools.testkit.ca_classic import BAD_ALG, BAD_CHECK, BAD_REQUEST, ONE_TEXT, positive
from drafts.tools.testkit.ca_kem import CHALLENGED, pkcs_req, refused, scene
from drafts.tools.testkit.der import NULL, Node, node, scheme
from drafts.tools.testkit.kem_messages import kemri, kemri_bit, kemri_short, kemri_with
from drafts.tools.testkit.messages import recipient_info
from drafts.tools.testkit.parties import kem_ca, ra_kem
from drafts.tools.testkit.scene import Planned
from kem.kdf import HKDF_SHA384, HKDF_SHA512
from pkix import oids
from pkix.algorithms import AES128
from pkix.asn1 import Oid, encode, wrap

X963_SHA256 = "1.3.132.1.11.1"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _recipient_infos()
    yield from _accepted_recipient_infos()


def _recipient_infos() -> Iterator[Planned]:
    def spoiled(name: str, defect: str, expect: str, because: str, change: Callable[[Node], None]) -> Planned:
        message = pkcs_req(sealing={"tree": change})
        return refused(f"envelope-{name}", defect, expect, because, "ca-kemri", message)

    def transport(tree: Node) -> None:
        old = kemri(tree)
        parts = [node(encode(0)), old[1], old[2], old[3]]
        tree[1][0][1] = Node(0x31, children=[Node(0x30, children=parts)])

    def other_type(tree: Node) -> None:
        recipient_info(tree)[0] = node(encode(Oid("1.2.840.113549.1.9.16.13.1")))

    yield refused(
        "envelope-cbc",
        "A KEMRecipientInfo in EnvelopedData with AES-128-CBC; it belongs in AuthEnvelopedData (RFC 9709).",
        BAD_ALG,
        "use AuthEnvelopedData",
        "ca-kemri-authenticated",
        pkcs_req(sealing={"cipher": AES128}),
    )
    yield spoiled(
        "version",
        "KEMRecipientInfo has version 1 (RFC 9629 section 3: 0).",
        BAD_REQUEST,
        "version 1",
        kemri_with(0, encode(1)),
    )
    yield spoiled(
        "rid",
        "rid names another certificate of this CA.",
        BAD_CHECK,
        "the certificate of our CA opens none",
        kemri_with(1, encode(kem_ca().certificate.issuer_and_serial)),
    )
    yield spoiled(
        "key-identifier",
        "rid is a subjectKeyIdentifier of no key of the RA.",
        BAD_CHECK,
        "none of our certificates",
        kemri_with(1, wrap(0x80, bytes(20))),
    )
    yield spoiled(
        "kem-parameters",
        "The parameters of id-alg-ml-kem-768 are NULL (RFC 9936 section 3: absent).",
        BAD_REQUEST,
        "must be absent",
        kemri_with(2, scheme(oids.ML_KEM_768, NULL)),
    )
    yield spoiled(
        "other-set",
        "kem is id-alg-ml-kem-1024, but rid names an ML-KEM-768 key.",
        BAD_CHECK,
        "for our ML-KEM-768 key",
        kemri_with(2, scheme(oids.ML_KEM_1024)),
    )
    yield spoiled(
        "ciphertext-length",
        "The last octet of kemct is missing (FIPS 203 section 7.3).",
        BAD_CHECK,
        "ciphertext",
        kemri_short,
    )
    yield spoiled(
        "ciphertext",
        "One bit of kemct is changed: decapsulation gives another secret and no error.",
        BAD_CHECK,
        ONE_TEXT,
        kemri_bit(3),
    )
    yield spoiled(
        "kdf", "The KDF is X9.63 with SHA-256.", BAD_ALG, f"KDF {X963_SHA256}", kemri_with(4, scheme(X963_SHA256))
    )
    yield spoiled(
        "kdf-parameters",
        "The parameters of HKDF-SHA256 are NULL (RFC 8619 section 2: absent).",
        BAD_REQUEST,
        "must be absent",
        kemri_with(4, scheme(oids.HKDF_SHA256, NULL)),
    )
    yield spoiled(
        "kdf-other",
        "The KDF is HKDF-SHA512, but the key was derived with HKDF-SHA256.",
        BAD_CHECK,
        ONE_TEXT,
        kemri_with(4, scheme(oids.HKDF_SHA512)),
    )
    yield spoiled(
        "kek-length",
        "kekLength is 16, but the wrap is aes256-wrap (RFC 9629 section 3).",
        BAD_REQUEST,
        "kekLength 16 does not fit",
        kemri_with(5, encode(16)),
    )
    yield spoiled(
        "wrap", "The key wrap is 3DES.", BAD_ALG, "key wrap", kemri_with(6, scheme("1.2.840.113549.1.9.16.3.6", NULL))
    )
    yield spoiled(
        "wrap-parameters",
        "The parameters of aes256-wrap are NULL (RFC 3565: absent).",
        BAD_ALG,
        "must be absent",
        kemri_with(6, scheme(oids.AES256_WRAP, NULL)),
    )
    yield spoiled("encrypted-key", "One bit of encryptedKey is changed.", BAD_CHECK, ONE_TEXT, kemri_bit(7))
    yield spoiled(
        "ukm-added",
        "An empty ukm was added, which is another KDF input than an absent one.",
        BAD_CHECK,
        ONE_TEXT,
        lambda tree: kemri(tree).insert(6, node(b"\xa0\x02\x04\x00")),
    )
    yield refused(
        "envelope-key-transport",
        "A KeyTransRecipientInfo is addressed to the ML-KEM certificate (RFC 9936).",
        BAD_CHECK,
        "use KEMRecipientInfo",
        "ca-key-transport",
        pkcs_req(sealing={"tree": transport}),
    )
    yield spoiled(
        "other-recipient-type",
        "The OtherRecipientInfo is of another type than id-ori-kem.",
        BAD_CHECK,
        "type that is not supported",
        other_type,
    )
    absent = pkcs_req(sealing={"ukm": b"", "derived_ukm": [None]})
    yield refused(
        "envelope-ukm-empty-unused",
        "ukm is there and empty, but the key was derived as if it were absent.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-kemri",
        absent,
        twin="ca-kem-envelope-ukm-empty",
    )
    other = pkcs_req(sealing={"ukm": b"partyinfo", "derived_ukm": [b"partyInfo"]})
    yield refused(
        "envelope-ukm-other",
        "ukm is another one than the key was derived with.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-kemri",
        other,
        twin="ca-kem-envelope-ukm",
    )


def _accepted_recipient_infos() -> Iterator[Planned]:
    identifier = ra_kem().certificate
    assert identifier is not None
    for suffix, what, sealing in (
        ("hkdf-sha384", "with HKDF-SHA384", {"kdf": HKDF_SHA384}),
        ("hkdf-sha512", "with HKDF-SHA512", {"kdf": HKDF_SHA512}),
        ("aes128-wrap", "with aes128-wrap and kekLength 16", {"wrap": oids.AES128_WRAP, "kek_length": 16}),
        ("aes192-wrap", "with aes192-wrap and kekLength 24", {"wrap": oids.AES192_WRAP, "kek_length": 24}),
        ("ukm", "with a ukm", {"ukm": b"partyinfo"}),
        ("ukm-empty", "with an empty ukm", {"ukm": b""}),
        ("by-key-identifier", "whose rid is the subjectKeyIdentifier", {"rid": identifier.subject_key_identifier}),
    ):
        yield positive(
            f"ca-kem-envelope-{suffix}",
            f"PKCSReq for an ML-KEM key in an envelope {what}",
            "ca-kemri",
            pkcs_req(sealing=sealing),
            CHALLENGED,
            scene=scene(),
        )
