"""Reads from PostgreSQL: ADBC gives columns, PostgreSQL itself writes what ADBC does not read well."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import StatementOptions
from psycopg.sql import Literal

from batchxfer import sql
from batchxfer.beside import Beside
from batchxfer.databases._canonical import BATCH_BYTES
from batchxfer.databases._postgresql_columns import Asked, asked, wrapped
from batchxfer.databases._postgresql_errors import failed, refused
from batchxfer.databases._postgresql_link import Link, find, mark, sockets
from batchxfer.databases._postgresql_load import Target as Target
from batchxfer.databases._postgresql_merging import MERGEABLE, Merging
from batchxfer.databases._postgresql_session import address, settings
from batchxfer.errors import BatchxferError, DatabaseUnavailable, QueryError
from batchxfer.model import Column
from batchxfer.ports import Merge, Query

if TYPE_CHECKING:
    from batchxfer.credentials import Secret
    from batchxfer.definitions import DatabaseOptions

_Settle = Callable[[pa.RecordBatch, int], pa.RecordBatch]
_AHEAD = 3
"""How many batches are fetched while one is used: the server waits for nobody while a batch takes longer than others."""
_DRIVER_ERRORS = (AdbcError, OSError, pa.ArrowException)


class Source:
    """One PostgreSQL database of the configuration, as ports.Source says. Each `read` has its own connection."""

    def __init__(self, name: str, options: DatabaseOptions, *, url: str, password: Secret | None) -> None:
        self.name = name
        self.options = options
        self._url = url
        self._password = password

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        text = _bound(query)
        connection, link = self._connect()
        with closing(link), closing(connection), closing(connection.cursor()) as cursor, self._told(link):
            self._begin(cursor)
            rows = Rows(self, cursor, text, self._described(cursor, text), link)
            try:
                yield rows
            finally:
                rows.close()

    @contextmanager
    def _told(self, link: Link) -> Iterator[None]:
        """What failed because the link was ended says so."""
        try:
            yield
        except DatabaseUnavailable as error:
            if not link.expired:
                raise
            raise DatabaseUnavailable(
                f"database {self.name!r}: the server stopped answering, and the query took longer than statement_timeout",
                hint="it is tried again; where the query needs longer, raise statement_timeout",
            ) from error

    # session

    def _connect(self) -> tuple[Any, Link]:
        # Imports much of Arrow; who only loads does without.
        from adbc_driver_postgresql import dbapi

        before, marked = sockets(), mark()
        where = address(self.name, self.options, url=self._url, password=self._password, tcp_user_timeout=marked)
        try:
            connection = dbapi.connect(where, autocommit=True)
        except _DRIVER_ERRORS as exc:
            raise refused(self.name, exc) from exc
        # The server itself keeps statement_timeout, and says so better; this is for one that says nothing any more.
        limit = self.options.statement_timeout + self.options.connect_timeout
        return connection, Link(find(marked, before), limit.total_seconds())

    def _described(self, cursor: Any, text: str) -> list[Asked]:
        try:
            columns = asked(cursor.adbc_execute_schema(text))
        except _DRIVER_ERRORS as exc:
            raise failed(self.name, exc, text) from exc
        if not columns:
            raise QueryError(f"database {self.name!r}: the query gives no columns", hint="write one SELECT")
        return columns

    def execute(self, cursor: Any, link: Link, statement: str) -> Iterator[pa.RecordBatch]:
        """Run a statement that has one line before the user's query; its batches."""
        try:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: BATCH_BYTES})
            _met_by_signals(cursor, link, lambda: cursor.execute(statement))
        except _DRIVER_ERRORS as exc:
            raise self._unread(failed(self.name, exc, statement, lines_before=1), exc) from exc
        # The reader beneath fetch_record_batch() is the one that keeps the server's error code.
        return iter(cursor._results.reader)

    def _unread(self, error: BatchxferError, exc: BaseException) -> BatchxferError:
        """A statement that is good by itself and bad in FROM is no query."""
        if getattr(exc, "sqlstate", None) not in {"42601", "0A000"}:
            return error
        why = "the statement cannot be read from: it is not a SELECT, or it changes data"
        return QueryError(f"database {self.name!r}: {why}", hint="write one SELECT; sources only read")

    def _begin(self, cursor: Any) -> None:
        """Settle the session, and begin the one transaction that describing and reading share."""
        wanted = settings(self.options, read_only=True)
        each = (f"set_config({_literal(key)}, {_literal(value)}, false)" for key, value in wanted.items())
        try:
            cursor.execute(f"SELECT {', '.join(each)}")
            cursor.fetchall()
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except _DRIVER_ERRORS as exc:
            raise failed(self.name, exc, "") from exc


