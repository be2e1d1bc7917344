"""The CRL that was made is kept, with a counter that tells whether it is still right."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crl_states",
        sa.Column("authority", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "crls",
        sa.Column("authority", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    # Who has revoked anything has a revision.
    op.execute(
        sa.text(
            "INSERT INTO crl_states (authority, revision, number) "
            "SELECT DISTINCT authority, 1, 0 FROM certificates WHERE revoked_at IS NOT NULL"
        )
    )
    revoked = sa.text("revoked_at IS NOT NULL")
    op.drop_index("ix_certificates_revoked", "certificates")
    op.create_index(
        "ix_certificates_revoked",
        "certificates",
        ["authority", "not_after", "serial", "revoked_at", "reason"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )
