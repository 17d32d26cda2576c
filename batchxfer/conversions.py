"""Columns from one type to another, for a format's `type = "…"`: exactly, value by value, or not at all.

A conversion that would lose something (a fraction, a digit, a time of day), or that cannot read a value, raises
UnwritableValue with row and column. Each value is converted by itself, so the cut into batches changes nothing.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.definitions import FormatOptions
from batchxfer.errors import UnwritableValue
from batchxfer.instants import EPOCH
from batchxfer.model import Column, ColumnType, TypeName

Converter = Callable[[pa.Array, int], pa.Array]
"""Called with a column of the source and the 1-based number of its first row."""

Value = Any
"""A value between two types: int, Decimal, float, bool, date, time, datetime, str or bytes."""

_T = TypeName
_EXACT = Context(prec=100_000, Emin=-999_999, Emax=999_999)
_MOST_DIGITS = 1000

_NUMBERS = frozenset({_T.INTEGER, _T.DECIMAL, _T.FLOAT})
_FROM: Mapping[TypeName, frozenset[TypeName]] = {
    _T.INTEGER: _NUMBERS | {_T.BOOLEAN, _T.TEXT},
    _T.DECIMAL: _NUMBERS | {_T.BOOLEAN, _T.TEXT},
    _T.FLOAT: _NUMBERS | {_T.TEXT},
    _T.BOOLEAN: _NUMBERS | {_T.TEXT, _T.BYTES},
    _T.DATE: frozenset({_T.TIMESTAMP, _T.TIMESTAMPTZ, _T.TEXT}),
    _T.TIME: frozenset({_T.TEXT}),
    _T.TIMESTAMP: frozenset({_T.DATE, _T.TIMESTAMPTZ, _T.TEXT}),
    _T.TIMESTAMPTZ: frozenset({_T.TIMESTAMP, _T.TEXT}),
    _T.TEXT: frozenset(_T),
    _T.UUID: frozenset({_T.TEXT, _T.BYTES}),
    _T.BYTES: frozenset({_T.TEXT}),
    _T.INTERVAL: frozenset({_T.TEXT}),
    _T.JSON: frozenset({_T.TEXT, _T.INTEGER, _T.DECIMAL, _T.BOOLEAN}),
}
_CARRIERS: Mapping[TypeName, pa.DataType] = {
    _T.FLOAT: pa.float64(),
    _T.BOOLEAN: pa.bool_(),
    _T.DATE: pa.date32(),
    _T.TIME: pa.time64("us"),
    _T.TIMESTAMP: pa.timestamp("us"),
    _T.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    _T.BYTES: pa.binary(),
}


def converter(
    source: Column, target: ColumnType, options: FormatOptions, *, naive_zone: ZoneInfo | None = None
) -> Converter | None:
    """What turns a column of the source into type `target`; None where there is nothing to do.

    Raises UnwritableValue where no conversion exists. Local times are of the zone `naive_zone` when they become instants, and
    instants become local times of the format's zone.
    """
    if source.type.name == target.name and (target.precision is None or source.type == target):
        return None
    if source.type.name != target.name and source.type.name not in _FROM[target.name]:
        readable = ", ".join(sorted(_FROM[target.name] | {target.name}))
        raise UnwritableValue(
            f"column {source.name!r} is {source.type}, and there is no conversion to {target}",
            hint=f"a {target.name} can be made from: {readable}; or convert it in the query",
        )
    return _Conversion(source, target, options, naive_zone)


class _Conversion:
    def __init__(self, source: Column, target: ColumnType, options: FormatOptions, naive_zone: ZoneInfo | None) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._zones = Zones(naive=naive_zone, shown=options.timezone)
        self._plain = _plain_pattern(target) if source.type.name in (_T.TEXT, _T.DECIMAL) else None

    def __call__(self, array: pa.Array, first_row: int) -> pa.Array:
        if self._target.name is _T.TEXT and self._source.type.name is not _T.BYTES:
            return values.as_text(array, self._source, self._options, first_row)
        if self._plain is not None and pc.all(pc.match_substring_regex(array, self._plain)).as_py():
            return array
        return self._each(array, first_row)

    def _each(self, array: pa.Array, first_row: int) -> pa.Array:
        convert, target, zones = _TO[self._target.name], self._target, self._zones
        converted = []
        for row, value in enumerate(self._read(array, first_row), first_row):
            try:
                converted.append(None if value is None else convert(value, target, zones))
            except (ValueError, ArithmeticError) as error:
                why = str(error) if type(error) is ValueError else "it is out of range"
                raise values.unwritable(row, self._source.name, value, why, kind=target) from None
        return pa.array(converted, _CARRIERS.get(target.name, values.TEXT))

    def _read(self, array: pa.Array, first_row: int) -> list[Value]:
        """The values as Python has them; a float32 as its shortest digits."""
        name = self._source.type.name
        if name is _T.INTEGER:
            return [None if value is None else int(value) for value in array.to_pylist()]
        if name is _T.DECIMAL:
            return [None if value is None else Decimal(value) for value in array.to_pylist()]
        if name is _T.FLOAT:
            written = values.as_text(array, self._source, self._options, first_row)
            return [None if value is None else float(value) for value in written.to_pylist()]
        if name in (_T.DATE, _T.TIMESTAMP, _T.TIMESTAMPTZ):
            values.as_text(array, self._source, self._options, first_row)  # refuses what Python's calendar lacks
        if name is _T.TIMESTAMPTZ:
            return [
                None if value is None else EPOCH + timedelta(microseconds=value)
                for value in array.view(pa.int64()).to_pylist()
            ]
        return list(array.to_pylist())


class Zones:
    """`naive`: of timestamps without a zone, None where unknown. `shown`: the format's."""

    def __init__(self, *, naive: ZoneInfo | None, shown: ZoneInfo) -> None:
        self.naive = naive
        self.shown = shown


