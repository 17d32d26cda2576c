"""Durations, sizes and counts as people write them: `1h30m`, `4GiB`, `3 rows`."""

from __future__ import annotations

import re
from datetime import timedelta

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_BYTES: dict[str, int] = {"": 1, "B": 1, **{f"{p}B": 1000**i for i, p in enumerate("kMGT", 1)}}
_BYTES |= {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}

DURATION_PATTERN = r"^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
SIZE_PATTERN = r"^[0-9]+ ?([kMGT]B|[KMGT]iB|B)?$"
LONGEST = timedelta(days=36525)


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `5m`, `1h30m`, `2d`: whole numbers, the larger unit first. Raises ValueError."""
    match = re.fullmatch(DURATION_PATTERN[1:-1], text, re.ASCII)
    if match is None or not text:
        raise ValueError(f'{text!r} is not a duration; write it like "30s", "5m", "1h30m", "2d"')
    seconds = sum(int(part[:-1]) * _SECONDS[part[-1]] for part in match.groups() if part)
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The text that `parse_duration` reads as `duration`, cut to whole seconds."""
    seconds, parts = int(duration.total_seconds()), []
    for unit, size in list(_SECONDS.items())[1:]:
        if count := seconds // size:
            parts.append(f"{count}{unit}")
        seconds %= size
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Read `500`, `64kB`, `4GiB` as a number of bytes. Raises ValueError."""
    if re.fullmatch(SIZE_PATTERN[1:-1], text, re.ASCII) is None:
        raise ValueError(f'{text!r} is not a size; write it like "64kB", "500MB", "4GiB"')
    number = re.match(r"[0-9]+", text)
    assert number is not None  # noqa: S101 - the pattern above begins with digits
    return int(number[0]) * _BYTES[text[number.end() :].strip()]


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,234 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
