"""Turns the values of Python drivers into the Arrow columns that ports.Rows promises.

A column's type is settled before its first batch, from what the database says; a value that does not fit it is an error with
row and column, never a reason to write the column in another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, ColumnType, TypeName

BATCH_BYTES = 8 * 1024 * 1024
"""About how much of a result is held at once."""

CARRIERS = {
    TypeName.INTEGER: pa.int64(),
    TypeName.DECIMAL: pa.string(),
    TypeName.FLOAT: pa.float64(),
    TypeName.BOOLEAN: pa.bool_(),
    TypeName.DATE: pa.date32(),
    TypeName.TIME: pa.time64("us"),
    TypeName.TIMESTAMP: pa.timestamp("us"),
    TypeName.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
    TypeName.TEXT: pa.string(),
    TypeName.UUID: pa.string(),
    TypeName.BYTES: pa.binary(),
    TypeName.INTERVAL: pa.string(),
    TypeName.JSON: pa.string(),
}


def unwritable(column: str, row: int, why: str, *, hint: str | None = None) -> UnwritableValue:
    """The error for one value; `row` is 1-based."""
    return UnwritableValue(f"row {row}, column {column!r}: {why}", hint=hint)


def shown(value: object) -> str:
    """A value as an error shows it: short."""
    text = duration(value) if isinstance(value, timedelta) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- one value -----------------------------------------------------------------------------------


_PLAIN_DIGITS = "-.0123456789"


def digits(value: Decimal | float) -> str:
    """A number's digits with its scale, without an exponent; `nan`, `inf` and `-inf` as for floats."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and (text := repr(value)).strip(_PLAIN_DIGITS) == "":
        return text
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if number.is_finite():
        return format(number, "f")
    return str(float(number))


def _digits_at_once(values: Sequence[object]) -> pa.Array | None:
    """`digits` of each, where all are integers and floats that Arrow writes in the same way."""
    kinds = set(map(type, values)) - {NoneType}
    if not kinds <= {int, float}:
        return None
    try:
        text = pa.array(values, pa.float64() if float in kinds else pa.int64()).cast(pa.string())
    except (OverflowError, pa.ArrowException):
        # An integer that no float, or no int64, is.
        return None
    written = bytes(text.buffers()[2] or b"")
    if b"e" in written or b"n" in written:
        return None
    # A float that is a whole number has its ".0", an integer has none.
    whole = pc.and_(
        pa.array([type(value) is float for value in values], pa.bool_()), pc.invert(pc.match_substring(text, "."))
    )
    return pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text) if pc.any(whole).as_py() else text


def duration(value: timedelta) -> str:
    """An ISO 8601 duration, each part with its own sign as PostgreSQL writes them."""
    sign = "-" if value < timedelta(0) else ""
    span = abs(value)
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{span.microseconds:06}".rstrip("0") if span.microseconds else ""
    days = f"{sign}{span.days}D" if span.days else ""
    clock = f"{sign}{hours}H" * (hours > 0) + f"{sign}{minutes}M" * (minutes > 0)
    if seconds or fraction:
        clock += f"{sign}{seconds}{fraction}S"
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"


_JSON_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+', re.DOTALL)


def compact_json(text: str) -> str:
    """JSON text without the space between its tokens; the tokens are copied."""
    return _JSON_SPACE.sub(r"\1", text)


def _json(value: object) -> str:
    return compact_json(value) if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def clock_time(value: timedelta) -> time:
    """The time of day of MySQL's TIME. Raises ValueError for one below zero or of a day and more."""
    if not timedelta(0) <= value < timedelta(days=1):
        raise ValueError("it is not a time of day")
    return (datetime(2000, 1, 1) + value).time()  # noqa: DTZ001 - any day will do


