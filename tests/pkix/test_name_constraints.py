"""pkix/name_constraints.py: which names are within those of a CA (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509

from pkix.name_constraints import outside
from tests.pkix.tlv import tlv

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
        (EMAIL("a@corp.example"), EMAIL("a@evil.example"), False),
        (EMAIL("a@corp.example"), EMAIL("a@b.corp.example"), False),
        (DNS(""), DNS("a.example"), True),
        (DNS(""), DNS("*.example"), True),
        (EMAIL._init_without_validation(""), EMAIL("a@b.example"), True),
        (URI(""), URI("https://b.example/"), True),
        (dn(""), dn("CN=x,O=Example"), True),
        (URI("corp.example"), URI("https://corp.example/x"), True),
        (URI("corp.example"), URI("ldap+x://corp.example"), True),
        (URI("corp.example"), URI("https://corp.example?x"), True),
        (URI("corp.example"), URI("https://corp.example#x"), True),
        (URI(".corp.example"), URI("https://A.CORP.example/x"), True),
        (EMAIL(".corp.example"), EMAIL("a@B.CORP.example"), True),
        (DNS("mycorp.example"), DNS("*.corp.example"), False),
        (net("::ffff:10.0.0.0/104"), ip("11.0.0.1"), False),
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


def test_what_is_said_names_the_name_the_subtree_and_which_rule_forbids_it() -> None:
    a, b = DNS("a.example"), DNS("b.example")
    said = [
        outside(x509.NameConstraints([b, DNS("c.example")], None), EMPTY, [a]),
        outside(x509.NameConstraints(None, [a]), EMPTY, [a]),
        outside(x509.NameConstraints(None, [URI("b.example")]), EMPTY, [URI("urn:x")]),
    ]
    assert said == [
        "dNSName a.example is outside of the permitted dNSName b.example, dNSName c.example",
        "dNSName a.example is within the excluded subtree dNSName a.example",
        "URI urn:x cannot be compared with the excluded subtree URI b.example",
    ]


def email(text: str) -> x509.Name:
    """A subject with an emailAddress."""
    return x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, text)])


def mailbox(text: str, tag: int = 0x0C) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), tlv(tag, text.encode()))


def is_text_outside(name: x509.GeneralName | x509.Name, *, permitted: str = "", excluded: str = "") -> bool:
    """Under constraints for rfc822Name."""
    of = EMAIL._init_without_validation
    constraints = x509.NameConstraints([of(permitted)] if permitted else None, [of(excluded)] if excluded else None)
    subject, names = (name, []) if isinstance(name, x509.Name) else (EMPTY, [name])
    return bool(outside(constraints, subject, names))


# Issue 10, section 5: names are compared by what they mean, and what cannot be told is decided against the name.


@pytest.mark.parametrize(
    "text",
    [
        *("a@b.example.", "a@b.example ", " a@b.example", "A <a@b.example>", "mailto:a@b.example", "b.example"),
        *("a@evil.example,b@b.example", "a@evil.example <b@b.example", '"a b"@b.example', "a@[10.0.0.1]"),
        *("a@b.exa\u200bmple", "ä@b.example", "a@b.example\n", "@b.example", "a@"),
    ],
)
def test_an_address_that_is_no_plain_one_is_outside_either_way(text: str) -> None:
    for name in (email(text), EMAIL._init_without_validation(text)):
        assert is_text_outside(name, permitted="b.example")
        assert is_text_outside(name, excluded="other.example")
    assert outside(x509.NameConstraints([DNS("b.example")], None), email(text), []) == ""


@pytest.mark.parametrize(
    "uri",
    [
        *("https://b.example./", "https://%62.example/", "https://b%2eexample/", "https://b .example/"),
        *("https:b.example", "https:///b.example/", "https://a@evil.example@b.example/", "https://[b.example]/"),
        *("https://2130706433/", "https://0x7f.1/", "https://0x7f000001/", "https://b.example:x/", "//b.example/"),
        *("https://evil.example\\@b.example/", "https://b.example\t/", "urn:b.example", "https://"),
    ],
)
def test_a_uri_whose_host_is_no_plain_one_is_outside_either_way(uri: str) -> None:
    name = URI._init_without_validation(uri)
    assert is_outside(name, permitted=URI("b.example"), excluded=None)
    assert is_outside(name, permitted=None, excluded=URI("other.example"))
    assert is_outside(name, permitted=URI("1"), excluded=None)


@pytest.mark.parametrize("text", ["b.example.", "b..example", "f*.b.example", "%62.example", "b.example "])
def test_a_host_name_that_is_no_plain_one_is_outside_either_way(text: str) -> None:
    name = DNS._init_without_validation(text)
    assert is_outside(name, permitted=DNS("b.example"), excluded=None)
    assert is_outside(name, permitted=None, excluded=DNS("other.example"))


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (DNS("b.example."), DNS("a.b.example")),
        (URI("b.example."), URI("https://b.example/")),
        (URI(".b.example."), URI("https://a.b.example/")),
        (EMAIL("b.example."), EMAIL("a@b.example")),
        (DNS("B.Example"), DNS("b.example")),
    ],
)
def test_a_constraint_may_end_with_the_dot_of_the_root(base: x509.GeneralName, name: x509.GeneralName) -> None:
    assert is_outside(name, permitted=None, excluded=base)
    assert not is_outside(name, permitted=base, excluded=None)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (DNS("a.b.example"), ("b.example/", ".", "b ")),
        (URI("https://b.example"), ("https://b.example", "b.example:1", "10.0.0.0/8")),
        (EMAIL("a@b.example"), ("@b.example", "A <a@b.example>")),
    ],
)
def test_a_constraint_that_is_none_forbids_every_name_of_its_form(name: Any, texts: tuple[str, ...]) -> None:
    for base in map(type(name)._init_without_validation, texts):
        assert is_outside(name, permitted=None, excluded=base)
        assert is_outside(name, permitted=base, excluded=None)


def test_a_mailbox_is_excluded_in_any_case_and_permitted_as_it_stands() -> None:
    for text, same in (("bob@b.example", True), ("bob@B.EXAMPLE", True), ("BOB@b.example", False)):
        for name in (EMAIL(text), email(text), mailbox(text)):
            assert is_text_outside(name, excluded="bob@b.example")
            assert is_text_outside(name, permitted="bob@b.example") is not same
    assert not is_text_outside(EMAIL("bo@b.example"), excluded="bob@b.example")


@pytest.mark.parametrize(
    ("text", "base", "within"),
    [
        ("ä@b.example", "b.example", True),
        ("ä@B.example", "b.example", True),
        ("ä@a.b.example", "b.example", False),
        ("ä@a.b.example", ".b.example", True),
        ("ä@evil.example", "b.example", False),
        ("ä@b.example", "a@b.example", None),
        ("a@bücher.example", "b.example", None),
        ("a\u200b@b.example", "b.example", None),
        ("a@b.example,c@b.example", "b.example", None),
        ("b.example", "b.example", None),
    ],
)
def test_rfc_9598_6_constraints_for_rfc822_name_are_for_smtp_utf8_mailbox_too(
    text: str, base: str, within: bool | None
) -> None:
    assert is_text_outside(mailbox(text), permitted=base) is (within is not True)
    assert is_text_outside(mailbox(text), excluded=base) is (within is not False)


def test_rfc_9598_3_a_mailbox_of_another_string_type_is_outside_either_way() -> None:
    for kwargs in ({"permitted": "b.example"}, {"excluded": "other.example"}):
        assert is_text_outside(mailbox("a@b.example", 0x16), **kwargs)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.1"),
        ("0.0.0.0/0", "::ffff:10.0.0.1"),
        ("::ffff:0:0/96", "10.0.0.1"),
    ],
)
def test_an_ipv4_address_is_excluded_in_both_forms_and_permitted_as_it_stands(base: str, name: str) -> None:
    assert is_outside(ip(name), permitted=None, excluded=net(base))
    assert is_outside(ip(name), permitted=net(base), excluded=None)


def test_the_exclusion_of_all_ipv6_addresses_is_none_of_ipv4() -> None:
    assert not is_outside(ip("10.0.0.1"), permitted=None, excluded=net("::/0"))
    assert is_outside(ip("::ffff:10.0.0.1"), permitted=None, excluded=net("::/0"))
    assert not is_outside(ip("2001:db8::1"), permitted=None, excluded=net("0.0.0.0/0"))


def test_a_network_is_no_address() -> None:
    assert is_outside(net("10.0.0.0/8"), permitted=None, excluded=net("10.0.0.0/8"))
    assert is_outside(net("10.0.0.0/8"), permitted=net("10.0.0.0/8"), excluded=None)


def test_4_2_1_10_a_wildcard_is_excluded_with_a_host_it_stands_for() -> None:
    assert is_outside(DNS("*.corp.example"), permitted=None, excluded=DNS("vpn.corp.example"))
    assert is_outside(DNS("*.corp.example"), permitted=DNS("vpn.corp.example"), excluded=None)
    assert not is_outside(DNS("*.corp.example"), permitted=None, excluded=DNS("vpn.other.example"))


def test_4_2_1_10_other_forms_are_free() -> None:
    name = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    for item in (EMAIL("a@b.example"), ip("10.0.0.1"), dn("O=x"), name, mailbox("a@b.example")):
        assert not is_outside(item, permitted=DNS("corp.example"), excluded=OTHER)
    assert not is_text_outside(OTHER, permitted="b.example", excluded="c.example")


def test_4_2_1_10_one_of_several_permitted_subtrees_is_enough() -> None:
    constraints = x509.NameConstraints([DNS("a.example"), DNS("b.example")], None)
    assert outside(constraints, EMPTY, [DNS("a.example"), DNS("b.example")]) == ""


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
