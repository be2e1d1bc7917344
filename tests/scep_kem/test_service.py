"""scep_kem/server/service.py and scep_kem/wsgi.py: rollovers noticed while running, housekeeping, the factory."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from ca.store import Decision, State, StoreUnavailable
from pkix.certificates import Certificate
from pkix.signed_data import Signer
from scep.attributes import MessageType, PkiStatus
from scep.ca_certificates import CaCertificates
from scep.client import (
    ClientSettings,
    Crl,
    Issued,
    Query,
    StillPending,
)
from scep.messages import PkiMessage
from scep.next_ca import decode_next_ca
from scep.responder import Responder
from scep_kem import logs, wsgi
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import load
from scep_kem.errors import UsageError
from scep_kem.server import service as service_module
from scep_kem.server.service import Service
from tests.scep_kem.kit import LAST_RESORT, Site, make_ca_dir

# Rollover


@pytest.fixture
def rolling(tmp_path: Path) -> Site:
    """A site with a CA of its own."""
    return Site(make_ca_dir(tmp_path / "ca"))


def test_4_7_a_prepared_rollover_is_served_by_the_running_service(rolling: Site) -> None:
    before = rolling.ca_certificates()
    new = CaDir(rolling.service.ca_dir.path).prepare_rollover(now=utc_now())
    answer = rolling.get("operation=GetNextCACert")
    assert answer.headers["Content-Type"] == "application/x-x509-next-ca-cert"
    (found,) = decode_next_ca(answer.data, before, rolling.service.config.settings.algorithms)
    assert found == new.certificate
    assert rolling.ca_certificates().ca == before.ca


def test_an_activated_rollover_is_noticed_by_the_running_service(rolling: Site) -> None:
    other = CaDir(rolling.service.ca_dir.path)
    new = other.prepare_rollover(now=utc_now())
    assert rolling.get("operation=GetNextCACert").status_code == 200
    other.activate_rollover()
    assert rolling.get("operation=GetNextCACert").status_code == 404
    assert rolling.ca_certificates().ca == new.certificate
    issued = rolling.device(password=rolling.password()).enrol()
    assert isinstance(issued, Issued)
    x509.load_der_x509_certificate(issued.certificate).verify_directly_issued_by(new.ca.certificate)


def test_a_client_with_the_old_ca_certificate_is_still_answered_after_the_rollover(rolling: Site) -> None:
    """It gets an answer signed by the CA that it addressed, so that it learns what to do."""
    device = rolling.device(password=rolling.password())
    other = CaDir(rolling.service.ca_dir.path)
    other.prepare_rollover(now=utc_now())
    other.activate_rollover()
    answer = PkiMessage.decode(rolling.send(device.start()).body)
    answer.verify(rolling.service.config.settings.algorithms, device.enrolment.ca.all)
    assert answer.pki_status in (PkiStatus.SUCCESS, PkiStatus.FAILURE)


def test_a_request_that_waited_over_a_rollover_is_issued_by_the_ca_in_force(rolling: Site) -> None:
    """A retired CA issues no more: it may have been retired because its key is lost."""
    rolling.path = "/scep/manual"
    device = rolling.device()
    assert isinstance(device.enrol(), StillPending)
    other = CaDir(rolling.service.ca_dir.path)
    new = other.prepare_rollover(now=utc_now())
    other.activate_rollover()
    (waiting,) = rolling.service.store.transactions(State.AWAITING_APPROVAL)
    rolling.service.store.replace(waiting, replace(waiting, decision=Decision.APPROVED))
    device.enrolment.ca = CaCertificates(new.certificate, (*device.enrolment.ca.all, new.certificate))
    issued = device.poll()
    assert isinstance(issued, Issued)
    x509.load_der_x509_certificate(issued.certificate).verify_directly_issued_by(new.ca.certificate)


def test_every_profile_sees_the_rollover(rolling: Site) -> None:
    CaDir(rolling.service.ca_dir.path).prepare_rollover(now=utc_now())
    for path in ("/scep", "/scep/manual", "/scep/closed"):
        assert rolling.get("operation=GetNextCACert", path).status_code == 200


def test_4_6_after_a_rollover_getcrl_answers_with_the_crl_of_the_ca_that_issued_the_certificate(rolling: Site) -> None:
    """Both generations have one name, so the serial number tells which is meant."""
    device = rolling.device(password=rolling.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    old = rolling.service.generations.current
    rolling.service.store.revoke(old.identifier, certificate.serial_number, reason="superseded", now=utc_now())
    other = CaDir(rolling.service.ca_dir.path)
    other.prepare_rollover(now=utc_now())
    other.activate_rollover()
    query = Query(
        MessageType.GetCRL,
        Certificate.of(certificate).issuer_and_serial,
        ca=device.enrolment.ca,
        signer=Signer(device.key, Certificate.of(certificate)),
        transaction_id="query-1",
        settings=ClientSettings(),
        random=os.urandom,
    )
    outcome = query.receive(rolling.send(query.start(now=utc_now())).body)
    assert isinstance(outcome, Crl)
    crl = x509.load_der_x509_crl(outcome.crl)
    assert crl.is_signature_valid(old.ca.certificate.public_key())  # type: ignore[arg-type]
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def test_roles_that_are_damaged_while_running_do_not_stop_the_service(
    rolling: Site, log: pytest.LogCaptureFixture
) -> None:
    """The keys in memory are still good; an operator is told in the log."""
    rolling.service.ca_dir.roles_path.write_text("damaged")
    assert rolling.get("operation=GetCACaps").status_code == 200
    assert "roles.json is damaged" in log.text


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (UsageError("Too many open files"), "Too many open files"),
        *(
            (kind(), "a defect of this program")
            for kind in (RuntimeError, RecursionError, AttributeError, OSError, ValueError)
        ),
    ],
    ids=repr,
)
def test_keys_that_could_not_be_read_are_tried_again(
    rolling: Site,
    clock: SimpleNamespace,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    said: str,
) -> None:
    """Whatever goes wrong, the old keys stay in use, and a passing error does not keep withdrawn ones there."""
    load_now = rolling.service._load
    failures, tried = [failure], []

    def failing() -> Any:
        tried.append(clock.seconds)
        if failures:
            raise failures.pop()
        return load_now()

    monkeypatch.setattr(rolling.service, "_load", failing)
    rolling.service.ca_dir.prepare_rollover(now=utc_now())
    began, statuses = clock.seconds, []
    for seconds in (0, 1, 8, 2):
        clock.seconds += seconds
        statuses.append(
            (rolling.get("operation=GetCACaps").status_code, rolling.get("operation=GetNextCACert").status_code)
        )
    assert statuses == [(200, 404)] * 3 + [(200, 200)]
    assert tried == [began, began + 11]
    assert log.text.count(f"cannot be read again, the old ones stay in use: {said}") == 1


def test_a_rollover_is_loaded_once_by_however_many_threads(rolling: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rolling.service.ca_dir.prepare_rollover(now=utc_now())
    inside, loads = threading.Barrier(4, timeout=LAST_RESORT), []
    load_now = rolling.service._load

    def slow_load() -> Any:
        loads.append(1)
        return load_now()

    monkeypatch.setattr(rolling.service, "_load", slow_load)

    def ask() -> None:
        inside.wait()
        assert rolling.service.responder("default") is not None

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LAST_RESORT)
    assert len(loads) == 1


# Housekeeping


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The monotonic clock of scep_kem.server.service, moved by hand."""
    found = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(service_module, "time", SimpleNamespace(monotonic=lambda: found.seconds))
    yield found


