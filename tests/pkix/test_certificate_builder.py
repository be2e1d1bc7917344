"""Certificates over any SubjectPublicKeyInfo (RFC 5280): read back by `cryptography` and by pyasn1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pyasn1_alt_modules import rfc5280

from ca.profiles import extension
from kem.keys import encode_public_key
from pkix import oids
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate
from pkix.keys import spki_of
from pkix.usages import key_usage
from tests.pkix import second_opinion
from tests.pkix.forge import algorithm, bit_string, common_name, sequence
from tests.world import NOW, kem_key, key, name

ISSUERS = ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
KEM_USAGE = extension(key_usage({"keyEncipherment"}), critical=True)


def contents(**changed: object) -> Contents:
    """Contents of a certificate for an ML-KEM-768 key."""
    values: dict[str, object] = {
        "serial_number": 2**158 + 1,
        "issuer": name("CN=issuer").public_bytes(),
        "subject": name("CN=subject").public_bytes(),
        "spki": encode_public_key(kem_key()[1]),
        "not_before": NOW,
        "not_after": NOW + timedelta(days=1),
        "extensions": [KEM_USAGE],
    }
    return Contents(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("key_type", ISSUERS)
def test_every_issuer_s_signature_verifies(key_type: str) -> None:
    issuer = key(key_type, "issuer")
    own = contents(subject=name("CN=issuer").public_bytes(), spki=spki_of(issuer))
    root = x509.load_der_x509_certificate(encode_certificate(own, issuer))
    x509.load_der_x509_certificate(encode_certificate(contents(), issuer)).verify_directly_issued_by(root)


def test_the_contents_come_back() -> None:
    der = encode_certificate(contents(), key("ec:P-256", "issuer"))
    found = x509.load_der_x509_certificate(der)
    assert found.version is x509.Version.v3
    assert found.serial_number == 2**158 + 1
    assert (found.issuer, found.subject) == (name("CN=issuer"), name("CN=subject"))
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (NOW, NOW + timedelta(days=1))
    assert list(found.extensions) == [KEM_USAGE]
    assert Certificate.decode(der).spki == contents().spki


@pytest.mark.parametrize("key_type", ISSUERS)
def test_the_octets_are_the_one_der_encoding(key_type: str) -> None:
    der = encode_certificate(contents(), key(key_type, "issuer"))
    found = second_opinion.exactly(der, rfc5280.Certificate())
    assert found["signatureAlgorithm"] == found["tbsCertificate"]["signature"]


def test_ml_kem_512_and_unknown_keys_are_certified_as_they_are() -> None:
    """`cryptography` cannot load the key, so it is compared by its octets."""
    spki = sequence(algorithm(oids.ML_KEM_512), bit_string(bytes(800)))
    found = Certificate.decode(encode_certificate(contents(spki=spki), key("ed25519", "issuer")))
    assert found.spki == spki
    assert found.key_algorithm == oids.ML_KEM_512


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x1E])
def test_the_subject_keeps_its_string_type(tag: int) -> None:
    subject = common_name("device".encode("utf-16-be" if tag == 0x1E else "ascii"), tag)
    assert (
        Certificate.decode(encode_certificate(contents(subject=subject), key("ed25519", "issuer"))).subject == subject
    )


@pytest.mark.parametrize(("year", "tag"), [(2049, "utcTime"), (2050, "generalTime")])
def test_times_from_2050_on_are_generalized(year: int, tag: str) -> None:
    """RFC 5280 section 4.1.2.5."""
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    der = encode_certificate(contents(not_after=end), key("ed25519", "issuer"))
    found = second_opinion.exactly(der, rfc5280.Certificate())
    assert found["tbsCertificate"]["validity"]["notAfter"].getName() == tag
    assert x509.load_der_x509_certificate(der).not_valid_after_utc == end


def test_a_critical_extension_says_so_and_another_does_not() -> None:
    identifier = extension(x509.SubjectKeyIdentifier(b"\1" * 20))
    der = encode_certificate(contents(extensions=[KEM_USAGE, identifier]), key("ed25519", "issuer"))
    found = x509.load_der_x509_certificate(der).extensions
    assert [item.critical for item in found] == [True, False]


def test_ecdsa_hashes_with_the_match_of_its_curve() -> None:
    for curve, digest in (("ec:P-256", hashes.SHA256), ("ec:P-384", hashes.SHA384), ("ec:P-521", hashes.SHA512)):
        found = x509.load_der_x509_certificate(encode_certificate(contents(), key(curve, "issuer")))
        assert isinstance(found.signature_hash_algorithm, digest)
