"""Certificates as peers send them, read by position (RFC 5280 section 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519

from pkix import oids
from pkix.algorithms import check_key
from pkix.asn1 import any_of, encode
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.errors import AlgorithmRefused, Malformed
from pkix.public_keys import load_public_key
from tests.pkix.forge import (
    NULL,
    algorithm,
    bit_string,
    certificate,
    common_name,
    extension,
    peer,
    sequence,
    small_rsa_key,
    spki,
)
from tests.pkix.kem_peer import KEM_CERTIFICATE, kem_identity, kem_recipient
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv
from tests.world import name

SPKI = spki(peer().key.public_key())
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"


def changed(change: Callable[[Node], None]) -> bytes:
    """A valid certificate with one change made to its tree."""
    tree = Node.parse(peer().certificate.der)
    change(tree)
    return tree.der()


def test_fields_are_those_that_cryptography_reads() -> None:
    found = peer().certificate
    reference = x509.load_der_x509_certificate(found.der)
    assert found.issuer == found.subject == reference.subject.public_bytes()
    assert found.serial_number == reference.serial_number
    assert found.spki == SPKI
    assert found.key_hash == hashlib.sha256(SPKI).digest()
    assert found.public_key == peer().key.public_key()
    extension = reference.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert found.subject_key_identifier == extension.value.digest


def test_of_and_decode_give_the_same() -> None:
    found = peer().certificate
    assert Certificate.of(x509.load_der_x509_certificate(found.der)) == Certificate.decode(found.der) == found


def test_rfc_5652_10_2_4_a_certificate_is_named_by_issuer_and_serial() -> None:
    found = peer().certificate
    assert found.is_named_by(found.issuer_and_serial)
    assert not found.is_named_by(peer(label="other").certificate.issuer_and_serial)
    other = any_of(name("CN=other").public_bytes())
    assert not found.is_named_by(IssuerAndSerialNumber(issuer=other, serial_number=found.serial_number))
    same = any_of(found.issuer)
    assert not found.is_named_by(IssuerAndSerialNumber(issuer=same, serial_number=found.serial_number + 1))


@pytest.mark.parametrize("version", [None, 0, 1, 2, 9])
def test_4_1_2_1_every_version(version: int | None) -> None:
    assert certificate(SPKI, version=version).public_key == peer().key.public_key()


@pytest.mark.parametrize("serial", [0, -1, 1 << 255, 1 << 4000])
def test_4_1_2_2_serial_numbers_as_they_come(serial: int) -> None:
    # certmonger's are 32 octets long
    found = certificate(SPKI, serial=serial)
    assert found.serial_number == serial
    assert found.is_named_by(found.issuer_and_serial)


@pytest.mark.parametrize(
    ("tag", "text"), [(0x14, b"Ger\xe4t"), (0x13, b"a@b"), (0x0C, b"\xff"), (0x1E, b"abc"), (0x04, b"x")]
)
def test_names_that_cryptography_refuses(tag: int, text: bytes) -> None:
    issuer = common_name(text, tag)
    assert certificate(SPKI, issuer=issuer).issuer == issuer


def test_unique_identifiers_are_passed_over() -> None:
    def change(tree: Node) -> None:
        tree[0].insert(7, Node(0x81, b"\x00one"))
        tree[0].insert(8, Node(0x82, b"\x00two"))

    found = Certificate.decode(changed(change))
    assert found.subject_key_identifier == peer().certificate.subject_key_identifier


def test_4_2_1_2_identifier_without_the_extension_is_the_hash_of_the_key() -> None:
    bits = Node.parse(SPKI)[1].content[1:]
    expected = hashlib.sha1(bits, usedforsecurity=False).digest()
    assert certificate(SPKI).subject_key_identifier == expected
    assert certificate(SPKI, version=None).subject_key_identifier == expected
    assert certificate(SPKI, extensions=(extension("2.5.29.15", b"x"),)).subject_key_identifier == expected


def test_4_2_1_2_identifier_by_the_extension() -> None:
    extensions = (extension("2.5.29.15", b"x"), extension(SUBJECT_KEY_IDENTIFIER, tlv(0x04, b"any identifier")))
    assert certificate(SPKI, extensions=extensions).subject_key_identifier == b"any identifier"


@pytest.mark.parametrize(
    "broken",
    [extension(SUBJECT_KEY_IDENTIFIER, b"junk"), extension(SUBJECT_KEY_IDENTIFIER, integer(1)), sequence(), integer(1)],
    ids=["junk", "integer", "empty extension", "no extension"],
)
def test_4_2_1_2_identifier_that_cannot_be_read(broken: bytes) -> None:
    with pytest.raises(Malformed):
        _ = certificate(SPKI, extensions=(broken,)).subject_key_identifier


def test_a_key_without_bits_has_no_identifier() -> None:
    with pytest.raises(Malformed):
        _ = certificate(sequence(integer(1))).subject_key_identifier


def drop(index: int) -> Callable[[Node], None]:
    """Take one field out of the TBSCertificate."""

    def change(tree: Node) -> None:
        del tree[0][index]

    return change


@pytest.mark.parametrize("index", range(1, 7))
def test_missing_fields(index: int) -> None:
    # Fields are read by position, so that what follows a missing SEQUENCE moves up and the last one is no key.
    with pytest.raises((Malformed, AlgorithmRefused)):
        _ = Certificate.decode(changed(drop(index))).public_key


@pytest.mark.parametrize("der", [b"", b"\x30", sequence(), sequence(sequence()), b"-----BEGIN", bytes(50)])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(Malformed, match="certificate is not valid DER"):
        Certificate.decode(der)


def test_octets_after_the_certificate() -> None:
    with pytest.raises(Malformed):
        Certificate.decode(peer().certificate.der + b"\x00")


def test_a_public_key_that_cannot_be_used_is_refused_when_it_is_asked_for() -> None:
    found = certificate(sequence(algorithm(oids.RSA_ENCRYPTION, NULL), bit_string(b"no key")))
    with pytest.raises(AlgorithmRefused, match="certificate: the public key is"):
        _ = found.public_key
    with pytest.raises(AlgorithmRefused, match="whose: the public key is"):
        load_public_key(found.spki, "whose")


@pytest.mark.parametrize("spki", [b"", sequence(), sequence(integer(1)), integer(1)])
def test_a_public_key_of_wrong_structure(spki: bytes) -> None:
    with pytest.raises((AlgorithmRefused, Malformed)):
        load_public_key(spki, "whose")


def test_a_diffie_hellman_key_is_refused_in_silence(openssl: OpenSsl) -> None:
    # cryptography warns that such keys are deprecated, which a peer must not be able to make a responder print.
    private = openssl.file(openssl.run("genpkey", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"))
    key_info = openssl.run("pkey", "-in", private, "-pubout", "-outform", "DER")
    with pytest.raises(AlgorithmRefused):
        check_key(certificate(key_info).public_key, "signer certificate")


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519"])
def test_check_key_accepts_what_is_generated(key_type: str) -> None:
    check_key(peer(key_type).certificate.public_key, "certificate")


def test_issue_10_2_check_key_names_the_sizes_of_whoever_asks() -> None:
    with pytest.raises(AlgorithmRefused, match="request: RSA key of 1024 bits; 3072 to 4096 are accepted"):
        check_key(small_rsa_key().public_key(), "request", sizes=(3072, 4096))


def test_issuer_and_serial_encodes_as_the_peer_wrote_it() -> None:
    found = peer().certificate
    assert encode(found.issuer_and_serial) == sequence(found.issuer, integer(found.serial_number))


def test_check_key_refuses_kinds_that_do_not_sign() -> None:
    with pytest.raises(AlgorithmRefused, match="certificate: key type X25519 is not supported"):
        check_key(x25519.X25519PrivateKey.generate().public_key(), "certificate")


def test_kem_keys_are_told_from_others() -> None:
    assert KEM_CERTIFICATE.is_kem
    assert KEM_CERTIFICATE.key_algorithm == oids.ML_KEM_768
    assert not peer().certificate.is_kem


def test_repr_of_kem_recipients_and_identities_shows_no_key() -> None:
    identifier = KEM_CERTIFICATE.subject_key_identifier.hex()
    assert repr(kem_recipient()) == "KemRecipient(ML-KEM-768)"
    assert repr(kem_identity()) == f"KemIdentity(ML-KEM-768, key={identifier})"
