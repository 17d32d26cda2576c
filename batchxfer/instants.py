"""Dates, times and timestamps as text: ISO 8601 or strftime codes with English names, in any zone, column at a time.

Neither the C library's strftime (locale) nor Arrow's zones (they need the operating system's tables) are used. A timestamp
is shown as `datetime.isoformat` shows it: six digits of fraction where it is not zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.templates import format_time

TEXT = pa.large_string()
SECOND = 1_000_000
DAY = 86_400 * SECOND

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date.min.toordinal() - EPOCH.toordinal()
_LAST_DAY = date.max.toordinal() - EPOCH.toordinal()
_YEARS = "the years 0001 to 9999"


class OutOfRange(Exception):
    """A value that is no date or time of the calendar: its index in the column, what it is, and the limits."""

    def __init__(self, index: int, value: str, limits: str) -> None:
        super().__init__(f"{value} at {index} is outside {limits}")
        self.index = index
        self.value = value
        self.limits = limits


def replace_byte(text: pa.Array, old: bytes, new: bytes) -> pa.Array:
    """`large_string` values with one ASCII character in place of another."""
    return _translate(text, old, new)


def swap_bytes(text: pa.Array, one: bytes, other: bytes) -> pa.Array:
    """`large_string` values with two ASCII characters in each other's place."""
    return _translate(text, one + other, other + one)


def _translate(text: pa.Array, old: bytes, new: bytes) -> pa.Array:
    if len(text) == 0 or text.buffers()[2] is None:
        return text
    validity, offsets, data = text.buffers()
    replaced = pa.py_buffer(data.to_pybytes().translate(bytes.maketrans(old, new)))
    return pa.Array.from_buffers(TEXT, len(text), [validity, offsets, replaced], offset=text.offset)


# --- columns to text -----------------------------------------------------------------------------


def write_dates(array: pa.Array, pattern: str) -> pa.Array:
    """date32 as text. Raises OutOfRange."""
    days = array.view(pa.int32()).cast(pa.int64())
    _check(days, _FIRST_DAY, _LAST_DAY, "days from 1970-01-01", _YEARS)
    if pattern == "iso":
        return array.cast(TEXT)
    return _format(pc.multiply(days, DAY), None, pattern)


def write_times(array: pa.Array, pattern: str) -> pa.Array:
    """time64[us] as text. Raises OutOfRange."""
    micros = array.view(pa.int64())
    _check(micros, 0, DAY - 1, "microseconds from midnight", "00:00:00 to 23:59:59.999999")
    if pattern == "iso":
        text = array.cast(TEXT)
        return _drop_zero_fraction(text, micros, 8)
    return _format(micros, None, pattern)


def write_timestamps(array: pa.Array, pattern: str) -> pa.Array:
    """timestamp[us] without zone as text. Raises OutOfRange."""
    return _write_local(array.view(pa.int64()), None, pattern)


def write_instants(array: pa.Array, pattern: str, zone: ZoneInfo) -> pa.Array:
    """timestamp[us, UTC] as text, as the clocks of `zone` show it. Raises OutOfRange."""
    micros = array.view(pa.int64())
    _check_timestamps(micros)
    if len(micros) == 0:
        return pa.array([], TEXT)
    offsets = zone_offsets(micros, zone)
    return _write_local(pc.add(micros, pc.multiply(offsets, SECOND)), offsets, pattern)


def _write_local(micros: pa.Array, offsets: pa.Array | None, pattern: str) -> pa.Array:
    """Local microseconds from 1970, with their offsets in seconds from UTC."""
    _check_timestamps(micros)
    if pattern != "iso":
        return _format(micros, offsets, pattern)
    text = _drop_zero_fraction(_iso(micros), micros, 19)
    return text if offsets is None else _join(text, _offset_text(offsets, ":"))


def _check(numbers: pa.Array, low: int, high: int, unit: str, limits: str) -> None:
    seen = pc.min_max(numbers).as_py()
    if seen["min"] is None or (seen["min"] >= low and seen["max"] <= high):
        return
    bad = pc.or_(pc.less(numbers, low), pc.greater(numbers, high))
    index = pc.index(bad, pa.scalar(True)).as_py()
    raise OutOfRange(index, f"{numbers[index].as_py()} {unit}", limits)


def _check_timestamps(micros: pa.Array) -> None:
    _check(micros, _FIRST_DAY * DAY, (_LAST_DAY + 1) * DAY - 1, "microseconds from 1970-01-01", _YEARS)


def _iso(micros: pa.Array) -> pa.Array:
    """`YYYY-MM-DDTHH:MM:SS.ffffff`, 26 characters each."""
    return replace_byte(micros.view(pa.timestamp("us")).cast(TEXT), b" ", b"T")


def _drop_zero_fraction(text: pa.Array, micros: pa.Array, length: int) -> pa.Array:
    fraction = pc.subtract(micros, pc.multiply(pc.divide(micros, SECOND), SECOND))
    whole = pc.equal(fraction, 0)
    if not pc.any(whole).as_py():
        return text
    short = pc.utf8_slice_codeunits(text, 0, length)
    return short if pc.all(whole).as_py() else pc.if_else(whole, short, text)


