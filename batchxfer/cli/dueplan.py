"""`plan`: the slots of jobs, past and coming, with the paths that they deliver to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.times import Zones, parse_time, show_time
from batchxfer.errors import ExitCode, UsageError
from batchxfer.model import Due

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.config import Project
    from batchxfer.definitions import Job
    from batchxfer.ports import PlannedDelivery

DEFAULT_COUNT = 10
LONGEST = timedelta(days=36525)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A slot of a job, and where its files will be."""

    job: Job
    due: Due
    deliveries: Sequence[PlannedDelivery]


def plan(
    context: typer.Context,
    job: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Default: all.", autocompletion=completion.jobs)
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From then on, the past too; default: now.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(metavar="N", min=0, max=36525, help="So many times 24 hours from --from.")
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many a job; default: 10.")] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """List slots: when they are due, on every clock, and the paths.

    With --days the slots in [--from, --from + N x 24 h), past ones too; else the next 10 of each job.
    """
    from batchxfer.cli.clock import SystemClock

    words = context_of(context, config, as_json)
    loaded = project.load(words)
    now = SystemClock().now()
    rows = []
    for chosen in [project.push_job(loaded, name) for name in job] if job else _scheduled(loaded):
        start = parse_time(from_, loaded.zone_of(chosen), now, option="--from") if from_ is not None else None
        rows += list(_rows(loaded, chosen, start, now, days, count))
    rows.sort(key=lambda row: (row.due.slot, row.job.name))
    if words.output.as_json:
        words.output.document({"slots": [_document(row, Zones(loaded)) for row in rows]})
    else:
        _draw(rows, Zones(loaded), words.output)
    return ExitCode.DONE


def _scheduled(loaded: Project) -> list[Job]:
    from batchxfer.definitions import Job

    return [job for job in loaded.jobs.values() if isinstance(job, Job) and job.schedule is not None]


def _rows(
    loaded: Project, job: Job, start: datetime | None, now: datetime, days: float | None, count: int | None
) -> Iterator[Row]:
    if job.schedule is None:
        raise UsageError(f"job {job.name!r} has no schedule: it is run by hand", hint=f"batchxfer run {job.name}")
    from batchxfer.naming import planned_deliveries

    for due in _dues(loaded, job, start, now, days, count):
        yield Row(job=job, due=due, deliveries=planned_deliveries(loaded, job, due, revision=1, run="{run}"))


def _dues(
    loaded: Project, job: Job, start: datetime | None, now: datetime, days: float | None, count: int | None
) -> Iterator[Due]:
    """With --days all of that time; else the next ones, ten where no number is said."""
    timetable = project.timetable(loaded, job)
    begin = start if start is not None else now
    length = timedelta(days=days) if days is not None else LONGEST
    limit = count if count is not None or days is not None else DEFAULT_COUNT
    return islice(timetable.between(begin, begin + length), limit)


def _document(row: Row, zones: Zones) -> dict[str, object]:
    from batchxfer.cli.documents import instant

    zone = zones.of_job(row.job.name)
    return {
        "job": row.job.name,
        "slot": instant(row.due.slot, zone),
        "slot_utc": instant(row.due.slot),
        "interval_start": instant(row.due.interval_start, zone),
        "interval_end": instant(row.due.interval_end, zone),
        "business_date": row.due.business_date.isoformat(),
        "deliveries": [
            {
                "endpoint": delivery.endpoint,
                "path": delivery.files[0][1],
                "slot_local": instant(row.due.slot, zones.of_endpoint(delivery.endpoint)),
            }
            for delivery in row.deliveries
        ],
    }


def _draw(rows: list[Row], zones: Zones, output: Output) -> None:
    from batchxfer.cli.table import draw

    if not rows:
        output.say("no slots")
        return
    header = ("JOB", "DUE", "UTC", "BUSINESS", "INTERVAL", "PARTNER'S CLOCK", "PATH")
    lines = [line for row in rows for line in _lines(row, zones)]
    draw(header, lines, output)


def _lines(row: Row, zones: Zones) -> Iterator[list[str]]:
    zone, due = zones.of_job(row.job.name), row.due
    interval = f"{show_time(due.interval_start, zone, named=False)} – {show_time(due.interval_end, zone, named=False)}"
    first = [
        row.job.name,
        show_time(due.slot, zone),
        f"{due.slot:%Y-%m-%d %H:%M}",
        due.business_date.isoformat(),
        interval,
    ]
    for delivery in row.deliveries:
        there = show_time(due.slot, zones.of_endpoint(delivery.endpoint))
        yield [*first, there, f"{delivery.endpoint}: {delivery.files[0][1]}"]
        first = [""] * len(first)
