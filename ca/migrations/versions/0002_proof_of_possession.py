"""Secrets of outstanding challenges, and what a transaction remembers of its proof of possession."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transactions", sa.Column("secret_id", sa.Text))
    op.add_column("transactions", sa.Column("challenges", sa.Integer, nullable=False, server_default="0"))
    op.add_column("transactions", sa.Column("approved_by", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("transactions", sa.Column("renews", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "secrets",
        sa.Column("identifier", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
