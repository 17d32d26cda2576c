"""The one table of how a value is written: a column of any type becomes a column of text.

Everything here depends on the value and the format's options alone, never on the batch, the locale or the machine's zone.
Columns come as ports.Rows says and leave as `large_string`, whose offsets cannot overflow; NULL stays NULL.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import instants
from batchxfer.definitions import FormatOptions
from batchxfer.errors import UnwritableValue
from batchxfer.instants import OutOfRange
from batchxfer.model import Column, TypeName

TEXT = pa.large_string()
SHOWN_CHARACTERS = 60

_DIGITS = "0123456789-"
_ALPHABETS = {
    TypeName.INTEGER: _DIGITS,
    TypeName.DECIMAL: _DIGITS + "+.NaInfity",
    TypeName.FLOAT: _DIGITS + "+.einfa",
    TypeName.UUID: _DIGITS + "abcdef",
}
_ISO_ALPHABETS = {
    TypeName.DATE: ("date_format", _DIGITS),
    TypeName.TIME: ("time_format", _DIGITS + ":."),
    TypeName.TIMESTAMP: ("timestamp_format", _DIGITS + ":.T"),
    TypeName.TIMESTAMPTZ: ("timestamp_format", _DIGITS + ":.T+"),
}


def unwritable(
    row: int, column: str, value: object, why: str, *, kind: object = None, hint: str | None = None
) -> UnwritableValue:
    """The error for one value, which was to be written as a `kind`; `row` is 1-based."""
    what = shown(value) if kind is None else f"{shown(value)} as {kind}"
    return UnwritableValue(f"row {row}, column {column!r}: cannot write {what}: {why}", hint=hint)


def shown(value: object) -> str:
    """A value as an error shows it: texts in quotes, and nothing longer than a line."""
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def first_true(mask: pa.Array) -> int | None:
    """The index of the first true value, or None."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return index if index >= 0 else None


def alphabet(column: Column, options: FormatOptions) -> str | None:
    """The characters that the written values of a column may have, none of them empty; None: any."""
    key, letters = _ISO_ALPHABETS.get(column.type.name, ("", ""))
    if key:
        return letters if getattr(options, key) == "iso" else None
    if column.type.name is TypeName.BOOLEAN:
        words = options.true + options.false
        return words if options.true and options.false and " " not in words else None
    return _ALPHABETS.get(column.type.name)


def is_plain(column: Column, options: FormatOptions) -> bool:
    """Whether the format says nothing of how the values of a column are written, and they have an alphabet."""
    kind = column.type.name
    if kind is TypeName.BOOLEAN:
        return (options.true, options.false) == ("true", "false")
    return kind in _ALPHABETS or (kind is TypeName.DATE and options.date_format == "iso")


def text_bytes(text: pa.Array) -> memoryview:
    """The bytes of all values of a `large_string` array, one after the other, without a copy."""
    _, offsets, data = text.buffers()
    if len(text) == 0 or data is None:
        return memoryview(b"")
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[text.offset] : ends[text.offset + len(text)]]


def as_text(array: pa.Array, column: Column, options: FormatOptions, first_row: int) -> pa.Array:
    """Every value of `array` as the formats of text write it. Raises UnwritableValue."""
    try:
        return WRITERS[column.type.name](array, options)
    except OutOfRange as error:
        raise unwritable(
            first_row + error.index,
            column.name,
            error.value,
            f"a {column.type} must be within {error.limits}",
            hint="leave such values out of the query, or give NULL instead",
        ) from None


def with_decimal_point(text: pa.Array, point: str) -> pa.Array:
    """Written decimals or floats with `point`, one ASCII character, instead of the dot."""
    return text if point == "." else instants.replace_byte(text, b".", point.encode("ascii"))


def _as_it_is(array: pa.Array, options: FormatOptions) -> pa.Array:
    return array.cast(TEXT)


def _float(array: pa.Array, options: FormatOptions) -> pa.Array:
    """Python's repr; for float32 the fewest digits that read back as float32, in the same style."""
    # Arrow's digits are the shortest ones, but it writes 1, 1e-7 and 0.00001 where repr has 1.0, 1e-07 and 1e-05.
    text = array.cast(TEXT)
    size = pc.abs(array.cast(pa.float64()))
    tiny = pc.and_(pc.less(size, 1e-4), pc.greater(size, 0.0))
    restyled = pc.or_(tiny, pc.match_substring(text, "e"))
    whole = pc.and_(pc.is_finite(array), pc.invert(pc.or_(restyled, pc.match_substring(text, "."))))
    if pc.any(whole).as_py():
        text = pc.if_else(whole, pc.binary_join_element_wise(text, pa.scalar(".0", TEXT), pa.scalar("", TEXT)), text)
    if pc.any(restyled).as_py():
        mended = [repr(float(value)) for value in text.filter(restyled).to_pylist()]
        text = pc.replace_with_mask(text, pc.fill_null(restyled, False), pa.array(mended, TEXT))
    return text


def _boolean(array: pa.Array, options: FormatOptions) -> pa.Array:
    return pc.if_else(array, pa.scalar(options.true, TEXT), pa.scalar(options.false, TEXT))


def _date(array: pa.Array, options: FormatOptions) -> pa.Array:
    return instants.write_dates(array, options.date_format)


def _time(array: pa.Array, options: FormatOptions) -> pa.Array:
    return instants.write_times(array, options.time_format)


def _timestamp(array: pa.Array, options: FormatOptions) -> pa.Array:
    return instants.write_timestamps(array, options.timestamp_format)


def _timestamptz(array: pa.Array, options: FormatOptions) -> pa.Array:
    return instants.write_instants(array, options.timestamp_format, options.timezone)


def _bytes(array: pa.Array, options: FormatOptions) -> pa.Array:
    written = [None if value is None else _write_bytes(value, options) for value in array.to_pylist()]
    return pa.array(written, TEXT)


def _write_bytes(value: bytes, options: FormatOptions) -> str:
    return value.hex() if options.bytes == "hex" else base64.b64encode(value).decode("ascii")


WRITERS: Mapping[TypeName, Callable[[pa.Array, FormatOptions], pa.Array]] = {
    TypeName.INTEGER: _as_it_is,
    TypeName.DECIMAL: _as_it_is,
    TypeName.FLOAT: _float,
    TypeName.BOOLEAN: _boolean,
    TypeName.DATE: _date,
    TypeName.TIME: _time,
    TypeName.TIMESTAMP: _timestamp,
    TypeName.TIMESTAMPTZ: _timestamptz,
    TypeName.TEXT: _as_it_is,
    TypeName.UUID: _as_it_is,
    TypeName.BYTES: _bytes,
    TypeName.INTERVAL: _as_it_is,
    TypeName.JSON: _as_it_is,
}
