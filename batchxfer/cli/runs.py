"""`runs` and `show`: what the ledger knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.cli.times import Zones
from batchxfer.errors import ExitCode
from batchxfer.model import Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.config import Project

DEFAULT_LIMIT = 50


def runs(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Only this job's.", autocompletion=completion.jobs)
    ] = None,
    status: Annotated[
        RunStatus | None, typer.Option(case_sensitive=False, help="Only those that stand like this.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only those due at this time or later.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = DEFAULT_LIMIT,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """List the runs, newest slot first."""
    words = context_of(context, config, as_json)
    loaded = project.load_to_look(words)
    zones = Zones(loaded)
    found = _find(words, loaded, zones, job, status, since, limit)
    if words.output.as_json:
        from batchxfer.cli.documents import runs_document

        words.output.document(runs_document(found, zones))
    elif found:
        _draw(found, zones, words, limit)
    else:
        words.output.say("no runs" if any((job, status, since)) else "no runs yet; begin with: batchxfer run JOB")
    return ExitCode.DONE


def _find(
    words: Context,
    loaded: Project,
    zones: Zones,
    job: str | None,
    status: RunStatus | None,
    since: str | None,
    limit: int,
) -> list[Run]:
    from batchxfer.cli.clock import SystemClock
    from batchxfer.cli.times import parse_time

    zone = zones.of_job(job) if job else zones.default
    start = parse_time(since, zone, SystemClock().now(), option="--since") if since else None
    with project.opened(words, loaded) as place:
        found = place.ledger.runs(job=job, status=status, since=start, limit=limit) if place else []
        if place and any(run.status is RunStatus.PENDING for run in found):
            from batchxfer.cli.standing import Waits

            waits = Waits(loaded, place.ledger)
            found = [waits.told(run) for run in found]
    if not found and job is not None:
        project.known_job(loaded, job)
    return found


def _draw(found: list[Run], zones: Zones, words: Context, limit: int) -> None:
    from batchxfer.cli.render import runs_table

    runs_table(found, zones, words.output)
    if len(found) == limit:
        words.output.note(f"the newest {limit}; more with --limit")


def show(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.", autocompletion=completion.runs)
    ],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Tell one run in full: what, when, where, and the evidence."""
    words = context_of(context, config, as_json)
    loaded = project.load_to_look(words)
    from batchxfer.cli.standing import Waits

    with project.opened_ledger(words, loaded) as place:
        waits = Waits(loaded, place.ledger)
        known = place.ledger.find_run(run)
        found, wait = waits.told(known), waits.of(known)
    zones = Zones(loaded)
    if words.output.as_json:
        from batchxfer.cli.documents import run_document

        words.output.document(run_document(found, zones))
    else:
        from batchxfer.cli.render import story

        story(found, zones, words.output, step=wait.step if wait else None)
    return ExitCode.DONE
