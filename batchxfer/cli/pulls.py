"""A pull as people read it: what was fetched, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchxfer.cli.output import Output
from batchxfer.cli.times import Zones, show_time
from batchxfer.cli.words import counted, size
from batchxfer.model import BUT, Delivery, FetchedFile, FetchStatus, Run, RunStatus

TAKEN = frozenset({FetchStatus.FETCHED, FetchStatus.LOADED, FetchStatus.DONE})
MOST_SHOWN = 50
MOST_NAMED = 3


def taken(run: Run) -> list[FetchedFile]:
    """The files that are here."""
    return [file for file in run.files if file.status in TAKEN]


def rows_of(run: Run) -> int | None:
    """How many rows a run brought, or sent; None where nobody counted."""
    if run.artifact is not None:
        return run.artifact.rows
    counts = [file.rows for file in run.files if file.rows is not None]
    return sum(counts) if counts else None


def bytes_of(run: Run) -> int | None:
    """How many bytes a run brought, or sent."""
    if run.artifact is not None:
        return run.artifact.bytes
    if files := taken(run):
        return sum(file.bytes or 0 for file in files)
    # Found at the partner's, by `reconcile`: what was built is not known any more.
    return next((delivery.bytes for delivery in run.deliveries if delivery.bytes is not None), None)


def headline(run: Run) -> list[str]:
    """How a pull stands, in a few words."""
    files, look = taken(run), run.deliveries[0] if run.deliveries else None
    where = f"{look.endpoint}: {look.path}" if look else "not begun"
    left = _left(look)
    if run.status is RunStatus.DELIVERED and not files:
        return [f"nothing to fetch from {where}", *_others(run), *left]
    parts = [f"fetched {counted(len(files), 'file')} from {where}"] if files else [f"looked at {where}"]
    if run.status is not RunStatus.DELIVERED:
        parts.insert(0, run.status.value)
    if files:
        parts.append(size(sum(file.bytes or 0 for file in files)))
    if (rows := rows_of(run)) is not None:
        parts.append(f"{counted(rows, 'row')} loaded")
    if bad := sum(file.bad_rows or 0 for file in run.files):
        parts.append(f"{counted(bad, 'bad record')} put aside")
    return [*parts, *_others(run), *left]


def _left(look: Delivery | None) -> list[str]:
    """What was not there, or not to be taken yet."""
    detail = look.evidence.detail if look is not None and look.evidence is not None else None
    _, known, notes = (detail or "").rpartition(BUT)
    return [known + notes] if known else []


def _others(run: Run) -> Iterator[str]:
    for status in (FetchStatus.REFUSED, FetchStatus.SKIPPED):
        if count := sum(file.status is status for file in run.files):
            yield f"{count} {status.value}"


def tell_files(run: Run, zones: Zones, output: Output) -> None:
    """Each file with its evidence."""
    zone = zones.of_job(run.job)
    for file in run.files[:MOST_SHOWN]:
        output.say()
        output.say(f"From {file.endpoint}: {file.path}")
        for label, value in _facts(file):
            output.say(f"  {label:<11}{value}")
        for label, at in (("listed", file.seen_at), ("fetched", file.fetched_at), ("loaded", file.loaded_at)):
            if at is not None:
                output.say(f"  {label:<11}{show_time(at, zone, seconds=True)}")
    if (more := len(run.files) - MOST_SHOWN) > 0:
        output.say()
        output.say(f"and {more:,} more; all of them with --json")


def _facts(file: FetchedFile) -> Iterator[tuple[str, str]]:
    yield file.status.value, file.reason or _outcome(file)
    if file.status is FetchStatus.REFUSED:
        return
    changed = f" · changed {file.modified.isoformat()}" if file.modified else ""
    yield "there", f"{counted(file.size, 'byte')}{changed}"
    if file.sha256 is not None:
        yield "content", f"{counted(file.bytes or 0, 'byte')} · sha256 {file.sha256}"
    if file.local_path is not None:
        yield "here", str(file.local_path)
    if file.rows is not None:
        yield "rows", f"{file.rows:,}"
    if file.bad_rows:
        yield "bad", f"{counted(file.bad_rows, 'record')} in {file.bad_path}"


def _outcome(file: FetchedFile) -> str:
    if file.status is FetchStatus.DONE and file.moved_to is not None:
        return f"moved there to {file.moved_to}"
    if file.status is FetchStatus.DONE and file.gone:
        return "removed there"
    return {
        FetchStatus.SEEN: "not fetched yet",
        FetchStatus.FETCHED: "fetched, and nothing is done with it yet",
        FetchStatus.LOADED: "loaded; what becomes of it there is yet to be done",
        FetchStatus.DONE: "left there as it is",
    }.get(file.status, "")


def names(files: Sequence[FetchedFile]) -> str:
    shown = ", ".join(file.path for file in files[:MOST_NAMED])
    return f"{shown}, …" if len(files) > MOST_NAMED else shown
