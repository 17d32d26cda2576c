"""What control records count and add up: rows, values, exact sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, DecimalException

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName
from batchxfer.values import unwritable

EXACT = Context(prec=100_000, Emin=-999_999, Emax=999_999)
"""Additions of decimals in it are never rounded."""


class Totals:
    """`rows`, `sum[COLUMN]` and `count[COLUMN]` of the rows so far, for the keys that are asked for.

    A sum has the scale of its column's type, else the largest scale seen; NULL is ignored.
    """

    def __init__(self, keys: Iterable[str], columns: Mapping[str, Column]) -> None:
        self.rows = 0
        self._sums = {key: _zero(key, columns[_column_of(key)]) for key in keys if key.startswith("sum[")}
        self._counts = {key: 0 for key in keys if key.startswith("count[")}
        self._columns = columns

    @property
    def names(self) -> set[str]:
        """The columns that `add` wants."""
        return {_column_of(key) for key in (*self._sums, *self._counts)}

    @property
    def values(self) -> dict[str, object]:
        return {"rows": self.rows, **self._sums, **self._counts}

    def add(self, rows: int, arrays: Mapping[str, pa.Array]) -> None:
        """Count so many more rows, with their columns. Raises UnwritableValue for a decimal that is no number."""
        for key, total in self._sums.items():
            column = self._columns[_column_of(key)]
            self._sums[key] = (
                total + _sum(arrays[column.name], column, self.rows + 1)
                if isinstance(total, int)
                else EXACT.add(total, _sum(arrays[column.name], column, self.rows + 1))
            )
        for key in self._counts:
            array = arrays[_column_of(key)]
            self._counts[key] += len(array) - array.null_count
        self.rows += rows


def _column_of(key: str) -> str:
    return key[key.index("[") + 1 : -1]


def _zero(key: str, column: Column) -> int | Decimal:
    if column.type.name is TypeName.INTEGER:
        return 0
    if column.type.name is TypeName.DECIMAL:
        return Decimal((0, (0,), -(column.type.scale or 0)))
    raise UnwritableValue(
        f"{{{key}}}: column {column.name!r} is {column.type}, and sums are of integers and decimals only",
        hint='give the column a type = "decimal(p,s)" or "integer" in the format',
    )


def _sum(array: pa.Array, column: Column, first_row: int) -> int | Decimal:
    if column.type.name is TypeName.INTEGER:
        return _sum_of_integers(array)
    total = _sum_at_once(array, column)
    return _sum_one_by_one(array, column, first_row) if total is None else total


def _sum_at_once(array: pa.Array, column: Column) -> Decimal | None:
    """The sum of decimals whose type says that they fit in 128 bits; None where one of them does not keep to its type."""
    precision, scale = column.type.precision, column.type.scale
    if precision is None or precision > 28:
        return None
    try:
        total = pc.sum(array.cast(pa.decimal128(38, scale))).as_py()
    except pa.ArrowInvalid:
        return None
    return total if isinstance(total, Decimal) else None


def _sum_one_by_one(array: pa.Array, column: Column, first_row: int) -> Decimal:
    total = Decimal(0)
    for row, digits in enumerate(array.to_pylist(), first_row):
        if digits is not None:
            try:
                total = EXACT.add(total, Decimal(digits))
            except DecimalException:
                raise unwritable(row, column.name, digits, "it cannot be added up") from None
            if not total.is_finite():
                raise unwritable(row, column.name, digits, "it cannot be added up")
    return total


def _sum_of_integers(array: pa.Array) -> int:
    if pa.types.is_integer(array.type):
        # 64 bits would wrap around.
        total = pc.sum(array.cast(pa.decimal128(38, 0))).as_py()
        return int(total or 0)
    return sum(int(digits) for digits in array.to_pylist() if digits is not None)
