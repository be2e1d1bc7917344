"""The Store in a SQL database, through SQLAlchemy Core: SQLite now, PostgreSQL through the same class later.

Every change is one database transaction. On SQLite it begins with the write lock (BEGIN IMMEDIATE), so nothing
read in it can change before it is written, and a commit returns after the fsync (synchronous=FULL: in WAL mode
anything less may lose the last commits in a power cut). Reads are single statements and need no transaction.
"Expired at a moment" means what it means in `ca.memory_store`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.engine import URL

from ca.migrations import ensure_schema
from ca.sql_engine import Database, Session
from ca.sql_tables import (
    CERTIFICATE_COLUMNS,
    CERTIFICATES,
    CHALLENGES,
    CRL_NUMBERS,
    SECRETS,
    TRANSACTION_COLUMNS,
    TRANSACTIONS,
    Values,
    certificate_of,
    certificate_values,
    challenge_of,
    challenge_values,
    key_values,
    seconds,
    serial_text,
    transaction_of,
    transaction_values,
)
from ca.store import (
    ChallengePassword,
    ChallengeUnavailable,
    IssuedCertificate,
    State,
    Store,
    StoreConflict,
    Transaction,
    TransactionKey,
    holder_of,
)

# Statements are built once, and so is their SQL (`ca.sql_engine.Session`); values that differ are parameters.


def _equals(column: ColumnElement[object], name: str) -> ColumnElement[bool]:
    """The column equals the parameter, also when both are NULL."""
    return column.is_not_distinct_from(bindparam(name))


def _insert(table: Table) -> Insert:
    """A new row, of which every column but the row number is a parameter of its name."""
    return insert(table).values({column: bindparam(column.name) for column in table.c if column.name != "id"})


def _limited(query: Select[Any]) -> Select[Any]:
    """At most as many rows as the parameter `limit` says. SQLite's OFFSET would otherwise be a value of its own."""
    return query.limit(bindparam("limit")).offset(literal_column("0"))


_T, _C, _P = TRANSACTIONS.c, CERTIFICATES.c, CHALLENGES.c

_GET = select(*TRANSACTION_COLUMNS).where(
    _T.transaction_id == bindparam("transaction_id"),
    _T.signer == bindparam("signer"),
    _T.protocol == bindparam("protocol"),
)
_CREATE = _insert(TRANSACTIONS)
_REPLACE = (
    update(TRANSACTIONS)
    .where(
        *(
            _equals(column, f"old_{column.name}") if column.nullable else column == bindparam(f"old_{column.name}")
            for column in TRANSACTION_COLUMNS
        )
    )
    .values({column: bindparam(f"new_{column.name}") for column in TRANSACTION_COLUMNS[3:]})
)
_NEWEST_TRANSACTIONS = _limited(select(*TRANSACTION_COLUMNS).order_by(_T.created.desc(), _T.id.desc()))
_NEWEST_IN_STATE = _NEWEST_TRANSACTIONS.where(_T.state == bindparam("state"))
_COUNT = select(func.count()).where(_T.state == bindparam("state"), _T.expires >= bindparam("now"))
_COUNT_OF_SIGNER = _COUNT.where(_T.signer == bindparam("signer"))
_COUNT_RENEWALS = _COUNT.where(_T.renews != literal_column("''"))
_COUNT_RENEWALS_OF = _COUNT.where(_T.renews == bindparam("renews"))
_PUT_SECRET = _insert(SECRETS)
_TAKE_SECRET = delete(SECRETS).where(SECRETS.c.identifier == bindparam("of")).returning(SECRETS.c.sealed)
_PURGE_SECRETS = delete(SECRETS).where(SECRETS.c.expires < bindparam("now"))

