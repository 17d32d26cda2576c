"""From a fetched file's bytes to typed batches: what all formats share, once. The counterpart of layout.

Compression, charset, header and trailer records with their counts and sums, choice and types of columns. How a record looks is
the codec's.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.charset import is_utf8
from batchxfer.compression import MOST_BYTES, MOST_RATIO, decompressed, hint_from
from batchxfer.controls import control, refuse_side_by_side, without_controls
from batchxfer.definitions import FormatColumn, FormatOptions
from batchxfer.errors import UnreadableFile, UnwritableValue
from batchxfer.model import Column, ColumnType, TargetColumn, TypeName
from batchxfer.ports import BadRecord, Decoder, Fields, Takes, Verbatim
from batchxfer.reading import read_column
from batchxfer.suggestions import did_you_mean
from batchxfer.totals import Totals

FORMULA = r"^'([=+\-@\t\r\n＝＋－＠])"
MOST_SHOWN = 1000


class Reading:
    """The records of one file, as typed batches; iterated once. `chunks` are iterated anew where something in them is no text.

    `decoder` is called with the options and the file's columns by agreement. `table` are the columns of the table that it is
    for. `facts` are what control records may name; `naive_zone` is the zone of the database's timestamps without one;
    `patient` is what ReadPatiently asks for. `takes` is a VerbatimLoading's, where records may come as they are.

    `columns` are known once iteration gave its first item, as ports.Rows says; `line_of` says where in the file a record of the
    last batch stands, from 0. The end is reached only after the trailer record agreed. Raises UnreadableFile.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        options: FormatOptions,
        decoder: Callable[[Any, tuple[Column, ...] | None], Decoder],
        table: Sequence[TargetColumn],
        *,
        compress: str = "none",
        facts: Mapping[str, object] | None = None,
        naive_zone: ZoneInfo | None = None,
        max_bytes: int = MOST_BYTES,
        max_ratio: int = MOST_RATIO,
        patient: bool = False,
        takes: Takes | None = None,
    ) -> None:
        self._options = options
        self._table = tuple(table)
        self._naive_zone = naive_zone
        self._header = control("header record", options.header_record, facts or {})
        self._trailer = control("trailer record", options.trailer_record, facts or {})
        refuse_side_by_side(options.line_ending, self._header, self._trailer)
        agreed = _agreed(options, self._table)
        self._decoder = decoder(options, agreed)
        self._decoder.patient = patient
        unpack = partial(decompressed, compress, chunks, max_bytes=max_bytes, max_ratio=max_ratio)
        self._text = without_controls(_utf8(unpack, options.encoding), self._header, self._trailer)
        self._takes = takes
        self._as_is = False
        self._filled: tuple[_Filled, ...] | None = None
        self._left_out: dict[int, str] = {}
        self._totals: Totals | None = None
        self.records = 0
        self._lines: pa.Array | None = None
        self._offset = 0 if self._header is None else 1

    def line_of(self, index: int) -> int | None:
        return None if self._lines is None else self._lines[index].as_py() + self._offset

    @property
    def columns(self) -> tuple[TargetColumn, ...]:
        return tuple(filled.target for filled in self._filled or ())

    def __iter__(self) -> Iterator[pa.RecordBatch | Verbatim | BadRecord]:
        offset = self._offset
        for item in self._decoder.decode(self._text):
            if isinstance(item, BadRecord):
                self.records += 1
                yield BadRecord(line=item.line + offset, column=item.column, reason=item.reason, text=item.text)
                continue
            if self._filled is None:
                self._begin(item)
                if self._as_is:
                    # Which delimiter it will be must be known before the first batch.
                    yield Verbatim(text=memoryview(b""), num_rows=0, delimiter=getattr(self._options, "delimiter", ""))
            self.records += item.batch.num_rows
            yield from self._typed(item)
        if self._filled is None:
            self._begin(None)
        self._check_controls()

    # --- columns ---------------------------------------------------------------------------------

    def _begin(self, first: Fields | None) -> None:
        self._filled = _match(self._decoder.names, self._options, self._table)
        if first is not None and not self._options.columns:
            left_out = [each for each in self._filled if _is_left_out(first.batch.column(each.index), each.target)]
            self._left_out = {each.index: each.name for each in left_out}
            self._filled = tuple(each for each in self._filled if each not in left_out)
        self._as_is = self._may_stay_as_is()
        keys = sorted({key for record in (self._header, self._trailer) if record for key in record.keys} - {"rows"})
        by_name = {filled.name: filled for filled in self._filled}
        columns = {}
        for key in keys:
            name = key[key.index("[") + 1 : -1]
            if name not in by_name:
                raise UnreadableFile(
                    f"the header or trailer record counts column {name!r}, which the file does not have",
                    hint=did_you_mean(name, list(by_name), what="columns"),
                )
            columns[name] = Column(name, by_name[name].written)
        try:
            self._totals = Totals(keys, columns)
        except UnwritableValue as error:
            raise UnreadableFile(error.message, hint=error.hint) from None

    def _typed(self, fields: Fields) -> Iterator[pa.RecordBatch | Verbatim | BadRecord]:
        self._check_left_out(fields)
        filled = self._filled or ()
        arrays: list[pa.Array] = []
        plain = True
        wrong: dict[int, tuple[str, str]] = {}
        for each in filled:
            text = self._plain_text(fields.batch.column(each.index), each)
            read = read_column(text, each.written, each.target, self._options, self._naive_zone)
            arrays.append(read.array)
            plain = plain and read.plain
            for index, why in read.wrong.items():
                value = text[index].as_py()
                shown = "" if value is None else f"{value[:60]!r}: "
                wrong.setdefault(index, (each.target.name, f"{shown}{why}"))
        self._add_totals(fields, arrays)
        self._lines = fields.lines
        if self._as_is and plain and not wrong and fields.verbatim is not None:
            yield fields.verbatim
            return
        batch = pa.RecordBatch.from_arrays(arrays, names=[each.target.name for each in filled])
        if wrong:
            for index, (column, why) in sorted(wrong.items()):
                line = fields.lines[index].as_py() + self._offset
                record = _shown(fields.batch.slice(index, 1).to_pylist()[0], self._options)
                yield BadRecord(line=line, column=column, reason=why, text=record[:MOST_SHOWN])
            keep = pa.array([index not in wrong for index in range(batch.num_rows)])
            batch, self._lines = batch.filter(keep), fields.lines.filter(keep)
        if batch.num_rows:
            yield batch

    def _check_left_out(self, fields: Fields) -> None:
        for index, name in self._left_out.items():
            column = fields.batch.column(index)
            if column.null_count < len(column):
                row = pc.index(column.is_valid(), pa.scalar(True)).as_py()
                line = fields.lines[row].as_py() + self._offset
                raise UnreadableFile(
                    f"line {line}, column {name!r}: no record before it has a value, and the table's default would stand there",
                    hint="have it in every record or in none, or let the table's column be NULL",
                )

    def _may_stay_as_is(self) -> bool:
        """Whether records may go on as they are: all their fields, in their order, for columns that take plain values so."""
        filled = self._filled or ()
        return (
            self._takes is not None
            and hasattr(self._options, "delimiter")
            and [each.index for each in filled] == list(range(len(self._decoder.names)))
            and not getattr(self._options, "spreadsheet_safe", False)
            and self._takes(self._options.delimiter, self.columns)
        )

    def _plain_text(self, text: pa.Array, filled: _Filled) -> pa.Array:
        """Without the apostrophe that keeps a spreadsheet from taking a text for a formula."""
        if filled.written.name is TypeName.TEXT and getattr(self._options, "spreadsheet_safe", False):
            return pc.replace_substring_regex(text, FORMULA, r"\1")
        return text

    # --- control records -------------------------------------------------------------------------

    def _add_totals(self, fields: Fields, arrays: Sequence[pa.Array]) -> None:
        if self._totals is None or not self._totals.names:
            return
        named = {each.name: (each, array) for each, array in zip(self._filled or (), arrays, strict=True)}
        counted = {}
        for name in self._totals.names:
            each, array = named[name]
            if each.written.name is not each.target.type.name:
                point = getattr(self._options, "decimal_point", ".")
                array = pc.replace_substring(fields.batch.column(each.index), point, ".")
            counted[name] = array
        try:
            self._totals.add(fields.batch.num_rows, counted)
        except (UnwritableValue, ValueError):
            self._totals.add(0, {name: array.slice(0, 0) for name, array in counted.items()})

    def _check_controls(self) -> None:
        for record in (self._header, self._trailer):
            if record is not None and record.keys:
                known = dict(self._totals.values) if self._totals is not None else {}
                record.check({**known, "rows": self.records}, self._unsure())

    def _unsure(self) -> set[str]:
        """The columns in which an empty text reads as NULL."""
        filled = () if self._options.tells_empty_from_null else self._filled or ()
        return {each.name for each in filled if each.written.name in (TypeName.TEXT, TypeName.BYTES)}


