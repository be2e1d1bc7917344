"""SignedData with something wrong or odd in its structure: which error, or that it is tolerated (RFC 5652 section 5).

Algorithms and keys are the subject of `test_signature_algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.attributes import MAX_ATTRIBUTES
from pkix.certificates import Certificate
from pkix.errors import IntegrityFailed, Malformed
from pkix.signed_data import MAX_CERTIFICATES, SignedData
from tests.pkix.forge import (
    NULL,
    Peer,
    SignedDataForge,
    attribute,
    certificate,
    common_name,
    digest_of,
    peer,
    sequence,
    signed_data,
    signer_info,
    spki,
)
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv

POLICY = AlgorithmPolicy()
LEGACY = AlgorithmPolicy(legacy=True)
CONTENT = b"the content"
DIGEST = tlv(0x04, digest_of(hashes.SHA256(), CONTENT))
CONTENT_TYPE = attribute(oids.CONTENT_TYPE, encode(oids.DATA))
MESSAGE_DIGEST = attribute(oids.MESSAGE_DIGEST, DIGEST)


def check(message: bytes, policy: AlgorithmPolicy = POLICY, who: Certificate | None = None) -> SignedData:
    """Decode and verify with the certificate that the message names, or with `who`."""
    found = SignedData.decode(message)
    found.verify(who or found.signer_certificate(), policy)
    return found


def changed(change: Callable[[Node], None], message: bytes | None = None) -> bytes:
    """A valid message with one change made to its tree."""
    tree = Node.parse(message or SignedDataForge(peer()).encode())
    change(tree)
    return tree.der()


def flipped(octets: bytes, at: int = -1) -> bytes:
    """The same octets with one bit changed."""
    found = bytearray(octets)
    found[at] ^= 1
    return bytes(found)


def test_the_forged_message_itself_verifies() -> None:
    assert check(SignedDataForge(peer()).encode()).content == CONTENT


def test_5_4_another_content_is_refused() -> None:
    def change(tree: Node) -> None:
        signed_data(tree)[2][1][0].content = b"another one"

    with pytest.raises(IntegrityFailed, match="messageDigest"):
        check(changed(change))


def test_5_4_missing_content_is_refused() -> None:
    def change(tree: Node) -> None:
        del signed_data(tree)[2][1]

    with pytest.raises(IntegrityFailed, match=r"messageDigest .*: SignedData has no eContent \(it is detached\)"):
        check(changed(change))


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (digest_of(hashes.SHA1(), CONTENT), "it has 20 octets, and a hash by digestAlgorithm has 32"),  # noqa: S303
        (b"", "it has 0 octets, and a hash by digestAlgorithm has 32"),
        (digest_of(hashes.SHA256(), tlv(0x04, CONTENT)), "it covers tag and length of eContent's OCTET STRING too, "),
    ],
)
def test_11_2_a_message_digest_of_something_else_is_told(octets: bytes, text: str) -> None:
    attributes = [CONTENT_TYPE, attribute(oids.MESSAGE_DIGEST, tlv(0x04, octets))]
    with pytest.raises(IntegrityFailed, match=f"^the signed attribute messageDigest does not fit the content: {text}"):
        check(SignedDataForge(peer(), attributes=attributes).encode())


@pytest.mark.parametrize("which", [0, 1])
def test_5_6_a_changed_attribute_is_refused(which: int) -> None:
    def change(tree: Node) -> None:
        value = signer_info(tree)[3][which][1][0]
        value.content = flipped(value.content)

    with pytest.raises(IntegrityFailed, match="contentType" if which == 0 else "messageDigest"):
        check(changed(change))


def test_5_6_a_changed_private_attribute_is_refused() -> None:
    forge = SignedDataForge(peer(), attributes=[CONTENT_TYPE, MESSAGE_DIGEST, attribute(oids.SHA1, NULL)])

    def change(tree: Node) -> None:
        signer_info(tree)[3][2][0].content = flipped(signer_info(tree)[3][2][0].content)

    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        check(changed(change, forge.encode()))


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
@pytest.mark.parametrize("at", [0, 20, -1])
def test_5_6_a_changed_signature_is_refused(kind: str, at: int) -> None:
    def change(tree: Node) -> None:
        signer_info(tree)[5].content = flipped(signer_info(tree)[5].content, at)

    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        check(changed(change, SignedDataForge(peer(kind)).encode()))


@pytest.mark.parametrize("signature", [b"", b"\x00", b"\x30\x00", b"x" * 1000])
@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_5_6_a_signature_of_impossible_length_is_refused(kind: str, signature: bytes) -> None:
    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        check(SignedDataForge(peer(kind), make_signature=lambda data: signature).encode())


def test_5_6_another_signer_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        check(SignedDataForge(peer()).encode(), who=peer(label="other").certificate)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ([], "contentType is missing"),
        ([CONTENT_TYPE], "messageDigest"),
        ([MESSAGE_DIGEST], "contentType is missing"),
        ([attribute(oids.CONTENT_TYPE, encode(oids.SIGNED_DATA)), MESSAGE_DIGEST], "contentType is missing or differs"),
        ([CONTENT_TYPE, attribute(oids.MESSAGE_DIGEST, tlv(0x04, b""))], "messageDigest"),
    ],
    ids=["none", "no messageDigest", "no contentType", "other contentType", "empty messageDigest"],
)
def test_11_1_and_11_2_mandatory_attributes_with_a_good_signature(attributes: list[bytes], text: str) -> None:
    with pytest.raises(IntegrityFailed, match=text):
        check(SignedDataForge(peer(), attributes=attributes).encode())


@pytest.mark.parametrize(
    ("attributes", "name", "why"),
    [
        ([CONTENT_TYPE, MESSAGE_DIGEST, MESSAGE_DIGEST], "messageDigest", "the attribute is there more than once"),
        ([CONTENT_TYPE, CONTENT_TYPE, MESSAGE_DIGEST], "contentType", "the attribute is there more than once"),
        ([CONTENT_TYPE, attribute(oids.MESSAGE_DIGEST, DIGEST, DIGEST)], "messageDigest", "it has 2"),
        ([CONTENT_TYPE, attribute(oids.MESSAGE_DIGEST)], "messageDigest", "it has none"),
        (
            [CONTENT_TYPE, sequence(encode(oids.MESSAGE_DIGEST), tlv(0x31, b"\x04"))],
            "messageDigest",
            "it has none that can be read",
        ),
        (
            [CONTENT_TYPE, sequence(encode(oids.MESSAGE_DIGEST), DIGEST)],
            "messageDigest",
            "the value does not stand in a SET (RFC 5652 section 5.3)",
        ),
    ],
    ids=["messageDigest twice", "contentType twice", "two values", "no value", "cut short", "no SET"],
)
def test_5_3_an_attribute_has_one_instance_with_one_value(attributes: list[bytes], name: str, why: str) -> None:
    oid = {"messageDigest": oids.MESSAGE_DIGEST, "contentType": oids.CONTENT_TYPE}[name].dotted_string
    with pytest.raises(Malformed) as caught:
        check(SignedDataForge(peer(), attributes=attributes).encode())
    assert caught.value.text == f"signed attribute {name} ({oid}) does not have exactly one value: {why}"


@pytest.mark.parametrize(
    "odd",
    [
        [attribute(oids.SHA1, NULL), attribute(oids.SHA1, integer(1))],
        [attribute(oids.SHA1, NULL), attribute(oids.SHA1, integer(1)), attribute(oids.SHA1, NULL)],
        [attribute(oids.SHA1, integer(2), integer(1))],
        [attribute(oids.SHA1)],
        [sequence(encode(oids.SHA1), tlv(0x31, b"\x04"))],
        [sequence(encode(oids.SHA1), tlv(0x30, NULL))],
    ],
    ids=["twice", "three times", "two values in another order", "no value", "cut short", "not a SET"],
)
def test_section_3_an_odd_attribute_ends_only_who_asks_for_it(odd: list[bytes]) -> None:
    found = check(SignedDataForge(peer(), attributes=[CONTENT_TYPE, MESSAGE_DIGEST, *odd]).encode())
    assert set(found.attributes) == {oids.CONTENT_TYPE, oids.MESSAGE_DIGEST}
    with pytest.raises(Malformed, match="does not have exactly one value"):
        found.attributes.get(oids.SHA1)


@pytest.mark.parametrize(
    "attributes",
    [
        [attribute(oids.CONTENT_TYPE, tlv(0x04, b"data")), MESSAGE_DIGEST],
        [CONTENT_TYPE, attribute(oids.MESSAGE_DIGEST, tlv(0x13, b"digest"))],
        [CONTENT_TYPE, MESSAGE_DIGEST, tlv(0x04, b"not an attribute")],
        [CONTENT_TYPE, MESSAGE_DIGEST, sequence(encode(oids.SHA1))],
        [CONTENT_TYPE, sequence(encode(oids.MESSAGE_DIGEST), tlv(0x30, DIGEST))],
    ],
    ids=["contentType of bytes", "messageDigest of text", "octets", "no values", "not a SET"],
)
def test_5_3_attributes_of_wrong_structure(attributes: list[bytes]) -> None:
    with pytest.raises(Malformed):
        check(SignedDataForge(peer(), attributes=attributes).encode())


def test_limit_of_attributes() -> None:
    more = [attribute(Oid(f"1.2.3.{number}"), NULL) for number in range(MAX_ATTRIBUTES - 2)]
    check(SignedDataForge(peer(), attributes=[CONTENT_TYPE, MESSAGE_DIGEST, *more]).encode())
    with pytest.raises(Malformed, match="more than 64 signed attributes"):
        check(SignedDataForge(peer(), attributes=[CONTENT_TYPE, MESSAGE_DIGEST, *more, more[0]]).encode())


def test_limit_of_certificates() -> None:
    der = peer().certificate.der
    SignedData.decode(SignedDataForge(peer(), certificates=[der] * MAX_CERTIFICATES).encode())
    with pytest.raises(Malformed, match="more than 32 certificates"):
        SignedData.decode(SignedDataForge(peer(), certificates=[der] * (MAX_CERTIFICATES + 1)).encode())


def test_5_4_apple_signs_attributes_in_the_order_it_sends() -> None:
    found = check(SignedDataForge(peer(), attributes=[MESSAGE_DIGEST, CONTENT_TYPE]).encode())
    assert set(found.attributes) == {oids.CONTENT_TYPE, oids.MESSAGE_DIGEST}


def test_5_4_attributes_sent_in_another_order_than_signed_in() -> None:
    forge = SignedDataForge(peer(), attributes=[MESSAGE_DIGEST, CONTENT_TYPE])
    forge.to_sign = lambda attributes: tlv(0x31, *sorted(attributes))
    check(forge.encode())


def test_5_4_a_signature_over_the_implicit_tag_is_refused() -> None:
    forge = SignedDataForge(peer())
    forge.to_sign = lambda attributes: tlv(0xA0, *attributes)
    with pytest.raises(IntegrityFailed):
        check(forge.encode())


def test_5_3_no_signed_attributes() -> None:
    def change(tree: Node) -> None:
        del signer_info(tree)[3]

    with pytest.raises(Malformed, match="SignerInfo has no signed attributes"):
        check(changed(change))


def test_5_3_no_signed_attributes_by_openssl(openssl: OpenSsl) -> None:
    with pytest.raises(Malformed, match="SignerInfo has no signed attributes"):
        check(openssl.sign(CONTENT, peer(), "-noattr"))


def test_5_3_no_signed_attributes_but_unsigned_ones() -> None:
    def change(tree: Node) -> None:
        attributes = signer_info(tree)[3]
        del signer_info(tree)[3]
        signer_info(tree).insert(5, Node(0xA1, children=attributes.children))

    with pytest.raises(Malformed):
        check(changed(change))


def test_5_3_something_else_in_place_of_signed_attributes() -> None:
    def change(tree: Node) -> None:
        signer_info(tree)[3].tag = 0x31

    with pytest.raises(Malformed, match="SignerInfo has no signed attributes"):
        check(changed(change))


def test_5_3_unsigned_attributes_are_tolerated() -> None:
    def change(tree: Node) -> None:
        extra = Node.parse(attribute(oids.SHA1, NULL))
        signer_info(tree).insert(6, Node(0xA1, children=[extra]))

    found = check(changed(change))
    assert oids.SHA1 not in found.attributes


def test_two_signers_are_refused(openssl: OpenSsl) -> None:
    with pytest.raises(Malformed, match="more than one SignerInfo"):
        SignedData.decode(openssl.sign(CONTENT, peer(), more=(peer("ec:P-256"),)))


def test_no_signers() -> None:
    def change(tree: Node) -> None:
        del signed_data(tree)[-1][0]

    found = SignedData.decode(changed(change))
    assert found.signer is None
    with pytest.raises(Malformed, match="no SignerInfo"):
        _ = found.attributes
    with pytest.raises(Malformed, match="no SignerInfo"):
        found.signer_certificate()
    with pytest.raises(Malformed, match="no SignerInfo"):
        found.verify(peer().certificate, POLICY)


def test_signer_infos_that_are_no_set() -> None:
    def change(tree: Node) -> None:
        signed_data(tree)[-1].tag = 0x30

    with pytest.raises(Malformed, match="signerInfos is not a SET"):
        SignedData.decode(changed(change))


@pytest.mark.parametrize("text", [b"", b"\x30", b"\x30\x00", b"<html>", b"\x00" * 40, b"\x30\x80" * 40, b"\xff" * 40])
def test_what_is_no_cms_at_all(text: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        SignedData.decode(text)
    assert "\n" not in caught.value.text


def test_another_content_type() -> None:
    message = sequence(encode(oids.ENVELOPED_DATA), tlv(0xA0, sequence()))
    with pytest.raises(Malformed, match=r"enveloped-data .* not SignedData"):
        SignedData.decode(message)


def test_octets_after_the_message() -> None:
    with pytest.raises(Malformed):
        SignedData.decode(SignedDataForge(peer()).encode() + b"\x00")


def test_signer_certificate_absent() -> None:
    found = SignedData.decode(SignedDataForge(peer(), certificates=[]).encode())
    assert found.certificates == ()
    with pytest.raises(Malformed, match=r"^SignedData has no certificates; that of the signer belongs there$"):
        found.signer_certificate()
    with pytest.raises(
        Malformed, match=r"no certificate in SignedData matches .* hand: .* of issuer CN=other,O=Example$"
    ):
        found.signer_certificate([peer(label="other").certificate])


def no_signer(**given: Any) -> str:
    """The text about a SignedData in which the signer's certificate is not found."""
    with pytest.raises(Malformed) as caught:
        SignedData.decode(SignedDataForge(peer(), **given).encode()).signer_certificate()
    return caught.value.text.removeprefix("no certificate in SignedData matches the SignerInfo's signer identifier, ")


