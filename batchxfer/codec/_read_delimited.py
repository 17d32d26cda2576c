"""Delimited records back into fields: by Arrow's reader where it means the same, else record by record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from batchxfer.codec._delimited_pieces import Piece, Pieces, arrow_options
from batchxfer.codec._delimited_records import Record, Records
from batchxfer.codec._records import BATCH_RECORDS, MOST_SHOWN, Collector, Feed, too_long, unfinished
from batchxfer.definitions import FormatOptions
from batchxfer.errors import ReadPatiently, UnreadableFile
from batchxfer.model import Column
from batchxfer.ports import BadRecord, Fields, Verbatim

BLOCK_BYTES = 1 << 20
_EXTRA = "\0trailing"


class Decoder:
    """One delimited file (ports.Decoder)."""

    patient = False

    def __init__(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> None:
        self._options = cast(Any, options)
        self._agreed = tuple(column.name for column in columns) if columns is not None else ()
        self._names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        feed, records = Feed(chunks), Records(self._options)
        first_line = 1
        if self._options.header:
            header = records.read(feed, first_line)
            if header is None:
                raise UnreadableFile(
                    "the file is empty, and its first line should name the columns",
                    hint="where the partner's files have no header, set header = false",
                )
            if header.fault is not None:
                raise UnreadableFile(f"its first line is {header.text[:80]!r}: {header.fault}")
            names = [field or "" for field in header.fields]
            if self._options.trailing_delimiter and not names[-1]:
                del names[-1]
            _refuse_lone_returns(names)
            _refuse_doubles(names)
            self._names, first_line = tuple(names), first_line + header.lines
        else:
            self._names = self._agreed
        if not _is_plain(self._options) or self.patient:
            yield from self._one_by_one(records, feed, first_line)
            return
        pieces = Pieces(self._options, self._names)
        if not self._options.trailing_delimiter:
            for piece in pieces.of(feed.pieces()):
                lines, _, first_line = _lines(piece.batch, [], 1, first_line)
                yield from _cut(piece.batch, lines, self._verbatim(piece))
            feed = Feed(pieces.rest)
        yield from self._by_arrow(feed, first_line)

    def _verbatim(self, piece: Piece) -> Verbatim | None:
        """The records of a piece as they are, where that may be."""
        if self._options.null or (self._options.quote != "none" and self._options.quote_char != '"'):
            return None
        text, data = piece.text, cast(bytes, piece.text.obj)
        if b"\\" in data or (self._options.quote == "none" and b'"' in data):
            return None
        if b"\r" in data:
            # A piece has them before line feeds only.
            text = memoryview(bytes(text).replace(b"\r\n", b"\n"))
        return Verbatim(text=text, num_rows=piece.batch.num_rows, delimiter=self._options.delimiter)

    # --- record by record ------------------------------------------------------------------------

    def _one_by_one(self, records: Records, feed: Feed, line: int) -> Iterator[Fields | BadRecord]:
        collector, wanted = Collector(self._names), len(self._names)
        while (record := records.read(feed, line)) is not None:
            fields, ended = self._without_last(record)
            if record.fault is not None:
                collector.bad(BadRecord(line=line, column=None, reason=record.fault, text=record.text[:MOST_SHOWN]))
            elif len(fields) != wanted or not ended:
                collector.bad(_unlike(line, wanted, len(fields), record.text, ended=ended), blank=not record.text)
            else:
                collector.add(fields, line)
            line += record.lines
            if collector.full:
                yield from collector.take()
        yield from collector.take(last=True)

    def _without_last(self, record: Record) -> tuple[list[str | None], bool]:
        """The fields without what stands behind a trailing delimiter; and whether there is one, where it must be."""
        fields = record.fields
        if not self._options.trailing_delimiter:
            return fields, True
        nothing = None if self._options.null == "" else ""
        ended = fields[-1] == nothing and (len(fields) > 1 or not record.text)
        return (fields[:-1] if ended else fields), ended

    # --- by Arrow --------------------------------------------------------------------------------

    def _by_arrow(self, feed: Feed, first_line: int) -> Iterator[Fields | BadRecord]:
        options, names = self._options, list(self._names)
        if feed.at_end():
            return
        columns = [*names, _EXTRA] if options.trailing_delimiter else names
        end = options.delimiter * len(columns) + _END
        watched = _Watched(feed.pieces(), several=len(columns) > 1, end=end)
        bad: list[csv.InvalidRow] = []
        ended = False

        def put_aside(row: csv.InvalidRow) -> str:
            nonlocal ended
            ended = ended or row.text == end
            if row.text != end:
                bad.append(row)
            return "skip"

        # Arrow wants names that differ, and these do: doubles are refused.
        source = pa.PythonFile(Feed(watched), mode="r")
        try:
            reader = csv.open_csv(source, *arrow_options(options, columns, BLOCK_BYTES, put_aside))
            yield from self._batches(reader, bad, first_line, watched)
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) or "increase block size" in str(error):
                raise ReadPatiently(str(too_long()), hint=too_long().hint) from None
            raise UnreadableFile(f"it cannot be taken apart: {error}") from None
        if not ended:
            raise unfinished(options.quote_char)

    def _batches(
        self, reader: Any, bad: list[csv.InvalidRow], line: int, watched: _Watched
    ) -> Iterator[Fields | BadRecord]:
        """Arrow's batches and the rows it put aside, with the lines on which they begin.

        Arrow numbers the rows; which line that is follows from the line breaks inside the values before.
        """
        row = 1
        for batch in reader:
            if watched.has_blank_line and _has_nothing(batch):
                raise ReadPatiently("a blank line, or a record of nothing but NULLs")
            rows = batch.num_rows
            here = [each for each in bad if each.number is not None and each.number < row + rows + len(bad)]
            bad_here = _between(here, row, rows)
            for each in bad_here:
                bad.remove(each)
            lines, bad_lines, line = _lines(batch, bad_here, row, line)
            row += rows + len(bad_here)
            for each, at in zip(bad_here, bad_lines, strict=True):
                yield self._ragged(each, at)
            if rows:
                yield from self._fields(batch, lines)
        for each in bad:
            yield self._ragged(each, line)
            line += 1 + each.text.count("\n")

    def _ragged(self, row: csv.InvalidRow, line: int) -> BadRecord:
        found, ended = int(row.actual_columns), True
        if self._options.trailing_delimiter:
            quoted = 2 * self._options.quote_char if self._options.null and self._options.quote != "none" else ""
            endings = {self._options.delimiter, self._options.delimiter + quoted}
            ended = row.text.endswith(tuple(endings))
            found -= ended
        return _unlike(line, len(self._names), found, row.text, ended=ended)

    def _fields(self, batch: pa.RecordBatch, lines: pa.Array) -> Iterator[Fields | BadRecord]:
        if self._options.trailing_delimiter:
            wanted = len(self._names)
            last = batch.column(wanted)
            nothing = last.is_null() if self._options.null == "" else pc.fill_null(pc.equal(last, ""), False)
            batch = batch.select(list(range(wanted)))
            if not pc.all(nothing).as_py():
                for index in [index for index, each in enumerate(nothing.to_pylist()) if not each]:
                    yield _unlike(lines[index].as_py(), wanted, wanted + 1, "", ended=False)
                batch, lines = batch.filter(nothing), lines.filter(nothing)
        yield from _cut(batch, lines)


def _cut(batch: pa.RecordBatch, lines: pa.Array, verbatim: Verbatim | None = None) -> Iterator[Fields]:
    if batch.num_rows <= BATCH_RECORDS:
        yield Fields(batch=batch, lines=lines, verbatim=verbatim)
        return
    for start in range(0, batch.num_rows, BATCH_RECORDS):
        yield Fields(batch=batch.slice(start, BATCH_RECORDS), lines=lines.slice(start, BATCH_RECORDS))


_END = "\0end"
"""The last value of a record that is added at the end of what Arrow reads: a quote that is still open hides it."""
_MARK = "\ufeff".encode()


class _Watched:
    """The same text for Arrow, with a record too long at its end, `end`; `has_blank_line` once one may have come by.

    Of records of several columns blank lines at the end are nothing. Raises ReadPatiently as _no_lone_returns does.
    """

    def __init__(self, pieces: Iterable[bytes], *, several: bool, end: str) -> None:
        self.has_blank_line = False
        self._pieces = pieces
        self._several = several
        self._end = end.encode()

    def __iter__(self) -> Iterator[bytes]:
        held = b"\n"  # as if a line had ended before the first
        begun = False
        for piece in _no_lone_returns(self._pieces):
            data = held + piece
            # Line ends at its end wait: what follows says whether there is a blank line among them.
            kept = len(data.rstrip(b"\r\n"))
            data, held = data[:kept], data[kept:]
            if not kept:
                continue
            if self._several and (b"\n\n" in data or (b"\r" in data and b"\n\r\n" in data)):
                self.has_blank_line = True
            if not begun:
                # Arrow takes a mark off; this one is the text's.
                data = _MARK + data[1:] if data.startswith(_MARK, 1) else data[1:]
            yield data
            begun = True
        if not self._several:
            yield held if begun else held[1:]
            held = b"" if held else b"\n"
        else:
            held = b"\n" if begun else b""
        yield held + self._end


def _has_nothing(batch: pa.RecordBatch) -> bool:
    """Whether a row has nothing in any column."""
    none = pa.repeat(pa.scalar(True), batch.num_rows)
    for column in batch.columns:
        none = pc.and_(none, pc.fill_null(pc.equal(pc.binary_length(column), 0), True))
    return bool(pc.any(none).as_py())


def _no_lone_returns(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same. Raises ReadPatiently for a CR without its LF, which ends a record for Arrow, and here is a part of a value."""
    held = b""
    for piece in pieces:
        data = held + piece if held else piece
        held = b"\r" if data.endswith(b"\r") else b""
        data = data[:-1] if held else data
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            raise ReadPatiently("a carriage return stands by itself")
        yield data
    if held:
        raise ReadPatiently("it ends with a carriage return")


