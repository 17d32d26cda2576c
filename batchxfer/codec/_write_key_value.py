"""How rows become pairs of name and value."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.codec import _json
from batchxfer.codec._columns import Block, any_of, is_empty, join, join_present
from batchxfer.codec._options import GIVE_A_NAME, LINE_ENDINGS, ambiguous_tails
from batchxfer.codec.key_value import Options, name_fault
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column

CONTROL = r"[\x00-\x1f\x7f]"


class Codec:
    """Rows as pairs of name and value."""

    def __init__(self, options: Options, columns: tuple[Column, ...]) -> None:
        self._options = options
        self._columns = columns
        self._end = LINE_ENDINGS[options.line_ending]
        self._special = options.separator + options.assign + ' "\\'
        self._tails = ambiguous_tails(options.separator)
        self._check_names()

    def header(self) -> str | None:
        return None

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        texts = [self._value(*field, first_row) for field in zip(batch.columns, self._columns, strict=True)]
        names = [column.name + self._options.assign for column in self._columns]
        if self._options.null == "omit":
            return self._without_nulls(names, texts)
        parts: list[pa.Array | str] = []
        before = ""
        for name, text in zip(names, texts, strict=True):
            parts += [before + name, text]
            before = self._options.separator
        return join(*parts, self._end, null="")

    def _without_nulls(self, names: list[str], texts: list[pa.Array]) -> pa.Array:
        pairs = [(name, text, "") for name, text in zip(names, texts, strict=True)]
        return join(join_present(pairs, self._options.separator), self._end)

    def _check_names(self) -> None:
        seen: set[str] = set()
        for column in self._columns:
            fault = name_fault(column.name, self._options.separator, self._options.assign)
            why = "another column has it too" if column.name in seen else fault
            if why:
                raise UnwritableValue(f"column name {column.name!r} cannot stand in a pair: {why}", hint=GIVE_A_NAME)
            seen.add(column.name)

    # --- values ----------------------------------------------------------------------------------

    def _value(self, array: pa.Array, column: Column, first_row: int) -> pa.Array:
        text = values.as_text(array, column, self._options, first_row)
        if self._options.quote == "all":
            return _json.strings(text, Block(text))
        letters = values.alphabet(column, self._options)
        if letters is not None and set(letters).isdisjoint(self._special):
            return text
        if self._options.quote == "none":
            return self._checked(text, column, first_row)
        return self._quoted_where_needed(text)

    def _quoted_where_needed(self, text: pa.Array) -> pa.Array:
        block, options = Block(text), self._options
        specials = dict.fromkeys((options.separator, options.assign, " ", '"', "\\"))
        masks = [pc.match_substring(text, special) for special in specials if block.has(special)]
        masks += [pc.ends_with(text, tail) for tail in self._tails if block.has(tail)]
        if block.has_control or block.has("\x7f"):
            masks.append(pc.match_substring_regex(text, CONTROL))
        mask = any_of([*masks, is_empty(text)])
        return text if mask is None else pc.if_else(mask, _json.strings(text, block), text)

    def _checked(self, text: pa.Array, column: Column, first_row: int) -> pa.Array:
        block, options = Block(text), self._options
        for special in filter(block.has, dict.fromkeys((options.separator, options.assign, "\r", "\n"))):
            self._refuse(pc.match_substring(text, special), text, column, first_row, f"it has {special!r} in it")
        for tail in filter(block.has, self._tails):
            why = f"its end {tail!r} runs into the separator {options.separator!r}"
            self._refuse(pc.ends_with(text, tail), text, column, first_row, why)
        return text

    def _refuse(self, mask: pa.Array, text: pa.Array, column: Column, first_row: int, why: str) -> None:
        index = values.first_true(mask)
        if index is not None:
            why, hint = f'{why}, and quote is "none"', 'set quote = "minimal" in the format'
            raise values.unwritable(first_row + index, column.name, text[index].as_py(), why, hint=hint)
