"""Reads from any database that SQLAlchemy knows, through a cursor that streams: SQLite, MySQL and MariaDB with care."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from batchxfer import sql
from batchxfer.databases._backend import Backend, Opened
from batchxfer.databases._canonical import FIRST_ROWS, Reader, stream
from batchxfer.databases._mysql import MysqlBackend
from batchxfer.databases._sqlite import SqliteBackend
from batchxfer.errors import BatchxferError, NotSupported, QueryError
from batchxfer.model import Column
from batchxfer.ports import Query

if TYPE_CHECKING:
    from batchxfer.credentials import Secret
    from batchxfer.definitions import DatabaseOptions

_BACKENDS: dict[str, type[Backend]] = {"sqlite": SqliteBackend, "mysql": MysqlBackend, "mariadb": MysqlBackend}
_DRIVERS = {"mysql": "pymysql", "mariadb": "pymysql", "oracle": "oracledb", "mssql": "pymssql"}
_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "oracle": "oracle", "mssql": "mssql"}


class Source:
    """One database of the configuration, as ports.Source says. Each `read` has its own connection."""

    def __init__(self, name: str, options: DatabaseOptions, *, url: str, password: Secret | None) -> None:
        self.name = name
        self.options = options
        self._url = url
        self._password = password

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        backend = self._backend()
        engine = self._engine(backend)
        try:
            connection = _connect(backend, engine)
            try:
                yield from self._rows(backend, connection, query)
            finally:
                _close(connection)
        finally:
            engine.dispose()

    def _rows(self, backend: Backend, connection: sa.Connection, query: Query) -> Iterator[Rows]:
        opened = _run(backend, connection, query)
        rows = Rows(backend, opened, _call(backend, lambda: backend.readers(opened)))
        try:
            yield rows
        finally:
            if not rows.finished:
                backend.cancel(opened)

    def _backend(self) -> Backend:
        try:
            url = sa.make_url(self._url)
        except sa_exc.ArgumentError as exc:
            raise NotSupported(f"database {self.name!r}: the url is not one that SQLAlchemy reads") from exc
        if "+" not in url.drivername and url.drivername in _DRIVERS:
            url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
        if self._password is not None:
            url = url.set(password=self._password.reveal())
        family = url.drivername.partition("+")[0]
        return _BACKENDS.get(family, Backend)(self.name, self.options, url)

    def _engine(self, backend: Backend) -> sa.Engine:
        family = backend.url.drivername.partition("+")[0]
        try:
            return backend.make_engine()
        except sa_exc.NoSuchModuleError as exc:
            raise NotSupported(f"database {self.name!r}: no driver for {backend.url.drivername!r} urls") from exc
        except ImportError as exc:
            hint = f"pip install 'batchxfer[{_EXTRAS[family]}]'" if family in _EXTRAS else "install its Python driver"
            raise NotSupported(f"database {self.name!r}: the driver is missing: {exc}", hint=hint) from exc


class Rows:
    """The rows of one query, as ports.Rows says."""

    def __init__(self, backend: Backend, opened: Opened, readers: Sequence[Reader]) -> None:
        self._backend = backend
        self._opened = opened
        self._readers = readers
        self.finished = opened.complete

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(reader.column for reader in self._readers)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return stream(self._readers, self._opened.first, self._fetch)

    def _fetch(self, rows: int) -> Sequence[Sequence[object]]:
        if self.finished:
            return ()
        found: Sequence[Sequence[object]] = _call(self._backend, lambda: self._opened.cursor.fetchmany(rows))
        self.finished = not found
        return found


def _connect(backend: Backend, engine: sa.Engine) -> sa.Connection:
    connection = None
    try:
        connection = engine.connect()
        backend.begin(connection)
    except BatchxferError:
        _close(connection)
        raise
    except Exception as exc:
        _close(connection)
        raise backend.refused(exc) from exc
    return connection


def _close(connection: sa.Connection | None) -> None:
    """Roll back and close; a connection that is gone has done both."""
    if connection is not None:
        try:
            connection.close()
        except Exception:
            connection.invalidate()


def _run(backend: Backend, connection: sa.Connection, query: Query) -> Opened:
    source = sql.one_statement(query.text, backend.dialect)
    text, arguments = placed(source, query, backend, connection.dialect.paramstyle)
    cursor = _call(backend, lambda: _send(connection, text, arguments))
    if cursor.description is None:
        raise QueryError(backend.says("the query gives no rows and no columns"), hint="write one SELECT")
    first = _call(backend, lambda: cursor.fetchmany(FIRST_ROWS))
    complete = len(first) < FIRST_ROWS
    return Opened(
        connection=connection,
        cursor=cursor,
        source=source,
        text=text,
        arguments=arguments,
        first=first,
        complete=complete,
    )


def _send(connection: sa.Connection, text: str, arguments: Any) -> Any:
    streaming = connection.execution_options(stream_results=True, no_parameters=not arguments)
    return streaming.exec_driver_sql(text, arguments or None).cursor


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


def placed(text: str, query: Query, backend: Backend, style: str) -> tuple[str, Any]:
    """`text` with the driver's placeholders, and what is bound to them, in the shape that the driver takes."""
    values: list[object] = []

    def place(name: str) -> str:
        values.append(backend.value(_given(query, name)))
        return _STYLES[style](len(values))

    percent = style in {"format", "pyformat"} and bool(sql.find_parameters(text, backend.dialect))
    keep: Callable[[str], str] = (lambda part: part.replace("%", "%%")) if percent else (lambda part: part)
    bound = sql.bind_parts(text, place, keep, backend.dialect)
    if style in {"named", "pyformat"}:
        return bound, {f"p{number}": value for number, value in enumerate(values, 1)}
    return bound, tuple(values)


def _given(query: Query, name: str) -> object:
    if name not in query.parameters:
        raise QueryError(f"the query's parameter :{name} has no value", hint=f"add {name} to [source] parameters")
    return query.parameters[name]
