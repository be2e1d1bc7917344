"""The statements of `ca.sql_store`: built once by SQLAlchemy Core, executed by the driver (`ca.sql_engine.Session`).

Values that differ from one execution to the next are parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

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
    true,
    update,
)

from ca.sql_tables import (
    CERTIFICATE_COLUMNS,
    CERTIFICATES,
    CREDENTIALS,
    CRL_NUMBERS,
    CRL_STATES,
    CRLS,
    GUESSES,
    SECRETS,
    TRANSACTION_COLUMNS,
    TRANSACTIONS,
)
from ca.store import COMPROMISED, Decision, Standing, State


def _equals(column: ColumnElement[object], name: str) -> ColumnElement[bool]:
    """The column equals the parameter, also when both are NULL."""
    return column.is_not_distinct_from(bindparam(name))


def _insert(table: Table) -> Insert:
    """A new row, of which every column but the row number is a parameter of its name."""
    return insert(table).values({column: bindparam(column.name) for column in table.c if column.name != "id"})


def _limited(query: Select[Any]) -> Select[Any]:
    """At most as many rows as the parameter `limit` says. SQLite's OFFSET would otherwise be a value of its own."""
    return query.limit(bindparam("limit")).offset(literal_column("0"))


_T, _C, _P, _S = TRANSACTIONS.c, CERTIFICATES.c, CREDENTIALS.c, CRL_STATES.c


def _text(value: str) -> ColumnElement[str]:
    """A constant of ours in the SQL itself, so that the database can use a partial index."""
    return literal_column(f"'{value}'")


_KEY = and_(
    _T.transaction_id == bindparam("transaction_id"),
    _T.requester == bindparam("requester"),
    _T.protocol == bindparam("protocol"),
    _T.profile == bindparam("profile"),
)
GET = select(*TRANSACTION_COLUMNS).where(_KEY)
CREATE = _insert(TRANSACTIONS)
_AS_IT_WAS = and_(
    *(
        _equals(column, f"old_{column.name}") if column.nullable else column == bindparam(f"old_{column.name}")
        for column in TRANSACTION_COLUMNS
    )
)
REPLACE = (
    update(TRANSACTIONS)
    .where(_AS_IT_WAS)
    .values({column: bindparam(f"new_{column.name}") for column in TRANSACTION_COLUMNS[3:]})
)
DROP = delete(TRANSACTIONS).where(_AS_IT_WAS)
NEWEST_TRANSACTIONS = _limited(select(*TRANSACTION_COLUMNS).order_by(_T.created.desc(), _T.id.desc()))
NEWEST_IN_STATE = NEWEST_TRANSACTIONS.where(_T.state == bindparam("state"))
COUNT = select(func.count()).where(_T.state == bindparam("state"), _T.expires >= bindparam("now"))

# As `Transaction.standing` has it.
_UNDECIDED = _T.decision == _text(Decision.UNDECIDED.value)
_STANDING: dict[Standing, ColumnElement[bool]] = {
    Standing.AUTHORISED: or_(not_(_UNDECIDED), and_(_T.renews == _text(""), _T.approved_by != _text(""))),
    Standing.RENEWAL: and_(_UNDECIDED, _T.renews != _text("")),
    Standing.NOBODY: and_(_UNDECIDED, _T.renews == _text(""), _T.approved_by == _text("")),
}


def _crowd(standing: Standing, narrowed: Iterable[str]) -> Select[Any]:
    """The query for a group of this standing, narrowed by these columns (`Group.narrowed`)."""
    columns: list[Any] = [func.count(), func.min(_T.id)]
    return select(*columns).where(
        _T.state == bindparam("state"),
        _T.expires >= bindparam("now"),
        _T.profile == bindparam("profile"),
        _STANDING[standing],
        *(_T[name] == bindparam(name) for name in narrowed),
    )


_NARROWING = ("requester", "renews", "request_hash")
CROWDS = {
    (standing, frozenset(narrowed)): _crowd(standing, narrowed)
    for standing in Standing
    for number in range(len(_NARROWING) + 1)
    for narrowed in combinations(_NARROWING, number)
}
NUMBERED = select(*TRANSACTION_COLUMNS).where(_T.id == bindparam("number"))
PUT_SECRET = _insert(SECRETS)
SECRET = select(SECRETS.c.sealed).where(SECRETS.c.identifier == bindparam("identifier"))
TAKE_SECRET = delete(SECRETS).where(SECRETS.c.identifier == bindparam("of")).returning(SECRETS.c.sealed)
FORGET_SECRET = delete(SECRETS).where(SECRETS.c.identifier == bindparam("of"))
PURGE_SECRETS = delete(SECRETS).where(SECRETS.c.expires < bindparam("now"))