def _between(bad: list[csv.InvalidRow], row: int, rows: int) -> list[csv.InvalidRow]:
    """Those of `bad` that stand before the last of the next so many good rows, or right behind it in the same block."""
    found: list[csv.InvalidRow] = []
    end = row + rows
    for each in sorted(bad, key=lambda each: each.number or 0):
        if (each.number or 0) <= end + len(found):
            found.append(each)
    return found


def _lines(batch: pa.RecordBatch, bad: list[csv.InvalidRow], row: int, line: int) -> tuple[pa.Array, list[int], int]:
    """The lines of a batch's rows and of the bad ones among them, and the line behind both."""
    breaks = _breaks(batch)
    if breaks is None and not bad:
        ones = pa.repeat(pa.scalar(1, pa.int64()), batch.num_rows)
        return pc.add(pc.cumulative_sum(ones), line - 1), [], line + batch.num_rows
    inside = breaks or [0] * batch.num_rows
    aside = {each.number: each for each in bad}
    good, found, bad_found = iter(inside), [], {}
    for number in range(row, row + batch.num_rows + len(bad)):
        if number in aside:
            bad_found[number] = line
            line += 1 + aside[number].text.count("\n")
        else:
            found.append(line)
            line += 1 + next(good)
    return pa.array(found, pa.int64()), [bad_found[each.number] for each in bad if each.number is not None], line


