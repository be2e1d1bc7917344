"""PKCS #10 requests (RFC 2986): those of `openssl req` and `cryptography` are read, ours are read by them."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.keys import certificate_hash, key_type_of
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from tests.pkix import second_opinion
from tests.pkix.forge import (
    NULL,
    algorithm,
    attribute,
    extension,
    extension_request,
    peer,
    request_info,
    sequence,
    sign_request,
    spki,
)
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv
from tests.world import name

POLICY = AlgorithmPolicy()
KEY = peer().key
ALT_NAMES = x509.SubjectAlternativeName([x509.DNSName("device.example")])
ALT_NAMES_EXTENSION = x509.Extension(ALT_NAMES.oid, False, ALT_NAMES)
CLASSIC = ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519"]
every_key = pytest.mark.parametrize("key_type", [*CLASSIC, "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
every_classic_key = pytest.mark.parametrize("key_type", CLASSIC)  # what OpenSSL 3.0 knows
SAN = extension("2.5.29.17", sequence(tlv(0x82, b"device.example")))


def read(der: bytes) -> CertificationRequest:
    """Decode and check the self-signature."""
    found = CertificationRequest.decode(der)
    found.verify(POLICY)
    return found


def challenge(*values: bytes) -> bytes:
    """The attribute challengePassword."""
    return attribute(oids.CHALLENGE_PASSWORD, *values)


def forged(*attributes: bytes) -> bytes:
    """A request with these attributes in this order."""
    return sign_request(request_info(KEY, *attributes), KEY)


@every_key
def test_ours_is_read_by_us(key_type: str) -> None:
    private = peer(key_type).key
    subject = name("CN=device,O=Example,C=DE")
    der = encode_certification_request(
        private, subject, challenge_password="geheim ✓", extensions=[ALT_NAMES_EXTENSION]
    )
    found = read(der)
    assert found.der == der
    assert found.hash == hashlib.sha256(der).digest()
    assert found.subject == subject
    assert found.subject_der == subject.public_bytes()
    assert found.spki == spki(private.public_key())
    assert key_type_of(found.public_key) == key_type
    assert found.challenge_password == "geheim ✓"
    assert list(found.extensions) == [ALT_NAMES_EXTENSION]


@every_classic_key
def test_openssl_verifies_ours(openssl: OpenSsl, key_type: str) -> None:
    der = encode_certification_request(
        peer(key_type).key, name("CN=device"), challenge_password="secret", extensions=[ALT_NAMES_EXTENSION]
    )
    plain = ("req", "-verify", "-noout", "-text", "-inform", "DER")
    text = openssl.run(*plain, "-in", openssl.file(der)).decode()
    assert "CN = device" in text
    assert "challengePassword        :secret" in text
    assert "DNS:device.example" in text


@every_key
@pytest.mark.parametrize("password", [None, "secret"])
def test_pyasn1_reads_ours_as_der(key_type: str, password: str | None) -> None:
    found = second_opinion.certification_request(
        encode_certification_request(peer(key_type).key, name("CN=device"), challenge_password=password)
    )
    info = found["certificationRequestInfo"]
    assert info["version"] == 0
    assert len(info["attributes"]) == (1 if password else 0)


def test_a_request_without_attributes_has_no_password_and_no_extensions() -> None:
    found = read(encode_certification_request(KEY, name("CN=device")))
    assert found.challenge_password is None
    assert list(found.extensions) == []


def test_an_empty_subject() -> None:
    assert not len(read(encode_certification_request(KEY, x509.Name([]))).subject)


@every_key
def test_requests_by_cryptography(key_type: str) -> None:
    private = peer(key_type).key
    builder = x509.CertificateSigningRequestBuilder(name("CN=device,O=Example"))
    builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"secret")
    builder = builder.add_extension(ALT_NAMES, critical=True)
    found = read(builder.sign(private, certificate_hash(private)).public_bytes(Encoding.DER))
    assert found.challenge_password == "secret"
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_requests_by_cryptography_with_pss() -> None:
    assert isinstance(KEY, rsa.RSAPrivateKey)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    request = x509.CertificateSigningRequestBuilder(name("CN=device")).sign(KEY, hashes.SHA256(), rsa_padding=scheme)
    assert read(request.public_bytes(Encoding.DER)).subject == name("CN=device")


CONFIG = """[req]
distinguished_name = dn
attributes = more
req_extensions = extensions
prompt = no
utf8 = yes
string_mask = {mask}
[dn]
C = DE
CN = Gerät 1
[more]
challengePassword = secret
unstructuredName = router
[extensions]
subjectAltName = DNS:device.example
keyUsage = digitalSignature
"""


def by_openssl(openssl: OpenSsl, key_type: str, *options: str, mask: str = "utf8only") -> bytes:
    """A request by `openssl req -new`."""
    config = openssl.file(CONFIG.format(mask=mask).encode())
    plain = ("req", "-new", "-outform", "DER", "-config", config, "-key", openssl.key_file(peer(key_type)))
    return openssl.run(*plain, *options)


@every_classic_key
def test_requests_by_openssl(openssl: OpenSsl, key_type: str) -> None:
    found = read(by_openssl(openssl, key_type))
    assert found.subject == name("CN=Gerät 1,C=DE")
    assert found.challenge_password == "secret"
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == ALT_NAMES


@pytest.mark.parametrize("salt", ["digest", "max", "auto"])
def test_requests_by_openssl_with_pss(openssl: OpenSsl, salt: str) -> None:
    options = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}", "-sha384")
    assert read(by_openssl(openssl, "rsa:2048", *options)).challenge_password == "secret"


@pytest.mark.parametrize("mask", ["utf8only", "default", "nombstr", "pkix"])
def test_requests_by_openssl_with_every_string_mask(openssl: OpenSsl, mask: str) -> None:
    der = by_openssl(openssl, "rsa:2048", "-subj", "/CN=plain", mask=mask)
    assert read(der).subject.rfc4514_string() == "CN=plain"


@pytest.mark.parametrize(
    ("tag", "encoding"),
    [
        (0x0C, "utf-8"),
        (0x13, "ascii"),
        (0x14, "latin-1"),
        (0x16, "ascii"),
        (0x1C, "utf-32-be"),
        (0x1E, "utf-16-be"),
    ],
    ids=["UTF8", "Printable", "Teletex", "IA5", "Universal", "BMP"],
)
@pytest.mark.parametrize("length", [0, 6, 255, 5000])
def test_rfc_2985_5_4_1_password_of_every_string_type_and_length(tag: int, encoding: str, length: int) -> None:
    # Intune's challenge is several kB, whatever ub of 255 RFC 2985 has.
    text = ("secret" if encoding == "ascii" else "sécret")[:1] * length
    assert read(forged(challenge(tlv(tag, text.encode(encoding))))).challenge_password == text


@pytest.mark.parametrize(
    ("tag", "encoding", "text"),
    [
        (0x0C, "utf-8", "密码✓😀"),
        (0x14, "latin-1", "Schlüßel"),
        (0x1C, "utf-32-be", "密码😀"),
        (0x1E, "utf-16-be", "密码😀"),
    ],
)
def test_rfc_2985_5_4_1_password_beyond_ascii(tag: int, encoding: str, text: str) -> None:
    assert read(forged(challenge(tlv(tag, text.encode(encoding))))).challenge_password == text


def test_password_in_long_form_of_64_kib() -> None:
    der = forged(challenge(tlv(0x0C, b"p" * 60_000)), extension_request(SAN))
    assert len(der) > 60_000
    found = read(der)
    assert found.challenge_password == "p" * 60_000
    assert found.subject == name("CN=device")


def test_a_request_of_64_kib_by_its_extensions() -> None:
    names = [tlv(0x82, f"host-{number:05}.example.org".encode()) for number in range(2800)]
    found = read(forged(extension_request(extension("2.5.29.17", sequence(*names)))))
    assert len(found.der) > 64 * 1024
    assert len(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 2800


def test_rfc_2986_4_1_attributes_in_any_order() -> None:
    attributes = [challenge(tlv(0x0C, b"secret")), extension_request(SAN)]
    for order in (attributes, attributes[::-1]):
        found = read(forged(*order))
        assert found.challenge_password == "secret"
        assert found.subject == name("CN=device")
        assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == ALT_NAMES


def test_attributes_of_other_kinds_are_passed_over() -> None:
    # Windows adds its OS version, the requesting client and the key's provider.
    others = [
        attribute(Oid("1.3.6.1.4.1.311.13.2.3"), tlv(0x16, b"10.0.19045.2")),
        attribute(Oid("1.3.6.1.4.1.311.21.20"), sequence(integer(9), tlv(0x0C, b"host"))),
        attribute(Oid("1.2.3"), NULL),
    ]
    found = read(forged(*sorted([*others, challenge(tlv(0x13, b"secret"))])))
    assert found.challenge_password == "secret"
    assert found.subject == name("CN=device")
    assert list(found.extensions) == []


def test_rfc_2986_4_1_attributes_of_other_kinds_have_any_number_of_values() -> None:
    # unstructuredName and unstructuredAddress (RFC 2985 section 5.4.3), which Cisco's devices send, have several.
    names = attribute(Oid("1.2.840.113549.1.9.2"), tlv(0x16, b"router"), tlv(0x16, b"router.example"))
    found = read(forged(*sorted([names, challenge(tlv(0x13, b"secret"))])))
    assert found.challenge_password == "secret"


def test_extension_request_as_windows_names_it() -> None:
    found = read(forged(extension_request(SAN, oid=oids.MS_EXTENSION_REQUEST)))
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == ALT_NAMES


def test_the_same_extensions_under_both_names_are_one_request() -> None:
    both = [extension_request(SAN, oid=oid) for oid in (oids.EXTENSION_REQUEST, oids.MS_EXTENSION_REQUEST)]
    for attributes in (both, both[::-1]):
        found = read(forged(*attributes))
        assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == ALT_NAMES


def test_absent_attributes_are_like_none() -> None:
    # Not what RFC 2986 says, but OpenSSL reads it and old devices send it.
    info = request_info(KEY)
    del info[3]
    found = read(sign_request(info, KEY))
    assert found.challenge_password is None
    assert found.subject == name("CN=device")
    assert list(found.extensions) == []


@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x0C, b"Ger\xc3\xa4t"), (0x13, b"device"), (0x14, b"device"), (0x1E, b"\x00d\x00e")],
    ids=["UTF8", "Printable", "Teletex in ASCII", "BMP"],
)
def test_subject_of_every_directory_string_keeps_its_octets(tag: int, text: bytes) -> None:
    subject = sequence(tlv(0x31, sequence(encode(Oid("2.5.4.3")), tlv(tag, text))))
    found = read(sign_request(request_info(KEY, subject=subject), KEY))
    assert found.subject_der == subject
    assert found.subject.public_bytes() == subject


def test_several_values_in_one_relative_name() -> None:
    subject = name("CN=device+OU=1,O=Example").public_bytes()
    assert read(sign_request(request_info(KEY, subject=subject), KEY)).subject.public_bytes() == subject


def test_rsa_signature_parameters_absent_are_tolerated() -> None:
    read(sign_request(request_info(KEY), KEY, scheme=algorithm(oids.SHA256_WITH_RSA)))


def test_the_octets_are_kept_for_the_signature() -> None:
    der = forged(challenge(tlv(0x0C, b"secret")))
    found = read(der)
    assert found.signed_der == Node.parse(der)[0].der()
    assert encode(found.signature_algorithm) == Node.parse(der)[1].der()


def test_repr_shows_no_password() -> None:
    found = read(forged(challenge(tlv(0x0C, b"secret"))))
    assert repr(found) == f"CertificationRequest(sha256={found.hash.hex()[:16]}…)"
