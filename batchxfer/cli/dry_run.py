"""`run --dry-run`: the file is built and shown; nothing is sent, and the ledger is not touched."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from batchxfer.cli import progress
from batchxfer.cli.clock import SystemClock
from batchxfer.cli.options import Context
from batchxfer.cli.times import Zones, show_time
from batchxfer.cli.words import counted, size
from batchxfer.errors import ExitCode
from batchxfer.model import Artifact, Delivery, DeliveryStatus, Due, ParameterValue, Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.config import Project
    from batchxfer.definitions import Job
    from batchxfer.ports import Ledger
    from batchxfer.runner import Runner

LINES_SHOWN = 10
LONGEST_LINE = 2000
FOLDER = "dry-run"
REASON = "dry run: nothing was sent, nothing was recorded"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run that is in no ledger, with its file."""

    run: Run
    artifact: Artifact


def dry_run(
    words: Context, loaded: Project, job: Job, dues: Sequence[Due], overrides: Mapping[str, ParameterValue]
) -> int:
    """Build each slot's file below the spool, where `prune` finds it a day later, and say where it would go."""
    trials = []
    with progress.watching(words.output) as bar:
        runner = _runner(loaded, bar)
        for due in dues:
            trials.append(_build(loaded, job, due, overrides, runner))
            if bar is not None:
                bar.clear()
            if not words.output.as_json:
                _tell(trials[-1], loaded, job, words.output)
            _warn_of_guard(trials[-1], job, words.output)
    if words.output.as_json:
        words.output.document({"runs": [_document(trial, Zones(loaded)) for trial in trials]})
    return ExitCode.DONE


def _runner(loaded: Project, bar: progress.Bar | None) -> Runner:
    from batchxfer.connections import Connections
    from batchxfer.runner import Runner
    from batchxfer.wiring import Toolbox

    toolbox = Toolbox(loaded)
    # Runner.write touches no ledger, so there is none.
    return Runner(loaded, cast("Ledger", None), toolbox, Connections(toolbox.endpoint), SystemClock(), listener=bar)


def _build(loaded: Project, job: Job, due: Due, overrides: Mapping[str, ParameterValue], runner: Runner) -> Trial:
    from batchxfer import naming, snapshots
    from batchxfer.ids import new_id

    now = SystemClock().now()
    identifier = new_id(now)
    run = Run(
        id=identifier,
        job=job.name,
        due=due,
        revision=1,
        status=RunStatus.PENDING,
        parameters={**job.source.parameters, **overrides},
        reason=REASON,
        created_at=now,
        snapshot=snapshots.take(loaded, job),
        deliveries=tuple(
            Delivery(id="", endpoint=planned.endpoint, path=planned.files[0][1], status=DeliveryStatus.PENDING)
            for planned in naming.planned_deliveries(loaded, job, due, revision=1, run=identifier)
        ),
    )
    name = run.deliveries[0].path.rpartition("/")[2]
    path = loaded.spool / FOLDER / f"{due.slot:%Y%m%dT%H%M%SZ}-{identifier}-{name}"
    return Trial(run=run, artifact=runner.write(run, path, artifact=identifier, at=now))


def _document(trial: Trial, zones: Zones) -> dict[str, object]:
    from batchxfer.cli.documents import run_document

    # An id that no command knows would mislead.
    return {**run_document(replace(trial.run, artifact=trial.artifact), zones), "run": None}


def _warn_of_guard(trial: Trial, job: Job, output: Output) -> None:
    rows, guard = trial.artifact.rows, job.guard
    if (guard.min_rows is not None and rows < guard.min_rows) or (guard.max_rows is not None and rows > guard.max_rows):
        output.warn(f"{counted(rows, 'row')}: the job's [guard] would hold this")


def _tell(trial: Trial, loaded: Project, job: Job, output: Output) -> None:
    artifact, due = trial.artifact, trial.run.due
    output.say(
        f"{job.name} · due {show_time(due.slot, loaded.zone_of(job))} · {counted(artifact.rows, 'row')} · "
        f"{size(artifact.bytes)} · sha256 {artifact.sha256}"
    )
    for delivery in trial.run.deliveries:
        output.say(f"  would go to {delivery.endpoint}: {delivery.path}")
    output.say(f"  is here: {artifact.path}")
    for line in _first_lines(artifact.path, job.file.compress, loaded.format_of(job).encoding):
        output.say(f"  │ {line}")
    output.say(f"  {REASON}")


def _first_lines(path: Path, compress: str, encoding: str) -> Iterator[str]:
    with _opened(path, compress) as content:
        text = io.TextIOWrapper(content, encoding=encoding, errors="replace", newline="")
        for _ in range(LINES_SHOWN):
            if not (line := text.readline(LONGEST_LINE)):
                return
            yield line.rstrip("\r\n")
        if text.readline(1):
            yield "…"


def _opened(path: Path, compress: str) -> IO[bytes]:
    """The bytes before compression; none for zstd, which only Arrow can read here."""
    if compress == "zstd":
        return io.BytesIO()
    return cast("IO[bytes]", gzip.open(path, "rb")) if compress == "gzip" else path.open("rb")
