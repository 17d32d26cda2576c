"""Reads from and loads any database that SQLAlchemy knows; SQLite, MySQL and MariaDB with care."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from batchxfer import sql
from batchxfer.databases._ahead import Ahead, Made, StartAgain, Step, Steps
from batchxfer.databases._backend import Backend, Merging, Opened
from batchxfer.databases._canonical import Reader, first_rows
from batchxfer.databases._mysql import MysqlBackend
from batchxfer.databases._mysql_load import MysqlLoading
from batchxfer.databases._sqlalchemy_load import Loading
from batchxfer.databases._sqlite import SqliteBackend
from batchxfer.databases._sqlite_load import SqliteLoading
from batchxfer.errors import BatchxferError, NotSupported, QueryError
from batchxfer.model import Column
from batchxfer.ports import Apart, Merge, Query

if TYPE_CHECKING:
    from batchxfer.credentials import Secret
    from batchxfer.definitions import DatabaseOptions

_BACKENDS: dict[str, type[Backend]] = {"sqlite": SqliteBackend, "mysql": MysqlBackend, "mariadb": MysqlBackend}
_DRIVERS = {"mysql": "pymysql", "mariadb": "pymysql", "oracle": "oracledb", "mssql": "pymssql"}
_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "oracle": "oracle", "mssql": "mssql"}


_LOADINGS: dict[str, type[Loading]] = {"sqlite": SqliteLoading, "mysql": MysqlLoading, "mariadb": MysqlLoading}


class _Database:
    """One database of the configuration."""

    def __init__(self, name: str, options: DatabaseOptions, *, url: str, password: Secret | None) -> None:
        self.name = name
        self.options = options
        self._url = url
        self._password = password

    def _backend(self) -> Backend:
        try:
            url = sa.make_url(self._url)
        except sa_exc.ArgumentError:
            raise NotSupported(
                f"database {self.name!r}: the url is not one that SQLAlchemy reads",
                hint="write it like postgresql://reader@db.example.com/shop",
            ) from None
        if "+" not in url.drivername and url.drivername in _DRIVERS:
            url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
        if self._password is not None:
            url = url.set(password=self._password.reveal())
        return _BACKENDS.get(_family(url), Backend)(self.name, self.options, url)

    def _engine(self, backend: Backend) -> sa.Engine:
        family = _family(backend.url)
        try:
            return backend.make_engine()
        except sa_exc.NoSuchModuleError as exc:
            raise NotSupported(f"database {self.name!r}: no driver for {backend.url.drivername!r} urls") from exc
        except ImportError as exc:
            hint = f"pip install 'batchxfer[{_EXTRAS[family]}]'" if family in _EXTRAS else "install its Python driver"
            raise NotSupported(f"database {self.name!r}: the driver is missing: {exc}", hint=hint) from exc


def _family(url: sa.URL) -> str:
    return url.drivername.partition("+")[0]


class Source(_Database):
    """A database that is asked, as ports.Source says. Each `read` has its own connection."""

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows | MergingRows]:
        backend = self._backend()
        engine = self._engine(backend)
        try:
            rows = _start(backend, engine, _placed(query, backend, engine.dialect.paramstyle))
            try:
                yield rows
            finally:
                rows.close()
        finally:
            engine.dispose()


class Target(_Database):
    """A database that is loaded, as ports.Target says. Each `begin` has its own connection."""

    @contextmanager
    def begin(self) -> Iterator[Loading]:
        backend = self._backend()
        backend.writes = True
        engine = self._engine(backend)
        try:
            with _LOADINGS.get(_family(backend.url), Loading).begun(backend, engine) as loading:
                yield loading
        finally:
            engine.dispose()


class Rows:
    """The rows of one query, as ports.Rows says. Where the driver allows it, a thread fetches the next batch while one is
    used."""

    def __init__(self, backend: Backend, opened: Opened) -> None:
        self.opened = opened
        self.readers: Sequence[Reader] = ()
        self._backend = backend
        self._finished = opened.complete
        self._closed = False
        self._ahead: Ahead[Any] | None = None
        self._steps: list[Steps[Any]] = []

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(reader.column for reader in self.readers)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.made(partial(_itself, batch) for batch in self._backend.batches(self.opened, self.readers))

    def made(self, steps: Steps[Made]) -> Iterator[Made]:
        """The batches that `steps` make."""
        watched = self._watched(steps)
        if not self._backend.fetches_ahead or self.opened.complete:
            return (step() for step in watched)
        self._ahead = Ahead()
        return self._ahead.made(watched)

    def close(self) -> None:
        """End the query where it still runs, and its session. May be called twice."""
        if self._ahead is not None:
            if not self._finished:
                self._backend.interrupt(self.opened.connection)
            self._ahead.close()
        for steps in self._steps:
            steps.close()
        if not self._closed and not self._finished:
            self._backend.cancel(self.opened.connection, self.opened.cursor)
        self._closed = True
        _close(self.opened.connection)

    def _watched(self, steps: Steps[Made]) -> Steps[Made]:
        """The same, with the driver's errors translated, and their end noted; closed with these rows."""
        watched = self._each_watched(steps)
        self._steps.append(watched)
        return watched

    def _each_watched(self, steps: Steps[Made]) -> Steps[Made]:
        self._finished = self.opened.complete
        with closing(steps):
            while (step := _call(self._backend, lambda: next(steps, None))) is not None:
                yield partial(self._watched_step, step)
        self._finished = True

    def _watched_step(self, step: Step[Made]) -> Made:
        try:
            return step()
        except StartAgain as again:
            raise StartAgain(self._watched(again.steps)) from None


