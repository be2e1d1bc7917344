"""What alembic runs: the migrations, on the connection and in the transaction that `ensure_schema` opened."""

from alembic import context

from ca.sql_tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
