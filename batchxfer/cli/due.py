"""`run --due`: one tick without a daemon."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from batchxfer.cli import project
from batchxfer.cli.collisions import collisions
from batchxfer.cli.options import Context
from batchxfer.cli.results import Result
from batchxfer.cli.times import Zones
from batchxfer.errors import BatchxferError, BusyError

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.crew import Ended
    from batchxfer.model import Run
    from batchxfer.wiring import Workplace


def run_due(words: Context, jobs: Sequence[str]) -> int:
    """Run what is due of these jobs, of all where none is named."""
    from batchxfer import scheduler

    loaded = project.load(words)
    for name in jobs:
        project.known_job(loaded, name)
    _warn_of_collisions(words, loaded, jobs)
    project.warn_root(words, loaded)
    with project.opened(words, loaded, create=True) as place:
        assert place is not None  # noqa: S101 - it was to be made
        ended = scheduler.run_due(place, jobs or None)
        result = Result(runs=_last_of_each(ended), error=_error(ended))
        result.runs += _paused(place, jobs, {run.id for run in result.runs})
    _tell(words, loaded, result)
    return result.exit_code


def _warn_of_collisions(words: Context, loaded: Project, jobs: Sequence[str]) -> None:
    for problem in collisions(loaded, only=jobs[0] if len(jobs) == 1 else None):
        words.output.warn(f"{problem.file}: {problem.where}: {problem.problem}", problem.hint)


def _last_of_each(ended: Sequence[Ended]) -> list[Run]:
    """The runs as they were left, in the order of their slots."""
    left = {each.run.id: each.run for each in ended if each.run is not None}
    return sorted(left.values(), key=lambda run: (run.due.slot, run.job))


def _error(ended: Sequence[Ended]) -> BatchxferError | None:
    """What kept a run from being done at all: a fault comes before somebody else who is at it."""
    done = {each.id for each in ended if each.run is not None}
    errors = [each.error for each in ended if each.error is not None and each.id not in done]
    return min(errors, key=lambda error: isinstance(error, BusyError), default=None)


def _paused(place: Workplace, jobs: Collection[str], done: Collection[str]) -> Iterator[Run]:
    """What would have been done, were it not paused."""
    from batchxfer.health import pause_of

    now, pauses = place.ledger.now(), place.ledger.pauses()
    for found in place.ledger.open_runs() if pauses else ():
        if found.id in done or (jobs and found.job not in jobs) or found.due_at is None or found.due_at > now:
            continue
        job = place.project.jobs.get(found.job)
        pause = pause_of(found.job, found.endpoints or (job.file.endpoint_names if job else ()), pauses)
        if pause is not None:
            yield replace(place.ledger.find_run(found.id), reason=pause.told)


def _tell(words: Context, loaded: Project, result: Result) -> None:
    zones = Zones(loaded)
    if words.output.as_json:
        from batchxfer.cli.documents import error_document, runs_document

        document = runs_document(result.runs, zones)
        words.output.document({**document, **error_document(result.error)} if result.error else document)
        return
    from batchxfer.cli.render import tell_run

    for run in result.runs:
        tell_run(run, zones, words.output)
    if result.error:
        words.output.error(result.error)
    elif not result.runs:
        words.output.say("nothing is due")
