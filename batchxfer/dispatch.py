"""Which open runs may start now. Pure.

Runs of one job start in the order of their slots, one at a time. A run that waits for its retry, or for a person, lets later
ones pass, unless the job's order is strict. What is paused waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from batchxfer.model import OpenRun


@dataclass(frozen=True, kw_only=True)
class JobRules:
    """What dispatching needs of a job: the order of its runs, and where its files go."""

    strict: bool
    endpoints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The runs that may start now, by slot, and the next instant at which another one may."""

    runs: tuple[OpenRun, ...]
    next_at: datetime | None


def ready(open_runs: Iterable[OpenRun], rules: Mapping[str, JobRules], paused: Collection[str], now: datetime) -> Ready:
    """At most one run a job. `paused` holds names of jobs, and of endpoints behind an `@`.

    Runs of jobs without rules may start too: the runner holds them, with the reason.
    """
    chosen: list[OpenRun] = []
    waits: list[datetime] = []
    by_job = sorted(open_runs, key=lambda run: (run.job, run.slot, run.id))
    for job, group in groupby(by_job, key=lambda run: run.job):
        runs = list(group)
        if job in paused or any(run.running for run in runs):
            continue
        rule = rules.get(job, JobRules(strict=False, endpoints=()))
        first = next(_startable(runs, rule, paused, now), None)
        if first is not None:
            chosen.append(first)
        waits += [run.due_at for run in runs if run.due_at is not None and run.due_at > now]
    return Ready(runs=tuple(sorted(chosen, key=lambda run: (run.slot, run.job))), next_at=min(waits, default=None))


def _startable(runs: list[OpenRun], rule: JobRules, paused: Collection[str], now: datetime) -> Iterator[OpenRun]:
    for run in runs:
        if run.due_at is not None and run.due_at <= now and not _all_paused(run.endpoints or rule.endpoints, paused):
            yield run
        if rule.strict:
            return


def _all_paused(endpoints: tuple[str, ...], paused: Collection[str]) -> bool:
    return bool(endpoints) and all(f"@{name}" in paused for name in endpoints)
