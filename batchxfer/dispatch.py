"""Which open runs may start now. Pure.

Runs of one job start in the order of their slots, one at a time. A run that waits for its retry lets later ones pass, unless
the job's order is strict. What belongs to a paused job waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from batchxfer.model import OpenRun, RunStatus

UNSETTLED = frozenset(
    {RunStatus.PENDING, RunStatus.RUNNING, RunStatus.RETRYING, RunStatus.HELD, RunStatus.FAILED, RunStatus.MISSING}
)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The runs that may start now, and the next instant at which another one may."""

    runs: tuple[OpenRun, ...]
    next_at: datetime | None


def ready(open_runs: Iterable[OpenRun], orders: Mapping[str, str], paused: Collection[str], now: datetime) -> Ready:
    """At most one run a job, in the order of their slots. `orders` says any or strict for each job that exists; runs of other
    jobs may start too: the runner holds them with the reason."""
    chosen, waits = [], []
    by_job = sorted(open_runs, key=lambda run: (run.job, run.slot, run.id))
    for job, group in groupby(by_job, key=lambda run: run.job):
        runs = list(group)
        if job in paused or any(run.running for run in runs):
            continue
        first = next(_startable(runs, now, strict=orders.get(job) == "strict"), None)
        if first is not None:
            chosen.append(first)
        waits += [run.retry_at for run in runs if run.retry_at is not None and run.retry_at > now]
    return Ready(runs=tuple(sorted(chosen, key=lambda run: (run.slot, run.job))), next_at=min(waits, default=None))


def _startable(runs: list[OpenRun], now: datetime, *, strict: bool) -> Iterator[OpenRun]:
    for run in runs:
        if _is_due(run, now):
            yield run
        if strict and run.status in UNSETTLED:
            return


def _is_due(run: OpenRun, now: datetime) -> bool:
    if run.status is RunStatus.RETRYING:
        return run.retry_at is None or run.retry_at <= now
    # A run whose worker is gone is still called running.
    return run.status in (RunStatus.PENDING, RunStatus.RUNNING)
