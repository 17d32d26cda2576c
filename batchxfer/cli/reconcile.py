"""`reconcile`: after the ledger was put back from a backup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.errors import BatchxferError, ExitCode, UsageError, worst

if TYPE_CHECKING:
    from batchxfer.cli.times import Zones
    from batchxfer.facts import Restored
    from batchxfer.reconciling import Look, Reconciled, Reconciler
    from batchxfer.wiring import Workplace

WORDS = {
    "found": "is there: recorded as delivered",
    "absent": "let go",
    "undecided": "held, ask the partner",
    "not-looked": "nobody could look, held",
}


def reconcile(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Only these jobs; default: all.", autocompletion=completion.jobs),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and say what would be recorded.")] = False,
    why: Annotated[
        str | None,
        typer.Option(
            "--why", metavar="TEXT", help="Say that the ledger was put back, where the spool came back with it."
        ),
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Look for what a ledger that was put back forgot.

    After a backup of the ledger was put in place, what was due since may have been sent: this looks at the endpoints. What
    is there is recorded as delivered, what is not is let go, and what cannot be told stays held for a person. Sends
    nothing. Exit status: 0 all is clear, 3 an endpoint could not be looked at now, 4 something is held.
    """
    words = context_of(context, config, as_json)
    loaded = project.load(words)
    for name in jobs or ():
        project.known_job(loaded, name)
    if why is not None and (dry_run or not why.strip()):
        raise UsageError("--why needs a reason, and goes without --dry-run", hint="say it in a few words")
    with project.opened_ledger(words, loaded, is_quiet=True) as place:
        if why is not None:
            place.ledger.declare_restored(why.strip())
        restored = place.ledger.restored()
        seen = list(_seen(place, restored, jobs or (), dry_run)) if restored is not None else []
        over = restored is None or (not dry_run and _reconciler(place, restored).end())
    _tell(words, restored, seen, over=over, dry_run=dry_run, zones=_zones(place))
    return worst([_code(each) for each in seen])


def _reconciler(place: Workplace, restored: Restored) -> Reconciler:
    from batchxfer.reconciling import Reconciler

    return Reconciler(place.project, place.ledger, place.runner, place.worker, place.connections, place.clock, restored)


def _seen(place: Workplace, restored: Restored, jobs: Sequence[str], dry_run: bool) -> Iterator[Reconciled]:
    reconciler = _reconciler(place, restored)
    yield from reconciler.look(jobs) if dry_run else reconciler.reconcile(jobs)


def _zones(place: Workplace) -> Zones:
    from batchxfer.cli.times import Zones

    return Zones(place.project)


def _code(seen: Reconciled) -> ExitCode:
    """How it stands: what a person decided since is decided."""
    codes = {"undecided": ExitCode.HELD, "not-looked": ExitCode.HELD}
    errors = [look.error for look in seen.looks if look.error is not None]
    if errors and seen.verdict == "not-looked":
        return worst([_code_of(error) for error in errors])
    return codes.get(seen.verdict, ExitCode.DONE)


def _code_of(error: BatchxferError) -> ExitCode:
    return ExitCode.HELD if error.exit_code is ExitCode.FAILED else error.exit_code


# --- telling -------------------------------------------------------------------------------------


def _tell(
    words: Context, restored: Restored | None, seen: Sequence[Reconciled], *, over: bool, dry_run: bool, zones: Zones
) -> None:
    if words.output.as_json:
        words.output.document(_document(restored, seen, over=over, dry_run=dry_run, zones=zones))
        return
    if restored is None:
        words.output.say("the ledger is whole: there is nothing to reconcile")
        words.output.note(
            "if ledger and spool were put back together, nothing here can know it: stop `serve`, then say so with "
            "batchxfer reconcile --why TEXT"
        )
        return
    words.output.say(
        f"the ledger was put back from a backup: it knows nothing after {restored.known_until.isoformat()}"
    )
    for each in seen:
        for line in _lines(each, zones):
            words.output.say(line)
    words.output.say(_end(seen, over=over, dry_run=dry_run))


def _lines(seen: Reconciled, zones: Zones) -> Iterator[str]:
    from batchxfer.cli.times import show_time

    run = f" (run {seen.run.id})" if seen.run else ""
    yield f"{seen.job}, due {show_time(seen.due.slot, zones.of_job(seen.job))}{run}"
    for look in seen.looks:
        yield f"  {look.endpoint}: {look.path}: {WORDS[look.verdict]}: {look.reason}"
    if seen.run is not None and seen.verdict in ("undecided", "not-looked"):
        hints = {d.error.hint for d in seen.run.deliveries if d.error is not None and d.error.hint}
        yield from (f"  → {hint}" for hint in sorted(hints))


def _end(seen: Sequence[Reconciled], *, over: bool, dry_run: bool) -> str:
    if dry_run:
        return "nothing was recorded; do it with: batchxfer reconcile"
    held = sum(1 for each in seen if each.verdict in ("undecided", "not-looked"))
    if over:
        return f"the ledger is whole again; {held} held for a person" if held else "the ledger is whole again"
    return "not all of it could be looked at: run batchxfer reconcile again when the endpoints are there"


def _document(
    restored: Restored | None, seen: Sequence[Reconciled], *, over: bool, dry_run: bool, zones: Zones
) -> dict[str, object]:
    from batchxfer.cli.documents import instant

    known = restored and {
        "known_until": instant(restored.known_until),
        "found_at": instant(restored.at),
        "declared": restored.declared,
    }
    return {
        "restored": known,
        "recorded": restored is not None and not dry_run,
        "over": over,
        "runs": [
            {
                "run": each.run.id if each.run else None,
                "job": each.job,
                "slot": instant(each.due.slot, zones.of_job(each.job)),
                "status": each.run.status.value if each.run else None,
                "verdict": each.verdict.value,
                "looks": [_look(look) for look in each.looks],
            }
            for each in seen
        ],
    }


def _look(look: Look) -> dict[str, object]:
    from batchxfer.cli.documents import error_of

    return {
        "endpoint": look.endpoint,
        "path": look.path,
        "verdict": look.verdict.value,
        "reason": look.reason,
        "bytes": look.bytes,
        "sha256": look.sha256,
        "files": [file.path for file in look.unknown],
        "error": error_of(look.error.info) if look.error else None,
    }
