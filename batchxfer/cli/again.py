"""What a person may do to a run: retry, resend, rerun, release, accept, exclude."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, progress, project
from batchxfer.cli.changes import changed
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.results import exit_code
from batchxfer.cli.times import Zones
from batchxfer.errors import UsageError
from batchxfer.model import Run

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.definitions import LoadOptions
    from batchxfer.operations import Rerun
    from batchxfer.wiring import Workplace

RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.", autocompletion=completion.runs)
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who ask later.")]
Parameters = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another value of a declared parameter.")
]

Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of several endpoints this one alone; default: all.", autocompletion=completion.endpoints
    ),
]

Action = Callable[["Workplace", Run], Run]


def retry(
    context: typer.Context, run: RunId, endpoint: Endpoint = None, config: ConfigPath = None, as_json: AsJson = False
) -> int:
    """Try again what is not delivered; on held, look again.

    Starts a fresh series of tries. The bytes are the same: the query does not run twice.
    """
    return _act(context, run, config, as_json, lambda place, found: place.operations.retry(found, endpoint))


def resend(
    context: typer.Context, run: RunId, endpoint: Endpoint = None, config: ConfigPath = None, as_json: AsJson = False
) -> int:
    """Send the same bytes to the same path again.

    An equal file that is there stays (exit status 0), another one is not touched (4), and what is gone is sent again.
    """
    return _act(context, run, config, as_json, lambda place, found: place.operations.resend(found, endpoint))


def rerun(
    context: typer.Context,
    run: RunId,
    param: Parameters = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Query again for the slot's rows; load a pull's files again.

    Once a byte of the earlier file was published, this is a new revision under a new name; before that it takes its place.
    """
    from batchxfer.cli.parameters import parse_parameters

    told: list[Rerun] = []
    load: list[LoadOptions | None] = []

    def again(place: Workplace, found: Run) -> Run:
        job = project.known_job(place.project, found.job)
        load.append(getattr(job, "load", None))
        overrides = parse_parameters(param or [], job)
        told.append(place.operations.rerun(found, overrides))
        return told[-1].after

    return _act(context, run, config, as_json, again, told=lambda: changed(told[-1], load[-1]))


def release(context: typer.Context, run: RunId, config: ConfigPath = None, as_json: AsJson = False) -> int:
    """Send, load or take what a rule of the job held.

    Its [guard], its cutoff, or, of a pull, a rule for files: `changed`, `same_content`.
    """
    return _act(context, run, config, as_json, lambda place, found: place.operations.release(found))


def accept(
    context: typer.Context,
    run: RunId,
    why: Why,
    endpoint: Endpoint = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Record as delivered: a person knows that it arrived."""
    reason = _reason(why)
    return _act(context, run, config, as_json, lambda place, found: place.operations.accept(found, reason, endpoint))


def exclude(
    context: typer.Context,
    run: RunId,
    why: Why,
    endpoint: Endpoint = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Never send it, and stop asking."""
    reason = _reason(why)
    return _act(context, run, config, as_json, lambda place, found: place.operations.exclude(found, reason, endpoint))


def _reason(text: str) -> str:
    if not text.strip():
        raise UsageError("--why is empty", hint="say why in a few words: they stand in the ledger")
    return text.strip()


def _act(
    context: typer.Context,
    run: str,
    config: Path | None,
    as_json: bool,
    action: Action,
    *,
    told: Callable[[], str] | None = None,
) -> int:
    """Do it, and tell how the run stands then; what `told` finds is told beside it."""
    words = context_of(context, config, as_json)
    loaded: Project = project.load(words)
    project.warn_root(words, loaded)
    zones = Zones(loaded)
    with (
        progress.watching(words.output) as bar,
        project.opened_ledger(words, loaded, listener=bar) as place,
    ):
        before = place.ledger.find_run(run)
        after = action(place, before)
    if words.output.as_json:
        from batchxfer.cli.documents import runs_document

        words.output.document(runs_document([after], zones))
    else:
        from batchxfer.cli.render import tell_run

        tell_run(after, zones, words.output)
        if told:
            words.output.say(told())
        if after == before:
            words.output.say(f"it was {after.status} before, and nothing was done")
    return exit_code(after)