_CERTIFICATES = select(*CERTIFICATE_COLUMNS).order_by(_C.not_before.desc(), _C.id.desc())
_NEWEST_CERTIFICATES = _limited(_CERTIFICATES)
_CERTIFICATE = select(*CERTIFICATE_COLUMNS).where(
    _C.authority == bindparam("authority"), _C.serial == bindparam("serial")
)
_VALID_CERTIFICATES = _CERTIFICATES.where(
    _C.authority == bindparam("authority"),
    _C.subject == bindparam("subject"),
    _C.revoked_at.is_(None),
    _C.not_after >= bindparam("now"),
)
_FIND_SERIAL = _CERTIFICATES.where(_C.serial == bindparam("serial"))
_REVOKED = _CERTIFICATES.where(
    _C.authority == bindparam("authority"), _C.revoked_at.is_not(None), _C.not_after >= bindparam("now")
)
_RECORD = _insert(CERTIFICATES)
_REVOKE = (
    update(CERTIFICATES)
    .where(_C.authority == bindparam("of"), _C.serial == bindparam("number"), _C.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"), reason=bindparam("why"))
)
_CRL_NUMBER = select(CRL_NUMBERS.c.number).where(CRL_NUMBERS.c.authority == bindparam("of"))
_NEXT_CRL_NUMBER = (
    update(CRL_NUMBERS)
    .where(CRL_NUMBERS.c.authority == bindparam("of"))
    .values(number=CRL_NUMBERS.c.number + literal_column("1"))
)
_FIRST_CRL_NUMBER = _insert(CRL_NUMBERS)

_CHALLENGE = select(*CHALLENGES.c).where(_P.identifier == bindparam("identifier"))
_ONE_TIME = select(_P.one_time).where(_P.identifier == bindparam("identifier"))
_ADD_CHALLENGE = _insert(CHALLENGES)
_NEWEST_CHALLENGES = _limited(select(*CHALLENGES.c).order_by(_P.created.desc(), _P.identifier))
_REMOVE_CHALLENGE = delete(CHALLENGES).where(_P.identifier == bindparam("of"))
_HOLD = update(CHALLENGES).where(
    _P.identifier == bindparam("held"),
    _P.one_time.is_(True),
    _P.serial.is_(None),
    or_(_P.holder.is_(None), _P.holder == bindparam("in_name_of")),
)
_RESERVE = _HOLD.values(holder=bindparam("in_name_of"))
_USE_UP = _HOLD.values(
    holder=bindparam("in_name_of"), authority=bindparam("by_authority"), serial=bindparam("by_serial")
)
_RELEASE = (
    update(CHALLENGES)
    .where(
        _P.identifier == bindparam("held"),
        _P.serial.is_(None),
        _P.holder == bindparam("in_name_of"),
        not_(
            exists().where(
                _T.challenge_id == bindparam("held"),
                _T.signer == bindparam("signer"),
                _T.request_hash == bindparam("request_hash"),
                not_(and_(_T.transaction_id == bindparam("transaction_id"), _T.protocol == bindparam("protocol"))),
            )
        ),
    )
    .values(holder=null())
)
# Naming all states lets the database use the index over (state, expires).
_EXPIRED = and_(_T.state.in_([literal_column(f"'{state.value}'") for state in State]), _T.expires < bindparam("now"))
_EXPIRED_HOLDERS = select(*TRANSACTION_COLUMNS).where(_EXPIRED, _T.challenge_id.is_not(None)).with_for_update()
_PURGE_TRANSACTIONS = delete(TRANSACTIONS).where(_EXPIRED)
_PURGE_CHALLENGES = delete(CHALLENGES).where(
    _P.expires < bindparam("now"), or_(_P.holder.is_(None), _P.serial.is_not(None))
)


class SqlStore(Store):
    """See `ca.store.Store`. `url` is SQLAlchemy's, such as "sqlite:////var/lib/scep-kem/ca.sqlite3".

    Opening creates a SQLite file (mode 0600, as are its -wal and -shm) and brings the schema up to date; with
    `migrate=False` an old or empty database raises `ca.migrations.StoreVersionError` instead, as a newer one
    always does. In-memory SQLite raises ValueError: that is what `MemoryStore` is for.

    Any number of threads may share one SqlStore, and any number of processes may open the same file. A SqlStore
    may also be opened before a fork (gunicorn with preload_app): it closes its idle connections right before
    `os.fork`, because SQLite's locks do not survive one, and parent and child open new ones when they need them.
    What the caller must see to is that no other thread is inside the SqlStore at the moment of the fork.

    Close it when done (`close`, or use it in a `with` statement). Waiting for the write lock of another process
    ends after 30 seconds with StoreUnavailable.
    """

    def __init__(self, url: str | URL, *, migrate: bool = True) -> None:
        self._database = Database(url)
        # SQLite polls for its one write lock with growing naps; the threads of this process queue here instead.
        sqlite = self._database.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if sqlite else contextlib.nullcontext()
        try:
            ensure_schema(self._database.engine, migrate=migrate)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections. Using the store again opens new ones."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Transactions

    def get(self, key: TransactionKey) -> Transaction | None:
        with self._database.reading() as session:
            row = session.row(_GET, key_values(key))
        return None if row is None else transaction_of(row)

    def create(self, transaction: Transaction) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, None, transaction)
            if transaction.challenge_id is not None:
                _hold(session, transaction, None)

    def replace(self, old: Transaction, new: Transaction) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            if _reservation(old) != _reservation(new):
                _release(session, old)
                if new.challenge_id is not None:
                    _hold(session, new, None)

    def issue(self, old: Transaction | None, new: Transaction, certificate: IssuedCertificate) -> None:
        with self._turn, self._database.writing() as session:
            _put(session, old, new)
            session.add(_RECORD, certificate_values(certificate), "the serial number was issued before")
            if old is not None and _reservation(old) != _reservation(new):
                _release(session, old)
            if new.challenge_id is not None:
                _hold(session, new, certificate)

    def transactions(self, state: State | None = None, *, limit: int = 1000) -> Sequence[Transaction]:
        with self._database.reading() as session:
            if state is None:
                rows = session.rows(_NEWEST_TRANSACTIONS, {"limit": limit})
            else:
                rows = session.rows(_NEWEST_IN_STATE, {"limit": limit, "state": state.value})
        return [transaction_of(row) for row in rows]

    def count(self, state: State, *, now: datetime, signer: bytes | None = None) -> int:
        values: Values = {"state": state.value, "now": seconds(now)}
        with self._database.reading() as session:
            if signer is None:
                ((found,),) = session.rows(_COUNT, values)
            else:
                ((found,),) = session.rows(_COUNT_OF_SIGNER, values | {"signer": signer})
        return int(found)

    def count_renewals(self, *, now: datetime, of: str | None = None) -> int:
        values: Values = {"state": State.CHALLENGED.value, "now": seconds(now)}
        with self._database.reading() as session:
            if of is None:
                ((found,),) = session.rows(_COUNT_RENEWALS, values)
            else:
                ((found,),) = session.rows(_COUNT_RENEWALS_OF, values | {"renews": of})
        return int(found)

    # Certificates

    def record(self, certificate: IssuedCertificate) -> None:
        with self._turn, self._database.writing() as session:
            session.add(_RECORD, certificate_values(certificate), "the serial number was issued before")

    def certificate(self, authority: str, serial: int) -> IssuedCertificate | None:
        with self._database.reading() as session:
            return _certificate(session, authority, serial)

    def valid_certificates(self, authority: str, subject: str, *, now: datetime) -> Sequence[IssuedCertificate]:
        values: Values = {"authority": authority, "subject": subject, "now": seconds(now)}
        with self._database.reading() as session:
            return [certificate_of(row) for row in session.rows(_VALID_CERTIFICATES, values)]

    def certificates(self, *, limit: int = 1000) -> Sequence[IssuedCertificate]:
        with self._database.reading() as session:
            return [certificate_of(row) for row in session.rows(_NEWEST_CERTIFICATES, {"limit": limit})]

    def find_serial(self, serial: int) -> Sequence[IssuedCertificate]:
        with self._database.reading() as session:
            rows = session.rows(_FIND_SERIAL, {"serial": serial_text(serial)})
            return [certificate_of(row) for row in rows]

    def revoke(self, authority: str, serial: int, *, reason: str, now: datetime) -> IssuedCertificate:
        values: Values = {"of": authority, "number": serial_text(serial), "why": reason, "now": seconds(now)}
        with self._turn, self._database.writing() as session:
            session.change(_REVOKE, values)
            certificate = _certificate(session, authority, serial)
        if certificate is None:
            raise KeyError(f"no certificate {serial:x} of {authority}")
        return certificate

    def revoked(self, authority: str, *, now: datetime) -> Sequence[IssuedCertificate]:
        with self._database.reading() as session:
            rows = session.rows(_REVOKED, {"authority": authority, "now": seconds(now)})
            return [certificate_of(row) for row in rows]

    def next_crl_number(self, authority: str) -> int:
        with self._turn, self._database.writing() as session:
            if session.change(_NEXT_CRL_NUMBER, {"of": authority}) == 0:
                session.change(_FIRST_CRL_NUMBER, {"authority": authority, "number": 1})
            ((number,),) = session.rows(_CRL_NUMBER, {"of": authority})
        return int(number)

    # Challenge passwords

    def add_challenge(self, challenge: ChallengePassword) -> None:
        with self._turn, self._database.writing() as session:
            session.add(_ADD_CHALLENGE, challenge_values(challenge), "the challenge password exists already")

    def challenge(self, identifier: str) -> ChallengePassword | None:
        with self._database.reading() as session:
            row = session.row(_CHALLENGE, {"identifier": identifier})
        return None if row is None else challenge_of(row)

    def challenges(self, *, limit: int = 1000) -> Sequence[ChallengePassword]:
        with self._database.reading() as session:
            return [challenge_of(row) for row in session.rows(_NEWEST_CHALLENGES, {"limit": limit})]

    def remove_challenge(self, identifier: str) -> bool:
        with self._turn, self._database.writing() as session:
            return session.change(_REMOVE_CHALLENGE, {"of": identifier}) == 1

    # Secrets

    def put_secret(self, identifier: str, sealed: bytes, expires: datetime) -> None:
        with self._turn, self._database.writing() as session:
            values: Values = {"identifier": identifier, "sealed": sealed, "expires": seconds(expires)}
            session.add(_PUT_SECRET, values, "the secret exists already")

    def take_secret(self, identifier: str) -> bytes | None:
        with self._turn, self._database.writing() as session:
            row = session.row(_TAKE_SECRET, {"of": identifier})
        return None if row is None else bytes(row[0])

    # Housekeeping

    def purge(self, now: datetime) -> int:
        moment = {"now": seconds(now)}
        with self._turn, self._database.writing() as session:
            holders = [transaction_of(row) for row in session.rows(_EXPIRED_HOLDERS, moment)]
            gone = session.change(_PURGE_TRANSACTIONS, moment)
            for transaction in holders:
                _release(session, transaction)
            gone += session.change(_PURGE_SECRETS, moment)
            return gone + session.change(_PURGE_CHALLENGES, moment)