def _plain_pattern(target: ColumnType) -> str | None:
    """What texts look like that already are what the conversion would give."""
    if target.name is _T.INTEGER:
        return r"^(0|-?[1-9][0-9]*)$"
    if target.name is not _T.DECIMAL or target.precision is None or target.precision > 76:
        return None
    scale = target.scale or 0
    whole = target.precision - scale
    fraction = rf"\.[0-9]{{{scale}}}" if scale else ""
    digits = rf"(0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
    return rf"^-?{digits}{fraction}$"


# --- numbers -------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)


def _number(value: Value) -> Decimal:
    """Any number, or a text of one, exactly. A float stands for the shortest digits that read back as it."""
    if isinstance(value, str):
        text = value.strip(" \t")
        if _NUMBER.fullmatch(text) is None:
            raise ValueError("it is not a number")
        number = Decimal(text)
    else:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError("it is not a number")
    if number and abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"it has more than {_MOST_DIGITS} digits")
    return number


def _to_integer(value: Value, target: ColumnType, zones: Zones) -> str:
    if isinstance(value, int):
        return str(int(value))
    number = _number(value)
    if number != number.to_integral_value(context=_EXACT):
        raise ValueError("it has a fraction")
    return str(int(number))


def _to_decimal(value: Value, target: ColumnType, zones: Zones) -> str:
    number = _number(value)
    if target.precision is None or target.scale is None:
        return format(number, "f")
    rounded = number.quantize(Decimal((0, (1,), -target.scale)), context=_EXACT)
    if rounded != number:
        raise ValueError(f"it has more than {target.scale} decimals")
    if rounded and rounded.adjusted() >= target.precision - target.scale:
        raise ValueError(f"it has more than {target.precision - target.scale} digits before the point")
    return format(rounded, "f")


def _to_float(value: Value, target: ColumnType, zones: Zones) -> float:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    number = _number(value)
    converted = float(number)
    if Decimal(repr(converted)) != number:
        raise ValueError("a float would lose digits of it")
    return converted


_WORDS = {"true": True, "t": True, "1": True, "yes": True, "y": True, "on": True}
_WORDS |= {"false": False, "f": False, "0": False, "no": False, "n": False, "off": False}


def _to_boolean(value: Value, target: ColumnType, zones: Zones) -> bool:
    if isinstance(value, str):
        found = _WORDS.get(value.strip(" \t").lower())
    elif isinstance(value, bytes):
        found = {b"\x00": False, b"\x01": True}.get(value)
    else:
        found = {0: False, 1: True}.get(value)
    if found is None:
        raise ValueError("it is neither true nor false (1 or 0)")
    return found


# --- dates and times -----------------------------------------------------------------------------

_CLOCK = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_TIMESTAMP = re.compile(rf"{_DATE.pattern}(?:[T ]{_CLOCK}\s?(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?", re.ASCII)


def _read_timestamp(text: str) -> datetime:
    """An ISO 8601 date, or date and time, with or without an offset."""
    match = _TIMESTAMP.fullmatch(text.strip(" \t"))
    if match is None:
        raise ValueError("it is not a date and time like 2026-11-23 01:02:03")
    day = date(*(int(part) for part in match.group(1, 2, 3)))
    clock = time() if match[4] is None else _clock(*match.group(4, 5, 6, 7))
    local = datetime.combine(day, clock)
    return local if match[8] is None else (local - _offset(match[8])).replace(tzinfo=UTC)


def _clock(hour: str, minute: str, second: str | None, fraction: str | None) -> time:
    digits = (fraction or "").ljust(9, "0")
    if digits[6:] != "000":
        raise ValueError("it has more than 6 digits of a second's fraction")
    return time(int(hour), int(minute), int(second or 0), int(digits[:6]))


