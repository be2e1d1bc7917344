"""The first schema: transactions, certificates, challenge passwords and CRL numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_transactions()
    _create_certificates()
    op.create_table(
        "challenge_passwords",
        sa.Column("identifier", sa.Text, primary_key=True),
        sa.Column("one_time", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("subject", sa.Text),
        sa.Column("profile", sa.Text),
        sa.Column("holder", sa.Text),
        sa.Column("authority", sa.Text),
        sa.Column("serial", sa.Text),
    )
    op.create_table(
        "crl_numbers",
        sa.Column("authority", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def _create_transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("id", _ROW_NUMBER, primary_key=True),
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
        sa.UniqueConstraint("transaction_id", "signer", "protocol", name="uq_transactions_key"),
    )
    op.create_index("ix_transactions_state_expires", "transactions", ["state", "expires"])
    held = sa.text("challenge_id IS NOT NULL")
    op.create_index(
        "ix_transactions_challenge_id",
        "transactions",
        ["challenge_id"],
        sqlite_where=held,
        postgresql_where=held,
    )


def _create_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", _ROW_NUMBER, primary_key=True),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("spki_hash", sa.LargeBinary, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("serial", "authority", name="uq_certificates_serial"),
    )
    op.create_index("ix_certificates_subject", "certificates", ["subject"])
    revoked = sa.text("revoked_at IS NOT NULL")
    op.create_index(
        "ix_certificates_revoked",
        "certificates",
        ["authority", "revoked_at"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )
