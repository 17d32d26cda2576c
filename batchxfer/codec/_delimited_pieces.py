"""Delimited text in pieces of whole records, each taken apart at once, as long as every byte of it is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import pyarrow as pa
from pyarrow import csv

_MARK = "\ufeff".encode()


@dataclass(frozen=True)
class Piece:
    """Some records as they are in the file, and their fields. No value has a quote in it, and no record is blank (but of one
    column); so every reader of CSV takes them apart in the same way."""

    text: memoryview
    batch: pa.RecordBatch


def arrow_options(
    options: Any,
    names: Sequence[str],
    block_bytes: int,
    put_aside: Callable[[csv.InvalidRow], str] | None = None,
) -> tuple[csv.ReadOptions, csv.ParseOptions, csv.ConvertOptions]:
    """How Arrow's reader takes records of this format apart, into texts; `put_aside` says what becomes of a ragged one."""
    quoting = options.quote != "none"
    return (
        csv.ReadOptions(column_names=names, block_size=block_bytes, use_threads=False),
        csv.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote_char if quoting else False,
            double_quote=quoting,
            escape_char=False,
            newlines_in_values=quoting,
            ignore_empty_lines=False,
            invalid_row_handler=put_aside,
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[options.null],
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    )


class Pieces:
    """The pieces of a text up to the first that could be meant in two ways; from there on it is `rest`."""

    def __init__(self, options: Any, names: Sequence[str]) -> None:
        self._options = options
        self._names = list(names)
        self._quote = options.quote_char.encode() if options.quote != "none" else None
        self.rest: Iterable[bytes] = ()

    def of(self, text: Iterator[bytes]) -> Iterator[Piece]:
        held = b""
        for data in text:
            data = held + data if held else data
            end, quotes = _whole_records(data, self._quote)
            piece = self._taken_apart(memoryview(data)[:end], quotes) if end else None
            if piece is None:
                self.rest = chain([data], text)
                return
            yield piece
            held = data[end:]
        self.rest = [held] if held else []

    def _taken_apart(self, text: memoryview, quotes: int) -> Piece | None:
        if bytes(text[:3]) == _MARK:
            return None  # Arrow would take it off
        try:
            table = csv.read_csv(pa.BufferReader(text), *arrow_options(self._options, self._names, len(text) + 1))
        except pa.ArrowInvalid:
            return None
        (batch,) = table.combine_chunks().to_batches()
        return Piece(text, batch) if self._is_accounted_for(text, quotes, batch) else None

    def _is_accounted_for(self, text: memoryview, quotes: int, batch: pa.RecordBatch) -> bool:
        """Whether the values, and what must stand around them, are as long as the text.

        A quote inside a value, doubled or by itself, counts once too often here, a carriage return that ends no line too,
        and so does what would have to stand in a blank line: nothing counts too little.
        """
        ends = batch.num_rows * batch.num_columns
        returns = cast(bytes, text.obj).count(b"\r", 0, len(text))
        values = sum(_bytes(column) + column.null_count * len(self._options.null.encode()) for column in batch.columns)
        return bool(values + ends + quotes + returns == len(text))


def _bytes(column: pa.Array) -> int:
    _, offsets, data = column.buffers()
    if len(column) == 0 or data is None:
        return 0
    ends = memoryview(offsets).cast("i")
    return int(ends[column.offset + len(column)] - ends[column.offset])


def _whole_records(data: bytes, quote: bytes | None) -> tuple[int, int]:
    """How many bytes of `data` are whole records, of which it begins with one, and how many quotes are among them."""
    end = data.rfind(b"\n") + 1
    if quote is None:
        return end, 0
    quotes = data.count(quote, 0, end)
    while quotes % 2:  # the line ends inside a value
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(quote, before, end)
        end = before
    return end, quotes
