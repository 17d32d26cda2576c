"""An independent reading of cron: every minute of real time is looked at, one after the other.

Nothing of batchxfer or cronsim is used. Slow and plain on purpose. Offsets are taken at every quarter of an hour: no zone
has changed at another minute since 1972, nor had another offset, and the walk refuses to go on if one does.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1)
MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
WEEKDAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}


def numbers(text: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """The numbers that a field names, without L, W and #."""

    def one(word: str) -> int:
        return names[word] if names and word in names else int(word)

    found: set[int] = set()
    for term in text.lower().split(","):
        span, _, step = term.partition("/")
        if span == "*":
            begin, end = low, high
        elif "-" in span:
            begin, end = (one(word) for word in span.split("-"))
        else:
            begin = one(span)
            end = high if step else begin
        assert low <= begin <= end <= high, text
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def month_day_matches(text: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    for term in text.lower().split(","):
        if term == "l":
            matched = day.day == last
        elif term == "lw":
            weekdays = [number for number in range(1, last + 1) if date(day.year, day.month, number).weekday() < 5]
            matched = day.day == weekdays[-1]
        elif term.endswith("w"):
            wanted = int(term[:-1])
            weekdays = [number for number in range(1, last + 1) if date(day.year, day.month, number).weekday() < 5]
            matched = wanted <= last and day.day == min(weekdays, key=lambda number: abs(number - wanted))
        else:
            matched = day.day in numbers(term, 1, 31)
        if matched:
            return True
    return False


def weekday_matches(text: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    sunday_first = day.isoweekday() % 7
    for term in text.lower().split(","):
        word, hash_mark, nth = term.partition("#")
        if hash_mark:
            matched = sunday_first in weekday_numbers(word) and (day.day - 1) // 7 + 1 == int(nth)
        elif term.endswith("l") and term != "l":
            matched = sunday_first in weekday_numbers(term[:-1]) and day.day > last - 7
        else:
            matched = sunday_first in weekday_numbers(term)
        if matched:
            return True
    return False


def weekday_numbers(text: str) -> set[int]:
    return {number % 7 for number in numbers(text, 0, 7, WEEKDAYS)}


def day_matches(expression: str, day: date) -> bool:
    _, _, month_day, month, weekday = expression.split()
    if day.month not in numbers(month, 1, 12, MONTHS):
        return False
    both = month_day_matches(month_day, day), weekday_matches(weekday, day)
    return all(both) if month_day[0] == "*" or weekday[0] == "*" else any(both)


@lru_cache(maxsize=64)
def named_days(expression: str, first_day: int, count: int) -> list[bool]:
    return [
        day_matches(expression, EPOCH_DAY + timedelta(days=number)) for number in range(first_day, first_day + count)
    ]


@lru_cache(maxsize=64)
def quarters(zone: ZoneInfo, first_year: int, last_year: int) -> list[int]:
    """For each quarter of an hour of UTC: the minutes of its local time since 1970-01-01T00:00 local."""
    at = datetime(first_year, 1, 1, tzinfo=UTC)
    minutes = int((at - EPOCH).total_seconds()) // 60
    found = []
    while at.year <= last_year:
        offset, odd = divmod(at.astimezone(zone).utcoffset().total_seconds(), 900)
        assert odd == 0, (zone, at)
        found.append(minutes + int(offset) * 15)
        at, minutes = at + timedelta(minutes=15), minutes + 15
    return found


def walk(expression: str, zone: ZoneInfo, first_year: int, last_year: int) -> list[tuple[int, int]]:
    """Every time in those UTC years that the expression comes: (minutes since 1970 in UTC, days since 1970 of the local day
    it was meant for)."""
    minute_field, hour_field = expression.split()[:2]
    fixed = minute_field[0] != "*" and hour_field[0] != "*"
    minutes, hours = numbers(minute_field, 0, 59), numbers(hour_field, 0, 23)
    first_day = (date(first_year, 1, 1) - EPOCH_DAY).days - 2
    days = named_days(expression, first_day, (last_year - first_year + 1) * 366 + 4)
    # By the quarter of the day: the minutes in it (0 to 14) that the fields name.
    wanted = [
        [m for m in range(15) if (quarter * 15 + m) // 60 in hours and (quarter * 15 + m) % 60 in minutes]
        for quarter in range(96)
    ]

    def named(local: int) -> bool:
        day, minute = divmod(local, 1440)
        return days[day - first_day] and minute % 15 in wanted[minute // 15]

    found: list[tuple[int, int]] = []
    now = int((datetime(first_year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds()) // 60
    told = quarters(zone, first_year, last_year)
    latest = told[0] - 1  # The latest local minute that the clock has shown so far.
    for local in told:
        if fixed and local > latest + 1:
            jumped = [minute for minute in range(latest + 1, local + 1) if named(minute)]
            if jumped and not named(local):
                found.append((now, jumped[-1] // 1440))
        day, minute = divmod(local, 1440)
        if wanted[minute // 15] and days[day - first_day]:
            found += [(now + m, day) for m in wanted[minute // 15] if not fixed or local + m > latest]
        if local + 14 > latest:
            latest = local + 14
        now += 15
    return found
