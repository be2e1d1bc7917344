"""What `scep-kem renew` asks for: what the certificate has, and not what only a CA decides."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca.profiles import extension
from pkix.asn1 import OCTET_STRING_TAG, wrap
from pkix.certificates import Certificate, extensions_of
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.usages import key_usage, usage_names
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.client.client import ScepClient
from scep_kem.client.options import Options
from scep_kem.client.pending import Pending
from scep_kem.client.wanted import Renewing, Wanted, as_before, names_alone
from scep_kem.clock import utc_now
from scep_kem.config import load
from tests.scep import craft
from tests.scep_kem.devices import password
from tests.scep_kem.kit import Result, run, serving
from tests.world import key, name

CHOOSING = """\
[ca]
dir = "."
[profiles.default]
copy_extensions = ["subjectAltName", "microsoftSid", "keyUsage", "extendedKeyUsage"]
extended_key_usage = ["clientAuth", "serverAuth", "smartcardLogon"]
san_types = ["dns", "email", "ip", "uri", "upn", "dn"]
allow_empty_subject = true
[profiles.default.authorisation]
challenge_password = true
renewal = true
[profiles.manual]
allow_empty_subject = true
[profiles.manual.authorisation]
manual = true
"""
UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05a@b.c")
NAMES = extension(
    x509.SubjectAlternativeName(
        [
            x509.DNSName("a.example"),
            x509.RFC822Name("a@example.com"),
            x509.UniformResourceIdentifier("urn:x:a"),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
            x509.DirectoryName(name("CN=a")),
            UPN,
        ]
    )
)
PURPOSES = extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON]))
SID = craft.microsoft_sid("S-1-5-21-1-2-3-1104")


def usage(*bits: str) -> x509.Extension[x509.ExtensionType]:
    return extension(key_usage(bits), critical=True)


@pytest.fixture
def url(own: CaDir) -> Iterator[str]:
    own.config_path.write_text(CHOOSING)
    with serving(replace(load(own.config_path), port=0)) as port:
        yield f"http://127.0.0.1:{port}/scep"


def enrolled(url: str, folder: Path, secret: str, key_type: str = "rsa:2048") -> Certificate:
    """A certificate with everything in device.pem."""
    files.write_key(folder / "device.key", key(key_type, "live device"))
    asked = [NAMES, PURPOSES, SID, usage("digitalSignature")]
    client = ScepClient(Options(url=url))
    issued = client.enrol(Wanted(key(key_type, "live device"), name("CN=win"), asked, secret)).start()
    found = Certificate.load(issued.certificate)  # type: ignore[union-attr]
    files.write(folder / "device.pem", files.pem(found))
    return found


def renew(url: str, folder: Path, *more: str | Path) -> Result:
    paths = ("--key", folder / "device.key", "--cert", folder / "device.pem", "--out", folder / "new.pem")
    return run("renew", "--url", url, *paths, *more)


def asked_for(certificate: Certificate) -> dict[x509.ObjectIdentifier, x509.ExtensionType]:
    kinds = (NAMES.oid, PURPOSES.oid, SID.oid, ExtensionOID.KEY_USAGE)
    return {item.oid: item.value for item in extensions_of(certificate) if item.oid in kinds}


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256"])
def test_a_renewal_has_what_the_certificate_had(url: str, own: CaDir, tmp_path: Path, key_type: str) -> None:
    old = enrolled(url, tmp_path, password(own.path), key_type)
    renew(url, tmp_path).good()
    new = files.read_certificate(tmp_path / "new.pem")
    assert len(asked_for(old)) == 4 and asked_for(new) == asked_for(old)
    assert new.serial_number != old.serial_number


def test_names_only(url: str, own: CaDir, tmp_path: Path) -> None:
    enrolled(url, tmp_path, password(own.path))
    renew(url, tmp_path, "--names-only").good()
    found = asked_for(files.read_certificate(tmp_path / "new.pem"))
    assert found[NAMES.oid] == NAMES.value and SID.oid not in found


@pytest.mark.parametrize("more", [[], ["--names-only"]])
def test_a_kept_renewal_is_gone_on_with_only_by_the_same(url: str, own: CaDir, tmp_path: Path, more: list[str]) -> None:
    old = enrolled(url, tmp_path, password(own.path))
    nobody = "http://127.0.0.1:1/scep"
    exchange = ScepClient(Options(url=url)).enrol(
        Wanted(key("rsa:2048", "live device"), old.subject_name, as_before(old, "rsa:2048")),
        renewing_of(tmp_path),
    )
    exchange.enrolment.start(now=utc_now())
    kept = tmp_path / "new.pem.pending"
    files.write(kept, replace(exchange.pending(), url=nobody).dump(), secret=True)
    found = renew(nobody, tmp_path, *more)
    if more:
        assert found.code == 2 and "holds another request" in found.err
    else:
        assert found.code == 1 and "going on with it" in found.err
    request = Pending.load(kept).request
    assert {item.oid for item in request.extensions} == {NAMES.oid, PURPOSES.oid, SID.oid, ExtensionOID.KEY_USAGE}


def test_a_renewal_that_an_earlier_version_left_is_gone_on_with(url: str, own: CaDir, tmp_path: Path) -> None:
    """It asked for the names alone, and kept no certificates of the CA."""
    old = enrolled(url, tmp_path, password(own.path))
    nobody = "http://127.0.0.1:1/scep"
    extensions = names_alone(as_before(old, "rsa:2048"))
    exchange = ScepClient(Options(url=url)).enrol(
        Wanted(key("rsa:2048", "live device"), old.subject_name, extensions), renewing_of(tmp_path)
    )
    exchange.enrolment.start(now=utc_now())
    left = replace(exchange.pending(), url=nobody)
    for version, told in ((None, "going on with it"), (left.ca_certificates, "holds another request")):
        kept = replace(left, ca_certificates=version)
        files.write(tmp_path / "new.pem.pending", kept.dump(), secret=True)
        assert told in renew(nobody, tmp_path).err


def test_names_that_stand_for_a_subject_are_critical(url: str, own: CaDir, tmp_path: Path) -> None:
    """RFC 5280 section 4.1.2.6. The certificate that the first request is signed with has a name (section 4.1.2.4)."""
    paths = ("--key", tmp_path / "device.key", "--out", tmp_path / "device.pem")
    more = ("--subject", "/", "--san", "dns:a.example", *paths)
    assert run("enroll", "--url", f"{url}/manual", *more).code == 3
    waits = Pending.load(tmp_path / "device.pem.pending")
    assert list(waits.request.extensions) == [x509.Extension(NAMES.oid, True, names_of("a.example"))]
    assert waits.certificate.subject_name == name("CN=SCEP client")
    (tmp_path / "device.pem.pending").unlink()
    run("enroll", "--url", url, *more, "--challenge", password(own.path)).good()
    old = files.read_certificate(tmp_path / "device.pem")
    renew(url, tmp_path).good()
    new = files.read_certificate(tmp_path / "new.pem")
    for found in (old, new):
        (names,) = (item for item in extensions_of(found) if item.oid == NAMES.oid)
        assert not list(found.subject_name) and names.critical and names.value == names_of("a.example")


def names_of(host: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(host)])


def renewing_of(folder: Path) -> Renewing:
    paths = folder / "device.key", folder / "device.pem"
    return Renewing(files.read_key(paths[0]), files.read_certificate(paths[1]), *paths)


# as_before


def made(*extensions: x509.Extension[x509.ExtensionType]) -> Certificate:
    private = key("ec:P-256", "issuer")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("CN=a"))
        .issuer_name(name("CN=CA"))
        .public_key(private.public_key())
        .serial_number(5)
        .not_valid_before(utc_now())
        .not_valid_after(utc_now() + timedelta(days=1))
    )
    for item in extensions:
        builder = builder.add_extension(item.value, item.critical)
    return Certificate.of(builder.sign(private, hashes.SHA256()))


@pytest.mark.parametrize(
    ("had", "key_type", "expected"),
    [
        ({"digitalSignature", "keyEncipherment"}, "rsa:2048", {"digitalSignature", "keyEncipherment"}),
        ({"digitalSignature", "keyEncipherment"}, "ec:P-256", {"digitalSignature"}),
        ({"digitalSignature", "keyAgreement", "encipherOnly"}, "ec:P-256", None),
        ({"digitalSignature", "keyEncipherment"}, "ml-kem-768", {"keyEncipherment"}),
        ({"digitalSignature", "keyCertSign", "cRLSign"}, "rsa:2048", {"digitalSignature"}),
        ({"keyEncipherment"}, "ed25519", set()),
    ],
)
def test_usages_are_those_that_the_new_key_can_have(had: set[str], key_type: str, expected: set[str] | None) -> None:
    found = usage_names(x509.Extensions(as_before(made(usage(*had)), key_type)))
    assert (found or set()) == (had if expected is None else expected)


def test_what_a_ca_decides_is_not_asked_for() -> None:
    uri = x509.UniformResourceIdentifier("http://ca.example/")
    authority = x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, uri)
    old = made(
        NAMES,
        extension(x509.BasicConstraints(False, None), critical=True),
        extension(x509.SubjectKeyIdentifier(b"x")),
        extension(x509.AuthorityKeyIdentifier(b"x", None, None)),
        extension(x509.CRLDistributionPoints([x509.DistributionPoint([uri], None, None, None)])),
        extension(x509.AuthorityInformationAccess([authority])),
        extension(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])),
    )
    assert list(as_before(old, "rsa:2048")) == [NAMES]


def test_what_is_asked_for_can_be_read_from_the_request() -> None:
    asked = as_before(made(NAMES, PURPOSES, SID, usage("digitalSignature")), "ec:P-256")
    der = encode_certification_request(key("ec:P-256"), name("CN=a"), extensions=asked)
    assert list(CertificationRequest.decode(der).extensions) == list(asked)


@pytest.mark.parametrize("oid", [ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.KEY_USAGE, NAMES.oid])
def test_what_cannot_be_read_is_told_before_anything_is_sent(tmp_path: Path, oid: x509.ObjectIdentifier) -> None:
    """The successor would lack it, and nobody would know."""
    broken = x509.UnrecognizedExtension(oid, wrap(OCTET_STRING_TAG, b"x"))
    files.write(tmp_path / "device.pem", files.pem(made(x509.Extension(oid, False, broken))))
    files.write_key(tmp_path / "device.key", key("ec:P-256", "issuer"))
    pinned = ("--ca-fingerprint", "0" * 64)
    renew("http://127.0.0.1:1/scep", tmp_path, *pinned).refused_in_one_line(2, "device.pem", "cannot be read")
