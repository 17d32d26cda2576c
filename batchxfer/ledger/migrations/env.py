"""Run by Alembic: takes the steps in the transaction that `opening` began."""

from __future__ import annotations

from alembic import context

from batchxfer.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