@dataclass(frozen=True)
class _Filled:
    """A column of the file that fills one of the table: `index` among the decoder's, `name` as control records call it."""

    index: int
    name: str
    written: ColumnType
    target: TargetColumn


def _agreed(options: FormatOptions, table: Sequence[TargetColumn]) -> tuple[Column, ...]:
    """What the file has by agreement: the format's columns, else the table's."""
    if not options.columns:
        return tuple(Column(column.name, column.type) for column in table)
    by_name = {column.name: column for column in table}
    return tuple(
        Column(column.as_ or column.name, column.type or _target(column, by_name).type) for column in options.columns
    )


def _target(column: FormatColumn, by_name: Mapping[str, TargetColumn]) -> TargetColumn:
    found = by_name.get(column.name)
    if found is None:
        raise UnreadableFile(
            f"the format's [[columns]] name {column.name!r}, which the table does not have",
            hint=did_you_mean(column.name, list(by_name), what="the table's columns are"),
        )
    return found


def _match(names: Sequence[str], options: FormatOptions, table: Sequence[TargetColumn]) -> tuple[_Filled, ...]:
    places = {name: index for index, name in enumerate(names)}
    if options.columns:
        filled = _chosen(places, options, {column.name: column for column in table})
    else:
        filled = _all(places, table)
    given = {each.target.name for each in filled}
    lacking = [column.name for column in table if not column.optional and column.name not in given]
    if lacking:
        raise UnreadableFile(
            f"the file has no column {', '.join(map(repr, lacking))}, which the table cannot do without",
            hint="its columns are " + ", ".join(names) if names else None,
        )
    return filled


