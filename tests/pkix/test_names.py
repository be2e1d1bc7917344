"""Names that are the same by RFC 5280 section 7.1, and names that are not."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pkix.names import comparable
from tests.world import name


def common(value: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, kind)])


@pytest.mark.parametrize(
    "other",
    ["DEVICE one", " device one", "device one ", "device  one", "device\tone", "de\u00advice one", "de\u200bvice one",
     "de\ufe0fvice\u00a0one", "\uff44evice one", "device\none"],
    ids=ascii,
)  # fmt: skip
def test_the_same_name(other: str) -> None:
    assert comparable(common(other)) == comparable(common("device one"))


def test_the_string_type_makes_no_difference() -> None:
    assert comparable(common("device", _ASN1Type.PrintableString)) == comparable(common("device"))


@pytest.mark.parametrize("other", ["deviceone", "device-one", "device one.", "device öne"], ids=ascii)
def test_another_name(other: str) -> None:
    assert comparable(common(other)) != comparable(common("device one"))


def test_sharp_s_and_accents_fold_as_unicode_says() -> None:
    assert comparable(common("Straße")) == comparable(common("STRASSE"))
    assert comparable(common("Ge\u0301rard")) == comparable(common("GÉRARD"))


def test_the_order_of_rdns_counts_and_that_inside_one_does_not() -> None:
    assert comparable(name("CN=a,O=b")) != comparable(name("O=b,CN=a"))
    assert comparable(name("CN=a+O=b")) == comparable(name("O=b+CN=a"))
    assert comparable(name("CN=a+O=b")) != comparable(name("CN=a,O=b"))


def test_the_attribute_type_counts() -> None:
    assert comparable(name("CN=a")) != comparable(name("O=a"))


def test_no_value_can_pose_as_several_attributes() -> None:
    forged = common("a,2.5.4.10=b")
    assert comparable(forged) != comparable(name("O=b,CN=a"))
    assert comparable(common("a+2.5.4.10=b")) != comparable(name("CN=a+O=b"))
    assert comparable(common("a\\,2.5.4.10=b")) != comparable(common("a,2.5.4.10=b"))


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_preparing_twice_changes_nothing(text: str) -> None:
    value = comparable(common(text)).removeprefix("2.5.4.3=").replace("\\,", ",").replace("\\+", "+")
    value = value.replace("\\\\", "\\")
    if value:
        assert comparable(common(value)) == comparable(common(text))
