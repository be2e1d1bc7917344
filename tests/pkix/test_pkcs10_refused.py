"""PKCS #10 requests with something wrong in them (RFC 2986): which error they give, and when."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.extensions import find
from pkix.pkcs10 import MAX_ATTRIBUTES, CertificationRequest
from tests.pkix.forge import (
    NULL,
    algorithm,
    attribute,
    bit_string,
    common_name,
    extension,
    extension_request,
    peer,
    request_info,
    rsa_spki,
    sequence,
    sign_request,
    small_rsa_key,
    spki,
)
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.world import name

POLICY = AlgorithmPolicy()
LEGACY = AlgorithmPolicy(legacy=True)
KEY = peer().key
SECRET = tlv(0x0C, b"secret")
USAGE = extension("2.5.29.15", tlv(0x03, b"\x05\xa0"))
SAN = extension("2.5.29.17", sequence(tlv(0x82, b"device.example")))


def challenge(*values: bytes) -> bytes:
    """The attribute challengePassword."""
    return attribute(oids.CHALLENGE_PASSWORD, *values)


def forged(*attributes: bytes) -> CertificationRequest:
    """A request with these attributes, read but not verified."""
    return CertificationRequest.decode(sign_request(request_info(KEY, *attributes), KEY))


def changed(change: Callable[[Node], None]) -> bytes:
    """A valid request with one change made to its tree after it was signed."""
    tree = Node.parse(sign_request(request_info(KEY, challenge(SECRET)), KEY))
    change(tree)
    return tree.der()


@pytest.mark.parametrize(
    "attributes",
    [
        (challenge(SECRET), challenge(SECRET)),
        (challenge(SECRET), attribute(Oid("1.2.3"), NULL), challenge(tlv(0x13, b"other"))),
        (challenge(SECRET, tlv(0x0C, b"other")),),
        (challenge(),),
    ],
    ids=["twice", "twice, apart", "two values", "no value"],
)
def test_rfc_2985_5_4_1_password_is_single(attributes: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed, match=r"challenge-password \S+ must appear once, with one value"):
        forged(*attributes)


@pytest.mark.parametrize(
    "value",
    [
        tlv(0x0C, b"\xff\xfe"),
        tlv(0x0C, b"\xed\xa0\x80"),
        tlv(0x13, b"caf\xe9"),
        tlv(0x16, b"caf\xe9"),
        tlv(0x1C, b"abc"),
        tlv(0x1C, b"\x00\x11\x00\x00"),
        tlv(0x1E, b"abc"),
        tlv(0x1E, b"\xd8\x00"),
    ],
    ids=["UTF8", "UTF8 surrogate", "Printable", "IA5", "Universal odd", "Universal high", "BMP odd", "BMP half"],
)
def test_password_that_is_no_text_of_its_type(value: bytes) -> None:
    with pytest.raises(Malformed, match="not valid text of its string type"):
        forged(challenge(value))


@pytest.mark.parametrize("value", [tlv(0x04, b"secret"), NULL, integer(7), sequence(SECRET), tlv(0x80, b"secret")])
def test_password_that_is_no_string(value: bytes) -> None:
    with pytest.raises(Malformed, match="not a DirectoryString"):
        forged(challenge(value))


def test_attribute_whose_values_are_no_set() -> None:
    with pytest.raises(Malformed, match=r"challenge-password \S+ must appear once, with one value"):
        forged(sequence(encode(oids.CHALLENGE_PASSWORD), sequence(SECRET)))


@pytest.mark.parametrize(
    "wrong",
    [integer(1), sequence(), sequence(encode(Oid("1.2.3"))), sequence(integer(1), tlv(0x31)), b"\x30\x05\x06\x01"],
    ids=["integer", "empty", "no values", "no type", "cut short"],
)
def test_attributes_of_wrong_structure(wrong: bytes) -> None:
    fields = [integer(0), name("CN=device").public_bytes(), spki(KEY.public_key()), tlv(0xA0, wrong)]
    scheme = algorithm(oids.SHA256_WITH_RSA, NULL)
    with pytest.raises(Malformed):
        CertificationRequest.decode(sequence(sequence(*fields), scheme, bit_string(b"signature")))


def test_limit_of_attributes() -> None:
    more = [attribute(Oid(f"1.2.3.{number}"), NULL) for number in range(MAX_ATTRIBUTES)]
    forged(*more).verify(POLICY)
    with pytest.raises(Malformed, match="more than 64 attributes"):
        forged(*more, challenge(SECRET))


def test_rfc_2986_3_self_signature_over_something_else() -> None:
    def change(tree: Node) -> None:
        tree[0][3][0][1][0].content = b"terces"

    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        CertificationRequest.decode(changed(change)).verify(POLICY)


def test_rfc_2986_3_self_signature_by_another_key() -> None:
    der = sign_request(request_info(KEY), peer(label="other").key)
    with pytest.raises(IntegrityFailed, match="signature does not verify"):
        CertificationRequest.decode(der).verify(POLICY)


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
@pytest.mark.parametrize("signature", [b"", b"\x00", bytes(64), bytes(256), b"\xff" * 5000])
def test_self_signature_of_impossible_value(kind: str, signature: bytes) -> None:
    tree = Node.parse(sign_request(request_info(peer(kind).key), peer(kind).key))
    tree[2] = Node.parse(bit_string(signature))
    with pytest.raises(IntegrityFailed):
        CertificationRequest.decode(tree.der()).verify(POLICY)


def test_self_signature_that_is_not_whole_octets() -> None:
    # A signature that ends in a 0 bit can be sent without it; a second encoding would be a second request.
    private = peer("ec:P-256").key
    tree = Node.parse(sign_request(request_info(private), private))
    while tree[2].content[-1] & 1:
        tree = Node.parse(sign_request(request_info(private), private))
    tree[2].content = b"\x01" + tree[2].content[1:]
    with pytest.raises((Malformed, IntegrityFailed)):
        CertificationRequest.decode(tree.der()).verify(POLICY)


def test_sha_1_signed_request_needs_the_legacy_policy() -> None:
    sha_1 = hashes.SHA1()  # noqa: S303
    der = sign_request(request_info(KEY), KEY, scheme=algorithm(oids.SHA1_WITH_RSA, NULL), digest=sha_1)
    request = CertificationRequest.decode(der)
    with pytest.raises(AlgorithmRefused, match="SHA-1 is accepted only under the legacy policy; use SHA-256"):
        request.verify(POLICY)
    request.verify(LEGACY)


@pytest.mark.parametrize("policy", [POLICY, LEGACY], ids=["default", "legacy"])
@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (oids.MD5_WITH_RSA, "MD5"),
        (oids.RSA_ENCRYPTION, "does not name a hash"),
        (oids.EC_PUBLIC_KEY, "does not name a hash"),
        (oids.ECDSA_WITH_SHA256, "with an RSA key"),
        (oids.ED25519, "with an RSA key"),
        (Oid("1.2.3"), "signature algorithm 1.2.3"),
    ],
    ids=lambda value: oids.label(value) if isinstance(value, Oid) else "",
)
def test_signature_algorithms_that_are_refused(scheme: Oid, text: str, policy: AlgorithmPolicy) -> None:
    der = sign_request(request_info(KEY), KEY, scheme=algorithm(scheme, NULL))
    with pytest.raises(AlgorithmRefused, match=text):
        CertificationRequest.decode(der).verify(policy)


@pytest.mark.parametrize("salt", [128, 1000, 1 << 31, 1 << 70, -1])
def test_pss_that_does_not_fit_a_small_key(salt: int) -> None:
    weak = small_rsa_key()
    mask = explicit(1, algorithm(oids.MGF1, algorithm(oids.SHA512)))
    params = sequence(explicit(0, algorithm(oids.SHA512)), mask, explicit(2, integer(salt)))
    der = sign_request(request_info(weak), weak, scheme=algorithm(oids.RSASSA_PSS, params))
    with pytest.raises((AlgorithmRefused, IntegrityFailed)):
        CertificationRequest.decode(der).verify(POLICY)


@pytest.mark.parametrize(
    "key_info",
    [
        sequence(algorithm(oids.RSA_ENCRYPTION, NULL), bit_string(b"junk")),
        sequence(algorithm(oids.ED25519), bit_string(bytes(5))),
        sequence(algorithm(Oid("1.2.840.10046.2.1")), bit_string(integer(5))),
        rsa_spki(0, 3),
        rsa_spki(-5, 65537),
        rsa_spki((1 << 511) + 1, 65537),
        spki(small_rsa_key().public_key()),
    ],
    ids=["RSA junk", "short Ed25519", "DH", "modulus 0", "modulus -5", "RSA-512", "RSA-1024"],
)
def test_keys_that_cannot_be_used(key_info: bytes) -> None:
    request = CertificationRequest.decode(sign_request(request_info(KEY, key_info=key_info), KEY))
    with pytest.raises(AlgorithmRefused):
        request.verify(POLICY)


@pytest.mark.parametrize("key_info", [sequence(), integer(1), sequence(algorithm(oids.ED25519))])
def test_keys_of_wrong_structure(key_info: bytes) -> None:
    der = sign_request(request_info(KEY, key_info=key_info), KEY)
    with pytest.raises(Malformed, match="subjectPKInfo is not valid DER"):
        CertificationRequest.decode(der)


def test_teletex_subject_beyond_ascii_is_refused_in_clear_words() -> None:
    der = sign_request(request_info(KEY, subject=common_name("Gerät".encode("latin-1"), 0x14)), KEY)
    request = CertificationRequest.decode(der)
    request.verify(POLICY)
    with pytest.raises(Malformed, match="commonName in TeletexString beyond ASCII; use UTF8String"):
        _ = request.subject


@pytest.mark.parametrize(
    "subject",
    [
        common_name(b"a@b", 0x13),
        common_name(b"\xff", 0x0C),
        common_name(b"abc", 0x1E),
        common_name(b"\x00abc", 0x03),
        common_name(b"\x01", 0x02),
        sequence(tlv(0x31)),
        sequence(sequence()),
        sequence(tlv(0x31, sequence(encode(Oid("2.5.4.3"))))),
        integer(1),
        tlv(0x04, b"CN=device"),
    ],
    ids=["@ Printable", "UTF8", "BMP", "BIT STRING", "INTEGER", "empty set", "no set", "no value", "no name", "octets"],
)
def test_subjects_that_no_certificate_can_carry(subject: bytes) -> None:
    with pytest.raises(Malformed):
        _ = CertificationRequest.decode(sign_request(request_info(KEY, subject=subject), KEY)).subject


@pytest.mark.parametrize(
    ("octets", "tag", "text"),
    [
        (b"a_b", 0x13, "commonName is a PrintableString, which cannot hold '_'; use UTF8String"),
        (b"*.a@b", 0x13, "commonName is a PrintableString, which cannot hold '*'; use UTF8String"),
        ("\u00fc".encode(), 0x13, "commonName is not valid text of its type PrintableString"),
        (b"\xff", 0x0C, "commonName is not valid text of its type UTF8String"),
        (b"abc", 0x1E, "commonName is not valid text of its type BMPString"),
        (b"a\0b", 0x0C, "commonName holds the control character U+0000"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_named(octets: bytes, tag: int, text: str) -> None:
    request = CertificationRequest.decode(sign_request(request_info(KEY, subject=common_name(octets, tag)), KEY))
    with pytest.raises(Malformed, match=f"^PKCS #10 request: unusable name: {re.escape(text)}$"):
        _ = request.subject


def named(oid: str, text: str, tag: int = 0x0C) -> CertificationRequest:
    """A request whose subject is one attribute with this value, by default a UTF8String, else a BMPString."""
    value = tlv(tag, text.encode("utf-8" if tag == 0x0C else "utf-16-be"))
    subject = sequence(tlv(0x31, sequence(encode(Oid(oid)), value)))
    return CertificationRequest.decode(sign_request(request_info(KEY, subject=subject), KEY))


# cryptography.x509 prints a warning for each of these; a peer must not be able to fill the responder's stderr.
@pytest.mark.parametrize(
    ("oid", "text"),
    [
        ("2.5.4.3", ""),
        ("2.5.4.3", "x" * 65),
        ("2.5.4.6", "USA"),
        ("2.5.4.6", "D"),
        ("1.3.6.1.4.1.311.60.2.1.3", "USA"),
    ],
    ids=["empty CN", "CN of 65", "country of 3", "country of 1", "country of jurisdiction"],
)
def test_rfc_5280_a_1_names_beyond_their_bounds_are_refused_in_words(oid: str, text: str) -> None:
    with pytest.raises(Malformed, match=r"^PKCS #10 request: \w+Name of \d+ characters, not "):
        _ = named(oid, text).subject


@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x0C, "x" * 64), (0x0C, "\u00e9" * 64), (0x1E, "\u00e9" * 64), (0x1E, "\u0141" * 40)],
    ids=["UTF8 in ASCII", "UTF8", "BMP", "BMP in octets that are ASCII"],
)
def test_rfc_5280_a_1_common_name_of_64_characters_is_read_in_silence(tag: int, text: str) -> None:
    assert named("2.5.4.3", text, tag).subject.rfc4514_string() == f"CN={text}"


@pytest.mark.parametrize("version", [3, -1, 1 << 80])
def test_rfc_2986_4_1_another_version(version: int) -> None:
    der = sign_request(request_info(KEY, version=version), KEY)
    with pytest.raises(Malformed):
        _ = CertificationRequest.decode(der).subject


@pytest.mark.parametrize(
    "attributes",
    [
        (extension_request(SAN, SAN),),
        (extension_request(SAN), extension_request(SAN)),
        (extension_request(extension("2.5.29.17", b"junk")),),
        (extension_request(extension("2.5.29.17", sequence(tlv(0xA3, sequence())))),),
        (extension_request(extension("2.5.29.17", sequence(tlv(0x87, b"12345")))),),
        (extension_request(extension("2.5.29.17", sequence(tlv(0xA4, common_name(b"\x00x", 0x03))))),),
        (extension_request(extension("2.5.29.15", NULL)),),
        (extension_request(integer(1)),),
        (attribute(oids.EXTENSION_REQUEST, integer(1)),),
        (attribute(oids.EXTENSION_REQUEST, sequence(), sequence()),),
        (attribute(oids.EXTENSION_REQUEST),),
        (extension_request(SAN), extension_request(USAGE, oid=oids.MS_EXTENSION_REQUEST)),
        (extension_request(SAN), extension_request(SAN, USAGE, oid=oids.MS_EXTENSION_REQUEST)),
        (extension_request(), extension_request(SAN, oid=oids.MS_EXTENSION_REQUEST)),
        (extension_request(USAGE, USAGE),),
    ],
    ids=[
        "extension twice",
        "attribute twice",
        "junk",
        "x400Address",
        "IP of 5 octets",
        "BIT STRING in directoryName",
        "keyUsage NULL",
        "no extension",
        "no extensions",
        "two values",
        "no value",
        "two attributes that differ",
        "two attributes, one with more",
        "two attributes, one empty",
        "keyUsage twice",
    ],
)
def test_extension_requests_that_cannot_be_used(attributes: tuple[bytes, ...]) -> None:
    der = sign_request(request_info(KEY, *attributes), KEY)
    with pytest.raises(Malformed) as caught:
        found = CertificationRequest.decode(der).extensions
        _ = find(found, x509.SubjectAlternativeName), find(found, x509.KeyUsage)
    assert caught.value.text.startswith("PKCS #10 request: ")
    assert caught.value.text.isprintable()


@pytest.mark.parametrize("request_oid", [oids.EXTENSION_REQUEST, oids.MS_EXTENSION_REQUEST], ids=oids.label)
@pytest.mark.parametrize("name_oid", ["2.5.4.6", "1.3.6.1.4.1.311.60.2.1.3"], ids=["country", "jurisdiction"])
def test_long_names_inside_of_extensions_are_read_in_silence(name_oid: str, request_oid: Oid) -> None:
    country = sequence(tlv(0x31, sequence(encode(Oid(name_oid)), tlv(0x13, b"USA"))))
    wanted = extension("2.5.29.17", sequence(tlv(0xA4, country)))
    assert len(forged(extension_request(wanted, oid=request_oid)).extensions) == 1


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x00", b"-----BEGIN CERTIFICATE REQUEST-----", bytes(100)])
def test_what_is_no_request_at_all(data: bytes) -> None:
    with pytest.raises(Malformed, match="PKCS #10 request is not valid DER"):
        CertificationRequest.decode(data)


def test_octets_after_the_request() -> None:
    der = sign_request(request_info(KEY), KEY)
    with pytest.raises(Malformed, match="not valid DER"):
        CertificationRequest.decode(der + b"\x00")


def test_a_request_in_ber_is_refused() -> None:
    # The signature covers the DER, and the octets are what retries are recognised by.
    tree = Node.parse(sign_request(request_info(KEY), KEY))
    parts = b"".join(child.der() for child in tree)
    with pytest.raises(Malformed):
        CertificationRequest.decode(b"\x30\x80" + parts + b"\x00\x00")


def test_a_certificate_is_no_request() -> None:
    with pytest.raises(Malformed):
        CertificationRequest.decode(peer().certificate.der)
