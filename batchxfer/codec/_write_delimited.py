"""How rows become delimited records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.codec._columns import Block, any_of, is_empty, join
from batchxfer.codec._options import LINE_ENDINGS, ambiguous_tails
from batchxfer.codec.delimited import Options
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName
from batchxfer.ports import Merge
from batchxfer.values import TEXT

MOST_MERGED = 40
"""So many columns in one text: a function of PostgreSQL takes 100 arguments, and each column may take two."""
FORMULA_START = r"^[=+\-@\t\r\n＝＋－＠]"

Blame = Callable[[int, str], UnwritableValue]
"""The error for the value at an index, with the reason."""


class Codec:
    """Rows as delimited records."""

    def __init__(self, options: Options, columns: tuple[Column, ...]) -> None:
        self._options = options
        self._columns: tuple[Column | None, ...] = columns
        """None: columns that were merged."""
        self._end = (options.delimiter if options.trailing_delimiter else "") + LINE_ENDINGS[options.line_ending]
        self._quote = {"minimal": self._quote_minimally, "all": self._quote_all, "none": self._quote_none}[
            options.quote
        ]
        self._tails = ambiguous_tails(options.delimiter)

    def header(self) -> str | None:
        if not self._options.header:
            return None
        names = [column.name for column in self._columns if column is not None]

        def blame(index: int, why: str) -> UnwritableValue:
            return UnwritableValue(f"column name {names[index]!r}: {why}", hint="give the column another name with as")

        written = self._quote(self._make_safe(pa.array(names, TEXT)), blame)
        return self._options.delimiter.join(written.to_pylist()) + (
            self._options.delimiter if self._options.trailing_delimiter else ""
        )

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        texts = [self._write(*field, first_row) for field in zip(batch.columns, self._columns, strict=True)]
        null = self._options.null
        texts[-1] = join(texts[-1], self._end, null=null)
        return join(*texts, separator=self._options.delimiter, null=null)

    @property
    def special(self) -> str | None:
        options = self._options
        special = options.delimiter + options.quote_char + (options.escape or "")
        if options.quote == "all" or options.spreadsheet_safe or len(options.delimiter) > 1 or not special.isascii():
            return None
        return special

    def merged(self, able: Sequence[bool]) -> tuple[Sequence[int | Merge], Codec]:
        merges = [*map(self._merges, able, self._columns)]
        groups = [
            group
            for together, indices in groupby(range(len(merges)), key=merges.__getitem__)
            for group in _in_groups(tuple(indices), MOST_MERGED if together else 1)
        ]
        codec = copy(self)
        codec._columns = tuple(self._columns[group[0]] if len(group) == 1 else None for group in groups)
        options = self._options
        return [
            Merge(fields=group, separator=options.delimiter, null=options.null, special=self.special or "")
            if len(group) > 1
            else group[0]
            for group in groups
        ], codec

    def _merges(self, able: bool, column: Column | None) -> bool:
        options = self._options
        # A word like infinity, which is found only afterwards, must not have the delimiter in it.
        if options.quote == "all" or any(map(str.isalpha, options.delimiter)):
            return False
        if column is None or not able:
            return False
        if column.type.name is TypeName.TEXT:
            return self.special is not None
        if self._may_need_care(column):
            return False
        return column.type.name is not TypeName.DECIMAL or self._options.decimal_point == "."

    def _write(self, array: pa.Array, column: Column | None, first_row: int) -> pa.Array:
        if column is None:
            return array
        text = values.as_text(array, column, self._options, first_row)
        if column.type.name in (TypeName.DECIMAL, TypeName.FLOAT):
            text = values.with_decimal_point(text, self._options.decimal_point)
        if column.type.name is TypeName.TEXT:
            text = self._make_safe(text)
        if self._options.quote != "all" and not self._may_need_care(column):
            return text

        def blame(index: int, why: str) -> UnwritableValue:
            return values.unwritable(first_row + index, column.name, text[index].as_py(), why)

        return self._quote(text, blame)

    def _make_safe(self, text: pa.Array) -> pa.Array:
        if not self._options.spreadsheet_safe:
            return text
        formula = pc.match_substring_regex(text, FORMULA_START)
        return pc.if_else(formula, join("'", text), text)

    def _may_need_care(self, column: Column) -> bool:
        """Whether a value of this type may have something in it that means something here."""
        options, letters = self._options, values.alphabet(column, self._options)
        special = options.delimiter + options.quote_char + (options.escape or "") + options.null
        return letters is None or not set(letters + options.decimal_point).isdisjoint(special)

    # --- quoting ---------------------------------------------------------------------------------

    def _quote_minimally(self, text: pa.Array, blame: Blame) -> pa.Array:
        block, options = Block(text), self._options
        masks = [
            pc.match_substring(text, special) for special in self._specials(options.quote_char) if block.has(special)
        ]
        masks += [pc.ends_with(text, tail) for tail in self._tails if block.has(tail)]
        if block.has(" "):
            masks += [pc.starts_with(text, " "), pc.ends_with(text, " ")]
        if options.null and block.has(options.null):
            masks.append(pc.equal(text, options.null))
        if options.quote_empty:
            masks.append(is_empty(text))
        return self._quote_where(masks, text, block)

    def _specials(self, *more: str) -> tuple[str, ...]:
        return (self._options.delimiter, "\r", "\n", *more)

    def _quote_where(self, masks: list[pa.Array], text: pa.Array, block: Block) -> pa.Array:
        mask = any_of(masks)
        if mask is None:
            return text
        return pc.if_else(mask, self._quoted(text, block), text)

    def _quoted(self, text: pa.Array, block: Block) -> pa.Array:
        quote = self._options.quote_char
        if block.has(quote):
            text = pc.replace_substring(text, quote, quote * 2)
        return join(quote, text, quote)

    def _quote_all(self, text: pa.Array, blame: Blame) -> pa.Array:
        quoted = self._quoted(text, Block(text))
        if self._options.quote_empty:
            return quoted
        return pc.if_else(is_empty(text), text, quoted)

    def _quote_none(self, text: pa.Array, blame: Blame) -> pa.Array:
        options, block = self._options, Block(text)
        if options.escape is not None:
            return self._escaped(text, block, options.escape)
        for special in filter(block.has, self._specials()):
            _refuse(pc.match_substring(text, special), blame, f"it has {_named(special, options.delimiter)} in it")
        for tail in filter(block.has, self._tails):
            _refuse(pc.ends_with(text, tail), blame, f"its end {tail!r} runs into the delimiter {options.delimiter!r}")
        if options.null and block.has(options.null):
            _refuse(pc.equal(text, options.null), blame, "it reads as NULL")
        return text

    def _escaped(self, text: pa.Array, block: Block, escape: str) -> pa.Array:
        equals_null = pc.equal(text, self._options.null)
        for special in (escape, self._options.delimiter[0], "\r", "\n"):
            if block.has(special):
                text = pc.replace_substring(text, special, escape + special)
        if self._options.null and not self._options.null.startswith(escape) and pc.any(equals_null).as_py():
            text = pc.if_else(equals_null, join(escape, text), text)
        return text


def _in_groups(indices: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(indices), size):
        yield tuple(indices[start : start + size])


def _refuse(mask: pa.Array, blame: Blame, why: str) -> None:
    index = values.first_true(mask)
    if index is not None:
        error = blame(index, f'{why}, and quote is "none"')
        error.hint = error.hint or 'set quote = "minimal", or an escape, in the format'
        raise error


def _named(special: str, delimiter: str) -> str:
    return {"\r": "a CR", "\n": "a line feed"}.get(special, f"the delimiter {delimiter!r}")
