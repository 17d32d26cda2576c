"""From a query's batches to a file's bytes: what all formats share, once.

Choice, order, names and types of columns; header and trailer records with their counts and sums; the charset. How a record
looks is the codec's. The order in the file: header record, column header, rows, trailer record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from batchxfer import templates, values
from batchxfer.charset import Charset, Stream, Unencodable, is_utf8
from batchxfer.conversions import Converter, converter
from batchxfer.definitions import FormatColumn, FormatOptions
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column
from batchxfer.paths import RECORD_FIELDS
from batchxfer.ports import Apart, Codec, Merge, MergingCodec, MergingRows, Rows, TextMergingRows
from batchxfer.suggestions import did_you_mean
from batchxfer.totals import Totals
from batchxfer.values import TEXT

SLICE_BYTES = 32 << 20
"""Batches are encoded in pieces of about so many bytes, so that a large one does not multiply in memory."""

LINE_ENDINGS: Mapping[str, str] = {"lf": "\n", "crlf": "\r\n", "none": ""}
TOTALS = ("rows", "sum[]", "count[]")


# --- columns -------------------------------------------------------------------------------------


def takes_any_number(options: FormatOptions) -> bool:
    """Whether the file is the same, be a column of integers called that, or one of decimals."""
    records = (options.header_record, options.trailer_record)
    totals = any(record is not None and "[" in record for record in records)
    typed = any(column.type is not None for column in options.columns)
    return not (options.tells_integers_from_decimals or totals or typed)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One column of the file: where it stands in the source, what it is in the file, and how it gets there."""

    index: int
    name: str
    column: Column
    convert: Converter | None = None

    def read(self, array: pa.Array, first_row: int) -> pa.Array:
        return array if self.convert is None else self.convert(array, first_row)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What batches look like that `codec` is to encode: which column of the file each of their `places` is, None for several
    that are one text."""

    chosen: tuple[Chosen | None, ...]
    places: Sequence[int]
    codec: Codec

    def read(self, batch: pa.RecordBatch, first_row: int) -> list[pa.Array]:
        columns = map(batch.column, self.places)
        return [
            array if chosen is None else chosen.read(array, first_row)
            for array, chosen in zip(columns, self.chosen, strict=True)
        ]


def choose(options: FormatOptions, columns: Sequence[Column], naive_zone: ZoneInfo | None) -> tuple[Chosen, ...]:
    """The columns of the file, in their order. Raises UnwritableValue for a name that the query does not have once."""
    if not options.columns:
        return tuple(_as_it_comes(index, column) for index, column in enumerate(columns))
    return tuple(_choose_one(wanted, options, columns, naive_zone) for wanted in options.columns)


def _as_it_comes(index: int, column: Column) -> Chosen:
    return Chosen(index=index, name=column.name, column=column)


def _choose_one(
    wanted: FormatColumn, options: FormatOptions, columns: Sequence[Column], naive_zone: ZoneInfo | None
) -> Chosen:
    index = _find(wanted.name, columns, "the format's [[columns]] name")
    source = columns[index]
    target = Column(wanted.as_ or wanted.name, wanted.type or source.type)
    convert = converter(source, target.type, options, naive_zone=naive_zone)
    return Chosen(index=index, name=wanted.name, column=target, convert=convert)


def _find(name: str, columns: Sequence[Column], where: str) -> int:
    found = [index for index, column in enumerate(columns) if column.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnwritableValue(
            f"{where} {name!r}, and the query has {len(found)} columns of that name", hint="use AS there"
        )
    known = [column.name for column in columns]
    raise UnwritableValue(
        f"{where} {name!r}, which the query does not have", hint=did_you_mean(name, known, what="columns")
    )


# --- control records -----------------------------------------------------------------------------


class ControlRecord:
    """A header or trailer record: a template over the run's facts and the file's totals."""

    def __init__(self, name: str, text: str, facts: Mapping[str, object], end: str) -> None:
        self.name = name
        self._facts = facts
        self._end = end
        known = {key: kind for key, kind in RECORD_FIELDS.items() if key in facts or key in TOTALS}
        self._template = templates.parse(text, known)

    @property
    def total_keys(self) -> set[str]:
        """The totals that it needs: `rows`, `sum[amount]`, `count[amount]`."""
        return {field.key for field in self._template.fields if field.argument is not None or field.name == "rows"}

    def render(self, totals: Mapping[str, object]) -> str:
        return self._template.render({**self._facts, **totals}) + self._end


# --- the file ------------------------------------------------------------------------------------


class Encoder:
    """The bytes of one file: `begin()`, `encode(batch)` for each batch, `end()`, in this order.

    `codec` is called with the options and the file's columns. `facts` are the values of the names that header and trailer
    records may use. `naive_zone` is the zone of timestamps without one, for `type = "timestamptz"`.

    Where `needs_totals_first`, the header record counts or adds up the rows: `begin()` leaves it out, and `header_bytes()`,
    after `end()`, gives what must stand before everything else.

    Raises UnwritableValue: for columns at once, for values from `encode`.
    """

    def __init__(
        self,
        options: FormatOptions,
        codec: Callable[[Any, tuple[Column, ...]], Codec],
        columns: tuple[Column, ...],
        facts: Mapping[str, object],
        *,
        naive_zone: ZoneInfo | None = None,
    ) -> None:
        self._chosen = choose(options, columns, naive_zone)
        self.columns = tuple(chosen.column for chosen in self._chosen)
        self._options = options
        self._codec = codec(options, self.columns)
        places = [chosen.index for chosen in self._chosen]
        self._whole = Shape(chosen=self._chosen, places=places, codec=self._codec)
        self._end = LINE_ENDINGS[options.line_ending]
        self._header = self._control_record("header record", options.header_record, facts)
        self._trailer = self._control_record("trailer record", options.trailer_record, facts)
        self._counted, self._totals = self._prepare_totals(columns)
        self.needs_totals_first = self._header is not None and bool(self._header.total_keys)
        self._utf8 = is_utf8(options.encoding)
        self._charset = Charset(options.encoding, replace=options.unencodable == "replace")
        self._stream = Stream(self._charset)

    @property
    def rows(self) -> int:
        return self._totals.rows

    def begin(self) -> bytes:
        """What stands before the rows."""
        if self.needs_totals_first:
            # What the header leaves behind: the byte-order mark is written.
            self._stream.encode(self._end or " ")
            record = b""
        else:
            record = self._control_bytes(self._header, self._stream)
        header = self._codec.header()
        return (
            record if header is None else record + self._text_bytes("column header", header + self._end, self._stream)
        )

    def encode_all(self, rows: Rows) -> Iterator[bytes | memoryview]:
        """The records of all rows, piece by piece; with columns that the database has put together, where it can."""
        if not isinstance(rows, MergingRows) or not isinstance(self._codec, MergingCodec) or not self._takes_merged:
            for batch in rows:
                yield self.encode(batch)
            return
        special = self._codec.special
        texts = rows.mergeable_texts(special) if special is not None and isinstance(rows, TextMergingRows) else ()
        able = [self._is_mergeable(chosen, rows.mergeable, texts) for chosen in self._chosen]
        parts, codec = self._codec.merged(able)
        chosen = tuple(None if isinstance(part, Merge) else self._chosen[part] for part in parts)
        merged = Shape(chosen=chosen, places=range(len(parts)), codec=codec)
        for batch in rows.merged([self._in_source(part) for part in parts]):
            whole, shape = (batch.batch, self._whole) if isinstance(batch, Apart) else (batch, merged)
            for piece in _slices(whole):
                yield self._encode_slice(piece, shape)

    def encode(self, batch: pa.RecordBatch) -> bytes | memoryview:
        """The records of a batch."""
        pieces = [self._encode_slice(piece, self._whole) for piece in _slices(batch)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> bytes:
        """What stands after the rows."""
        return self._control_bytes(self._trailer, self._stream) + self._stream.end()

    def header_bytes(self) -> bytes:
        """The header record with the totals of all rows, to be put before what `begin` gave."""
        stream = Stream(self._charset)
        return self._control_bytes(self._header, stream) + stream.end()

    # --- inside ----------------------------------------------------------------------------------

    def _control_record(self, name: str, text: str | None, facts: Mapping[str, object]) -> ControlRecord | None:
        return None if text is None else ControlRecord(name, text, facts, self._end)

    def _prepare_totals(self, columns: Sequence[Column]) -> tuple[dict[str, Chosen], Totals]:
        records = [record for record in (self._header, self._trailer) if record is not None]
        keys = sorted({key for record in records for key in record.total_keys} - {"rows"})
        by_name = {chosen.name: chosen for chosen in reversed(self._chosen)}
        counted = {}
        for name in {key[key.index("[") + 1 : -1] for key in keys}:
            if name not in by_name:
                index = _find(name, columns, "the header or trailer record counts column")
                by_name[name] = _as_it_comes(index, columns[index])
            counted[name] = by_name[name]
        return counted, Totals(keys, {name: Column(name, chosen.column.type) for name, chosen in counted.items()})

    @property
    def _takes_merged(self) -> bool:
        """Whether the file's columns are all that is needed of the rows, and need not be told apart once written."""
        return self._utf8 and all(chosen in self._chosen for chosen in self._counted.values())

    def _is_mergeable(self, chosen: Chosen, mergeable: Collection[int], texts: Collection[int]) -> bool:
        if chosen.convert is not None or chosen in self._counted.values():
            return False
        is_plain = chosen.index in mergeable and values.is_plain(chosen.column, self._options)
        return is_plain or chosen.index in texts

    def _in_source(self, part: int | Merge) -> int | Merge:
        if isinstance(part, Merge):
            return replace(part, fields=tuple(self._chosen[field].index for field in part.fields))
        return self._chosen[part].index

    def _encode_slice(self, batch: pa.RecordBatch, shape: Shape) -> bytes | memoryview:
        first_row = self.rows + 1
        arrays = shape.read(batch, first_row)
        known = dict(zip(shape.chosen, arrays, strict=True))
        counted = {
            name: known[chosen] if chosen in known else batch.column(chosen.index)
            for name, chosen in self._counted.items()
        }
        names = ["" if chosen is None else chosen.column.name for chosen in shape.chosen]
        converted = pa.RecordBatch.from_arrays(arrays, names=names)
        records = shape.codec.encode(converted, first_row).cast(TEXT)
        self._totals.add(batch.num_rows, counted)
        if self._utf8:
            return values.text_bytes(records)
        try:
            return self._stream.encode_utf8(values.text_bytes(records))
        except Unencodable as error:
            raise self._blame(error, records, converted, first_row) from None

    def _control_bytes(self, record: ControlRecord | None, stream: Stream) -> bytes:
        return b"" if record is None else self._text_bytes(record.name, record.render(self._totals.values), stream)

    def _text_bytes(self, what: str, text: str, stream: Stream) -> bytes:
        if self._utf8:
            return text.encode()
        try:
            return stream.encode(text)
        except Unencodable as error:
            raise UnwritableValue(f"{what} {values.shown(text)}: {self._lacks(error)}") from None

    def _blame(self, error: Unencodable, records: pa.Array, batch: pa.RecordBatch, first_row: int) -> UnwritableValue:
        """The error for the first row, and its first column, that the charset cannot write."""
        texts = records.to_pylist()
        index = next((i for i, text in enumerate(texts) if not error.characters.isdisjoint(text)), 0)
        row, hint = first_row + index, 'set unencodable = "replace", or an encoding that has it, in the format'
        for array, column in zip(batch.columns, self.columns, strict=True):
            value = values.as_text(array.slice(index, 1), column, self._options, row)[0].as_py()
            if value is not None and not error.characters.isdisjoint(value):
                lacking = Unencodable(error.characters & set(value))
                return values.unwritable(row, column.name, value, self._lacks(lacking), hint=hint)
        return UnwritableValue(f"row {row}: cannot write {values.shown(texts[index])}: {self._lacks(error)}", hint=hint)

    def _lacks(self, error: Unencodable) -> str:
        what = f"has no {error}" if error.characters else "would read it back as another text"
        return f"the encoding {self._options.encoding} {what}"


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows = max(1, batch.num_rows * SLICE_BYTES // max(SLICE_BYTES, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
