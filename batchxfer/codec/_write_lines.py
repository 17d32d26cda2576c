"""How a column of texts becomes lines."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.codec._columns import join
from batchxfer.codec._options import LINE_ENDINGS
from batchxfer.codec.lines import Options
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName


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
