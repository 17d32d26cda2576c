"""How single values of the TOML are read and shown: durations, zones, types, one-line texts.

Each is an annotated type for the models in `definitions`: what reads it, how JSON shows it, and what an editor checks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from batchxfer.model import ColumnType
from batchxfer.quantities import DURATION_PATTERN, SIZE_PATTERN, format_duration, parse_duration, parse_size
from batchxfer.suggestions import closest

UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class DateOffset:
    """A number of days, or of a calendar's open days."""

    days: int
    open_days: bool = False

    def __str__(self) -> str:
        return f"{self.days}{'bd' if self.open_days else 'd'}"


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError('a duration is a text like "30s", "5m", "1h30m", "2d"')
    return parse_duration(value)


def _read_some_duration(value: object) -> timedelta:
    duration = _read_duration(value)
    if duration <= timedelta():
        raise ValueError("must be longer than nothing")
    return duration


def _check_line(text: str) -> str:
    bad = next((char for char in text if unicodedata.category(char) in {"Cc", "Zl", "Zp"}), None)
    if bad is not None:
        raise ValueError(f"holds the character U+{ord(bad):04X}, which cannot be seen")
    return text


def _read_size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('a size is a number of bytes, or a text like "500MB", "4GiB"')
    size = parse_size(value) if isinstance(value, str) else value
    if size < 1:
        raise ValueError("must be at least one byte")
    return size


def _read_zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    if not isinstance(value, str):
        raise ValueError('a time zone is an IANA name like "Asia/Seoul"')
    # `localtime` and the like depend on the machine.
    if value not in {"localtime", "posixrules", "Factory"} and not value.startswith(("posix/", "right/")):
        try:
            return ZoneInfo(value)
        except (OSError, ValueError, LookupError):
            pass
    raise ValueError(f"unknown time zone {value!r}; {_zone_hint(value)}")


def _zone_hint(value: str) -> str:
    names = available_timezones() - {"localtime", "posixrules", "Factory"}
    city = value.rpartition("/")[2].replace(" ", "_").casefold()
    by_city = [name for name in sorted(names) if name.rpartition("/")[2].casefold() == city]
    # Of abbreviations the nearest is another country's: KST is not MST.
    is_abbreviation = value.isupper() and len(value) <= 5
    near = by_city[0] if by_city else None if is_abbreviation else closest(value, names)
    return f"did you mean {near!r}?" if near else 'zones are named by a place, such as "Asia/Seoul"'


def _read_column_type(value: object) -> ColumnType:
    if isinstance(value, ColumnType):
        return value
    if not isinstance(value, str):
        raise ValueError('a type is a text like "integer" or "decimal(12,2)"')
    return ColumnType.parse(value)


def _read_date_offset(value: object) -> DateOffset:
    if isinstance(value, DateOffset):
        return value
    match = re.fullmatch(r"([+-]?[0-9]{1,4})(b?)d", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a date offset is a text like "-1d", or "-1bd" to count open days')
    return DateOffset(int(match[1]), bool(match[2]))


def _read_cutoff(value: object) -> time | timedelta:
    if isinstance(value, time | timedelta):
        return value
    if isinstance(value, str) and ":" in value:
        try:
            return _clock(value)
        except ValueError:
            raise ValueError(f'{value!r} is not a time of day; write it like "07:00"') from None
    if not isinstance(value, str):
        raise ValueError('a cutoff is a time of day like "07:00", or a duration after the slot like "4h"')
    return _read_some_duration(value)


def _clock(text: str) -> time:
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text, re.ASCII) is None:
        raise ValueError(text)
    return time.fromisoformat(text)


def _write_cutoff(value: time | timedelta) -> str:
    return value.isoformat() if isinstance(value, time) else format_duration(value)


def _as_text(write: Callable[[Any], str], pattern: str, *examples: str) -> tuple[PlainSerializer, WithJsonSchema]:
    """How a value looks in JSON, and what an editor checks."""
    schema = {"type": "string", "minLength": 1, "pattern": pattern, "examples": list(examples)}
    return PlainSerializer(write, return_type=str, when_used="json"), WithJsonSchema(schema)


_DURATION = _as_text(format_duration, DURATION_PATTERN, "30s", "5m", "1h30m", "2d")
_SIZE = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": SIZE_PATTERN}]}
_CLOCK_PATTERN = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"

Line = Annotated[str, AfterValidator(_check_line)]
"""A text of one line: names, paths, addresses."""
Duration = Annotated[timedelta, PlainValidator(_read_duration), *_DURATION]
SomeDuration = Annotated[timedelta, PlainValidator(_read_some_duration), *_DURATION]
Size = Annotated[int, PlainValidator(_read_size), WithJsonSchema(_SIZE)]
Zone = Annotated[ZoneInfo, PlainValidator(_read_zone), *_as_text(str, r"^[A-Za-z0-9_+/-]+$", "UTC", "Asia/Seoul")]
Type = Annotated[
    ColumnType,
    PlainValidator(_read_column_type),
    *_as_text(str, r"^ *[a-z]+ *(\([0-9, ]+\))? *$", "integer", "decimal(12,2)"),
]
Offset = Annotated[
    DateOffset, PlainValidator(_read_date_offset), *_as_text(str, r"^[+-]?[0-9]{1,4}b?d$", "0d", "-1d", "-1bd")
]
Cutoff = Annotated[
    time | timedelta,
    PlainValidator(_read_cutoff),
    *_as_text(_write_cutoff, f"({_CLOCK_PATTERN})|({DURATION_PATTERN})", "07:00", "4h"),
]
Parameter = bool | int | float | str | datetime | date | time