def _chosen(
    places: Mapping[str, int], options: FormatOptions, by_name: Mapping[str, TargetColumn]
) -> tuple[_Filled, ...]:
    filled = []
    for column in options.columns:
        target = _target(column, by_name)
        name = column.as_ or column.name
        if name not in places:
            raise UnreadableFile(
                f"the file has no column {name!r}", hint=did_you_mean(name, list(places), what="its columns are")
            )
        filled.append(_Filled(places[name], column.name, column.type or target.type, target))
    return tuple(filled)


def _all(places: Mapping[str, int], table: Sequence[TargetColumn]) -> tuple[_Filled, ...]:
    by_name = {column.name: column for column in table}
    folded: dict[str, list[TargetColumn]] = {}
    for column in table:
        folded.setdefault(column.name.casefold(), []).append(column)
    filled: list[_Filled] = []
    names = list(places)
    for name, index in places.items():
        near = folded.get(name.casefold(), [])
        target = by_name.get(name) or (near[0] if len(near) == 1 else None)
        if target is None:
            more = "[[columns]] in the format chooses columns"
            if not any(each.casefold() in folded for each in names):
                more += "; or is the first line a record? Then write header = false, and the delimiter that it has"
            raise UnreadableFile(
                f"the file has a column {name!r}, which the table does not have",
                hint=did_you_mean(name, list(by_name), what="the table's columns are") + f"; {more}",
            )
        if twice := [names[each.index] for each in filled if each.target is target]:
            raise UnreadableFile(
                f"the file has two columns for the table's {target.name!r}: {twice[0]!r} and {name!r}",
                hint="[[columns]] in the format chooses columns",
            )
        filled.append(_Filled(index, target.name, target.type, target))
    return tuple(filled)


