"""CRLs and CA certificates over HTTP: what caches may keep, "not modified", and what GetCRL does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509

from ca.crl import CRL_LIFETIME
from scep_kem.ca_dir import CaDir
from scep_kem.server import scep as adapter
from tests.scep_kem.kit import Site, make_ca_dir, run
from tests.scep_kem.test_crl_places import CONFIG, enrolled, rolled_over

SECOND = timedelta(seconds=1)


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    return make_ca_dir(tmp_path / "own", CONFIG)


class Clock:
    """What the adapter takes for now."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(adapter, "utc_now", found)
    return found


@pytest.fixture
def site(own: CaDir, clock: Clock) -> Iterator[Site]:
    with own.open_store() as store:
        yield Site(own, store=store)


def urls(own: CaDir) -> tuple[str, str]:
    short = own.load().current.short_identifier
    return f"/scep/crl/{short}", f"/scep/ca.cer/{short}"


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def test_a_crl_may_be_kept_until_the_next_is_made(own: CaDir, site: Site, clock: Clock) -> None:
    url, _ = urls(own)
    site.http.get(url)
    clock.now += timedelta(minutes=20)
    headers = site.http.get(url).headers
    assert headers["Cache-Control"] == "public, max-age=2400"
    assert headers["ETag"].startswith('"') and len(headers["ETag"]) == 66


@pytest.mark.parametrize("path", ["/crl", "/scep/crl", "/scep/ca.cer", "/scep/other/crl"])
def test_what_is_the_current_ca_s_is_asked_for_each_time(site: Site, path: str) -> None:
    """After a rollover it is another one's."""
    headers = site.http.get(path).headers
    assert headers["Cache-Control"] == "public, no-cache" and headers["ETag"]


def test_a_certificate_may_be_kept_for_a_day(own: CaDir, site: Site) -> None:
    _, url = urls(own)
    assert site.http.get(url).headers["Cache-Control"] == "public, max-age=86400"


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', "*"])
def test_who_names_the_etag_gets_304(own: CaDir, site: Site, index: int, given: str) -> None:
    url = urls(own)[index]
    first = site.http.get(url)
    answer = site.http.get(url, headers={"If-None-Match": given.format(first.headers["ETag"])})
    assert answer.status_code == 304 and answer.data == b"" and "Content-Type" not in answer.headers
    for name in ("ETag", "Cache-Control"):
        assert answer.headers[name] == first.headers[name]


def test_after_a_revocation_the_etag_is_another(own: CaDir, site: Site) -> None:
    url, _ = urls(own)
    certificate = enrolled(site)
    first = site.http.get(url)
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    answer = site.http.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert answer.status_code == 200 and len(x509.load_der_x509_crl(answer.data)) == 1
    assert answer.headers["ETag"] != first.headers["ETag"]


def test_if_modified_since(own: CaDir, site: Site, clock: Clock) -> None:
    url, _ = urls(own)
    site.http.get(url)
    clock.now += SECOND
    said = site.http.get(url).headers["Last-Modified"]
    for given, status in ((clock.now - SECOND, 200), (clock.now, 304), (clock.now + SECOND, 304)):
        assert site.http.get(url, headers={"If-Modified-Since": http_date(given)}).status_code == status
    assert said == http_date(clock.now)
    clock.now += CRL_LIFETIME
    assert site.http.get(url, headers={"If-Modified-Since": said}).status_code == 200


def test_two_crls_of_one_second_are_two(own: CaDir, site: Site, clock: Clock) -> None:
    """Who has the first is not told that the second is the same."""
    url, _ = urls(own)
    certificate = enrolled(site)
    first = site.http.get(url)
    assert "Last-Modified" not in first.headers
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    assert site.http.get(url).data != first.data
    clock.now += SECOND
    answer = site.http.get(url, headers={"If-Modified-Since": http_date(clock.now - SECOND)})
    assert answer.status_code == 200


def test_if_none_match_decides_alone(own: CaDir, site: Site, clock: Clock) -> None:
    """RFC 9110 section 13.1.3."""
    url, _ = urls(own)
    headers = {"If-None-Match": '"another"', "If-Modified-Since": http_date(clock.now + timedelta(days=1))}
    site.http.get(url)
    clock.now += SECOND
    assert site.http.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize("given", ["yesterday", "", "Thu, 99 Foo 2026 25:00:00 GMT", "1", "\xff", "0" * 5000])
def test_a_date_that_is_none_is_ignored(own: CaDir, site: Site, clock: Clock, given: str) -> None:
    url, _ = urls(own)
    site.http.get(url)
    clock.now += SECOND
    assert site.http.get(url, headers={"If-Modified-Since": given}).status_code == 200


def test_head_says_the_same_without_the_body(own: CaDir, site: Site) -> None:
    for url in urls(own):
        got, head = site.http.get(url), site.http.head(url)
        assert head.data == b"" and dict(head.headers) == dict(got.headers)
        assert int(head.headers["Content-Length"]) == len(got.data)


def test_profiles_and_generations_share_what_is_in_memory(own: CaDir, site: Site) -> None:
    old, new = rolled_over(own)
    for path in (f"/scep/crl/{old}", f"/scep/other/crl/{old}", f"/scep/crl/{new}", f"/scep/other/crl/{new}"):
        assert site.http.get(path).status_code == 200
    assert len(site.service._crls._places) == 2


def test_a_crl_that_the_command_signed_is_served(own: CaDir, site: Site, tmp_path: Path) -> None:
    url, _ = urls(own)
    first = site.http.get(url).data
    run("ca", "crl", "--dir", own.path, "--der", "--out", tmp_path / "crl").good()
    made = (tmp_path / "crl").read_bytes()
    assert made != first and site.http.get(url).data == made