def _join(*parts: pa.Array | str) -> pa.Array:
    texts = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*texts, pa.scalar("", TEXT))


# --- zones ---------------------------------------------------------------------------------------


def zone_offsets(micros: pa.Array, zone: ZoneInfo) -> pa.Array:
    """The offsets from UTC, in seconds, of instants given in microseconds from 1970."""
    days = floor_divide(micros, DAY)
    distinct = pc.unique(days)
    by_day = [None if day is None else _day_offset(zone, day) for day in distinct.to_pylist()]
    offsets = pa.array(by_day, pa.int64()).take(pc.index_in(days, value_set=distinct))
    changing = pc.and_(pc.is_null(offsets), pc.is_valid(micros))
    if not pc.any(changing).as_py():
        return offsets
    single = [offset_at(zone, value // SECOND) for value in micros.filter(changing).to_pylist()]
    return pc.replace_with_mask(offsets, changing, pa.array(single, pa.int64()))


@lru_cache(maxsize=65_536)
def _day_offset(zone: ZoneInfo, day: int) -> int | None:
    """The offset during the whole UTC day (counted from 1970-01-01), or None where it changes within it.

    No zone changes twice within a day: the shortest time between two changes in the tables is four days.
    """
    first, last = offset_at(zone, day * 86_400), offset_at(zone, day * 86_400 + 86_399)
    return first if first == last else None


def offset_at(zone: ZoneInfo, seconds: int) -> int:
    """The offset of `zone` from UTC, in seconds, at an instant in seconds from 1970-01-01T00:00Z."""
    instant = EPOCH + timedelta(seconds=seconds)
    try:
        local = instant.astimezone(zone)
    except OverflowError:
        # The calendar ends here, on New Year's Day and Eve: no zone changes its clocks on these two days.
        local = (instant + (timedelta(days=1) if instant.year == 1 else -timedelta(days=1))).astimezone(zone)
    offset = local.utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def floor_divide(numbers: pa.Array, divisor: int) -> pa.Array:
    """Integer division that rounds down, for int64."""
    quotient = pc.divide(numbers, divisor)
    below = pc.less(numbers, pc.multiply(quotient, divisor))
    return pc.subtract(quotient, below.cast(pa.int64()))


def _offset_text(offsets: pa.Array, colon: str) -> pa.Array:
    distinct = pc.unique(offsets)
    texts = [None if value is None else write_offset(value, colon) for value in distinct.to_pylist()]
    return pa.array(texts, TEXT).take(pc.index_in(offsets, value_set=distinct))


def write_offset(seconds: int, colon: str = ":") -> str:
    """`+09:00`, with seconds only where there are some."""
    sign, size = ("-", -seconds) if seconds < 0 else ("+", seconds)
    parts = [size // 3600, size // 60 % 60, size % 60]
    return sign + colon.join(f"{part:02}" for part in (parts if parts[2] else parts[:2]))


# --- strftime ------------------------------------------------------------------------------------

# Where a code's digits stand in `YYYY-MM-DDTHH:MM:SS.ffffff`.
_SLICES = {
    "Y": (0, 4), "y": (2, 4), "m": (5, 7), "d": (8, 10), "H": (11, 13), "M": (14, 16), "S": (17, 19), "f": (20, 26),
}  # fmt: skip


def _pieces(pattern: str) -> Iterator[tuple[str | None, str]]:
    """(code, "") and (None, literal), in order."""
    for match in re.finditer(r"%(.?)|[^%]+", pattern, re.DOTALL):
        yield (None, match[0]) if match[1] is None else (match[1], "")


def _format(micros: pa.Array, offsets: pa.Array | None, pattern: str) -> pa.Array:
    iso = _iso(micros)
    parts: list[pa.Array | str] = [pc.utf8_slice_codeunits(iso, 0, 0)]  # NULL where the value is
    for code, literal in _pieces(pattern):
        parts.append(literal if code is None else _format_code(code, micros, iso, offsets))
    return _join(*parts)


def _format_code(code: str, micros: pa.Array, iso: pa.Array, offsets: pa.Array | None) -> pa.Array | str:
    if code == "%":
        return "%"
    if code == "z":
        return "" if offsets is None else _offset_text(offsets, "")
    if code in _SLICES:
        return pc.utf8_slice_codeunits(iso, *_SLICES[code])
    if code in {"I", "p"}:
        hours = floor_divide(micros, 3600 * SECOND)
        return _by_distinct(hours, lambda hour: format_time(EPOCH.replace(hour=hour % 24), f"%{code}"))
    days = floor_divide(micros, DAY)
    return _by_distinct(days, lambda day: format_time(_nth_day(day), f"%{code}"))


def _nth_day(day: int) -> date:
    return date.fromordinal(EPOCH.toordinal() + day)


def _by_distinct(numbers: pa.Array, write: Callable[[int], str]) -> pa.Array:
    distinct = pc.unique(numbers)
    texts = [None if value is None else write(value) for value in distinct.to_pylist()]
    return pa.array(texts, TEXT).take(pc.index_in(numbers, value_set=distinct))
