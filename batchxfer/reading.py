"""How a value is read: a column of text becomes a column of a type, the counterpart of `values`.

What is plain is read by Arrow, column at a time; the rest value by value, so that each that cannot be read is known by its row.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import conversions, instants
from batchxfer.definitions import FormatOptions
from batchxfer.model import ColumnType, TargetColumn, TypeName
from batchxfer.plain import are_plain_decimals, may_be_plain
from batchxfer.templates import without_offset
from batchxfer.values import TEXT

_T = TypeName

CARRIERS: Mapping[TypeName, pa.DataType] = {
    _T.INTEGER: pa.int64(),
    _T.FLOAT: pa.float64(),
    _T.BOOLEAN: pa.bool_(),
    _T.DATE: pa.date32(),
    _T.TIME: pa.time64("us"),
    _T.TIMESTAMP: pa.timestamp("us"),
    _T.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    _T.BYTES: pa.binary(),
}
_STRFTIME = {
    _T.DATE: "date_format",
    _T.TIME: "time_format",
    _T.TIMESTAMP: "timestamp_format",
    _T.TIMESTAMPTZ: "timestamp_format",
}
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_PLAIN: Mapping[TypeName, str] = {
    _T.INTEGER: r"^-?[0-9]{1,18}$",
    _T.FLOAT: r"^(-?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]{1,3})?|nan|-?inf)$",
    _T.DATE: rf"^{_ISO}$",
    _T.TIME: rf"^{_CLOCK}$",
    _T.TIMESTAMP: rf"^{_ISO}[T ]{_CLOCK}$",
    _T.TIMESTAMPTZ: rf"^{_ISO}[T ]{_CLOCK}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$",
    _T.UUID: r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
}


MOST_WORDS = 10
_SINGLE = 32
_LONG = 64
_LARGEST = (1 << 63) - 1
NOT_NUMBERS = {
    **dict.fromkeys(("nan", "NaN", "NAN"), "nan"),
    **dict.fromkeys(("inf", "Inf", "INF", "infinity", "Infinity", "+inf", "+Infinity"), "inf"),
    **dict.fromkeys(("-inf", "-Inf", "-INF", "-infinity", "-Infinity"), "-inf"),
}
"""As others write them, and as they are written here."""


@dataclass
class Read:
    """A column as it was read. `wrong` says of which rows of the batch, from 0, why they could not be: they are null there.
    `plain` says that each text is written as ports.VerbatimLoading has it."""

    array: pa.Array
    wrong: dict[int, str] = field(default_factory=dict)
    plain: bool = False


def read_column(
    text: pa.Array, written: ColumnType, target: TargetColumn, options: FormatOptions, naive_zone: ZoneInfo | None
) -> Read:
    """The values of `text`, written as `written` by the format, as the table's column takes them.

    `naive_zone` is the zone of the database's timestamps without one.
    """
    read = _read(text, written, target, options, naive_zone)
    if written.name is not target.type.name:
        read = _adapt(read, text, written, target, options, naive_zone)
    _check(read, text, target)
    return read


# --- text to the format's type -------------------------------------------------------------------


def _read(
    text: pa.Array, kind: ColumnType, target: TargetColumn, options: FormatOptions, naive_zone: ZoneInfo | None
) -> Read:
    name = kind.name
    if name is _T.TEXT:
        return Read(text, plain=True)
    point = getattr(options, "decimal_point", ".")
    if name in (_T.DECIMAL, _T.FLOAT):
        text = _with_dot(text, point)
    if name is _T.BOOLEAN:
        return _booleans(text, options)
    if name is _T.BYTES:
        return _each(text, name, lambda value: _read_bytes(value, options))
    if name in _STRFTIME and (pattern := getattr(options, _STRFTIME[name])) != "iso":
        return _times(text, name, pattern, options.timezone)
    if name is _T.DECIMAL:
        if are_plain_decimals(text, kind) or _all_match(text, _decimal_pattern(kind)):
            return Read(text, plain=point == ".")
    elif name in _PLAIN and ((glance := may_be_plain(text, name)) or _all_match(text, _PLAIN[name])):
        try:
            array = _cast(text, name)
        except pa.ArrowInvalid:
            pass  # a day that the calendar does not have, or signs where none belong
        else:
            if name is not _T.FLOAT or not pc.any(pc.is_inf(array)).as_py():
                # Exponents, and words for what is no number, are not seen at a glance.
                return Read(array, plain=glance and point == "." if name is _T.FLOAT else name is not _T.TIMESTAMPTZ)
    # Local times are of the format's zone; an instant becomes one of the database's.
    zones = conversions.Zones(naive=options.timezone, shown=naive_zone or options.timezone)
    if name is _T.FLOAT:
        return _each(text, name, _nearest)
    kept = NOT_NUMBERS if name is target.type.name and target.not_numbers else {}
    return _each(text, name, lambda value: kept.get(value) or conversions.from_text(value, kind, zones))


def _nearest(value: str) -> float:
    """The float that is nearest to the number; Arrow finds the same one."""
    if value in NOT_NUMBERS:
        return float(NOT_NUMBERS[value])
    digits = conversions.from_text(value, ColumnType(_T.DECIMAL), conversions.Zones(naive=None, shown=ZoneInfo("UTC")))
    found = float(digits)
    if math.isinf(found):
        raise ValueError("it is out of range")
    return found


def _cast(text: pa.Array, name: TypeName) -> pa.Array:
    if name is _T.UUID:
        return text
    if name is _T.TIME:
        # Arrow reads times of a day only.
        text = pc.binary_join_element_wise("1970-01-01T", text, "").cast(CARRIERS[_T.TIMESTAMP])
    return text.cast(CARRIERS[name])


def _all_match(text: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(text, pattern)).as_py() is not False


def _with_dot(text: pa.Array, point: str) -> pa.Array:
    """The numbers with a dot for the decimal point; a dot that stood there already is none, and no digit either."""
    return text if point == "." else instants.swap_bytes(text.cast(TEXT), point.encode("ascii"), b".").cast(text.type)


def _decimal_pattern(kind: ColumnType) -> str:
    if kind.precision is None:
        return r"^-?[0-9]{1,300}(\.[0-9]{1,300})?$"
    scale = kind.scale or 0
    whole = max(kind.precision - scale, 1)
    return rf"^-?[0-9]{{1,{min(whole, 900)}}}" + (rf"(\.[0-9]{{1,{min(scale, 900)}}})?$" if scale else "$")


def _booleans(text: pa.Array, options: FormatOptions) -> Read:
    true, false = pc.equal(text, options.true), pc.equal(text, options.false)
    wrong = pc.invert(pc.or_(true, false))
    if not pc.any(wrong).as_py():
        return Read(true, plain=(options.true, options.false) == ("true", "false"))
    why = f"it is neither {options.true!r} nor {options.false!r}"
    return Read(
        pc.if_else(wrong, pa.scalar(None, pa.bool_()), true),
        {index: why for index, bad in enumerate(wrong.to_pylist()) if bad},
    )


def _read_bytes(value: str, options: FormatOptions) -> bytes:
    if options.bytes == "hex":
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise ValueError("it is not hexadecimal") from None
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


def _times(text: pa.Array, name: TypeName, pattern: str, zone: ZoneInfo) -> Read:
    """By strftime codes, each distinct text once."""
    if name is not _T.TIMESTAMPTZ:
        # What has no zone is written without its offset.
        pattern = without_offset(pattern)

    def read(value: str) -> Any:
        try:
            found = datetime.strptime(value, pattern)  # noqa: DTZ007 - the zone is given below
        except ValueError:
            raise ValueError(f"it is not written as {pattern!r}") from None
        if name is _T.DATE:
            return found.date()
        if name is _T.TIME:
            return found.time()
        if name is _T.TIMESTAMP:
            return found.replace(tzinfo=None)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)

    encoded = text.dictionary_encode()
    distinct = _each(encoded.dictionary, name, read)
    array = distinct.array.take(encoded.indices)
    if not distinct.wrong:
        return Read(array)
    wrong = {
        row: distinct.wrong[index] for row, index in enumerate(encoded.indices.to_pylist()) if index in distinct.wrong
    }
    return Read(array, wrong)


def _each(text: pa.Array, name: TypeName, read: Callable[[str], Any]) -> Read:
    values: list[Any] = []
    wrong: dict[int, str] = {}
    for index, value in enumerate(text.to_pylist()):
        try:
            values.append(None if value is None else read(value))
        except (ValueError, ArithmeticError) as error:
            values.append(None)
            wrong[index] = str(error) if type(error) is ValueError else "it is out of range"
    if name is _T.INTEGER:
        return Read(_integers(values), wrong)
    return Read(pa.array(values, CARRIERS.get(name, pa.string())), wrong)


def _integers(values: list[Any]) -> pa.Array:
    """As 64 bits, or as digits where one does not fit."""
    numbers = [None if value is None else int(value) for value in values]
    if all(value is None or -(1 << 63) <= value < 1 << 63 for value in numbers):
        return pa.array(numbers, pa.int64())
    return pa.array([None if value is None else str(value) for value in numbers], pa.string())


# --- the format's type to the table's ------------------------------------------------------------


def _adapt(
    read: Read,
    text: pa.Array,
    written: ColumnType,
    target: TargetColumn,
    options: FormatOptions,
    naive_zone: ZoneInfo | None,
) -> Read:
    """Where the format says another type than the table has: SQLite has no dates, MariaDB no booleans."""
    wanted = target.type.name
    plain = _plain(read.array, written.name)
    if wanted in (_T.TEXT, _T.JSON):
        return Read(plain, read.wrong)
    if written.name is _T.BOOLEAN:
        plain = read.array.cast(pa.int8()).cast(pa.string())
    zones = conversions.Zones(naive=naive_zone or options.timezone, shown=naive_zone or options.timezone)
    again = _each(plain, wanted, lambda value: conversions.from_text(value, target.type, zones))
    return Read(again.array, {**again.wrong, **read.wrong})


def _plain(array: pa.Array, name: TypeName) -> pa.Array:
    """As the databases that have no such type keep it: `YYYY-MM-DD HH:MM:SS[.ffffff]`, digits, words."""
    if name is _T.BOOLEAN:
        return pc.if_else(array, "true", "false").cast(pa.string())
    if name is _T.BYTES:
        return pa.array([None if value is None else value.hex() for value in array.to_pylist()], pa.string())
    if name is _T.TIMESTAMP:
        return pc.replace_substring(instants.write_timestamps(array, "iso"), "T", " ").cast(pa.string())
    if name is _T.TIMESTAMPTZ:
        written = instants.write_timestamps(array.cast(pa.timestamp("us")), "iso")
        return pc.binary_join_element_wise(
            pc.replace_substring(written, "T", " ").cast(pa.string()), pa.scalar("+00:00"), pa.scalar("")
        )
    if name is _T.TIME:
        return instants.write_times(array, "iso").cast(pa.string())
    return array.cast(pa.string())


# --- does it fit ---------------------------------------------------------------------------------


def _check(read: Read, text: pa.Array, target: TargetColumn) -> None:
    """Add what the table's column cannot hold."""
    array = read.array
    if not target.nullable and array.null_count:
        for index, null in enumerate(text.is_null().to_pylist()):
            if null:
                read.wrong.setdefault(index, "it is NULL, and the table's column is NOT NULL, or identifies the row")
    if target.longest is not None and _may_be_longer(array, target.longest):
        _add(read, pc.greater(_lengths(array), target.longest), f"it is longer than {target.longest}")
    if target.fraction is not None and target.fraction < 6 and pa.types.is_temporal(array.type):
        _add(
            read,
            _is_finer(array, target.fraction),
            f"a second has {target.fraction} decimals in the table, and it more",
        )
    if target.words:
        known = pa.array(target.words, array.type)
        wrong = pc.and_(pc.is_valid(array), pc.invert(pc.is_in(array, value_set=known)))
        _add(read, wrong, f"it is none of {', '.join(target.words[:MOST_WORDS])}")
    if target.longest_bytes is not None and _is_text(array):
        why = f"it is longer than {target.longest_bytes:,} bytes"
        _add(read, pc.greater(pc.binary_length(array), target.longest_bytes), why)
    if target.forbidden and _is_text(array) and _may_have(array, target.forbidden):
        _add(
            read,
            pc.match_substring(array, target.forbidden),
            f"the table cannot hold the character {target.forbidden!r}",
        )
    if target.pattern and _is_text(array):
        matches = pc.match_substring_regex(array, f"^(?:{target.pattern})$")
        _add(read, pc.invert(matches), f"it is no value of {target.native}")
    if target.bits is not None and (outside := _outside(array, target)) is not None:
        _add(read, outside, f"it does not fit into {target.native or f'{target.bits} bits'}")


