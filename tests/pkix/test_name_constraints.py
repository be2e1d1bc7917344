"""pkix/name_constraints.py: which names are within those of a CA (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509

from pkix.name_constraints import outside

EMPTY = x509.Name([])
DNS, EMAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
OTHER = x509.OtherName(UPN, b"\x0c\x01a")


def dn(text: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name.from_rfc4514_string(text))


def net(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text))


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_address(text))


def is_outside(
    name: x509.GeneralName, *, permitted: x509.GeneralName | None, excluded: x509.GeneralName | None
) -> bool:
    constraints = x509.NameConstraints([permitted] if permitted else None, [excluded] if excluded else None)
    return bool(outside(constraints, EMPTY, [name]))


@pytest.mark.parametrize(
    ("base", "name", "within"),
    [
        (DNS("corp.example"), DNS("corp.example"), True),
        (DNS("corp.example"), DNS("A.CORP.example"), True),
        (DNS("corp.example"), DNS("*.corp.example"), True),
        (DNS("corp.example"), DNS("mycorp.example"), False),
        (DNS("corp.example"), DNS("corp.example.org"), False),
        (DNS(".corp.example"), DNS("a.corp.example"), True),
        (DNS(".corp.example"), DNS("corp.example"), False),
        (EMAIL("corp.example"), EMAIL("a@corp.example"), True),
        (EMAIL("corp.example"), EMAIL("a@b.corp.example"), False),
        (EMAIL(".corp.example"), EMAIL("a@b.corp.example"), True),
        (EMAIL(".corp.example"), EMAIL("a@corp.example"), False),
        (EMAIL("a@corp.example"), EMAIL("a@CORP.example"), True),
        (EMAIL("a@corp.example"), EMAIL("b@corp.example"), False),
        (URI("corp.example"), URI("https://corp.example/x"), True),
        (URI("corp.example"), URI("https://a.corp.example/x"), False),
        (URI(".corp.example"), URI("https://a.corp.example:8443/x"), True),
        (URI("corp.example"), URI("https://corp.example@evil.example/"), False),
        (net("10.0.0.0/8"), ip("10.1.2.3"), True),
        (net("10.0.0.0/8"), ip("11.1.2.3"), False),
        (net("10.0.0.0/8"), ip("::10.1.2.3"), False),
        (net("2001:db8::/32"), ip("2001:db8::1"), True),
        (dn("CN=x,O=Example"), dn("CN=y,CN=x,O=EXAMPLE"), True),
        (dn("O=Example"), dn("CN=x,O=Example"), True),
        (dn("O=Example"), dn("CN=x,O=Other"), False),
        (dn("CN=x,O=Example"), dn("O=Example"), False),
    ],
)
def test_4_2_1_10_a_name_is_within_a_subtree_or_not(
    base: x509.GeneralName, name: x509.GeneralName, within: bool
) -> None:
    assert is_outside(name, permitted=base, excluded=None) is not within
    assert is_outside(name, permitted=None, excluded=base) is within


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (URI("corp.example"), URI("urn:corp.example")),
        (URI(".example"), URI("https://10.0.0.1/")),
        (OTHER, OTHER),
        (x509.RegisteredID(UPN), x509.RegisteredID(UPN)),
    ],
)
def test_4_2_1_10_what_cannot_be_told_is_outside_either_way(base: x509.GeneralName, name: x509.GeneralName) -> None:
    assert is_outside(name, permitted=base, excluded=None) and is_outside(name, permitted=None, excluded=base)


def test_4_2_1_10_a_wildcard_is_excluded_with_a_host_it_stands_for() -> None:
    assert is_outside(DNS("*.corp.example"), permitted=None, excluded=DNS("vpn.corp.example"))
    assert is_outside(DNS("*.corp.example"), permitted=DNS("vpn.corp.example"), excluded=None)
    assert not is_outside(DNS("*.corp.example"), permitted=None, excluded=DNS("vpn.other.example"))


def test_4_2_1_10_other_forms_are_free() -> None:
    name = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    for item in (EMAIL("a@b.example"), ip("10.0.0.1"), dn("O=x"), name):
        assert not is_outside(item, permitted=DNS("corp.example"), excluded=OTHER)


def test_4_2_1_10_the_subject_counts_as_directory_name_and_with_its_email_address() -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "a@evil.example"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "a"),
        ]
    )
    assert "rfc822Name a@evil.example" in outside(x509.NameConstraints([EMAIL("corp.example")], None), subject, [])
    assert "directoryName" in outside(x509.NameConstraints([dn("O=Example")], None), subject, [])
    assert outside(x509.NameConstraints([dn("O=Example")], None), EMPTY, []) == ""


@pytest.mark.parametrize(
    "value", ["a@evil.example ", "a@evil.example.", "evil.example", "a@evil.example,b@corp.example", "a@ evil.example"]
)
def test_10_1_an_email_address_of_the_subject_that_is_none_is_outside(value: str) -> None:
    """Some programs read an address in it nevertheless."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, value)])
    assert outside(x509.NameConstraints(None, [EMAIL("evil.example")]), subject, [])
    assert outside(x509.NameConstraints([EMAIL("evil.example")], None), subject, [])
    assert not outside(x509.NameConstraints(None, [DNS("evil.example")]), subject, [])


@pytest.mark.parametrize("value", ["https://evil.example./", "https://evil%2eexample/", "https://evil%2Eexample:8443/"])
def test_10_1_a_host_in_another_spelling_is_outside(value: str) -> None:
    assert is_outside(URI(value), permitted=None, excluded=URI("evil.example"))
    assert is_outside(URI(value), permitted=URI("evil.example"), excluded=None)
