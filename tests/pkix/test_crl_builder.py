"""CRLs of our own encoder (RFC 5280 section 5.1): the octets of `cryptography`, read by pyasn1 and OpenSSL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1_alt_modules import rfc5280

from ca.crl import REVOCATION_REASONS
from ca.profiles import extension
from pkix.crl_builder import CrlEntry, encode_crl
from pkix.keys import certificate_hash
from tests.pkix import second_opinion
from tests.pkix.openssl import OpenSsl, find_openssl
from tests.world import NOW, key, name

ISSUER = name("CN=issuer,O=Example")
EXTENSIONS = [extension(x509.CRLNumber(2**70))]
SERIALS = [1, 127, 128, 255, 256, 2**63, 2**64 - 1, 2**158 + 1, 2**159 - 1, 2**160 - 1, 2**1200 + 1]
ENTRIES = [CrlEntry(serial, NOW - timedelta(days=serial % 300), None) for serial in SERIALS]
REASONS = [CrlEntry(index + 1, NOW, reason) for index, reason in enumerate(REVOCATION_REASONS)]


def ours(entries: list[CrlEntry], key_type: str = "ed25519", now: datetime = NOW) -> bytes:
    end = now + timedelta(days=7)
    issuer = ISSUER.public_bytes()
    return encode_crl(issuer, entries, key(key_type, "crl"), this_update=now, next_update=end, extensions=EXTENSIONS)


def theirs(entries: list[CrlEntry], key_type: str = "ed25519", now: datetime = NOW) -> bytes:
    """The same by `cryptography.x509`, in the order given."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(ISSUER)
    builder = builder.last_update(now).next_update(now + timedelta(days=7))
    for item in EXTENSIONS:
        builder = builder.add_extension(item.value, item.critical)
    for number, moment, reason in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(moment)
        if reason not in (None, "unspecified"):
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(reason)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    signer = key(key_type, "crl")
    return builder.sign(signer, certificate_hash(signer)).public_bytes(Encoding.DER)


@pytest.mark.parametrize("key_type", ["ed25519", "rsa:2048"])
@pytest.mark.parametrize("entries", [[], ENTRIES[:-2], REASONS], ids=["none", "serials", "reasons"])
def test_the_octets_are_those_of_cryptography(entries: list[CrlEntry], key_type: str) -> None:
    """Keys whose signatures are deterministic."""
    assert ours(entries, key_type) == theirs(entries, key_type)


@pytest.mark.parametrize(
    "key_type", ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-87"]
)
def test_every_issuer_s_signature_verifies(key_type: str) -> None:
    crl = x509.load_der_x509_crl(ours(REASONS, key_type))
    assert crl.is_signature_valid(key(key_type, "crl").public_key())  # type: ignore[arg-type]


def test_entries_come_in_the_order_of_serial_numbers() -> None:
    """So that the same revocations make the same octets."""
    assert ours(ENTRIES[::-1]) == ours(ENTRIES)
    found = [item.serial_number for item in x509.load_der_x509_crl(ours(ENTRIES[:-1][::-1]))]
    assert found == sorted(SERIALS[:-1])


@pytest.mark.parametrize("year", [2049, 2050])
def test_times_are_utc_time_until_2049(year: int) -> None:
    """RFC 5280 sections 5.1.2.4 to 5.1.2.6."""
    moment = datetime(year, 12, 24, 23, 59, 59, tzinfo=UTC)
    der = ours([CrlEntry(1, moment, None)], now=moment)
    assert der == theirs([CrlEntry(1, moment, None)], now=moment)
    expected = b"\x17\x0d491224235959Z" if year < 2050 else b"\x18\x0f20501224235959Z"
    assert der.count(expected) == 2


def test_pyasn1_reads_it_and_encodes_the_same() -> None:
    found = second_opinion.exactly(ours(REASONS + ENTRIES[3:-1]), rfc5280.CertificateList())
    assert len(found["tbsCertList"]["revokedCertificates"]) == len(REASONS) + len(ENTRIES) - 4


def test_openssl_reads_it(tmp_path: Path) -> None:
    openssl = OpenSsl(find_openssl(), tmp_path)
    said = openssl.run(
        "crl", "-inform", "DER", "-noout", "-text", "-in", openssl.file(ours(REASONS, "ec:P-256"))
    ).decode()
    assert said.count("Serial Number:") == len(REASONS)
    assert "Key Compromise" in said and "Privilege Withdrawn" in said and "Unspecified" not in said