def test_5_3_a_signer_identifier_that_names_another_certificate_is_shown_with_those_at_hand() -> None:
    own, other = peer().certificate, peer(label="other").certificate
    sid = sequence(other.issuer, integer(7))
    there = f"serial number {own.serial_number:x} of issuer CN=peer,O=Example"
    assert no_signer(sid=sid) == f"serial number 7 of issuer CN=other,O=Example; certificates at hand: {there}"
    assert no_signer(sid=sid, certificates=[own.der] * 5).endswith(f"{'; '.join([there] * 3)}; 2 more")
    assert no_signer(sid=sid, certificates=[sequence(NULL)]).endswith("certificates at hand: none that can be read")


def test_5_3_a_subject_key_identifier_is_shown_with_those_at_hand() -> None:
    key_identifier = peer().certificate.subject_key_identifier.hex()
    text = f"subjectKeyIdentifier abcd; certificates at hand: subjectKeyIdentifier {key_identifier}"
    assert no_signer(sid=tlv(0x80, b"\xab\xcd")) == text


def test_5_3_what_is_shown_of_a_signer_is_bounded_and_printable() -> None:
    text = no_signer(sid=sequence(common_name(b"x" * 200, 0x0C), integer(2**4000)))
    assert text.startswith(f"serial number 1{'0' * 63}… of issuer CN={'x' * 61}…; ")
    text = no_signer(sid=sequence(common_name(b"x" * 5000, 0x0C), integer(1)))
    assert text.startswith("serial number 1 of an issuer that cannot be shown; ")
    text = no_signer(sid=sequence(common_name(b"\x1b[2J\n", 0x0C), integer(1)))
    assert text.isprintable()
    assert no_signer(sid=sequence(NULL, integer(1))).startswith("serial number 1 of an issuer that cannot be shown; ")


