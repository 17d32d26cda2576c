"""A time zone's clock: where it jumps, and the instants of local times and days.

The data are zoneinfo's. Offsets are looked up in UTC, where nothing is ambiguous. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
FIRST_YEAR, LAST_YEAR = 2, 9998
# What may be written: far enough from the ends of time to look for slots before and after it.
YEARS = range(1800, 9001)
OUTSIDE = f"lies outside of the years {YEARS.start} to {YEARS.stop - 1}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A jump of a zone's clock at the instant `at`, from the offset `before` to the offset `after`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def jump(self) -> timedelta:
        """How far the clock is set forward; negative where it is set back."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A time without a jump, half-open, in UTC; it ends at the latest with the UTC year.

    Inside, local time is `instant + offset`. `seen` is the latest local time that any earlier stretch reached: later than
    `opens` after a clock was set back, earlier after it was set forward.
    """

    start: datetime
    end: datetime
    offset: timedelta
    seen: datetime

    @property
    def opens(self) -> datetime:
        return self.local(self.start)

    @property
    def closes(self) -> datetime:
        return self.local(self.end)

    def local(self, instant: datetime) -> datetime:
        """The naive local time of an instant of this stretch."""
        return (instant + self.offset).replace(tzinfo=None)

    def instant(self, local: datetime) -> datetime:
        """The instant of a naive local time of this stretch."""
        return (local - self.offset).replace(tzinfo=UTC)


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _jump_between(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """The first second in (low, high] with the offset of `high`, which differs from that of `low`."""
    after = _offset(zone, high)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(zone, middle) == after:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=4096)
def changes(zone: tzinfo, year: int) -> tuple[Change, ...]:
    """The jumps of a zone's clock in a UTC year, in order. (No zone has had two within a day since 1970.)"""
    found = []
    low, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    # The day before belongs to it: a jump exactly at the new year is this year's.
    low -= SECOND
    before = _offset(zone, low)
    while low < end - SECOND:
        high = min(low + DAY, end - SECOND)
        after = _offset(zone, high)
        if after != before:
            found.append(Change(at=_jump_between(zone, low, high), before=before, after=after))
        low, before = high, after
    return tuple(found)


def changes_between(zone: tzinfo, first: datetime, end: datetime) -> list[Change]:
    """The jumps of a zone's clock in [first, end)."""
    years = range(first.astimezone(UTC).year, end.astimezone(UTC).year + 1)
    return [change for year in years for change in changes(zone, year) if first <= change.at < end]


@lru_cache(maxsize=4096)
def stretches(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    """The stretches of a UTC year, in order."""
    seen = max(closes for _, _, closes in _bare(zone, year - 1))
    made = []
    for start, offset, closes in _bare(zone, year):
        end = (closes - offset).replace(tzinfo=UTC)
        made.append(Stretch(start=start, end=end, offset=offset, seen=seen))
        seen = max(seen, closes)
    return tuple(made)


def _bare(zone: tzinfo, year: int) -> Iterator[tuple[datetime, timedelta, datetime]]:
    """Start in UTC, offset and local end of each stretch of a UTC year."""
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    jumps = changes(zone, year)
    for change in jumps:
        if change.at > start:
            yield start, change.before, (change.at + change.before).replace(tzinfo=None)
        start = change.at
    offset = jumps[-1].after if jumps else _offset(zone, start)
    yield start, offset, (end + offset).replace(tzinfo=None)


def stretches_from(zone: tzinfo, instant: datetime) -> Iterator[Stretch]:
    """The stretch that holds `instant`, and those after it."""
    for year in range(instant.astimezone(UTC).year, LAST_YEAR):
        yield from (stretch for stretch in stretches(zone, year) if stretch.end > instant)


def stretches_back(zone: tzinfo, instant: datetime) -> Iterator[Stretch]:
    """The stretch that holds `instant`, and those before it, latest first."""
    for year in range(instant.astimezone(UTC).year, FIRST_YEAR, -1):
        yield from (stretch for stretch in reversed(stretches(zone, year)) if stretch.start <= instant)


def _readings(local: datetime, zone: tzinfo) -> list[datetime]:
    """The instants, in UTC, at which the clock shows `local`: one; none in a gap; two in a fold."""
    shown = local.replace(tzinfo=zone)
    found = []
    for fold in (0, 1):
        instant = shown.replace(fold=fold).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == local and instant not in found:
            found.append(instant)
    return found


def instant_of(local: datetime, zone: tzinfo) -> datetime:
    """The instant, in UTC, of a naive local time; of two the first. Raises ValueError in a gap."""
    found = _readings(local.replace(fold=0), zone)
    if not found:
        resumes = instant_from(local, zone).astimezone(zone)
        raise ValueError(f"{local} does not exist in {zone}: the clock is set forward, and goes on at {resumes}")
    return found[0]


def instant_from(local: datetime, zone: tzinfo) -> datetime:
    """The instant, in UTC, of a naive local time; of two the first, in a gap the first instant after it."""
    local = local.replace(fold=0)
    if found := _readings(local, zone):
        return found[0]
    # In a gap, fold 1 reads the time with the offset after the jump, fold 0 with the one before it.
    low = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return _jump_between(zone, low.replace(microsecond=0) - SECOND, high.replace(microsecond=0) + SECOND)


@lru_cache(maxsize=65536)
def day_start(zone: tzinfo, day: date) -> datetime:
    """The first instant, in UTC, of a local day: midnight, or where the clock jumps over it, the instant after."""
    return instant_from(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001 (local on purpose)


def local_date(instant: datetime, zone: tzinfo) -> date:
    return instant.astimezone(zone).date()
