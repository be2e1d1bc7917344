"""The Store in a SQL database, through SQLAlchemy Core: SQLite now, PostgreSQL through the same class later.

Every change is one database transaction. On SQLite it begins with the write lock (BEGIN IMMEDIATE), so nothing
read in it can change before it is written, and a commit returns after the fsync (synchronous=FULL: in WAL mode
anything less may lose the last commits in a power cut). Reads are single statements and need no transaction.
"Expired at a moment" means what it means in `ca.memory_store`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

from ca import sql_statements as sql
from ca.kept_crls import CrlState, KeptCrl, Revocations
from ca.migrations import ensure_schema
from ca.sql_engine import Database, Session
from ca.sql_tables import (
    Values,
    certificate_of,
    certificate_values,
    credential_of,
    credential_values,
    crl_of,
    crl_values,
    hashes_of,
    key_values,
    revocation_of,
    seconds,
    serial_text,
    transaction_of,
    transaction_values,
)
from ca.store import (
    MESSAGES,
    WITHDRAWN,
    CertificateWithdrawn,
    Credential,
    CredentialUnavailable,
    Group,
    IssuedCertificate,
    KeyCompromised,
    RequestRepeated,
    State,
    Store,
    StoreConflict,
    SubjectTaken,
    Transaction,
    TransactionKey,
    holder_of,
    revised,
)


class SqlStore(Store):
    """See `ca.store.Store`. `url` is SQLAlchemy's, such as "sqlite:////var/lib/scep-kem/ca.sqlite3".

    Opening creates a SQLite file (mode 0600, as are its -wal and -shm) and brings the schema up to date; with
    `migrate=False` an old or empty database raises `ca.migrations.StoreVersionError` instead, as a newer one
    always does, and with `create=False` an empty one raises `ca.migrations.StoreEmpty`. In-memory SQLite raises
    ValueError: that is what `MemoryStore` is for.

    Any number of threads may share one SqlStore, and any number of processes may open the same file. A SqlStore
    may also be opened before a fork (gunicorn with preload_app): it closes its idle connections right before
    `os.fork`, because SQLite's locks do not survive one, and parent and child open new ones when they need them.
    What the caller must see to is that no other thread is inside the SqlStore at the moment of the fork.

    Close it when done (`close`, or use it in a `with` statement). Waiting for the write lock of another process
    ends after 5 seconds with StoreUnavailable.
    """

    def __init__(self, url: str | URL, *, migrate: bool = True, create: bool = True) -> None:
        self._database = Database(url)
        sqlite = self._database.engine.dialect.name == "sqlite"
        self._turn = self._database.turn if sqlite else contextlib.nullcontext()
        try:
            ensure_schema(self._database.engine, migrate=migrate, create=create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections. Using the store again opens new ones."""
        self._database.close()

    @property
    def file(self) -> Path | None:
        """Where the database is, None if it is not SQLite."""
        url = self._database.engine.url
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None

    def copy_to(self, path: Path) -> None:
        """Write the database of SQLite as it is now to a new file, mode 0600. Raises StoreUnavailable."""
        self._database.copy_to(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Transactions

    def get(self, key: TransactionKey) -> Transaction | None:
        with self._database.reading() as session:
            row = session.row(sql.GET, key_values(key))
        return None if row is None else transaction_of(row)

    def create(self, transaction: Transaction) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, None, transaction)
            if transaction.credential_id is not None:
                _hold(session, transaction, None)

    def replace(self, old: Transaction, new: Transaction) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            if _reservation(old) != _reservation(new):
                _free(session, old)
                if new.credential_id is not None:
                    _hold(session, new, None)

    def drop(self, transaction: Transaction) -> None:
        values = {f"old_{name}": value for name, value in transaction_values(transaction).items()}
        with self._turn, self._database.writing() as session:
            if session.change(sql.DROP, values) != 1:
                raise StoreConflict("the transaction was changed by somebody else")
            _free(session, transaction)
            session.change(sql.FORGET_SECRET, {"of": transaction.secret_id or ""})

    def issue(
        self,
        old: Transaction | None,
        new: Transaction,
        certificate: IssuedCertificate,
        *,
        again: bool = False,
        unique: bool = False,
        rests_on: Sequence[str] = (),
        formerly: bytes = b"",
    ) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            _check_certificates(session, rests_on)
            _check_issue(session, certificate, formerly, again=again, unique_at=new.updated if unique else None)
            _record(session, certificate)
            if old is not None and _reservation(old) != _reservation(new):
                _free(session, old)
            if new.credential_id is not None:
                _hold(session, new, certificate)

    def release(self, old: Transaction, new: Transaction, *, rests_on: Sequence[str] = ()) -> None:
        assert old.serial is not None
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            _check_certificates(session, rests_on)
            known = _certificate(session, old.authority, old.serial)
            if known is not None and _is_compromised(session, known.spki_hash):
                raise KeyCompromised
            if session.change(sql.RELEASE_CERTIFICATE, _place(old)) != 1:
                raise CertificateWithdrawn

    def withdraw(self, old: Transaction, new: Transaction, *, now: datetime) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            _withdraw(session, old, now)

    def transactions(self, state: State | None = None, *, limit: int = 1000) -> Sequence[Transaction]:
        with self._database.reading() as session:
            if state is None:
                rows = session.rows(sql.NEWEST_TRANSACTIONS, {"limit": limit})
            else:
                rows = session.rows(sql.NEWEST_IN_STATE, {"limit": limit, "state": state.value})
        return [transaction_of(row) for row in rows]

    def count(self, state: State, *, now: datetime) -> int:
        with self._database.reading() as session:
            ((found,),) = session.rows(sql.COUNT, {"state": state.value, "now": seconds(now)})
        return int(found)

    def crowd(self, group: Group, *, now: datetime) -> tuple[int, Transaction | None]:
        values: Values = {"state": group.state.value, "now": seconds(now), "profile": group.profile}
        values |= group.narrowed
        query = sql.CROWDS[group.standing, frozenset(group.narrowed)]
        with self._database.reading() as session:
            ((number, first),) = session.rows(query, values)
            row = None if first is None else session.row(sql.NUMBERED, {"number": first})
        return int(number), None if row is None else transaction_of(row)

    # Certificates

    def record(self, certificate: IssuedCertificate) -> None:
        with self._turn, self._database.writing() as session:
            _record(session, certificate)

    def certificate(self, authority: str, serial: int) -> IssuedCertificate | None:
        with self._database.reading() as session:
            return _certificate(session, authority, serial)

    def compromised(self, spki_hash: bytes) -> bool:
        with self._database.reading() as session:
            return _is_compromised(session, spki_hash)

    def valid_certificates(self, name: str, *, now: datetime) -> Sequence[IssuedCertificate]:
        values: Values = {"name": name, "now": seconds(now)}
        with self._database.reading() as session:
            return [certificate_of(row) for row in session.rows(sql.VALID_CERTIFICATES, values)]

    def certificates(self, *, limit: int = 1000) -> Sequence[IssuedCertificate]:
        with self._database.reading() as session:
            return [certificate_of(row) for row in session.rows(sql.NEWEST_CERTIFICATES, {"limit": limit})]

    def find_serial(self, serial: int) -> Sequence[IssuedCertificate]:
        with self._database.reading() as session:
            rows = session.rows(sql.FIND_SERIAL, {"serial": serial_text(serial)})
            return [certificate_of(row) for row in rows]

    def add_message(self, authority: str, serial: int, message_hash: bytes) -> bool:
        with self._turn, self._database.writing() as session:
            known = _certificate(session, authority, serial)
            if known is None:
                raise KeyError(f"no certificate {serial:x} of {authority}")
            if message_hash in known.message_hashes:
                return True
            if len(known.message_hashes) >= MESSAGES:
                return False
            hashes = b"".join((*known.message_hashes, message_hash))
            session.change(sql.ADD_MESSAGE, {"of": authority, "number": serial_text(serial), "hashes": hashes})
        return True

    def revoke(self, authority: str, serial: int, *, reason: str, now: datetime) -> IssuedCertificate:
        with self._turn, self._database.writing() as session:
            known = _certificate(session, authority, serial)
            if known is None:
                raise KeyError(f"no certificate {serial:x} of {authority}")
            return _revoke(session, known, reason, now)

    def revocations(self, authority: str, *, now: datetime) -> Revocations:
        with self._database.reading() as session:
            rows = session.rows(sql.REVOCATIONS, {"of": authority, "now": seconds(now)})
        listed = [revocation_of(*row[1:]) for row in rows if row[1] is not None]
        return Revocations(int(rows[0][0]) if rows else 0, listed)

    def crl_state(self, authority: str) -> CrlState:
        with self._database.reading() as session:
            return _crl_state(session, authority)

    def kept_crl(self, authority: str) -> KeptCrl | None:
        with self._database.reading() as session:
            return _crl(session, authority)

    def keep_crl(self, crl: KeptCrl) -> KeptCrl:
        with self._turn, self._database.writing() as session:
            kept = _crl(session, crl.authority)
            if kept is not None and not crl.follows(kept):
                return kept
            session.change(sql.FORGET_CRL, {"of": crl.authority})
            session.change(sql.KEEP_CRL, crl_values(crl))
            if session.change(sql.KEPT_NUMBER, {"of": crl.authority, "kept": crl.number}) == 0:
                session.change(
                    sql.FIRST_CRL_STATE, {"authority": crl.authority, "revision": crl.revision, "number": crl.number}
                )
        return crl

    def next_crl_number(self, authority: str) -> int:
        with self._turn, self._database.writing() as session:
            if session.change(sql.NEXT_CRL_NUMBER, {"of": authority}) == 0:
                session.change(sql.FIRST_CRL_NUMBER, {"authority": authority, "number": 1})
            ((number,),) = session.rows(sql.CRL_NUMBER, {"of": authority})
        return int(number)

    def pass_crl_number(self, authority: str, number: int) -> None:
        with self._turn, self._database.writing() as session:
            if not session.rows(sql.CRL_NUMBER, {"of": authority}):
                session.change(sql.FIRST_CRL_NUMBER, {"authority": authority, "number": 0})
            if session.change(sql.PASS_CRL_NUMBER, {"of": authority, "least": number, "passed": number}):
                _count(session, authority)

    # Credentials

    def add_credential(self, credential: Credential) -> None:
        with self._turn, self._database.writing() as session:
            session.add(sql.ADD_CREDENTIAL, credential_values(credential), "the credential exists already")

    def credential(self, identifier: str) -> Credential | None:
        with self._database.reading() as session:
            row = session.row(sql.CREDENTIAL, {"identifier": identifier})
        return None if row is None else credential_of(row)

    def count_guess(self, profile: str, *, now: datetime) -> None:
        minute = seconds(now) // 60
        with self._turn, self._database.writing() as session:
            row = session.row(sql.GUESSED, {"of": profile})
            if row is None:
                session.change(sql.FIRST_GUESS, {"profile": profile, "minute": minute, "number": 1})
            else:
                number = row[1] + 1 if row[0] == minute else 1
                session.change(sql.NEXT_GUESS, {"of": profile, "now": minute, "counted": number})

    def guesses(self, profile: str, *, now: datetime) -> int:
        with self._database.reading() as session:
            row = session.row(sql.GUESSED, {"of": profile})
        return 0 if row is None or row[0] != seconds(now) // 60 else int(row[1])

    def credentials(self, *, limit: int = 1000) -> Sequence[Credential]:
        with self._database.reading() as session:
            return [credential_of(row) for row in session.rows(sql.NEWEST_CREDENTIALS, {"limit": limit})]

    def remove_credential(self, identifier: str) -> bool:
        with self._turn, self._database.writing() as session:
            return session.change(sql.REMOVE_CREDENTIAL, {"of": identifier}) == 1

    # Secrets

    def put_secret(self, identifier: str, sealed: bytes, expires: datetime) -> None:
        with self._turn, self._database.writing() as session:
            _put_secret(session, identifier, sealed, expires)

    def keep_secret(self, identifier: str, sealed: bytes, expires: datetime) -> bytes:
        with self._turn, self._database.writing() as session:
            row = session.row(sql.SECRET, {"identifier": identifier})
            if row is not None:
                return bytes(row[0])
            _put_secret(session, identifier, sealed, expires)
        return sealed

    def take_secret(self, identifier: str) -> bytes | None:
        with self._turn, self._database.writing() as session:
            row = session.row(sql.TAKE_SECRET, {"of": identifier})
        return None if row is None else bytes(row[0])

    # Housekeeping

    def purge(self, now: datetime) -> int:
        moment = {"now": seconds(now)}
        with self._turn, self._database.writing() as session:
            holders = [transaction_of(row) for row in session.rows(sql.EXPIRED_HOLDERS, moment)]
            unreleased = [transaction_of(row) for row in session.rows(sql.EXPIRED_UNRELEASED, moment)]
            gone = session.change(sql.PURGE_TRANSACTIONS, moment)
            for transaction in holders:
                _free(session, transaction)
            for transaction in unreleased:
                _withdraw(session, transaction, now)
            gone += session.change(sql.PURGE_SECRETS, moment)
            gone += session.change(sql.PURGE_CREDENTIALS, moment)
        if gone:
            self._database.shrink()
        return gone


