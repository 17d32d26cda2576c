"""Open and closed days: a country's or market's of the `holidays` package, with days of one's own. Pure.

`holidays` is imported at the first day asked for: it takes a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from batchxfer import definitions
from batchxfer.errors import UserError
from batchxfer.suggestions import closest

if TYPE_CHECKING:
    from holidays import HolidayBase

DAY = timedelta(days=1)
# Longer than any calendar is closed; a search ends here, not at the end of time.
LONGEST_CLOSURE = 366


@dataclass(frozen=True, kw_only=True)
class OpenDays:
    """Which days are open. `open` and `closed` come before what `base` says; without `base` all other days are open."""

    base: str | None = None
    open: frozenset[date] = frozenset()
    closed: frozenset[date] = frozenset()

    def is_open(self, day: date) -> bool:
        if day in self.open:
            return True
        if day in self.closed:
            return False
        return self.base is None or day not in closed_days(self.base, day.year)

    def holiday(self, day: date) -> str | None:
        """What a closed day is called, where it is more than a weekend's: "closed" for one's own."""
        if self.is_open(day):
            return None
        if day in self.closed:
            return "closed"
        return None if self.base is None else _known(self.base, day.year).get(day)

    def next_open(self, day: date) -> date:
        """The first open day after `day`. Raises UserError where a year has none."""
        return self._search(day, DAY)

    def previous_open(self, day: date) -> date:
        """The last open day before `day`. Raises UserError where a year has none."""
        return self._search(day, -DAY)

    def _search(self, day: date, step: timedelta) -> date:
        for _ in range(LONGEST_CLOSURE):
            day += step
            if self.is_open(day):
                return day
        raise UserError("the calendar has no open day for a year", hint="mend its closed days")

    def shift(self, day: date, count: int) -> date:
        """`count` open days after `day` (before it where negative); 0 is `day` itself."""
        search: Callable[[date], date] = self.next_open if count > 0 else self.previous_open
        for _ in range(abs(count)):
            day = search(day)
        return day


def find(name: str, calendars: Mapping[str, definitions.Calendar]) -> OpenDays:
    """The calendar of that name, or of the country or market of that code.

    Raises ValueError that says what is unknown, and what it may have been meant to be.
    """
    if name not in calendars:
        _check_base(name, {*calendars, *bases()}, "calendar")
        return OpenDays(base=name)
    calendar = calendars[name]
    if calendar.base is not None:
        _check_base(calendar.base, bases(), "country or market")
    if both := sorted(set(calendar.open) & set(calendar.closed)):
        raise ValueError(f"{both[0]} is both open and closed")
    return OpenDays(base=calendar.base, open=frozenset(calendar.open), closed=frozenset(calendar.closed))


def _check_base(name: str, known: set[str] | frozenset[str], what: str) -> None:
    if name in bases():
        return
    near = closest(name, known) or closest(name.upper(), known)
    hint = f"did you mean {near!r}?" if near else 'codes are those of the holidays package, like "KR", "XNYS", "DE-BY"'
    raise ValueError(f"unknown {what} {name!r}; {hint}")


@lru_cache(maxsize=1)
def bases() -> frozenset[str]:
    """Every code that may stand as `base`: countries, their parts (`DE-BY`), markets."""
    import holidays

    countries = holidays.list_supported_countries(include_aliases=True)
    parts = {f"{country}-{part}" for country, known in countries.items() for part in known}
    return frozenset({*countries, *parts, *holidays.list_supported_financial(include_aliases=True)})


@lru_cache(maxsize=1024)
def closed_days(base: str, year: int) -> frozenset[date]:
    """The days of a year on which a country or market is closed: its weekends and public holidays."""
    known = _known(base, year)
    first = date(year, 1, 1)
    span = (date(year + 1, 1, 1) - first).days
    return frozenset(day for day in (first + number * DAY for number in range(span)) if not known.is_working_day(day))


@lru_cache(maxsize=1024)
def _known(base: str, year: int) -> HolidayBase:
    import holidays

    if base in holidays.list_supported_financial(include_aliases=True):
        return holidays.financial_holidays(base, years=year, language="en_US")
    country, _, part = base.partition("-")
    return holidays.country_holidays(country, subdiv=part or None, years=year, language="en_US")
