"""What certificates let their keys be used for (RFC 5280 sections 4.2.1.3, 4.2.1.9, 4.2.1.12)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509
from pyasn1_alt_modules import rfc5280

from ca.profiles import extension
from pkix.certificate_builder import Contents, encode_certificate
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, spki_of
from pkix.usages import CMC_RA, extended_usages, is_ca, is_cmc_ra, key_usage, may, possible_usages, usage_names
from tests.pkix import second_opinion
from tests.world import NOW, key, name

NAMES = (
    *("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment"),
    *("keyAgreement", "keyCertSign", "cRLSign"),
)
ANY = x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
CLIENT_AUTH = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH


def certificate(*values: x509.ExtensionType) -> x509.Certificate:
    """A certificate with these extensions."""
    private, subject = key("ec:P-256"), name("CN=somebody").public_bytes()
    contents = Contents(
        serial_number=7,
        issuer=subject,
        subject=subject,
        spki=spki_of(private),
        not_before=NOW,
        not_after=NOW + timedelta(days=1),
        extensions=[],
    )
    found = dataclasses.replace(contents, extensions=[extension(value) for value in values])
    return x509.load_der_x509_certificate(encode_certificate(found, private))


@pytest.mark.parametrize("usage", NAMES)
def test_each_bit_by_its_name(usage: str) -> None:
    value = key_usage({usage})
    bits = second_opinion.exactly(value.public_bytes(), rfc5280.KeyUsage())
    named = "nonRepudiation" if usage == "contentCommitment" else usage
    assert [bit for bit, at in rfc5280.KeyUsage.namedValues.items() if at < len(bits) and bits[at]] == [named]
    only = certificate(value)
    assert usage_names(only.extensions) == {usage}
    assert [other for other in NAMES if may(only, other)] == [usage]


def test_no_key_usage_allows_everything() -> None:
    free = certificate(x509.BasicConstraints(ca=False, path_length=None))
    assert usage_names(free.extensions) is None
    assert all(may(free, usage) for usage in NAMES)


def test_a_key_usage_of_no_bit_allows_nothing() -> None:
    assert not any(may(certificate(key_usage(())), usage) for usage in NAMES)


def test_purposes_are_as_they_stand_or_absent() -> None:
    assert extended_usages(certificate().extensions) is None
    wanted = [CLIENT_AUTH, CMC_RA]
    assert extended_usages(certificate(x509.ExtendedKeyUsage(wanted)).extensions) == wanted


@pytest.mark.parametrize(
    ("purposes", "marked"), [([CLIENT_AUTH, CMC_RA], True), ([CLIENT_AUTH], False), ([ANY], False)]
)
def test_an_ra_has_the_mark(purposes: list[x509.ObjectIdentifier], marked: bool) -> None:
    assert is_cmc_ra(certificate(x509.ExtendedKeyUsage(purposes))) is marked


def test_who_has_no_extended_key_usage_is_no_ra() -> None:
    assert not is_cmc_ra(certificate())


def test_a_ca_says_so() -> None:
    assert is_ca(certificate(x509.BasicConstraints(ca=True, path_length=0)))
    assert not is_ca(certificate(x509.BasicConstraints(ca=False, path_length=None)))
    assert not is_ca(certificate(key_usage({"keyCertSign"})))


@pytest.mark.parametrize("kind", [*KEY_TYPES, *KEM_KEY_TYPES, "rsa-pss:2048"])
def test_issue_10_2_what_each_algorithm_can_have(kind: str) -> None:
    """RFC 3279 2.3.1, RFC 4055 1.2, RFC 5480 3, RFC 9295 3, RFC 9881 5, RFC 9935 5."""
    signing = {"digitalSignature", "contentCommitment", "keyCertSign", "cRLSign"}
    more = {"rsa": {"keyEncipherment", "dataEncipherment"}, "ec": {"keyAgreement", "encipherOnly", "decipherOnly"}}
    expected = signing | more.get(kind.partition(":")[0], set())
    assert possible_usages(kind) == ({"keyEncipherment"} if kind in KEM_KEY_TYPES else expected)


@pytest.mark.parametrize("only", ["encipherOnly", "decipherOnly"])
def test_what_says_more_of_key_agreement(only: str) -> None:
    assert usage_names(certificate(key_usage({"keyAgreement", only})).extensions) == {"keyAgreement", only}
    with pytest.raises(ValueError, match="key_agreement"):
        key_usage({only})
