"""Certificates that count only when they are released; credentials with a sealed secret; the engine's names."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_RENAMED = {"signer": "requester", "challenge_id": "credential_id", "challenges": "pop_challenges"}


def upgrade() -> None:
    op.drop_index("ix_transactions_challenge_id", "transactions")
    for old, new in _RENAMED.items():
        op.execute(sa.text(f"ALTER TABLE transactions RENAME COLUMN {old} TO {new}"))
    op.add_column("transactions", sa.Column("release", sa.Text, nullable=False, server_default=sa.text("'none'")))
    held = sa.text("credential_id IS NOT NULL")
    op.create_index(
        "ix_transactions_credential_id",
        "transactions",
        ["credential_id"],
        sqlite_where=held,
        postgresql_where=held,
    )
    op.execute(sa.text("ALTER TABLE certificates RENAME COLUMN message_hash TO message_hashes"))
    op.add_column("certificates", sa.Column("released", sa.Boolean, nullable=False, server_default=sa.true()))
    op.rename_table("challenge_passwords", "credentials")
    op.add_column("credentials", sa.Column("sealed", sa.LargeBinary))
    op.add_column("credentials", sa.Column("reference", sa.Text))
