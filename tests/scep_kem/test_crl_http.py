"""CRLs and CA certificates over HTTP: what caches may keep, "not modified", and what GetCRL does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509

from ca.crl import CRL_LIFETIME, Crls
from ca.store import StoreUnavailable
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import load
from scep_kem.server import scep as adapter
from scep_kem.server.caching import SETTLED
from tests.scep_kem.kit import Site, make_ca_dir, raw, run, serving
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
@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', '{},W/"other"', "*", " * "])
def test_who_names_the_etag_gets_304(own: CaDir, site: Site, index: int, given: str) -> None:
    url = urls(own)[index]
    first = site.http.get(url)
    answer = site.http.get(url, headers={"If-None-Match": given.format(first.headers["ETag"])})
    assert (
        answer.status_code == 304 and answer.data == b"" and not {"Content-Type", "Content-Length"} & {*answer.headers}
    )
    for name in ("ETag", "Cache-Control"):
        assert answer.headers[name] == first.headers[name]


@pytest.mark.parametrize("given", ['"other"', '"*"', '*, "other"', "{bare}", '"{bare}', "w/{}", '"x{bare}"', ","])
def test_who_names_another_etag_gets_the_body(own: CaDir, site: Site, given: str) -> None:
    url, _ = urls(own)
    first = site.http.get(url)
    tag = first.headers["ETag"]
    answer = site.http.get(url, headers={"If-None-Match": given.format(tag, bare=tag.strip('"'))})
    assert answer.status_code == 200 and answer.data == first.data


def test_after_a_revocation_the_etag_is_another(own: CaDir, site: Site) -> None:
    url, _ = urls(own)
    certificate = enrolled(site)
    first = site.http.get(url)
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    answer = site.http.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert answer.status_code == 200 and len(x509.load_der_x509_crl(answer.data)) == 1
    assert answer.headers["ETag"] != first.headers["ETag"]


def test_if_modified_since_has_to_be_what_was_said(own: CaDir, site: Site, clock: Clock) -> None:
    """RFC 9110 section 13.1.3: a date that is later, too, may be of a body from before the clock was set back."""
    url, _ = urls(own)
    made = clock.now
    site.http.get(url)
    clock.now += timedelta(hours=0.5)
    said = site.http.get(url).headers["Last-Modified"]
    assert said == http_date(made + SETTLED)
    for given, status in ((-SECOND, 200), (timedelta(0), 304), (SECOND, 200), (timedelta(days=1), 200)):
        date = http_date(made + SETTLED + given)
        answer = site.http.get(url, headers={"If-Modified-Since": date})
        assert answer.status_code == status and answer.headers.get("Last-Modified", said) == said
    clock.now += CRL_LIFETIME
    assert site.http.get(url, headers={"If-Modified-Since": said}).status_code == 200


def test_a_clock_that_is_set_back_makes_nothing_old_pass_for_new(own: CaDir, site: Site, clock: Clock) -> None:
    url, _ = urls(own)
    right = clock.now
    certificate = enrolled(site)
    clock.now += timedelta(days=5)
    site.http.get(url)
    clock.now += SETTLED
    said = site.http.get(url).headers["Last-Modified"]
    clock.now = right
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    site.http.get(url)
    clock.now += SETTLED
    answer = site.http.get(url, headers={"If-Modified-Since": said})
    assert answer.status_code == 200 and len(x509.load_der_x509_crl(answer.data)) == 1


def test_last_modified_is_said_when_nothing_older_can_be_served_any_more(own: CaDir, site: Site, clock: Clock) -> None:
    """A client without it may ask with the date of its answer, while a CRL of 200,000 entries takes seconds to make."""
    url, _ = urls(own)
    for later, said in ((timedelta(0), False), (SETTLED - SECOND, False), (SECOND, True)):
        clock.now += later
        assert ("Last-Modified" in site.http.get(url).headers) == said
        answer = site.http.get(url, headers={"If-Modified-Since": http_date(clock.now)})
        assert answer.status_code == (304 if said else 200)


def test_if_none_match_decides_alone(own: CaDir, site: Site, clock: Clock) -> None:
    """RFC 9110 section 13.1.3."""
    url, _ = urls(own)
    site.http.get(url)
    clock.now += SETTLED
    said = site.http.get(url).headers["Last-Modified"]
    for more, status in (({}, 304), ({"If-None-Match": '"another"'}, 200), ({"If-None-Match": ""}, 304)):
        assert site.http.get(url, headers={"If-Modified-Since": said, **more}).status_code == status


@pytest.mark.parametrize("given", ["yesterday", "", "{0}, {0}", "1", "\xff", "0" * 5000])
def test_a_date_that_is_none_is_ignored(own: CaDir, site: Site, clock: Clock, given: str) -> None:
    url, _ = urls(own)
    site.http.get(url)
    clock.now += SETTLED
    said = site.http.get(url).headers["Last-Modified"]
    assert site.http.get(url, headers={"If-Modified-Since": given.format(said)}).status_code == 200


def test_head_says_the_same_without_the_body(own: CaDir, site: Site) -> None:
    for url in urls(own):
        got, head = site.http.get(url), site.http.head(url)
        assert head.data == b"" and dict(head.headers) == dict(got.headers)
        assert int(head.headers["Content-Length"]) == len(got.data)


@pytest.mark.parametrize("index", [0, 1])
def test_head_may_be_answered_with_not_modified(own: CaDir, site: Site, index: int) -> None:
    url = urls(own)[index]
    tag = site.http.head(url).headers["ETag"]
    assert site.http.head(url, headers={"If-None-Match": tag}).status_code == 304


def test_not_modified_as_it_goes_out(own: CaDir) -> None:
    """No body, and no length of one (RFC 9110 section 8.6); two fields of one name are one list."""
    url, _ = urls(own)
    with own.open_store() as store, serving(load(own.config_path)) as port:
        crl = Crls(store).make(own.load().current, now=utc_now())
        head = f"GET {url} HTTP/1.1\r\nHost: ca.example\r\nConnection: close\r\n"
        fields = f'If-None-Match: "other"\r\nIf-None-Match: "{crl.digest}"\r\n\r\n'
        status, headers, body = raw(port, (head + fields).encode())
        assert status == 304 and body == b""
        assert not {"content-length", "content-type", "transfer-encoding"} & {name.lower() for name in headers}
        assert raw(port, f"{head}\r\n".encode())[2] == crl.der


@pytest.mark.parametrize("path", ["/scep/crl/0123456789abcdef", "/scep/ca.cer/0123456789abcdef", "/elsewhere"])
def test_what_is_not_there_is_not_kept(site: Site, path: str) -> None:
    """It may be there the next time, for instance after a rollover. Caches keep a 404 else (RFC 9110 section 15.1)."""
    answer = site.http.get(path, headers={"If-None-Match": "*"})
    assert answer.status_code == 404 and answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers


def test_a_failure_is_not_kept(own: CaDir, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = urls(own)

    def fails(*_given: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(site.service.store, "keep_crl", fails)
    answer = site.http.get(url)
    assert answer.status_code == 503 and answer.headers["Cache-Control"] == "no-store"


def test_one_that_is_served_while_the_next_is_made_is_not_kept_beyond_its_hour(
    own: CaDir, site: Site, clock: Clock
) -> None:
    url, _ = urls(own)
    first = site.http.get(url)
    clock.now += CRL_LIFETIME + SECOND
    (place,) = site.service._crls._places.values()
    with place.making:
        answer = site.http.get(url)
    assert answer.data == first.data and answer.headers["Cache-Control"] == "public, max-age=0"


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