_CERTIFICATES = select(*CERTIFICATE_COLUMNS).order_by(_C.not_before.desc(), _C.id.desc())
NEWEST_CERTIFICATES = _limited(_CERTIFICATES.where(_C.released.is_(true())))
CERTIFICATE = select(*CERTIFICATE_COLUMNS).where(
    _C.authority == bindparam("authority"), _C.serial == bindparam("serial")
)
VALID_CERTIFICATES = _CERTIFICATES.where(
    _C.name == bindparam("name"),
    _C.revoked_at.is_(None),
    _C.not_after >= bindparam("now"),
)
COUNT_COMPROMISED = select(func.count()).where(
    _C.spki_hash == bindparam("key"),
    _C.revoked_at.is_not(None),
    _C.reason.in_([_text(reason) for reason in COMPROMISED]),
)
ISSUED_FOR = select(_C.message_hashes).where(_C.request_hash.in_([bindparam("request"), bindparam("formerly")]))
FIND_SERIAL = _CERTIFICATES.where(_C.serial == bindparam("serial"))
# One statement, so that the revision is that of the rows; one row at least, if anything was ever revoked.
REVOCATIONS = (
    select(_S.revision, _C.serial, _C.revoked_at, _C.reason)
    .select_from(
        CRL_STATES.outerjoin(
            CERTIFICATES,
            and_(_C.authority == _S.authority, _C.revoked_at.is_not(None), _C.not_after >= bindparam("now")),
        )
    )
    .where(_S.authority == bindparam("of"))
)
RECORD = _insert(CERTIFICATES)
REVOKE = (
    update(CERTIFICATES)
    .where(_C.authority == bindparam("of"), _C.serial == bindparam("number"))
    .values(revoked_at=bindparam("at"), reason=bindparam("why"))
)
ADD_MESSAGE = (
    update(CERTIFICATES)
    .where(_C.authority == bindparam("of"), _C.serial == bindparam("number"))
    .values(message_hashes=bindparam("hashes"))
)
RELEASE_CERTIFICATE = (
    update(CERTIFICATES)
    .where(_C.authority == bindparam("of"), _C.serial == bindparam("number"), _C.revoked_at.is_(None))
    .values(released=true())
)
CRL_NUMBER = select(CRL_NUMBERS.c.number).where(CRL_NUMBERS.c.authority == bindparam("of"))
NEXT_CRL_NUMBER = (
    update(CRL_NUMBERS)
    .where(CRL_NUMBERS.c.authority == bindparam("of"))
    .values(number=CRL_NUMBERS.c.number + literal_column("1"))
)
FIRST_CRL_NUMBER = _insert(CRL_NUMBERS)
CRL_STATE = select(_S.revision, _S.number).where(_S.authority == bindparam("of"))
FIRST_CRL_STATE = _insert(CRL_STATES)
NEXT_REVISION = (
    update(CRL_STATES).where(_S.authority == bindparam("of")).values(revision=_S.revision + literal_column("1"))
)
KEPT_NUMBER = update(CRL_STATES).where(_S.authority == bindparam("of")).values(number=bindparam("kept"))
CRL = select(*CRLS.c).where(CRLS.c.authority == bindparam("of"))
FORGET_CRL = delete(CRLS).where(CRLS.c.authority == bindparam("of"))
KEEP_CRL = _insert(CRLS)
PASS_CRL_NUMBER = (
    update(CRL_NUMBERS)
    .where(CRL_NUMBERS.c.authority == bindparam("of"), CRL_NUMBERS.c.number < bindparam("least"))
    .values(number=bindparam("passed"))
)

CREDENTIAL = select(*CREDENTIALS.c).where(_P.identifier == bindparam("identifier"))
ONE_TIME = select(_P.one_time).where(_P.identifier == bindparam("identifier"))
ADD_CREDENTIAL = _insert(CREDENTIALS)
NEWEST_CREDENTIALS = _limited(select(*CREDENTIALS.c).order_by(_P.created.desc(), _P.identifier))
REMOVE_CREDENTIAL = delete(CREDENTIALS).where(_P.identifier == bindparam("of"))
_HOLD = update(CREDENTIALS).where(
    _P.identifier == bindparam("held"),
    _P.one_time.is_(True),
    _P.serial.is_(None),
    or_(_P.holder.is_(None), _P.holder == bindparam("in_name_of")),
)
RESERVE = _HOLD.values(holder=bindparam("in_name_of"))
USE_UP = _HOLD.values(
    holder=bindparam("in_name_of"), authority=bindparam("by_authority"), serial=bindparam("by_serial")
)
FREE = (
    update(CREDENTIALS)
    .where(
        _P.identifier == bindparam("held"),
        _P.serial.is_(None),
        _P.holder == bindparam("in_name_of"),
        not_(
            exists().where(
                _T.credential_id == bindparam("held"),
                _T.requester == bindparam("requester"),
                _T.request_hash == bindparam("request_hash"),
                not_(_KEY),
            )
        ),
    )
    .values(holder=null())
)
GUESSED = select(GUESSES.c.minute, GUESSES.c.number).where(GUESSES.c.profile == bindparam("of"))
FIRST_GUESS = _insert(GUESSES)
NEXT_GUESS = (
    update(GUESSES)
    .where(GUESSES.c.profile == bindparam("of"))
    .values(minute=bindparam("now"), number=bindparam("counted"))
)
# Naming all states lets the database use the index over (state, expires).
_EXPIRED = and_(_T.state.in_([_text(state.value) for state in State]), _T.expires < bindparam("now"))
EXPIRED_HOLDERS = select(*TRANSACTION_COLUMNS).where(_EXPIRED, _T.credential_id.is_not(None)).with_for_update()
EXPIRED_UNRELEASED = select(*TRANSACTION_COLUMNS).where(
    _T.state == _text(State.AWAITING_RELEASE.value), _T.expires < bindparam("now")
)
PURGE_TRANSACTIONS = delete(TRANSACTIONS).where(_EXPIRED)
PURGE_CREDENTIALS = delete(CREDENTIALS).where(
    _P.expires < bindparam("now"), or_(_P.holder.is_(None), _P.serial.is_not(None))
)
