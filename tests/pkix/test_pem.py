"""RFC 7468 as far as it is read and written here."""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.certificates import Certificate
from pkix.errors import Malformed
from pkix.pem import decode_pem, encode_pem, pem_blocks
from tests.world import authority


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 1000])
def test_what_is_written_is_read_again_in_lines_of_64(size: int) -> None:
    text = encode_pem("SOME THING", bytes(size))
    ((label, contents),) = pem_blocks(text)
    assert (label, decode_pem(contents, "x")) == ("SOME THING", bytes(size))
    assert text.endswith(b"-----END SOME THING-----\n") and all(len(line) <= 64 for line in contents.splitlines())


def test_a_certificate_is_written_as_the_library_writes_it() -> None:
    certificate = authority().ca.certificate
    assert Certificate.of(certificate).pem == certificate.public_bytes(Encoding.PEM)
    assert x509.load_pem_x509_certificate(Certificate.of(certificate).pem) == certificate


def test_blocks_come_in_order_and_what_does_not_end_is_none() -> None:
    whole = encode_pem("A", b"one") + b"text between\n" + encode_pem("B", b"two")
    assert [label for label, _contents in pem_blocks(b"Bag Attributes\n" + whole)] == ["A", "B"]
    assert pem_blocks(b"-----BEGIN A-----\nAAAA\n-----END B-----\n") == []
    assert pem_blocks(b"-----BEGIN A-----\nAAAA\n") == [] == pem_blocks(b"-----END A-----\n")
    unfinished = b"-----BEGIN A-----\nAAAA\n"
    assert [decode_pem(contents, "x") for _label, contents in pem_blocks(unfinished + whole)] == [b"one", b"two"]


@pytest.mark.parametrize("contents", [b"AA=A", b"%%%%", b"A", b"A\xff=="])
def test_what_is_no_base64_is_told(contents: bytes) -> None:
    with pytest.raises(Malformed, match=re.escape("the key cannot be read: its PEM is not valid base64")):
        decode_pem(contents, "the key cannot be read")
