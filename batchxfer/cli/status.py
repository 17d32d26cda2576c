"""`status`: a row a job: what was delivered last, what comes next, and what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from batchxfer.cli import project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.render import COLOURS
from batchxfer.cli.table import Cell
from batchxfer.cli.times import Zones, show_time
from batchxfer.cli.words import ID_LENGTH
from batchxfer.errors import ExitCode, worst
from batchxfer.model import Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.config import Project
    from batchxfer.ports import Ledger

# What is told first where several runs of a job are not delivered.
GRAVEST = (
    RunStatus.HELD,
    RunStatus.FAILED,
    RunStatus.MISSING,
    RunStatus.RETRYING,
    RunStatus.PENDING,
    RunStatus.RUNNING,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """How one job stands. `open_runs` are those that are not settled, newest first."""

    job: str
    last: Run | None
    next_slot: datetime | None
    late: bool
    open_runs: Sequence[Run]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(run.status.value for run in self.open_runs)
        return {status.value: found[status.value] for status in GRAVEST}

    @property
    def gravest(self) -> Run | None:
        return min(self.open_runs, key=lambda run: GRAVEST.index(run.status), default=None)

    @property
    def reason(self) -> str | None:
        run = self.gravest
        if run is None or run.status is RunStatus.RUNNING:
            return None
        return run.reason or run.status.value

    @property
    def exit_code(self) -> ExitCode:
        codes = {RunStatus.HELD: ExitCode.HELD, RunStatus.FAILED: ExitCode.FAILED, RunStatus.MISSING: ExitCode.FAILED}
        codes[RunStatus.RETRYING] = ExitCode.RETRYING
        found = [codes.get(run.status, ExitCode.DONE) for run in self.open_runs]
        return worst([*found, ExitCode.RETRYING if self.late else ExitCode.DONE])


def status(context: typer.Context, config: ConfigPath = None, as_json: AsJson = False) -> int:
    """Tell how each job stands, and why.

    Last delivery, next slot, and what is late, retrying, failed or held. Exit status: 4 held, 1 failed or missing, 3 late or
    retrying, else 0.
    """
    from batchxfer.cli.clock import SystemClock

    words = context_of(context, config, as_json)
    loaded = project.load(words)
    now, zones = SystemClock().now(), Zones(loaded)
    with project.opened(words, loaded) as place:
        rows = _rows(loaded, place.ledger if place else None, now)
    if words.output.as_json:
        words.output.document({"jobs": [_document(row, zones) for row in rows]})
    else:
        _draw(rows, zones, words.output)
    return worst([row.exit_code for row in rows])


def _rows(loaded: Project, ledger: Ledger | None, now: datetime) -> list[Row]:
    open_runs: dict[str, list[Run]] = {}
    for standing in GRAVEST if ledger is not None else ():
        assert ledger is not None  # noqa: S101 - said above
        for run in ledger.runs(status=standing, limit=None):
            open_runs.setdefault(run.job, []).append(run)
    return [_row(loaded, name, ledger, open_runs.get(name, []), now) for name in sorted({*loaded.jobs, *open_runs})]


def _row(loaded: Project, name: str, ledger: Ledger | None, open_runs: list[Run], now: datetime) -> Row:
    delivered = ledger.runs(job=name, status=RunStatus.DELIVERED, limit=1) if ledger is not None else []
    return Row(
        job=name,
        last=delivered[0] if delivered else None,
        next_slot=_next_slot(loaded, name, now),
        late=_is_late(loaded, name, open_runs, now),
        open_runs=open_runs,
    )


def _next_slot(loaded: Project, name: str, now: datetime) -> datetime | None:
    job = loaded.jobs.get(name)
    if job is None or job.schedule is None or not job.enabled:
        return None
    return next((due.slot for due in project.timetable(loaded, job).next(now, 1)), None)


def _is_late(loaded: Project, name: str, open_runs: Sequence[Run], now: datetime) -> bool:
    """Whether a slot is due, and not delivered, for longer than `late_after`; by hand nothing is late."""
    job = loaded.jobs.get(name)
    if job is None or job.schedule is None:
        return False
    return any(now > run.due.slot + job.schedule.late_after for run in open_runs)


# --- telling -------------------------------------------------------------------------------------


def _document(row: Row, zones: Zones) -> dict[str, object]:
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
        "rows": run.artifact.rows if run.artifact else None,
        "bytes": run.artifact.bytes if run.artifact else None,
    }


def _delivered_at(run: Run) -> datetime | None:
    return max((delivery.delivered_at for delivery in run.deliveries if delivery.delivered_at), default=None)


def _draw(rows: Sequence[Row], zones: Zones, output: Output) -> None:
    from batchxfer.cli.table import Row as Line
    from batchxfer.cli.table import draw

    if not rows:
        output.say("no jobs")
        return
    lines: list[Line] = [[row.job, _last(row, zones), _next(row, zones), _standing(row), _why(row)] for row in rows]
    draw(("JOB", "DELIVERED UP TO", "NEXT", "NOW", "WHY"), lines, output, expendable=("NEXT",))


def _last(row: Row, zones: Zones) -> str:
    return show_time(row.last.due.slot, zones.of_job(row.job), named=False) if row.last is not None else "never"


def _next(row: Row, zones: Zones) -> str:
    return show_time(row.next_slot, zones.of_job(row.job)) if row.next_slot else "by hand"


def _standing(row: Row) -> Cell:
    if row.gravest is None:
        return Cell("ok" if row.last else "")
    words = [f"{count} {name}" for name, count in row.counts.items() if count]
    return Cell(", ".join(["late", *words] if row.late else words), COLOURS.get(row.gravest.status.value))


def _why(row: Row) -> str:
    return f"{row.gravest.id[:ID_LENGTH]} {row.reason}" if row.gravest is not None and row.reason else ""
