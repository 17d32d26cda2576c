"""Times as people type them: RFC 3339, or without an offset in the job's zone; a date is the day's first instant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from batchxfer.errors import UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from batchxfer.config import Project

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?([.,]0+)?\s?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
FORMS = "write it like 2026-11-23T06:00 (in the job's zone), 2026-11-23T05:00:00+00:00, 2026-11-23, or now"


def parse_time(text: str, zone: ZoneInfo, now: datetime, *, option: str) -> datetime:
    """The instant, in UTC, of a typed time, to the second.

    Without an offset it is in `zone`: in a gap of the clock it is refused, and of two the first is taken. Raises UsageError.
    """
    text = text.strip()
    if text.lower() == "now":
        return now.replace(microsecond=0)
    try:
        if _DATE.fullmatch(text):
            return _day_start(_day(text), zone)
        if (match := _TIME.fullmatch(text)) is not None:
            day, minutes, seconds, _, offset = match.groups()
            return _instant(datetime.fromisoformat(f"{_day(day)}T{minutes}{seconds or ':00'}"), offset, zone)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"{option} {text!r}: {exc}", hint=FORMS) from exc
    raise UsageError(f"{option} {text!r} is not a time", hint=FORMS)


def _day(text: str) -> date:
    from batchxfer.zones import OUTSIDE, YEARS

    day = date.fromisoformat(text)
    if day.year not in YEARS:
        raise ValueError(OUTSIDE)
    return day


def _instant(local: datetime, offset: str | None, zone: ZoneInfo) -> datetime:
    from batchxfer.zones import instant_of

    if offset is None:
        return instant_of(local, zone)
    return datetime.fromisoformat(f"{local.isoformat()}{offset.upper()}").astimezone(UTC)


def _day_start(day: date, zone: ZoneInfo) -> datetime:
    from batchxfer.zones import day_start

    return day_start(zone, day)


def show_time(
    instant: datetime, zone: ZoneInfo, *, seconds: bool = False, named: bool = True, offset: bool = False
) -> str:
    """`2026-11-23 06:00 Europe/Berlin`; with seconds where there are some, and the offset where the clock shows it twice."""
    local = instant.astimezone(zone)
    text = f"{local:%Y-%m-%d %H:%M:%S}" if seconds or local.second else f"{local:%Y-%m-%d %H:%M}"
    if offset or local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        text += local.isoformat()[-6:]
    return f"{text} {zone.key}" if named else text


@dataclass(frozen=True)
class Zones:
    """Whose clock shows an instant: a job's, an endpoint's; the project's for those that are no longer there."""

    project: Project

    @property
    def default(self) -> ZoneInfo:
        return self.project.config.timezone

    def of_job(self, name: str) -> ZoneInfo:
        job = self.project.jobs.get(name)
        return self.default if job is None else self.project.zone_of(job)

    def of_endpoint(self, name: str) -> ZoneInfo:
        endpoint = self.project.config.endpoints.get(name)
        return self.default if endpoint is None else endpoint.timezone

    def partner_of(self, name: str) -> str | None:
        endpoint = self.project.config.endpoints.get(name)
        return endpoint.partner if endpoint else None
