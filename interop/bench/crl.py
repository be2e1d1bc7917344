"""CRLs at scale: `python -m interop.bench crl`. What making one costs, beside `openssl ca -gencrl` over as many lines,
and what a request costs while nothing changes: in process, by the WSGI application's own client.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask.testing import FlaskClient
from sqlalchemy import insert

from ca.authority import Authority
from ca.crl import Crls
from ca.sql_store import SqlStore
from ca.sql_tables import CERTIFICATES, CRL_STATES, certificate_values
from ca.store import IssuedCertificate
from pkix.keys import dump_private_key
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import load
from scep_kem.server.app import create_flask_app
from scep_kem.server.service import Service

SIZES = (20_000, 200_000)
MAKINGS, REQUESTS, BATCH = 3, 50, 10_000
DER = os.urandom(1000)  # of a certificate, which is not looked at
OPENSSL_CONFIG = "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index.txt\ncrlnumber={0}/number\ndefault_md=sha256\n"


def main() -> int:
    """Exit code 0; 1 if a CRL was not right."""
    print(f"{'revoked':>8}{'octets':>11}{'make s':>9}{'openssl s':>11}{'x openssl':>11}{'GET ms':>9}{'304 ms':>9}")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), size)
    return 0


def _measure(folder: Path, size: int) -> None:
    found = CaDir(folder / "ca")
    authority = found.create(x509.Name.from_rfc4514_string("CN=bench"), "ec:P-256", ra_key_type=None, now=utc_now())
    with found.open_store() as store:
        _fill(store, authority, size)
        _openssl(folder, authority, store)
        ours, theirs = [], []
        for _ in range(MAKINGS):
            ours.append(_seconds(lambda: Crls(store).make(authority, now=utc_now())))
            theirs.append(_seconds(lambda: _gencrl(folder)))
        ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
        service = Service(load(found.config_path), store=store)
        client = create_flask_app(service).test_client()
        url = f"/scep/crl/{authority.short_identifier}"
        octets, tag = _first(client, url)
        got = _seconds(lambda: _ask(client, url, 200), REQUESTS)
        named = _seconds(lambda: _ask(client, url, 304, tag), REQUESTS)
    print(
        f"{size:>8}{octets:>11}{statistics.median(ours):>9.2f}{statistics.median(theirs):>11.2f}{ratio:>11.1f}"
        f"{got * 1000:>9.2f}{named * 1000:>9.2f}",
        flush=True,
    )


def _revoked(authority: Authority, size: int) -> Iterator[IssuedCertificate]:
    now = utc_now()
    for number in range(size):
        yield IssuedCertificate(
            authority=authority.identifier,
            serial=int.from_bytes(os.urandom(19), "big") | 1 << 158,
            der=DER,
            subject=f"CN=device-{number:06}",
            spki_hash=os.urandom(32),
            profile="default",
            not_before=now,
            not_after=now + timedelta(days=365),
            revoked_at=now - timedelta(seconds=number),
            reason=("keyCompromise", "superseded", "unspecified")[number % 3],
        )


def _fill(store: SqlStore, authority: Authority, size: int) -> None:
    """As `size` calls of record would, in a few transactions."""
    rows = [certificate_values(item) for item in _revoked(authority, size)]
    with store._database.engine.begin() as connection:
        for at in range(0, size, BATCH):
            connection.execute(insert(CERTIFICATES), rows[at : at + BATCH])
        connection.execute(insert(CRL_STATES), {"authority": authority.identifier, "revision": size, "number": 0})


def _openssl(folder: Path, authority: Authority, store: SqlStore) -> None:
    """The same revocations for `openssl ca`."""

    def text(moment: datetime) -> str:
        return moment.astimezone(UTC).strftime("%y%m%d%H%M%SZ")

    end = text(utc_now() + timedelta(days=365))
    with (folder / "index.txt").open("w") as index:
        for item in store.revocations(authority.identifier, now=utc_now()).listed:
            reason = "" if item.reason in (None, "unspecified") else f",{item.reason}"
            number = f"{item.serial:x}"
            index.write(f"R\t{end}\t{text(item.revoked_at)}{reason}\t{number.zfill(len(number) + len(number) % 2)}")
            index.write("\tunknown\t/CN=device\n")
    (folder / "number").write_text("01\n")
    (folder / "openssl.cnf").write_text(OPENSSL_CONFIG.format(folder))
    (folder / "ca.pem").write_bytes(authority.ca.certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(dump_private_key(authority.ca.key))


def _gencrl(folder: Path) -> None:
    files = ("-config", folder / "openssl.cnf", "-cert", folder / "ca.pem", "-keyfile", folder / "key.pem")
    out = ("-crldays", "7", "-out", folder / "crl.pem")
    subprocess.run(["openssl", "ca", "-gencrl", *files, *out], check=True, capture_output=True)


def _first(client: FlaskClient, url: str) -> tuple[int, str]:
    answer = client.get(url)
    return len(answer.data), answer.headers["ETag"]


def _ask(client: FlaskClient, url: str, status: int, tag: str = "") -> None:
    assert client.get(url, headers={"If-None-Match": tag} if tag else {}).status_code == status


def _seconds(action: Callable[[], object], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times