def _breaks(batch: pa.RecordBatch) -> list[int] | None:
    """How many line breaks each row has inside; None where no row has one."""
    total: list[int] | None = None
    for column in batch.columns:
        data = column.buffers()[2]
        if data is None or b"\n" not in memoryview(data).tobytes():
            continue
        counts = pc.fill_null(pc.count_substring(column, "\n"), 0).to_pylist()
        total = counts if total is None else [a + b for a, b in zip(total, counts, strict=True)]
    return total


def _unlike(line: int, wanted: int, found: int, text: str, *, ended: bool) -> BadRecord:
    what = "value" if found == 1 else "values"
    reason = f"it has {found} {what}, not {wanted}"
    if found == wanted and not ended:
        reason = "it does not end with the delimiter"
    return BadRecord(line=line, column=None, reason=reason, text=text[:MOST_SHOWN])


def _refuse_lone_returns(names: list[str]) -> None:
    if any("\r" in name for name in names):
        raise UnreadableFile(
            f"its first line is {','.join(names)[:80]!r}: a carriage return alone ends no line",
            hint="ask the partner for lines that end with LF or CRLF",
        )


def _refuse_doubles(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UnreadableFile(f"its first line names the column {name!r} twice")
        seen.add(name)


def _is_plain(options: Any) -> bool:
    """Whether Arrow's reader takes these records apart as they were put together."""
    single = all(len(text) == 1 and text.isascii() for text in (options.delimiter, options.quote_char))
    return single and options.escape is None and options.delimiter not in ("\r", "\n", options.quote_char)
