"""Extensions as deployed software writes them: issue 10, section 3, a DEFAULT written out, an unreadable item."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtensionOID

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode, octet_string
from pkix.certificates import Certificate, extensions_of, load_certificate
from pkix.errors import Malformed
from pkix.extensions import MAX_EXTENSIONS, Unreadable, find
from pkix.pkcs10 import CertificationRequest
from pkix.usages import is_ca, may, usage_names
from tests.pkix.forge import NULL, algorithm, bit_string, extension_request, peer, request_info, sequence, sign_request
from tests.pkix.forge import spki as spki_of
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import explicit, integer, tlv
from tests.world import name

KEY = peer().key
BASIC, USAGE, SAN, CONSTRAINTS = "2.5.29.19", "2.5.29.15", "2.5.29.17", "2.5.29.30"
FALSE, TRUE, ONE = tlv(0x01, b"\x00"), tlv(0x01, b"\xff"), tlv(0x01, b"\x01")
ALT_NAME = sequence(tlv(0x82, b"device.example"))
SIGN = tlv(0x03, b"\x07\x80")
HOST = x509.SubjectAlternativeName([x509.DNSName("device.example")])


def written(oid: str, value: bytes, critical: bytes = b"") -> bytes:
    """DER or BER of an Extension."""
    return sequence(encode(Oid(oid)), critical, octet_string(value))


def request(*extensions: bytes, version: int = 0) -> CertificationRequest:
    der = sign_request(request_info(KEY, extension_request(*extensions), version=version), KEY)
    found = CertificationRequest.decode(der)
    found.verify(AlgorithmPolicy())
    return found


def certificate(*extensions: bytes, version: bytes = explicit(0, integer(2))) -> bytes:
    """A self-signed certificate with these extensions."""
    assert isinstance(KEY, rsa.RSAPrivateKey)
    subject, scheme = name("CN=CA").public_bytes(), algorithm(oids.SHA256_WITH_RSA, NULL)
    times = sequence(tlv(0x17, b"260101000000Z"), tlv(0x17, b"360101000000Z"))
    listed = explicit(3, sequence(*extensions)) if extensions else b""
    fields = (version, integer(5), scheme, subject, times, subject, spki_of(KEY.public_key()), listed)
    tbs = sequence(*fields)
    return sequence(tbs, scheme, bit_string(KEY.sign(tbs, padding.PKCS1v15(), hashes.SHA256())))


@pytest.mark.parametrize(
    ("octets", "critical"),
    [(b"", False), (FALSE, False), (TRUE, True), (ONE, True)],
    ids=["absent", "FALSE", "TRUE", "TRUE as 01"],
)
def test_critical_may_be_written_out(openssl: OpenSsl, octets: bytes, critical: bool) -> None:
    found = request(written(SAN, ALT_NAME, octets), written(USAGE, SIGN, octets))
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName) == x509.Extension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, critical, HOST
    )
    assert usage_names(found.extensions) == {"digitalSignature"}
    openssl.run("req", "-inform", "DER", "-noout", "-verify", "-in", openssl.file(found.der))


@pytest.mark.parametrize(
    ("oid", "value", "meant"),
    [
        (BASIC, sequence(FALSE), x509.BasicConstraints(ca=False, path_length=None)),
        (BASIC, sequence(ONE), x509.BasicConstraints(ca=True, path_length=None)),
        (BASIC, sequence(ONE, integer(3)), x509.BasicConstraints(ca=True, path_length=3)),
        (
            CONSTRAINTS,
            sequence(tlv(0xA0, sequence(tlv(0x82, b"example"), tlv(0x80, b"\x00")))),
            x509.NameConstraints([x509.DNSName("example")], None),
        ),
        (
            CONSTRAINTS,
            sequence(tlv(0xA1, sequence(tlv(0x82, b"a"), tlv(0x80, b"\x00")), sequence(tlv(0x82, b"b")))),
            x509.NameConstraints(None, [x509.DNSName("a"), x509.DNSName("b")]),
        ),
    ],
    ids=["cA FALSE", "cA TRUE as 01", "pathLen", "permitted minimum 0", "excluded minimum 0"],
)
def test_a_default_inside_may_be_written_out(oid: str, value: bytes, meant: x509.ExtensionType) -> None:
    assert find(request(written(oid, value)).extensions, type(meant)) == meant
    assert find(Certificate.decode(certificate(written(oid, value))).extensions, type(meant)) == meant


@pytest.mark.parametrize("version", [0, 1, 2])
def test_versions_of_pkcs10_that_are_in_use(openssl: OpenSsl, version: int) -> None:
    """Apple sent 1, Cisco Meraki sends 2 (RFC 2986 section 4.1 has 0 alone)."""
    found = request(written(SAN, ALT_NAME), version=version)
    assert (found.subject.rfc4514_string(), find(found.extensions, x509.SubjectAlternativeName)) == ("CN=device", HOST)
    openssl.run("req", "-inform", "DER", "-noout", "-verify", "-in", openssl.file(found.der))


@pytest.mark.parametrize("junk", [b"", b"junk", NULL, sequence(integer(1)), b"\x30\x03\x82"], ids=bytes.hex)
def test_an_unreadable_extension_costs_only_itself(junk: bytes) -> None:
    found = request(written(BASIC, junk), written(SAN, ALT_NAME), written("2.5.29.35", junk, TRUE)).extensions
    assert find(found, x509.SubjectAlternativeName) == HOST
    assert isinstance(found.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS).value, Unreadable)
    with pytest.raises(Malformed, match=r"the extension basicConstraints \(2\.5\.29\.19\) cannot be read"):
        find(found, x509.BasicConstraints)
    assert find(found, x509.KeyUsage) is None


@pytest.mark.parametrize("oid", [SAN, BASIC, "1.2.3.4"])
def test_an_extension_that_is_there_twice_is_refused_whatever_it_is(oid: str) -> None:
    for critical in (b"", FALSE):
        with pytest.raises(Malformed, match=f"extensionRequest: the extension {oid} is there twice"):
            _ = request(written(oid, b"junk", critical), written(oid, b"other")).extensions


@pytest.mark.parametrize(
    "wrong",
    [
        integer(1),
        sequence(),
        sequence(encode(Oid(SAN))),
        sequence(encode(Oid(SAN)), tlv(0x01, b""), octet_string(ALT_NAME)),
        sequence(encode(Oid(SAN)), tlv(0x01, b"\x00\x00"), octet_string(ALT_NAME)),
        sequence(encode(Oid(SAN)), integer(0), octet_string(ALT_NAME)),
        sequence(encode(Oid(SAN)), octet_string(ALT_NAME), FALSE),
        sequence(encode(Oid(SAN)), FALSE, FALSE, octet_string(ALT_NAME)),
    ],
    ids=["integer", "empty", "no value", "BOOLEAN of 0", "BOOLEAN of 2", "no BOOLEAN", "other order", "two BOOLEANs"],
)
def test_what_is_no_extension_is_refused(wrong: bytes) -> None:
    with pytest.raises(Malformed, match="PKCS #10 request: extensionRequest: "):
        _ = request(wrong, written(USAGE, SIGN)).extensions


def test_their_number_is_bounded() -> None:
    many = [written(f"1.2.3.{number}", NULL) for number in range(MAX_EXTENSIONS)]
    assert len(request(*many).extensions) == MAX_EXTENSIONS
    with pytest.raises(Malformed, match="more than 64 extensions"):
        _ = request(*many, written(SAN, ALT_NAME)).extensions


def test_a_certificate_with_a_default_written_out_is_read_over_its_own_octets() -> None:
    der = certificate(written(BASIC, sequence(FALSE)), written(USAGE, SIGN))
    found = load_certificate(der)
    assert not is_ca(found)
    assert may(found, "digitalSignature")
    assert not may(found, "keyEncipherment")
    found.verify_directly_issued_by(found)
    assert Certificate.of(found).der == der
    assert is_ca(load_certificate(certificate(written(BASIC, sequence(ONE), TRUE))))


@pytest.mark.parametrize("oid", [BASIC, USAGE, "2.5.29.37"])
def test_what_a_certificate_is_good_for_must_be_readable(oid: str) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        load_certificate(certificate(written(oid, b"junk")))


def test_other_extensions_of_a_certificate_need_not_be_readable() -> None:
    found = load_certificate(certificate(written("2.5.29.31", b"junk"), written(BASIC, sequence(TRUE), TRUE)))
    assert is_ca(found)
    assert len(extensions_of(found)) == 2


@pytest.mark.parametrize("octets", [b"", FALSE], ids=["absent", "FALSE"])
def test_a_signer_s_key_identifier_with_critical_written_out(octets: bytes) -> None:
    found = Certificate.decode(certificate(written("2.5.29.14", octet_string(b"identifier"), octets)))
    assert found.subject_key_identifier == b"identifier"
    assert found.is_identified_by(b"identifier")


def test_an_unreadable_key_identifier_is_nobody_s() -> None:
    assert not Certificate.decode(certificate(written("2.5.29.14", b"junk"))).is_identified_by(b"identifier")


def test_version_1_of_a_certificate_may_be_written_out() -> None:
    assert Certificate.decode(certificate(version=explicit(0, integer(0)))).serial_number == 5


def test_pss_salt_length_and_trailer_field_may_be_written_out() -> None:
    digest = algorithm(oids.SHA256, NULL)
    mask = explicit(1, algorithm(oids.MGF1, digest))
    full = sequence(explicit(0, digest), mask, explicit(2, integer(20)), explicit(3, integer(1)))
    scheme, salted = algorithm(oids.RSASSA_PSS, full), padding.PSS(padding.MGF1(hashes.SHA256()), 20)
    der = sign_request(request_info(KEY), KEY, scheme=scheme, rsa_padding=salted)
    CertificationRequest.decode(der).verify(AlgorithmPolicy())
