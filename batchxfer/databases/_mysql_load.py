"""Loads into MySQL and MariaDB: strict about values, and only into tables that can take everything back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from batchxfer.databases._backend import original
from batchxfer.databases._mysql import json_checked
from batchxfer.databases._sqlalchemy_load import Loading
from batchxfer.errors import BatchxferError, DatabaseUnavailable, LoadError, RowRefused
from batchxfer.model import ColumnType, TargetColumn, TypeName

_T = TypeName
_BEFORE = "batchxfer_rows"
_KINDS = {
    "tinyint": _T.INTEGER,
    "smallint": _T.INTEGER,
    "mediumint": _T.INTEGER,
    "int": _T.INTEGER,
    "bigint": _T.INTEGER,
    "year": _T.INTEGER,
    "decimal": _T.DECIMAL,
    "float": _T.FLOAT,
    "double": _T.FLOAT,
    "date": _T.DATE,
    "time": _T.TIME,
    "datetime": _T.TIMESTAMP,
    "timestamp": _T.TIMESTAMPTZ,
    "json": _T.JSON,
    "binary": _T.BYTES,
    "varbinary": _T.BYTES,
    "tinyblob": _T.BYTES,
    "blob": _T.BYTES,
    "mediumblob": _T.BYTES,
    "longblob": _T.BYTES,
    "geometry": _T.BYTES,
}
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "float": 32}
_CLOCKS = {_T.TIME, _T.TIMESTAMP, _T.TIMESTAMPTZ}
_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
"""Without the first the server cuts and rounds what does not fit; without the second 0 becomes the next number."""

_COLUMNS = """
SELECT column_name, data_type, column_type, is_nullable, column_default, extra, character_maximum_length,
       numeric_precision, numeric_scale, datetime_precision
FROM information_schema.columns WHERE table_schema = coalesce(%s, database()) AND table_name = %s
  AND coalesce(generation_expression, '') = '' ORDER BY ordinal_position