# The steps of a change, inside its transaction.


def _put(session: Session, old: Transaction | None, new: Transaction) -> None:
    """Compare-and-swap; raises StoreConflict."""
    if old is None:
        session.add(sql.CREATE, transaction_values(new), "the transaction exists already")
        return
    if old.key != new.key:
        raise ValueError("a transaction is replaced by one with the same key")
    values = {f"old_{name}": value for name, value in transaction_values(old).items()}
    values |= {f"new_{name}": value for name, value in transaction_values(new).items()}
    if session.change(sql.REPLACE, values) != 1:
        raise StoreConflict("the transaction was changed by somebody else")


def _place(transaction: Transaction) -> Values:
    """Where the certificate of a transaction is."""
    assert transaction.serial is not None
    return {"of": transaction.authority, "number": serial_text(transaction.serial)}


def _withdraw(session: Session, transaction: Transaction, now: datetime) -> None:
    """Revoke the certificate of a transaction."""
    assert transaction.serial is not None
    known = _certificate(session, transaction.authority, transaction.serial)
    assert known is not None
    _revoke(session, known, WITHDRAWN, now)


def _revoke(session: Session, known: IssuedCertificate, reason: str, now: datetime) -> IssuedCertificate:
    new = revised(known, reason, now)
    at = None if new.revoked_at is None else seconds(new.revoked_at)
    values: Values = {"of": known.authority, "number": serial_text(known.serial), "why": new.reason, "at": at}
    if new != known:
        session.change(sql.REVOKE, values)
        _count(session, known.authority)
    return new


