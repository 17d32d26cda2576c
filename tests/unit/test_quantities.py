"""Durations and sizes as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.quantities import LONGEST, format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1w2d3h4m5s", timedelta(days=9, hours=3, minutes=4, seconds=5)),
        ("90m", timedelta(minutes=90)),
        ("0s", timedelta()),
    ],
)
def test_durations_have_units(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", " 5m", "5m ", "5M", "1.5h", "-5m", "30m1h", "5m5m", "m", "PT5M", "٥m", "5min", "999999w"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is longer than"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(), max_value=LONGEST))
def test_a_duration_reads_back_equal(duration: timedelta) -> None:
    whole = timedelta(seconds=int(duration.total_seconds()))
    assert parse_duration(format_duration(duration)) == whole


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (60, "1m"), (5400, "1h30m"), (90061, "1d1h1m1s"), (7776000, "90d")]
)
def test_a_duration_is_written_with_the_largest_units(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("7B", 7),
        ("64kB", 64_000),
        ("64KiB", 65_536),
        ("4GiB", 4 * 1024**3),
        ("2 MB", 2_000_000),
        ("1TiB", 1024**4),
    ],
)
def test_sizes_are_decimal_or_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "4G", "4gib", "1.5GiB", "-1", "4  GiB", "4GiB "])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