"""
_ENGINE = """
SELECT t.engine, e.transactions FROM information_schema.tables t
LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema = coalesce(%s, database()) AND t.table_name = %s
"""
_UNIQUE = """
SELECT index_name, column_name FROM information_schema.statistics
WHERE table_schema = coalesce(%s, database()) AND table_name = %s AND non_unique = 0
"""
_DENIED = re.compile(r"(.+) command denied to user ('.*'@'.*') for table (.+?)(?: \(error|$)")


class MysqlLoading(Loading):
    _row = 0
    """The number of the row that was refused."""

    def settle(self) -> None:
        seconds = self.backend.options.statement_timeout.total_seconds()
        if self.connection.dialect.is_mariadb:  # type: ignore[attr-defined]
            self._set(f"max_statement_time = {seconds:.6f}")
        self._set(f"sql_mode = '{_MODE}'")
        self._set("time_zone = '+00:00'")
        self._set("TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE")
        self.connection.commit()

    def _set(self, what: str) -> None:
        self.connection.exec_driver_sql(f"SET SESSION {what}")

    def read_columns(self, schema: str | None, name: str) -> tuple[TargetColumn, ...]:
        found = self.connection.exec_driver_sql(_COLUMNS, (schema, name)).all()
        if not found:
            return ()
        self._check_engine(schema, name)
        documents = json_checked(self.connection, schema, name) if any(row[1] == "longtext" for row in found) else []
        return tuple(_column(*row, document=row[0] in documents) for row in found)

    def _check_engine(self, schema: str | None, name: str) -> None:
        row = self.connection.exec_driver_sql(_ENGINE, (schema, name)).first()
        if row is None or row[0] is None or row[1] == "YES":
            return
        raise LoadError(
            self.backend.says(
                f"the table {name!r} is kept by {row[0]}, which takes nothing back: half a file could stay"
            ),
            hint=f"have an administrator run: ALTER TABLE {self.quoted(schema, name)} ENGINE=InnoDB",
        )

    def values(self, array: pa.Array, column: TargetColumn, first_row: int) -> list[Any]:
        found: list[Any] = array.to_pylist()
        if column.type.name is _T.TIMESTAMPTZ:
            return [None if value is None else value.astimezone(UTC).replace(tzinfo=None) for value in found]
        if column.native.startswith("bit("):
            return [None if value is None else int(value, 2) for value in found]
        return found

    def put(self, table: str, columns: Sequence[TargetColumn], rows: list[tuple[Any, ...]], first_row: int) -> None:
        self._insert(table, columns, rows, first_row, "")

    def put_over(
        self,
        table: str,
        columns: Sequence[TargetColumn],
        rows: list[tuple[Any, ...]],
        key: Sequence[str],
        first_row: int,
    ) -> None:
        if not self._is_the_only_key(table, key):
            super().put_over(table, columns, rows, key, first_row)
            return
        names = [self.quoted(column.name) for column in columns if column.name not in key] or [self.quoted(key[0])]
        pairs = ", ".join(f"{name} = VALUES({name})" for name in names)
        self._insert(table, columns, rows, first_row, f" ON DUPLICATE KEY UPDATE {pairs}")

    def _is_the_only_key(self, table: str, key: Sequence[str]) -> bool:
        """Whether ON DUPLICATE KEY can only mean these columns. LoadError where nothing says that they identify a row."""
        indexes: dict[str, set[str]] = {}
        for index, column in self.connection.exec_driver_sql(_UNIQUE, self.parts(table)):
            indexes.setdefault(index, set()).add(column)
        if set(key) not in indexes.values():
            named = ", ".join(key)
            raise LoadError(
                self.backend.says(f"no unique index says that ({named}) identifies a row of {table}"),
                hint=f"have an administrator run: ALTER TABLE {table} ADD UNIQUE ({named});"
                " or name the columns of one in [load] key",
            )
        return len(indexes) == 1

    def _insert(
        self, table: str, columns: Sequence[TargetColumn], rows: list[tuple[Any, ...]], first_row: int, more: str
    ) -> None:
        into = self.quoted(*self.parts(table))
        names = ", ".join(self.quoted(column.name) for column in columns)
        places = ", ".join(["%s"] * len(columns))
        # PyMySQL makes long statements of rows where it finds these words in this order.
        statement = f"INSERT INTO {into} ({names}) VALUES ({places}){more}"  # noqa: S608 - names are quoted
        self.connection.exec_driver_sql(f"SAVEPOINT {_BEFORE}")
        try:
            self.connection.exec_driver_sql(statement, rows)
        except (sa.exc.IntegrityError, sa.exc.DataError, sa.exc.OperationalError) as exc:
            if not isinstance(self.backend.failed(exc), DatabaseUnavailable):
                # What keeps it from being found is not what is to be told.
                with suppress(Exception):
                    self._row = self._first_refused(statement, rows, first_row)
            raise

    def _first_refused(self, statement: str, rows: list[tuple[Any, ...]], number: int) -> int:
        """The number of the first row that is refused: the server names none. Halves are tried, what is good stays."""
        self.connection.exec_driver_sql(f"ROLLBACK TO {_BEFORE}")
        while len(rows) > 1:
            half = rows[: len(rows) // 2]
            self.connection.exec_driver_sql(f"SAVEPOINT {_BEFORE}")
            try:
                self.connection.exec_driver_sql(statement, half)
            except sa.exc.DBAPIError:
                self.connection.exec_driver_sql(f"ROLLBACK TO {_BEFORE}")
                rows = half
            else:
                rows, number = rows[len(half) :], number + len(half)
        try:
            self.connection.exec_driver_sql(statement, rows)
        except sa.exc.DBAPIError:
            return number
        return 0

    def refused(self, error: BatchxferError, exc: BaseException) -> BatchxferError:
        match = _DENIED.search(error.message.partition(": ")[2])
        if match is None or not isinstance(original(exc), Exception):
            told = super().refused(error, exc)
            return RowRefused(told.message, row=self._row, hint=told.hint) if self._row else told
        right, user, table = match.groups()
        return LoadError(
            f"{error.message}. Nothing was loaded",
            hint=f"have an administrator run: GRANT {right} ON {table} TO {user}",
        )


def _column(
    name: str,
    data_type: str,
    column_type: str,
    is_nullable: str,
    default: object,
    extra: str,
    longest: int | None,
    precision: int | None,
    scale: int | None,
    fraction: int | None,
    *,
    document: bool,
) -> TargetColumn:
    kind = _T.JSON if document else _KINDS.get(data_type, _T.TEXT)
    nullable = is_nullable == "YES"
    given = default is not None or "auto_increment" in extra.lower()
    words = re.findall(r"'((?:[^']|'')*)'", column_type) if data_type == "enum" else []
    return TargetColumn(
        name=name,
        type=ColumnType(kind, precision, scale) if kind is _T.DECIMAL else ColumnType(kind),
        nullable=nullable,
        optional=nullable or given,
        bits=_BITS.get(data_type),
        unsigned="unsigned" in column_type,
        longest=int(longest)
        if longest is not None and data_type in ("char", "varchar", "binary", "varbinary")
        else None,
        longest_bytes=int(longest) if longest is not None and data_type.endswith("text") else None,
        fraction=fraction if kind in _CLOCKS else None,
        pattern=f"[01]{{1,{precision}}}" if data_type == "bit" else "",
        words=tuple(word.replace("''", "'") for word in words),
        native=column_type,
    )
