"""Slots with their intervals and business dates."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from batchxfer.calendars import OpenDays
from batchxfer.definitions import DateOffset, Schedule
from batchxfer.errors import UsageError
from batchxfer.slots import Timetable, cutoff_of
from tests.oracles.cron import EPOCH, EPOCH_DAY, walk

BERLIN, SEOUL, CAIRO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Seoul"), ZoneInfo("Africa/Cairo")
KOREA = OpenDays(base="KR")
DAY = timedelta(days=1)
HARD_ZONES = ["Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Asia/Beirut", "America/Nuuk", "Europe/Berlin"]


def timetable(zone: ZoneInfo = SEOUL, calendar: OpenDays | None = None, **keys) -> Timetable:
    return Timetable(Schedule(**keys), zone, calendar)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shown(due, zone: ZoneInfo = SEOUL) -> tuple[str, str, str, str]:
    times = (due.slot, due.interval_start, due.interval_end)
    return (*(at.astimezone(zone).strftime("%m-%d %H:%M") for at in times), due.business_date.isoformat())


# --- asking --------------------------------------------------------------------------------------


def test_slots_leave_the_first_end_out_and_between_the_last():
    daily = timetable(cron="0 6 * * *", timezone=ZoneInfo("UTC"))
    first, last = utc("2026-05-01T06:00"), utc("2026-05-03T06:00")
    assert [due.slot.day for due in daily.slots(first, last)] == [2, 3]
    assert [due.slot.day for due in daily.between(first, last)] == [1, 2]
    assert list(daily.slots(last, first)) == []
    assert list(daily.slots(first, first)) == []


def test_latest_is_at_or_before_and_next_is_after():
    daily = timetable(cron="0 6 * * *", timezone=ZoneInfo("UTC"))
    at = utc("2026-05-01T06:00")
    assert daily.latest(at).slot == at
    assert daily.latest(at - timedelta.resolution).slot == at - DAY
    assert [due.slot for due in daily.next(at, 2)] == [at + DAY, at + 2 * DAY]
    assert daily.next(at - timedelta.resolution, 1)[0].slot == at


def test_an_instant_may_be_in_any_zone_but_not_naive():
    daily = timetable(cron="0 6 * * *")
    assert daily.latest(datetime(2026, 5, 1, 6, tzinfo=SEOUL)).slot == utc("2026-04-30T21:00")
    with pytest.raises(ValueError, match="without a time zone"):
        daily.latest(datetime(2026, 5, 1))


def test_find_names_the_nearest_slots_for_an_instant_off_the_schedule():
    daily = timetable(cron="0 6 * * *")
    assert daily.find(datetime(2026, 5, 1, 6, tzinfo=SEOUL)).slot == utc("2026-04-30T21:00")
    with pytest.raises(UsageError) as raised:
        daily.find(datetime(2026, 5, 1, 6, 1, tzinfo=SEOUL))
    assert raised.value.message == (
        "2026-05-01T06:01:00+09:00 is not a slot of the schedule (cron '0 6 * * *' in Asia/Seoul)"
    )
    assert raised.value.hint == "the nearest slots are 2026-05-01T06:00:00+09:00 and 2026-05-02T06:00:00+09:00"
    with pytest.raises(UsageError, match=r"is not a slot of the schedule \(every 1h in Asia/Seoul\)"):
        timetable(every="1h").find(datetime(2026, 5, 1, 6, 1, tzinfo=SEOUL))


def test_a_slot_in_a_fold_is_one_instant_not_two():
    daily = timetable(BERLIN, cron="30 2 * * *")
    assert daily.find(datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=BERLIN)).slot == utc("2026-10-25T00:30")
    with pytest.raises(UsageError):
        daily.find(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN))


def test_a_job_without_schedule_has_no_slots_but_its_local_day_by_hand():
    by_hand = Timetable(None, CAIRO)
    now = utc("2026-04-24T12:34:56")
    assert (by_hand.latest(now), by_hand.next(now, 3), list(by_hand.slots(now - DAY, now))) == (None, [], [])
    due = by_hand.by_hand(now)
    # Cairo's clock jumps over the midnight of that day: it begins at 01:00.
    assert due.slot == now
    assert (due.interval_start, due.interval_end) == (utc("2026-04-23T22:00"), utc("2026-04-24T21:00"))
    assert due.business_date == date(2026, 4, 24)
    with pytest.raises(UsageError, match="no schedule"):
        by_hand.find(now)


def test_where_one_begins_to_ask_changes_no_slot():
    hourly = timetable(BERLIN, OpenDays(base="DE"), cron="30 */5 * * *", on_closed="next")
    dues = list(hourly.slots(utc("2026-10-20T00:00"), utc("2026-10-30T00:00")))
    for due in dues:
        assert hourly.find(due.slot) == due
        assert hourly.latest(due.slot + timedelta(minutes=7)) == due
        assert hourly.next(due.slot - timedelta(seconds=1), 1) == [due]
    assert [*hourly.slots(utc("2026-10-20T00:00"), dues[7].slot), *hourly.slots(dues[7].slot, dues[-1].slot)] == dues


# --- start ---------------------------------------------------------------------------------------


def test_no_slot_comes_before_start():
    daily = timetable(cron="0 6 * * *", start=date(2026, 5, 2))
    before, first = utc("2026-04-30T21:00"), utc("2026-05-01T21:00")
    assert [due.slot for due in daily.slots(before - 9 * DAY, first)] == [first]
    assert daily.latest(first - timedelta.resolution) is None
    assert daily.latest(first).slot == first
    assert daily.next(before, 1)[0].slot == first
    with pytest.raises(UsageError, match="starts at 2026-05-02T00:00:00") as raised:
        daily.find(before)
    assert raised.value.hint == "the nearest slot is 2026-05-02T06:00:00+09:00"


def test_start_is_midnight_or_a_time_in_the_schedule_s_zone_or_an_instant():
    assert timetable(cron="0 6 * * *", start=date(2026, 5, 2)).start == utc("2026-05-01T15:00")
    assert timetable(cron="0 6 * * *", start=datetime(2026, 5, 2, 7)).start == utc("2026-05-01T22:00")
    assert timetable(cron="0 6 * * *", start=utc("2026-05-02T07:00")).start == utc("2026-05-02T07:00")
    assert timetable(CAIRO, cron="0 6 * * *", start=date(2026, 4, 24)).start == utc("2026-04-23T22:00")


def test_a_slot_at_start_is_a_slot_and_its_interval_is_as_long_as_any():
    daily = timetable(cron="0 6 * * *", start=datetime(2026, 5, 2, 6))
    assert shown(daily.next(utc("2026-01-01T00:00"), 1)[0]) == (
        "05-02 06:00",
        "05-01 06:00",
        "05-02 06:00",
        "2026-05-02",
    )


# --- every ---------------------------------------------------------------------------------------


def test_every_is_anchored_at_start_or_at_1970():
    plain = timetable(every=timedelta(hours=7))
    assert all((due.slot - EPOCH) % timedelta(hours=7) == timedelta() for due in plain.next(utc("2026-05-01T00:00"), 9))
    anchored = timetable(every=timedelta(hours=7), start=datetime(2026, 5, 1, 1, 30))
    assert [shown(due)[:2] for due in anchored.next(utc("2020-01-01T00:00"), 3)] == [
        ("05-01 01:30", "04-30 18:30"),
        ("05-01 08:30", "05-01 01:30"),
        ("05-01 15:30", "05-01 08:30"),
    ]


def test_every_follows_real_time_through_a_clock_change():
    daily = timetable(BERLIN, every=DAY, start=datetime(2026, 3, 28, 2, 30))
    assert [shown(due, BERLIN)[0] for due in daily.next(utc("2026-03-27T00:00"), 3)] == [
        "03-28 02:30",
        "03-29 03:30",
        "03-30 03:30",
    ]


def test_every_over_a_calendar_skips_or_moves():
    keys = {"every": timedelta(hours=12), "start": datetime(2026, 2, 13, 6)}
    assert [shown(due)[0] for due in timetable(calendar=KOREA, **keys).next(utc("2026-02-12T00:00"), 4)] == [
        "02-13 06:00",
        "02-13 18:00",
        "02-19 06:00",
        "02-19 18:00",
    ]
    shifted = {**keys, "every": timedelta(hours=40)}  # 13 06:00, 14 22:00, 16 14:00, 18 06:00, 19 22:00, 21 14:00
    assert [
        shown(due) for due in timetable(calendar=KOREA, on_closed="next", **shifted).next(utc("2026-02-12T00:00"), 5)
    ] == [
        ("02-13 06:00", "02-11 14:00", "02-13 06:00", "2026-02-13"),
        ("02-19 06:00", "02-13 06:00", "02-19 06:00", "2026-02-19"),
        ("02-19 14:00", "02-19 06:00", "02-19 14:00", "2026-02-19"),
        ("02-19 22:00", "02-19 14:00", "02-19 22:00", "2026-02-19"),
        ("02-23 06:00", "02-19 22:00", "02-23 06:00", "2026-02-23"),
    ]


@pytest.mark.parametrize("on_closed", ["skip", "next", "previous"])
def test_every_backward_is_forward_from_the_end(on_closed):
    schedule = timetable(CAIRO, OpenDays(base="EG"), every=timedelta(hours=5, minutes=30), on_closed=on_closed)
    dues = list(schedule.slots(utc("2026-04-01T00:00"), utc("2026-06-01T00:00")))
    assert all(schedule.find(due.slot) == due for due in dues)
    assert all(earlier.slot < later.slot for earlier, later in pairwise(dues))


# --- calendars -----------------------------------------------------------------------------------


def test_a_closed_day_is_skipped_and_the_next_interval_covers_it():
    daily = timetable(calendar=KOREA, cron="0 6 * * *")
    assert [shown(due) for due in daily.next(utc("2026-02-12T12:00"), 3)] == [
        ("02-13 06:00", "02-12 06:00", "02-13 06:00", "2026-02-13"),
        ("02-19 06:00", "02-13 06:00", "02-19 06:00", "2026-02-19"),
        ("02-20 06:00", "02-19 06:00", "02-20 06:00", "2026-02-20"),
    ]


def test_a_slot_moves_to_the_previous_or_next_open_day_at_the_same_time():
    first_of_month = {"cron": "0 6 1 * *", "calendar": KOREA}  # 1 August 2026 is a Saturday
    after = utc("2026-07-15T00:00")
    assert shown(timetable(**first_of_month, on_closed="next").next(after, 1)[0])[::3] == ("08-03 06:00", "2026-08-03")
    assert shown(timetable(**first_of_month, on_closed="previous").next(after, 1)[0])[::3] == (
        "07-31 06:00",
        "2026-07-31",
    )


def test_slots_moved_to_one_instant_are_one():
    daily = timetable(calendar=KOREA, cron="0 6,18 * * *", on_closed="next")
    dues = daily.next(utc("2026-02-13T00:00"), 4)
    assert [shown(due)[0] for due in dues] == ["02-13 18:00", "02-19 06:00", "02-19 18:00", "02-20 06:00"]


def test_a_schedule_that_only_knows_closed_days_has_no_slots():
    assert timetable(calendar=KOREA, cron="0 6 * * 6").next(utc("2026-01-01T00:00"), 1) == []


# --- business dates and intervals ----------------------------------------------------------------


def test_the_business_date_is_the_local_date_that_was_meant_not_the_shifted_one():
    # The clock of Nuuk jumps from 23:00 to midnight: the slot comes on the next day, and still reports on the day before.
    nuuk = ZoneInfo("America/Nuuk")
    due = timetable(nuuk, cron="30 23 * * *").find(utc("2026-03-29T01:00"))
    assert due.slot.astimezone(nuuk).date() == date(2026, 3, 29)
    assert due.business_date == date(2026, 3, 28)


def test_a_date_offset_counts_days_or_open_days():
    monday = datetime(2026, 2, 23, 6, tzinfo=SEOUL)
    keys = {"cron": "0 6 * * *", "calendar": KOREA}
    assert timetable(**keys, date_offset=DateOffset(-1)).find(monday).business_date == date(2026, 2, 22)
    assert timetable(**keys, date_offset=DateOffset(-1, True)).find(monday).business_date == date(2026, 2, 20)
    assert timetable(**keys, date_offset=DateOffset(2, True)).find(monday).business_date == date(2026, 2, 25)


def test_open_days_cannot_be_counted_without_a_calendar():
    with pytest.raises(ValueError, match="calendar"):
        timetable(cron="0 6 * * *", date_offset=DateOffset(-1, True))


def test_lag_moves_both_ends_back():
    due = timetable(cron="0 6 * * *", lag=timedelta(minutes=10)).find(datetime(2026, 5, 1, 6, tzinfo=SEOUL))
    assert shown(due) == ("05-01 06:00", "04-30 05:50", "05-01 05:50", "2026-05-01")


def test_days_are_whole_local_days_up_to_the_end_of_the_business_date():
    weekdays = timetable(BERLIN, cron="0 6 * * 1-5", interval="days", date_offset=DateOffset(-1))
    friday, monday = weekdays.next(utc("2026-03-27T00:00"), 2)
    assert shown(friday, BERLIN) == ("03-27 06:00", "03-26 00:00", "03-27 00:00", "2026-03-26")
    assert shown(monday, BERLIN) == ("03-30 06:00", "03-27 00:00", "03-30 00:00", "2026-03-29")
    assert monday.interval_end - monday.interval_start == timedelta(hours=71)  # the clock was set forward on Sunday


@pytest.mark.parametrize("interval", ["slots", "days"])
@pytest.mark.parametrize("zone", HARD_ZONES)
@pytest.mark.parametrize(
    "keys",
    [
        {"cron": "30 0,2,23 * * *"},
        {"cron": "*/30 */3 * * *"},
        {"cron": "0 0 * * *", "date_offset": DateOffset(-1)},
        {"cron": "15 2 * * *", "calendar": OpenDays(base="DE"), "on_closed": "next"},
        {
            "cron": "15 2 * * *",
            "calendar": OpenDays(base="DE"),
            "on_closed": "previous",
            "date_offset": DateOffset(-1, True),
        },
        {"every": timedelta(hours=7)},
        {"every": timedelta(hours=9), "calendar": OpenDays(base="DE"), "on_closed": "previous"},
    ],
    ids=lambda keys: str(keys.get("cron") or keys.get("every")),
)
def test_intervals_tile_time(zone, keys, interval):
    schedule = timetable(ZoneInfo(zone), interval=interval, **keys)
    dues = list(schedule.slots(utc("2026-02-20T00:00"), utc("2026-11-20T00:00")))
    assert len(dues) > 100
    for earlier, later in pairwise(dues):
        assert earlier.slot < later.slot
        assert earlier.interval_end == later.interval_start <= later.interval_end


@pytest.mark.parametrize("zone", HARD_ZONES)
def test_business_dates_are_those_of_the_minute_by_minute_walk(zone):
    for expression in ("0,30 0,23 * * *", "15 2 * * *", "45 */4 * * *", "0 0 1,15 * *"):
        schedule = timetable(ZoneInfo(zone), cron=expression)
        dues = schedule.between(utc("2026-01-01T00:00"), utc("2027-01-01T00:00"))
        told = [((due.slot - EPOCH) // timedelta(minutes=1), (due.business_date - EPOCH_DAY).days) for due in dues]
        assert told == walk(expression, ZoneInfo(zone), 2026, 2026)


# --- cutoff --------------------------------------------------------------------------------------


def test_a_cutoff_is_the_first_such_time_after_the_slot_or_a_duration():
    slot = datetime(2026, 5, 1, 6, tzinfo=SEOUL)
    assert cutoff_of(None, SEOUL, slot) is None
    assert cutoff_of(Schedule(cron="0 6 * * *"), SEOUL, slot) is None
    assert cutoff_of(Schedule.model_validate({"cron": "0 6 * * *", "cutoff": "4h"}), SEOUL, slot) == utc(
        "2026-05-01T01:00"
    )
    at_seven = Schedule.model_validate({"cron": "0 6 * * *", "cutoff": "07:00"})
    assert cutoff_of(at_seven, SEOUL, slot) == utc("2026-04-30T22:00")
    assert cutoff_of(at_seven, SEOUL, slot + timedelta(hours=1)) == utc("2026-05-01T22:00")
    theirs = Schedule.model_validate({"cron": "0 6 * * *", "cutoff": "07:00", "cutoff_timezone": "Europe/Berlin"})
    assert cutoff_of(theirs, SEOUL, slot) == utc("2026-05-01T05:00")


def test_a_cutoff_in_a_gap_is_the_first_instant_after():
    keys = {"cron": "0 0 * * *", "cutoff": "02:30"}
    assert cutoff_of(Schedule.model_validate(keys), BERLIN, utc("2026-03-28T23:00")) == utc("2026-03-29T01:00")


# --- speed ---------------------------------------------------------------------------------------


def test_a_thousand_jobs_know_their_next_slot_at_once():
    tables = [timetable(BERLIN, cron=f"{number % 60} {number % 24} * * *") for number in range(1000)]
    began = time.process_time()
    assert all(table.next(utc("2026-05-01T00:00"), 1) for table in tables)
    assert time.process_time() - began < 0.5


def test_a_year_of_hours_takes_less_than_a_second():
    began = time.process_time()
    dues = timetable(BERLIN, cron="0 * * * *").slots(utc("2026-01-01T00:00"), utc("2027-01-01T00:00"))
    assert sum(1 for _ in dues) == 8760
    assert time.process_time() - began < 1


def test_slots_come_one_by_one_without_end():
    assert (
        len(list(islice(timetable(cron="* * * * *").slots(utc("2026-01-01T00:00"), utc("2999-01-01T00:00")), 5))) == 5
    )
