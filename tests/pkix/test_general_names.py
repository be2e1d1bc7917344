"""What a subjectAltName may hold, type by type (RFC 5280 section 4.2.1.6), and what deployed clients put there."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509

from pkix.asn1 import any_of, encode, wrap
from pkix.errors import Malformed
from pkix.extensions import encode_parts, find, read_extensions
from pkix.general_names import (
    HARDWARE_MODULE_NAME,
    OBJECT_GUID,
    PERMANENT_IDENTIFIER,
    UPN,
    checked_text,
    comparable_general_name,
    is_san_type,
    rendered,
    type_label,
    type_of,
)
from pkix.oids import Oid
from pkix.pkcs10 import CertificationRequest
from tests.pkix.forge import extension, extension_request, peer, request_info, sequence, sign_request
from tests.pkix.tlv import tlv
from tests.world import name

KEY = peer().key


def text_of(name: x509.GeneralName) -> str:
    return checked_text(name, "PKCS #10 request")


def received(tag: int, octets: bytes) -> x509.GeneralName:
    """A name as it comes out of a request."""
    names = extension("2.5.29.17", sequence(tlv(tag, octets)))
    request = CertificationRequest.decode(sign_request(request_info(KEY, extension_request(names)), KEY))
    (found,) = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found


def upn(octets: bytes, tag: int = 0x0C) -> x509.OtherName:
    return x509.OtherName(UPN, wrap(tag, octets))


DNS, EMAIL, URI, IP = 0x82, 0x81, 0x86, 0x87
A63 = b"a" * 63

RIGHT = [
    (DNS, b"host.example", "dns"),
    (DNS, b"host", "dns"),
    (DNS, b"HOST-1.Example", "dns"),
    (DNS, b"*.example", "dns"),
    (DNS, b"xn--gert-loa.example", "dns"),
    (DNS, b"_sip._tcp.example", "dns"),
    (DNS, b"my_device_7", "dns"),
    (DNS, b"3com.example", "dns"),
    (DNS, A63 + b"." + A63 + b"." + A63 + b"." + b"a" * 61, "dns"),
    (EMAIL, b"user@example.com", "email"),
    (EMAIL, b"first.last+tag@sub.example", "email"),
    (EMAIL, b"o'brien_{x}=1@xn--gert-loa.example", "email"),
    (URI, b"https://host.example:8443/path?query=1#fragment", "uri"),
    (URI, b"https://[2001:db8::1]/", "uri"),
    (URI, b"https://user:secret@[2001:db8::1]:443", "uri"),
    (URI, b"https://192.0.2.1:/?a@b", "uri"),
    (URI, b"urn:x:a//b@", "uri"),
    (URI, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-1105", "uri"),
    (URI, b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "uri"),
    (URI, b"urn:dev:mac:0024befffe804ff1", "uri"),
    (URI, b"spiffe://example.org/ns/default/sa/web", "uri"),
    (URI, b"IntuneDeviceId://7cc25d5a-9b1b-4a4b-b8a1-000000000000", "uri"),
    (URI, b"sip:user%20name@example.com", "uri"),
    (URI, b"ID:Microsoft Endpoint Manager:GUID:7cc25d5a-9b1b-4a4b-b8a1-000000000000", "uri"),
]


@pytest.mark.parametrize(("tag", "octets", "kind"), RIGHT, ids=lambda item: ascii(item))
def test_what_deployed_clients_send_passes(tag: int, octets: bytes, kind: str) -> None:
    found = received(tag, octets)
    assert (type_of(found), text_of(found)) == (kind, octets.decode())


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_addresses_pass(address: str) -> None:
    found = received(IP, ip_address(address).packed)
    assert (type_of(found), text_of(found)) == ("ip", str(ip_address(address)))


@pytest.mark.parametrize(
    "text", ["user@example.com", "host$@corp.example", "jürgen@exämple.de", "a" * 200 + "@b.example"]
)
def test_user_principal_names_pass(text: str) -> None:
    value = upn(text.encode())
    assert (type_of(value), text_of(value)) == ("upn", text)


def test_a_directory_name_passes() -> None:
    found = x509.DirectoryName(name("CN=device,O=Example"))
    assert (type_of(found), text_of(found)) == ("dn", "CN=device,O=Example")


EVERYWHERE = [b"", b" ", b"\0", b"\n", b"\r\n", b"\x7f", "ö".encode(), "\u200b".encode()]
HOSTS = [
    b"www.bank.example\0.corp.example",
    b"host\n.example",
    b"host.example\n",
    b" host.example",
    b"host.example ",
    b"ho st.example",
    b".host.example",
    b"host..example",
    b"host.example.",
    b"-host.example",
    b"host-.example",
    b"a" * 64 + b".example",
    b".".join([A63, A63, A63, b"a" * 62]),
    "höst.example".encode(),
    b"host/example",
    b"user@host.example",
    b"host.example:443",
]
WRONG = [
    *((DNS, item) for item in (*EVERYWHERE, *HOSTS, b"*", b"*.", b"*.*.example", b"a*.example", b"host.*.example")),
    *((EMAIL, b"user@" + item) for item in (*EVERYWHERE, *HOSTS, b"*.example")),
    *(
        (EMAIL, item + b"@example.com")
        for item in (*EVERYWHERE, b".a", b"a.", b"a..b", b"a" * 65, b"a b", b"a\nb", b"a\0b")
    ),
    (EMAIL, b"example.com"),
    (EMAIL, b"user@example.com\0@evil.example"),
    (EMAIL, b"user@example.com\r\nBcc: x@example.org"),
    (EMAIL, b"User <user@example.com>"),
    *((URI, item) for item in (*EVERYWHERE, b"host.example", b"/path", b"//host.example/", b"https:", b":x", b"1a:x")),
    *((URI, b"https://host.example/" + item) for item in EVERYWHERE[1:]),
    (URI, b"https://host.example\0.evil.example/"),
    (URI, b"https://host.example/%0"),
    (URI, b"https://host.example/%zz"),
    (URI, b"https://host.example/<>"),
    (URI, b"IntuneDeviceId://{{DeviceId}}"),
]
NO_HOSTS = ["http://", "http:///path", "http://@/", "http://user@:80", "http://:80/", "https://?a", "https://#a",
            "https://[]/", "https://[zz]/", "https://[::1", "https://::1/", "https://a:b/", "https://[::1]a/",
            "https://[192.0.2.1]/", "https://a..b/", "https://-a/", "https://bank%2eexample/", "https://bank.example./",
            "https://a b/"]  # fmt: skip


@pytest.mark.parametrize(("tag", "octets"), WRONG, ids=lambda item: ascii(item))
def test_what_is_not_of_its_form_is_refused(tag: int, octets: bytes) -> None:
    with pytest.raises(
        Malformed, match=r"^PKCS #10 request: subjectAltName: .* \(RFC (1123|5321|3986)\)($|: '.*, (which|whose) )"
    ):
        text_of(received(tag, octets))


@pytest.mark.parametrize("uri", NO_HOSTS)
def test_10_1_an_authority_has_a_host(uri: str) -> None:
    """RFC 5280 section 4.2.1.6. A name constraint could not be applied to it."""
    with pytest.raises(Malformed, match="the authority of the URI has no host name or address"):
        text_of(received(URI, uri.encode()))


@pytest.mark.parametrize("network", ["192.0.2.0/24", "192.0.2.1/32", "0.0.0.0/0", "2001:db8::/32"])
def test_a_network_is_no_address(network: str) -> None:
    with pytest.raises(Malformed, match="iPAddress is a network"):
        text_of(x509.IPAddress(ip_network(network)))


UPNS = [
    *(upn(b"user" + item + b"@example.com") for item in EVERYWHERE[1:6]),
    *(upn(b"user@example.com" + item) for item in (*EVERYWHERE[1:6], b"@example.org")),
    *map(upn, (b"", b"user", b"@example.com", b"user@")),
    *(upn(f"us{character}er@example.com".encode()) for character in "\u200b\u2800\u3164\u00a0\ue000\u0378"),
    upn(b"user@example.com", 0x16),
    upn(b"user@example.com", 0x13),
    upn("user@example.com".encode("utf-16-be"), 0x1E),
    upn(b"\xff@example.com"),
    upn(b"\x0c\x05a@b.c", 0x30),
    x509.OtherName(UPN, wrap(0x0C, b"a@b.c") + b"\x05\x00"),
]


@pytest.mark.parametrize("value", UPNS, ids=lambda item: item.value.hex())
def test_what_is_no_user_principal_name_is_refused(value: x509.OtherName) -> None:
    with pytest.raises(Malformed, match=r"^PKCS #10 request: subjectAltName: the UPN is not "):
        text_of(value)


def common_name(tag: int, octets: bytes) -> bytes:
    return sequence(tlv(0x31, sequence(encode(Oid("2.5.4.3")), tlv(tag, octets))))


@pytest.mark.parametrize("octets", [b"x" * 65, b"", b"a\0b", b"a\nb", b"\x1b[31m"])
def test_a_directory_name_is_checked_like_a_subject(octets: bytes) -> None:
    found = received(0xA4, common_name(0x0C, octets))
    with pytest.raises(
        Malformed, match=r"^PKCS #10 request: subjectAltName: directoryName: (unusable name: )?commonName "
    ):
        text_of(found)


def test_a_directory_name_is_not_empty() -> None:
    with pytest.raises(Malformed, match="directoryName is empty"):
        text_of(x509.DirectoryName(x509.Name([])))


# Issue 10, section 1: other otherNames

VENDOR = Oid("1.3.6.1.4.1.32473.1")
OTHER = x509.ObjectIdentifier("1.2.3.4")


def other(kind: x509.ObjectIdentifier, value: bytes) -> x509.OtherName:
    return x509.OtherName(kind, value)


OTHERS = [
    (HARDWARE_MODULE_NAME, sequence(encode(VENDOR), tlv(4, b"\x01\xab")), "hardwareModuleName",
     "1.3.6.1.4.1.32473.1:01ab"),
    (PERMANENT_IDENTIFIER, sequence(tlv(12, b"id 7"), encode(VENDOR)), "permanentIdentifier",
     "id 7/1.3.6.1.4.1.32473.1"),
    (PERMANENT_IDENTIFIER, sequence(tlv(12, b"id/7")), "permanentIdentifier", "id/7/"),
    (PERMANENT_IDENTIFIER, sequence(encode(VENDOR)), "permanentIdentifier", "/1.3.6.1.4.1.32473.1"),
    (OBJECT_GUID, tlv(4, bytes(range(16))), "objectGUID", "03020100-0504-0706-0809-0a0b0c0d0e0f"),
    (OTHER, tlv(12, "gerät 7".encode()), "otherName:1.2.3.4", "gerät 7"),
    (OTHER, tlv(22, b"device"), "otherName:1.2.3.4", "device"),
    (OTHER, tlv(30, "ab".encode("utf-16-be")), "otherName:1.2.3.4", "ab"),
    (OTHER, b"\x05\x00", "otherName:1.2.3.4", "#0500"),
    (OTHER, sequence(tlv(12, b"x")), "otherName:1.2.3.4", "#30030c0178"),
    # A string cannot pose as other DER.
    (OTHER, tlv(12, b"#0500"), "otherName:1.2.3.4", "#0c052330353030"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "word", "text"), OTHERS, ids=lambda item: ascii(item))
def test_10_1_other_names_are_told_by_type_and_value(
    kind: x509.ObjectIdentifier, value: bytes, word: str, text: str
) -> None:
    found = received(0xA0, encode(Oid(kind.dotted_string)) + tlv(0xA0, value))
    assert (type_of(found), text_of(found)) == (word, text)
    assert is_san_type(word)


WRONG_OTHERS = [
    other(HARDWARE_MODULE_NAME, sequence(encode(VENDOR), tlv(4, b""))),
    other(HARDWARE_MODULE_NAME, sequence(encode(VENDOR))),
    other(HARDWARE_MODULE_NAME, tlv(12, b"1.2.3:00")),
    other(PERMANENT_IDENTIFIER, sequence(tlv(12, b""))),
    other(PERMANENT_IDENTIFIER, sequence(tlv(12, b"a\nb"))),
    other(PERMANENT_IDENTIFIER, tlv(12, b"id")),
    other(OBJECT_GUID, tlv(4, bytes(15))),
    other(OBJECT_GUID, tlv(4, b"")),
    other(OBJECT_GUID, tlv(12, bytes(16))),
    other(OTHER, tlv(20, b"\xe9")),
    other(OTHER, tlv(20, "é".encode())),
    other(OTHER, tlv(30, "\U0001f600".encode("utf-16-be"))),
    *(other(OTHER, tlv(12, item)) for item in (b"", b" ", b" a", b"a  b", b"a\0b", "a\u200bb".encode(), b"\xff")),
    other(OTHER, b""),
    other(OTHER, b"\x0c"),
]


@pytest.mark.parametrize("value", WRONG_OTHERS, ids=lambda item: f"{item.type_id.dotted_string} {item.value.hex()}")
def test_10_1_what_is_not_of_its_form_is_refused_in_other_names(value: x509.OtherName) -> None:
    with pytest.raises(Malformed, match=r"^PKCS #10 request: subjectAltName: "):
        text_of(value)
    assert "unreadable: " in rendered(value)


def test_10_1_a_registered_id_is_its_oid() -> None:
    found = x509.RegisteredID(OTHER)
    assert (type_of(found), text_of(found), rendered(found)) == (
        "registeredID",
        "1.2.3.4",
        "registeredID: 1.2.3.4",
    )


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (HARDWARE_MODULE_NAME, "otherName 1.3.6.1.5.5.7.8.4 (hardwareModuleName)"),
        (UPN, "upn"),
        (x509.ObjectIdentifier("1.3.6.1.5.5.7.8.8"), "otherName 1.3.6.1.5.5.7.8.8 (NAIRealm)"),
        (OTHER, "otherName 1.2.3.4"),
    ],
)
def test_10_1_texts_name_the_type(kind: x509.ObjectIdentifier, label: str) -> None:
    assert type_label(other(kind, b"\x05\x00")) == label


@pytest.mark.parametrize(
    "word",
    ["other", "DNS", "x400Address", "ediPartyName", "otherName", "otherName:", "otherName:x", "otherName:1.2.3.4 ",
     f"otherName:{UPN.dotted_string}", f"otherName:{HARDWARE_MODULE_NAME.dotted_string}"],
)  # fmt: skip
def test_10_1_what_is_no_type_that_a_profile_allows(word: str) -> None:
    assert not is_san_type(word)


uri = x509.UniformResourceIdentifier
SAME = [
    (x509.DNSName("Host.Example"), x509.DNSName("hOST.example"), True),
    (x509.DNSName("host.example"), x509.DNSName("host2.example"), False),
    (x509.DNSName("a@b.c"), x509.RFC822Name("a@b.c"), False),
    (x509.RFC822Name("user@Example.COM"), x509.RFC822Name("user@example.com"), True),
    (x509.RFC822Name("User@example.com"), x509.RFC822Name("user@example.com"), False),
    (uri("HTTP://u@Host.Example/A"), uri("http://u@host.example/A"), True),
    (uri("http://h.example/A"), uri("http://h.example/a"), False),
    (uri("http://U@h.example/"), uri("http://u@h.example/"), False),
    (uri("URN:x:Y"), uri("urn:x:Y"), True),
    (uri("urn:x:Y"), uri("urn:x:y"), False),
    (x509.DirectoryName(name("CN=A b")), x509.DirectoryName(name("CN=a  B")), True),
    (x509.DirectoryName(name("CN=a")), x509.DirectoryName(name("CN=b")), False),
    (other(OTHER, b"\x05\x00"), other(x509.ObjectIdentifier("1.2.3.5"), b"\x05\x00"), False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two", "same"), SAME, ids=lambda item: ascii(item))
def test_10_1_general_names_compare_by_rfc_5280_7(one: x509.GeneralName, two: x509.GeneralName, same: bool) -> None:
    assert (comparable_general_name(one) == comparable_general_name(two)) is same


FAULTS = [
    (DNS, "", "'', which is empty"),
    (DNS, " ", "' ', which holds a blank"),
    (DNS, "a b.example", "'a b.example', which holds a blank"),
    (DNS, "a\0b", r"'a\x00b', which holds the control character U+0000"),
    (DNS, "a\nb", r"'a\nb', which holds the control character U+000A"),
    (DNS, "b\u00fccher.example", r"'b\xfccher.example', which holds '\xfc', a character beyond ASCII"),
    (DNS, "a.*.example", "'a.*.example', which has a * that is not the whole first label"),
    (DNS, "*.a.*", "'*.a.*', which has a * that is not the whole first label"),
    (DNS, ".example", "'.example', which begins with a dot"),
    (DNS, "a.example.", "'a.example.', which ends with a dot"),
    (DNS, "a..example", "'a..example', which has an empty label"),
    (DNS, "https://a.example/", "'https://a.example/', which is a URL; a URI is a name of another type"),
    (DNS, "a.example:80", "'a.example:80', which has a port"),
    (DNS, "a.example,b.example", "'a.example,b.example', which holds a comma; each name is one of its own"),
    (DNS, "u@a.example", "'u@a.example', which holds '@'"),
    (DNS, "-a.example", "'-a.example', which has a label that begins or ends with a hyphen"),
    (DNS, "a" * 64 + ".example", f"'{'a' * 64}'…, which has a label of more than 63 characters"),
    (DNS, ".".join(["a" * 60] * 5), f"'{'a' * 60}.aaa'…, which has 304 characters; at most 253 are allowed"),
    (EMAIL, "", "'', which is empty"),
    (EMAIL, "user", "'user', which has 0 @ in place of one"),
    (EMAIL, "a@b@c.example", "'a@b@c.example', which has 2 @ in place of one"),
    (EMAIL, "U <u@a.example>", "'U <u@a.example>', which has more than the address; write user@domain alone"),
    (EMAIL, "\u00fc@a.example", r"'\xfc@a.example', which holds '\xfc', a character beyond ASCII"),
    (EMAIL, "@a.example", "'@a.example', which has nothing before the @"),
    (EMAIL, "u@", "'u@', whose domain is '', which is empty"),
    (EMAIL, "u@-a", "'u@-a', whose domain is '-a', which has a label that begins or ends with a hyphen"),
    (EMAIL, ".u@a", "'.u@a', whose local part '.u' is none that is accepted here"),
]


@pytest.mark.parametrize(("tag", "text", "fault"), FAULTS)
def test_what_is_wrong_with_a_name_is_said(tag: int, text: str, fault: str) -> None:
    with pytest.raises(Malformed) as caught:
        text_of(received(tag, text.encode()))
    assert caught.value.text.partition("): ")[2] == fault


@pytest.mark.parametrize("octets", [b"", bytes(5), b"192.0.2.1", b"192.0.2.100", bytes(17)])
def test_an_address_of_another_length(octets: bytes) -> None:
    san = x509.ObjectIdentifier("2.5.29.17")
    member = any_of(encode_parts(san, False, sequence(tlv(0x87, octets))))
    found = read_extensions([member], "extensionRequest")
    text = rf"\(2\.5\.29\.17\) cannot be read: iPAddress of {len(octets)} octets; it has 4 or 16$"
    with pytest.raises(Malformed, match=text):
        find(found, x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"junk", "it is no SEQUENCE of names"),
        (sequence(tlv(0xA3, b"\x30\x00")), "an x400Address or ediPartyName, which no certificate gets here"),
        (sequence(tlv(0xA2, tlv(0x16, b"a.example"))), "a value with the tag A2 (hex), which no GeneralName has"),
        (sequence(tlv(0x16, b"a.example")), "a value with the tag 16 (hex), which no GeneralName has"),
    ],
)
def test_names_of_no_type(value: bytes, why: str) -> None:
    found = read_extensions([any_of(encode_parts(x509.ObjectIdentifier("2.5.29.17"), False, value))], "request")
    with pytest.raises(Malformed, match=f"cannot be read: {re.escape(why)}$"):
        find(found, x509.SubjectAlternativeName)