def test_signer_certificate_known_beforehand_as_ndes_needs(openssl: OpenSsl) -> None:
    known = [peer(label="other").certificate, peer().certificate]
    found = SignedData.decode(openssl.sign(CONTENT, peer(), "-nocerts"))
    assert found.signer_certificate(known) == peer().certificate
    found.verify(peer().certificate, POLICY)


@pytest.mark.parametrize("known", [False, True])
def test_5_3_signer_named_by_subject_key_identifier(known: bool) -> None:
    identifier = peer().certificate.subject_key_identifier
    certificates = [] if known else [peer(label="other").certificate.der, peer().certificate.der]
    found = SignedData.decode(SignedDataForge(peer(), sid=tlv(0x80, identifier), certificates=certificates).encode())
    assert found.signer_certificate([peer().certificate] if known else ()) == peer().certificate


def test_5_3_unknown_subject_key_identifier() -> None:
    found = SignedData.decode(SignedDataForge(peer(), sid=tlv(0x80, b"another")).encode())
    with pytest.raises(Malformed, match="no certificate in SignedData matches"):
        found.signer_certificate()


def test_10_2_2_certificates_of_other_kinds_are_passed_over() -> None:
    forge = SignedDataForge(peer(), certificates=[tlv(0xA1, integer(1)), peer().certificate.der])
    found = check(forge.encode())
    assert found.certificates == (peer().certificate.der,)


