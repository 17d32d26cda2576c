"""Lets PostgreSQL put neighbouring columns together, so that one text comes instead of many values.

Only types with a small alphabet are merged: numbers, dates, booleans, uuids. A date that no file can carry comes as
`infinity`, a word that nothing else in such a text has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.databases._canonical import outside_the_calendar
from batchxfer.databases._postgresql_columns import Asked
from batchxfer.ports import Merge
from batchxfer.values import TEXT, text_bytes

_DATE = "CASE WHEN {0} < '0001-01-01' OR {0} > '9999-12-31' THEN '{1}' ELSE {0} END"
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

    def statement(self, query: str) -> str:
        # A column may be named twice here: OFFSET 0 keeps its expression from being worked out twice.
        names = ", ".join(self._name(index) for index in range(len(self._columns)))
        select = ", ".join(f"{self._expression(part)} AS x{number}" for number, part in enumerate(self._wanted))
        return f"SELECT {select} FROM (SELECT * FROM (\n{query}\n) r OFFSET 0) q({names})"  # noqa: S608 - described before

    def settled(self, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
        """The batch as ports.MergingRows says. Raises UnwritableValue; `row` is the number of its first row."""
        arrays = [
            self._checked(array.cast(TEXT), part, row)
            if isinstance(part, Merge)
            else self._columns[part].array(array, row)
            for array, part in zip(batch.columns, self._wanted, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, [str(number) for number in range(len(arrays))])

    def _checked(self, text: pa.Array, part: Merge, row: int) -> pa.Array:
        types = {self._columns[field].type_name for field in part.fields}
        data = text_bytes(text).tobytes()
        if "date" in types and _outside(part).encode() in data:
            self._refuse_date(text, part, row)
        if "numeric" in types and (b"N" in data or b"I" in data):
            # No other value, and not NULL, has a letter of these words where numerics are merged.
            for word, ours in (("NaN", "nan"), ("Infinity", "inf")):
                text = pc.replace_substring(text, word, ours)
        return text

    def _refuse_date(self, text: pa.Array, part: Merge, row: int) -> None:
        for number, value in enumerate(text.to_pylist(), row):
            for field, word in zip(part.fields, value.split(part.separator), strict=True):
                if word == _outside(part) and self._columns[field].type_name == "date":
                    raise outside_the_calendar(self._columns[field].column.name, number)

    # --- the SQL ---------------------------------------------------------------------------------

    def _name(self, index: int) -> str:
        return f"c{index + 1}"

    def _expression(self, part: int | Merge) -> str:
        if isinstance(part, int):
            return self._columns[part].expression.format(self._name(part))
        values = [
            MERGEABLE[self._columns[field].type_name].format(self._name(field), _outside(part)) for field in part.fields
        ]
        separator, null = self._literal(part.separator), self._literal(part.null)
        # concat_ws leaves NULL out, its separator too; concat writes it as nothing.
        without = f"concat_ws({separator}, {', '.join(values)})"
        some = [f"coalesce(({value})::text, {null})" for value in values] if part.null else values
        # Faster than num_nulls: none of these calls a function.
        whole = " AND ".join(f"{self._name(field)} IS NOT NULL" for field in part.fields)
        return f"CASE WHEN {whole} THEN {without} ELSE concat({f', {separator}, '.join(some)}) END"


def _outside(part: Merge) -> str:
    """What a date that no file can carry comes as."""
    return "-infinity" if part.null == "infinity" else "infinity"
