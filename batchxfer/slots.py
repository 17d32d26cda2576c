"""Slots: when a job is due, and what each slot reports on. Pure: a schedule, a zone and a calendar in, `model.Due` out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import islice
from zoneinfo import ZoneInfo

from batchxfer import zones
from batchxfer.calendars import OpenDays
from batchxfer.cron import Cron
from batchxfer.definitions import Schedule
from batchxfer.errors import UsageError
from batchxfer.model import Due, utc
from batchxfer.occurrences import EPOCH, Closures, CronOccurrences, EveryOccurrences, Occurrence, Occurrences
from batchxfer.quantities import format_duration

DAY = timedelta(days=1)
TICK = timedelta.resolution


@dataclass(frozen=True)
class Timetable:
    """A job's slots. `zone` is the job's (its schedule's own comes before it), `calendar` what its schedule names.

    Without a schedule there are no slots, only `by_hand`. A slot is a function of schedule, zone and calendar alone, never of
    when or how often one asks. Instants given may be in any zone, but not naive (ValueError); those returned are in UTC.
    Raises ValueError for a cron expression that is wrong, and for open days counted without a calendar.
    """

    schedule: Schedule | None
    zone: ZoneInfo
    calendar: OpenDays | None = None

    def __post_init__(self) -> None:
        if self.schedule is None:
            return
        if self.schedule.timezone is not None:
            object.__setattr__(self, "zone", self.schedule.timezone)
        if self.schedule.date_offset.open_days and self.calendar is None:
            raise ValueError(
                "date_offset counts open days (bd), which only a calendar knows; name one, or count days (d)"
            )
        _ = self._occurrences

    # --- asking ---

    def slots(self, after: datetime, until: datetime) -> Iterator[Due]:
        """The slots in (after, until], in order: `after` is out, `until` is in."""
        return self._dues(utc(after) + TICK, utc(until))

    def between(self, start: datetime, end: datetime) -> Iterator[Due]:
        """The slots in [start, end), in order: `start` is in, `end` is out."""
        return self._dues(utc(start), utc(end) - TICK)

    def next(self, after: datetime, count: int) -> list[Due]:
        """The first `count` slots later than `after`; fewer where the schedule ends."""
        return list(islice(self._dues(utc(after) + TICK, None), count))

    def latest(self, at: datetime) -> Due | None:
        """The last slot at or before `at`, or None before the first."""
        found = next(self._back(utc(at)), None)
        return None if found is None or found.at < self.start else self._due(found, self._previous(found))

    def find(self, slot: datetime) -> Due:
        """The slot at that very instant. Raises UsageError naming the nearest slots where there is none."""
        due = self.latest(slot)
        if due is not None and due.slot == utc(slot):
            return due
        raise UsageError(self._not_a_slot(slot), hint=self._nearest(slot, due))

    def by_hand(self, slot: datetime) -> Due:
        """A slot of a job without schedule: its business date is its local date, its interval that whole local day."""
        day = zones.local_date(slot, self.zone)
        return Due(
            slot=slot,
            interval_start=zones.day_start(self.zone, day),
            interval_end=zones.day_start(self.zone, day + DAY),
            business_date=day,
        )

    @cached_property
    def start(self) -> datetime:
        """No slot comes before this instant."""
        start = self.schedule.start if self.schedule else None
        return datetime.min.replace(tzinfo=UTC) if start is None else _instant(start, self.zone)

    @property
    def spacing(self) -> timedelta:
        """Two slots with no clock change between them are never closer; zero where there is nothing to go by."""
        return timedelta() if self._occurrences is None else self._occurrences.spacing

    # --- making ---

    @cached_property
    def _occurrences(self) -> Occurrences | None:
        if self.schedule is None:
            return None
        closures = Closures(calendar=self.calendar, on_closed=self.schedule.on_closed) if self.calendar else None
        if self.schedule.every is not None:
            anchor = EPOCH if self.schedule.start is None else self.start
            return EveryOccurrences(every=self.schedule.every, anchor=anchor, zone=self.zone, closures=closures)
        if self.schedule.cron is None:
            raise ValueError("a schedule takes one of cron and every")
        return CronOccurrences(cron=Cron.parse(self.schedule.cron), zone=self.zone, closures=closures)

    def _dues(self, first: datetime, last: datetime | None) -> Iterator[Due]:
        """The slots from `first` on, up to and with `last`."""
        first = max(first, self.start)
        if self._occurrences is None or (last is not None and last < first):
            return
        previous = None
        for found in self._occurrences.forward(first):
            if last is not None and found.at > last:
                return
            yield self._due(found, previous or self._previous(found))
            previous = found

    def _back(self, until: datetime) -> Iterator[Occurrence]:
        return iter(()) if self._occurrences is None else self._occurrences.backward(until)

    def _previous(self, found: Occurrence) -> Occurrence:
        """The occurrence before, also where it lies before `start`: the first interval is as long as any."""
        return next(self._back(found.at - TICK), found)

    def _due(self, found: Occurrence, previous: Occurrence) -> Due:
        start, end = self._interval(previous, found)
        return Due(slot=found.at, interval_start=start, interval_end=end, business_date=self._business_date(found.day))

    def _interval(self, previous: Occurrence, found: Occurrence) -> tuple[datetime, datetime]:
        assert self.schedule is not None  # noqa: S101 - without one there are no occurrences
        if self.schedule.interval == "slots":
            return previous.at - self.schedule.lag, found.at - self.schedule.lag
        return self._end_of(previous.day), self._end_of(found.day)

    def _end_of(self, day: date) -> datetime:
        return zones.day_start(self.zone, self._business_date(day) + DAY)

    def _business_date(self, day: date) -> date:
        assert self.schedule is not None  # noqa: S101 - without one there are no occurrences
        offset = self.schedule.date_offset
        if offset.open_days and self.calendar is not None:
            return self.calendar.shift(day, offset.days)
        return day + offset.days * DAY

    # --- saying ---

    def _not_a_slot(self, slot: datetime) -> str:
        shown = slot.astimezone(self.zone).isoformat()
        if self.schedule is None:
            return f"{shown} is not a slot: the job has no schedule"
        if utc(slot) < self.start:
            return f"{shown} is not a slot: the schedule starts at {self.start.astimezone(self.zone).isoformat()}"
        every = format_duration(self.schedule.every) if self.schedule.every else ""
        rule = f"cron {self.schedule.cron!r}" if self.schedule.cron else f"every {every}"
        return f"{shown} is not a slot of the schedule ({rule} in {self.zone})"

    def _nearest(self, slot: datetime, before: Due | None) -> str | None:
        around = ([before] if before else []) + self.next(slot, 1)
        shown = " and ".join(due.slot.astimezone(self.zone).isoformat() for due in around)
        return (
            f"the nearest slots are {shown}" if len(around) > 1 else (f"the nearest slot is {shown}" if shown else None)
        )


def _instant(start: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(start, datetime):
        return zones.day_start(zone, start)
    return zones.instant_from(start, zone) if start.tzinfo is None else utc(start)


def cutoff_of(schedule: Schedule | None, zone: ZoneInfo, slot: datetime) -> datetime | None:
    """The instant after which a slot's run neither starts nor publishes; None without a cutoff.

    A time of day means the first such time later than the slot, in the cutoff's zone, else the schedule's, else `zone`.
    """
    if schedule is None or schedule.cutoff is None:
        return None
    if isinstance(schedule.cutoff, timedelta):
        return utc(slot) + schedule.cutoff
    zone = schedule.cutoff_timezone or schedule.timezone or zone
    return _first_after(utc(slot), schedule.cutoff, zone)


def _first_after(instant: datetime, clock: time, zone: ZoneInfo) -> datetime:
    day = zones.local_date(instant, zone)
    # Two days: a clock's change may bring a day's time before an instant of that day twice.
    todays = (zones.instant_from(datetime.combine(day + number * DAY, clock), zone) for number in range(3))
    return next(found for found in todays if found > instant)
