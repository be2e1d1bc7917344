"""How the client reads GetCACaps (RFC 8894 section 3.5.2)."""

from __future__ import annotations

import pytest

from scep.capabilities import Capabilities, encode_capabilities

KEYWORDS = ("AES", "POSTPKIOperation", "Renewal")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \r\n", "\t\n"])
def test_3_5_2_both_line_ends_are_accepted(end: str) -> None:
    found = Capabilities.decode(end.join(KEYWORDS).encode())
    assert all(found.has(keyword) for keyword in KEYWORDS)


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_3_5_2_case_is_ignored(change: object) -> None:
    assert callable(change)
    found = Capabilities.decode("\n".join(change(keyword) for keyword in KEYWORDS).encode())
    assert all(found.has(keyword) for keyword in KEYWORDS)


def test_3_5_2_unknown_keywords_are_ignored() -> None:
    found = Capabilities.decode(b"Update\nRenewal\nX-Frobnicate: 7\n\xff\xfe\x00\n")
    assert found.has("Renewal")
    assert not found.has("AES")


@pytest.mark.parametrize("body", [b"", b"\n", b"<html><body>404</body></html>"])
def test_3_5_2_nothing_understood_means_nothing_supported(body: bytes) -> None:
    found = Capabilities.decode(body)
    assert not any(found.has(keyword) for keyword in (*KEYWORDS, "SHA-256", "SCEPStandard"))


@pytest.mark.parametrize("keyword", ["AES", "POSTPKIOperation", "SHA-256", "SCEPStandard"])
def test_3_5_2_scep_standard_implies_what_section_2_9_demands(keyword: str) -> None:
    assert Capabilities.decode(b"SCEPStandard\r\n").has(keyword)


@pytest.mark.parametrize("keyword", ["DES3", "SHA-1", "Renewal", "GetNextCACert", "SHA-512"])
def test_3_5_2_scep_standard_implies_nothing_else(keyword: str) -> None:
    assert not Capabilities.decode(b"SCEPStandard\r\n").has(keyword)


def test_3_5_2_a_keyword_is_a_whole_line() -> None:
    found = Capabilities.decode(b"AES Renewal\nSHA-256,SHA-512\nSHA-1x\n")
    assert not any(found.has(keyword) for keyword in ("AES", "Renewal", "SHA-256", "SHA-512", "SHA-1"))


def test_3_5_2_we_understand_ourselves() -> None:
    found = Capabilities.decode(encode_capabilities(renewal=True, legacy=True))
    assert all(found.has(keyword) for keyword in (*KEYWORDS, "SHA-1", "DES3", "SHA-512", "GetNextCACert"))