def _met_by_signals(cursor: Any, link: Link, call: Callable[[], object]) -> None:
    """Run `call` in a thread of its own: in the main thread the driver would take Ctrl-C for itself, as a cancelled query,
    and other signals would wait for the first row."""
    beside, running = Beside("postgresql"), None
    try:
        running = beside.submit(call)
        running.result()
    finally:
        with nullcontext() if running is not None and running.done() else link.ending(lambda: _cancel(cursor)):
            beside.end()


def _cancel(cursor: Any) -> None:
    with suppress(*_DRIVER_ERRORS):
        cursor.adbc_cancel()


class Rows:
    """The rows of one query, as ports.MergingRows says. While a batch is used, the next ones are fetched in a thread."""

    def __init__(self, source: Source, cursor: Any, text: str, columns: list[Asked], link: Link) -> None:
        self._source = source
        self._cursor = cursor
        self._text = text
        self._asked = columns
        self._link = link
        self._finished = True
        self._row = 1
        self._reader: Iterator[pa.RecordBatch] = iter(())
        self._ahead = Beside("postgresql")

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(ask.column for ask in self._asked)

    @property
    def mergeable(self) -> Collection[int]:
        return [index for index, ask in enumerate(self._asked) if ask.type_name in MERGEABLE]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches(wrapped(self._text, self._asked), self._settled)

    def merged(self, wanted: Sequence[int | Merge]) -> Iterator[pa.RecordBatch]:
        merging = Merging(self._asked, wanted, _literal)
        return self._batches(merging.statement(self._text), merging.settled)

    def _batches(self, statement: str, settled: _Settle) -> Iterator[pa.RecordBatch]:
        self._reader = self._source.execute(self._cursor, self._link, statement)
        self._finished = False
        coming = deque(self._ahead.submit(partial(self._fetch, settled)) for _ in range(_AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(self._ahead.submit(partial(self._fetch, settled)))
            yield batch
            del batch

    def close(self) -> None:
        """Cancel the query where it has not ended, and wait until nothing is read from it any more."""
        with nullcontext() if self._finished else self._link.ending(lambda: _cancel(self._cursor)):
            self._ahead.end()

    def _fetch(self, settled: _Settle) -> pa.RecordBatch | None:
        """What becomes of the next batch that has rows; None after the last."""
        batch = self._read()
        while batch is not None and not batch.num_rows:
            batch = self._read()
        if batch is None:
            return None
        row, self._row = self._row, self._row + batch.num_rows
        return settled(batch, row)

    def _settled(self, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
        arrays = [ask.array(array, row) for ask, array in zip(self._asked, batch.columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, [ask.column.name for ask in self._asked])

    def _read(self) -> pa.RecordBatch | None:
        try:
            batch = next(self._reader, None)
        except _DRIVER_ERRORS as exc:
            self._finished = True
            raise failed(self._source.name, exc, "") from exc
        self._finished = batch is None
        return batch


# --- parameters ----------------------------------------------------------------------------------


def _bound(query: Query) -> str:
    text = sql.one_statement(query.text, sql.POSTGRESQL)

    def place(name: str) -> str:
        if name not in query.parameters:
            raise QueryError(f"the query's parameter :{name} has no value", hint=f"add {name} to [source] parameters")
        return _literal(query.parameters[name])

    return sql.bind(text, place, sql.POSTGRESQL)


def _literal(value: object) -> str:
    """`value` as a typed literal; bound parameters would make the driver keep the whole result in memory."""
    try:
        text = Literal(value).as_string(None).strip()
    except psycopg.Error as exc:
        raise QueryError(f"a parameter's value cannot be passed to PostgreSQL: {exc}") from exc
    return f"({text})" if text.startswith("-") else text