def counted(monkeypatch: pytest.MonkeyPatch, site: Site) -> list[Any]:
    purges: list[Any] = []
    monkeypatch.setattr(site.service.store, "purge", purges.append)
    return purges


def test_the_store_is_purged_once_a_minute(
    ca_dir: CaDir, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(ca_dir)
    purges, counts = counted(monkeypatch, site), []
    for seconds in (0, 30, 30.5, 1, 59, 2, 1000, 0):
        clock.seconds += seconds
        site.post(b"garbage")
        counts.append(len(purges))
    assert counts == [0, 0, 1, 1, 1, 2, 3, 3]
    assert all(moment.tzinfo is not None and moment.microsecond == 0 for moment in purges)


def test_certificates_that_end_are_told_of_every_day(
    ca_dir: CaDir, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server runs for years: what it said when it started is long forgotten."""
    site, end = Site(ca_dir), CaDir(ca_dir.path).load().current.ca.certificate.not_valid_after_utc
    now, said = utc_now(), []
    for moment in (now, end - timedelta(days=30), end - timedelta(days=30), end + timedelta(days=1)):
        monkeypatch.setattr(service_module, "utc_now", lambda moment=moment: moment)
        caplog.clear()
        clock.seconds += 61
        site.post(b"garbage")
        said.append({word for item in caplog.records for word in ("expires on", "has expired") if word in item.message})
    assert said == [set(), {"expires on"}, set(), {"has expired"}]


def test_what_has_expired_is_forgotten(ca_dir: CaDir, clock: SimpleNamespace) -> None:
    site = Site(ca_dir, path="/scep/manual")
    site.device().enrol()
    (waiting,) = site.service.store.transactions()
    site.service.store.replace(waiting, replace(waiting, expires=utc_now() - timedelta(seconds=10)))
    clock.seconds += 61
    site.post(b"garbage")
    assert site.service.store.transactions() == []


def test_a_purge_that_fails_does_not_cost_a_client_its_certificate(
    ca_dir: CaDir, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(ca_dir)
    device = site.device(password=site.password())

    def fail(_now: object) -> int:
        raise StoreUnavailable("the database cannot be written: database is locked")

    monkeypatch.setattr(site.service.store, "purge", fail)
    clock.seconds += 61
    assert isinstance(device.enrol(), Issued)


def test_what_has_expired_is_forgotten_only_when_the_answer_is_out(
    ca_dir: CaDir, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is locked would be waited for in front of an honest request, and then once more for it."""
    site = Site(ca_dir)
    purges = counted(monkeypatch, site)
    clock.seconds += 61
    answer = site.http.post("/scep?operation=PKIOperation", data=b"garbage")
    assert answer.data.startswith(b"not a pkiMessage") and purges == []
    answer.close()
    assert len(purges) == 1


def test_a_purge_that_fails_is_logged_and_nothing_else(
    ca_dir: CaDir, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    site = Site(ca_dir)

    def fail(_now: object) -> int:
        raise RuntimeError("a defect")

    monkeypatch.setattr(site.service.store, "purge", fail)
    clock.seconds += 61
    assert site.get("operation=GetCACaps", buffered=True).status_code == 200
    (record,) = (item for item in log.records if item.name != "scep")
    assert record.exc_info is not None


# The factory for WSGI servers


def test_the_wsgi_factory_serves_a_configuration(ca_dir: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[str] = []
    monkeypatch.setattr(logs, "configure", configured.append)
    app = wsgi.create_app(str(ca_dir.config_path))
    assert app.test_client().get("/scep?operation=GetCACaps").status_code == 200
    assert configured == ["text"]


def test_the_wsgi_factory_refuses_a_folder_without_a_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_more: None)
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "nowhere"\n')
    with pytest.raises(UsageError, match="holds no CA"):
        wsgi.create_app(str(tmp_path / "scep.toml"))
    assert not (tmp_path / "nowhere").exists()


def test_a_service_in_an_existing_folder_without_a_ca_makes_no_database_there(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "."\n')
    with pytest.raises(UsageError, match="holds no CA"):
        Service(load(tmp_path / "scep.toml"))
    assert [path.name for path in tmp_path.iterdir()] == ["scep.toml"]


def test_an_unknown_profile_has_no_responder(site: Site) -> None:
    assert site.service.responder("unknown") is None
    assert isinstance(site.service.responder("default"), Responder)
