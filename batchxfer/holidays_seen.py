"""Remembers the holidays that the schedules were planned with, and tells where an upgrade of `holidays` changed days.

A day that the package learns to be closed moves or drops a slot. The daemon writes down what it plans with, beside the
artifacts; `check` compares, so that an upgrade says what it changes before it is taken up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import orjson

from batchxfer import calendars
from batchxfer.config import Project

NAME = "holidays.json"
YEARS = 3


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A day of a country or market that is now closed, or open, and was not."""

    base: str
    day: date
    closed: bool

    def __str__(self) -> str:
        return f"holidays of {self.base}: {self.day} is {'closed' if self.closed else 'open'} now, and was not before"


Days = Mapping[str, Mapping[str, list[str]]]
"""base → year → closed days, as ISO texts."""


def changed(project: Project, today: date) -> list[Changed]:
    """Where the days differ from those remembered; nothing where none are."""
    return sorted(_compare(_remembered(project), _now(project, today)), key=lambda change: (change.day, change.base))


def remember(project: Project, today: date) -> list[Changed]:
    """Remember the days as they are now, and return where they differ from those remembered before."""
    found, now = changed(project, today), _now(project, today)
    if now and now != _remembered(project):
        path = project.spool / NAME
        partial = path.with_name(f".{NAME}.{os.getpid()}.part")
        # What cannot be remembered is only not announced; the schedules do not depend on it.
        with contextlib.suppress(OSError):
            partial.write_bytes(orjson.dumps(now, option=orjson.OPT_SORT_KEYS))
            partial.replace(path)
    return found


def _now(project: Project, today: date) -> Days:
    years = range(today.year, today.year + YEARS)
    return {
        base: {str(year): sorted(day.isoformat() for day in calendars.closed_days(base, year)) for year in years}
        for base in sorted(_bases(project))
    }


def _bases(project: Project) -> set[str]:
    """The countries and markets that schedules use."""
    named = {job.schedule.calendar for job in project.jobs.values() if job.schedule and job.schedule.calendar}
    found = (calendars.find(name, project.config.calendars).base for name in named)
    return {base for base in found if base is not None}


def _remembered(project: Project) -> Days:
    path: Path = project.spool / NAME
    try:
        days = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return days if isinstance(days, dict) else {}


def _compare(before: Days, now: Days) -> Iterator[Changed]:
    for base, years in now.items():
        for year, days in years.items():
            known = before.get(base, {}).get(year)
            if known is not None:
                for day in set(days) ^ set(known):
                    yield Changed(base=base, day=date.fromisoformat(day), closed=day in days)
