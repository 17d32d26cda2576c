"""What `plan` shows: a job's slots in every zone that matters, with the paths that they will have. Pure.

The slots are those of the daemon: both ask the same timetable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from batchxfer import zones
from batchxfer.calendars import OpenDays
from batchxfer.families import Names, series
from batchxfer.model import Due, FileRole, utc
from batchxfer.quantities import format_duration
from batchxfer.zones import DAY

TICK = timedelta.resolution
DEFAULT_COUNT = 10
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, kw_only=True)
class PlannedPath:
    """Where a slot's file will go. `slot_local` is the slot on the endpoint's clock."""

    endpoint: str
    path: str
    slot_local: datetime


@dataclass(frozen=True, kw_only=True)
class Row:
    """One slot. `slot` is on the job's clock, as the due's interval is when it is shown in `slot.tzinfo`.

    `notes` are what is unusual since the slot before: clocks that changed, holidays.
    """

    job: str
    due: Due
    slot: datetime
    deliveries: tuple[PlannedPath, ...]
    notes: tuple[str, ...]

    @property
    def slot_utc(self) -> datetime:
        return self.due.slot

    @property
    def weekday(self) -> str:
        return WEEKDAYS[self.slot.weekday()]

    @property
    def interval(self) -> tuple[datetime, datetime]:
        """The data interval on the job's clock."""
        return self.due.interval_start.astimezone(self.slot.tzinfo), self.due.interval_end.astimezone(self.slot.tzinfo)


def rows(names: Names, start: datetime, *, days: int | None = None, count: int | None = None) -> Iterator[Row]:
    """A job's slots from `start` on, past ones too: those in `days` × 24 hours, and `count` at most; ten where neither is
    given. A job without schedule has none.
    """
    if days is not None:
        dues: Iterator[Due] = islice(names.timetable.between(start, utc(start) + days * DAY), count)
    else:
        dues = iter(names.timetable.next(utc(start) - TICK, DEFAULT_COUNT if count is None else count))
    before = None
    for due in dues:
        before = before or names.timetable.latest(due.slot - TICK) or due
        yield _row(names, due, before.slot)
        before = due


def _row(names: Names, due: Due, before: datetime) -> Row:
    timetable = names.timetable
    deliveries = tuple(
        PlannedPath(
            endpoint=family.destination.endpoint,
            path=family.path(due),
            slot_local=due.slot.astimezone(family.destination.zone),
        )
        for family in series(names)
        if family.role is FileRole.DATA
    )
    both = dict.fromkeys([timetable.zone, *(destination.zone for destination in names.destinations)])
    notes = [*(note for zone in both for note in _clock_notes(zone, before, due.slot))]
    if timetable.calendar:
        notes += _holiday_notes(timetable.calendar, timetable.zone, before, due.slot)
    return Row(
        job=names.job, due=due, slot=due.slot.astimezone(timetable.zone), deliveries=deliveries, notes=tuple(notes)
    )


def _clock_notes(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[str]:
    for change in zones.changes_between(zone, after + TICK, until + TICK):
        way = "forward" if change.jump > timedelta() else "back"
        shown = change.at.astimezone(zone)
        yield f"{zone}: clock {way} {format_duration(abs(change.jump))} to {shown:%H:%M} on {shown:%Y-%m-%d}"


def _holiday_notes(calendar: OpenDays, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[str]:
    day, last = zones.local_date(after, zone) + DAY, zones.local_date(until, zone)
    while day <= last:
        if name := calendar.holiday(day):
            yield f"{day}: {name}"
        day += DAY