def _itself(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


class MergingRows:
    """The same, as ports.TextMergingRows says."""

    def __init__(self, rows: Rows, merging: Merging) -> None:
        self._rows = rows
        self._merging = merging

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._rows.columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._rows.made(self._merging.batches())

    @property
    def mergeable(self) -> Collection[int]:
        return self._merging.mergeable

    def mergeable_texts(self, special: str) -> Collection[int]:
        return self._merging.mergeable_texts(special)

    def merged(self, wanted: Sequence[int | Merge]) -> Iterator[pa.RecordBatch | Apart]:
        return self._rows.made(self._merging.merged(wanted))

    def close(self) -> None:
        self._rows.close()


# --- a query from its text to its rows -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """A query as the driver takes it; `source` still has its `:name` parameters."""

    source: str
    text: str
    arguments: Any
    any_number: bool


def _start(backend: Backend, engine: sa.Engine, statement: _Statement) -> Rows | MergingRows:
    rows = _begun(backend, engine, statement)
    try:
        others = [replace(statement, text=text) for text in _call(backend, lambda: list(backend.again(rows.opened)))]
        if others:
            rows.close()
            rows = _first_understood(backend, engine, others)
        rows.readers = _call(backend, lambda: backend.readers(rows.opened))
        merging = _call(backend, lambda: backend.merging(rows.opened, rows.readers))
    except BaseException:
        rows.close()
        raise
    return rows if merging is None else MergingRows(rows, merging)


def _first_understood(backend: Backend, engine: sa.Engine, statements: Sequence[_Statement]) -> Rows:
    for statement in statements:
        try:
            return _begun(backend, engine, statement)
        except QueryError as error:
            if error.__cause__ is None or not backend.is_no_syntax(error.__cause__):
                raise
    raise backend.inexact()


def _begun(backend: Backend, engine: sa.Engine, statement: _Statement) -> Rows:
    """The query, running, with its first rows."""
    connection = _connect(backend, engine)
    cursor = None
    try:
        _call(backend, lambda: backend.check(connection, statement.source))
        result = _call(backend, lambda: _send(connection, statement))
        cursor = result.cursor
        if cursor is None or cursor.description is None:
            raise QueryError(backend.says("the query gives no rows and no columns"), hint="write one SELECT")
        names = [str(column[0]) for column in cursor.description]
        fetch = backend.fetcher(result)
        first, complete = _call(backend, lambda: first_rows(fetch))
    except BaseException:
        if cursor is not None:
            backend.cancel(connection, cursor)
        _close(connection)
        raise
    opened = Opened(
        connection=connection,
        result=result,
        cursor=cursor,
        names=names,
        source=statement.source,
        text=statement.text,
        arguments=statement.arguments,
        fetch=fetch,
        first=first,
        complete=complete,
        any_number=statement.any_number,
    )
    return Rows(backend, opened)


def _connect(backend: Backend, engine: sa.Engine) -> sa.Connection:
    connection = None
    try:
        connection = engine.connect()
        backend.begin(connection)
    except Exception as exc:
        _close(connection)
        raise exc if isinstance(exc, BatchxferError) else backend.refused(exc) from exc
    return connection


def _close(connection: sa.Connection | None) -> None:
    """Roll back and close; a connection that is gone has done both."""
    if connection is not None:
        with suppress(Exception):
            connection.close()


def _send(connection: sa.Connection, statement: _Statement) -> sa.CursorResult[Any]:
    streaming = connection.execution_options(stream_results=True, no_parameters=not statement.arguments)
    return streaming.exec_driver_sql(statement.text, statement.arguments or None)


def _call(backend: Backend, act: Callable[[], Any]) -> Any:
    """`act()`, with the driver's errors translated."""
    try:
        return act()
    except BatchxferError:
        raise
    except Exception as exc:
        raise backend.failed(exc) from exc


# --- parameters ----------------------------------------------------------------------------------

_STYLES: dict[str, Callable[[int], str]] = {
    "qmark": lambda _: "?",
    "format": lambda _: "%s",
    "pyformat": lambda number: f"%(p{number})s",
    "named": lambda number: f":p{number}",
    "numeric": lambda number: f":{number}",
    "numeric_dollar": lambda number: f"${number}",
}


def _placed(query: Query, backend: Backend, style: str) -> _Statement:
    """The query with the driver's placeholders, and what is bound to them, in the shape that the driver takes."""
    source = sql.one_statement(query.text, backend.dialect)
    values: list[object] = []

    def place(name: str) -> str:
        values.append(backend.value(_given(query, name)))
        return _STYLES[style](len(values))

    percent = style in {"format", "pyformat"} and bool(sql.find_parameters(source, backend.dialect))
    keep: Callable[[str], str] = (lambda part: part.replace("%", "%%")) if percent else (lambda part: part)
    text = sql.bind_parts(source, place, keep, backend.dialect)
    by_name = style in {"named", "pyformat"}
    arguments = {f"p{number}": value for number, value in enumerate(values, 1)} if by_name else tuple(values)
    return _Statement(source=source, text=text, arguments=arguments, any_number=query.any_number)


def _given(query: Query, name: str) -> object:
    if name not in query.parameters:
        raise QueryError(f"the query's parameter :{name} has no value", hint=f"add {name} to [source] parameters")
    return query.parameters[name]
