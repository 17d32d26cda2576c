"""`pause` and `resume`: jobs, or everything that goes to an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.model import Pause

Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="JOB|@ENDPOINT", help="Jobs' names, or @ and an endpoint's.", autocompletion=completion.subjects
    ),
]


def pause(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who ask later.")],
    subjects: Subjects = None,
    every: Annotated[bool, typer.Option("--all", help="Every job that there is now.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Start nothing of a job, or nothing that goes to an endpoint.

    Its slots wait, and are late. What runs already goes on; `resume` ends the pause.
    """
    words = context_of(context, config, as_json)
    if not why.strip():
        raise UsageError("--why is empty", hint="say why in a few words: they stand in the ledger")
    loaded = project.load(words)
    chosen = _chosen(subjects or [], every, loaded.jobs)
    for subject in chosen:
        _check_known(loaded, subject, ())
    with project.opened(words, loaded, create=True) as place:
        assert place is not None  # noqa: S101 - it was to be made
        for subject in chosen:
            place.ledger.pause(subject, why.strip())
        left = place.ledger.pauses()
    _tell(words, left.values(), [f"{subject} is paused; end it with: batchxfer resume {subject}" for subject in chosen])
    return ExitCode.DONE


def resume(
    context: typer.Context,
    subjects: Subjects = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever is paused.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """End a pause, a person's or the one after a refused login."""
    words = context_of(context, config, as_json)
    loaded = project.load(words)
    told = []
    with project.opened(words, loaded) as place:
        paused = place.ledger.pauses() if place else {}
        chosen = _chosen(subjects or [], every, paused)
        for subject in chosen:
            _check_known(loaded, subject, paused)
        for subject in chosen:
            ended = place.ledger.resume(subject) if place else False
            told.append(f"{subject} goes on" if ended else f"{subject} was not paused: nothing to do")
        left = place.ledger.pauses() if place else {}
    _tell(words, left.values(), told or ["nothing is paused"])
    return ExitCode.DONE


def _chosen(named: Sequence[str], every: bool, known: Iterable[str]) -> list[str]:
    """What a person named, or all. Raises UsageError where it is both or neither."""
    if every and named:
        raise UsageError("--all goes with no names", hint="name some, or say --all")
    if not every and not named:
        raise UsageError("missing argument 'JOB|@ENDPOINT'", hint="name jobs or @endpoints, or say --all")
    return sorted(known) if every else list(dict.fromkeys(named))


def _check_known(loaded: Project, subject: str, paused: Iterable[str]) -> None:
    """Raises UsageError where the subject is neither there nor paused, with what was probably meant."""
    from batchxfer.suggestions import did_you_mean

    known = {*loaded.jobs, *(f"@{name}" for name in loaded.config.endpoints)}
    if subject not in known.union(paused):
        what = f"endpoint {subject[1:]!r}" if subject.startswith("@") else f"job {subject!r}"
        near = [name for name in known if name.startswith("@") == subject.startswith("@")]
        if not subject.startswith("@") and f"@{subject}" in known:
            raise UsageError(f"there is no {what}", hint=f"an endpoint is written with an @: @{subject}")
        raise UsageError(f"there is no {what}", hint=did_you_mean(subject, near, what="there are"))


def _tell(words: Context, left: Iterable[Pause], told: Iterable[str]) -> None:
    if words.output.as_json:
        from batchxfer.cli.documents import pauses_document

        words.output.document(pauses_document(left))
    for line in told:
        words.output.say(line)