def _is_left_out(column: pa.Array, target: TargetColumn) -> bool:
    """Whether nothing of an optional column that cannot be NULL is there: the table's default stands then."""
    return target.optional and not target.nullable and column.null_count == len(column)


def _shown(record: Mapping[str, str | None], options: Any) -> str:
    """A record as a file of the format may have it, or its pairs of name and value."""
    delimiter, null = getattr(options, "delimiter", None), getattr(options, "null", "")
    if delimiter is None:
        return ", ".join(f"{name}={value}" for name, value in record.items() if value is not None)
    quote = options.quote_char

    def written(value: str | None) -> str:
        if value is None or options.quote == "none":
            return null if value is None else value
        plain = value not in ("", null) and not any(each in value for each in (delimiter, quote, "\r", "\n"))
        return value if plain else f"{quote}{value.replace(quote, 2 * quote)}{quote}"

    return str(delimiter.join(map(written, record.values())))


# --- charset -------------------------------------------------------------------------------------


def _utf8(unpack: Callable[[], Iterable[bytes]], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8, without a byte-order mark. Raises UnreadableFile where it is not in its encoding."""
    decoder = _decoder(encoding)
    # What writes a mark takes it off by itself, and a second one is the text's.
    size, begun = 0, bool("".encode(encoding))
    for chunk in _pieces(unpack()):
        try:
            text = decoder.decode(chunk or b"", final=chunk is None)
        except UnicodeError as error:
            line = 1 + _breaks(unpack(), encoding, size)
            raise _not_text(error, encoding, size + len(chunk or b""), line) from None
        size += len(chunk or b"")
        if text and not begun:
            begun, text = True, text.removeprefix("\ufeff")
        if text:
            try:
                data = text.encode()
            except UnicodeEncodeError:  # UTF-7 can have it
                raise UnreadableFile(
                    f"it is not {encoding} text: half a surrogate pair stands in it",
                    hint="ask the partner to send it again",
                ) from None
            yield data


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8" if is_utf8(encoding) else encoding)()


def _breaks(chunks: Iterable[bytes], encoding: str, size: int) -> int:
    """How many lines end in the first `size` bytes: to count as they go by would be for an error that almost never comes."""
    decoder, count = _decoder(encoding), 0
    for chunk in chunks:
        count += decoder.decode(chunk[:size]).count("\n")
        size -= min(len(chunk), size)
        if not size:
            break
    return count


def _not_text(error: UnicodeError, encoding: str, size: int, line: int) -> UnreadableFile:
    """What is wrong with the last of `size` bytes, of which the text before them ended on `line`."""
    hint = "set the encoding that the partner uses in the format"
    if not isinstance(error, UnicodeDecodeError):
        if "BOM" in str(error):
            hint = f'without a mark nothing tells the order of its bytes: write encoding = "{encoding}-le" or "{encoding}-be"'
        return UnreadableFile(f"it is not {encoding} text: {error}", hint=hint)
    before, wrong = error.object[: error.start], error.object[error.start : error.end]
    if size == len(error.object):
        hint = hint_from(error.object) or hint
        if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            hint = 'it begins as UTF-16 does: write encoding = "utf-16" in the format'
    line += before.decode(encoding, "ignore").count("\n")
    at = size - len(error.object) + error.start + 1
    return UnreadableFile(
        f"it is not {encoding} text: {error.reason}, 0x{wrong.hex().upper()} at byte {at:,}, in line {line:,}",
        hint=hint,
    )


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """The chunks, and None for the end."""
    yield from chunks
    yield None
