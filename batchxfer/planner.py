"""Which slots enter the ledger now: a job's timetable, how far it was planned, and the time. Pure.

Time is planned once: a mark says up to where, and only moves forward, so that a clock that steps back plans nothing twice
and one that steps forward is caught up. Intervals tile: each begins where the last planned one ended, also when the
schedule has changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batchxfer.model import Due, Mark, Plan, Skipped
from batchxfer.slots import Timetable

MOST_SKIPPED = 100
"""More skipped slots than this become one event with their count."""


@dataclass(frozen=True, kw_only=True)
class CatchUp:
    """What becomes of slots that were missed: `kind` is all, merge, latest or none; a slot is missed after `on_time`."""

    kind: str
    window: timedelta
    on_time: timedelta


def first_seen(job: str, timetable: Timetable, now: datetime) -> Mark:
    """The mark of a job that was never planned: it owes nothing before now."""
    last = timetable.latest(now)
    return Mark(job=job, first_seen=now, planned_until=now, interval_end=last.interval_end if last else None)


def plan(timetable: Timetable, mark: Mark, now: datetime, catch_up: CatchUp, *, enabled: bool = True) -> Plan:
    """The slots in (mark, now]. A disabled job owes none, and its mark moves on."""
    if now <= mark.planned_until:
        return Plan(mark=mark)
    found = list(tiled(timetable.slots(mark.planned_until, now), mark.interval_end))
    end = found[-1].interval_end if found else mark.interval_end
    moved = replace(mark, planned_until=now, interval_end=end)
    if not found or not enabled:
        return Plan(mark=moved)
    due, skipped = _sorted_out(found, catch_up, now)
    return Plan(
        mark=moved,
        due=tuple(due),
        skipped=tuple(skipped[-MOST_SKIPPED:]),
        uncounted=max(len(skipped) - MOST_SKIPPED, 0),
    )


def tiled(found: Iterable[Due], end: datetime | None) -> Iterator[Due]:
    """`found` with each interval beginning where the one before ended; the first at `end`, where that is known.

    Where a changed schedule reports on time that was reported already, what is left of the interval may be empty.
    """
    for due in found:
        start = due.interval_start if end is None else end
        end = max(due.interval_end, start)
        yield replace(due, interval_start=start, interval_end=end)


def _sorted_out(found: list[Due], catch_up: CatchUp, now: datetime) -> tuple[list[Due], list[Skipped]]:
    if catch_up.kind == "merge":
        return _merged(found)
    run, skipped = [], []
    for due in found:
        reason = _why_not(due, found[-1], catch_up, now)
        if reason is None:
            run.append(due)
        else:
            skipped.append(Skipped(due=due, reason=reason))
    return run, skipped


def _why_not(due: Due, last: Due, catch_up: CatchUp, now: datetime) -> str | None:
    late = now - due.slot
    if catch_up.kind == "none" and late > catch_up.on_time:
        return "missed, and catch_up = 'none'"
    if late > catch_up.window and late > catch_up.on_time:
        return "missed longer ago than catch_up_window"
    if catch_up.kind == "latest" and due != last:
        return "missed, and a later slot was due; catch_up = 'latest'"
    return None


def _merged(found: list[Due]) -> tuple[list[Due], list[Skipped]]:
    whole = replace(found[-1], interval_start=found[0].interval_start)
    return [whole], [Skipped(due=due, reason="merged", merged=True) for due in found[:-1]]
