"""What `plan` shows."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from batchxfer.calendars import OpenDays
from batchxfer.definitions import Schedule
from batchxfer.families import Destination, Names
from batchxfer.paths import parse_path
from batchxfer.planned import rows
from batchxfer.slots import Timetable

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")


def names(schedule: Schedule | None, calendar: OpenDays | None = None) -> Names:
    return Names(
        job="orders",
        timetable=Timetable(schedule, SEOUL, calendar),
        path=parse_path("out/{business_date:%Y%m%d}_{slot_local:%H%M}.csv"),
        destinations=(Destination(endpoint="bank-eu", place="p", root=".", zone=BERLIN),),
    )


DAILY = names(Schedule(cron="0 6 * * *"))


def test_a_row_shows_the_slot_on_every_clock_with_its_paths():
    (row,) = rows(DAILY, datetime(2026, 11, 22, tzinfo=UTC), days=1)
    assert row.slot.isoformat() == "2026-11-23T06:00:00+09:00"
    assert row.slot_utc.isoformat() == "2026-11-22T21:00:00+00:00"
    assert row.weekday == "Mon"
    assert [at.isoformat() for at in row.interval] == ["2026-11-22T06:00:00+09:00", "2026-11-23T06:00:00+09:00"]
    assert row.due.business_date.isoformat() == "2026-11-23"
    (delivery,) = row.deliveries
    assert (delivery.endpoint, delivery.path) == ("bank-eu", "out/20261123_2200.csv")
    assert delivery.slot_local.isoformat() == "2026-11-22T22:00:00+01:00"
    assert row.notes == ()


def test_days_are_24_hours_each_and_half_open():
    start = datetime(2026, 5, 1, 6, tzinfo=SEOUL)
    assert [row.slot.day for row in rows(DAILY, start, days=3)] == [1, 2, 3]
    assert [row.slot.day for row in rows(DAILY, start, days=3, count=2)] == [1, 2]
    assert [row.slot.day for row in rows(DAILY, start, count=4)] == [1, 2, 3, 4]


def test_without_a_number_there_are_ten_and_without_a_schedule_none():
    start = datetime(2026, 5, 1, 6, tzinfo=SEOUL)
    assert len(list(rows(DAILY, start))) == 10
    assert list(rows(names(None), start, days=9)) == []


def test_a_clock_change_is_noted_once_in_the_partner_s_zone_too():
    noted = [row.notes for row in rows(DAILY, datetime(2026, 10, 23, tzinfo=UTC), days=4)]
    assert noted == [(), (), ("Europe/Berlin: clock back 1h to 02:00 on 2026-10-25",), ()]
    noted = [row.notes for row in rows(DAILY, datetime(2026, 3, 28, tzinfo=UTC), days=2)]
    assert noted == [(), ("Europe/Berlin: clock forward 1h to 03:00 on 2026-03-29",)]


def test_a_slot_that_a_gap_shifted_is_noted_itself():
    shifted = names(Schedule(cron="30 2 * * *", timezone=BERLIN))
    found = list(rows(shifted, datetime(2026, 3, 28, tzinfo=UTC), days=3))
    assert [(row.slot.strftime("%d %H:%M"), len(row.notes)) for row in found] == [
        ("28 02:30", 0),
        ("29 03:00", 1),
        ("30 02:30", 0),
    ]


def test_holidays_are_noted_and_weekends_are_not():
    korean = names(Schedule(cron="0 6 * * *", calendar="KR"), OpenDays(base="KR"))
    found = list(rows(korean, datetime(2026, 2, 12, tzinfo=UTC), days=12))
    noted = {row.slot.strftime("%m-%d"): row.notes for row in found if row.notes}
    assert list(noted) == ["02-19"]
    assert [note[:12] for note in noted["02-19"]] == ["2026-02-16: ", "2026-02-17: ", "2026-02-18: "]


def test_one_s_own_closed_days_are_noted():
    closed = OpenDays(closed=frozenset({datetime(2026, 5, 4).date()}))
    found = rows(names(Schedule(cron="0 6 * * *", calendar="own"), closed), datetime(2026, 5, 3, tzinfo=UTC), days=3)
    assert [row.notes for row in found] == [("2026-05-04: closed",), ()]
