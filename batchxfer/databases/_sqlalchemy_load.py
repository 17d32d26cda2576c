"""Loads into a database that SQLAlchemy has a dialect for; a subclass of Loading knows more about one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from batchxfer.databases._backend import Backend, original
from batchxfer.databases._loads import MEND, TABLE, TWICE, creation, loads
from batchxfer.errors import BatchxferError, CredentialError, DatabaseUnavailable, LoadError, PermanentError
from batchxfer.model import ColumnType, TargetColumn, TypeName
from batchxfer.ports import LoadCounts, LoadKey
from batchxfer.suggestions import did_you_mean

ROWS_AT_A_TIME = 5_000

_T = TypeName


class Loading:
    """One transaction, as ports.Loading says, of a database of which nothing special is known."""

    def __init__(self, backend: Backend, connection: sa.Connection) -> None:
        self.backend = backend
        self.connection = connection

    @classmethod
    @contextmanager
    def begun(cls, backend: Backend, engine: sa.Engine) -> Iterator[Loading]:
        with cls._connected(backend, engine) as connection:
            loading = cls(backend, connection)
            with loading.told():
                loading.settle()
            loading._make_table()
            with loading.told():
                loading.start()
            yield loading

    @classmethod
    @contextmanager
    def _connected(cls, backend: Backend, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            connection = engine.connect()
        except Exception as exc:
            raise exc if isinstance(exc, BatchxferError) else backend.refused(exc) from exc
        try:
            yield connection
        finally:
            # Rolls back; a connection that is gone has done so.
            with suppress(Exception):
                connection.close()

    def _make_table(self) -> None:
        """In a transaction of its own: some databases commit whatever is open when a table is made."""
        try:
            with self.told():
                self.make_table()
        except LoadError as error:
            if self._has_table():  # two made it at once
                return
            statement = creation(self.connection.dialect.name)
            raise LoadError(
                f"{error.message}. The table {TABLE}, which keeps a file from being loaded twice, cannot be made",
                hint=f"have an administrator run: {statement}; and grant this user SELECT and INSERT on it",
            ) from error

    def _has_table(self) -> bool:
        with suppress(sa.exc.SQLAlchemyError):
            self.connection.rollback()
            return bool(sa.inspect(self.connection).has_table(TABLE))
        return False

    # what databases differ in

    def settle(self) -> None:
        """Set the session up, before its first transaction."""

    def make_table(self) -> None:
        self._loads.create(self.connection, checkfirst=True)
        self.connection.commit()

    def start(self) -> None:
        """Begin the transaction, where that is to be said."""

    def read_columns(self, schema: str | None, name: str) -> tuple[TargetColumn, ...]:
        """The columns of a table; none where it is not there."""
        found = sa.inspect(self.connection)
        if not found.has_table(name, schema) and name not in found.get_view_names(schema):
            return ()
        return tuple(_column(column) for column in found.get_columns(name, schema) if "computed" not in column)

    def near(self, schema: str | None) -> list[str]:
        return [*sa.inspect(self.connection).get_table_names(schema)]

    def values(self, array: pa.Array, column: TargetColumn, first_row: int) -> list[Any]:
        """A column's values as the driver takes them. `first_row` is the number of the first of them, for messages."""
        found: list[Any] = array.to_pylist()
        if column.type.name is _T.DECIMAL:
            return [None if value is None else Decimal(value) for value in found]
        if column.type.name is _T.INTEGER and found and isinstance(array, pa.StringArray):
            return [None if value is None else int(value) for value in found]
        return found

    def put(self, table: str, columns: Sequence[TargetColumn], rows: list[tuple[Any, ...]], first_row: int) -> None:
        """Insert rows; their first is number `first_row`, for messages."""
        names = [column.name for column in columns]
        insert = sa.insert(self._table(table, names))
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            some = rows[start : start + ROWS_AT_A_TIME]
            self.connection.execute(insert, [dict(zip(names, row, strict=True)) for row in some])

    def put_over(
        self,
        table: str,
        columns: Sequence[TargetColumn],
        rows: list[tuple[Any, ...]],
        key: Sequence[str],
        first_row: int,
    ) -> None:
        """Insert rows, or put them in the place of those with the same key: one after another, so that the last one counts."""
        names = [column.name for column in columns]
        into = self._table(table, names)
        others = [name for name in names if name not in key] or list(key)
        places = {name: f"v{number}" for number, name in enumerate(names)}
        update = sa.update(into).values({name: sa.bindparam(places[name]) for name in others})
        for name in key:
            update = update.where(into.c[name] == sa.bindparam(places[name]))
        insert = sa.insert(into).values({name: sa.bindparam(places[name]) for name in names})
        for row in rows:
            values = dict(zip(places.values(), row, strict=True))
            if not self.connection.execute(update, values).rowcount:
                self.connection.execute(insert, values)

    def refused(self, error: BatchxferError, exc: BaseException) -> BatchxferError:
        """The error of a load that `error` is, as one of a query."""
        hint = TWICE if _is_double(original(exc)) else MEND
        return LoadError(f"{error.message}. Nothing was loaded", hint=hint)

    # ports.Loading

    def columns(self, table: str) -> tuple[TargetColumn, ...]:
        schema, name = self.parts(table)
        with self.told():
            if found := self.read_columns(schema, name):
                return found
            near = [other for other in self.near(schema) if other != TABLE]
        raise LoadError(
            self.backend.says(f"there is no table {table!r}"),
            hint=did_you_mean(name, near, what="its tables are") if near else "it has no tables: make it first",
        )

    def recorded(self, keys: Sequence[LoadKey]) -> dict[LoadKey, LoadCounts]:
        known, loads = {}, self._loads
        for key in keys:
            query = sa.select(loads.c.good_rows, loads.c.bad_rows).where(
                loads.c.project == key.project, loads.c.file == key.file, loads.c.revision == key.revision
            )
            with self.told():
                found = self.connection.execute(query).first()
            if found is not None:
                known[key] = LoadCounts(rows=found.good_rows, bad_rows=found.bad_rows)
        return known

    def clear(self, table: str) -> None:
        with self.told():
            self.connection.execute(sa.delete(self._table(table, [])))

    def append(
        self,
        table: str,
        columns: Sequence[TargetColumn],
        batches: Iterable[pa.RecordBatch],
        *,
        key: Sequence[str] = (),
    ) -> int:
        count = 0
        for batch in batches:
            if not batch.num_rows:
                continue
            with self.told():
                parts = [
                    self.values(array, column, count + 1) for array, column in zip(batch.columns, columns, strict=True)
                ]
                rows = list(zip(*parts, strict=True))
                if key:
                    self.put_over(table, columns, rows, key, count + 1)
                else:
                    self.put(table, columns, rows, count + 1)
            count += batch.num_rows
        return count

    def record(self, key: LoadKey, counts: LoadCounts) -> None:
        insert = sa.insert(self._loads).values(
            project=key.project, file=key.file, revision=key.revision, good_rows=counts.rows, bad_rows=counts.bad_rows
        )
        with self.told():
            try:
                self.connection.execute(insert)
            except sa.exc.IntegrityError as exc:
                why = "another process has loaded this file meanwhile; nothing was loaded twice"
                raise DatabaseUnavailable(self.backend.says(why)) from exc

    def commit(self) -> None:
        with self.told():
            self.connection.commit()

    # inside

    @property
    def _loads(self) -> sa.Table:
        return loads(self.connection.dialect.name)

    @contextmanager
    def told(self) -> Iterator[None]:
        """The driver's errors in the project's words."""
        try:
            yield
        except BatchxferError:
            raise
        except Exception as exc:
            error = self.backend.failed(exc)
            if isinstance(error, DatabaseUnavailable | CredentialError) or not isinstance(error, PermanentError):
                raise error from exc
            raise self.refused(error, exc) from exc

    def parts(self, table: str) -> tuple[str | None, str]:
        """Schema and name; without a schema the database finds it."""
        schema, dot, name = table.rpartition(".")
        return (schema if dot else None), name

    def quoted(self, *names: str | None) -> str:
        """A name with its dots as a statement has it."""
        quote: Callable[[str], str] = self.connection.dialect.identifier_preparer.quote_identifier
        return ".".join(quote(name) for name in names if name is not None)

    def _table(self, table: str, names: Sequence[str]) -> sa.TableClause:
        schema, name = self.parts(table)
        return sa.table(name, *(sa.column(each) for each in names), schema=schema)


