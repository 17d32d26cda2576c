"""Fields of fixed width, back out of their padding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast

from batchxfer.codec._records import MOST_SHOWN, Collector, Feed, Text, lines_of
from batchxfer.codec.fixed_width import NUMBERS
from batchxfer.definitions import FormatColumn, FormatOptions
from batchxfer.model import Column, TypeName
from batchxfer.ports import BadRecord, Fields
from batchxfer.templates import without_offset

_PATTERNS = {
    TypeName.DATE: "date_format",
    TypeName.TIME: "time_format",
    TypeName.TIMESTAMP: "timestamp_format",
    TypeName.TIMESTAMPTZ: "timestamp_format",
}
_SAMPLE = datetime(2026, 11, 23, 13, 45, 56)  # noqa: DTZ001 - each code of a pattern has the same length for every time


class Decoder:
    """One file of fixed fields (ports.Decoder). A field of nothing but padding is NULL."""

    patient = False

    def __init__(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> None:
        self._options = cast(Any, options)
        self._columns = columns or ()
        self._by_bytes = self._options.width_unit == "bytes"
        self._encoding = _without_mark(options.encoding)
        self._widths = [layout.width or 0 for layout in options.columns]
        self._lengths = {column.name: _length(column, options) for column in self._columns}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._columns)

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        collector = Collector(self.names)
        for number, line in self._lines(Feed(chunks)):
            try:
                collector.add(self._read(line), number)
            except ValueError as error:
                bad = BadRecord(line=number, column=None, reason=str(error), text=line[:MOST_SHOWN])
                collector.bad(bad, blank=not line)
            if collector.full:
                yield from collector.take()
        yield from collector.take(last=True)

    def _lines(self, feed: Feed) -> Iterator[tuple[int, str]]:
        if self._options.line_ending != "none":
            return lines_of(feed)
        return self._side_by_side(feed)

    def _side_by_side(self, feed: Feed) -> Iterator[tuple[int, str]]:
        """Records that no line ending parts: their width does. Where there is one after all, it is none of their fields'."""
        text, number = feed.text, 1
        while True:
            text.at = _after_line_end(text)
            record = self._next(text.value, text.at)
            if record is None:
                if not text.ended:
                    text.more()
                    continue
                record = text.value[text.at :]
                if not record.strip("\r\n"):
                    return
            text.at += len(record)
            yield number, record
            number += 1

    def _next(self, value: str, at: int) -> str | None:
        wanted = sum(self._widths)
        if not self._by_bytes:
            return value[at : at + wanted] if len(value) - at >= wanted else None
        size = 0
        for end in range(at, len(value)):
            size += len(value[end].encode(self._encoding))
            if size >= wanted:
                return value[at : end + 1]
        return None

    def _read(self, line: str) -> list[str | None]:
        fields: list[str | None] = []
        rest: str | bytes = line.encode(self._encoding) if self._by_bytes else line
        if len(rest) != sum(self._widths):
            unit = "bytes" if self._by_bytes else "characters"
            raise ValueError(f"it has {len(rest)} {unit}, not {sum(self._widths)}")
        for layout, column, width in zip(self._options.columns, self._columns, self._widths, strict=True):
            piece, rest = rest[:width], rest[width:]
            fields.append(_value(self._decoded(piece), layout, column, self._lengths[column.name]))
        return fields

    def _decoded(self, piece: str | bytes) -> str:
        if isinstance(piece, str):
            return piece
        try:
            return piece.decode(self._encoding)
        except UnicodeDecodeError:
            raise ValueError("a field ends in the middle of a character") from None


_LINE_ENDS = re.compile(r"(?:\r?\n)*")


def _after_line_end(text: Text) -> int:
    """Where the next record begins: no field has a line break in it."""
    while True:
        found = _LINE_ENDS.match(text.value, text.at)
        at = text.at if found is None else found.end()
        # What comes may go on with it.
        if text.ended or len(text.value) - at >= len("\r\n"):
            return at
        text.more()


def _length(column: Column, options: FormatOptions) -> int | None:
    """How many characters each value of a column has, where that is known."""
    if column.type.name is TypeName.UUID:
        return len("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    pattern = getattr(options, _PATTERNS.get(column.type.name, ""), "iso")
    if pattern == "iso":
        return len("2026-11-23") if column.type.name is TypeName.DATE else None
    if column.type.name is TypeName.TIMESTAMPTZ and "%z" in pattern:
        return None  # an offset may have seconds
    return len(_SAMPLE.strftime(without_offset(pattern)))


def _value(text: str, layout: FormatColumn, column: Column, length: int | None) -> str | None:
    is_number = column.type.name in NUMBERS
    if length is not None:
        # The padding may be a digit, as where NULL is 00000000.
        return _of_length(text, layout, length)
    if layout.align == "left":
        kept = text.rstrip(layout.pad)
    elif is_number and layout.pad == "0":
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        kept = digits.lstrip("0")
        kept = sign + (f"0{kept}" if not kept or not kept[0].isdigit() else kept)
    else:
        kept = text.lstrip(layout.pad)
    if is_number and layout.align == "left" and layout.pad == "0" and not kept:
        kept = "0"
    return kept or None


def _of_length(text: str, layout: FormatColumn, length: int) -> str | None:
    if not text.strip(layout.pad):
        return None
    rest = text[length:] if layout.align == "left" else text[: max(len(text) - length, 0)]
    if rest.strip(layout.pad):
        return text.strip(layout.pad)  # it is not written so; what is read of it says why
    return text[:length] if layout.align == "left" else text[len(rest) :]


def _without_mark(encoding: str) -> str:
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(encoding.lower(), encoding)
