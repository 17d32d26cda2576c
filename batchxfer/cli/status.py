"""`status`: a row a job: what was delivered last, what comes next, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.pulls import bytes_of, rows_of
from batchxfer.cli.render import COLOURS
from batchxfer.cli.table import Cell
from batchxfer.cli.times import Zones, show_time
from batchxfer.cli.words import ID_LENGTH, size
from batchxfer.errors import ExitCode, worst
from batchxfer.model import Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.cli.standing import Standing


def status(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Only these jobs; default: all.", autocompletion=completion.jobs),
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Tell how each job stands, and why.

    Last delivery, next slot, and what is late, retrying, failed or held. Exit status: 4 held (also where the ledger was put
    back and is not reconciled), 1 failed or missing, 3 late or retrying, else 0.
    """
    from batchxfer.cli.clock import SystemClock
    from batchxfer.cli.standing import standings

    words = context_of(context, config, as_json)
    loaded = project.load(words)
    zones = Zones(loaded)
    with project.opened(words, loaded) as place:
        # Slots go by the ledger's clock, which may be another machine's.
        now = place.ledger.now() if place else SystemClock().now()
        rows = standings(loaded, place.ledger if place else None, now, jobs or ())
        is_restored = place is not None and place.ledger.restored() is not None
    for name in {*(jobs or ())} - {row.job for row in rows}:
        project.known_job(loaded, name)
    if words.output.as_json:
        words.output.document({"jobs": [_document(row, zones) for row in rows]})
    else:
        _draw(rows, zones, words.output)
    return worst([*(row.exit_code for row in rows), ExitCode.HELD if is_restored else ExitCode.DONE])


# --- telling -------------------------------------------------------------------------------------


def _document(row: Standing, zones: Zones) -> dict[str, object]:
    from batchxfer.cli.documents import instant

    zone = zones.of_job(row.job)
    return {
        "job": row.job,
        "last": _last_document(row.last, zones) if row.last else None,
        "next_slot": instant(row.next_slot, zone),
        "late": row.late,
        "counts": row.counts,
        "reason": row.reason,
    }


def _last_document(run: Run, zones: Zones) -> dict[str, object]:
    from batchxfer.cli.documents import instant

    return {
        "run": run.id,
        "slot": instant(run.due.slot, zones.of_job(run.job)),
        "delivered_at": instant(_delivered_at(run)),
        "rows": rows_of(run),
        "bytes": bytes_of(run),
    }


def _delivered_at(run: Run) -> datetime | None:
    return max((delivery.delivered_at for delivery in run.deliveries if delivery.delivered_at), default=None)


def _draw(rows: Sequence[Standing], zones: Zones, output: Output) -> None:
    if not rows:
        output.say("no jobs")
        return
    _draw_table(rows, zones, output)
    if any(row.gravest is not None and row.exit_code is not ExitCode.DONE for row in rows):
        output.say("→ what happened to one, and what to type: batchxfer show RUN")


def _draw_table(rows: Sequence[Standing], zones: Zones, output: Output) -> None:
    from batchxfer.cli.table import Row as Line
    from batchxfer.cli.table import draw

    header = ("JOB", "DELIVERED UP TO", "ROWS", "SIZE", "DUE", "NEXT", "NOW", "WHY")
    lines: list[Line] = [
        [
            row.job,
            _slot(row.last.due.slot if row.last else None, row, zones) or "never",
            f"{rows_of(row.last) or 0:,}" if row.last and rows_of(row.last) is not None else "",
            size(bytes_of(row.last) or 0) if row.last and bytes_of(row.last) is not None else "",
            _slot(row.due, row, zones),
            show_time(row.next_slot, zones.of_job(row.job)) if row.next_slot else row.begun_by,
            _now(row),
            _why(row, zones),
        ]
        for row in rows
    ]
    draw(header, lines, output, right=("ROWS", "SIZE"), expendable=("SIZE", "ROWS", "NEXT", "DUE"))


def _slot(slot: datetime | None, row: Standing, zones: Zones) -> str:
    return show_time(slot, zones.of_job(row.job), named=False) if slot else ""


def _now(row: Standing) -> Cell:
    words = [f"{count} {name}{' since' if name == 'skipped' else ''}" for name, count in row.counts.items() if count]
    words = ["late"] * row.late + ["paused"] * bool(row.pause) + words
    if not words:
        return Cell("ok" if row.last else "")
    gravest = COLOURS.get(row.gravest.status.value) if row.gravest else None
    return Cell(", ".join(words), gravest or ("yellow" if row.late or row.pause else None))


def _why(row: Standing, zones: Zones) -> str:
    run = row.gravest
    if run is None or not row.reason:
        return row.reason or ""
    again = ""
    if run.status is RunStatus.RETRYING and run.retry_at is not None:
        again = f"again {show_time(run.retry_at, zones.of_job(run.job), named=False, seconds=True)}: "
    return f"{run.id[:ID_LENGTH]} {again}{row.reason}"