def test_section_3_an_unreadable_certificate_costs_only_itself() -> None:
    junk, ours = sequence(integer(1)), peer().certificate
    assert check(SignedDataForge(peer(), certificates=[junk, ours.der]).encode()).signer_certificate() == ours
    found = SignedData.decode(SignedDataForge(peer(), certificates=[junk]).encode())
    with pytest.raises(Malformed, match="no certificate in SignedData matches"):
        found.signer_certificate()


def test_x509_version_1_signer_as_certmonger_and_cisco_send() -> None:
    old = certificate(spki(peer().key.public_key()), version=None)
    assert check(SignedDataForge(Peer(peer().key, old)).encode()).signer_certificate() == old


@pytest.mark.parametrize("text", [b"plain", "Gr\u00fc\u00dfe".encode("latin-1"), b"\xff\xfe"])
def test_signer_name_with_t61_string(text: bytes) -> None:
    old = certificate(spki(peer().key.public_key()), issuer=common_name(text, 0x14))
    assert check(SignedDataForge(Peer(peer().key, old)).encode()).signer_certificate() == old


def test_the_issuer_must_match_octet_by_octet() -> None:
    forge = SignedDataForge(peer())
    forge.sid = sequence(common_name(b"peer", 0x0C), integer(peer().certificate.serial_number))
    with pytest.raises(Malformed, match="no certificate in SignedData matches"):
        check(forge.encode())
