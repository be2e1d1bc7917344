"""scep_kem/server/pages.py and the files beside it: the page for people, CA certificate and CRL."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509

from ca.authority import create_authority
from scep.client import (
    Issued,
)
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Site, make_ca_dir


def test_the_page_shows_fingerprint_url_and_how_requests_are_authorised(site: Site) -> None:
    answer = site.get("")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert site.service.generations.current.identifier in answer.text
    assert "http://localhost/scep" in answer.text and "challenge password, renewal with a valid" in answer.text


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("manual", "renewal with a valid certificate, manual approval"),
        ("closed", "nothing: no certificate is issued"),
        ("asking", "<td>webhook</td>"),
    ],
)
def test_the_page_shows_each_way_of_authorising(site: Site, profile: str, said: str) -> None:
    assert said in site.http.get(f"/scep/{profile}").text


def test_the_page_says_how_to_enrol_an_ml_kem_key_where_one_is_challenged(site: Site) -> None:
    """The CA has no ML-KEM key itself, so the client must not require one. The profile "classic" certifies none."""
    text = site.http.get("/scep").text
    assert "--key-type ml-kem-" in text and "--require-kem" not in text
    assert "--key-type ml-kem" not in site.http.get("/scep/classic").text


@pytest.mark.parametrize("path", ["/scep", "/scep/manual", "/scep/manual/pkiclient.exe"])
def test_the_links_of_the_page_lead_somewhere(site: Site, path: str) -> None:
    text = site.http.get(path).text
    links = [piece.split('"')[0] for piece in text.split('href="')[1:]]
    assert len(links) == 4
    for link in links:
        assert site.http.get(link).status_code == 200


def test_the_page_escapes_the_subject(tmp_path: Path) -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, '<script>"&{profile}')])
    pair = create_authority(subject, "rsa:2048", ra_key_type=None, now=utc_now(), random=os.urandom).ca
    text = Site(make_ca_dir(tmp_path / "ca", pair=pair)).get("").text
    assert "<script>" not in text and "&lt;script" in text and "{profile}" in text


@pytest.mark.parametrize("tail", ["<script>", "x;curl evil|sh", "$(id)", "`id`", "x --ca-fingerprint 00"])
def test_the_page_shows_commands_that_a_link_cannot_change(site: Site, tail: str) -> None:
    """Somebody copies them into a shell, so nothing of the path asked for may stand in them."""
    assert tail not in site.http.get(f"/scep/manual/{quote(tail)}").text.replace("&lt;", "<").replace("&gt;", ">")


@pytest.mark.parametrize("host", ["evil.example/;id", "a b", "$(id)", '"><script>'])
def test_a_host_header_that_is_none_does_not_get_into_the_page(site: Site, host: str) -> None:
    answer = site.http.get("/scep", headers={"Host": host})
    assert "(id)" not in answer.text and ";id" not in answer.text and "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/ca.cer", "/scep/ca.cer", "/scep/default/ca.cer", "/scep/manual/ca.cer"])
def test_the_ca_certificate_is_a_file(site: Site, path: str) -> None:
    answer = site.http.get(path)
    assert answer.headers["Content-Type"] == "application/pkix-cert"
    assert x509.load_der_x509_certificate(answer.data) == site.service.generations.current.ca.certificate


@pytest.mark.parametrize("path", ["/crl", "/scep/crl", "/scep/default/crl", "/scep/manual/crl"])
def test_the_crl_is_a_file(site: Site, path: str) -> None:
    answer = site.http.get(path)
    assert answer.headers["Content-Type"] == "application/pkix-crl"
    crl = x509.load_der_x509_crl(answer.data)
    assert crl.is_signature_valid(site.service.generations.current.ca.certificate.public_key())  # type: ignore[arg-type]


def test_the_crl_has_a_certificate_as_soon_as_it_is_revoked(site: Site) -> None:
    issued = site.device(password=site.password()).enrol()
    assert isinstance(issued, Issued)
    serial = x509.load_der_x509_certificate(issued.certificate).serial_number
    assert len(x509.load_der_x509_crl(site.http.get("/crl").data)) == 0
    identifier = site.service.generations.current.identifier
    site.service.store.revoke(identifier, serial, reason="keyCompromise", now=utc_now())
    found = x509.load_der_x509_crl(site.http.get("/crl").data).get_revoked_certificate_by_serial_number(serial)
    assert found is not None


def test_the_crl_is_not_signed_for_everyone_who_asks(site: Site) -> None:
    assert len({site.http.get("/crl").data for _ in range(3)}) == 1
