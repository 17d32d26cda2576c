"""Open and closed days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from batchxfer import definitions
from batchxfer.calendars import OpenDays, bases, closed_days, find
from batchxfer.errors import UserError

SEOLLAL = [date(2026, 2, 16), date(2026, 2, 17), date(2026, 2, 18)]


def test_a_country_code_is_a_calendar_with_its_weekends_and_holidays():
    korea = find("KR", {})
    assert not any(korea.is_open(day) for day in SEOLLAL)
    assert korea.is_open(date(2026, 2, 19))
    assert not korea.is_open(date(2026, 2, 21))  # a Saturday


def test_weekends_come_from_the_base():
    emirates, israel = find("AE", {}), find("IL", {})
    assert emirates.is_open(date(2026, 11, 20))
    assert not emirates.is_open(date(2026, 11, 21))
    assert not israel.is_open(date(2026, 11, 20))
    assert israel.is_open(date(2026, 11, 22))


def test_a_weekend_day_worked_in_lieu_is_open():
    assert find("CN", {}).is_open(date(2025, 1, 26))  # a Sunday, worked before the Spring Festival


def test_a_market_and_a_part_of_a_country_are_bases_too():
    assert not find("XNYS", {}).is_open(date(2026, 4, 3))  # Good Friday, no federal holiday
    assert find("US", {}).is_open(date(2026, 4, 3))
    assert not find("DE-BY", {}).is_open(date(2026, 1, 6))
    assert find("DE", {}).is_open(date(2026, 1, 6))


def test_own_days_come_before_the_base():
    calendar = definitions.Calendar(base="KR", open=(SEOLLAL[0],), closed=(date(2026, 2, 19),))
    days = find("bank", {"bank": calendar})
    assert days.is_open(SEOLLAL[0])
    assert not days.is_open(SEOLLAL[1])
    assert not days.is_open(date(2026, 2, 19))


def test_without_a_base_every_day_is_open_but_those_closed():
    days = find("own", {"own": definitions.Calendar(closed=(date(2026, 5, 1),))})
    assert not days.is_open(date(2026, 5, 1))
    assert days.is_open(date(2026, 5, 2))  # a Saturday


def test_a_calendar_named_like_a_country_is_one_s_own():
    assert find("KR", {"KR": definitions.Calendar()}).is_open(SEOLLAL[0])


@pytest.mark.parametrize(
    ("name", "calendars", "message"),
    [
        ("KOREA", {}, "unknown calendar 'KOREA'"),
        ("kr", {}, "did you mean 'KR'"),
        ("banks", {"bank": definitions.Calendar()}, "did you mean 'bank'"),
        ("bank", {"bank": definitions.Calendar(base="XX")}, "unknown country or market 'XX'"),
        (
            "bank",
            {"bank": definitions.Calendar(open=(date(2026, 5, 1),), closed=(date(2026, 5, 1),))},
            "2026-05-01 is both open and closed",
        ),
    ],
)
def test_an_unknown_calendar_is_refused_and_says_what_was_meant(name, calendars, message):
    with pytest.raises(ValueError, match=r"unknown|both") as raised:
        find(name, calendars)
    assert message in str(raised.value)


def test_open_days_are_counted_in_both_directions():
    korea = find("KR", {})
    assert korea.shift(date(2026, 2, 19), -1) == date(2026, 2, 13)
    assert korea.shift(date(2026, 2, 13), 1) == date(2026, 2, 19)
    assert korea.shift(date(2026, 2, 17), 0) == date(2026, 2, 17)
    assert korea.shift(date(2026, 2, 20), -3) == date(2026, 2, 12)


def test_a_calendar_that_never_opens_is_refused_not_searched_for_ever():
    days = OpenDays(closed=frozenset(date(2026, 1, 1) + timedelta(days=number) for number in range(900)))
    with pytest.raises(UserError, match="no open day"):
        days.next_open(date(2026, 1, 1))


def test_every_base_knows_its_days():
    for base in sorted(bases())[::60]:
        assert 52 <= len(closed_days(base, 2026)) <= 200, base