def _offset(text: str) -> timedelta:
    if text == "Z":
        return timedelta()
    parts = [int(part) for part in re.findall(r"\d\d", text)]
    hours, minutes, seconds = [*parts, 0, 0][:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("its offset is out of range")
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -size if text.startswith("-") else size


def _local(value: datetime, zone: ZoneInfo) -> datetime:
    """The local time of an instant, which must lead back to it."""
    local = value.astimezone(zone)
    if local.fold:
        raise ValueError(f"{local.replace(tzinfo=None)} happens twice in {zone.key}, and this is the second time")
    return local.replace(tzinfo=None)


def _to_timestamp(value: Value, target: ColumnType, zones: Zones) -> datetime:
    if isinstance(value, str):
        value = _read_timestamp(value)
    if not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value if value.tzinfo is None else _local(value, zones.shown)


def _to_timestamptz(value: Value, target: ColumnType, zones: Zones) -> datetime:
    instant = _read_timestamp(value) if isinstance(value, str) else value
    if not isinstance(instant, datetime) or instant.tzinfo is not None:
        return instant
    if zones.naive is None:
        raise ValueError("it has no offset, and no zone is known for it")
    local = instant.replace(tzinfo=zones.naive)
    found = local.astimezone(UTC)
    if found.astimezone(zones.naive).replace(tzinfo=None) != instant:
        raise ValueError(f"that local time does not exist in {zones.naive.key}")
    return found


def _to_date(value: Value, target: ColumnType, zones: Zones) -> date:
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value.strip(" \t")) is None:
        raise ValueError("it is not a date like 2026-11-23")
    local = _to_timestamp(value, target, zones)
    if local.time() != time():
        raise ValueError("it has a time of day that would be lost")
    return local.date()


def _to_time(value: Value, target: ColumnType, zones: Zones) -> time:
    match = _TIME.fullmatch(value.strip(" \t"))
    if match is None:
        raise ValueError("it is not a time like 01:02:03")
    return _clock(*match.groups())


# --- texts ---------------------------------------------------------------------------------------

_DURATION = re.compile(
    r"[+-]?P(?=[0-9T+-])([+-]?\d+Y)?([+-]?\d+M)?([+-]?\d+W)?([+-]?\d+D)?"
    r"(T(?=[0-9+-])([+-]?\d+H)?([+-]?\d+M)?([+-]?\d+([.,]\d+)?S)?)?",
    re.ASCII,
)


def _to_text(value: Value, target: ColumnType, zones: Zones) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise ValueError("its bytes are not UTF-8") from None


def _to_uuid(value: Value, target: ColumnType, zones: Zones) -> str:
    try:
        return str(uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value))
    except ValueError:
        raise ValueError("it is not a UUID") from None


def _to_bytes(value: Value, target: ColumnType, zones: Zones) -> bytes:
    return bytes(value, "utf-8")


def _to_interval(value: Value, target: ColumnType, zones: Zones) -> str:
    if _DURATION.fullmatch(value) is None:
        raise ValueError("it is not an ISO 8601 duration like P1DT2H")
    return str(value)


def _to_json(value: Value, target: ColumnType, zones: Zones) -> str:
    if isinstance(value, str):
        return compact_json(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(_number(value), "f")


_JSON_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+', re.DOTALL)


def compact_json(text: str) -> str:
    """JSON without the space between its tokens; the tokens are copied. Raises ValueError where it is no JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {json_fault(error)}") from None
    return _JSON_SPACE.sub(r"\1", text)


def json_fault(error: ValueError | RecursionError) -> str:
    """Why a text is no JSON; a line is one line of a file, so that only its character is told."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    if not error.doc.strip():
        return "it is blank"
    what = {"Expecting value": "no value", "Extra data": "something else"}.get(error.msg, error.msg.removesuffix(" at"))
    return f"{what[:1].lower()}{what[1:]} at character {error.pos + 1}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_TO: Mapping[TypeName, Callable[[Value, ColumnType, Zones], Value]] = {
    _T.INTEGER: _to_integer,
    _T.DECIMAL: _to_decimal,
    _T.FLOAT: _to_float,
    _T.BOOLEAN: _to_boolean,
    _T.DATE: _to_date,
    _T.TIME: _to_time,
    _T.TIMESTAMP: _to_timestamp,
    _T.TIMESTAMPTZ: _to_timestamptz,
    _T.TEXT: _to_text,
    _T.UUID: _to_uuid,
    _T.BYTES: _to_bytes,
    _T.INTERVAL: _to_interval,
    _T.JSON: _to_json,
}


def from_text(text: str, target: ColumnType, zones: Zones) -> Value:
    """One value of type `target` from a text, as a format's own types read it. Raises ValueError, ArithmeticError."""
    return _TO[target.name](text, target, zones)