def _record(session: Session, certificate: IssuedCertificate) -> None:
    session.add(sql.RECORD, certificate_values(certificate), "the serial number was issued before")
    if certificate.revoked_at is not None:
        _count(session, certificate.authority)


def _count(session: Session, authority: str) -> None:
    """The CRL that is kept for this issuer is not right any more."""
    if session.change(sql.NEXT_REVISION, {"of": authority}) == 0:
        session.change(sql.FIRST_CRL_STATE, {"authority": authority, "revision": 1, "number": 0})


def _crl_state(session: Session, authority: str) -> CrlState:
    row = session.row(sql.CRL_STATE, {"of": authority})
    return CrlState() if row is None else CrlState(*row)


def _crl(session: Session, authority: str) -> KeptCrl | None:
    row = session.row(sql.CRL, {"of": authority})
    return None if row is None else crl_of(row)


def _is_compromised(session: Session, spki_hash: bytes) -> bool:
    ((number,),) = session.rows(sql.COUNT_COMPROMISED, {"key": spki_hash})
    return bool(number)


def _check_certificates(session: Session, names: Sequence[str]) -> None:
    """Whether certificates stand, by their full names. Raises CertificateWithdrawn."""
    for name in names:
        authority, _, serial = name.partition(":")
        found = _certificate(session, authority, int(serial, 16))
        if found is None or found.revoked_at is not None or _is_compromised(session, found.spki_hash):
            raise CertificateWithdrawn


