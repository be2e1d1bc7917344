"""Transactions belong to a profile; certificates know their name and request; wrong challenge passwords are counted."""

import contextlib
from typing import Any

import sqlalchemy as sa
from alembic import op
from cryptography import x509

from pkix.names import comparable

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_transactions_anew()
    for name, kind in (("name", sa.Text), ("request_hash", sa.LargeBinary), ("message_hash", sa.LargeBinary)):
        op.add_column("certificates", sa.Column(name, kind))
    _fill_in_names()
    op.drop_index("ix_certificates_subject", "certificates")
    op.create_index("ix_certificates_name", "certificates", ["name"])
    op.create_index("ix_certificates_request", "certificates", ["request_hash"])
    revoked = sa.text("revoked_at IS NOT NULL")
    op.create_index(
        "ix_certificates_revoked_key",
        "certificates",
        ["spki_hash"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )
    op.create_table(
        "guesses",
        sa.Column("profile", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def _make_transactions_anew() -> None:
    """With another unique constraint, which SQLite cannot change."""
    for name in ("ix_transactions_state_expires", "ix_transactions_challenge_id"):
        op.drop_index(name, "transactions")
    op.rename_table("transactions", "old_transactions")
    columns: list[sa.Column[Any]] = [
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("signer", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("sealed_request", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("challenge_id", sa.Text),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("serial", sa.Text),
        sa.Column("secret_id", sa.Text),
        sa.Column("challenges", sa.Integer, nullable=False, server_default="0"),
        sa.Column("approved_by", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("renews", sa.Text, nullable=False, server_default=sa.text("''")),
    ]
    names = [column.name for column in columns]
    unique = sa.UniqueConstraint("transaction_id", "signer", "protocol", "profile", name="uq_transactions_key")
    new = op.create_table("transactions", *columns, unique)
    old = sa.table("old_transactions", *(sa.column(name) for name in names))
    op.execute(new.insert().from_select(names, sa.select(*old.c)))
    op.drop_table("old_transactions")
    op.create_index("ix_transactions_state_expires", "transactions", ["state", "expires"])
    held = sa.text("challenge_id IS NOT NULL")
    op.create_index(
        "ix_transactions_challenge_id",
        "transactions",
        ["challenge_id"],
        sqlite_where=held,
        postgresql_where=held,
    )


def _fill_in_names() -> None:
    """Of the certificates there are; what cannot be read keeps none."""
    connection = op.get_bind()
    table = sa.table("certificates", sa.column("id"), sa.column("der"), sa.column("name"))
    last = 0
    while True:
        rows = connection.execute(
            sa.select(table.c.id, table.c.der).where(table.c.id > last).order_by(table.c.id).limit(1000)
        )
        found = rows.all()
        if not found:
            return
        for number, der in found:
            with contextlib.suppress(ValueError):
                name = comparable(x509.load_der_x509_certificate(der).subject)
                connection.execute(table.update().where(table.c.id == number).values(name=name))
        last = found[-1][0]
