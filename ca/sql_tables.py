"""The tables of `ca.sql_store`, and how a record becomes a row and a row a record.

Chosen so that SQLite and PostgreSQL hold the same values: times are integer seconds since 1970 UTC, serial
numbers (up to 20 octets, too long for any integer column) are hexadecimal text without leading zeros, enumerations
are their values. The numeric `id` columns are only there to tell which of two rows came first.

Every index costs `issue` a database page to write, so each one here says which method needs it. There are no
foreign keys: a transaction may outlive its credential and its authority need not be the issuer. The
migrations in `ca.migrations` create these tables; `tests/ca/test_migrations.py` holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

from ca.kept_crls import KeptCrl, Revocation
from ca.store import Credential, Decision, IssuedCertificate, Release, State, Transaction, TransactionKey

METADATA = MetaData()

# SQLite numbers rows by itself only in a column that is INTEGER PRIMARY KEY to the letter.
_ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")

TRANSACTIONS = Table(
    "transactions",
    METADATA,
    Column("id", _ROW_NUMBER, primary_key=True),
    Column("protocol", Text, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("requester", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("sealed_request", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("credential_id", Text),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("serial", Text),
    Column("secret_id", Text),
    Column("pop_challenges", Integer, nullable=False, server_default="0"),
    Column("approved_by", Text, nullable=False, server_default=text("''")),
    Column("renews", Text, nullable=False, server_default=text("''")),
    Column("release", Text, nullable=False, server_default=text("'none'")),
    Column("client", Text),  # NULL where it is not known
    UniqueConstraint("transaction_id", "requester", "protocol", "profile", name="uq_transactions_key"),
    # For `count`, `crowd` and `purge`.
    Index("ix_transactions_state_expires", "state", "expires"),
    # For releasing a reservation, which asks whether another transaction still holds it.
    Index(
        "ix_transactions_credential_id",
        "credential_id",
        sqlite_where=text("credential_id IS NOT NULL"),
        postgresql_where=text("credential_id IS NOT NULL"),
    ),
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", _ROW_NUMBER, primary_key=True),
    Column("authority", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("spki_hash", LargeBinary, nullable=False),
    Column("profile", Text, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("reason", Text),
    # NULL where it is not known, which equals nothing.
    Column("name", Text),
    Column("request_hash", LargeBinary),
    Column("message_hashes", LargeBinary),  # one behind the other
    Column("released", Boolean, nullable=False, server_default=true()),
    # The serial number stands first so that `find_serial` uses the same index.
    UniqueConstraint("serial", "authority", name="uq_certificates_serial"),
    # For `valid_certificates` and what `issue` forbids.
    Index("ix_certificates_name", "name"),
    Index("ix_certificates_request", "request_hash"),
    # For keys that were compromised, and all that `revocations` reads; cost nothing while a certificate is good.
    Index(
        "ix_certificates_revoked_key",
        "spki_hash",
        sqlite_where=text("revoked_at IS NOT NULL"),
        postgresql_where=text("revoked_at IS NOT NULL"),
    ),
    Index(
        "ix_certificates_revoked",
        "authority",
        "not_after",
        "serial",
        "revoked_at",
        "reason",
        sqlite_where=text("revoked_at IS NOT NULL"),
        postgresql_where=text("revoked_at IS NOT NULL"),
    ),
)

CREDENTIALS = Table(
    "credentials",
    METADATA,
    Column("identifier", Text, primary_key=True),
    Column("one_time", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("subject", Text),
    Column("profile", Text),
    Column("holder", Text),
    Column("authority", Text),
    Column("serial", Text),
    Column("sealed", LargeBinary),
    Column("reference", Text),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("identifier", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

GUESSES = Table(
    "guesses",
    METADATA,
    Column("profile", Text, primary_key=True),
    Column("minute", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
)

CRL_NUMBERS = Table(
    "crl_numbers",
    METADATA,
    Column("authority", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

# For every issuer of which something was revoked, or a CRL is kept. A small row beside the large one of CRLS.
CRL_STATES = Table(
    "crl_states",
    METADATA,
    Column("authority", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
)

CRLS = Table(
    "crls",
    METADATA,
    Column("authority", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("der", LargeBinary, nullable=False),
)

# The columns of a record in the order that the functions below write and read them.
TRANSACTION_COLUMNS = tuple(column for column in TRANSACTIONS.c if column.name != "id")
CERTIFICATE_COLUMNS = tuple(column for column in CERTIFICATES.c if column.name != "id")

Row = Sequence[Any]
Values = dict[str, object]


def seconds(moment: datetime) -> int:
    """Seconds since 1970 UTC. Raises ValueError unless `moment` is aware and in whole seconds."""
    if moment.tzinfo is None or moment.microsecond:
        raise ValueError("times in the Store are aware and in whole seconds")
    return int(moment.timestamp())


def _seconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else seconds(moment)


def _moment(value: int) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def _moment_or_none(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def serial_text(serial: int) -> str:
    """Hexadecimal, lower case, without leading zeros; any integer, so that a peer may ask for any."""
    return format(serial, "x")


def _serial_text_or_none(serial: int | None) -> str | None:
    return None if serial is None else format(serial, "x")


def _serial_or_none(value: str | None) -> int | None:
    return None if value is None else int(value, 16)


def key_values(key: TransactionKey) -> Values:
    """The columns that identify a transaction."""
    return {
        "protocol": key.protocol,
        "transaction_id": key.transaction_id,
        "requester": key.requester,
        "profile": key.profile,
    }


def transaction_values(transaction: Transaction) -> Values:
    """The row of a transaction."""
    return {
        **key_values(transaction.key),
        "state": transaction.state.value,
        "request_hash": transaction.request_hash,
        "sealed_request": transaction.sealed_request,
        "subject": transaction.subject,
        "authority": transaction.authority,
        "created": seconds(transaction.created),
        "updated": seconds(transaction.updated),
        "expires": seconds(transaction.expires),
        "credential_id": transaction.credential_id,
        "decision": transaction.decision.value,
        "reason": transaction.reason,
        "serial": _serial_text_or_none(transaction.serial),
        "secret_id": transaction.secret_id,
        "pop_challenges": transaction.pop_challenges,
        "approved_by": transaction.approved_by,
        "renews": transaction.renews,
        "release": transaction.release.value,
        "client": transaction.client,
    }


def transaction_of(row: Row) -> Transaction:
    """The transaction in a row of TRANSACTION_COLUMNS."""
    protocol, transaction_id, requester, state, request_hash, sealed_request, subject, profile, *rest = row
    authority, created, updated, expires, credential_id, decision, reason, serial, *proof = rest
    secret_id, pop_challenges, approved_by, renews, release, client = proof
    return Transaction(
        key=TransactionKey(protocol, transaction_id, requester, profile),
        state=State(state),
        request_hash=request_hash,
        sealed_request=sealed_request,
        subject=subject,
        authority=authority,
        created=_moment(created),
        updated=_moment(updated),
        expires=_moment(expires),
        credential_id=credential_id,
        decision=Decision(decision),
        reason=reason,
        serial=_serial_or_none(serial),
        secret_id=secret_id,
        pop_challenges=pop_challenges,
        approved_by=approved_by,
        renews=renews,
        release=Release(release),
        client=client,
    )


def hashes_of(value: bytes | None) -> tuple[bytes, ...]:
    """What a column of hashes holds, 32 octets each."""
    octets = value or b""
    return tuple(octets[at : at + 32] for at in range(0, len(octets), 32))


def certificate_values(certificate: IssuedCertificate) -> Values:
    """The row of a certificate."""
    return {
        "authority": certificate.authority,
        "serial": serial_text(certificate.serial),
        "der": certificate.der,
        "subject": certificate.subject,
        "spki_hash": certificate.spki_hash,
        "profile": certificate.profile,
        "not_before": seconds(certificate.not_before),
        "not_after": seconds(certificate.not_after),
        "revoked_at": _seconds_or_none(certificate.revoked_at),
        "reason": certificate.reason,
        "name": certificate.name or None,
        "request_hash": certificate.request_hash or None,
        "message_hashes": b"".join(certificate.message_hashes) or None,
        "released": certificate.released,
    }


def certificate_of(row: Row) -> IssuedCertificate:
    """The certificate in a row of CERTIFICATE_COLUMNS."""
    authority, serial, der, subject, spki_hash, profile, not_before, not_after, revoked_at, reason, *more = row
    name, request_hash, message_hashes, released = more
    return IssuedCertificate(
        authority=authority,
        serial=int(serial, 16),
        der=der,
        subject=subject,
        spki_hash=spki_hash,
        profile=profile,
        not_before=_moment(not_before),
        not_after=_moment(not_after),
        revoked_at=_moment_or_none(revoked_at),
        reason=reason,
        name=name or "",
        request_hash=request_hash or b"",
        message_hashes=hashes_of(message_hashes),
        released=bool(released),
    )


def revocation_of(serial: str, revoked_at: int, reason: str | None) -> Revocation:
    """The revocation in columns of a certificate's row."""
    return Revocation(int(serial, 16), _moment(revoked_at), reason)


