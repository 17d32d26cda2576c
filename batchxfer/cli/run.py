"""`run`: one slot of a job, each slot of a time, or whatever is due; as the daemon would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import completion, progress, project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.cli.results import Result
from batchxfer.cli.times import Zones, parse_time
from batchxfer.errors import BatchxferError, BusyError, UsageError
from batchxfer.model import Due, ParameterValue, Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.definitions import AnyJob
    from batchxfer.slots import Timetable
    from batchxfer.wiring import Workplace

SETTLED = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED})


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asked of a job."""

    job: AnyJob
    dues: Sequence[Due]
    overrides: Mapping[str, ParameterValue]
    wait: bool = False


def run(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="The job's name: its file's.", autocompletion=completion.jobs),
    ] = None,
    due: Annotated[
        bool,
        typer.Option(
            "--due", help="Whatever is due now or to be tried again, of all jobs or those named: for cron, Kubernetes."
        ),
    ] = False,
    slot: Annotated[
        str | None, typer.Option(metavar="TIME", help="The slot that is due then; default: the latest.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Each slot from then on, up to --to.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="The slots before then.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Another value of a parameter: --dry-run or jobs without schedule only."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build the file and show it; send nothing, record nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it is settled: retries, and whoever else runs it.")
    ] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Query, write and send: one slot of a job, or several.

    The latest slot that is due, the one of --slot, or each in [--from, --to). A slot that was delivered is left alone:
    running it again is safe. A time without offset is in the job's zone. In a series a slot that fails does not stop the
    later ones, unless the job's order is "strict". With --due: one tick of the daemon.
    """
    words = context_of(context, config, as_json)
    if due:
        from batchxfer.cli.due import run_due

        if slot or from_ or to or param or dry_run or wait:
            raise UsageError("--due takes nothing but the names of jobs", hint="it runs what the schedules say")
        return run_due(words, jobs or [])
    job = _one_name(jobs or [])
    loaded = project.load(words)
    wanted = _wanted(loaded, job, slot, from_, to, param or [], dry_run=dry_run, wait=wait)
    if dry_run:
        from batchxfer.cli.dry_run import dry_run as build_only
        from batchxfer.definitions import PullJob

        if isinstance(wanted.job, PullJob):
            raise UsageError(
                f"--dry-run builds a file, and job {job!r} fetches them",
                hint=f"see what it looks for with: batchxfer plan {job}",
            )
        return build_only(words, loaded, wanted.job, wanted.dues, wanted.overrides)
    _warn_of_collisions(words, loaded, job)
    return _carry_out(words, loaded, wanted)


def _one_name(jobs: Sequence[str]) -> str:
    if not jobs:
        raise UsageError(
            "missing argument 'JOB'", hint="see: batchxfer run --help; what is due is run by: batchxfer run --due"
        )
    if len(jobs) > 1:
        raise UsageError(
            f"one job at a time, not {', '.join(jobs)}", hint="several are run by: batchxfer run --due JOB…"
        )
    return jobs[0]


# --- what is wanted ------------------------------------------------------------------------------


def _wanted(
    loaded: Project,
    name: str,
    slot: str | None,
    from_: str | None,
    to: str | None,
    param: list[str],
    *,
    dry_run: bool,
    wait: bool,
) -> Wanted:
    from batchxfer.cli.parameters import parse_parameters

    job = project.known_job(loaded, name)
    overrides = parse_parameters(param, job)
    if overrides and job.schedule is not None and not dry_run:
        raise UsageError(
            f"--param with {name!r}, which has a schedule: its slot would be recorded with other rows than it owes",
            hint="look first with --dry-run, or query a slot again with: batchxfer rerun RUN --param …",
        )
    return Wanted(job=job, dues=_dues(loaded, job, slot, from_, to), overrides=overrides, wait=wait)


def _dues(loaded: Project, job: AnyJob, slot: str | None, from_: str | None, to: str | None) -> list[Due]:
    from batchxfer.cli.clock import SystemClock

    now, timetable, zone = SystemClock().now(), loaded.timetable_of(job), loaded.zone_of(job)
    if from_ is not None or to is not None:
        if slot is not None or from_ is None or to is None:
            raise UsageError("--from and --to go together, and without --slot")
        start, end = (parse_time(text, zone, now, option=o) for text, o in ((from_, "--from"), (to, "--to")))
        return _range(job, timetable, start, end, now)
    at = parse_time(slot, zone, now, option="--slot") if slot is not None else None
    return [_one(job, timetable, at, now)]


def _one(job: AnyJob, timetable: Timetable, at: datetime | None, now: datetime) -> Due:
    if at is not None and at > now:
        raise UsageError(
            f"--slot {at.astimezone(timetable.zone).isoformat()} is in the future: it is not due yet",
            hint=f"see when with: batchxfer plan {job.name}",
        )
    if job.schedule is None:
        return timetable.by_hand(at or now.replace(microsecond=0))
    if at is not None:
        return timetable.find(at)
    if (latest := timetable.latest(now)) is None:
        raise UsageError(
            f"job {job.name!r} has no slot yet: its schedule begins later", hint=f"see: batchxfer plan {job.name}"
        )
    return latest


def _range(job: AnyJob, timetable: Timetable, start: datetime, end: datetime, now: datetime) -> list[Due]:
    if job.schedule is None:
        raise UsageError(
            f"job {job.name!r} has no schedule, so there are no slots between --from and --to", hint="use --slot"
        )
    if end < start:
        raise UsageError("--to lies before --from")
    future = next((due for due in timetable.between(max(start, now), end) if due.slot > now), None)
    if future is not None:
        raise UsageError(
            f"[--from, --to) holds slots in the future, such as {future.slot.astimezone(timetable.zone).isoformat()}",
            hint="end it with: --to now",
        )
    return list(timetable.between(start, end))


def _warn_of_collisions(words: Context, loaded: Project, job: str) -> None:
    from batchxfer.cli.collisions import collisions

    for problem in collisions(loaded, only=job):
        words.output.warn(f"{problem.file}: {problem.where}: {problem.problem}", problem.hint)


# --- doing it ------------------------------------------------------------------------------------


def _carry_out(words: Context, loaded: Project, wanted: Wanted) -> int:
    zones = Zones(loaded)
    project.warn_root(words, loaded)
    with (
        progress.watching(words.output) as bar,
        project.opened(words, loaded, create=True, listener=bar) as place,
    ):
        assert place is not None  # noqa: S101 - it was to be made
        result = _run_each(words, place, wanted, zones, bar)
    if words.output.as_json:
        from batchxfer.cli.documents import error_document, runs_document

        document = runs_document(result.runs, zones) if result.runs or not result.error else {}
        words.output.document({**document, **error_document(result.error)} if result.error else document)
    elif result.error:
        words.output.error(result.error)
    elif not wanted.dues:
        words.output.say("no slot is due in [--from, --to): nothing to do")
    return result.exit_code


def _run_each(words: Context, place: Workplace, wanted: Wanted, zones: Zones, bar: progress.Bar | None) -> Result:
    """The slots in order. One that fails does not stop the later ones, unless the job's order is strict."""
    result = Result()
    for due in wanted.dues:
        before = place.ledger.find_slot(wanted.job.name, due.slot)
        try:
            after = place.operations.run(wanted.job.name, due, wanted.overrides, wait=wanted.wait)
        except BatchxferError as error:
            result.error = error
            if isinstance(error, BusyError) and (seen := place.ledger.find_slot(wanted.job.name, due.slot)):
                result.runs.append(seen)
            break
        result.runs.append(after)
        if bar is not None:
            bar.clear()
        _tell(words, before, after, zones)
        if wanted.job.retry.order == "strict" and after.status not in SETTLED:
            _say_stopped(words, wanted, len(result.runs))
            break
    return result


def _tell(words: Context, before: Run | None, after: Run, zones: Zones) -> None:
    from batchxfer.cli.render import tell_run

    if words.output.as_json:
        return
    tell_run(after, zones, words.output)
    if before is not None and before.status is after.status and after.status in SETTLED:
        again = "load" if after.is_pull else "query"
        hint = f"; to {again} again: batchxfer rerun {after.id}"
        can_load = any(file.rows is not None for file in after.files)
        words.output.say(
            f"it was {after.status} before, so nothing was done{hint if can_load or not after.is_pull else ''}"
        )


def _say_stopped(words: Context, wanted: Wanted, done: int) -> None:
    if (left := len(wanted.dues) - done) > 0:
        words.output.note(f'order = "strict": {left} later slots wait until this one is settled')
