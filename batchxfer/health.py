"""How things stand: what is paused, what is late. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from batchxfer.model import Mark, OpenRun, Pause
from batchxfer.slots import Timetable

MOST_LOOKED_AT = 1000
OUT_OF_ORDER = 'order = "strict", and the slot {} (run {}) is not settled'


def pause_of(job: str, endpoints: Iterable[str], pauses: Mapping[str, Pause]) -> Pause | None:
    """The person's pause for which nothing of the job starts: its own, or that of all the endpoints it still has to reach."""
    if job in pauses:
        return pauses[job]
    found = [pauses.get(f"@{name}") for name in endpoints]
    if not found or any(pause is None or pause.until is not None for pause in found):
        return None
    return found[0]


def earlier_slot(slot: datetime, open_runs: Iterable[OpenRun]) -> OpenRun | None:
    """Of one job's open runs, the first that belongs to an earlier slot: a strict order settles that before."""
    return min((run for run in open_runs if run.slot < slot), key=lambda run: run.slot, default=None)


def late_slot(
    timetable: Timetable, mark: Mark | None, late_after: timedelta, now: datetime, settled: Callable[[datetime], bool]
) -> datetime | None:
    """The first slot that nobody has planned though it is late: the daemon is down. None where there is none.

    A job that was never seen (no mark) owes nothing. `settled` says whether a slot was run by hand meanwhile.
    """
    if mark is None or now - late_after <= mark.planned_until:
        return None
    return next(_unsettled(timetable, mark.planned_until, now - late_after, settled), None)


def missing_at(
    slot: datetime, missing_after: timedelta | None, next_slot: datetime | None, dated: bool
) -> datetime | None:
    """When a file that is owed is missing: after `missing_after`, else at the next slot; None for never.

    Where names do not tie files to slots, the next slot takes what comes, so that it is missing then at the latest.
    """
    own = slot + missing_after if missing_after is not None else None
    if own is None or (next_slot is not None and not dated):
        return min(filter(None, (own, next_slot)), default=None)
    return own


def _unsettled(
    timetable: Timetable, after: datetime, before: datetime, settled: Callable[[datetime], bool]
) -> Iterator[datetime]:
    """Slots in (after, before)."""
    for due in islice(timetable.slots(after, before), MOST_LOOKED_AT):
        if due.slot < before and not settled(due.slot):
            yield due.slot
