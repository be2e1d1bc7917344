"""`enroll --san, --key-usage, --eku, --sid` (issue 11, section 3): what is asked for, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.profiles import EXTENDED_KEY_USAGES
from pkix.asn1 import Oid, any_of
from pkix.certificates import encode_extension
from pkix.extensions import read_extensions
from pkix.general_names import rendered
from pkix.microsoft_sid import MICROSOFT_SID, requested_sid
from pkix.purposes import PURPOSES
from pkix.usages import KEY_USAGES, possible_usages
from scep_kem.cli.requested import check_usages, extensions_asked, usages_of
from scep_kem.client.pending import Pending
from scep_kem.errors import UsageError
from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import run
from tests.world import name

SID = "S-1-5-21-1-2-3-1104"
GUID = "0410000102030405060708090a0b0c0d0e0f"
OWN = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")


def san(*texts: str) -> list[x509.GeneralName]:
    (extension,) = extensions_asked(texts, frozenset(), (), None)
    assert isinstance(extension.value, x509.SubjectAlternativeName) and not extension.critical
    return list(extension.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dns:*.example", x509.DNSName("*.example")),
        ("DNS:xn--gert-loa.example", x509.DNSName("xn--gert-loa.example")),
        ("IP:2001:db8::1", x509.IPAddress(ip_address("2001:db8::1"))),
        ("email:a@b.example", x509.RFC822Name("a@b.example")),
        ("URI:https://a.example/%C3%BC", x509.UniformResourceIdentifier("https://a.example/%C3%BC")),
        ("upn:jürgen@ad.example", x509.OtherName(Oid("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x12j\xc3\xbcrgen@ad.example")),
        ("dn:cn = device , O=Example", x509.DirectoryName(name("CN=device,O=Example"))),
        ("dirName:/O=Example/CN=device", x509.DirectoryName(name("CN=device,O=Example"))),
        ("rid:1.3.6.1.4.1.32473.1", x509.RegisteredID(OWN)),
        ("registeredID:1.3.6.1.4.1.32473.1", x509.RegisteredID(OWN)),
        ("other:1.3.6.1.4.1.32473.1;UTF8:a;b:ü", x509.OtherName(OWN, b"\x0c\x06a;b:\xc3\xbc")),
        (
            "otherName:1.3.6.1.5.5.7.8.7;ia5:_x.a.example",
            x509.OtherName(Oid("1.3.6.1.5.5.7.8.7"), b"\x16\x0c_x.a.example"),
        ),
        (f"other:1.3.6.1.4.1.311.25.1;DER:{GUID}", x509.OtherName(Oid("1.3.6.1.4.1.311.25.1"), bytes.fromhex(GUID))),
    ],
)
def test_every_kind_of_name_is_written_as_openssl_or_we_call_it(text: str, meant: x509.GeneralName) -> None:
    assert san(text) == [meant]
    assert "unreadable" not in rendered(meant)


FORMS = "the kind of name comes first; write dns:NAME, ip:ADDRESS, email:ADDRESS, uri:URI, upn:USER@DOMAIN, dn:SUBJECT"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("device.example", FORMS),
        ("host:a", FORMS),
        ("dns:", "nothing stands behind the colon"),
        ("dns:ü.example", "a host name has letters of ASCII; write other letters as A-label (xn--...)"),
        ("dns:a*.example", "dNSName is not a host name (RFC 1123): 'a*.example', which has a *"),
        ("ip:300.1.1.1", "'300.1.1.1' is no address; write it like 192.0.2.1 or 2001:db8::1"),
        ("ip:1.2.3", "'1.2.3' is no address"),
        ("ip:192.0.2.0/24", "an address stands without the length of a prefix"),
        ("ip:fe80::1%eth0", "has no zone; leave out % and what follows it"),
        ("email:ü@b.example", "other:1.3.6.1.5.5.7.8.9;UTF8:ADDRESS (RFC 9598)"),
        ("email:a", "rfc822Name is not an e-mail address (RFC 5321): 'a', which has 0 @ in place of one"),
        ("uri:https://a.example/ü", "a URI has letters of ASCII; write others as %XX"),
        ("uri:a.example", "the URI is not one with a scheme (RFC 3986)"),
        ("upn:ann", "the UPN is not user@domain"),
        ("dn:XX=a", "there is no attribute 'XX'; known: CN, "),
        ("dn:C=Germany", "C=Germany: countryName of 7 characters, not 2"),
        ("rid:one", "'one' is no OID; write it like 1.3.6.1.4.1.32473.1"),
        ("other:1.2.3", "write other:OID;TYPE:VALUE, with one of the types UTF8, IA5, DER"),
        ("other:1.2.3;UTF8", "write other:OID;TYPE:VALUE"),
        ("other:1.2.3;UTF8:", "write other:OID;TYPE:VALUE"),
        ("other:1.2.3;BMP:a", "write other:OID;TYPE:VALUE"),
        ("other:x;UTF8:a", "'x' is no OID"),
        ("other:1.2.3;IA5:ü", "an IA5String has letters of ASCII; UTF8 takes others"),
        ("other:1.2.3;DER:zz", "behind DER: there is not one value of DER in hex"),
        ("other:1.2.3;DER:0c0161ff", "behind DER: there is not one value of DER in hex"),
        ("other:1.3.6.1.4.1.311.25.1;DER:040100", "objectGUID does not have 16 octets"),
        ("dns:\udcff", "a text of --san is not UTF-8"),
    ],
    ids=ascii,
)
def test_a_name_that_is_none_is_told_with_its_rule(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as refused:
        san("dns:a.example", text)
    told = str(refused.value)
    assert fault in told and (repr(text) in told or "UTF-8" in told)


@pytest.mark.parametrize(
    "twice",
    [
        ("dns:a.example", "DNS:A.example"),
        ("ip:::1", "ip:0::1"),
        ("dn:CN=a,O=b", "dirname:/O=b/CN=A"),
        ("rid:1.2", "rid:1.2"),
    ],
)
def test_a_name_is_not_asked_for_twice(twice: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=r"--san '.*' is there twice"):
        san(*twice)


def test_the_purposes_are_those_of_their_documents() -> None:
    """The library knows some of them, under the same names but for one of Microsoft's and PKINIT's."""
    assert PURPOSES["clientAuth"] == ExtendedKeyUsageOID.CLIENT_AUTH == Oid("1.3.6.1.5.5.7.3.2")
    known = {word: oid for word, oid in vars(ExtendedKeyUsageOID).items() if isinstance(oid, Oid)}
    ours = {oid: word for word, oid in PURPOSES.items()}
    assert {word: ours[oid] for word, oid in known.items() if oid in ours} == {
        "SERVER_AUTH": "serverAuth",
        "CLIENT_AUTH": "clientAuth",
        "CODE_SIGNING": "codeSigning",
        "EMAIL_PROTECTION": "emailProtection",
        "TIME_STAMPING": "timeStamping",
        "OCSP_SIGNING": "OCSPSigning",
        "SMARTCARD_LOGON": "smartcardLogon",
        "KERBEROS_PKINIT_KDC": "pkinitKDC",
        "IPSEC_IKE": "ipsecIKE",
        "ANY_EXTENDED_KEY_USAGE": "anyExtendedKeyUsage",
    }
    assert len(ours) == len(PURPOSES)
    named = {"clientAuth", "serverAuth", "emailProtection", "codeSigning", "smartcardLogon", "ipsecIKE"}
    assert {name: PURPOSES[name] for name in named} == EXTENDED_KEY_USAGES  # as deploy/CONFIGURATION.md lists them


def test_purposes_and_bits_in_any_case_and_joined_by_commas() -> None:
    usages = usages_of(["DigitalSignature, nonRepudiation", "keyagreement"])
    found = extensions_asked((), usages, ["clientauth,1.2.3.4", "OCSPSigning"], SID)
    usage, purposes, sid = found
    assert isinstance(usage.value, x509.KeyUsage) and usage.critical  # RFC 5280 section 4.2.1.3
    assert usage.value.digital_signature and usage.value.content_commitment and usage.value.key_agreement
    assert not usage.value.key_encipherment
    assert list(purposes.value) == [PURPOSES["clientAuth"], Oid("1.2.3.4"), PURPOSES["OCSPSigning"]]  # type: ignore[call-overload]
    assert sid.oid == MICROSOFT_SID and SID.encode() in sid.value.public_bytes()
    read = read_extensions([any_of(encode_extension(item)) for item in found], "request")
    assert list(read) == found and requested_sid(read, "request") == sid


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            ["--eku", "clientAut"],
            "--eku 'clientAut' is not known (is clientAuth meant?); known: serverAuth, clientAuth, ",
        ),
        (["--eku", "clientAuth,"], "--eku '' is not known"),
        (["--eku", "clientAuth", "--eku", "1.3.6.1.5.5.7.3.2"], "--eku '1.3.6.1.5.5.7.3.2' is there twice"),
        (
            ["--key-usage", "signing"],
            "--key-usage 'signing' is not known; known: digitalSignature, contentCommitment, ",
        ),
        (["--key-usage", "digitalSignature", "--key-usage", "digitalsignature"], "'digitalsignature' is there twice"),
        (["--key-usage", "nonRepudiation,contentCommitment"], "'contentCommitment' is there twice"),
        (
            ["--key-usage", "encipherOnly"],
            "encipherOnly and decipherOnly go with keyAgreement (RFC 5280 section 4.2.1.3)",
        ),
        (
            ["--key-usage", "keyAgreement"],
            "--key-usage keyAgreement: a key of type rsa:2048 can have digitalSignature, ",
        ),
        (
            ["--key-usage", "keyEncipherment", "--key-type", "ec:P-256"],
            "--key-usage keyEncipherment: a key of type ec:P-256",
        ),
        (
            ["--key-usage", "digitalSignature", "--key-type", "ml-kem-768"],
            "a key of type ml-kem-768 can have keyEncipherment",
        ),
        (["--sid", "S-1"], "--sid 'S-1' is not a security identifier; write it like S-1-5-21-1-2-3-1104"),
        (["--sid", "\u0661"], "is not a security identifier"),
    ],
)
def test_what_cannot_be_is_told_before_a_key_is_made(tmp_path: Path, arguments: list[str], fault: str) -> None:
    found = run(
        *("enroll", "--url", "http://127.0.0.1:1/scep", "--key", tmp_path / "key", "--out", tmp_path / "out"),
        *("--ca-fingerprint", "0" * 64, "--subject", "CN=a", *arguments),
    )
    found.refused_in_one_line(2, fault)
    assert list(tmp_path.iterdir()) == []


def test_a_windows_account_is_written_in_any_case() -> None:
    assert extensions_asked((), frozenset(), (), SID.lower()) == extensions_asked((), frozenset(), (), SID)


def test_a_key_that_is_there_counts(make: Callable[..., Device]) -> None:
    found = make("", "ed25519").enroll("--key-usage", "keyEncipherment")
    found.refused_in_one_line(2, "--key-usage keyEncipherment: a key of type ed25519 can have digitalSignature")


@pytest.mark.parametrize("key_type", ["rsa:3072", "ec:P-384", "ed25519", "ml-dsa-44", "ml-kem-512"])
def test_each_key_may_ask_for_all_that_it_can_have(key_type: str) -> None:
    check_usages(possible_usages(key_type), key_type)
    for bit in frozenset(KEY_USAGES) - possible_usages(key_type):
        with pytest.raises(UsageError, match=bit):
            check_usages(frozenset({bit}), key_type)


def test_what_is_asked_for_is_in_the_request_and_names_are_certified(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    device = make()
    asked = ("--san", "upn:ann@ad.example", "--san", "dns:*.example", "--sid", SID)
    device.enroll("--challenge", password(ca_folder), *asked).good()
    found = device.certificate.extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(map(rendered, names)) == ["upn: ann@ad.example", "dns: *.example"]
    assert SID.encode() in found.get_extension_for_oid(MICROSOFT_SID).value.public_bytes()

    waits = make("/manual")
    more = (*asked, "--eku", "serverAuth", "--key-usage", "digitalSignature")
    assert waits.enroll(*more, subject="CN=asks for all").code == 3
    request = Pending.load(waits.folder / "device.pem.pending").request
    assert {item.oid._name for item in request.extensions if item.oid != MICROSOFT_SID} == {
        "subjectAltName",
        "keyUsage",
        "extendedKeyUsage",
    }
    # The same command goes on with it, and another does not take its place.
    assert "an earlier run sent this request" in waits.enroll(*more, subject="CN=asks for all").err
    other = waits.enroll(*asked, "--eku", "clientAuth", "--key-usage", "digitalSignature", subject="CN=asks for all")
    other.refused_in_one_line(2, "holds another request that has no answer yet")
