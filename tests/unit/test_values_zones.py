"""Instants in zones: the offsets of zoneinfo, column at a time, at and around every change of every zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones
from zoneinfo._zoneinfo import ZoneInfo as PythonZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchxfer.instants import floor_divide, offset_at, write_instants, write_offset, zone_offsets

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})

# Half an hour, two days at once, changes at odd seconds, an offset that shrank by a second, rules beyond the tables.
ODD_ZONES = [
    "Australia/Lord_Howe", "Pacific/Apia", "Europe/Amsterdam", "Africa/Monrovia", "Europe/Dublin", "Africa/Casablanca",
    "America/New_York", "Europe/Berlin", "Asia/Seoul", "America/St_Johns", "Asia/Kathmandu", "Antarctica/Troll", "UTC",
]  # fmt: skip


def expected(zone: ZoneInfo, second: int) -> int:
    offset = (EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


def changes(zone: ZoneInfo, first: int, last: int) -> list[int]:
    """The seconds at which the offset changes, found by halving; `first` and `last` are days from 1970."""
    found = []
    for day in range(first, last):
        low, high = day * DAY, (day + 1) * DAY
        before, after = expected(zone, low), expected(zone, high)
        while before != after and high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if expected(zone, middle) == before else (low, middle)
        if before != after:
            found.append(high)
    return found


@pytest.mark.parametrize("name", ODD_ZONES)
def test_offsets_are_right_around_every_change(name: str) -> None:
    zone = ZoneInfo(name)
    instants = [second + around for second in changes(zone, -20_000, 25_000) for around in (-3601, -1, 0, 1, 3600)]
    instants += [day * DAY for day in range(-60_000, 60_000, 997)]
    micros = pa.array([second * 1_000_000 + 999_999 for second in instants], pa.int64())
    assert zone_offsets(micros, zone).to_pylist() == [expected(zone, second) for second in instants]


def test_no_zone_changes_twice_within_a_day() -> None:
    """A whole day is judged by its two ends."""
    tables = [PythonZoneInfo(name)._trans_utc for name in ZONES]
    assert min(later - earlier for table in tables for earlier, later in pairwise(table)) > DAY


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(ZONES), st.lists(st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), max_size=9)
)
def test_instants_are_shown_as_isoformat_shows_them(name: str, moments: list[datetime | None]) -> None:
    zone = ZoneInfo(name)
    aware = [None if moment is None else moment.replace(tzinfo=UTC) for moment in moments]
    written = write_instants(pa.array(aware, pa.timestamp("us", tz="UTC")), "iso", zone)
    assert written.to_pylist() == [None if moment is None else moment.astimezone(zone).isoformat() for moment in aware]


def test_the_ends_of_the_calendar_have_offsets_too() -> None:
    first, last = (
        (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1) for moment in (datetime.min, datetime.max)
    )
    assert offset_at(ZoneInfo("America/New_York"), first) == -17762
    assert offset_at(ZoneInfo("Asia/Seoul"), last) == 32400
    assert offset_at(ZoneInfo("Australia/Sydney"), last) == 39600


def test_division_rounds_down() -> None:
    assert floor_divide(pa.array([-1, 0, 1, -10, None], pa.int64()), 10).to_pylist() == [-1, 0, 0, -1, None]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "+00:00"), (-1, "-00:00:01"), (34200, "+09:30"), (-12600, "-03:30"), (30472, "+08:27:52")]
)
def test_offsets_as_text(seconds: int, text: str) -> None:
    assert write_offset(seconds) == text