# The steps of a change, inside its transaction.


def _put(session: Session, old: Transaction | None, new: Transaction) -> None:
    """Compare-and-swap; raises StoreConflict."""
    if old is None:
        session.add(_CREATE, transaction_values(new), "the transaction exists already")
        return
    if old.key != new.key:
        raise ValueError("a transaction is replaced by one with the same key")
    values = {f"old_{name}": value for name, value in transaction_values(old).items()}
    values |= {f"new_{name}": value for name, value in transaction_values(new).items()}
    if session.change(_REPLACE, values) != 1:
        raise StoreConflict("the transaction was changed by somebody else")


def _reservation(transaction: Transaction) -> tuple[str | None, str]:
    """Which challenge password the transaction refers to, and in whose name."""
    return transaction.challenge_id, holder_of(transaction.key.signer, transaction.request_hash)


def _hold(session: Session, transaction: Transaction, certificate: IssuedCertificate | None) -> None:
    """Reserve the challenge password, or use it up with `certificate`; raises ChallengeUnavailable."""
    identifier, holder = _reservation(transaction)
    values: Values = {"held": identifier, "in_name_of": holder}
    if certificate is None:
        changed = session.change(_RESERVE, values)
    else:
        values |= {"by_authority": certificate.authority, "by_serial": serial_text(certificate.serial)}
        changed = session.change(_USE_UP, values)
    if changed == 1:
        return
    known = session.row(_ONE_TIME, {"identifier": identifier})
    if known is None:
        raise ChallengeUnavailable("the challenge password is gone")
    if known[0]:
        raise ChallengeUnavailable("the challenge password is used up or held by another request")


def _release(session: Session, transaction: Transaction) -> None:
    """Free what `transaction` reserved, unless it is used up or another transaction still holds it."""
    if transaction.challenge_id is None:
        return
    identifier, holder = _reservation(transaction)
    values = key_values(transaction.key)
    values |= {"held": identifier, "in_name_of": holder, "request_hash": transaction.request_hash}
    session.change(_RELEASE, values)


def _certificate(session: Session, authority: str, serial: int) -> IssuedCertificate | None:
    values: Values = {"authority": authority, "serial": serial_text(serial)}
    row = session.row(_CERTIFICATE, values)
    return None if row is None else certificate_of(row)
