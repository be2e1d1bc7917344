"""What is encrypted in messages, in words: the request before it is enveloped, the certificates once they are there."""

from __future__ import annotations

import pytest
from cryptography import x509

from ca.requests import WITHHELD
from kem.keys import encode_public_key
from pkix import oids
from pkix.asn1 import Oid, octet_string, wrap
from pkix.certificates import Certificate, encode_extension
from pkix.microsoft_sid import sid_extension
from pkix.names import parse_name
from pkix.pkcs10 import (
    CertificationRequest,
    encode_certification_request,
    encode_statement_request,
    encode_unsigned_request,
)
from pkix.purposes import PURPOSES
from pkix.usages import key_usage
from scep.attributes import RESPONSE_KEY
from scep.client import Issued
from scep.kem_pop import encode_response_key
from scep_kem.trace_contents import describe_issued, describe_request, told_hash
from tests.pkix.forge import attribute, extension, extension_request, request_info, sign_request
from tests.world import Random, World, kem_key, key, name

PASSWORD = "one-time secret"
SECRET = Random("response key")(32)
ASKED = [
    x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName([x509.DNSName("a.example")])),
    x509.Extension(x509.KeyUsage.oid, True, key_usage({"digitalSignature", "keyAgreement"})),
    x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([PURPOSES["serverAuth"], Oid("1.2.3.4")])),
    sid_extension(b"S-1-5-21-1-2-3-4"),
]


def lines_of(der: bytes) -> list[str]:
    lines = describe_request(CertificationRequest.decode(der))
    assert all(line.isprintable() for line in lines)
    text = "\n".join(lines)
    assert PASSWORD not in text and SECRET.hex() not in text
    return lines


def kem_request(**more: object) -> bytes:
    return encode_unsigned_request(encode_public_key(kem_key()[1]), name("CN=kem"), **more)  # type: ignore[arg-type]


def test_a_request_is_told_with_all_that_it_asks_for_and_no_secret() -> None:
    der = encode_certification_request(
        key("ec:P-256"),
        parse_name("CN=device,serialNumber=7"),
        challenge_password=PASSWORD,
        extensions=ASKED,
        attributes=[(RESPONSE_KEY, encode_response_key(bytes(16), SECRET))],
    )
    lines = lines_of(der)
    assert lines[0] == f"request SHA-256 {CertificationRequest.decode(der).hash.hex()}, of its PKCS #10"
    assert lines[1:4] == [
        "    subject           CN=device,serialNumber=7",
        "    key               ec:P-256",
        "    possession        signed by the requested key, ecdsa-with-sha256 (1.2.840.10045.4.3.2)",
    ]
    first, second, third = sorted(line.removeprefix("    attribute         ") for line in lines[4:7])
    assert (first, third) == ("challengePassword: present, never shown", "response key: present, never shown")
    assert second.startswith("extensionRequest: 1 value, ")
    assert lines[7:10] == [
        "    subjectAltName    dns: a.example",
        "    keyUsage          critical: digitalSignature, keyAgreement",
        "    extendedKeyUsage  serverAuth (1.3.6.1.5.5.7.3.1), 1.2.3.4",
    ]
    assert lines[10].startswith("    Microsoft SID     S-1-5-21-1-2-3-4, ")


def test_a_request_for_a_kem_key_is_told_by_what_it_is_worth() -> None:
    assert "    possession        not signed, unsigned (1.3.6.1.5.5.7.6.36)" in lines_of(kem_request())
    world = World()
    signer = world.authority.signer
    stated = encode_statement_request(encode_public_key(kem_key()[1]), name("CN=kem"), signer.key, signer.certificate)
    serial = f"{signer.certificate.serial_number:x}"
    assert any(
        line.startswith(f"    possession        stated by serial number {serial} of CN=CA,O=Example (RFC 9883), ")
        for line in lines_of(stated)
    )


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_no_hash_by_which_a_password_could_be_tested_is_shown(password: str | None) -> None:
    """All else in such a request is public once the trace is, and nothing in it is signed."""
    request = CertificationRequest.decode(kem_request(challenge_password=password))
    shown = request.hash.hex() if password is None else WITHHELD
    assert told_hash(request) == shown
    assert describe_request(request)[0] == f"request SHA-256 {shown}, of its PKCS #10"


def test_what_another_program_put_there_is_named_whatever_it_is() -> None:
    private = key("ec:P-256")
    odd = [
        attribute(Oid("1.3.6.1.4.1.311.13.2.3"), wrap(0x16, b"10.0"), wrap(0x16, b"11.0")),
        attribute(Oid("1.2.3.4")),
        attribute(oids.Oid("1.2.840.113549.1.9.2"), wrap(0x16, b"router")),
        extension_request(
            encode_extension(ASKED[0]).replace(b"a.example", b"\xff.example"),
            extension("2.5.29.15", octet_string(b"no bits")),
            extension("1.2.3.5", b"\x05\x00"),
            oid=oids.MS_EXTENSION_REQUEST,
        ),
    ]
    subject = parse_name("CN=x,C=Germany").public_bytes()
    lines = lines_of(sign_request(request_info(private, *odd, subject=subject), private))
    wrong = "ODD: PKCS #10 request: countryName of 7 characters, not 2 (RFC 5280 appendix A.1)"
    for line in (
        f"    subject           CN=x,C=Germany, {wrong}",
        "    attribute         OSVersion: 2 values, 12 octets",
        "    attribute         1.2.3.4: 0 values, 0 octets",
        "    attribute         unstructuredName: 1 value, 8 octets",
        "    other extensions  1.2.3.5: 0500",
    ):
        assert line in lines, lines
    assert any(line.startswith("    attribute         extensionRequest, Microsoft's: 1 value, ") for line in lines)
    assert any(line.startswith("    other extensions  ODD, cannot be read: 2.5.29.15: ") for line in lines)


def test_extensions_that_are_none_are_marked_and_the_rest_is_told() -> None:
    private = key("ec:P-256")
    lines = lines_of(sign_request(request_info(private, extension_request(b"\x05\x00")), private))
    assert lines[1] == "    subject           CN=device"
    assert lines[-1].startswith("    extensions     ODD: PKCS #10 request: extensionRequest: an extension does not")


def test_what_a_certrep_holds_is_told_with_roles() -> None:
    world = World()
    ca = Certificate.of(world.authority.ca.certificate)
    device = world.device().signer.certificate
    assert describe_issued(Issued(device.der, (ca.der, b"\x30\x00")), [ca])[:2] == [
        "issued         CN=device,O=Example, rsa:2048: self-signed",
        "with it        CN=CA,O=Example, rsa:2048: a CA, known from GetCACert",
    ]
    assert describe_issued(Issued(device.der, (b"\x30\x00",)), [])[1].startswith("with it        ODD: ")