def _outside(array: pa.Array, target: TargetColumn) -> pa.Array | None:
    """Which numbers the column has no room for; None where it has room for all."""
    bits = target.bits or 0
    if target.type.name is _T.FLOAT:
        if bits != _SINGLE:
            return None
        narrow = array.cast(pa.float32(), safe=False)
        lost = pc.and_(pc.equal(narrow, 0), pc.not_equal(array, 0))
        return pc.or_(lost, pc.and_(pc.is_inf(narrow), pc.invert(pc.is_inf(array))))
    low, high = (0, (1 << bits) - 1) if target.unsigned else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    if pa.types.is_integer(array.type):
        if bits == _LONG and not target.unsigned:
            return None
        return pc.or_(pc.less(array, low), pc.greater(array, min(high, _LARGEST)))
    # Digits, for one of them is of more than 64 bits.
    return pa.array([None if text is None else not low <= int(text) <= high for text in array.to_pylist()], pa.bool_())


def _may_have(array: pa.Array, text: str) -> bool:
    """Never false where a value has the text in it; looked for in all bytes at once."""
    data = array.buffers()[2]
    return data is not None and re.search(re.escape(text.encode()), data) is not None


def _is_finer(array: pa.Array, decimals: int) -> pa.Array:
    """Whether a time has more decimals of a second than that."""
    step = 10 ** (6 - decimals)
    micros = array.cast(pa.int64())
    return pc.not_equal(micros, pc.multiply(pc.divide(micros, step), step))


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _may_be_longer(array: pa.Array, longest: int) -> bool:
    """Never false where a value is; no text has more characters than bytes."""
    if not _is_text(array) and not pa.types.is_binary(array.type):
        return False
    return bool(pc.any(pc.greater(pc.binary_length(array), longest)).as_py())


def _lengths(array: pa.Array) -> pa.Array:
    return pc.utf8_length(array) if _is_text(array) else pc.binary_length(array)


def _add(read: Read, mask: pa.Array, why: str) -> None:
    if not pc.any(mask).as_py():
        return
    for index, bad in enumerate(mask.to_pylist()):
        if bad:
            read.wrong.setdefault(index, why)
