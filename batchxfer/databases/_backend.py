"""What SQLAlchemy's databases differ in, and how one is treated of which nothing special is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from batchxfer import sql
from batchxfer.databases._ahead import Steps
from batchxfer.databases._canonical import Reader, Row, digits_reader, first_values, reader_of, stream, type_of
from batchxfer.errors import BatchxferError, DatabaseUnavailable, QueryError
from batchxfer.model import ColumnType, ParameterValue, TypeName
from batchxfer.ports import Apart, Merge

if TYPE_CHECKING:
    from batchxfer.definitions import DatabaseOptions

MEND = "mend the job's query"
CAST_HINT = "the column has values of several types: cast them to one in the query"

_TIMEOUT_ARGUMENTS = {
    "pymssql": {"login_timeout": "connect", "timeout": "statement"},
    "oracledb": {"tcp_connect_timeout": "connect"},
}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A query that runs: the result and the driver's cursor beneath it, and the rows that came first.

    `source` is the query with its `:name` parameters, `text` with the driver's placeholders for `arguments`; `complete` says
    that there are no more rows than the first; `any_number` is the query's (ports.Query).
    """

    connection: sa.Connection
    result: sa.CursorResult[Any]
    cursor: Any
    names: Sequence[str]
    source: str
    text: str
    arguments: Any
    fetch: Callable[[int], Sequence[Row]]
    first: Sequence[Row]
    complete: bool
    any_number: bool


class Merging(Protocol):
    """Reads a query's rows with columns put together, as ports.TextMergingRows says."""

    @property
    def mergeable(self) -> Collection[int]: ...

    def mergeable_texts(self, special: str) -> Collection[int]: ...

    def batches(self) -> Steps[pa.RecordBatch]:
        """What makes the batches, none put together."""

    def merged(self, wanted: Sequence[int | Merge]) -> Steps[pa.RecordBatch | Apart]:
        """What makes the batches that are asked for."""


class Backend:
    """A database that SQLAlchemy has a dialect for. A subclass knows more about one of them.

    `failed` and `refused` are called with the driver's exception, whatever its class.
    """

    dialect = sql.GENERIC
    fetches_ahead = False
    """Whether a thread of its own may fetch the next batch while one is used, and `interrupt` ends what it waits for."""

    writes = False
    """Whether it is opened to be loaded; else it is only read."""

    def __init__(self, name: str, options: DatabaseOptions, url: sa.URL) -> None:
        self.name = name
        self.options = options
        self.url = url

    # session

    def make_engine(self) -> sa.Engine:
        return sa.create_engine(self.url, poolclass=sa.NullPool, connect_args=self._timeouts())

    def _timeouts(self) -> dict[str, Any]:
        seconds = {
            "connect": max(1, round(self.options.connect_timeout.total_seconds())),
            "statement": max(1, round(self.options.statement_timeout.total_seconds())),
        }
        known = _TIMEOUT_ARGUMENTS.get(self.url.get_driver_name(), {})
        return {argument: seconds[timeout] for argument, timeout in known.items()}

    def begin(self, connection: sa.Connection) -> None:
        """Settle the session before the query; what it changes is rolled back."""
        driver: Any = connection.connection.dbapi_connection
        if hasattr(driver, "call_timeout"):
            driver.call_timeout = round(self.options.statement_timeout.total_seconds() * 1000)
        if self.url.get_backend_name() == "oracle":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    def check(self, connection: sa.Connection, text: str) -> None:
        """Refuse a query that the session cannot answer rightly."""

    def interrupt(self, connection: sa.Connection) -> None:
        """End what another thread waits for on this connection; `cancel` follows."""

    def cancel(self, connection: sa.Connection, cursor: Any) -> None:
        """End what still runs; the connection is of no use afterwards."""
        connection.invalidate()

    # values

    def again(self, opened: Opened) -> Iterator[str]:
        """Queries of which the first that the server understands is to be run instead; none: this one will do."""
        return iter(())

    def is_no_syntax(self, exc: BaseException) -> bool:
        """Whether the server did not understand the query."""
        return False

    def inexact(self) -> BatchxferError:
        """The error when the server understands none of `again`."""
        return QueryError(self.says("the result cannot be read exactly"))

    def value(self, value: ParameterValue) -> object:
        """`value` as the driver takes it; an aware timestamp as the wall time of the database's zone."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(self.options.timezone).replace(tzinfo=None)
        return value

    def readers(self, opened: Opened) -> list[Reader]:
        """How the result's columns are read. By default a column's first value says its type."""
        values = first_values(opened.first, len(opened.names))
        scales = [column[5] for column in opened.cursor.description]
        return [
            self.reader(name, _type_of(value, scale))
            for name, value, scale in zip(opened.names, values, scales, strict=True)
        ]

    def fetcher(self, result: sa.CursorResult[Any]) -> Callable[[int], Sequence[Row]]:
        """What fetches the next rows of a result."""
        return result.fetchmany

    def batches(self, opened: Opened, readers: Sequence[Reader]) -> Iterator[pa.RecordBatch]:
        """The first rows, then those that are still to be fetched."""
        return stream(readers, opened.first, lambda rows: () if opened.complete else opened.fetch(rows))

    def merging(self, opened: Opened, readers: Sequence[Reader]) -> Merging | None:
        """What reads the rows instead of `batches` where columns may be put together; None where they may not."""
        return None

    def reader(self, name: str, type_name: TypeName) -> Reader:
        """The reader of a column of Python's own values; integers as digits, for they may have any size."""
        if type_name in {TypeName.INTEGER, TypeName.DECIMAL}:
            return digits_reader(name, ColumnType(type_name), hint=CAST_HINT)
        return reader_of(name, type_name, hint=CAST_HINT)

    # errors

    def failed(self, exc: BaseException) -> BatchxferError:
        """The error of a driver's exception while a query runs."""
        if isinstance(original(exc), MemoryError):
            return DatabaseUnavailable(self.says("out of memory"))
        disconnected = isinstance(exc, sa_exc.DBAPIError) and exc.connection_invalidated
        if disconnected or type(original(exc)).__name__ in {"OperationalError", "InterfaceError", "InternalError"}:
            return DatabaseUnavailable(self.says(original(exc)), hint="the query is tried again later")
        return QueryError(self.says(original(exc)), hint=MEND)

    def refused(self, exc: BaseException) -> BatchxferError:
        """The error of a driver's exception while connecting."""
        return DatabaseUnavailable(self.says(f"cannot connect: {said(exc)}"), hint="check the url, and that it is up")

    def says(self, what: object) -> str:
        text = said(what) if isinstance(what, BaseException) else str(what)
        return f"database {self.name!r}: {text}"


def _type_of(value: object, scale: int | None) -> TypeName:
    """A number of a column with a scale is a decimal: Oracle's driver gives a whole one as an integer."""
    if value is None:
        return TypeName.TEXT
    return TypeName.DECIMAL if scale and type(value) is int else type_of(value)


def original(exc: BaseException) -> BaseException:
    """The driver's own exception: SQLAlchemy's text repeats the query and its parameters."""
    return exc.orig if isinstance(exc, sa_exc.DBAPIError) and exc.orig is not None else exc


def said(exc: BaseException) -> str:
    """What a driver's exception says, on one line."""
    first = original(exc)
    words = [str(word) for word in first.args if isinstance(word, str)] or [str(first) or type(first).__name__]
    return " ".join(" ".join(words).split())
