"""MySQL and MariaDB through PyMySQL: read-only sessions in the database's zone, columns by the server's own types.

Two things the server does not say plainly. A FLOAT is sent rounded to six digits, so a result that has one is asked for
again with those columns as doubles, which are exact. MariaDB's JSON is a text with a check: the table's definition tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from socket import SHUT_RDWR
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from batchxfer import sql
from batchxfer.databases._backend import MEND, Backend, Opened, original, said
from batchxfer.databases._canonical import CARRIERS, Reader, batch_of, clock_time, compact_json, digits, growing
from batchxfer.errors import (
    BatchxferError,
    CredentialError,
    DatabaseUnavailable,
    NotSupported,
    PermanentError,
    QueryError,
    UnwritableValue,
)
from batchxfer.model import Column, ColumnType, TypeName

_UNSIGNED, _ZEROFILL, _BINARY_CHARSET = 32, 64, 63
_FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _BIT, _JSON, _LONG_TEXT = 4, 5, 6, 7, 16, 245, 252
_INTEGERS, _DECIMALS, _DATES, _DATETIME, _TIME, _GEOMETRY = {1, 2, 3, 8, 9, 13}, {0, 246}, {10, 14}, 12, 11, 255
_BIG_INTEGER = 8

_LOGIN = {1044, 1045, 1698, 1862, 2054, 2059}
_TIMED_OUT = {1317, 1969, 3024}
_TRANSIENT = _TIMED_OUT | {1040, 1053, 1077, 1129, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226, 1927}
_TOO_LARGE, _CUT = 1301, 1260
_UNKNOWN_DATABASE, _UNKNOWN_ZONE, _SYNTAX, _READ_ONLY, _TABLE_DENIED = 1049, 1298, 1064, 1792, 1142

_ALL_ROWS = "18446744073709551615"
"""The LIMIT that the manual gives for all rows; MariaDB keeps the order of an inner query only where it has one."""

_NOW = re.compile(r"\b(now|sysdate|cur(rent_)?(date|time|timestamp)|localtime|from_unixtime|unix_timestamp)\b", re.I)


class MysqlBackend(Backend):
    dialect = sql.MYSQL
    fetches_ahead = True

    def __init__(self, name: str, options: Any, url: sa.URL) -> None:
        super().__init__(name, options, url.update_query_dict({"charset": "utf8mb4"}))
        self._zone: ZoneInfo | None = None
        self._zone_error: BaseException | None = None
        self._fields: list[Any] | None = None

    # session

    def make_engine(self) -> sa.Engine:
        if self.url.get_driver_name() != "pymysql":
            scheme = self.url.get_backend_name()
            raise NotSupported(f"database {self.name!r}: no {self.url.drivername}", hint=f"write {scheme}+pymysql://…")
        engine = super().make_engine()
        sa.event.listen(engine, "handle_error", _let_go_of_a_dead_one)
        return engine

    def _timeouts(self) -> dict[str, Any]:
        connect = max(1, round(self.options.connect_timeout.total_seconds()))
        silence = max(1, round(self.options.statement_timeout.total_seconds())) + connect
        return {"connect_timeout": connect, "read_timeout": silence, "write_timeout": silence}

    def begin(self, connection: sa.Connection) -> None:
        seconds = self.options.statement_timeout.total_seconds()
        if connection.dialect.is_mariadb:  # type: ignore[attr-defined]
            self._set(connection, f"max_statement_time = {seconds:.6f}")
        else:
            self._set(connection, f"MAX_EXECUTION_TIME = {max(1, round(seconds * 1000))}")
        # Of 64 warnings, as it comes, the one that matters may not be one.
        self._set(connection, "max_error_count = 65535")
        # The server hangs up on a reader that pauses for longer than this, and uploading may pause.
        self._set(connection, f"net_write_timeout = {max(60, min(round(seconds), 31_536_000))}")
        self._settle_zone(connection)
        self._set(connection, "TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _set(self, connection: sa.Connection, what: str) -> None:
        connection.exec_driver_sql(f"SET SESSION {what}")

    def _settle_zone(self, connection: sa.Connection) -> None:
        """The session's zone is the database's; where the server has no zones loaded, its constant offset."""
        zone = self.options.timezone
        constant = constant_offset(zone)
        try:
            self._set(connection, f"time_zone = '{constant or zone.key}'")
            self._zone = None if constant == "+00:00" else zone
        except sa.exc.DBAPIError as exc:
            if _code(exc) != _UNKNOWN_ZONE:
                raise
            self._set(connection, "time_zone = '+00:00'")
            self._zone, self._zone_error = None, exc

    def check(self, connection: sa.Connection, text: str) -> None:
        """Without the zone a TIMESTAMP cannot be compared with a wall time: refuse where that could come up."""
        if self._zone_error is None:
            return
        stamps = connection.exec_driver_sql(
            "SELECT 1 FROM information_schema.columns WHERE data_type = 'timestamp' AND table_schema NOT IN"
            " ('mysql', 'sys', 'information_schema', 'performance_schema') LIMIT 1"
        ).first()
        if stamps or _NOW.search(text):
            raise PermanentError(
                self.says(f"the server has not loaded the time zone {self.options.timezone.key!r}"),
                hint="load it: mariadb-tzinfo-to-sql /usr/share/zoneinfo | mariadb -u root mysql"
                " (MySQL: mysql_tzinfo_to_sql)",
            ) from self._zone_error

    def interrupt(self, connection: sa.Connection) -> None:
        """Kill the session: PyMySQL would read the rest of the rows before it closes anything."""
        driver: Any = None if connection.invalidated else connection.connection.dbapi_connection
        if driver is not None and driver.open:
            with suppress(Exception), connection.engine.connect() as other:
                other.exec_driver_sql(f"KILL {int(driver.thread_id())}")
            with suppress(OSError):
                driver._sock.shutdown(SHUT_RDWR)

    def cancel(self, connection: sa.Connection, cursor: Any) -> None:
        _forget_rows(cursor)
        driver: Any = None if connection.invalidated else connection.connection.dbapi_connection
        if driver is None:
            return
        self.interrupt(connection)
        stream = driver._rfile
        connection.invalidate()
        if stream is not None:
            stream.close()

    # values

    def again(self, opened: Opened) -> Iterator[str]:
        if self._fields is None:
            self._fields = list(opened.cursor._result.fields)
            if any(field.type_code == _FLOAT for field in self._fields):
                yield from self._with_doubles(opened.text)

    def is_no_syntax(self, exc: BaseException) -> bool:
        return _code(exc) == _SYNTAX

    def inexact(self) -> BatchxferError:
        floats = ", ".join(repr(field.name) for field in self._fields or [] if field.type_code == _FLOAT)
        why = f"the server sends the FLOAT {floats} rounded to six digits"
        return QueryError(self.says(why), hint="cast it to DOUBLE or DECIMAL in the query")

    def _with_doubles(self, text: str) -> Iterator[str]:
        fields = self._fields or []
        names = [f"c{number}" for number in range(len(fields))]
        select = ", ".join(
            f"CAST({name} AS DOUBLE) AS {name}" if field.type_code == _FLOAT else name
            for name, field in zip(names, fields, strict=True)
        )
        for inner in (f"(\n{text}\n) LIMIT {_ALL_ROWS}", f"{text}\nLIMIT {_ALL_ROWS}", text):
            yield f"WITH batchxfer_q({', '.join(names)}) AS (\n{inner}\n) SELECT {select} FROM batchxfer_q"  # noqa: S608

    def readers(self, opened: Opened) -> list[Reader]:
        fields = self._fields or []
        json = self._json_columns(opened.connection.engine, fields)
        return [self._reader(field, json) for field in fields]

    def batches(self, opened: Opened, readers: Sequence[Reader]) -> Iterator[pa.RecordBatch]:
        """The first rows as PyMySQL gives them, all others off the wire."""
        from batchxfer.databases import _mysql_wire  # PyMySQL is an extra

        result = opened.cursor._result
        wire = _mysql_wire.Wire(opened.connection.connection.dbapi_connection, result)
        names = [reader.column.name for reader in readers]
        columns = [
            _mysql_wire.Incoming(reader, encoding, convert, zero_filled=bool(field.flags & _ZEROFILL))
            for reader, (encoding, convert), field in zip(readers, result.converters, result.fields, strict=True)
        ]

        def more(rows: int, first_row: int) -> pa.RecordBatch | None:
            found = wire.fetch(rows)
            if found is None:
                return None
            arrays = [column.array(values, first_row) for column, values in zip(columns, found, strict=True)]
            return pa.RecordBatch.from_arrays(arrays, names)

        yield from growing(batch_of(readers, opened.first, 1) if opened.first else None, more)
        if wire.warnings:
            self._look_at_warnings(opened.connection.connection.dbapi_connection)

    def _look_at_warnings(self, driver: Any) -> None:
        """A value that is too large for the server comes as NULL, a long GROUP_CONCAT is cut, with a warning."""
        for _, code, text in driver.show_warnings():
            if code == _CUT:
                raise UnwritableValue(
                    self.says(f"the server cut a value: {text} (warning {code})"),
                    hint="raise group_concat_max_len on the server, or make the value shorter in the query",
                )
            if code == _TOO_LARGE:
                raise UnwritableValue(
                    self.says(f"the server gave NULL for a value: {text} (warning {code})"),
                    hint="raise max_allowed_packet on the server, or make the value shorter in the query",
                )

    def _json_columns(self, engine: sa.Engine, fields: list[Any]) -> set[tuple[str, str, str]]:
        """The (database, table, column) whose definition checks for JSON, of those that may be."""
        tables = {_table(field) for field in fields if field.type_code == _LONG_TEXT and field.org_table}
        found: set[tuple[str, str, str]] = set()
        if tables:
            with suppress(sa.exc.SQLAlchemyError), engine.connect() as other:
                for database, table in sorted(tables):
                    names = json_checked(other, database, table)
                    found |= {(database, table, name) for name in names}
        return found

    def _reader(self, field: Any, json: set[tuple[str, str, str]]) -> Reader:
        if field.type_code == _LONG_TEXT and (*_table(field), field.org_name) in json:
            way: _Way = _JSON_WAY
        else:
            way = _way(field, self._zone)
        type_name, arrow, accepts, convert = way
        return Reader(
            column=Column(field.name, _column_type(type_name, field)),
            arrow=arrow,
            accepts=accepts,
            convert=convert,
            hint="cast it to CHAR in the query to get it as text",
        )

    # errors

    def failed(self, exc: BaseException) -> BatchxferError:
        code, text = _code(exc), self.says(_said(exc))
        if code in _TIMED_OUT:
            return DatabaseUnavailable(text, hint="raise statement_timeout, or make the query faster")
        if code in _LOGIN:
            return CredentialError(text, hint="check the user in url, its password and its rights")
        if code is None or code in _TRANSIENT or 2000 <= code < 3000:
            return DatabaseUnavailable(text)
        if code == _UNKNOWN_DATABASE:
            return PermanentError(text, hint="check the database's name in url")
        hints = {_READ_ONLY: "sources only read", _TABLE_DENIED: "grant the user SELECT on it"}
        return QueryError(text, hint=hints.get(code, MEND))

    def refused(self, exc: BaseException) -> BatchxferError:
        error = self.failed(exc)
        if isinstance(error, QueryError):
            return PermanentError(error.message, hint="check the url" if error.hint == MEND else error.hint)
        if isinstance(error, DatabaseUnavailable):
            hint = error.hint or "check the host and port in url, and that the database is up"
            return DatabaseUnavailable(error.message, hint=hint)
        return error


def _forget_rows(cursor: Any) -> None:
    """Else the driver reads the rest of the rows once the cursor is let go, if need be from a connection that is gone."""
    if cursor is not None and cursor._result is not None:
        cursor._result.unbuffered_active = False
        cursor.connection = None


def _let_go_of_a_dead_one(context: sa.engine.ExceptionContext) -> None:
    running: Any = context.execution_context
    if context.is_disconnect and running is not None:
        _forget_rows(running.cursor)


# --- zones ---------------------------------------------------------------------------------------


def constant_offset(zone: ZoneInfo) -> str | None:
    """The offset of a zone that has had one only since 2000, as `+09:00`; None for one that changes."""
    begin = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall time, in each zone
    offsets = {(begin + timedelta(weeks=week)).replace(tzinfo=zone).utcoffset() for week in range(38 * 53)}
    if len(offsets) != 1:
        return None
    minutes = round((offsets.pop() or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _instant(zone: ZoneInfo | None) -> Any:
    """What makes of a TIMESTAMP, shown by the session as wall time in `zone` (None: UTC), an instant."""
    if zone is None:
        return None
    offset = constant_offset(zone)
    if offset is not None:
        hours, minutes = offset[1:].split(":")
        shift = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if offset[0] == "-" else 1)
        return lambda value: value - shift

    def to_utc(value: datetime) -> datetime:
        first, second = value.replace(tzinfo=zone), value.replace(tzinfo=zone, fold=1)
        if first.utcoffset() != second.utcoffset():
            raise ValueError(f"this time comes twice in {zone.key}, and MySQL does not say which it is")
        return value - (first.utcoffset() or timedelta())

    return to_utc


# --- columns -------------------------------------------------------------------------------------

_Way = tuple[TypeName, pa.DataType, frozenset[type], Any]


def _plain(type_name: TypeName, accepts: type, convert: Any = None) -> _Way:
    return type_name, CARRIERS[type_name], frozenset({accepts}), convert


_JSON_WAY = _plain(TypeName.JSON, str, compact_json)


def _way(field: Any, zone: ZoneInfo | None) -> _Way:
    """How a field comes: the type, its Arrow type, the Python type that PyMySQL gives, the conversion."""
    code = field.type_code
    if code in _INTEGERS:
        big = code == _BIG_INTEGER and field.flags & _UNSIGNED
        return TypeName.INTEGER, pa.uint64() if big else pa.int64(), frozenset({int}), None
    if code in _DECIMALS:
        return _plain(TypeName.DECIMAL, Decimal, digits)
    if code in {_FLOAT, _DOUBLE}:
        return TypeName.FLOAT, pa.float32() if code == _FLOAT else pa.float64(), frozenset({float}), None
    if code == _TIMESTAMP:
        return _plain(TypeName.TIMESTAMPTZ, datetime, _instant(zone))
    if code == _DATETIME:
        return _plain(TypeName.TIMESTAMP, datetime)
    if code in _DATES:
        return _plain(TypeName.DATE, date)
    if code == _TIME:
        return _plain(TypeName.TIME, timedelta, clock_time)
    if code == _BIT:
        return _plain(TypeName.TEXT, bytes, lambda value: f"{int.from_bytes(value):0{field.length}b}")
    if code == _JSON:
        return _JSON_WAY
    if code == _GEOMETRY or (field.charsetnr == _BINARY_CHARSET and code != _NULL):
        return _plain(TypeName.BYTES, bytes)
    return _plain(TypeName.TEXT, str)


def _column_type(type_name: TypeName, field: Any) -> ColumnType:
    if type_name != TypeName.DECIMAL or not field.org_table:
        return ColumnType(type_name)
    precision = field.length - (not field.flags & _UNSIGNED) - (field.scale > 0)
    return ColumnType(type_name, precision, field.scale) if precision >= max(1, field.scale) else ColumnType(type_name)


def _table(field: Any) -> tuple[str, str]:
    database = field.db.decode() if isinstance(field.db, bytes) else field.db
    return database, field.org_table


def json_checked(connection: sa.Connection, database: str | None, table: str) -> list[str]:
    """The columns of a table whose definition checks for JSON."""
    names = [name for name in (database, table) if name is not None]
    quoted = ".".join("`" + name.replace("`", "``") + "`" for name in names)
    definition = connection.exec_driver_sql(f"SHOW CREATE TABLE {quoted}".replace("%", "%%")).one()[1]
    found = re.findall(r"CHECK \(json_valid\(`((?:[^`]|``)+)`\)\)", definition)
    return [name.replace("``", "`") for name in found]


# --- errors --------------------------------------------------------------------------------------


def _code(exc: BaseException) -> int | None:
    first = original(exc).args[:1]
    return first[0] if first and isinstance(first[0], int) else None


def _said(exc: BaseException) -> str:
    code = _code(exc)
    return said(exc) if code is None else f"{said(exc)} (error {code})"
