"""Issue 10, section 6, X-Forwarded-*: believed from trusted proxies only; who the client is."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from scep_kem.ca_dir import CaDir
from scep_kem.errors import UsageError
from scep_kem.proxies import see_through
from tests.scep_kem.kit import CONFIG, Site, make_ca_dir

TRUSTED = tuple(ip_network(text) for text in ("127.0.0.1", "::1", "10.0.0.0/8"))


def seen(peer: str, **headers: str) -> dict[str, Any]:
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "ca.example"}
    environ |= {f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()}
    see_through(environ, TRUSTED)
    return environ


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),  # what stands before may be made up
        ("127.0.0.1", "192.0.2.7, 10.1.2.3", "192.0.2.7"),  # through two proxies
        ("127.0.0.1", "10.9.9.9,10.1.2.3", "10.9.9.9"),  # nobody but proxies
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.7:50000", "192.0.2.7"),
        ("127.0.0.1", "[2001:db8::7]:50000", "2001:db8::7"),
        ("127.0.0.1", "192.0.2.7, unknown", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7, _hidden, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "x\r\ny", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%eth0.12", "fe80::1%eth0.12"),
        ("127.0.0.1", "[fe80::1%2]:50000", "fe80::1%2"),
        ("127.0.0.1", "fe80::1%", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%" + "a" * 15, "fe80::1%" + "a" * 15),
        ("127.0.0.1", "fe80::1%" + "a" * 16, "127.0.0.1"),  # longer than any interface's name
        ("127.0.0.1", "192.0.2.7, fe80::1%" + "a" * 100_000, "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7, [fe80::1%" + "a" * 100_000 + "]:1", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%x\u202e", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%eth0\nx", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%\x1b[2J\nforged", "127.0.0.1"),
        ("127.0.0.1", "::ffff:192.0.2.7%\x1b", "127.0.0.1"),
        ("127.0.0.1", "[::1]forged", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7:forged", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7" + ", 10.1.2.3" * 31, "192.0.2.7"),
        ("127.0.0.1", "192.0.2.7" + ", 10.1.2.3" * 32, "10.1.2.3"),  # more proxies than anybody has
        ("127.0.0.2", "192.0.2.7", "127.0.0.2"),  # not trusted
        ("198.51.100.9", "192.0.2.7", "198.51.100.9"),
        ("", "192.0.2.7", "192.0.2.7"),  # a socket in the file system
        ("", "", ""),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy(peer: str, forwarded: str, client: str) -> None:
    assert seen(peer, **{"for": forwarded})["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    ("peer", "proto", "scheme"),
    [
        ("127.0.0.1", "https", "https"),
        ("127.0.0.1", "http, HTTPS", "https"),
        ("127.0.0.1", "https, http", "http"),
        ("127.0.0.1", "javascript", "http"),
        ("198.51.100.9", "https", "http"),
    ],
)
def test_scheme_and_host_are_those_that_the_nearest_proxy_says(peer: str, proto: str, scheme: str) -> None:
    environ = seen(peer, proto=proto, host="evil.example, public.example")
    host = "ca.example" if peer == "198.51.100.9" else "public.example"
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (scheme, host)


def test_without_a_remote_address_at_all() -> None:
    environ: dict[str, Any] = {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}
    see_through(environ, TRUSTED)
    assert environ["REMOTE_ADDR"] == "192.0.2.7"


# In the application


HEADERS = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "ca.example"}


def test_page_and_log_show_what_the_client_used(site: Site, log: pytest.LogCaptureFixture) -> None:
    assert "https://ca.example/scep" in site.get("", headers=HEADERS).text
    message = site.device(password=site.password()).start()
    site.post(message, headers=HEADERS)
    site.http.post("/scep", data=b"garbage", headers=HEADERS)
    lines = [record.getMessage() for record in log.records if "GetCACert" not in record.getMessage()]
    assert len(lines) == 3 and all('client="192.0.2.7"' in line for line in lines)


def test_neither_log_nor_database_gets_a_zone_of_any_length(ca_dir: CaDir, log: pytest.LogCaptureFixture) -> None:
    site = Site(ca_dir, path="/scep/manual")
    site.post(site.device().start(), headers={"X-Forwarded-For": "fe80::1%" + "a" * 100_000})
    (waiting,) = site.service.store.transactions()
    assert waiting.client == "127.0.0.1" and "aaaa" not in log.text


def test_a_stranger_is_not_believed(site: Site, log: pytest.LogCaptureFixture) -> None:
    page = site.get("", headers=HEADERS, environ_overrides={"REMOTE_ADDR": "198.51.100.9"}).text
    assert "https://ca.example" not in page and 'client="198.51.100.9"' in log.records[0].getMessage()


def test_nobody_is_believed_where_the_configuration_trusts_nobody(tmp_path: Path) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[server]\ntrusted_proxies = []\n"))
    assert "https://ca.example" not in site.get("", headers=HEADERS).text


@pytest.mark.parametrize("host", ["evil.example/;id", "a b", "$(id)", '"><script>'])
def test_a_forwarded_host_that_is_none_does_not_get_into_the_page(site: Site, host: str) -> None:
    answer = site.get("", headers={"X-Forwarded-Host": host})
    assert "(id)" not in answer.text and ";id" not in answer.text and "<script>" not in answer.text


@pytest.mark.parametrize("value", ['["127.0.0.1/33"]', '["ca.example"]', '["10.0.0.1/8"]', '"127.0.0.1"'])
def test_what_is_no_network_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match=r"server\.trusted_proxies"):
        Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[server]\ntrusted_proxies = {value}\n"))
