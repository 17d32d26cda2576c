"""Loads into PostgreSQL by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from batchxfer.databases._loads import TABLE, creation
from batchxfer.databases._postgresql_copy import reads_verbatim, texts
from batchxfer.databases._postgresql_errors import not_loaded, refused
from batchxfer.databases._postgresql_link import CANCEL_SECONDS, Link, make_roomy, of
from batchxfer.databases._postgresql_session import address, settings
from batchxfer.databases._postgresql_tables import columns, named, only_takes_rows
from batchxfer.errors import BatchxferError, DatabaseUnavailable, LoadError, ReadPatiently
from batchxfer.model import TargetColumn
from batchxfer.ports import LoadCounts, LoadKey, Verbatim

if TYPE_CHECKING:
    from batchxfer.credentials import Secret
    from batchxfer.definitions import DatabaseOptions

_STAGING = Identifier("batchxfer_new")
_ROW = Identifier("batchxfer_row")
_IS_DURABLE = SQL(
    "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'"
)

# The table, its row type, or the catalogue's own index of them: whichever the other one was first at.
_MADE_BY_ANOTHER = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
)


class Target:
    """One PostgreSQL database of the configuration, as ports.EarlyTarget says."""

    def __init__(self, name: str, options: DatabaseOptions, *, url: str, password: Secret | None) -> None:
        self.name = name
        self.options = options
        self._url = url
        self._password = password

    def begin(self) -> AbstractContextManager[Loading]:
        return self._begin(Loading)

    def begin_early(self) -> AbstractContextManager[Loading]:
        return self._begin(EarlyLoading)

    @contextmanager
    def _begin(self, kind: type[Loading]) -> Iterator[Loading]:
        connection, link = self._connect()
        with closing(link), closing(connection):
            loading = kind(self.name, connection, link)
            loading.make_table()
            try:
                yield loading
            finally:
                with suppress(psycopg.Error):
                    connection.rollback()

    def _connect(self) -> tuple[psycopg.Connection[Any], Link]:
        where = address(self.name, self.options, url=self._url, password=self._password)
        try:
            connection = psycopg.connect(where)
        except psycopg.Error as exc:
            raise refused(self.name, exc) from exc
        limit = self.options.statement_timeout + self.options.connect_timeout
        sock = of(connection.fileno())
        make_roomy(sock)
        link = Link(sock, limit.total_seconds())
        try:
            self._settle(connection)
        except psycopg.Error as exc:
            link.close()
            connection.close()
            raise not_loaded(self.name, exc) from exc
        return connection, link

    def _settle(self, connection: psycopg.Connection[Any]) -> None:
        wanted = settings(self.options, read_only=False)
        pairs = [SQL("set_config({}, {}, false)").format(Literal(key), Literal(value)) for key, value in wanted.items()]
        connection.execute(SQL("select {}").format(SQL(", ").join(pairs)))
        # What the ledger calls loaded must be there after a power cut.
        connection.execute(_IS_DURABLE)
        connection.commit()


class Loading:
    """One transaction, as ports.VerbatimLoading says."""

    def __init__(self, name: str, connection: psycopg.Connection[Any], link: Link) -> None:
        self._name = name
        self._connection = connection
        self._link = link

    def make_table(self) -> None:
        """In a transaction of its own: two who make it at once would disturb each other's load."""
        with self._told():
            there = self._connection.execute("select to_regclass(%s) is not null", (TABLE,)).fetchone() == (True,)
            self._connection.rollback()
        if there:
            return
        statement = creation("postgresql")
        try:
            with suppress(*_MADE_BY_ANOTHER):
                self._connection.execute(statement.encode())
            self._connection.commit()
        except psycopg.Error as exc:
            error = not_loaded(self._name, exc)
            if isinstance(error, DatabaseUnavailable):
                raise error from exc
            raise LoadError(
                f"{error.message}. The table {TABLE}, which keeps a file from being loaded twice, cannot be made",
                hint=f"have an administrator run: {statement}; GRANT SELECT, INSERT ON {TABLE} TO {self._user}",
            ) from exc

    @property
    def _user(self) -> str:
        return Identifier(self._connection.info.user).as_string(None)

    # ports.Loading

    def columns(self, table: str) -> tuple[TargetColumn, ...]:
        with self._told():
            return columns(self._connection, self._name, table)

    def recorded(self, keys: Sequence[LoadKey]) -> dict[LoadKey, LoadCounts]:
        known = {}
        query = f"select good_rows, bad_rows from {TABLE} where project = %s and file = %s and revision = %s"  # noqa: S608
        with self._told():
            for key in keys:
                found = self._connection.execute(query.encode(), (key.project, key.file, key.revision)).fetchone()
                if found is not None:
                    known[key] = LoadCounts(rows=found[0], bad_rows=found[1])
        return known

    def takes(self, delimiter: str, columns: Sequence[TargetColumn]) -> bool:
        return reads_verbatim(delimiter, columns)

    def clear(self, table: str) -> None:
        with self._told():
            into = named(self._connection, self._name, table)
            # Of two who replace at once the later one would not see, and leave, the rows of the earlier one.
            self._execute(SQL("lock table {} in share row exclusive mode").format(into))
            self._execute(SQL("delete from {}").format(into))

    def append(
        self,
        table: str,
        columns: Sequence[TargetColumn],
        batches: Iterable[pa.RecordBatch | Verbatim],
        *,
        key: Sequence[str] = (),
    ) -> int:
        with self._told():
            into = named(self._connection, self._name, table)
            if not key:
                return self._copy(into, columns, batches)
            rows = self._copy(self._staging(into, columns), columns, batches)
        self._merge(into, columns, key)
        return rows

    def record(self, key: LoadKey, counts: LoadCounts) -> None:
        # Its default is when the transaction began: the file need not have been here then.
        statement = f"""
            insert into {TABLE} (project, file, revision, good_rows, bad_rows, loaded_at)
            values (%s, %s, %s, %s, %s, clock_timestamp())
        """  # noqa: S608
        values = (key.project, key.file, key.revision, counts.rows, counts.bad_rows)
        self._link.begin_anew()
        try:
            self._connection.execute(statement.encode(), values)
        except psycopg.errors.UniqueViolation as exc:
            raise DatabaseUnavailable(
                f"database {self._name!r}: another process has loaded this file meanwhile; nothing was loaded twice"
            ) from exc
        except psycopg.Error as exc:
            raise self._failed(exc) from exc

    def commit(self) -> None:
        with self._told():
            self._connection.commit()

    def abandon(self) -> None:
        """As ports.EarlyLoading says."""
        with self._link.ending(self._cancel):
            pass
        self._link.end()

    # inside

    def _cancel(self) -> None:
        # A server that cannot be asked to stop is left all the same. `cancel`, which is all that a libpq before 17 has, keeps
        # Python's lock meanwhile: where the server says nothing, every thread of this process would stand still.
        with suppress(psycopg.Error):
            if psycopg.capabilities.has_cancel_safe():
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def _copy(
        self, into: Composable, columns: Sequence[TargetColumn], batches: Iterable[pa.RecordBatch | Verbatim]
    ) -> int:
        items = iter(batches)
        first = list(islice(items, 1))
        verbatim = [item.delimiter for item in first if isinstance(item, Verbatim)]
        delimiter = verbatim[0] if verbatim else ","
        statement = SQL("copy {} ({}) from stdin (format csv, delimiter {})")
        rows = 0
        with self._connection.cursor() as cursor:
            with cursor.copy(statement.format(into, _names(columns), Literal(delimiter))) as copy:
                for text, count in texts(chain(first, items), columns, delimiter):
                    copy.write(text)
                    rows += count
            if verbatim and cursor.rowcount != rows:
                # A trigger that leaves rows out, or records that were taken apart in another way than here.
                raise ReadPatiently(
                    f"database {self._name!r}: {rows:,} rows were sent, and {cursor.rowcount:,} came in"
                )
        return rows

    def _staging(self, into: Composable, columns: Sequence[TargetColumn]) -> Composable:
        """An empty table beside, with the same columns."""
        self._execute(SQL("drop table if exists pg_temp.{}").format(_STAGING))
        statement = SQL("create temporary table {} on commit drop as select {} from {} with no data")
        self._execute(statement.format(_STAGING, _names(columns), into))
        self._execute(SQL("alter table {} add column {} bigserial").format(_STAGING, _ROW))
        return _STAGING

    def _merge(self, into: Composable, columns: Sequence[TargetColumn], key: Sequence[str]) -> None:
        """Of two rows of one key the later one counts."""
        others = [column.name for column in columns if column.name not in key]
        pairs = SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in others)
        statement = SQL(
            "insert into {into} ({names}) overriding system value select {names} from"
            " (select distinct on ({key}) * from {staging} order by {key}, {row} desc) newest order by {row}"
            " on conflict ({key}) do {action}"
        ).format(
            into=into,
            names=_names(columns),
            key=SQL(", ").join(map(Identifier, key)),
            staging=_STAGING,
            row=_ROW,
            action=SQL("update set {}").format(pairs) if others else SQL("nothing"),
        )
        try:
            self._execute(statement)
        except psycopg.errors.InvalidColumnReference as exc:
            named_key = ", ".join(key)
            raise LoadError(
                f"database {self._name!r}: no unique index says that ({named_key}) identifies a row of the table",
                hint=f"have an administrator run: CREATE UNIQUE INDEX ON {into.as_string(None)} ({named_key});"
                " or name the columns of one in [load] key",
            ) from exc
        except psycopg.Error as exc:
            raise self._failed(exc) from exc

    def _execute(self, statement: Composed) -> None:
        self._connection.execute(statement)

    def _failed(self, exc: psycopg.Error) -> BatchxferError:
        if self._link.expired:
            return DatabaseUnavailable(
                f"database {self._name!r}: the server stopped answering, and was waited for longer than statement_timeout",
                hint="it is tried again; where a load needs longer, raise statement_timeout",
            )
        return not_loaded(self._name, exc, user=self._user)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors in the project's words; a server that falls silent is left."""
        self._link.begin_anew()
        try:
            yield
        except psycopg.Error as exc:
            raise self._failed(exc) from exc


class EarlyLoading(Loading):
    """As ports.EarlyLoading says: into a table only that takes rows and does nothing else."""

    def columns(self, table: str) -> tuple[TargetColumn, ...]:
        with self._told():
            if not only_takes_rows(self._connection, self._name, table):
                raise LoadError(f"database {self._name!r}: table {table!r} may do more than take rows")
        return super().columns(table)


def _names(columns: Sequence[TargetColumn]) -> Composable:
    return SQL(", ").join(Identifier(column.name) for column in columns)
