"""How each PostgreSQL type is asked for, and what becomes of the columns that come back.

What ADBC reads well stays native. The rest is written by PostgreSQL itself, as text: numerics (the driver converts them
slowly), arrays (it flattens two dimensions), intervals (ISO 8601, by the session's setting), and every other type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.databases._canonical import check_dates, unwritable
from batchxfer.errors import NotSupported
from batchxfer.model import Column, ColumnType, TypeName

Finish = Callable[[pa.Array, str, int], pa.Array]
"""`finish(array, column, first_row)` checks and settles what came; raises UnwritableValue."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One column of the result: its type (`type_name` is PostgreSQL's own, "" for arrays), the SQL that asks for it (`{}` is
    its name), the Arrow type that must come."""

    column: Column
    type_name: str
    expression: str
    arrow: pa.DataType
    finish: Finish | None = None

    def array(self, array: pa.Array, first_row: int) -> pa.Array:
        if array.type != self.arrow:
            raise NotSupported(f"column {self.column.name!r} came as {array.type} instead of {self.arrow}")
        return array if self.finish is None else self.finish(array, self.column.name, first_row)


def _checked_dates(array: pa.Array, column: str, first_row: int) -> pa.Array:
    check_dates(array, column, first_row)
    return array


_DAY_US = 86_400_000_000


def _checked_times(array: pa.Array, column: str, first_row: int) -> pa.Array:
    ticks = array.view(pa.int64())
    if (pc.max(ticks).as_py() or 0) < _DAY_US:
        return array
    row = first_row + pc.index(pc.greater_equal(ticks, _DAY_US), True).as_py()
    raise unwritable(column, row, "24:00:00 is not a time of day that can be written", hint="cast it to text")


def _plain_numerics(array: pa.Array, _column: str, _first_row: int) -> pa.Array:
    """NaN and the infinities spelled as those of floats are."""
    if not _holds(array, b"N") and not _holds(array, b"I"):
        return array
    for word, ours in (("NaN", "nan"), ("Infinity", "inf")):
        array = pc.replace_substring(array, word, ours)
    return array


def _holds(array: pa.Array, byte: bytes) -> bool:
    data = array.buffers()[2]
    return data is not None and data.to_pybytes().find(byte) >= 0


_JSON_SPACE = r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+'


def _compact_json(array: pa.Array, _column: str, _first_row: int) -> pa.Array:
    return pc.replace_substring_regex(array, pattern=_JSON_SPACE, replacement=r"\1")


def _checked_durations(array: pa.Array, column: str, first_row: int) -> pa.Array:
    wrong = pc.index(pc.starts_with(array, "P"), False).as_py()
    if wrong < 0:
        return array
    raise unwritable(column, first_row + wrong, f"{array[wrong].as_py()} is not a duration")


_TEXT = (TypeName.TEXT, "{}::text", pa.string(), None)
_Way = tuple[TypeName, str, pa.DataType, Finish | None]
_WAYS: Mapping[str, _Way] = {
    "int2": (TypeName.INTEGER, "{}", pa.int16(), None),
    "int4": (TypeName.INTEGER, "{}", pa.int32(), None),
    "int8": (TypeName.INTEGER, "{}", pa.int64(), None),
    "oid": (TypeName.INTEGER, "{}::int8", pa.int64(), None),
    "numeric": (TypeName.DECIMAL, "{}::text", pa.string(), _plain_numerics),
    "float4": (TypeName.FLOAT, "{}", pa.float32(), None),
    "float8": (TypeName.FLOAT, "{}", pa.float64(), None),
    "bool": (TypeName.BOOLEAN, "{}", pa.bool_(), None),
    "date": (TypeName.DATE, "{}", pa.date32(), _checked_dates),
    "time": (TypeName.TIME, "{}", pa.time64("us"), _checked_times),
    "timestamp": (TypeName.TIMESTAMP, "{}", pa.timestamp("us"), _checked_dates),
    "timestamptz": (TypeName.TIMESTAMPTZ, "{}", pa.timestamp("us", "UTC"), _checked_dates),
    "text": (TypeName.TEXT, "{}", pa.string(), None),
    "varchar": (TypeName.TEXT, "{}", pa.string(), None),
    "bpchar": (TypeName.TEXT, "{}", pa.string(), None),
    "uuid": (TypeName.UUID, "{}::text", pa.string(), None),
    "bytea": (TypeName.BYTES, "{}", pa.binary(), None),
    "interval": (TypeName.INTERVAL, "{}::text", pa.string(), _checked_durations),
    "json": (TypeName.JSON, "{}::text", pa.string(), _compact_json),
    "jsonb": (TypeName.JSON, "{}::text", pa.string(), _compact_json),
}
_ARRAY = (TypeName.JSON, "to_json({})::text", pa.string(), _compact_json)
_VECTORS = frozenset({"int2vector", "oidvector"})


def asked(schema: pa.Schema) -> list[Asked]:
    """How to ask for each column of a query that ADBC describes by `schema`."""
    return [_asked(field) for field in schema]


def _asked(field: pa.Field) -> Asked:
    type_name = _noted(field, "type")
    if not type_name:
        raise NotSupported(f"the ADBC driver does not say the type of column {field.name!r}", hint="upgrade it to 1.13")
    if pa.types.is_list(field.type) and type_name not in _VECTORS:
        way: _Way = _ARRAY
    else:
        way = _WAYS.get(type_name, _TEXT)
    precision, scale = _precision(field) if way[0] == TypeName.DECIMAL else (None, None)
    return Asked(
        column=Column(field.name, ColumnType(way[0], precision, scale)),
        type_name="" if way is _ARRAY else type_name,
        expression=way[1],
        arrow=way[2],
        finish=way[3],
    )


def _noted(field: pa.Field, key: str) -> str:
    """What ADBC (1.13 and later) notes beside a column; empty where nothing."""
    notes: Mapping[bytes, bytes] = field.metadata or {}
    return notes.get(f"POSTGRESQL:{key}".encode(), b"").decode()


def _precision(field: pa.Field) -> tuple[int | None, int | None]:
    """A numeric's precision and scale from its type modifier; none where it has none, or a scale that is no scale."""
    modifier = int(_noted(field, "typmod") or -1) - 4
    if modifier < 0:
        return None, None
    precision, scale = modifier >> 16 & 0xFFFF, modifier & 0x7FF
    return (precision, scale) if scale <= precision else (None, None)


def wrapped(query: str, columns: Sequence[Asked]) -> str:
    """The query around the user's: its rows in its order, each column as asked for."""
    names = [f"c{number}" for number in range(1, len(columns) + 1)]
    select = ", ".join(f"{ask.expression.format(name)} AS {name}" for ask, name in zip(columns, names, strict=True))
    return f"SELECT {select} FROM (\n{query}\n) q({', '.join(names)})"  # noqa: S608 - one statement, described before
