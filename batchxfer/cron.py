"""Five-field cron expressions: which minutes of which days they name. Pure.

cronsim reads the fields (Debian cron's meaning, `L`, `LW` and `#`); `15W`, the weekday nearest to the 15th of its month,
is added here. Clocks are not this module's business: see `occurrences`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from cronsim import CronSim, CronSimError

from batchxfer.quantities import counted

DAY = timedelta(days=1)
FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_TAKES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L (the last day), LW (the last weekday) and 15W (the weekday nearest to the 15th)",
    "month": "1 to 12 and JAN to DEC",
    "day of week": "0 to 7 and SUN to SAT (0 and 7 are Sunday: the weekend is 6-7), 5L (the last Friday) and 1#2 (the second "
    "Monday)",
}
_NICKNAMES = {
    "@hourly": "0 * * * *",
    **dict.fromkeys(("@daily", "@midnight"), "0 0 * * *"),
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    **dict.fromkeys(("@yearly", "@annually"), "0 0 1 1 *"),
}
_NEAREST = re.compile(r"[0-9]{1,2}W")
# A 29 February that is a fifth Monday comes after at most 40 years (around 2100, which has none).
LONGEST_WAIT = timedelta(days=366 * 41)


@dataclass(frozen=True)
class Cron:
    """An expression; equal ones are written alike.

    `times` are the minutes of a day, ascending. A `fixed` expression names times of day; any other follows real time.
    """

    text: str
    fixed: bool
    times: tuple[int, ...]
    _on: Callable[[date], bool] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression. Raises ValueError naming the field that is wrong."""
        parts = text.upper().split()
        if len(parts) != len(FIELDS):
            raise ValueError(f"cron {text!r} has {counted(len(parts), 'field')}; {_five_fields(text)}")
        fixed = not parts[0].startswith("*") and not parts[1].startswith("*")
        simulation, nearest = _read(text, parts)
        times = sorted(hour * 60 + minute for hour in simulation.hours for minute in simulation.minutes)
        cron = cls(text=" ".join(parts), fixed=fixed, times=tuple(times), _on=_day_test(simulation, nearest))
        if next(days(cron.on, date(2000, 1, 1), date(2000, 1, 1) + LONGEST_WAIT), None) is None:
            raise ValueError(f"cron {text!r} never comes: no such day exists")
        return cron

    def on(self, day: date) -> bool:
        """Whether it names this day."""
        return self._on(day)


def _five_fields(text: str) -> str:
    known = _NICKNAMES.get(text.strip().casefold())
    return f'write "{known}"' if known else f"it takes five: {', '.join(FIELDS)}"


def _read(text: str, parts: list[str]) -> tuple[CronSim, frozenset[int]]:
    """The fields as sets, and the days of `15W` terms, which cronsim does not know."""
    terms = parts[2].split(",")
    nearest = [term for term in terms if _NEAREST.fullmatch(term)]
    others = [term for term in terms if term not in nearest]
    days_field = ",".join(others) if others else "1"
    numbers = frozenset(int(term[:-1]) for term in nearest)
    try:
        # The date is only a place to begin; nothing is enumerated.
        simulation = CronSim(" ".join([*parts[:2], days_field, *parts[3:]]), datetime(2000, 1, 1))  # noqa: DTZ001
    except CronSimError as exc:
        raise ValueError(_explain(text, parts, str(exc))) from None
    if any(not 1 <= number <= 31 for number in numbers):
        raise ValueError(f"cron {text!r}: day of month {parts[2]!r} is wrong: W stands behind a day from 1 to 31")
    if not others:
        simulation.days = set()
    return simulation, numbers


def _explain(text: str, parts: list[str], message: str) -> str:
    wrong = message.removeprefix("Bad ").replace("-", " ")
    for name, part in zip(FIELDS, parts, strict=True):
        if wrong == name and name == "day of month" and _is_right_in_some_month(part):
            return f"cron {text!r} never comes: no such day exists"
        if wrong == name:
            takes = f"{_TAKES[name]}, with *, lists, ranges that go up, and /"
            return f"cron {text!r}: {name} {part!r} is wrong; it takes {takes}"
    return f"cron {text!r}: {message}"


def _is_right_in_some_month(part: str) -> bool:
    days_field = ",".join(term for term in part.split(",") if not _NEAREST.fullmatch(term))
    with suppress(CronSimError):
        CronSim(f"0 0 {days_field} * *", datetime(2000, 1, 1))  # noqa: DTZ001 (only a place to begin)
        return True
    return False


def _day_test(simulation: CronSim, nearest: frozenset[int]) -> Callable[[date], bool]:
    """A day's test: Debian cron's AND where the day of month or of week starts with `*`, else OR."""
    months = frozenset(simulation.months)

    def on(day: date) -> bool:
        if day.month not in months:
            return False
        by_month = simulation.match_dom(day) or (bool(nearest) and _is_nearest(day, nearest))
        if simulation.day_and:
            return by_month and bool(simulation.match_dow(day))
        return by_month or bool(simulation.match_dow(day))

    return on


def _is_nearest(day: date, numbers: frozenset[int]) -> bool:
    return any(nearest_weekday(day.year, day.month, number) == day for number in numbers)


def nearest_weekday(year: int, month: int, number: int) -> date | None:
    """The weekday (Monday to Friday) nearest to a day, in the same month; None where the month has no such day."""
    last = monthrange(year, month)[1]
    if number > last:
        return None
    day = date(year, month, number)
    if day.weekday() == 5:
        return day - DAY if number > 1 else day + 2 * DAY
    if day.weekday() == 6:
        return day + DAY if number < last else day - 2 * DAY
    return day


# --- local times ---------------------------------------------------------------------------------


def days(on: Callable[[date], bool], first: date, last: date) -> Iterator[date]:
    """The days in [first, last] for which `on` is true."""
    day = first
    while day <= last:
        if on(day):
            yield day
        day += DAY


def days_back(on: Callable[[date], bool], last: date, first: date) -> Iterator[date]:
    """The same, latest first."""
    day = last
    while day >= first:
        if on(day):
            yield day
        day -= DAY


def local_times(on: Callable[[date], bool], times: Sequence[int], first: datetime, end: datetime) -> Iterator[datetime]:
    """The naive local times in [first, end) on the days `on`, at the minutes of the day `times`."""
    for day in days(on, first.date(), end.date()):
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (local on purpose)
        begin = bisect_left(times, (first - midnight) / timedelta(minutes=1)) if midnight < first else 0
        for minute in times[begin:]:
            local = midnight + timedelta(minutes=minute)
            if local >= end:
                return
            yield local


def local_times_back(
    on: Callable[[date], bool], times: Sequence[int], first: datetime, end: datetime
) -> Iterator[datetime]:
    """The same, latest first."""
    for day in days_back(on, end.date(), first.date()):
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (local on purpose)
        until = bisect_left(times, (end - midnight) / timedelta(minutes=1)) if end - midnight < DAY else len(times)
        for minute in reversed(times[:until]):
            local = midnight + timedelta(minutes=minute)
            if local < first:
                return
            yield local
