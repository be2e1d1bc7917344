"""SignedData over content of any type, signers named by subjectKeyIdentifier, and what nobody has signed.

RFC 5652 sections 5.1 to 5.3, RFC 10002 section 3.2 and appendix C.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from pyasn1.codec.der.encoder import encode as pyasn1_encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.content_info import content_of, encode_content_info
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.public_keys import load_public_key
from pkix.signed_data import KeySigner, NoSigner, SignedData, Signer, Signs, encode_degenerate, encode_signed_data
from tests.pkix import second_opinion
from tests.pkix.forge import (
    NULL,
    SignedDataForge,
    algorithm,
    digest_of,
    peer,
    sequence,
    signed_data,
    signer_info,
    spki,
)
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv
from tests.world import NOW

POLICY = AlgorithmPolicy()
CONTENT = b"0\x00 or anything else"
PKI_DATA = Oid("1.3.6.1.5.5.7.12.2")
KEY_PACKAGE = oids.ASYMMETRIC_KEY_PACKAGE
IDENTIFIER = bytes(range(20))
KINDS = ("rsa:2048", "ec:P-256", "ed25519", "ml-dsa-65")


def made(signer: Signs | None = None, content_type: Oid = PKI_DATA, content: bytes | None = CONTENT) -> bytes:
    """A message of ours, by the usual peer unless told otherwise."""
    by = signer or peer().signer()
    certificates = [by.certificate.der] if isinstance(by, Signer) else []
    return encode_signed_data(
        content, [], by, hashes.SHA256(), certificates=certificates, now=NOW, content_type=content_type
    )


def by_key(kind: str = "rsa:2048") -> Signer:
    """The usual peer, named by subjectKeyIdentifier."""
    return Signer(peer(kind).key, peer(kind).certificate, by_key=True)


def changed(message: bytes, change: Callable[[Node], None]) -> bytes:
    """The message with one change made to its tree."""
    tree = Node.parse(message)
    change(tree)
    return tree.der()


@pytest.mark.parametrize("content_type", [PKI_DATA, KEY_PACKAGE, oids.SIGNED_DATA, oids.DATA], ids=oids.label)
@pytest.mark.parametrize("kind", KINDS)
def test_content_of_any_type_verifies(kind: str, content_type: Oid) -> None:
    found = SignedData.decode(made(peer(kind).signer(), content_type))
    assert (found.content_type, found.content) == (content_type, CONTENT)
    found.verify(found.signer_certificate(), POLICY)


@pytest.mark.parametrize(
    ("signer", "content_type", "versions"),
    [
        (peer().signer(), oids.DATA, (1, 1)),
        (peer().signer(), PKI_DATA, (3, 1)),
        (by_key(), oids.DATA, (3, 3)),
        (by_key(), PKI_DATA, (3, 3)),
        (KeySigner(peer().key, IDENTIFIER), oids.DATA, (3, 3)),
        (NoSigner(IDENTIFIER), PKI_DATA, (3, 3)),
    ],
)
def test_5_1_and_5_3_versions_and_attributes_as_pyasn1_reads_them(
    signer: Signs, content_type: Oid, versions: tuple[int, int]
) -> None:
    found = second_opinion.signed_data(made(signer, content_type))
    (info,) = found["signerInfos"]
    assert (found["version"], info["version"]) == versions
    assert str(found["encapContentInfo"]["eContentType"]) == content_type.dotted_string
    assert info["sid"].getName() == ("issuerAndSerialNumber" if versions[1] == 1 else "subjectKeyIdentifier")
    values = {str(item["attrType"]): bytes(item["attrValues"][0]) for item in info["signedAttrs"]}
    assert values[oids.CONTENT_TYPE.dotted_string] == encode(content_type)
    assert values[oids.MESSAGE_DIGEST.dotted_string] == encode(digest_of(hashes.SHA256(), CONTENT))


def test_5_1_the_degenerate_form_has_version_1() -> None:
    assert second_opinion.signed_data(encode_degenerate([peer().certificate.der]))["version"] == 1


@pytest.mark.parametrize("signer", [peer().signer(), by_key(), by_key("ec:P-256")], ids=["issuer", "key", "EC key"])
def test_openssl_verifies_ours(openssl: OpenSsl, signer: Signer) -> None:
    assert openssl.verify(made(signer)) == CONTENT


@pytest.mark.parametrize("options", [(), ("-keyid",), ("-keyid", "-stream")], ids=" ".join)
@pytest.mark.parametrize("content_type", [PKI_DATA, KEY_PACKAGE], ids=oids.label)
def test_we_verify_what_openssl_signs(openssl: OpenSsl, content_type: Oid, options: tuple[str, ...]) -> None:
    message = openssl.sign(CONTENT, peer(), "-econtent_type", content_type.dotted_string, *options)
    found = SignedData.decode(message)
    found.verify(found.signer_certificate(), POLICY)
    assert (found.content_type, found.content) == (content_type, CONTENT)
    assert found.signer is not None
    assert found.signer.sid == peer().certificate.subject_key_identifier or "-keyid" not in options


def test_11_1_another_content_type_than_was_signed_is_refused() -> None:
    def change(tree: Node) -> None:
        signed_data(tree)[2][0] = Node.parse(encode(oids.DATA))

    found = SignedData.decode(changed(made(), change))
    with pytest.raises(IntegrityFailed, match="contentType is missing or differs from eContentType"):
        found.verify(found.signer_certificate(), POLICY)


def test_5_3_another_certificate_with_the_identifier_does_not_verify() -> None:
    found = SignedData.decode(made(by_key()))
    assert found.signer_certificate([peer(label="other").certificate]) == peer().certificate
    with pytest.raises(IntegrityFailed):
        found.verify(peer(label="other").certificate, POLICY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_without_a_certificate_signs(kind: str) -> None:
    found = SignedData.decode(made(KeySigner(peer(kind).key, IDENTIFIER)))
    assert found.signer is not None and found.signer.sid == IDENTIFIER
    found.verify(peer(kind).key.public_key(), POLICY)
    with pytest.raises(Malformed, match="no certificate in SignedData matches"):
        found.signer_certificate([peer(kind).certificate])
    with pytest.raises(IntegrityFailed):
        found.verify(peer(kind, "other").key.public_key(), POLICY)


def test_a_key_without_a_certificate_is_checked_as_a_certificate_s() -> None:
    weak = load_public_key(spki(peer("ec:P-256").key.public_key()), "key")
    found = SignedData.decode(made())
    with pytest.raises(AlgorithmRefused, match="with an EC key"):
        found.verify(weak, POLICY)
    with pytest.raises(AlgorithmRefused, match="signer's key: ML-DSA is not enabled"):
        found.verify(peer("ml-dsa-65").key.public_key(), AlgorithmPolicy(ml_dsa=False))


def test_repr_of_a_key_signer_hides_the_key() -> None:
    assert repr(KeySigner(peer().key, b"\x01\x02")) == "KeySigner(key=<redacted>, identifier=0102)"


# id-alg-noSignature


def unsigned(content_type: Oid = PKI_DATA) -> bytes:
    """A message of ours that nobody signed."""
    return made(NoSigner(IDENTIFIER), content_type)


def test_c_1_no_signature_as_pyasn1_reads_it() -> None:
    (info,) = second_opinion.signed_data(unsigned())["signerInfos"]
    assert str(info["signatureAlgorithm"]["algorithm"]) == "1.3.6.1.5.5.7.6.2"
    assert bytes(info["signatureAlgorithm"]["parameters"]) == NULL
    assert bytes(info["sid"]["subjectKeyIdentifier"]) == IDENTIFIER
    hashed = hashlib.sha1(second_opinion.signed_attributes(info), usedforsecurity=False).digest()
    assert bytes(info["signature"]) == encode(hashed)


def test_c_1_what_nobody_signed_shows_that_it_is_not_signed() -> None:
    found = SignedData.decode(unsigned())
    assert found.is_unsigned
    assert found.check_unsigned(POLICY) == IDENTIFIER
    assert (found.content_type, found.content) == (PKI_DATA, CONTENT)


@pytest.mark.parametrize("kind", KINDS)
def test_c_1_nobody_is_ever_its_verified_signer(kind: str) -> None:
    """Whoever comes along as the signer, by identifier or by name, as certificate or as key."""
    who = peer(kind)
    identified = SignedData.decode(made(NoSigner(who.certificate.subject_key_identifier)))
    assert identified.signer_certificate([who.certificate]) == who.certificate
    named = SignedDataForge(who, scheme=algorithm(oids.NO_SIGNATURE, NULL), digest=hashes.SHA512())
    named.make_signature = lambda data: tlv(0x04, hashlib.sha1(data, usedforsecurity=False).digest())
    for found in (identified, SignedData.decode(named.encode())):
        for signer in (who.certificate, who.key.public_key()):
            with pytest.raises(AlgorithmRefused, match="no-signature"):
                found.verify(signer, POLICY)


def test_c_1_a_real_signature_is_not_taken_for_none() -> None:
    found = SignedData.decode(made(by_key()))
    assert not found.is_unsigned
    with pytest.raises(Malformed, match="has a signature, not id-alg-noSignature"):
        found.check_unsigned(POLICY)
    degenerate = SignedData.decode(encode_degenerate())
    assert not degenerate.is_unsigned
    with pytest.raises(Malformed, match="no SignerInfo"):
        degenerate.check_unsigned(POLICY)


@pytest.mark.parametrize("parameters", [b"", integer(1), tlv(0x04, b"")], ids=["absent", "integer", "octets"])
def test_c_1_parameters_must_be_null(parameters: bytes) -> None:
    def change(tree: Node) -> None:
        signer_info(tree)[4] = Node.parse(algorithm(oids.NO_SIGNATURE, parameters))

    with pytest.raises(Malformed, match="parameters must be NULL"):
        SignedData.decode(changed(unsigned(), change)).check_unsigned(POLICY)


def test_c_1_the_signer_must_be_a_subject_key_identifier() -> None:
    def change(tree: Node) -> None:
        named = sequence(peer().certificate.issuer, integer(peer().certificate.serial_number))
        signer_info(tree)[1] = Node.parse(named)

    with pytest.raises(Malformed, match="must be a subjectKeyIdentifier"):
        SignedData.decode(changed(unsigned(), change)).check_unsigned(POLICY)


@pytest.mark.parametrize("value", [b"", b"\x00", b"x" * 300, encode(b"another hash")])
def test_c_1_the_value_in_place_of_the_signature_is_ignored(value: bytes) -> None:
    def change(tree: Node) -> None:
        signer_info(tree)[5].content = value

    assert SignedData.decode(changed(unsigned(), change)).check_unsigned(POLICY) == IDENTIFIER


@pytest.mark.parametrize("which", ["content", "type", "digest algorithm"])
def test_c_1_what_is_not_the_sender_s_content_is_refused(which: str) -> None:
    def change(tree: Node) -> None:
        if which == "content":
            signed_data(tree)[2][1][0].content = b"another content"
        elif which == "type":
            signed_data(tree)[2][0] = Node.parse(encode(oids.DATA))
        else:
            signer_info(tree)[2] = Node.parse(algorithm(oids.SHA512))

    with pytest.raises(IntegrityFailed):
        SignedData.decode(changed(unsigned(), change)).check_unsigned(POLICY)


def test_c_1_the_digest_obeys_the_policy() -> None:
    def change(tree: Node) -> None:
        signer_info(tree)[2] = Node.parse(algorithm(oids.SHA1))

    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        SignedData.decode(changed(unsigned(), change)).check_unsigned(POLICY)


def test_c_1_no_signature_by_pyasn1_is_read() -> None:
    found = second_opinion.signed_data(unsigned())
    found["signerInfos"][0]["signature"] = b"bare octets"
    outer = rfc5652.ContentInfo()
    outer["contentType"] = univ.ObjectIdentifier(oids.SIGNED_DATA.dotted_string)
    outer["content"] = pyasn1_encode(found)
    assert SignedData.decode(pyasn1_encode(outer)).check_unsigned(POLICY) == IDENTIFIER


# Content without its ContentInfo


def test_content_is_taken_out_of_its_content_info_and_put_back() -> None:
    message = made()
    bare = content_of(message, oids.SIGNED_DATA)
    assert bare == second_opinion.content_info(message, rfc5652.id_signedData)
    assert encode_content_info(oids.SIGNED_DATA, bare) == message
    assert content_of(b"\x30\x80" + message[4:] + b"\x00\x00", oids.SIGNED_DATA) == bare


def test_content_of_another_type_or_none_is_refused() -> None:
    with pytest.raises(Malformed, match=r"holds signed-data .*, not enveloped-data"):
        content_of(made(), oids.ENVELOPED_DATA)
    for octets in (b"", b"\x30\x00", made() + b"\x00", sequence(encode(oids.SIGNED_DATA), tlv(0xA1, NULL))):
        with pytest.raises(Malformed):
            content_of(octets, oids.SIGNED_DATA)
