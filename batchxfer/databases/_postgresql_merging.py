"""Lets PostgreSQL put neighbouring columns together, so that one text comes instead of many values.

Only types with a small alphabet are merged: numbers, dates, booleans, uuids. A date that no file can carry comes as
`infinity`; that and `NaN` have a letter (y, N) that no other value has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.databases._canonical import outside_the_calendar
from batchxfer.databases._postgresql_columns import Asked
from batchxfer.model import TypeName
from batchxfer.ports import Merge
from batchxfer.values import TEXT, text_bytes

_DATE = "CASE WHEN {0} < '0001-01-01' OR {0} > '9999-12-31' THEN 'infinity' ELSE {0} END"
MERGEABLE = {
    "int2": "{0}",
    "int4": "{0}",
    "int8": "{0}",
    "oid": "{0}",
    "numeric": "{0}",
    "bool": "{0}::text",
    "date": _DATE,
    "uuid": "{0}",
}
"""How the types that can be merged are asked for, so that `concat` writes them as `values.as_text` does."""


class Merging:
    """One query whose result has a column for each of `wanted`; `literal` writes a value into SQL."""

    def __init__(self, columns: Sequence[Asked], wanted: Sequence[int | Merge], literal: Callable[[str], str]) -> None:
        self._columns = columns
        self._wanted = wanted
        self._literal = literal
        self._fields = [field for part in wanted for field in (part.fields if isinstance(part, Merge) else [part])]

    def statement(self, query: str) -> str:
        # A column may be named twice here: OFFSET 0 keeps its expression from being worked out twice.
        names = ", ".join(self._name(index) for index in range(len(self._columns)))
        select = ", ".join(f"{self._expression(part)} AS x{number}" for number, part in enumerate(self._wanted))
        return f"SELECT {select} FROM (SELECT * FROM (\n{query}\n) r OFFSET 0) q({names})"  # noqa: S608 - described before

    def settled(self, batch: pa.RecordBatch, row: int) -> tuple[pa.RecordBatch, bool]:
        """The batch as it is, or with its merges taken apart where a value in one is no number or no date."""
        arrays = batch.columns
        merges = {index: part for index, part in enumerate(self._wanted) if isinstance(part, Merge)}
        for index in merges:
            arrays[index] = arrays[index].cast(TEXT)
        together = not any(_has_words(arrays[index], part) for index, part in merges.items())
        if not together:
            arrays = [
                field
                for index, array in enumerate(arrays)
                for field in (_taken_apart(array, merges[index]) if index in merges else [array])
            ]
        return self._finished(arrays, row, together), together

    def _finished(self, arrays: Sequence[pa.Array], row: int, together: bool) -> pa.RecordBatch:
        parts = self._wanted if together else self._fields
        done = []
        for array, part in zip(arrays, parts, strict=True):
            if isinstance(part, Merge):
                done.append(array)
            elif isinstance(array, list):
                done.append(self._columns[part].array(_typed(array, self._columns[part], row), row))
            else:
                done.append(self._columns[part].array(array, row))
        return pa.RecordBatch.from_arrays(done, [str(number) for number in range(len(done))])

    # --- the SQL ---------------------------------------------------------------------------------

    def _name(self, index: int) -> str:
        return f"c{index + 1}"

    def _expression(self, part: int | Merge) -> str:
        if isinstance(part, int):
            return self._columns[part].expression.format(self._name(part))
        values = [MERGEABLE[self._columns[field].type_name].format(self._name(field)) for field in part.fields]
        separator, null = self._literal(part.separator), self._literal(part.null)
        # concat_ws leaves NULL out, its separator too; concat writes it as nothing.
        without = f"concat_ws({separator}, {', '.join(values)})"
        some = [f"coalesce(({value})::text, {null})" for value in values] if part.null else values
        nulls = ", ".join(map(self._name, part.fields))
        return f"CASE WHEN num_nulls({nulls}) = 0 THEN {without} ELSE concat({f', {separator}, '.join(some)}) END"


# --- words in the place of numbers and dates -----------------------------------------------------


def _has_words(text: pa.Array, part: Merge) -> bool:
    """Whether NaN, an infinity or a date that is none stands in the text."""
    if not set("Ny").isdisjoint(part.separator + part.null):
        return bool(pc.any(pc.match_substring_regex(text, "NaN|nfinity")).as_py())
    data = text_bytes(text).tobytes()
    return b"N" in data or b"y" in data


def _taken_apart(text: pa.Array, part: Merge) -> list[list[str | None]]:
    """The values of each of the columns, NULL as None."""
    rows = (value.split(part.separator) for value in text.to_pylist())
    return [[None if value == part.null else value for value in column] for column in zip(*rows, strict=True)]


def _typed(values: Sequence[str | None], column: Asked, row: int) -> pa.Array:
    """The values as the column would have come by itself."""
    kind = column.column.type.name
    if kind is TypeName.DATE:
        return pa.array(
            [value and _date(value, column.column.name, row + i) for i, value in enumerate(values)], pa.date32()
        )
    if kind is TypeName.INTEGER:
        return pa.array([None if value is None else int(value) for value in values], column.arrow)
    if kind is TypeName.BOOLEAN:
        return pa.array([None if value is None else value == "true" for value in values], pa.bool_())
    return pa.array(values, column.arrow)


def _date(text: str, column: str, row: int) -> date:
    if text == "infinity":
        raise outside_the_calendar(column, row)
    return date.fromisoformat(text)
