"""Loads into SQLite: the whole load holds the file's one right to write.

What the tables declare says the type. Dates and times are kept as the text that SQLite's own functions write, booleans as 1 and
0, decimals as numbers where that loses nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import instants
from batchxfer.databases._backend import original
from batchxfer.databases._loads import MEND
from batchxfer.databases._sqlalchemy_load import Loading
from batchxfer.databases._sqlite import affinity
from batchxfer.databases._sqlite_rows import STEPS
from batchxfer.errors import BatchxferError, DatabaseUnavailable, LoadError, RowRefused
from batchxfer.model import ColumnType, TargetColumn, TypeName

_T = TypeName
_DECLARED = {
    "BOOLEAN": _T.BOOLEAN,
    "BOOL": _T.BOOLEAN,
    "DATE": _T.DATE,
    "TIME": _T.TIME,
    "DATETIME": _T.TIMESTAMP,
    "TIMESTAMP": _T.TIMESTAMP,
    "UUID": _T.UUID,
    "JSON": _T.JSON,
}
_SIZE = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_HIDDEN = {2, 3}  # generated columns
_SAFE_DECIMAL = r"^-?[0-9.]{1,15}$"
_FULL = 2


class SqliteLoading(Loading):
    _row = 0
    """The one that was refused."""

    def settle(self) -> None:
        driver = self._driver
        ends = time.monotonic() + self.backend.options.statement_timeout.total_seconds()
        driver.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        # SQLite forgets about foreign keys unless each session asks for them.
        driver.execute("PRAGMA foreign_keys = ON")
        if driver.execute("PRAGMA synchronous").fetchone()[0] < _FULL:
            driver.execute("PRAGMA synchronous = FULL")

    def make_table(self) -> None:
        if self._columns_of("main", "batchxfer_loads"):
            return
        self._driver.execute("BEGIN IMMEDIATE")
        super().make_table()

    def start(self) -> None:
        self._driver.execute("BEGIN IMMEDIATE")

    def read_columns(self, schema: str | None, name: str) -> tuple[TargetColumn, ...]:
        return tuple(_column(*row[1:6]) for row in self._columns_of(schema, name) if row[6] not in _HIDDEN)

    def _columns_of(self, schema: str | None, name: str) -> list[Any]:
        of = f"{self.quoted(schema)}." if schema else ""
        return list(self._driver.execute(f"PRAGMA {of}table_xinfo({self.quoted(name)})").fetchall())

    def values(self, array: pa.Array, column: TargetColumn, first_row: int) -> list[Any]:
        kind = column.type.name
        if kind is _T.BOOLEAN:
            array = array.cast(pa.int8())
        elif kind is _T.TIMESTAMP:
            array = instants.replace_byte(instants.write_timestamps(array, "iso"), b"T", b" ")
        elif kind is _T.TIME:
            array = instants.write_times(array, "iso")
        elif kind is _T.DATE:
            array = array.cast(pa.string())
        elif kind is _T.FLOAT and pc.any(pc.is_nan(array)).as_py():
            row = first_row + pc.index(pc.is_nan(array), pa.scalar(True)).as_py()
            raise self._unfit(row, column, "nan", "SQLite keeps NULL in its place")
        elif kind is _T.DECIMAL:
            self._check_decimals(array, column, first_row)
        return list(array.to_pylist())

    def _check_decimals(self, array: pa.Array, column: TargetColumn, first_row: int) -> None:
        if pc.all(pc.match_substring_regex(array, _SAFE_DECIMAL)).as_py() is not False:
            return
        for row, text in enumerate(array.to_pylist(), first_row):
            if text is not None and not _is_exact(Decimal(text)):
                raise self._unfit(row, column, text, "SQLite would round it: declare the column as TEXT")

    def _unfit(self, row: int, column: TargetColumn, value: str, why: str) -> LoadError:
        return LoadError(
            self.backend.says(f"row {row}, column {column.name!r}: {value}: {why}. Nothing was loaded"),
            hint=MEND,
        )

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
        others = [self.quoted(column.name) for column in columns if column.name not in key]
        action = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others) if others else "NOTHING"
        names = ", ".join(self.quoted(name) for name in key)
        self._insert(table, columns, rows, first_row, f" ON CONFLICT ({names}) DO {action}")

    def _insert(
        self, table: str, columns: Sequence[TargetColumn], rows: list[tuple[Any, ...]], first_row: int, more: str
    ) -> None:
        into = self.quoted(*self.parts(table))
        names = ", ".join(self.quoted(column.name) for column in columns)
        places = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {into} ({names}) VALUES ({places}){more}"  # noqa: S608 - names are quoted
        counted = _Counted(rows, first_row)
        try:
            self._driver.executemany(statement, counted)
        except Exception:
            self._row = counted.row
            raise

    def commit(self) -> None:
        with self.told():
            self._driver.execute("COMMIT")

    def refused(self, error: BatchxferError, exc: BaseException) -> BatchxferError:
        text = str(original(exc))
        if "disk is full" in text:
            return DatabaseUnavailable(error.message, hint="make room where the database's file is")
        if "ON CONFLICT clause does not match" in text:
            return LoadError(
                self.backend.says("no unique index says that the columns of [load] key identify a row of the table"),
                hint="run CREATE UNIQUE INDEX … ON the table and these columns, or name the columns of one in key",
            )
        if "readonly" in text:
            return LoadError(error.message, hint="let this user write to the database's file, and to its folder")
        told = super().refused(error, exc)
        return RowRefused(told.message, row=self._row, hint=told.hint) if self._row else told

    @property
    def _driver(self) -> Any:
        return self.connection.connection.dbapi_connection


class _Counted:
    """Rows that know which of them was taken last."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], first_row: int) -> None:
        self._rows = rows
        self._first = first_row
        self.row = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(self._rows, self._first):
            self.row = number
            yield row


def _is_exact(value: Decimal) -> bool:
    """Whether a number of SQLite's is the same."""
    if value == value.to_integral_value() and abs(value) < 1 << 63:
        return True
    return Decimal(repr(float(value))) == value


def _column(name: str, declared: str, not_null: int, default: object, primary: int) -> TargetColumn:
    words = declared.upper().split("(")[0].strip()
    kind = _DECLARED.get(words) or affinity(declared)
    # An INTEGER PRIMARY KEY without a value gets the next one.
    numbered = bool(primary) and words == "INTEGER"
    size = _SIZE.search(declared) if kind is _T.DECIMAL else None
    precision, scale = (int(size[1]), int(size[2] or 0)) if size else (None, None)
    exact = precision is not None and scale is not None and scale <= precision
    return TargetColumn(
        name=name,
        type=ColumnType(kind, precision, scale) if exact else ColumnType(kind),
        nullable=numbered or not not_null,
        optional=numbered or not not_null or default is not None,
        bits=64 if kind is _T.INTEGER else None,
        native=declared.lower() or "column without a type",
    )
