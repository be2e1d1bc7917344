"""scep_kem/budgets.py and what must agree with it: who waits how long, also for gunicorn and nginx, and in pages."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ca import crl
from ca.events import Reply
from ca.sql_engine import BUSY_TIMEOUT, Database
from pkix.algorithms import AES256_GCM
from scep.client import ClientSettings, Issued
from scep.responder import Responder
from scep_kem import budgets, gunicorn
from scep_kem.client import connections
from scep_kem.config import Config
from scep_kem.config_keys import AUTHORISATION
from scep_kem.server.connections import MAX_HEADER
from scep_kem.webhook_config import WebhookConfig
from tests.scep.kem_kit import renewing
from tests.scep_kem.kit import ROOT, Site, make_ca_dir
from tests.world import Device

NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
UNITS = {"": 1, "s": 1, "k": 1 << 10, "m": 1 << 20}
COMMAND = "gunicorn --config python:scep_kem.gunicorn 'scep_kem.wsgi:create_app(\"{}scep.toml\")'"


def nginx(name: str) -> int:
    """The last value of nginx's directive, in seconds or octets."""
    (found,) = re.findall(rf"^ *{name} .*?(\d+)([skm]?);$", NGINX, re.M)
    return int(found[0]) * UNITS[found[1]]


def test_the_answer_is_there_before_anybody_gives_up() -> None:
    """With time for the network and the work itself between one and the next."""
    answer = budgets.DATABASE_WAITS * BUSY_TIMEOUT + budgets.LONGEST_WEBHOOK
    assert answer == budgets.ANSWER and 0 < BUSY_TIMEOUT <= 5 and 0 < budgets.WEBHOOK <= 5
    assert budgets.WEBHOOK <= budgets.LONGEST_WEBHOOK
    assert answer + 5 <= budgets.SERVER and budgets.SERVER + nginx("proxy_connect_timeout") + 5 <= budgets.CLIENT


def test_who_waits_for_a_crl_and_then_makes_one_is_answered_in_time() -> None:
    """Making one writes twice: its number, and the CRL."""
    assert 2 * BUSY_TIMEOUT <= crl.WAIT and crl.WAIT + 2 * BUSY_TIMEOUT <= budgets.DATABASE_WAITS * BUSY_TIMEOUT


def test_everybody_has_the_time_that_is_named_there() -> None:
    assert connections.READ_TIMEOUT == budgets.CLIENT
    assert gunicorn.timeout == nginx("proxy_read_timeout") == budgets.SERVER
    assert WebhookConfig("https://decide.example/").timeout == budgets.WEBHOOK
    longest = AUTHORISATION["webhook_timeout_seconds"].check
    assert longest is not None and longest(budgets.LONGEST_WEBHOOK) and not longest(budgets.LONGEST_WEBHOOK + 0.1)


def test_webhooks_leave_threads_over() -> None:
    assert gunicorn.threads == budgets.THREADS and gunicorn.worker_class == "gthread"
    assert 0 < budgets.WEBHOOK_CALLS <= budgets.THREADS // 2


def confirmed(device: Device) -> Issued:
    """Enrol, with a proof of possession if one is asked for."""
    outcome = device.enrol()
    if not isinstance(outcome, Issued):
        outcome = device.poll()
    assert isinstance(outcome, Issued)
    return outcome


def enrol_rsa(site: Site) -> Device:
    return site.device(password=site.password())


def renew_rsa(site: Site) -> Device:
    device = site.device(password=site.password())
    return device.renewal(confirmed(device))


def enrol_ec_under_a_response_key(site: Site) -> Device:
    settings = ClientSettings(cipher=AES256_GCM, backends=site.backends, require_kem=True)
    return site.device(key_type="ec:P-256", password=site.password(), settings=settings)


def enrol_kem(site: Site) -> Device:
    return site.kem_device(password=site.password())


def renew_kem(site: Site) -> Device:
    device = site.kem_device(password=site.password())
    return renewing(site, confirmed(device))  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", [enrol_rsa, renew_rsa, enrol_ec_under_a_response_key, enrol_kem, renew_kem])
def test_no_request_waits_for_the_database_more_often_than_is_reckoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Callable[[Site], Device]
) -> None:
    """Every write may have to wait, and be answered in the end."""
    ca_dir = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    counts: list[int] = []
    writing, pki_operation = Database.writing, Responder.pki_operation

    def counted_writing(self: Database) -> Any:
        if counts:
            counts[-1] += 1
        return writing(self)

    def counted_operation(self: Responder, message: bytes, **more: Any) -> Reply:
        counts.append(0)
        return pki_operation(self, message, **more)

    monkeypatch.setattr(Database, "writing", counted_writing)
    monkeypatch.setattr(Responder, "pki_operation", counted_operation)
    with contextlib.closing(ca_dir.open_store()) as store:
        site = Site(ca_dir, store=store)
        device = operation(site)
        counts.clear()
        confirmed(device)
    assert 0 < max(counts) <= budgets.DATABASE_WAITS


# Sizes


def test_nginx_takes_a_body_of_max_body_and_no_more() -> None:
    assert nginx("client_max_body_size") == Config.max_body


def test_the_longest_get_passes_nginx_and_gunicorn_leaves_it_to_nginx() -> None:
    """A message of about 12,700 octets, signed with ML-DSA-65 for ML-KEM-1024, in base64 that is percent-encoded."""
    assert gunicorn.limit_request_line == 0
    line = 12_700 * 4 // 3 * 106 // 100
    assert line < nginx("large_client_header_buffers") <= MAX_HEADER


def test_the_page_says_the_sizes_and_times() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    sizes = (nginx("large_client_header_buffers"), nginx("client_max_body_size"), MAX_HEADER)
    assert all(f"{size:,} octets" in page for size in sizes)
    rows = {BUSY_TIMEOUT, int(budgets.WEBHOOK), budgets.SERVER, int(budgets.CLIENT)}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.M)} == rows
    assert f"at most {budgets.LONGEST_WEBHOOK:g}" in page


def test_the_command_is_the_same_everywhere() -> None:
    for path, folder in (("README.md", "my-ca/"), ("deploy/README.md", "my-ca/"), ("scep_kem/wsgi.py", "")):
        assert COMMAND.format(folder) in (ROOT / path).read_text(), path
    assert f"proxy_pass http://{gunicorn.bind};" in NGINX and gunicorn.bind.startswith("127.0.0.1:")
