"""When a schedule comes, before anything is known of intervals: cron or `every`, on a zone's clock, over a calendar. Pure.

A cron expression whose minute and hour name times of day is *fixed*: in a gap it comes at the first instant after (several
merge), in a fold once, the first time. Any other follows real time, as `every` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from batchxfer import zones
from batchxfer.calendars import LONGEST_CLOSURE, OpenDays
from batchxfer.cron import LONGEST_WAIT, Cron, local_times, local_times_back
from batchxfer.zones import Stretch

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OnClosed = Literal["skip", "previous", "next"]


class Occurrence(NamedTuple):
    """An instant in UTC, and the local day that it was meant for: before any shift by a clock's change, after any by a
    calendar."""

    at: datetime
    day: date


class Occurrences(Protocol):
    @property
    def spacing(self) -> timedelta:
        """How close two may be with no clock change between them, at the least."""

    def forward(self, since: datetime) -> Iterator[Occurrence]:
        """Those at or after `since`, each instant once, in order."""

    def backward(self, until: datetime) -> Iterator[Occurrence]:
        """Those at or before `until`, latest first."""


@dataclass(frozen=True, kw_only=True)
class Closures:
    """What a calendar does to the days of a schedule."""

    calendar: OpenDays
    on_closed: OnClosed

    def sources(self, day: date) -> Iterator[date]:
        """The days whose slots come on `day`: itself where it is open, and the closed days that move to it."""
        if not self.calendar.is_open(day):
            return
        yield day
        if self.on_closed == "skip":
            return
        step = -DAY if self.on_closed == "next" else DAY
        for number in range(1, LONGEST_CLOSURE):
            source = day + number * step
            if self.calendar.is_open(source):
                return
            yield source


# --- cron ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CronOccurrences:
    """A cron expression on a zone's clock. A slot moved to another day keeps its time of day."""

    cron: Cron
    zone: ZoneInfo
    closures: Closures | None

    @cached_property
    def _on(self) -> Callable[[date], bool]:
        named, closures = self.cron.on, self.closures
        if closures is None:
            return named
        if closures.on_closed == "skip":
            return lambda day: named(day) and closures.calendar.is_open(day)
        return lambda day: any(named(source) for source in closures.sources(day))

    @property
    def spacing(self) -> timedelta:
        times = self.cron.times
        return min(later - earlier for earlier, later in pairwise([*times, times[0] + 1440])) * MINUTE

    def forward(self, since: datetime) -> Iterator[Occurrence]:
        give_up = since + LONGEST_WAIT
        for stretch in zones.stretches_from(self.zone, since):
            if stretch.start > give_up:
                return
            for found in self._within(stretch, max(since, stretch.start)):
                give_up = found.at + LONGEST_WAIT
                yield found

    def backward(self, until: datetime) -> Iterator[Occurrence]:
        give_up = until - LONGEST_WAIT
        for stretch in zones.stretches_back(self.zone, until):
            if stretch.end < give_up:
                return
            for found in self._within_back(stretch, until):
                give_up = found.at - LONGEST_WAIT
                yield found

    def _within(self, stretch: Stretch, since: datetime) -> Iterator[Occurrence]:
        if since == stretch.start and (late := self._after_gap(stretch)):
            yield late
        begin = max(self._begin(stretch), stretch.local(since))
        for local in local_times(self._on, self.cron.times, begin, stretch.closes):
            yield Occurrence(stretch.instant(local), local.date())

    def _within_back(self, stretch: Stretch, until: datetime) -> Iterator[Occurrence]:
        end = min(stretch.closes, stretch.local(until) + timedelta.resolution)
        for local in local_times_back(self._on, self.cron.times, self._begin(stretch), end):
            yield Occurrence(stretch.instant(local), local.date())
        if late := self._after_gap(stretch):
            yield late

    def _begin(self, stretch: Stretch) -> datetime:
        """The first local time of the stretch that is not settled by `_after_gap`, or by an earlier stretch in a fold."""
        if not self.cron.fixed:
            return stretch.opens
        return stretch.opens + timedelta.resolution if stretch.seen < stretch.opens else stretch.seen

    def _after_gap(self, stretch: Stretch) -> Occurrence | None:
        """The one slot at the end of the gap before the stretch, for all that the clock jumped over or onto."""
        if not self.cron.fixed or stretch.seen >= stretch.opens:
            return None
        end = stretch.opens + timedelta.resolution
        latest = next(local_times_back(self._on, self.cron.times, stretch.seen, end), None)
        return None if latest is None else Occurrence(stretch.start, latest.date())


