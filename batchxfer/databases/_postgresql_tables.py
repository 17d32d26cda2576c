"""A table of PostgreSQL that is loaded: where it is, and its columns as ports.Loading says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.sql import Composable, Identifier

from batchxfer.databases._loads import TABLE
from batchxfer.errors import LoadError
from batchxfer.model import ColumnType, TargetColumn, TypeName
from batchxfer.suggestions import did_you_mean

Connection = psycopg.Connection[Any]

_T = TypeName
_BY_NAME = {
    "int2": _T.INTEGER,
    "int4": _T.INTEGER,
    "int8": _T.INTEGER,
    "numeric": _T.DECIMAL,
    "float4": _T.FLOAT,
    "float8": _T.FLOAT,
    "bool": _T.BOOLEAN,
    "date": _T.DATE,
    "time": _T.TIME,
    "timestamp": _T.TIMESTAMP,
    "timestamptz": _T.TIMESTAMPTZ,
    "uuid": _T.UUID,
    "bytea": _T.BYTES,
    "interval": _T.INTERVAL,
    "json": _T.JSON,
    "jsonb": _T.JSON,
}
_BITS = {"int2": 16, "int4": 32, "int8": 64, "float4": 32}
_CLOCKS = (_T.TIME, _T.TIMESTAMP, _T.TIMESTAMPTZ)
_HEADER = 4  # bytes that a modifier counts beside what it says
_MOST_DECIMALS = 0x7FF

# A domain may be made of a domain; the modifier is that of the innermost.
_COLUMNS = """
with recursive part(name, place, type, modifier, filled, optional) as (
  select attname, attnum, atttypid, atttypmod, attnotnull, atthasdef or attidentity <> ''
  from pg_attribute where attrelid = %s and attnum > 0 and not attisdropped and attgenerated = ''
  union all
  select name, place, typbasetype, typtypmod, filled or typnotnull, optional or typdefault is not null
  from part join pg_type on pg_type.oid = type where typtype = 'd'
)
select name, typname, modifier, filled, optional, format_type(type, modifier),
       case when typtype = 'e' then (select array_agg(enumlabel::text) from pg_enum where enumtypid = type) end
from part join pg_type on pg_type.oid = type where typtype <> 'd' order by place
"""
_NAME = "select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = %s"
_NEAR = """
select relname, case when not pg_table_is_visible(c.oid) then nspname end
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'p', 'v', 'f') and nspname not in ('pg_catalog', 'information_schema')
"""
# A trigger may write, and lock, anything; so may whoever is behind a view or a foreign table. Those of constraints come at
# the end of a statement.
_ONLY_TAKES_ROWS = """
select count(*) = 0 from pg_class c where oid = %s and (relkind not in ('r', 'p')
  or exists (select from pg_trigger t where tgrelid = c.oid and not tgisinternal and tgenabled <> 'D'))
"""


def columns(connection: Connection, database: str, table: str) -> tuple[TargetColumn, ...]:
    return tuple(_column(*row) for row in _rows(connection, _COLUMNS, (_oid(connection, database, table),)))


def named(connection: Connection, database: str, table: str) -> Composable:
    """The table's whole name, as a statement has it."""
    ((schema, name),) = _rows(connection, _NAME, (_oid(connection, database, table),))
    return Identifier(schema, name)


def only_takes_rows(connection: Connection, database: str, table: str) -> bool:
    """Whether a row that is put into the table touches nothing else before the statement ends."""
    ((only,),) = _rows(connection, _ONLY_TAKES_ROWS, (_oid(connection, database, table),))
    return bool(only)


def _oid(connection: Connection, database: str, table: str) -> int:
    """By the name as it is written; else as PostgreSQL reads it, which folds capitals."""
    quoted = ".".join(f'"{part}"' for part in table.replace('"', '""').split("."))
    for text in (quoted, table):
        with suppress(psycopg.errors.SyntaxError, psycopg.errors.InvalidName, psycopg.errors.FeatureNotSupported):
            with connection.transaction():
                ((oid,),) = _rows(connection, "select to_regclass(%s)::oid", (text,))
            if oid is not None:
                return int(oid)
    known = [
        (f'"{name}"' if "." in name else name, schema) for name, schema in _rows(connection, _NEAR) if name != TABLE
    ]
    near = [name if schema is None else f"{schema}.{name}" for name, schema in known]
    raise LoadError(
        f"database {database!r}: there is no table {table!r}",
        hint=did_you_mean(table, near, what="its tables are") if near else "it has no tables: make it first",
    )


def _rows(connection: Connection, statement: str, values: Sequence[object] = ()) -> list[Any]:
    return connection.execute(statement.encode(), values).fetchall()


def _column(
    name: str,
    type_name: str,
    modifier: int,
    filled: bool,
    has_default: bool,
    native: str,
    words: Sequence[str] | None,
) -> TargetColumn:
    kind = _BY_NAME.get(type_name, _T.TEXT)
    return TargetColumn(
        name=name,
        type=_decimal(modifier) if kind is _T.DECIMAL else ColumnType(kind),
        nullable=not filled,
        optional=has_default or not filled,
        bits=_BITS.get(type_name),
        forbidden="\0" if kind is _T.TEXT else "",
        longest=modifier - _HEADER if type_name in ("varchar", "bpchar") and modifier >= _HEADER else None,
        fraction=modifier if kind in _CLOCKS and modifier >= 0 else None,
        not_numbers=kind is _T.DECIMAL,
        words=tuple(words or ()),
        native=native,
    )


def _decimal(modifier: int) -> ColumnType:
    precision, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & _MOST_DECIMALS
    # PostgreSQL's scales may also be below zero, or larger than the precision.
    if modifier < _HEADER or scale > precision:
        return ColumnType(_T.DECIMAL)
    return ColumnType(_T.DECIMAL, precision, scale)
