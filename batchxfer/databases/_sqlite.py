"""SQLite: a file opened for reading only, whose values carry their type one by one.

A column has no type of its own in a result: the storage class of its values decides. Where the rows do not fit into the
first fetch, one pass over the query (in the same transaction) finds which classes the columns have that began with
numbers, or with NULLs only, so that the type does not depend on which row comes first. Integers beside reals are
carried as decimals: each keeps its own digits. Any other mix is an error at the first row that differs.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from datetime import time as clock_time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa

from batchxfer import sql
from batchxfer.databases._backend import MEND, Backend, Opened, original
from batchxfer.databases._canonical import Reader, digits_reader, reader_of
from batchxfer.databases._sqlite_json import Lines, is_exact, is_worthwhile
from batchxfer.databases._sqlite_process import Asked, BrokenOff, Process, started
from batchxfer.databases._sqlite_rows import STEPS
from batchxfer.databases._sqlite_together import integers_so_far
from batchxfer.errors import BatchxferError, DatabaseUnavailable, PermanentError, QueryError, UnwritableValue
from batchxfer.model import ColumnType, ParameterValue, TypeName

_CLASSES = {
    "integer": TypeName.INTEGER,
    "real": TypeName.FLOAT,
    "text": TypeName.TEXT,
    "blob": TypeName.BYTES,
}
_CLASS_OF = {int: "integer", float: "real", str: "text", bytes: "blob"}
_NUMBERS = frozenset({"integer", "real"})
_SETTLED = (frozenset({"text"}), frozenset({"blob"}))
_SETTLED_NUMBERS = (frozenset({"integer"}), _NUMBERS)
_HINT = "cast the column to one type in the query, as in CAST(amount AS TEXT)"
_TRIED_AGAIN = "it is tried again; a signal 9 is often the system's, whose memory is short"
_GONE = ("unable to open", "locked", "busy", "disk i/o", "interrupted", "schema has changed", "out of memory")
_MOST_TERMS = 100
LARGE_BYTES = 32 << 20
"""The rows of a smaller file are there before another process has started."""


class Connection(sqlite3.Connection):
    """A connection that may know whether anything was committed since it began to read."""

    watch: sqlite3.Connection | None = None
    """A second connection, in no transaction, that sees what others commit."""
    _version: object = None

    def watch_commits(self, watch: sqlite3.Connection) -> None:
        """To be called before the transaction begins."""
        self.watch = watch
        self._version = self._seen()

    def is_unchanged(self) -> bool:
        """Whether who begins to read now, or has begun before, sees what this transaction sees."""
        return self._version is not None and self._seen() == self._version

    def _seen(self) -> object:
        if self.watch is None:
            return None
        try:
            return self.watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            # Somebody is writing.
            return None

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        super().close()


class SqliteBackend(Backend):
    dialect = sql.SQLITE
    fetches_ahead = True
    _ends = 0.0
    _together = False
    _process: Process | None = None
    _interrupted = False

    def make_engine(self) -> sa.Engine:
        return sa.create_engine("sqlite://", poolclass=sa.NullPool, creator=self._open)

    def _open(self, timeout: float | None = None) -> Connection:
        connection: Connection = sqlite3.connect(
            self._uri(),
            uri=True,
            timeout=self.options.connect_timeout.total_seconds() if timeout is None else timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        # A file that is attached is made where there is none, even in a session that only reads.
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        return connection

    def _uri(self) -> str:
        database = (self.url.database or "").removeprefix("file:")
        if database in {"", ":memory:"}:
            return "file::memory:"
        options = {key: value for key, value in self.url.query.items() if key not in {"mode", "uri"}}
        return f"file:{quote(database)}?{urlencode({**options, 'mode': 'rw' if self.writes else 'ro'})}"

    def begin(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        ends = self._ends = time.monotonic() + self.options.statement_timeout.total_seconds()
        driver.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        if self._is_large():
            driver.watch_commits(self._open(timeout=0))
        driver.execute("BEGIN")

    def _is_large(self) -> bool:
        with suppress(OSError, ValueError):
            path = Path((self.url.database or "").removeprefix("file:"))
            return not self.writes and path.stat().st_size >= LARGE_BYTES
        return False

    def interrupt(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        self._interrupted = True
        driver.interrupt()
        if self._process is not None:
            self._process.kill()

    def cancel(self, connection: sa.Connection, cursor: Any) -> None:
        cursor.close()

    # values

    def value(self, value: ParameterValue) -> object:
        """Dates and times as the text that SQLite's own functions write; decimals as numbers, where that is exact."""
        plain = super().value(value)
        if isinstance(plain, datetime):
            return plain.isoformat(" ")
        if isinstance(plain, date | clock_time):
            return plain.isoformat()
        if isinstance(plain, Decimal):
            return _number(plain)
        return plain

    def readers(self, opened: Opened) -> list[Reader]:
        scanned = not opened.complete and _is_query(opened)
        classes = _classes_scanned(opened) if scanned else _classes_seen(opened)
        open_ended = scanned and opened.any_number
        # A mix may have values that JSON has not, and its error names the first of them.
        self._together = scanned and all(len(found) <= 1 or found == _NUMBERS for found in classes)
        declared = _declared_types(opened) if not all(classes) else [TypeName.TEXT] * len(classes)
        return [
            _reader(name, found, first, empty, open_ended=open_ended)
            for name, found, first, empty in zip(opened.names, classes, _first_classes(opened), declared, strict=True)
        ]

    def merging(self, opened: Opened, readers: Sequence[Reader]) -> Lines | None:
        if not self._together or not is_worthwhile(readers) or not is_exact(_driver(opened)):
            return None
        # From the first row again: what was fetched was only looked at. A query that is open keeps its lock.
        opened.cursor.close()
        table, driver = _as_table(opened), _driver(opened)
        return Lines(driver, table, opened.arguments, readers, opened.first, partial(self._elsewhere, driver))

    def _elsewhere(self, driver: Connection, asked: Asked) -> Process | None:
        """A process that fetches, where the file is large, and nothing was committed to it since this transaction began."""
        if driver.watch is None:
            return None
        process = started(self._uri(), asked, seconds=self._ends - time.monotonic())
        if process is not None and not driver.is_unchanged():
            process.close()
            return None
        self._process = process
        if process is not None and self._interrupted:
            process.kill()
        return process

    # errors

    def failed(self, exc: BaseException) -> BatchxferError:
        first = original(exc)
        text = str(first)
        if isinstance(first, BrokenOff):
            return DatabaseUnavailable(
                self.says(f"the process that fetches the rows broke off: {text}"), hint=_TRIED_AGAIN
            )
        if isinstance(first, MemoryError):
            return DatabaseUnavailable(self.says("out of memory"))
        if "Could not decode to UTF-8" in text:
            return UnwritableValue(self.says(first), hint="the text is not UTF-8: cast it to BLOB in the query")
        if text == "interrupted" and time.monotonic() <= self._ends:
            # Ctrl-C came while SQLite called the progress handler, and sqlite3 drops what is raised in there.
            raise KeyboardInterrupt from exc
        if text == "interrupted":
            return DatabaseUnavailable(
                self.says("the query took longer than statement_timeout"), hint="raise statement_timeout"
            )
        if any(word in text.lower() for word in _GONE):
            return DatabaseUnavailable(self.says(first))
        if isinstance(first, sqlite3.OperationalError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return QueryError(self.says(first), hint="sources only read" if "readonly" in text else MEND)
        return PermanentError(self.says(first), hint="check the path in url, and the file")

    def refused(self, exc: BaseException) -> BatchxferError:
        path = Path(self.url.database or "")
        if not path.exists():
            return DatabaseUnavailable(self.says(f"no file {path}"), hint="check the url; the file is never created")
        return self.failed(exc)


def _number(value: Decimal) -> object:
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    if not value.is_finite() or Decimal(repr(float(value))) != value:
        raise QueryError(f"SQLite has no exact number for the parameter value {value}", hint="pass it as text")
    return float(value)


# --- which storage classes a column has -----------------------------------------------------------


def _classes_seen(opened: Opened) -> list[frozenset[str]]:
    width = range(len(opened.names))
    return [frozenset(_CLASS_OF[type(row[i])] for row in opened.first if row[i] is not None) for i in width]


def _is_query(opened: Opened) -> bool:
    """Whether the statement can stand in FROM; a pragma cannot."""
    text = f"EXPLAIN WITH q AS (\n{opened.text}\n) SELECT 1 FROM q"  # noqa: S608 - it has already run by itself
    try:
        _driver(opened).execute(text, opened.arguments).close()
    except sqlite3.OperationalError:
        return False
    return True


def _first_classes(opened: Opened) -> list[str | None]:
    width = range(len(opened.names))
    return [next((_CLASS_OF[type(row[i])] for row in opened.first if row[i] is not None), None) for i in width]


def _classes_scanned(opened: Opened) -> list[frozenset[str]]:
    """The classes of all rows, by one more pass, or by two where they are not those of the first rows."""
    classes = dict(zip(_names(opened), _classes_seen(opened), strict=True))
    # A column whose first values are texts, or blobs, is one of those, or its first other value is an error.
    # So are numbers to whom any number is the same.
    settled = _SETTLED + (_SETTLED_NUMBERS if opened.any_number else ())
    open_ones = {column: found for column, found in classes.items() if found not in settled}
    if open_ones and not _are_as_seen(opened, open_ones):
        # The least and the greatest name tell all that matters.
        ends = [f"{end}(nullif(typeof({column}), 'null'))" for column in open_ones for end in ("min", "max")]
        row = _over_all(opened, ", ".join(ends))
        pairs = zip(row[0::2], row[1::2], strict=True)
        named = [frozenset(name for name in pair if name is not None) for pair in pairs]
        classes.update(zip(open_ones, named, strict=True))
    return list(classes.values())


_EXPECTED = {
    frozenset(): ("{0} IS NULL", "{0} IS NOT NULL"),
    frozenset({"integer"}): ("typeof({0}) = 'integer'", "(typeof({0}) <> 'integer' AND {0} IS NOT NULL)"),
    frozenset({"real"}): ("typeof({0}) = 'real'", "(typeof({0}) <> 'real' AND {0} IS NOT NULL)"),
    # Numbers come before texts, texts before blobs.
    _NUMBERS: ("{0} < ''", "{0} >= ''"),
}
"""Of what the first values of a column are: how it is told of others that none is NULL and all are so, and that one is not."""


def _are_as_seen(opened: Opened, classes: Mapping[str, frozenset[str]]) -> bool:
    """Whether all other values of the columns are like the first, or NULL."""
    if not all(found in _EXPECTED for found in classes.values()):
        return False
    return _are_all(opened, classes) or not _differ(opened, classes)


def _are_all(opened: Opened, classes: Mapping[str, frozenset[str]]) -> bool:
    """Whether every value is as expected, none NULL: a third of the work of looking for all classes."""
    same = [_EXPECTED[found][0].format(column) for column, found in classes.items()]
    # SQLite's expressions have a greatest depth.
    groups = [" AND ".join(same[start : start + _MOST_TERMS]) for start in range(0, len(same), _MOST_TERMS)]
    text = f"{_as_table(opened)} SELECT 1 FROM q WHERE NOT ({') OR NOT ('.join(groups)}) LIMIT 1"  # noqa: S608
    return _driver(opened).execute(text, opened.arguments).fetchone() is None


def _differ(opened: Opened, classes: Mapping[str, frozenset[str]]) -> bool:
    """Whether any value is neither NULL nor as expected: half the work of looking for all classes."""
    others = [_EXPECTED[found][1].format(column) for column, found in classes.items()]
    # SQLite's expressions have a greatest depth.
    groups = [others[start : start + _MOST_TERMS] for start in range(0, len(others), _MOST_TERMS)]
    return any(_over_all(opened, ", ".join(f"max({' OR '.join(group)})" for group in groups)))


def _names(opened: Opened) -> list[str]:
    return [f"c{number}" for number in range(len(opened.names))]


def _over_all(opened: Opened, aggregates: str) -> tuple[Any, ...]:
    """What the aggregates give over all rows of the query, whose columns are named as _names says."""
    text = f"{_as_table(opened)} SELECT {aggregates} FROM q"  # noqa: S608 - it has already run by itself
    row: tuple[Any, ...] = _driver(opened).execute(text, opened.arguments).fetchone()
    return row


def _as_table(opened: Opened) -> str:
    return f"WITH q({', '.join(_names(opened))}) AS (\n{opened.text}\n)"


def _declared_types(opened: Opened) -> list[TypeName]:
    """What the tables declare, for columns of a result without any value."""
    types = [TypeName.TEXT] * len(opened.names)
    with suppress(sqlite3.Error):
        _driver(opened).execute(f"CREATE TEMP VIEW batchxfer_result AS\n{sql.bind(opened.source, lambda _: 'NULL')}")
        found = _driver(opened).execute("PRAGMA temp.table_info(batchxfer_result)").fetchall()
        types = [affinity(str(row[2])) for row in found]
    return types


def affinity(declared: str) -> TypeName:
    """SQLite's rules for the affinity of a declared type, as a column's type."""
    text = declared.upper()
    if "INT" in text:
        return TypeName.INTEGER
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")) or not text:
        return TypeName.TEXT
    if "BLOB" in text:
        return TypeName.BYTES
    if any(word in text for word in ("REAL", "FLOA", "DOUB")):
        return TypeName.FLOAT
    return TypeName.DECIMAL if any(word in text for word in ("DEC", "NUM")) else TypeName.TEXT


def _reader(name: str, classes: frozenset[str], first: str | None, empty: TypeName, *, open_ended: bool) -> Reader:
    """How a column is read; with `open_ended` integers only began it."""
    if not classes:
        return reader_of(name, empty, hint=_HINT)
    if open_ended and classes == frozenset({"integer"}):
        return integers_so_far(name, hint=_HINT)
    if classes == _NUMBERS:
        return digits_reader(name, ColumnType(TypeName.DECIMAL), hint=_HINT)
    return reader_of(name, _CLASSES[first or min(classes)], hint=_HINT)


def _driver(opened: Opened) -> Any:
    return opened.connection.connection.dbapi_connection