def _naive(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError(f"{value} has a time zone, values before it had none")
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone, values before it had one")
    return value


# --- one column ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a driver's values become one column.

    `accepts` are the exact Python types that may come beside None; `convert` makes of each what Arrow takes, and raises
    ValueError with the reason; None where the values are taken as they are. `at_once` makes the same array sooner, where it
    can.
    """

    column: Column
    arrow: pa.DataType
    accepts: frozenset[type]
    convert: Callable[..., object] | None = None
    at_once: Callable[[Sequence[object]], pa.Array | None] | None = None
    hint: str | None = None

    def array(self, values: Sequence[object], first_row: int) -> pa.Array:
        """The Arrow array of `values`. Raises UnwritableValue; `first_row` is the 1-based row of the first."""
        if not set(map(type, values)) <= self.accepts | {NoneType}:
            raise self._misfit(values, first_row)
        if self.at_once is not None and (array := self.at_once(values)) is not None:
            return array
        try:
            return pa.array(self._converted(values), self.arrow)
        except (ValueError, OverflowError, pa.ArrowException) as exc:
            raise self._first_failing(values, first_row) from exc

    def _converted(self, values: Sequence[object]) -> Iterable[object]:
        convert = self.convert
        return values if convert is None else [None if value is None else convert(value) for value in values]

    def _misfit(self, values: Sequence[object], first_row: int) -> UnwritableValue:
        index, value = next((i, v) for i, v in enumerate(values) if v is not None and type(v) not in self.accepts)
        why = f"{shown(value)} does not fit the column's type {self.column.type}"
        return unwritable(self.column.name, first_row + index, why, hint=self.hint)

    def _first_failing(self, values: Sequence[object], first_row: int) -> UnwritableValue:
        for index, value in enumerate(values):
            try:
                pa.array(self._converted([value]), self.arrow)
            except (ValueError, OverflowError, pa.ArrowException) as exc:
                return unwritable(self.column.name, first_row + index, f"{shown(value)}: {exc}", hint=self.hint)
        raise AssertionError("every value fits alone, but not together")


_PYTHON_TYPES: dict[type, TypeName] = {
    bool: TypeName.BOOLEAN,
    int: TypeName.INTEGER,
    float: TypeName.FLOAT,
    Decimal: TypeName.DECIMAL,
    str: TypeName.TEXT,
    bytes: TypeName.BYTES,
    bytearray: TypeName.BYTES,
    memoryview: TypeName.BYTES,
    date: TypeName.DATE,
    time: TypeName.TIME,
    timedelta: TypeName.INTERVAL,
    UUID: TypeName.UUID,
    dict: TypeName.JSON,
    list: TypeName.JSON,
    tuple: TypeName.JSON,
}
_CONVERSIONS: dict[TypeName, Callable[..., object]] = {
    TypeName.DECIMAL: digits,
    TypeName.UUID: str,
    TypeName.INTERVAL: duration,
    TypeName.TIMESTAMP: _naive,
    TypeName.TIMESTAMPTZ: _aware,
    TypeName.JSON: _json,
}


def type_of(value: object) -> TypeName:
    """The type that a Python value stands for; text for what is not known."""
    if isinstance(value, datetime):
        return TypeName.TIMESTAMP if value.tzinfo is None else TypeName.TIMESTAMPTZ
    return _PYTHON_TYPES.get(type(value), TypeName.TEXT)


def reader_of(name: str, type_name: TypeName, *, hint: str | None = None) -> Reader:
    """The reader of a column whose driver gives Python's own type for `type_name`."""
    accepts = {python for python, known in _PYTHON_TYPES.items() if known == type_name}
    if type_name in {TypeName.TIMESTAMP, TypeName.TIMESTAMPTZ}:
        accepts = {datetime}
    return Reader(
        column=Column(name, ColumnType(type_name)),
        arrow=CARRIERS[type_name],
        accepts=frozenset(accepts),
        convert=_CONVERSIONS.get(type_name),
        hint=hint,
    )


def digits_reader(name: str, column_type: ColumnType, *, hint: str | None = None) -> Reader:
    """The reader of integers, decimals and floats that are carried as their digits."""
    return Reader(
        column=Column(name, column_type),
        arrow=pa.string(),
        accepts=frozenset({int, float, Decimal}) if column_type.name == TypeName.DECIMAL else frozenset({int}),
        convert=digits,
        at_once=_digits_at_once,
        hint=hint,
    )


# --- many rows -----------------------------------------------------------------------------------

Row = Sequence[object]


def first_values(rows: Sequence[Row], width: int) -> list[object]:
    """The first value of each column that is not NULL, None where there is none."""
    return [next((row[index] for row in rows if row[index] is not None), None) for index in range(width)]


def batch_of(readers: Sequence[Reader], rows: Sequence[Row], first_row: int) -> pa.RecordBatch:
    """The batch of `rows`. Raises UnwritableValue for a value that does not fit its column."""
    columns = zip(*rows, strict=True)
    arrays = [reader.array(values, first_row) for reader, values in zip(readers, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, [reader.column.name for reader in readers])


def stream(
    readers: Sequence[Reader], first: Sequence[Row], fetch: Callable[[int], Sequence[Row]]
) -> Iterator[pa.RecordBatch]:
    """The batches of `first` and of what `fetch(rows)` gives; nothing fetched ends it."""

    def more(rows: int, first_row: int) -> pa.RecordBatch | None:
        found = fetch(rows)
        return batch_of(readers, found, first_row) if found else None

    yield from growing(batch_of(readers, first, 1) if first else None, more)


def growing(
    first: pa.RecordBatch | None, more: Callable[[int, int], pa.RecordBatch | None]
) -> Iterator[pa.RecordBatch]:
    """`first` and what `more(rows, first_row)` gives, each of about BATCH_BYTES; None ends it."""
    row, batch = 1, first
    while batch is not None:
        row += batch.num_rows
        size = next_size(batch.num_rows, batch.nbytes)
        yield batch
        del batch
        batch = more(size, row)


MAX_ROWS = 4_000
FIRST_ROWS = 1_000


def next_size(rows: int, size_bytes: int) -> int:
    """How many rows to fetch next, after `rows` rows took `size_bytes`."""
    fitting = BATCH_BYTES * rows // max(size_bytes, 1)
    return max(1, min(fitting, rows * 4, MAX_ROWS))


def first_rows(fetch: Callable[[int], Sequence[Row]]) -> tuple[list[Row], bool]:
    """The first rows, fewer where they are wide, and whether there are no more."""
    rows: list[Row] = []
    size, wanted = 0, 1
    while len(rows) < FIRST_ROWS and size < BATCH_BYTES:
        found = fetch(min(wanted, FIRST_ROWS - len(rows)))
        if not found:
            return rows, True
        rows += found
        size += sum(len(value) for row in found for value in row if isinstance(value, str | bytes))
        wanted *= 4
    return rows, False


# --- dates ---------------------------------------------------------------------------------------

_FIRST_DAY, _LAST_DAY = (date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days
_DAY_US = 86_400_000_000


def check_dates(array: pa.Array, column: str, first_row: int) -> None:
    """Raise UnwritableValue for the first date or timestamp outside of the years 1 to 9999, infinities included."""
    if pa.types.is_date32(array.type):
        ticks, low, high = array.view(pa.int32()), _FIRST_DAY, _LAST_DAY
    else:
        ticks, low, high = array.view(pa.int64()), _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1
    bounds = pc.min_max(ticks).as_py()
    if bounds["min"] is None or (low <= bounds["min"] and bounds["max"] <= high):
        return
    outside = pc.or_(pc.less(ticks, low), pc.greater(ticks, high))
    raise outside_the_calendar(column, first_row + pc.index(outside, True).as_py())


def outside_the_calendar(column: str, row: int) -> UnwritableValue:
    return unwritable(
        column,
        row,
        "the date is infinite or outside of the years 1 to 9999",
        hint="turn it into NULL or a date of the calendar in the query",
    )
