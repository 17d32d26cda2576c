"""How rows become JSON objects."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.codec import _json
from batchxfer.codec._columns import Block, join, join_present
from batchxfer.codec._options import LINE_ENDINGS
from batchxfer.codec.json_lines import Options
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName

NOT_A_NUMBER = r"[^0-9.\-]"


class Codec:
    """Rows as JSON objects."""

    def __init__(self, options: Options, columns: tuple[Column, ...]) -> None:
        twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
        if twice:
            raise UnwritableValue(
                f"{len(columns)} columns, and the name {twice[0]!r} twice: a JSON object has each key once",
                hint="give one of them another name with as",
            )
        self._options = options
        self._columns = columns
        self._keys = [_json.string(column.name, ascii_only=options.ascii) + ":" for column in columns]
        self._end = LINE_ENDINGS[options.line_ending]
        self._literals = options.true == "true" and options.false == "false"

    def header(self) -> str | None:
        return None

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        fields = [self._value(*field, first_row) for field in zip(batch.columns, self._columns, strict=True)]
        if self._options.null == "omit":
            return self._without_nulls(fields)
        parts: list[pa.Array | str] = []
        before = "{"
        for key, (text, quote) in zip(self._keys, fields, strict=True):
            parts += [before + key + quote, text]
            before = quote + ","
        return join(*parts, before[:-1] + "}" + self._end, null="null")

    def _without_nulls(self, fields: list[tuple[pa.Array, str]]) -> pa.Array:
        members = [(key + quote, text, quote) for key, (text, quote) in zip(self._keys, fields, strict=True)]
        return join("{", join_present(members, ","), "}" + self._end)

    # --- values ----------------------------------------------------------------------------------

    def _value(self, array: pa.Array, column: Column, first_row: int) -> tuple[pa.Array, str]:
        """The written values, and the quote that still has to stand around each."""
        text = values.as_text(array, column, self._options, first_row)
        kind = column.type.name
        if kind is TypeName.INTEGER or (kind is TypeName.BOOLEAN and self._literals):
            return text, ""
        if kind is TypeName.FLOAT or (kind is TypeName.DECIMAL and self._options.decimals == "number"):
            return self._number(array, text, column, first_row), ""
        block = Block(text)
        if kind is TypeName.JSON:
            return self._document(text, block, column, first_row), ""
        if text.null_count == 0 and not _json.needs_escapes(block, ascii_only=self._options.ascii):
            return text, '"'
        return _json.strings(text, block, ascii_only=self._options.ascii), ""

    def _number(self, array: pa.Array, text: pa.Array, column: Column, first_row: int) -> pa.Array:
        if column.type.name is TypeName.FLOAT:
            wrong = values.first_true(pc.invert(pc.is_finite(array)))
        else:
            # Every way to write NaN and infinity has an n in it, and digits have none.
            letters = Block(text).has_any("nN")
            wrong = values.first_true(pc.match_substring_regex(text, NOT_A_NUMBER)) if letters else None
        if wrong is not None:
            why = "JSON has no such number"
            hint = "leave it out of the query, or give NULL instead"
            raise values.unwritable(first_row + wrong, column.name, text[wrong].as_py(), why, hint=hint)
        return text

    def _document(self, text: pa.Array, block: Block, column: Column, first_row: int) -> pa.Array:
        if block.has_control:
            wrong = values.first_true(pc.match_substring_regex(text, r"[\x00-\x1f]"))
            if wrong is not None:
                why = "it is not compact JSON on one line"
                raise values.unwritable(first_row + wrong, column.name, text[wrong].as_py(), why)
        return _json.ascii_documents(text, block) if self._options.ascii else text