# --- every ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EveryOccurrences:
    """Every so much real time, counted from an anchor in both directions."""

    every: timedelta
    anchor: datetime
    zone: ZoneInfo
    closures: Closures | None

    @property
    def spacing(self) -> timedelta:
        # Times of a closed day fall between those of an open one.
        moves = self.closures is not None and self.closures.on_closed != "skip"
        return timedelta.resolution if moves else self.every

    def forward(self, since: datetime) -> Iterator[Occurrence]:
        if self.closures is None:
            return self._all(since)
        if self.closures.on_closed == "skip":
            return self._open_only(since, self.closures.calendar)
        return _last_of_equals(self._moved(since))

    def backward(self, until: datetime) -> Iterator[Occurrence]:
        if self.closures is None:
            return self._all_back(until)
        if self.closures.on_closed == "skip":
            return self._open_only_back(until, self.closures.calendar)
        return _first_of_equals(self._moved_back(until))

    def _at_or_after(self, instant: datetime) -> datetime:
        return self.anchor - (self.anchor - instant) // self.every * self.every

    def _at_or_before(self, instant: datetime) -> datetime:
        return self.anchor + (instant - self.anchor) // self.every * self.every

    def _occurrence(self, at: datetime) -> Occurrence:
        return Occurrence(at, zones.local_date(at, self.zone))

    def _all(self, since: datetime) -> Iterator[Occurrence]:
        at = self._at_or_after(since)
        while at.year < zones.LAST_YEAR:
            yield self._occurrence(at)
            at += self.every

    def _all_back(self, until: datetime) -> Iterator[Occurrence]:
        at = self._at_or_before(until)
        while at.year > zones.FIRST_YEAR:
            yield self._occurrence(at)
            at -= self.every

    def _open_only(self, since: datetime, calendar: OpenDays) -> Iterator[Occurrence]:
        at = self._at_or_after(since)
        while at.year < zones.LAST_YEAR:
            found = self._occurrence(at)
            if calendar.is_open(found.day):
                yield found
                at += self.every
            else:
                at = self._at_or_after(zones.day_start(self.zone, calendar.next_open(found.day)))

    def _open_only_back(self, until: datetime, calendar: OpenDays) -> Iterator[Occurrence]:
        at = self._at_or_before(until)
        while at.year > zones.FIRST_YEAR:
            found = self._occurrence(at)
            if calendar.is_open(found.day):
                yield found
                at -= self.every
            else:
                end = zones.day_start(self.zone, calendar.previous_open(found.day) + DAY)
                at = self._at_or_before(end - timedelta.resolution)

    def _moved(self, since: datetime) -> Iterator[Occurrence]:
        # A slot moved into a gap at midnight comes on the day after.
        day = zones.local_date(since, self.zone) - DAY
        while day.year < zones.LAST_YEAR:
            yield from (Occurrence(at, day) for at in self._on_day(day) if at >= since)
            day += DAY

    def _moved_back(self, until: datetime) -> Iterator[Occurrence]:
        day = zones.local_date(until, self.zone)
        while day.year > zones.FIRST_YEAR:
            yield from (Occurrence(at, day) for at in reversed(self._on_day(day)) if at <= until)
            day -= DAY

    def _on_day(self, day: date) -> list[datetime]:
        """The instants that come on a day, with those of the closed days that move to it, at the same times of day."""
        assert self.closures is not None  # noqa: S101 - only called where slots move
        found = set()
        for source in self.closures.sources(day):
            end = zones.day_start(self.zone, source + DAY)
            at = self._at_or_after(zones.day_start(self.zone, source))
            while at < end:
                found.add(at if source == day else self._same_time(at, day))
                at += self.every
        return sorted(found)

    def _same_time(self, at: datetime, day: date) -> datetime:
        time_of_day = at.astimezone(self.zone).time()
        return zones.instant_from(datetime.combine(day, time_of_day), self.zone)


def _last_of_equals(found: Iterator[Occurrence]) -> Iterator[Occurrence]:
    waiting = None
    for occurrence in found:
        if waiting is not None and waiting.at != occurrence.at:
            yield waiting
        waiting = occurrence
    if waiting is not None:
        yield waiting


def _first_of_equals(found: Iterator[Occurrence]) -> Iterator[Occurrence]:
    last = None
    for occurrence in found:
        if last is None or last.at != occurrence.at:
            yield occurrence
        last = occurrence
