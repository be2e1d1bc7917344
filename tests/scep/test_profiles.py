"""What a profile lets into a certificate: `ca.profiles` and `ca.authority` seen from an enrolment."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from ca.authority import Authority, KeyPair, create_authority
from ca.credentials import add_password, new_password
from ca.errors import NamesRefused
from ca.granted import in_bounds
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile, check_request
from ca.requests import CertificateRequest
from ca.sealing import ServerKey, Unsealable
from pkix.algorithms import AES128_GCM
from pkix.asn1 import encode, wrap
from pkix.crmf import CertReqMsg, encode_signed_message
from pkix.errors import Malformed
from pkix.microsoft_sid import MICROSOFT_SID
from pkix.oids import Oid
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.usages import key_usage
from scep.attributes import FailInfo
from scep.client import ClientSettings, Issued, Refused
from tests.scep import craft
from tests.world import NOW, Random, World, key, name


def ask(profile: Profile, key_type: str = "rsa:2048", **more: Any) -> Issued | Refused:
    """One enrolment under a profile."""
    world = World(profile=profile)
    answer = world.device(key_type, password=world.password(), **more).enrol()
    assert isinstance(answer, Issued | Refused)
    return answer


def issued(profile: Profile, key_type: str = "rsa:2048", **more: Any) -> x509.Certificate:
    answer = ask(profile, key_type, **more)
    assert isinstance(answer, Issued), answer
    return x509.load_der_x509_certificate(answer.certificate)


def refusal(profile: Profile, key_type: str = "rsa:2048", **more: Any) -> str:
    answer = ask(profile, key_type, **more)
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text is not None
    return answer.text


def extension(value: x509.ExtensionType, *, critical: bool = False) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)


def names(*values: x509.GeneralName) -> list[x509.Extension[x509.ExtensionType]]:
    return [extension(x509.SubjectAlternativeName(values))]


# Keys


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_a_profile_names_the_key_types_it_issues_for(kind: str) -> None:
    others = tuple(item for item in ("rsa", "ec:P-256", "ed25519") if not kind.startswith(item))
    expected = f"a key of type {kind.removesuffix(':2048')}; profile default issues for {', '.join(others)}"
    assert refusal(Profile(key_types=others), kind) == expected


@pytest.mark.parametrize(("least", "most"), [(3072, 4096), (1024, 2047)])
def test_a_profile_names_the_sizes_of_rsa_keys(least: int, most: int) -> None:
    expected = f"an RSA key of 2048 bits; profile default issues for {least} to {most}"
    assert refusal(Profile(min_rsa_bits=least, max_rsa_bits=most)) == expected


# Subject


def test_a_required_attribute_of_the_subject_is_asked_for() -> None:
    assert refusal(Profile(required_subject=("CN", "OU"))) == "the subject has no OU"
    issued(Profile(required_subject=("CN", "O")))


def test_an_attribute_of_the_subject_that_is_not_allowed_is_named() -> None:
    assert refusal(Profile(allowed_subject=("CN",))) == (
        "the subject attribute O is not allowed; this profile allows CN"
    )
    issued(Profile(allowed_subject=("CN", "O")))


@pytest.mark.parametrize("pattern", ["device", "dev.*", "device|other"])
def test_a_subject_that_has_the_form_is_issued(pattern: str) -> None:
    issued(Profile(subject_patterns={"CN": pattern}))


@pytest.mark.parametrize("pattern", ["evice", "devic", "Device", "device\\d"])
def test_a_subject_must_have_the_form_as_a_whole(pattern: str) -> None:
    assert refusal(Profile(subject_patterns={"CN": pattern})) == (
        "the subject's CN does not have the form this profile asks for"
    )


def test_every_value_of_an_attribute_must_have_the_form() -> None:
    profile = Profile(subject_patterns={"CN": "device"})
    assert "form" in refusal(profile, subject="CN=device,CN=admin")


def test_a_line_end_passes_no_pattern() -> None:
    assert "commonName holds the control character U+000A" in refusal(
        Profile(subject_patterns={"CN": "device$|device"}), subject="CN=device\n"
    )


def test_an_empty_subject_is_allowed_by_a_profile_and_makes_the_names_critical() -> None:
    world = World(profile=Profile(allow_empty_subject=True))
    device = world.device()
    request = encode_certification_request(
        device.key, x509.Name([]), challenge_password=world.password(), extensions=names(x509.DNSName("host.example"))
    )
    assert craft.see(world, craft.request(device, content=request)).status == "0"
    (record,) = world.store.certificates()
    certificate = x509.load_der_x509_certificate(record.der)
    assert not list(certificate.subject)
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_certificate_without_subject_and_names_is_refused() -> None:
    """RFC 5280 section 4.1.2.6: a subject may be empty only if there is a critical subjectAltName."""
    world = World(profile=Profile(allow_empty_subject=True))
    device = world.device()
    request = encode_certification_request(device.key, x509.Name([]), challenge_password=world.password())
    craft.failed(world, craft.request(device, content=request), craft.BAD_REQUEST, "subject")


# subjectAltName

UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), wrap(0x0C, b"u@example.com"))
GENERAL_NAMES: dict[str, x509.GeneralName] = {
    "dns": x509.DNSName("host.example"),
    "email": x509.RFC822Name("u@example.com"),
    "ip": x509.IPAddress(ip_address("192.0.2.1")),
    "uri": x509.UniformResourceIdentifier("https://example.com/"),
    "upn": UPN,
    "dn": x509.DirectoryName(name("CN=x")),
}


LABELS = {"dn": "dn (directoryName)"}


@pytest.mark.parametrize("kind", GENERAL_NAMES)
def test_a_profile_names_the_types_of_subject_alt_names(kind: str) -> None:
    wanted = names(GENERAL_NAMES[kind])
    certificate = issued(Profile(san_types=(kind,)), extensions=wanted)
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName) == wanted[0]
    others = tuple(item for item in GENERAL_NAMES if item != kind)
    assert refusal(Profile(san_types=others), extensions=wanted) == (
        f"a subjectAltName of type {LABELS.get(kind, kind)} is not allowed; this profile allows {', '.join(others)}"
    )


def test_a_name_of_a_type_nobody_knows_is_not_allowed() -> None:
    odd = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    assert "type otherName 1.2.3 is not allowed; this profile allows dns, email" in refusal(
        Profile(), extensions=names(odd)
    )


HARDWARE = x509.OtherName(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), wrap(0x30, encode(Oid("1.2.3")) + wrap(0x04, b"\x07"))
)


def test_10_1_other_names_can_be_allowed_and_the_refusal_names_the_type() -> None:
    text = "a subjectAltName of type otherName 1.3.6.1.5.5.7.8.4 (hardwareModuleName) is not allowed"
    allowed = Profile(san_types=("dns", "email"))
    assert refusal(allowed, extensions=names(HARDWARE)) == f"{text}; this profile allows dns, email"
    issued(Profile(san_types=("hardwareModuleName",)), extensions=names(HARDWARE))
    patterns = {"hardwareModuleName": r"1\.2\.3:0[0-6]"}
    assert "form" in refusal(
        Profile(san_types=("hardwareModuleName",), san_patterns=patterns), extensions=names(HARDWARE)
    )
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), wrap(0x0C, b"device"))
    good = {"otherName:1.2.3.4": "device"}
    issued(Profile(san_types=("otherName:1.2.3.4",), san_patterns=good), extensions=names(other))
    assert "otherName 1.2.3.4 is not allowed" in refusal(
        Profile(san_types=("otherName:1.2.3.5",)), extensions=names(other)
    )


@pytest.mark.parametrize("written", ["admin.example", "ADMIN.example"])
def test_10_1_a_pattern_for_host_names_is_not_passed_by_upper_case(written: str) -> None:
    profile = Profile(san_patterns={"dns": r"(?!admin\.)[a-z]+\.example"})
    assert "form" in refusal(profile, extensions=names(x509.DNSName(written)))
    issued(profile, extensions=names(x509.DNSName("HOST.example")))


def upn(text: str) -> x509.OtherName:
    return x509.OtherName(UPN.type_id, wrap(0x0C, text.encode()))


def mailbox(text: str) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), wrap(0x0C, text.encode()))


EVIL = r"(?!.*[@/]evil\.example).*"
MAILBOX = "otherName:1.3.6.1.5.5.7.8.9"


@pytest.mark.parametrize(
    ("kind", "pattern", "refused", "passed"),
    [
        ("dns", r"GOOD\.example", x509.DNSName("evil.example"), x509.DNSName("good.example")),
        ("email", EVIL, x509.RFC822Name("a@EVIL.example"), x509.RFC822Name("a@GOOD.example")),
        ("email", r"a@good\.example", x509.RFC822Name("A@good.example"), x509.RFC822Name("a@Good.EXAMPLE")),
        (
            "uri",
            EVIL,
            x509.UniformResourceIdentifier("https://Evil.Example:1/"),
            x509.UniformResourceIdentifier("https://GOOD.example/x"),
        ),
        (
            "uri",
            r"(?!https:).*",
            x509.UniformResourceIdentifier("HTTPS://evil.example/"),
            x509.UniformResourceIdentifier("HTTP://evil.example/"),
        ),
        (
            "uri",
            r"https://good\.example/a",
            x509.UniformResourceIdentifier("https://good.example/A"),
            x509.UniformResourceIdentifier("Https://GOOD.example/a"),
        ),
        ("upn", EVIL, upn("a@EVIL.example"), upn("a@GOOD.example")),
        ("upn", r"a@GOOD\.example", upn("b@good.example"), upn("A@good.example")),
        (MAILBOX, EVIL, mailbox("ä@EVIL.example"), mailbox("ä@GOOD.example")),
        (MAILBOX, r"ä@good\.example", mailbox("Ä@good.example"), mailbox("ä@GOOD.example")),
    ],
)
def test_10_1_a_pattern_is_not_passed_by_upper_case_in_a_host(
    kind: str, pattern: str, refused: x509.GeneralName, passed: x509.GeneralName
) -> None:
    """Nor in a scheme, nor in a name of Windows, where case makes no difference. Elsewhere it counts. What is issued
    stands as it was asked for.
    """
    profile = Profile(san_types=(kind,), san_patterns={kind: pattern})
    assert "does not have the form" in refusal(profile, extensions=names(refused))
    made = issued(profile, extensions=names(passed))
    assert list(made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [passed]


@pytest.mark.parametrize("word", ["unstructuredName", "UNSTRUCTUREDNAME", "1.2.840.113549.1.9.2"])
def test_10_1_cisco_s_unstructured_name_can_be_allowed(word: str) -> None:
    subject = "CN=device,1.2.840.113549.1.9.2=router"
    issued(Profile(allowed_subject=("CN", word), required_subject=(word,)), subject=subject)
    assert "the subject attribute unstructuredName is not allowed; this profile allows CN" in refusal(
        Profile(allowed_subject=("CN",)), subject=subject
    )
    assert "form" in refusal(Profile(subject_patterns={word: "switch"}), subject=subject)


PATTERNS = [
    ("dns", r"[a-z]+\.example", r"[a-z]+\.example\.com"),
    ("email", r".+@example\.com", r".+@example\.org"),
    ("ip", r"192\.0\.2\.\d+", r"10\..*"),
    ("uri", r"https://.*", r"http://.*"),
    ("upn", r".+@example\.com", r".+@example\.org"),
    ("dn", r"CN=x", r"CN=y"),
]


@pytest.mark.parametrize(("kind", "good", "bad"), PATTERNS)
def test_a_subject_alt_name_must_have_the_form_as_a_whole(kind: str, good: str, bad: str) -> None:
    wanted = names(GENERAL_NAMES[kind])
    types = tuple(GENERAL_NAMES)
    issued(Profile(san_types=types, san_patterns={kind: good}), extensions=wanted)
    expected = f"a subjectAltName of type {LABELS.get(kind, kind)} does not have the form this profile asks for"
    assert refusal(Profile(san_types=types, san_patterns={kind: bad}), extensions=wanted) == expected


def test_a_pattern_is_not_passed_by_what_others_read_as_another_name() -> None:
    """See tests/pkix/test_general_names.py for what every type may hold."""
    posing = x509.DNSName._init_without_validation("www.bank.example\0.corp.example")
    text = refusal(Profile(san_patterns={"dns": r"[^/]*\.corp\.example"}), extensions=names(posing))
    found = r"'www.bank.example\x00.corp.example', which holds the control character U+0000"
    assert text == f"PKCS #10 request: subjectAltName: dNSName is not a host name (RFC 1123): {found}"
    subject = name("CN=x").rdns[0]
    posing_subject = x509.Name([x509.NameAttribute(next(iter(subject)).oid, "www.bank.example\0.corp.example")])
    world = World(profile=Profile(subject_patterns={"CN": r"[^/]*\.corp\.example"}))
    request = encode_certification_request(key("rsa:2048"), posing_subject, challenge_password=world.password())
    craft.failed(
        world,
        craft.request(world.device(), content=request),
        craft.BAD_REQUEST,
        "commonName holds the control character U+0000",
    )


def test_patterns_match_a_long_value_as_it_is_issued() -> None:
    """A UPN of more than 127 octets has a longer header."""
    user = "u" * 200 + "@example.com"
    value = x509.OtherName(UPN.type_id, wrap(0x0C, user.encode()))
    issued(Profile(san_patterns={"upn": r"u+@example\.com"}), extensions=names(value))


def test_a_network_is_no_address() -> None:
    wanted = names(x509.IPAddress(ip_network("192.0.2.0/24")))
    assert "iPAddress is a network" in refusal(Profile(), extensions=wanted)


def test_a_profile_can_leave_subject_alt_names_out() -> None:
    certificate = issued(Profile(copy_extensions=()), extensions=names(GENERAL_NAMES["dns"]))
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


# Usages


def usage(*items: str) -> x509.KeyUsage:
    return key_usage(set(items))


def test_key_usage_is_the_profile_s_whatever_is_asked_for() -> None:
    wanted = [extension(usage("keyCertSign", "cRLSign"), critical=True)]
    found = issued(Profile(), extensions=wanted).extensions.get_extension_for_class(x509.KeyUsage)
    assert (found.critical, found.value) == (True, usage("digitalSignature", "keyEncipherment"))


def test_a_key_that_cannot_encrypt_gets_no_encipherment() -> None:
    profile = Profile(key_usage=("digitalSignature", "keyEncipherment", "dataEncipherment"))
    found = issued(profile, "ec:P-256").extensions.get_extension_for_class(x509.KeyUsage).value
    assert found == usage("digitalSignature")


COPIED = ("subjectAltName", "keyUsage", "extendedKeyUsage")


def test_a_copied_key_usage_may_be_narrower() -> None:
    wanted = [extension(usage("digitalSignature"), critical=True)]
    found = issued(Profile(copy_extensions=COPIED), extensions=wanted)
    assert found.extensions.get_extension_for_class(x509.KeyUsage).value == usage("digitalSignature")


def test_a_copied_key_usage_may_not_be_wider() -> None:
    wanted = [extension(usage("digitalSignature", "keyCertSign", "keyAgreement"), critical=True)]
    expected = "the requested keyUsage keyAgreement, keyCertSign is not allowed"
    assert refusal(Profile(copy_extensions=COPIED), extensions=wanted) == expected


# Issue 10 section 2: one bit at least, and only bits that the key's algorithm has


@pytest.mark.parametrize(
    ("kind", "asked", "given", "text"),
    [
        ("ec:P-256", ["keyEncipherment"], None, "keyEncipherment is nothing that a key of type ec:P-256 can have"),
        ("rsa:2048", [], None, "has no bit"),
        ("ec:P-256", ["keyAgreement", "encipherOnly"], ("keyAgreement",), "encipherOnly is not allowed"),
        ("ec:P-256", ["keyAgreement", "decipherOnly"], ("keyAgreement",), "decipherOnly is not allowed"),
        ("rsa:2048", ["keyAgreement"], ("keyAgreement",), "keyAgreement is nothing that a key of type rsa:2048"),
        ("ed25519", ["digitalSignature", "keyAgreement"], ("digitalSignature", "keyAgreement"), "type ed25519"),
    ],
)
def test_rfc_5280_4_2_1_3_a_requested_key_usage_is_copied_or_refused(
    kind: str, asked: list[str], given: tuple[str, ...] | None, text: str
) -> None:
    profile = Profile(copy_extensions=COPIED, key_usage=given or Profile().key_usage)
    assert text in refusal(profile, kind, extensions=[extension(key_usage(asked), critical=True)])


@pytest.mark.parametrize("kind", ["ml-dsa-65", "ed25519", "rsa:2048"])
def test_a_profile_s_bits_that_a_key_cannot_have_are_left_out(kind: str) -> None:
    found = issued(Profile(key_usage=("digitalSignature", "keyAgreement")), kind)
    assert found.extensions.get_extension_for_class(x509.KeyUsage).value == usage("digitalSignature")


@pytest.mark.parametrize(("kind", "given"), [("ec:P-256", "keyEncipherment"), ("rsa:2048", "keyAgreement")])
def test_a_key_that_can_have_nothing_of_a_profile_s_usage_is_refused(kind: str, given: str) -> None:
    expected = f"profile default gives the keyUsage {given}, which a key of type {kind} cannot have"
    assert refusal(Profile(key_usage=(given,)), kind) == expected


@pytest.mark.parametrize("given", [(), ("keyCertSign",), ("digitalSignature", "cRLSign"), ("encipherOnly",)])
def test_a_profile_gives_something_and_nothing_of_a_ca_s(given: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="key_usage"):
        Profile(key_usage=given)


def test_a_purpose_that_is_asked_for_twice_is_given_once() -> None:
    twice = [extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH] * 2))]
    found = issued(Profile(copy_extensions=COPIED), extensions=twice)
    purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_text_about_a_weak_key_names_the_sizes_of_the_profile() -> None:
    world = World(profile=Profile(min_rsa_bits=3072))
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
    request = encode_certification_request(weak, name("CN=device,O=Example"), challenge_password=world.password())
    # Under CBC no text says what is wrong inside the envelope.
    answer = world.device(request=request, settings=ClientSettings(cipher=AES128_GCM)).enrol()
    assert isinstance(answer, Refused)
    assert answer.text is not None and "RSA key of 1024 bits; 3072 to 4096 are accepted" in answer.text


def test_without_a_requested_usage_the_profile_s_is_used() -> None:
    extensions = issued(Profile(copy_extensions=COPIED)).extensions
    assert extensions.get_extension_for_class(x509.KeyUsage).value == usage("digitalSignature", "keyEncipherment")
    found = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(found) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_copied_extended_key_usage_may_be_narrower_and_not_wider() -> None:
    profile = Profile(copy_extensions=COPIED, extended_key_usage=("clientAuth", "serverAuth", "1.2.3.4"))
    for oid in (ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")):
        wanted = [extension(x509.ExtendedKeyUsage([oid]))]
        found = issued(profile, extensions=wanted).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(found) == [oid]
    wider = [extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]))]
    assert (
        refusal(profile, extensions=wider)
        == "the requested extendedKeyUsage codeSigning (1.3.6.1.5.5.7.3.3) is not allowed"
    )


def test_a_profile_may_have_no_extended_key_usage() -> None:
    with pytest.raises(x509.ExtensionNotFound):
        issued(Profile(extended_key_usage=())).extensions.get_extension_for_class(x509.ExtendedKeyUsage)


def test_basic_constraints_are_never_the_requested_ones() -> None:
    wanted = [extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)]
    found = issued(Profile(), extensions=wanted).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (found.critical, found.value.ca) == (True, False)


# The rest of the certificate


def test_crl_and_issuer_urls_are_written() -> None:
    extensions = issued(
        Profile(crl_urls=("http://c.example/1", "http://c.example/2"), issuer_urls=("http://c.example/ca",))
    ).extensions
    points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [point.full_name[0].value[-1] for point in points if point.full_name] == ["1", "2"]
    (access,) = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    assert access.access_location == x509.UniformResourceIdentifier("http://c.example/ca")


def test_a_certificate_begins_before_now_and_ends_after_its_validity() -> None:
    certificate = issued(Profile(validity=timedelta(days=7), backdate=timedelta(hours=1)))
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=7)


def test_rfc_5280_4_1_2_2_serial_numbers_have_20_octets_and_are_positive() -> None:
    serial = issued(Profile()).serial_number
    assert serial.bit_length() == 159


def test_rfc_5280_4_2_1_1_key_identifiers_link_a_certificate_to_its_issuer() -> None:
    extensions = issued(Profile()).extensions
    issuer = World().authority.ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.digest
    own = x509.SubjectKeyIdentifier.from_public_key(key("rsa:2048", "device").public_key())
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value == own


def imported() -> KeyPair:
    """A CA certificate without subjectKeyIdentifier, as old CAs are."""
    signer = craft.self_made("rsa:2048", "CN=Imported", "imported", extensions=craft.CA_EXTENSIONS)
    return KeyPair(signer.key, x509.load_der_x509_certificate(signer.certificate.der))


def test_an_imported_ca_without_key_identifier_is_named_by_its_key() -> None:
    world = World(current=Authority(ca=imported()))
    answer = world.device(password=world.password()).enrol()
    assert isinstance(answer, Issued)
    found = x509.load_der_x509_certificate(answer.certificate).extensions
    expected = x509.AuthorityKeyIdentifier.from_issuer_public_key(imported().key.public_key())
    assert found.get_extension_for_class(x509.AuthorityKeyIdentifier).value == expected


def test_an_imported_ca_gets_ra_certificates_that_end_with_it() -> None:
    pair = imported()
    made = create_authority(
        name("CN=unused"), "rsa:2048", ra_key_type="ec:P-256", now=NOW, random=Random("imported"), ca=pair
    )
    assert made.ca is pair
    for ra in (made.ra_signer, made.ra_decryption):
        assert ra is not None
        ra.certificate.verify_directly_issued_by(pair.certificate)
        assert ra.certificate.not_valid_after_utc == pair.certificate.not_valid_after_utc
    world = World(current=made)
    assert isinstance(world.device(password=world.password()).enrol(), Issued)


# Keys and secrets that are not ours to show


def test_repr_shows_no_keys() -> None:
    assert "redacted" in repr(imported())
    assert "redacted" in repr(ServerKey(b"\x01" * 32))
    assert "01" * 8 not in repr(ServerKey(b"\x01" * 32))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_server_key_has_32_octets(size: int) -> None:
    with pytest.raises(ValueError, match="not 32"):
        ServerKey(bytes(size))


def test_sealed_octets_open_only_under_the_same_key_for_the_same_purpose() -> None:
    ours, other = ServerKey(b"\x01" * 32), ServerKey(b"\x02" * 32)
    sealed = ours.seal(b"secret", b"purpose", Random("seal"))
    assert ours.open(sealed, b"purpose") == b"secret"
    altered = bytes((sealed[0] ^ 1,)) + sealed[1:]
    for server_key, octets, purpose in (
        (other, sealed, b"purpose"),
        (ours, sealed, b"another"),
        (ours, altered, b"purpose"),
        (ours, sealed[:-1], b"purpose"),
        (ours, b"", b"purpose"),
    ):
        with pytest.raises(Unsealable):
            server_key.open(octets, purpose)


def test_two_server_keys_know_a_password_by_different_identifiers() -> None:
    identifiers = {ServerKey(bytes((item,)) * 32).identifier("password") for item in (1, 2)}
    assert len(identifiers) == 2
    assert all(len(item) == 64 for item in identifiers)


def test_a_new_password_is_long_and_survives_being_read_aloud() -> None:
    text = new_password(Random("password"))
    assert re.fullmatch(r"[A-Z2-7]{32}", text)
    world = World()
    add_password(world.store, world.server_key, text, now=NOW)
    assert isinstance(world.device(password=text).enrol(), Issued)


def test_a_password_held_by_a_waiting_request_is_not_good_for_another() -> None:
    """The Store can reserve a password for a transaction that waits; nobody else may use it meanwhile."""
    world = World()
    password = world.password()
    first = world.device(password=password)
    reserve(world, first)
    other = world.device(password=password, label="other", transaction_id="2").enrol()
    assert isinstance(other, Refused)
    assert other.text == "the challengePassword is in use by another request"


def reserve(world: World, device: craft.Device) -> None:
    """Put a waiting transaction of `device` into the store that holds the password of its request."""
    waiting = World(policy=AuthorisationPolicy(manual=True), webhook=craft.Scripted("pending"))
    waiting.send(device.start())
    (found,) = waiting.store.transactions()
    identifier = world.server_key.identifier(device.request.challenge_password or "")
    world.store.create(replace(found, credential_id=identifier))


SIDS = x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")


@pytest.mark.parametrize(
    ("extensions", "text"),
    [
        (names(x509.DNSName("")), "subjectAltName: dNSName is not a host name (RFC 1123): '', which is empty"),
        (names(x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:x")),
         "a URI of tag:microsoft.com holds no security identifier (S-1-...)"),
        ([*names(SIDS), craft.microsoft_sid("S-1-5-21-1-2-3-501")],
         "Microsoft SID extension and subjectAltName name more than one account"),
        ([craft.microsoft_sid("x")], "the Microsoft SID extension holds no security identifier (S-1-...)"),
        ([x509.Extension(MICROSOFT_SID, True, craft.microsoft_sid("S-1-5-21-1-2-3-501").value)],
         "the Microsoft SID extension is critical; it must not be"),
    ],
)  # fmt: skip
def test_10_1_the_text_says_what_the_request_is_written_in(extensions: list[Any], text: str) -> None:
    private, subject = key("ec:P-256"), name("CN=device")
    written = {
        "PKCS #10": CertificationRequest.decode(encode_certification_request(private, subject, extensions=extensions)),
        "CRMF": CertReqMsg.decode(encode_signed_message(private, subject, extensions=extensions)),
    }
    for what, request in written.items():
        with pytest.raises(Malformed, match=f"^{re.escape(f'{what} request: {text}')}$"):
            check_request(Profile(), cast(CertificateRequest, request))


def test_10_1_a_name_that_is_not_allowed_is_refused_before_names_are_compared() -> None:
    """A directoryName in the subjectAltName has no bound yet, and comparing a long one takes seconds."""
    refused = refusal(Profile(), extensions=names(x509.DirectoryName(name("CN=CA,O=Example"))))
    assert refused.startswith("a subjectAltName of type dn (directoryName) is not allowed")


def test_10_1_a_name_without_subject_only_where_the_profile_says_so() -> None:
    asked: dict[str, Any] = {"subject": "", "extensions": names(x509.DNSName("a.example"))}
    assert refusal(Profile(), **asked) == "the request has no subject, which this profile asks for"
    assert not issued(Profile(allow_empty_subject=True), **asked).subject.rdns


def test_10_1_a_pattern_sees_a_bit_string_in_hex() -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\0\xab", _ASN1Type.BitString)])
    request = CertificationRequest.decode(encode_certification_request(key("ec:P-256"), subject))
    check_request(Profile(subject_patterns={"x500UniqueIdentifier": "#00ab"}), request)
    with pytest.raises(NamesRefused, match="does not have the form"):
        check_request(Profile(subject_patterns={"x500UniqueIdentifier": "00ab"}), request)


def test_10_1_a_subject_alt_name_without_names_is_refused() -> None:
    empty = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x00")
    refused = refusal(Profile(), extensions=[x509.Extension(empty.oid, False, empty)])
    assert "subjectAltName" in refused and "no name" in refused


@pytest.mark.parametrize(
    ("kind", "value", "pattern"),
    [("email", x509.RFC822Name("U@example.com"), "u@.*"), ("dns", x509.DNSName("host.example"), "host")],
)
def test_10_1_a_pattern_of_the_subject_alt_name_is_for_the_whole_value(
    kind: str, value: x509.GeneralName, pattern: str
) -> None:
    """And for its case, where that makes a difference."""
    assert "does not have the form" in refusal(Profile(san_patterns={kind: pattern}), extensions=names(value))


def test_9_what_was_asked_for_and_ignored_is_in_the_log() -> None:
    """Beside the certificate; the client is told nothing, and an operator who asks finds it."""
    world = World()
    wanted = [
        x509.Extension(x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=True, path_length=None)),
        extension(key_usage({"digitalSignature", "keyCertSign"})),
        extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),
        extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05" * 200)),
        *names(x509.DNSName("device.example")),
    ]
    device = world.device(password=world.password(), extensions=wanted)
    (event,) = world.send(device.start()).events
    assert event.outcome == "SUCCESS"
    assert event.details["not granted"] == (
        "other extensions: basicConstraints, critical: a CA; keyUsage: keyCertSign; "
        f"extendedKeyUsage: codeSigning (1.3.6.1.5.5.7.3.3); other extensions: 1.2.3.4: {'05' * 26}0…"
    )
    plain = world.device(password=world.password("another"), label="plain", extensions=names(x509.DNSName("a.example")))
    (event,) = world.send(plain.start()).events
    assert (event.outcome, event.details.get("not granted")) == ("SUCCESS", None)


def test_9_what_was_ignored_is_told_in_bounds() -> None:
    assert in_bounds([f"line {at}" for at in range(8)]).endswith("; line 7")
    assert in_bounds([f"line {at}" for at in range(10)]).endswith("; line 7; and 2 more")
