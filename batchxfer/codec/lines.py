"""One text column, written as it is: the query makes the lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.codec._columns import join
from batchxfer.codec._options import LINE_ENDINGS, common_complaints
from batchxfer.codec._read_lines import Decoder as Decoder
from batchxfer.definitions import Complaint, FormatOptions
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName


class Options(FormatOptions):
    """Keys of `kind = "lines"`: those that all formats have."""

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        columns = table.get("columns")
        if isinstance(columns, list | tuple) and len(columns) > 1:
            yield Complaint(key="columns", problem=f"a format of lines has one column, not {len(columns)}")


class Codec:
    """The texts of one column, each with the line ending."""

    def __init__(self, options: Options, columns: tuple[Column, ...]) -> None:
        if len(columns) != 1:
            names = ", ".join(column.name for column in columns)
            raise UnwritableValue(
                f"a format of lines writes one column, and the query has {len(columns)}: {names}",
                hint="put the line together in the query, or choose one column with [[columns]]",
            )
        (self._column,) = columns
        if self._column.type.name is not TypeName.TEXT:
            raise UnwritableValue(
                f"a format of lines writes a text column, and {self._column.name!r} is {self._column.type}",
                hint='set type = "text" for it in [[columns]]',
            )
        self._options = options

    def header(self) -> str | None:
        return None

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        text = values.as_text(batch.column(0), self._column, self._options, first_row)
        if text.null_count:
            row = first_row + (values.first_true(pc.is_null(text)) or 0)
            why = "a line has no way to say NULL"
            raise values.unwritable(row, self._column.name, "NULL", why, hint="use COALESCE in the query")
        return join(text, LINE_ENDINGS[self._options.line_ending])
