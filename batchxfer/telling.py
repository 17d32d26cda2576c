"""What a name tells of its slot: whether it is enough to tell slots apart, and reading it back. Pure.

What is told is a set of (field, code): `("slot_utc", "H")` where the name holds the hour of the slot in UTC, whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from batchxfer import zones
from batchxfer.slots import Timetable

Told = Collection[tuple[str, str]]
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SLOT_FIELDS = ("slot", "slot_utc", "slot_local")

_DATE = tuple(frozenset(codes) for codes in ("Ymd", "Ybd", "Yj", "ymd", "ybd", "yj", "GVu", "GVa"))
_HOUR = (frozenset("H"), frozenset("Ip"))
_MINUTE, _SECOND = (frozenset("M"),), (frozenset("S"),)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _tells(told: Told, ways: tuple[frozenset[str], ...], fields: tuple[str, ...] = SLOT_FIELDS) -> bool:
    """Whether one of the fields tells something, in one of the ways to tell it."""
    return any(codes <= {code for name, code in told if name == field} for field in fields for codes in ways)


def _tells_date(told: Told) -> bool:
    return _tells(told, _DATE, (*SLOT_FIELDS, "business_date"))


def tells_second(told: Told) -> bool:
    """Whether a name tells the date, and the time to the second."""
    return _tells_date(told) and all(_tells(told, what) for what in (_HOUR, _MINUTE, _SECOND))


def tells_instant(told: Told) -> bool:
    """Whether a name tells date, hour and minute in UTC or with their offset: no clock change makes two alike."""
    return any(
        all(_tells(told, what, (field,)) for what in (_DATE, _HOUR, _MINUTE))
        for field in SLOT_FIELDS
        if field == "slot_utc" or {(field, "z"), (field, "Z")} & set(told)
    )


def tells_slots_apart(timetable: Timetable, told: Told) -> bool:
    """Whether two slots with no clock change between them have different names, by what the names tell.

    A date, in whatever zone, leaves the slots of one day; an hour those of one hour of it; and so on, down to where the
    schedule has but one.
    """
    spacing = timetable.spacing
    return (
        _tells_date(told)
        and (spacing >= DAY or _tells(told, _HOUR))
        and (spacing >= HOUR or _tells(told, _MINUTE))
        and (spacing >= MINUTE or _tells(told, _SECOND))
    )


def read(said: Mapping[tuple[str, str], str], zone_of: Mapping[str, ZoneInfo]) -> list[datetime]:
    """The instants, in UTC, that a name may have been made for. `said` is what it says of each (field, code)."""
    found = []
    for field in SLOT_FIELDS:
        codes = {code: text for (name, code), text in said.items() if name in {field, "business_date"}}
        try:
            found.append(zones.instant_from(_local(codes), zone_of.get(field, ZoneInfo("UTC"))).astimezone(UTC))
        except (KeyError, ValueError):
            continue
    return found


def _local(said: Mapping[str, str]) -> datetime:
    """The local time of codes that were read, midnight where none tells a time. Raises KeyError or ValueError."""
    year = int(said["Y"]) if "Y" in said else 2000 + int(said["y"])
    month = int(said["m"]) if "m" in said else _MONTHS.index(said["b"]) + 1
    hour = int(said["I"]) % 12 + 12 * (said["p"] == "pm") if {"I", "p"} <= said.keys() else int(said.get("H", 0))
    return datetime(year, month, int(said["d"]), hour, int(said.get("M", 0)), int(said.get("S", 0)))  # noqa: DTZ001
