"""Cron expressions: what they name, and that every one comes exactly when an independent oracle says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from batchxfer.cron import Cron, days, nearest_weekday
from batchxfer.occurrences import CronOccurrences
from tests.oracles.cron import EPOCH, EPOCH_DAY, day_matches, walk

ZONES = [
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Beirut",
    "America/Nuuk",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Seoul",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "UTC",
]
FIXED = [
    "0 0 * * *",
    "30 2 * * *",
    "0 3 * * 1-5",
    "15,45 0-3 * * *",
    "0 6,18 * * *",
    "30 23 * * 6,0",
    "0,30 0,23 * * *",
    "0 0 1 * *",
    "5 4 L * *",
    "0 7 LW * *",
    "0 9 * * 5L",
    "30 0 * * 1#1,7#4",
    "0 12 15W,31W * *",
    "10 1 13 * FRI",
    "0-59/20 0-4 * * 7",
    "0 2 29 2 *",
    "0 0 */2 * mon",
    "0 1-3/2 * jan-mar,oct sun",
]
REAL = [
    "*/30 * * * *",
    "0 * * * *",
    "7-59/15 */6 * * *",
    "*/15 1-3 * * *",
    "*/20 2 * * 7",
    "59 *,23 * * *",
]
FIRST, LAST = 2026, 2028
BEGIN, END = datetime(FIRST, 1, 1, tzinfo=UTC), datetime(LAST + 1, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def occurrences(expression: str, zone: str) -> CronOccurrences:
    return CronOccurrences(cron=Cron.parse(expression), zone=ZoneInfo(zone), closures=None)


def in_minutes(found) -> tuple[int, int]:
    return int((found.at - EPOCH) / MINUTE), (found.day - EPOCH_DAY).days


@pytest.mark.parametrize("zone", ZONES)
def test_each_schedule_comes_exactly_when_a_walk_through_every_minute_says(zone):
    for expression in FIXED + REAL:
        expected = walk(expression, ZoneInfo(zone), FIRST, LAST)
        comes = []
        for found in occurrences(expression, zone).forward(BEGIN):
            if found.at >= END:
                break
            comes.append(in_minutes(found))
        assert comes == expected, expression


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "America/Nuuk", "Europe/Berlin", "Africa/Cairo"])
def test_backward_is_forward_from_the_end(zone):
    for expression in FIXED + REAL:
        source = occurrences(expression, zone)
        forward = []
        for found in source.forward(BEGIN):
            if found.at >= datetime(2027, 1, 1, tzinfo=UTC):
                break
            forward.append(found)
        backward = []
        for found in source.backward(datetime(2027, 1, 1, tzinfo=UTC) - timedelta.resolution):
            if found.at < BEGIN:
                break
            backward.append(found)
        assert backward[::-1] == forward, expression


def test_where_one_begins_to_look_changes_nothing():
    source = occurrences("0,30 0-3,23 * * *", "America/Nuuk")
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    whole = [found for found, _ in zip(source.forward(change - timedelta(days=2)), range(60), strict=False)]
    assert whole[-1].at > change + timedelta(days=2)
    for minutes in range(-180, 180):
        since = change + minutes * MINUTE
        assert next(source.forward(since)) == next(found for found in whole if found.at >= since)
        assert next(source.backward(since)) == [found for found in whole if found.at <= since][-1]


# --- the named changes, by hand ------------------------------------------------------------------


def around(expression: str, zone: str, day: date) -> list[str]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=12)
    found = []
    for occurrence in occurrences(expression, zone).forward(start):
        if occurrence.at > start + timedelta(hours=48):
            return found
        found.append(occurrence.at.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


def test_a_fixed_slot_in_a_gap_comes_at_the_first_instant_after():
    assert around("30 2 * * *", "Europe/Berlin", date(2026, 3, 29)) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_several_fixed_slots_in_a_gap_merge():
    assert around("0,15,30,45 2,3 * * *", "Europe/Berlin", date(2026, 3, 29))[:4] == [
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:15+02:00",
        "2026-03-29T03:30+02:00",
        "2026-03-29T03:45+02:00",
    ]


def test_a_fixed_slot_in_a_fold_comes_once_the_first_time():
    assert around("30 2 * * *", "Europe/Berlin", date(2026, 10, 25)) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_a_schedule_that_follows_real_time_comes_twice_in_a_fold_and_not_in_a_gap():
    assert around("*/30 2 * * *", "Europe/Berlin", date(2026, 10, 25))[:4] == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
    ]
    assert around("*/30 2 * * *", "Europe/Berlin", date(2026, 3, 29)) == [
        "2026-03-30T02:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_midnight_that_the_clock_jumps_over_is_not_lost():
    assert around("0 0 * * *", "Africa/Cairo", date(2026, 4, 24)) == [
        "2026-04-24T01:00+03:00",
        "2026-04-25T00:00+03:00",
    ]


def test_half_an_hour_is_a_gap_and_a_fold_too():
    assert around("15 2 * * *", "Australia/Lord_Howe", date(2026, 10, 4))[0] == "2026-10-04T02:30+11:00"
    assert around("45 1 * * *", "Australia/Lord_Howe", date(2026, 4, 5)) == [
        "2026-04-05T01:45+11:00",
        "2026-04-06T01:45+10:30",
    ]


def test_a_day_that_a_zone_left_out_merges_into_the_next():
    assert around("0 12 * * *", "Pacific/Apia", date(2011, 12, 30)) == [
        "2011-12-29T12:00-10:00",
        "2011-12-31T00:00+14:00",
        "2011-12-31T12:00+14:00",
    ]


def test_the_latest_of_merged_slots_gives_the_day():
    source = occurrences("0,30 0,23 * * *", "America/Nuuk")
    found = [f for f, _ in zip(source.forward(datetime(2026, 3, 28, 1, tzinfo=UTC)), range(6), strict=False)]
    merged = [f for f in found if f.at == datetime(2026, 3, 29, 1, tzinfo=UTC)]
    assert [f.day for f in merged] == [date(2026, 3, 29)]


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * 32W * *", "day of month '32W'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * 1#6", "day of week '1#6'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("5-1 * * * *", "minute '5-1'"),
        (", * * * *", "minute ','"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("@daily", 'has 1 field; write "0 0 * * *"'),
        ("daily", "has 1 field; it takes five: minute, hour"),
        ("", "0 fields"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("0 0 30W,31 2 *", "never comes"),
        (
            "0 6 * * sat-sun",
            "day of week 'SAT-SUN' is wrong; it takes 0 to 7 and SUN to SAT (0 and 7 are Sunday: the weekend",
        ),
        ("0 24 * * *", "hour '24' is wrong; it takes 0 to 23, with *, lists, ranges that go up, and /"),
        ("0 0 31W 2,4,6,9,11 *", "never comes"),
    ],
)
def test_a_wrong_expression_is_refused_and_says_where(text, message):
    with pytest.raises(ValueError, match="cron") as raised:
        Cron.parse(text)
    assert message in str(raised.value)


def test_zero_and_seven_are_sunday():
    assert all(
        Cron.parse(text).on(date(2026, 11, 22)) and not Cron.parse(text).on(date(2026, 11, 23))
        for text in ("0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN", "0 0 * * 6-7")
    )


def test_a_leap_day_that_is_a_fifth_monday_is_waited_for():
    assert list(days(Cron.parse("0 0 * 2 1#5").on, date(2026, 1, 1), date(2045, 1, 1))) == [date(2044, 2, 29)]


def test_days_match_the_oracle_for_twelve_years():
    for text in (*FIXED, "0 0 1W * *", "0 0 30W,L * *", "0 0 10-20 * 1-5", "0 0 * * 0L,3#2", "0 0 1,15 */3 2"):
        cron = Cron.parse(text)
        for number in range(366 * 12):
            day = date(2024, 1, 1) + timedelta(days=number)
            assert cron.on(day) == day_matches(text, day), (text, day)


def test_the_nearest_weekday_stays_in_its_month():
    assert nearest_weekday(2026, 8, 1) == date(2026, 8, 3)  # a Saturday
    assert nearest_weekday(2026, 5, 31) == date(2026, 5, 29)  # a Sunday
    assert nearest_weekday(2026, 8, 15) == date(2026, 8, 14)
    assert nearest_weekday(2026, 2, 30) is None
