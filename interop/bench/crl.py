"""CRLs at scale: `python -m interop.bench crl`.

What making one costs, beside `openssl ca -gencrl` over as many lines and `cryptography`'s builder; and what a request
costs while nothing changes, beside reading every revoked row, as each request did before CRLs were kept. In process,
over HTTP by the WSGI application's own client.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask.testing import FlaskClient
from sqlalchemy import bindparam, insert, select

from ca.authority import Authority
from ca.crl import CRL_VALIDITY, Crls
from ca.sql_engine import migrating
from ca.sql_store import SqlStore
from ca.sql_tables import CERTIFICATE_COLUMNS, CERTIFICATES, CRL_STATES, certificate_of, certificate_values, seconds
from ca.store import IssuedCertificate
from pkix.keys import certificate_hash, dump_private_key
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import load
from scep_kem.server.app import create_flask_app
from scep_kem.server.service import Service

SIZES = (20_000, 200_000)
ROUNDS, REQUESTS, BATCH = 5, 50, 10_000
BUILDER_MOST = 20_000  # `cryptography`'s builder copies its list for each entry: at ten times as many, a hundred times
DER = os.urandom(1000)  # of a certificate, which is not looked at
OPENSSL_CONFIG = "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index.txt\ncrlnumber={0}/number\ndefault_md=sha256\n"
COLUMNS = ("revoked", "octets", "make s", "openssl s", "x", "builder s", "x", "GET ms", "304 ms", "rows ms", "x")
ALL_ROWS = select(*CERTIFICATE_COLUMNS).where(
    CERTIFICATES.c.authority == bindparam("of"),
    CERTIFICATES.c.revoked_at.is_not(None),
    CERTIFICATES.c.not_after >= bindparam("now"),
)


class Wrong(Exception):
    """A CRL does not list what is revoked."""


def main() -> int:
    """Exit code 0; 1 if a CRL was not right."""
    print("".join(f"{name:>11}" for name in COLUMNS))
    try:
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                print("".join(f"{text:>11}" for text in _measured(Path(folder), size)), flush=True)
    except Wrong as error:
        print(error)
        return 1
    return 0


def _measured(folder: Path, size: int) -> list[str]:
    """The columns. Each x is the median of the rounds' ratios: how many times as long the other way takes."""
    found = CaDir(folder / "ca")
    authority = found.create(x509.Name.from_rfc4514_string("CN=bench"), "ec:P-256", ra_key_type=None, now=utc_now())
    with found.open_store() as store:
        _fill(store, authority, size)
        _openssl(folder, authority, store)
        client = create_flask_app(Service(load(found.config_path), store=store)).test_client()
        url = f"/scep/crl/{authority.short_identifier}"
        octets, tag = _checked(client, url, size)
        ways: dict[str, Callable[[], object]] = {
            "make": lambda: Crls(store).make(authority, now=utc_now()),
            "openssl": lambda: _gencrl(folder),
            "rows": lambda: _all_rows(store, authority),
        }
        if size <= BUILDER_MOST:
            ways["builder"] = lambda: _built(store, authority)
        taken: dict[str, list[float]] = {name: [] for name in ("builder", "GET", "304", *ways)}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                taken[name].append(_seconds(way))
            octets, tag = _checked(client, url, size)
            taken["GET"].append(_seconds(lambda: _ask(client, url, 200), REQUESTS))
            taken["304"].append(_seconds(partial(_ask, client, url, 304, tag), REQUESTS))
    return [
        *(str(size), str(octets), _median(taken["make"])),
        *(_median(taken["openssl"]), _ratio(taken["openssl"], taken["make"])),
        *(_median(taken["builder"]), _ratio(taken["builder"], taken["make"])),
        *(_median(taken["GET"], 1000), _median(taken["304"], 1000)),
        *(_median(taken["rows"], 1000), _ratio(taken["rows"], taken["GET"])),
    ]


def _median(values: Sequence[float], factor: int = 1) -> str:
    return f"{statistics.median(values) * factor:.2f}" if values else "-"


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    return _median([their / our for their, our in zip(theirs, ours, strict=True)]) if theirs else "-"


def _all_rows(store: SqlStore, authority: Authority) -> list[IssuedCertificate]:
    """What each request read when no CRL was kept."""
    values = {"of": authority.identifier, "now": seconds(utc_now() - CRL_VALIDITY)}
    with store._database.reading() as session:
        return [certificate_of(row) for row in session.rows(ALL_ROWS, values)]


def _built(store: SqlStore, authority: Authority) -> bytes:
    """A CRL by `cryptography.x509`, of all rows."""
    now, ca = utc_now(), authority.ca
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject).last_update(now)
    builder = builder.next_update(now + CRL_VALIDITY).add_extension(x509.CRLNumber(1), critical=False)
    for item in _all_rows(store, authority):
        assert item.revoked_at is not None
        entry = x509.RevokedCertificateBuilder().serial_number(item.serial).revocation_date(item.revoked_at)
        if item.reason != "unspecified":
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(item.reason)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ca.key, certificate_hash(ca.key)).public_bytes(Encoding.DER)


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
    """As `size` calls of record would, in one transaction."""
    rows = [certificate_values(item) for item in _revoked(authority, size)]
    with migrating(store._database.engine) as connection:
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


def _checked(client: FlaskClient, url: str, size: int) -> tuple[int, str]:
    """How many octets are served, and their ETag. Raises Wrong."""
    answer = client.get(url)
    if len(x509.load_der_x509_crl(answer.data)) != size:
        raise Wrong(f"the CRL does not list {size}")
    return len(answer.data), answer.headers["ETag"]


def _ask(client: FlaskClient, url: str, status: int, tag: str = "") -> None:
    answer = client.get(url, headers={"If-None-Match": tag} if tag else {})
    if answer.status_code != status:
        raise Wrong(f"GET is answered with {answer.status_code}, not {status}")


def _seconds(action: Callable[[], object], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times
