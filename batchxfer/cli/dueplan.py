"""`plan`: the slots of jobs, past and coming, with the paths that they deliver to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.times import parse_time, show_time
from batchxfer.errors import ExitCode

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.config import Project
    from batchxfer.definitions import AnyJob
    from batchxfer.planned import Row

MOST_DAYS = 36525
UTC = ZoneInfo("UTC")


def plan(
    context: typer.Context,
    job: Annotated[
        list[str] | None, typer.Argument(metavar="JOB", help="Default: all.", autocompletion=completion.jobs)
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From then on, the past too; default: now.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=MOST_DAYS, help="So many times 24 hours from --from.")
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
    chosen = [project.known_job(loaded, name) for name in job] if job else _scheduled(loaded)
    for each in chosen:
        if (why := why_no_slots(each)) is not None:
            words.output.note(why)
    chosen = [each for each in chosen if why_no_slots(each) is None]
    rows = [row for each in chosen for row in _rows(loaded, each, from_, now, days, count)]
    rows.sort(key=lambda row: (row.slot_utc, row.job))
    if words.output.as_json:
        words.output.document({"slots": [_document(row) for row in rows]})
    else:
        _draw(rows, words.output)
    return ExitCode.DONE


def _scheduled(loaded: Project) -> list[AnyJob]:
    return [job for job in loaded.jobs.values() if why_no_slots(job) is None]


def why_no_slots(job: AnyJob) -> str | None:
    """Why a job owes no slots; None where it does."""
    if job.schedule is None:
        return f"job {job.name!r} has no schedule: it is run by hand"
    return None if job.enabled else f"job {job.name!r} is not enabled: it owes no slots"


def _rows(
    loaded: Project, job: AnyJob, from_: str | None, now: datetime, days: int | None, count: int | None
) -> Iterator[Row]:
    from batchxfer.cli.collisions import names_of
    from batchxfer.planned import rows

    start = parse_time(from_, loaded.zone_of(job), now, option="--from") if from_ is not None else now
    return rows(names_of(loaded, job), start, days=days, count=count)


def _document(row: Row) -> dict[str, object]:
    start, end = row.interval
    return {
        "job": row.job,
        "slot": row.slot.isoformat(),
        "slot_utc": row.slot_utc.isoformat(),
        "interval_start": start.isoformat(),
        "interval_end": end.isoformat(),
        "business_date": row.due.business_date.isoformat(),
        "deliveries": [
            {"endpoint": planned.endpoint, "path": planned.path, "slot_local": planned.slot_local.isoformat()}
            for planned in row.deliveries
        ],
    }


def _draw(rows: list[Row], output: Output) -> None:
    from batchxfer.cli.table import draw

    if not rows:
        output.say("no slots")
        return
    header = ["JOB", "DUE", "UTC", "BUSINESS", "INTERVAL", "PARTNER'S CLOCK", "PATH"]
    lines = [line for row in rows for line in _lines(row)]
    if any(row.notes for row in rows):
        header.append("NOTE")
    draw(
        header,
        [line[: len(header)] for line in lines],
        output,
        expendable=("INTERVAL", "UTC", "BUSINESS", "PARTNER'S CLOCK"),
    )


def _lines(row: Row) -> Iterator[list[str]]:
    zone = ZoneInfo(str(row.slot.tzinfo))
    start, end = (show_time(instant, zone, named=False) for instant in row.interval)
    slot = [
        row.job,
        f"{row.weekday} {show_time(row.slot, zone)}",
        show_time(row.slot_utc, UTC, named=False),
        row.due.business_date.isoformat(),
        f"{start} – {end}",
    ]
    note = "; ".join(row.notes)
    for planned in row.deliveries:
        there = show_time(planned.slot_local, ZoneInfo(str(planned.slot_local.tzinfo)))
        yield [*slot, there, f"{planned.endpoint}: {planned.path}", note]
        slot, note = [""] * len(slot), ""
