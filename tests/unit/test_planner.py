"""Which slots are run, skipped and merged; that time is planned once and intervals tile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.definitions import Schedule
from batchxfer.model import Due, Mark, Plan
from batchxfer.planner import CatchUp, first_seen, plan
from batchxfer.slots import Timetable

MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURLY = Timetable(Schedule(cron="0 * * * *"), ZoneInfo("UTC"))
DAILY = Timetable(Schedule(cron="0 6 * * *"), ZoneInfo("Europe/Berlin"))


def rule(kind, window=timedelta(hours=72), on_time=timedelta(minutes=30)):
    return CatchUp(kind=kind, window=window, on_time=on_time)


def mark(at, end=None):
    return Mark(job="orders", first_seen=at, planned_until=at, interval_end=end)


def hours(slots):
    return [round((due.slot - MONDAY) / HOUR) for due in slots]


def test_a_job_owes_nothing_before_it_was_first_seen():
    seen = first_seen("orders", HOURLY, MONDAY)
    assert plan(HOURLY, seen, MONDAY, rule("all")).due == ()
    assert hours(plan(HOURLY, seen, MONDAY + HOUR, rule("all")).due) == [1]


def test_a_slot_is_planned_once_whatever_the_clock_does():
    first = plan(HOURLY, mark(MONDAY), MONDAY + 2 * HOUR, rule("all"))
    assert hours(first.due) == [1, 2]
    back = plan(HOURLY, first.mark, MONDAY + HOUR, rule("all"))
    assert back == Plan(mark=first.mark)
    assert hours(plan(HOURLY, back.mark, MONDAY + 3 * HOUR, rule("all")).due) == [3]


def test_all_runs_what_the_window_holds_and_says_why_the_rest_is_skipped():
    found = plan(DAILY, mark(MONDAY - 5 * DAY), MONDAY, rule("all"))
    assert [due.slot.day for due in found.due] == [21, 22, 23]
    assert [(s.due.slot.day, s.reason) for s in found.skipped] == [
        (19, "missed longer ago than catch_up_window"),
        (20, "missed longer ago than catch_up_window"),
    ]


def test_latest_runs_the_last_slot_alone():
    found = plan(HOURLY, mark(MONDAY), MONDAY + 4 * HOUR, rule("latest"))
    assert hours(found.due) == [4]
    assert hours(s.due for s in found.skipped) == [1, 2, 3]


def test_none_runs_only_what_is_on_time():
    late = MONDAY + 4 * HOUR + timedelta(minutes=31)
    assert plan(HOURLY, mark(MONDAY), late, rule("none")).due == ()
    assert hours(plan(HOURLY, mark(MONDAY), MONDAY + 4 * HOUR, rule("none")).due) == [4]


def test_merge_runs_the_latest_slot_over_the_whole_missed_time():
    found = plan(HOURLY, mark(MONDAY), MONDAY + 100 * HOUR, rule("merge"))
    assert found.due == (
        Due(
            slot=MONDAY + 100 * HOUR,
            interval_start=MONDAY,
            interval_end=MONDAY + 100 * HOUR,
            business_date=(MONDAY + 100 * HOUR).date(),
        ),
    )
    assert len(found.skipped) == 99
    assert all(skipped.merged for skipped in found.skipped)


def test_more_than_a_hundred_skipped_slots_become_one_count():
    found = plan(HOURLY, mark(MONDAY - 400 * HOUR), MONDAY, rule("latest"))
    assert hours(found.due) == [0]
    assert (len(found.skipped), found.uncounted) == (100, 299)


def test_disabled_time_owes_no_slots():
    idle = plan(HOURLY, mark(MONDAY, MONDAY), MONDAY + 5 * HOUR, rule("all"), enabled=False)
    assert (idle.due, idle.skipped) == ((), ())
    later = plan(HOURLY, idle.mark, MONDAY + 6 * HOUR, rule("all"))
    assert [(d.interval_start, d.interval_end) for d in later.due] == [(MONDAY + 5 * HOUR, MONDAY + 6 * HOUR)]


def test_a_changed_schedule_goes_on_where_the_last_planned_slot_ended():
    before = plan(DAILY, mark(MONDAY - DAY), MONDAY, rule("all"))
    ended = before.due[-1].interval_end
    after = plan(HOURLY, before.mark, MONDAY + 2 * HOUR, rule("all"))
    assert after.due[0].interval_start == ended
    assert after.due[0].interval_end == MONDAY + HOUR


@pytest.mark.parametrize("kind", ["all", "merge"])
@given(ticks=st.lists(st.integers(min_value=-7200, max_value=400_000), min_size=1, max_size=12), data=st.data())
def test_planned_intervals_tile_time_over_any_ticks_and_schedules(kind, ticks, data):
    now, end = MONDAY, None
    current = first_seen("orders", DAILY, now)
    covered = current.interval_end
    for seconds in ticks:
        now += timedelta(seconds=seconds)
        timetable = data.draw(st.sampled_from([DAILY, HOURLY]))
        found = plan(timetable, current, now, rule(kind, window=timedelta(days=3650)))
        for due in found.due:
            assert due.interval_start == covered
            assert due.interval_end >= covered
            assert end is None or due.slot > end
            covered, end = due.interval_end, due.slot
        current = found.mark