def _is_double(exc: BaseException) -> bool:
    """Whether a key is there twice, in the words of some databases."""
    text = str(exc)
    return any(words in text for words in ("Duplicate entry", "UNIQUE constraint failed", "ORA-00001", "duplicate key"))


# --- columns -------------------------------------------------------------------------------------

_BITS: tuple[tuple[type[Any], int | None], ...] = ((sa.SmallInteger, 16), (sa.BigInteger, 64), (sa.Integer, 32))
_KINDS: tuple[tuple[type[Any], TypeName], ...] = (
    (sa.Boolean, _T.BOOLEAN),
    (sa.Integer, _T.INTEGER),
    (sa.Float, _T.FLOAT),
    (sa.Numeric, _T.DECIMAL),
    (sa.DateTime, _T.TIMESTAMP),
    (sa.Date, _T.DATE),
    (sa.Time, _T.TIME),
    (sa.LargeBinary, _T.BYTES),
    (sa.JSON, _T.JSON),
    (sa.Uuid, _T.UUID),
)


def _column(found: Any) -> TargetColumn:
    kind = found["type"]
    name = next((name for known, name in _KINDS if isinstance(kind, known)), _T.TEXT)
    if name is _T.TIMESTAMP and getattr(kind, "timezone", False):
        name = _T.TIMESTAMPTZ
    precision, scale = getattr(kind, "precision", None), getattr(kind, "scale", None)
    exact = name is _T.DECIMAL and precision is not None and scale is not None and 0 <= scale <= precision
    given = found.get("default") is not None or found.get("autoincrement") is True or "identity" in found
    return TargetColumn(
        name=found["name"],
        type=ColumnType(name, precision, scale) if exact else ColumnType(name),
        nullable=found["nullable"],
        optional=given or found["nullable"],
        bits=next((bits for known, bits in _BITS if isinstance(kind, known)), None),
        longest=getattr(kind, "length", None) if name in (_T.TEXT, _T.BYTES) else None,
        native=str(kind).lower(),
    )
