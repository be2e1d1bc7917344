"""What scep_kem/server/scep.py logs and answers when something is wrong on this side; no forged lines, no secrets."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.memory_store import MemoryStore
from ca.store import StoreBusy
from pkix.pkcs10 import encode_certification_request
from scep.client import (
    Issued,
    Refused,
    StillPending,
)
from scep_kem.ca_dir import CaDir
from scep_kem.server.app import create_flask_app
from scep_kem.server.service import Service
from tests.scep.kem_kit import confirm_parts, confirm_with, confirmation, flipped
from tests.scep_kem.kit import CONFIG, Site, make_ca_dir, one_line
from tests.world import key

# When something is wrong on this side


def operations(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Of the PKIOperations; a device asks for GetCACert first."""
    return [item for item in log.records if item.name == "scep" and 'operation="PKIOperation"' in item.getMessage()]


def said(log: pytest.LogCaptureFixture) -> list[str]:
    """What the lines say before what they say of every request."""
    return [line.partition(' profile="')[0] for line in messages(log)]


class Unavailable(MemoryStore):
    """A database that is locked for too long."""

    def get(self, key: object) -> Any:
        raise StoreBusy("the database cannot be read: database is locked")


class Broken(MemoryStore):
    """A defect of ours."""

    def get(self, key: object) -> Any:
        raise RuntimeError("secret details")


def test_a_store_that_is_unavailable_is_503_in_one_line(ca_dir: CaDir, log: pytest.LogCaptureFixture) -> None:
    site = Site(ca_dir, store=Unavailable())
    one_line(site.post(site.device().start()), 503, "the CA's database is busy; try again later")
    (record,) = operations(log)
    assert record.levelname == "ERROR" and not record.exc_info
    assert record.getMessage().startswith('request failed text="the database cannot be read: database is locked" ')


def test_an_unexpected_exception_is_a_bare_500_and_one_traceback_in_the_log(
    ca_dir: CaDir, log: pytest.LogCaptureFixture
) -> None:
    site = Site(ca_dir, store=Broken())
    answer = site.post(site.device().start())
    one_line(answer, 500)
    assert answer.text == "internal error\n"
    (record,) = operations(log)
    assert record.exc_info is not None and isinstance(record.exc_info[1], RuntimeError)


def test_a_server_key_that_was_replaced_ends_waiting_requests_with_a_signed_failure(tmp_path: Path) -> None:
    """They were sealed under the old one. A poll is a message of a peer, so it does not become a 500."""
    site = Site(make_ca_dir(tmp_path / "ca"), path="/scep/manual")
    device = site.device()
    assert isinstance(device.enrol(), StillPending)
    (site.service.ca_dir.path / "server.key").write_bytes(b"\x02" * 32)
    site.service = Service(site.service.config, store=site.service.store)
    site.http = create_flask_app(site.service).test_client()
    assert isinstance(device.poll(), Refused)


# The log


def messages(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in operations(log)]


def test_an_enrolment_is_one_line_with_transaction_subject_method_and_serial(
    site: Site, log: pytest.LogCaptureFixture
) -> None:
    issued = site.device(password=site.password()).enrol()
    assert isinstance(issued, Issued)
    serial = x509.load_der_x509_certificate(issued.certificate).serial_number
    assert said(log) == [
        'PKCSReq SUCCESS transactionID="transaction-1" subject="CN=device,O=Example" '
        f'authorised by="challengePassword" serial="{serial:x}"'
    ]


def test_a_refusal_is_one_line_with_failinfo_and_text(site: Site, log: pytest.LogCaptureFixture) -> None:
    site.device(password="wrong").enrol()
    assert said(log) == [
        'PKCSReq FAILURE transactionID="transaction-1" subject="CN=device,O=Example" '
        'failInfo="badRequest" text="the challengePassword is not valid"'
    ]


def kem_site(tmp_path: Path) -> Site:
    return Site(make_ca_dir(tmp_path / "ca", CONFIG, kems=("ml-kem-768",)))


def test_a_downgrade_is_a_warning(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    site = kem_site(tmp_path)
    device = site.kem_device(password=site.password())
    device.enrolment._capabilities = b"SCEPStandard\n"
    device.enrol()
    device.poll()
    found = [(record.levelname, record.getMessage()) for record in log.records if "downgrade" in record.getMessage()]
    ((level, line),) = found
    assert level == "WARNING" and line.startswith("CertPoll FAILURE") and 'client="127.0.0.1"' in line
    assert [record.levelname for record in log.records if "PKCSReq" in record.getMessage()] == ["INFO"]


def test_a_wrong_mac_is_logged_with_the_hash_of_the_derived_key(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """As a success is, so that both sides can see whether their keys differ or what was authenticated."""
    site = kem_site(tmp_path)
    device = site.kem_device(password=site.password())
    device.enrol()
    tree = confirm_parts(confirmation(device))
    tree[-1].content = flipped(tree[-1].content)
    confirm_with(device, tree.der())
    line = messages(log)[-1]
    assert "CertPoll FAILURE" in line and 'text="the proof of possession is wrong"' in line
    assert re.search(r' derived key="[0-9a-f]{16}"', line) and "verified" not in line


def test_a_pending_request_and_its_poll_are_one_line_each(ca_dir: CaDir, log: pytest.LogCaptureFixture) -> None:
    device = Site(ca_dir, path="/scep/manual").device()
    device.enrol()
    device.poll()
    assert [line.split(" transactionID")[0] for line in messages(log)] == ["PKCSReq PENDING", "CertPoll PENDING"]
    assert all(line.endswith(' waits for="an operator"') for line in said(log))


@pytest.mark.parametrize("forged", ["x\nPKCSReq SUCCESS", "x\r\nx", "x\x1b[2J", 'x" serial="1', "x\u2028y", "x\x00y"])
def test_no_subject_can_forge_a_line(site: Site, log: pytest.LogCaptureFixture, forged: str) -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, forged)])
    request = encode_certification_request(key("rsa:2048", "device"), subject, challenge_password="wrong")
    site.device(request=request).enrol()
    (line,) = messages(log)
    assert line.isprintable() and line.isascii() and line.count('" serial="') == 0


def test_no_transaction_id_can_forge_a_line(site: Site, log: pytest.LogCaptureFixture) -> None:
    """PrintableString has neither quotes nor line ends, but has all that this has."""
    site.device(password="wrong", transaction_id="a = (b), c+d/e:f?").enrol()
    assert messages(log)[0].startswith('PKCSReq FAILURE transactionID="a = (b), c+d/e:f?" subject=')


@pytest.mark.parametrize("password", ["right and secret", "wrong and secret"])
def test_no_password_gets_into_the_log(site: Site, log: pytest.LogCaptureFixture, password: str) -> None:
    log.set_level(logging.DEBUG)
    site.password("right and secret")
    site.device(password=password).enrol()
    assert messages(log) and "and secret" not in log.text


def test_the_legacy_policy_says_so_at_the_start(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[algorithms]\nlegacy = true\n"))
    assert "the legacy policy is on: SHA-1 and 3DES are accepted" in log.text