def crl_values(crl: KeptCrl) -> Values:
    """The row of a CRL."""
    return {
        "authority": crl.authority,
        "number": crl.number,
        "revision": crl.revision,
        "made": seconds(crl.made),
        "der": crl.der,
    }


def crl_of(row: Row) -> KeptCrl:
    """The CRL in a row of CRLS.c."""
    authority, number, revision, made, der = row
    return KeptCrl(authority, number, revision, _moment(made), bytes(der))


def credential_values(credential: Credential) -> Values:
    """The row of a credential."""
    return {
        "identifier": credential.identifier,
        "one_time": credential.one_time,
        "created": seconds(credential.created),
        "expires": _seconds_or_none(credential.expires),
        "subject": credential.subject,
        "profile": credential.profile,
        "holder": credential.holder,
        "authority": credential.authority,
        "serial": _serial_text_or_none(credential.serial),
        "sealed": credential.sealed,
        "reference": credential.reference,
    }


def credential_of(row: Row) -> Credential:
    """The credential in a row of CREDENTIALS.c."""
    identifier, one_time, created, expires, subject, profile, holder, authority, serial, sealed, reference = row
    return Credential(
        identifier=identifier,
        one_time=bool(one_time),
        created=_moment(created),
        expires=_moment_or_none(expires),
        subject=subject,
        profile=profile,
        holder=holder,
        authority=authority,
        serial=_serial_or_none(serial),
        sealed=sealed,
        reference=reference,
    )
