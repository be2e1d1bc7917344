"""How many values and octets a peer may send is looked at before an object is made for each of them."""

from __future__ import annotations

import contextlib

import pytest

import pkix.asn1
import pkix.signed_data
import tests.pkix.tlv
from pkix import oids
from pkix.asn1 import MAX_ELEMENTS, TLV, any_of, elements, encode, has_more_than
from pkix.errors import Malformed
from pkix.signed_data import (
    MAX_CERTIFICATES,
    MAX_CERTIFICATES_LENGTH,
    MAX_CRLS,
    MAX_SIGNER_LENGTH,
    SignedData,
    encode_degenerate,
)
from tests.pkix.forge import SignedDataForge, attribute, peer, sequence
from tests.pkix.tlv import Node, integer, tlv
from tests.world import Random


def signed(certificates: bytes = b"", crls: bytes = b"", signers: bytes = b"") -> bytes:
    body = sequence(
        integer(1),
        tlv(0x31),
        sequence(encode(oids.DATA)),
        tlv(0xA0, certificates) if certificates else b"",
        tlv(0xA1, crls) if crls else b"",
        tlv(0x31, signers),
    )
    return sequence(encode(oids.SIGNED_DATA), tlv(0xA0, body))


def refused(message: bytes, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SignedData having been parsed."""
    monkeypatch.setattr(pkix.signed_data, "parse", None)
    with pytest.raises(Malformed, match=text):
        SignedData._decode_der(message)


@pytest.mark.parametrize("count", [MAX_CERTIFICATES + 1, 100_000])
def test_too_many_certificates(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(signed(b"\x30\x00" * count), f"more than {MAX_CERTIFICATES} certificates", monkeypatch)


def test_as_many_certificates_as_may_be() -> None:
    assert len(SignedData.decode(signed(b"\x30\x00" * MAX_CERTIFICATES)).certificates) == MAX_CERTIFICATES
    assert SignedData.decode(encode_degenerate([peer().certificate.der])).certificates == (peer().certificate.der,)


def test_too_large_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    large = tlv(0x30, tlv(0x04, bytes(MAX_CERTIFICATES_LENGTH)))
    refused(signed(large), f"more than {MAX_CERTIFICATES_LENGTH} octets of certificates", monkeypatch)


@pytest.mark.parametrize("count", [MAX_CRLS + 1, 100_000])
def test_too_many_crls(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(signed(crls=b"\x30\x00" * count), f"more than {MAX_CRLS} CRLs", monkeypatch)


def test_a_crl_may_be_large() -> None:
    crl = tlv(0x30, tlv(0x04, bytes(1 << 20)))
    assert SignedData.decode(signed(crls=crl)).crls == (crl,)


@pytest.mark.parametrize("unsigned", [False, True])
def test_too_large_attributes(unsigned: bool) -> None:
    large = attribute(oids.Oid("1.2.3.4"), tlv(0x04, bytes(MAX_SIGNER_LENGTH)))
    forge = SignedDataForge(peer())
    if unsigned:
        tree = Node.parse(forge.encode())
        info = tree[1][0][-1][0]
        info.insert(len(info), Node.parse(tlv(0xA1, large)))
        message = tree.der()
    else:
        forge.attributes = sorted([*forge.default_attributes(), large])
        message = forge.encode()
    with pytest.raises(Malformed, match=f"more than {MAX_SIGNER_LENGTH} octets of signers or attributes"):
        SignedData.decode(message)


def test_too_many_values_are_not_made_objects_of(monkeypatch: pytest.MonkeyPatch) -> None:
    value = any_of(tlv(0x30, b"\x05\x00" * (MAX_ELEMENTS + 1)))
    monkeypatch.setattr(pkix.asn1, "decode", None)
    with pytest.raises(Malformed, match=f"more than {MAX_ELEMENTS} values in one"):
        elements(value)


def test_as_many_values_as_may_be() -> None:
    found: list[TLV] = elements(any_of(tlv(0x30, b"\x05\x00" * MAX_ELEMENTS)))
    assert len(found) == MAX_ELEMENTS


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_values_are_counted_whatever_their_length(size: int, count: int) -> None:
    contents = tlv(0x04, bytes(size)) * count
    assert not has_more_than(count, contents)
    assert has_more_than(count - 1, contents)


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff" + bytes(40), b"\x30\xff" + bytes(40)])
def test_counting_ends_at_what_is_no_value(octets: bytes) -> None:
    assert not has_more_than(5, octets)


# The tests' own reader


def test_overlapping_values_are_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that ends behind its parent is read, and then what is behind the parent once more, at every level."""
    reads = []
    real = tests.pkix.tlv._read
    monkeypatch.setattr(tests.pkix.tlv, "_read", lambda *where: reads.append(where) or real(*where))
    for number in range(300):
        sizes = (octet % 10 for octet in Random(f"overlapping {number}")(60))
        der = tlv(0x30, b"".join(bytes((0x30, size)) for size in sizes), bytes(100))
        reads.clear()
        with contextlib.suppress(AssertionError, IndexError):
            Node.parse(der)
        assert len(reads) <= len(der) // 2