def _check_issue(
    session: Session, certificate: IssuedCertificate, formerly: bytes, *, again: bool, unique_at: datetime | None
) -> None:
    """What forbids to issue a certificate. Raises IssueForbidden."""
    if _is_compromised(session, certificate.spki_hash):
        raise KeyCompromised
    same = session.rows(sql.ISSUED_FOR, {"request": certificate.request_hash or None, "formerly": formerly or None})
    asks = certificate.message_hashes[:1]
    if same and (not again or any(set(asks).intersection(hashes_of(row[0])) for row in same)):
        raise RequestRepeated
    if unique_at is not None:
        taken = session.rows(sql.VALID_CERTIFICATES, {"name": certificate.name or None, "now": seconds(unique_at)})
        if taken:
            raise SubjectTaken(certificate_of(taken[0]).serial)


def _reservation(transaction: Transaction) -> tuple[str | None, str]:
    """Which credential the transaction refers to, and in whose name."""
    return transaction.credential_id, holder_of(transaction.key.requester, transaction.request_hash)


def _hold(session: Session, transaction: Transaction, certificate: IssuedCertificate | None) -> None:
    """Reserve the credential, or use it up with `certificate`; raises CredentialUnavailable."""
    identifier, holder = _reservation(transaction)
    values: Values = {"held": identifier, "in_name_of": holder}
    if certificate is None:
        changed = session.change(sql.RESERVE, values)
    else:
        values |= {"by_authority": certificate.authority, "by_serial": serial_text(certificate.serial)}
        changed = session.change(sql.USE_UP, values)
    if changed == 1:
        return
    known = session.row(sql.ONE_TIME, {"identifier": identifier})
    if known is None:
        raise CredentialUnavailable("the credential is gone")
    if known[0]:
        raise CredentialUnavailable("the credential is used up or held by another request")


def _free(session: Session, transaction: Transaction) -> None:
    """Free what `transaction` reserved, unless it is used up or another transaction still holds it."""
    if transaction.credential_id is None:
        return
    identifier, holder = _reservation(transaction)
    values = key_values(transaction.key)
    values |= {"held": identifier, "in_name_of": holder, "request_hash": transaction.request_hash}
    session.change(sql.FREE, values)


def _put_secret(session: Session, identifier: str, sealed: bytes, expires: datetime) -> None:
    values: Values = {"identifier": identifier, "sealed": sealed, "expires": seconds(expires)}
    session.add(sql.PUT_SECRET, values, "the secret exists already")


def _certificate(session: Session, authority: str, serial: int) -> IssuedCertificate | None:
    values: Values = {"authority": authority, "serial": serial_text(serial)}
    row = session.row(sql.CERTIFICATE, values)
    return None if row is None else certificate_of(row)
