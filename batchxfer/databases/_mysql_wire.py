"""Reads the rows of a running query off PyMySQL's socket as columns, with no Python object for a value.

PyMySQL makes a packet object of each row and calls three functions for each value. Here a loop only finds where each row
begins; then Arrow finds the first value of all rows, the second, and so on, for a value begins where the one before it ends.
Arrow also makes of a column's texts what the reader wants. Where that does not work (a date that is none, a type that Arrow
cannot read), the column takes PyMySQL's own way, with the reader's errors.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pymysql import err  # type: ignore[import-untyped]
from pymysql.constants import CR  # type: ignore[import-untyped]

from batchxfer.databases._canonical import BATCH_BYTES, Reader
from batchxfer.model import TypeName

_READ = 1 << 20
_HEADER = 4
_LONGEST = 0xFFFFFF
"""A packet of this length goes on in the next one."""

_NULL, _TWO, _THREE, _EIGHT = 0xFB, 0xFC, 0xFD, 0xFE
"""The first byte of a value that has not its length there: NULL, or a length in that many bytes."""
_EOF, _ERROR = 0xFE, 0xFF
_MORE_RESULTS = 8

_FIRST_DAY = (date(1, 1, 1) - date(1970, 1, 1)).days
_DAY_US = 86_400_000_000


class Wire:
    """What the server still sends of one result. Nobody else may read from the connection before its end."""

    def __init__(self, driver: Any, result: Any) -> None:
        self.warnings: int = result.warning_count
        self._finished = not result.unbuffered_active
        self._driver = driver
        self._result = result
        self._width = len(result.fields)
        self._data = bytearray()

    def fetch(self, rows: int) -> list[pa.BinaryArray] | None:
        """The columns of the next rows, at most so many, as the server wrote them; None after the last. Raises the driver's
        errors."""
        if self._finished:
            return None
        starts, end = self._whole_rows(rows)
        if starts:
            taken = bytes(memoryview(self._data)[:end])
            del self._data[:end]
            return columns_of(taken, starts, self._width)
        payload = self._payload()
        if payload[0] == _ERROR:
            self._finish()
            err.raise_mysql_exception(payload)
        if payload[0] == _EOF and len(payload) < 9:
            self._end(payload)
            return None
        return _columns_of_one(payload, self._width)

    def _whole_rows(self, rows: int) -> tuple[array[int], int]:
        """Where the next rows begin, up to a packet that is not one plain row, and where the last of them ends."""
        starts, at = array("i"), 0
        data = self._data
        while len(starts) < rows and at < BATCH_BYTES:
            while at + _HEADER >= len(data):
                data += self._read(_READ)
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            # A value of 16 MiB begins like the end, and NULL is the last before it.
            if size == _LONGEST or data[at + _HEADER] >= _EOF:
                break
            after = at + _HEADER + size
            while after > len(data):
                data += self._read(max(_READ, after - len(data)))
            starts.append(at + _HEADER)
            at = after
        return starts, at

    def _payload(self) -> bytes:
        """The next packet, whatever its size."""
        parts, size, data = [], _LONGEST, self._data
        while size == _LONGEST:
            while len(data) < _HEADER:
                data += self._read(_READ)
            size = int.from_bytes(data[:3], "little")
            while len(data) < _HEADER + size:
                data += self._read(max(_READ, _HEADER + size - len(data)))
            parts.append(bytes(memoryview(data)[_HEADER : _HEADER + size]))
            del data[: _HEADER + size]
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        try:
            found: bytes = self._driver._rfile.read1(size)
        except (OSError, ValueError, AttributeError) as exc:
            raise err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection during query ({exc})") from exc
        if not found:
            raise err.OperationalError(CR.CR_SERVER_LOST, "Lost connection during query")
        return found

    def _end(self, payload: bytes) -> None:
        self._finish()
        self.warnings = int.from_bytes(payload[1:3], "little")
        if self._data or int.from_bytes(payload[3:5], "little") & _MORE_RESULTS:
            raise _malformed()

    def _finish(self) -> None:
        """Tell PyMySQL too that nothing of the result is left to be read."""
        self._finished = True
        self._result.unbuffered_active = False
        self._result.connection = None


def _malformed() -> Exception:
    error: Exception = err.InternalError(CR.CR_MALFORMED_PACKET, "the server sent what is no row of the result")
    return error


# --- rows into columns ---------------------------------------------------------------------------


def columns_of(data: bytes, starts: array[int], width: int) -> list[pa.BinaryArray]:
    """The columns of the rows that begin at `starts`, each right after the header of its packet."""
    buffer = pa.py_buffer(data)
    octets = pa.Array.from_buffers(pa.uint8(), len(data), [None, buffer])
    at = pa.Array.from_buffers(pa.int32(), len(starts), [None, pa.py_buffer(starts)])
    ends = pc.subtract(pa.concat_arrays([at[1:], pa.array([len(data) + _HEADER], pa.int32())]), _number(_HEADER))
    columns = []
    for _ in range(width):
        if not pc.all(pc.less(at, ends)).as_py():
            raise _malformed()
        begin, sizes, nulls = _values_at(octets, at)
        at = pc.add(begin, sizes)
        if not pc.all(pc.less_equal(at, ends)).as_py():
            raise _malformed()
        columns.append(_gathered(buffer, begin, at, nulls))
    if not at.equals(ends):
        raise _malformed()
    return columns


def _values_at(octets: pa.Array, at: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array | None]:
    """Where the values begin, their sizes, and which are NULL (None: none is)."""
    first = octets.take(at)
    greatest = pc.max(first).as_py()
    sizes, begin = first.cast(pa.int32()), pc.add(at, _number(1))
    if greatest < _NULL:
        return begin, sizes, None
    nulls = pc.equal(first, pa.scalar(_NULL, pa.uint8()))
    sizes = pc.if_else(nulls, _number(0), sizes)
    if greatest > _NULL:
        for mark, count in ((_TWO, 2), (_THREE, 3)):
            marked = pc.equal(first, pa.scalar(mark, pa.uint8()))
            sizes = pc.if_else(marked, _little_endian(octets, begin, count), sizes)
            begin = pc.if_else(marked, pc.add(begin, _number(count)), begin)
    if greatest >= _EIGHT:
        raise _malformed()
    return begin, sizes, nulls


def _little_endian(octets: pa.Array, at: pa.Array, count: int) -> pa.Array:
    last, value = _number(len(octets) - 1), _number(0)
    for place in range(count):
        octet = octets.take(pc.min_element_wise(pc.add(at, _number(place)), last)).cast(pa.int32())
        value = pc.add(value, pc.multiply(octet, _number(256**place)))
    return value


def _gathered(buffer: pa.Buffer, begin: pa.Array, end: pa.Array, nulls: pa.Array | None) -> pa.BinaryArray:
    """The bytes from each begin to each end: every other one of what the offsets begin, end, begin, end … cut out."""
    rows = len(begin)
    offsets = pa.concat_arrays([begin, end]).take(_zip_order(rows))
    pieces = pa.Array.from_buffers(pa.binary(), 2 * rows - 1, [None, offsets.buffers()[1], buffer])
    wanted = _every_other(rows)
    return pieces.take(wanted if nulls is None else pc.if_else(nulls, pa.scalar(None, pa.int32()), wanted))


@lru_cache(4)
def _zip_order(rows: int) -> pa.Array:
    return pa.array([index for row in range(rows) for index in (row, row + rows)], pa.int32())


@lru_cache(4)
def _every_other(rows: int) -> pa.Array:
    return pa.array(range(0, 2 * rows, 2), pa.int32())


@lru_cache(16)
def _number(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.int32())


def _columns_of_one(payload: bytes, width: int) -> list[pa.BinaryArray]:
    """The columns of one row of any size."""
    columns, place = [], 0
    for _ in range(width):
        length = payload[place]
        place += 1
        if length > _NULL:
            count = {_TWO: 2, _THREE: 3, _EIGHT: 8}[length]
            length = int.from_bytes(payload[place : place + count], "little")
            place += count
            value: bytes | None = payload[place : place + length]
            place += length
        elif length == _NULL:
            value = None
        else:
            value = payload[place : place + length]
            place += length
        columns.append(pa.array([value], pa.binary()))
    if place != len(payload):
        raise _malformed()
    return columns


# --- columns into types --------------------------------------------------------------------------


@dataclass(frozen=True)
class Incoming:
    """How what the server wrote becomes a column: in Arrow, or through PyMySQL's encoding and converter."""

    reader: Reader
    encoding: str | None
    convert: Callable[[Any], object] | None
    zero_filled: bool

    def array(self, values: pa.BinaryArray, first_row: int) -> pa.Array:
        """The column's array. Raises UnwritableValue; `first_row` is the 1-based row of the first value."""
        try:
            made = self._in_arrow(values)
        except pa.ArrowException:
            made = None
        return self.reader.array(self._objects(values.to_pylist()), first_row) if made is None else made

    def _in_arrow(self, values: pa.BinaryArray) -> pa.Array | None:
        """The array; None where Arrow does not read such a column as Python does."""
        reader, kind = self.reader, self.reader.column.type.name
        if kind == TypeName.BYTES:
            return values
        texts = values.cast(pa.string())
        if kind == TypeName.TEXT and reader.accepts == {str}:
            return texts
        if kind == TypeName.DECIMAL and not self.zero_filled:
            return texts
        if kind == TypeName.FLOAT:
            return texts.cast(pa.float64()).cast(reader.arrow)
        if kind == TypeName.INTEGER:
            return texts.cast(reader.arrow)
        if kind in {TypeName.DATE, TypeName.TIMESTAMP} or (kind == TypeName.TIMESTAMPTZ and reader.convert is None):
            return _dates(texts, reader.arrow)
        return None

    def _objects(self, values: list[Any]) -> list[object]:
        """The values as PyMySQL gives them."""
        found = values
        if self.encoding is not None:
            found = [None if value is None else value.decode(self.encoding) for value in values]
        return found if self.convert is None else [None if value is None else self.convert(value) for value in found]


def _dates(texts: pa.StringArray, arrow: pa.DataType) -> pa.Array | None:
    """The dates or timestamps; None where one is before year 1, as MySQL's zero dates are, or where a date alone would be
    taken for its midnight."""
    is_day = pa.types.is_date32(arrow)
    shortest = pc.min(pc.binary_length(texts)).as_py()
    if shortest is not None and shortest < (10 if is_day else 19):
        return None
    made = texts.cast(arrow if is_day else pa.timestamp("us"))
    first = pc.min(made.view(pa.int32() if is_day else pa.int64())).as_py()
    if first is not None and first < (_FIRST_DAY if is_day else _FIRST_DAY * _DAY_US):
        return None
    return made.cast(arrow)
