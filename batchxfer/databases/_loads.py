"""The small table that a loaded database keeps: which versions of files are in it."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.url import URL

TABLE = "batchxfer_loads"
MEND = "have the file mended, or mend the table or the format"
TWICE = "it is in the table already, or twice in the file: mend either; mode = 'upsert' replaces the row of the same [load] key"


@cache
def loads(dialect: str) -> sa.Table:
    """The table, for databases of that dialect."""
    # What is said to one dialect imports it, and that takes a while.
    engine: dict[str, Any] = {f"{dialect}_engine": "InnoDB"} if dialect in ("mysql", "mariadb") else {}
    # Lengths that every database can index.
    return sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("file", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("good_rows", sa.BigInteger, nullable=False),
        sa.Column("bad_rows", sa.BigInteger, nullable=False),
        sa.Column("loaded_at", sa.DateTime, nullable=False, server_default=sa.func.now()),
        **engine,
    )


def creation(dialect: str) -> str:
    """The statement that makes the table, on one line."""
    known = URL.create(dialect).get_dialect()()
    return " ".join(str(sa.schema.CreateTable(loads(dialect)).compile(dialect=known)).split())
