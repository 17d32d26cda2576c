"""Runs as people read them: one line, a table, the whole story."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from batchxfer.cli import pulls
from batchxfer.cli.output import Output
from batchxfer.cli.table import Cell, Row, draw
from batchxfer.cli.times import Zones, show_time
from batchxfer.cli.words import counted, duration, evidence_words, short_ids, size, without_retry
from batchxfer.errors import ErrorInfo
from batchxfer.model import Attempt, Delivery, DeliveryStatus, Run, RunStatus

COLOURS = {
    "delivered": "green",
    "held": "red",
    "failed": "red",
    "missing": "red",
    "retrying": "yellow",
    "running": "cyan",
}
NOT_SENT = frozenset({DeliveryStatus.RETRYING, DeliveryStatus.FAILED, DeliveryStatus.HELD})


# --- one line ------------------------------------------------------------------------------------


def headline(run: Run, zones: Zones) -> str:
    """What it is, when it was due, how it stands, and the file's size and digest."""
    if run.is_pull:
        what = [_what(run), f"due {show_time(run.due.slot, zones.of_job(run.job))}"]
        return " · ".join([*what, *pulls.headline(run)])
    parts = [_what(run), f"due {show_time(run.due.slot, zones.of_job(run.job))}", _how_it_stands(run)]
    if (artifact := run.artifact) is not None:
        parts += [counted(artifact.rows, "row"), size(artifact.bytes), f"sha256 {artifact.sha256[:8]}…"]
    checked = sorted({_checked(d) for d in run.deliveries if d.status is DeliveryStatus.DELIVERED})
    return " · ".join([*parts, *checked])


def _what(run: Run) -> str:
    return run.job if run.revision == 1 else f"{run.job} r{run.revision}"


def _how_it_stands(run: Run) -> str:
    if run.status is RunStatus.DELIVERED:
        return f"delivered to {_places([d for d in run.deliveries if d.status is DeliveryStatus.DELIVERED])}"
    return run.status.value


def _places(deliveries: Sequence[Delivery]) -> str:
    return ", ".join(f"{delivery.endpoint}: {delivery.path}" for delivery in deliveries)


def _checked(delivery: Delivery) -> str:
    how = delivery.evidence.how if delivery.evidence else ""
    words = {
        "size": "size checked",
        "readback": "read back",
        "reply": "replies checked",
        "looked": "found there and read back",
        "equal": "there already, read back",
        "accepted": "accepted by a person",
        "inferred": "inferred",
        "fetched": "fetched",
    }
    return words.get(how, how)


def tell_run(run: Run, zones: Zones, output: Output) -> None:
    """The line of a run on stdout, and on stderr what stands in its way."""
    output.say(headline(run, zones))
    for error, what in _troubles(run, zones):
        output.failure(ErrorInfo(kind=error.kind, message=f"{what}{error.message}", hint=error.hint))


def _troubles(run: Run, zones: Zones) -> Iterator[tuple[ErrorInfo, str]]:
    """Each error that stands in a run's way, once."""
    seen = set()
    for delivery in run.deliveries:
        if delivery.status not in NOT_SENT:
            continue
        error = delivery.error or ErrorInfo(kind=delivery.status, message=delivery.reason or delivery.status.value)
        if error not in seen:
            seen.add(error)
            yield _with_next_step(run, delivery, error, zones), ""
    if run.reason and (not run.deliveries or run.status in (RunStatus.MISSING, RunStatus.PENDING)) and not seen:
        yield ErrorInfo(kind=run.status, message=run.reason, hint=_when_again(run, zones)), ""


def _when_again(run: Run, zones: Zones) -> str | None:
    look = run.deliveries[0] if run.is_pull and run.deliveries else None
    if look is None or look.retry_at is None:
        return None
    return f"looked for again from {show_time(look.retry_at, zones.of_job(run.job), seconds=True)} on, or by the same command"


def _with_next_step(run: Run, delivery: Delivery, error: ErrorInfo, zones: Zones) -> ErrorInfo:
    """The error with what happens next, or what to type."""
    hint = without_retry(error.hint)
    if delivery.status is DeliveryStatus.RETRYING and delivery.retry_at is not None:
        # When that is comes now.
        hint = hint.replace("; it is tried again", "").replace("it is tried again; ", "") if hint else hint
        at = show_time(delivery.retry_at, zones.of_job(run.job), seconds=True)
        coming = f"tried again from {at} on: the same command, or --wait"
        hint = f"{hint}; {coming}" if hint else coming
    elif "batchxfer " not in (hint or ""):
        # A database's own words may end a sentence.
        hint = hint.removesuffix(".") if hint else hint
        again = f"batchxfer retry {run.id}"
        hint = f"{hint}; then: {again}" if hint else again
    return ErrorInfo(kind=error.kind, message=error.message, hint=hint)


# --- a table -------------------------------------------------------------------------------------


def runs_table(runs: Sequence[Run], zones: Zones, output: Output) -> None:
    """The ledger's runs, one a line."""
    shown = {zones.of_job(run.job).key for run in runs}
    one_zone = shown.pop() if len(shown) == 1 else None
    ids = short_ids(run.id for run in runs)
    lines: list[Row] = [
        [
            ids[run.id],
            _what(run),
            show_time(run.due.slot, zones.of_job(run.job), named=False, offset=one_zone is None),
            status_cell(run.status.value),
            "" if (rows := pulls.rows_of(run)) is None else f"{rows:,}",
            "" if (total := pulls.bytes_of(run)) is None else size(total),
            _note(run, zones),
        ]
        for run in runs
    ]
    header = ("RUN", "JOB", f"DUE ({one_zone})" if one_zone else "DUE", "STATUS", "ROWS", "SIZE", "WHERE OR WHY")
    draw(header, lines, output, right=("ROWS", "SIZE"), expendable=("SIZE", "ROWS"))


def status_cell(status: str) -> Cell:
    return Cell(status, COLOURS.get(status))


def _note(run: Run, zones: Zones) -> str:
    if run.status is RunStatus.DELIVERED and run.is_pull:
        return f"← {pulls.names(pulls.taken(run)) or 'nothing new'}"
    if run.status is RunStatus.DELIVERED:
        return f"→ {', '.join(delivery.endpoint for delivery in run.deliveries)}"
    if run.status is RunStatus.RETRYING and run.retry_at is not None:
        return f"again {show_time(run.retry_at, zones.of_job(run.job), named=False)}: {run.reason or ''}"
    return run.reason or ""


# --- the whole story -----------------------------------------------------------------------------


def story(run: Run, zones: Zones, output: Output, *, step: str | None = None) -> None:
    """Everything that is known of a run, to be read from top to bottom. `step` is what ends its waiting."""
    zone = zones.of_job(run.job)
    output.say(f"{run.job} · run {run.id}" + (f" · revision {run.revision}" if run.revision > 1 else ""))
    output.say(f"{run.status.value}" + (f": {run.reason}" if run.reason else ""))
    output.say()
    for label, value in _facts(run, zones):
        output.say(f"  {label:<11}{value}")
    pulls.tell_files(run, zones, output)
    for delivery in run.deliveries:
        output.say()
        _tell_delivery(run, delivery, zones, output)
    if run.attempts:
        output.say()
        output.say("Attempts")
    for attempt in run.attempts:
        _tell_attempt(attempt, zone.key, output, "fetch from" if run.is_pull else "send to")
    _tell_next(run, output, step)


def _facts(run: Run, zones: Zones) -> Iterator[tuple[str, str]]:
    zone, due = zones.of_job(run.job), run.due
    yield "due", _in_zones(due.slot, [zone.key])
    start, end = show_time(due.interval_start, zone, named=False), show_time(due.interval_end, zone)
    yield "interval", f"{start} up to {end}"
    yield "business", due.business_date.isoformat()
    if run.parameters:
        yield "parameters", ", ".join(f"{name} = {value}" for name, value in run.parameters.items())
    if (artifact := run.artifact) is None:
        if not run.is_pull:
            yield "file", "none was built"
        return
    yield "file", f"{counted(artifact.rows, 'row')} · {counted(artifact.bytes, 'byte')}"
    yield "", f"sha256 {artifact.sha256}"
    yield "", f"{artifact.path}" + (" (pruned)" if artifact.pruned_at else "")


def _in_zones(instant: datetime, zone_names: Sequence[str], *, seconds: bool = False) -> str:
    """An instant in UTC and on other clocks; each once."""
    from zoneinfo import ZoneInfo

    names = dict.fromkeys([*zone_names, "UTC"])
    return " = ".join(show_time(instant, ZoneInfo(name), seconds=seconds) for name in names)


def _tell_delivery(run: Run, delivery: Delivery, zones: Zones, output: Output) -> None:
    partner = zones.partner_of(delivery.endpoint)
    way = "Looking at" if run.is_pull else "To"
    output.say(f"{way} {delivery.endpoint}" + (f" ({partner})" if partner else "") + f": {delivery.path}")
    for label, value in _delivery_facts(run, delivery, zones):
        output.say(f"  {label:<11}{value}")


def _delivery_facts(run: Run, delivery: Delivery, zones: Zones) -> Iterator[tuple[str, str]]:
    zone = zones.of_endpoint(delivery.endpoint)
    yield "due there", show_time(run.due.slot, zone)
    if delivery.delivered_at is None:
        yield delivery.status.value, delivery.reason or "not begun"
    else:
        names = [zone.key, zones.of_job(run.job).key]
        yield delivery.status.value, _in_zones(delivery.delivered_at, names, seconds=True)
    if delivery.retry_at is not None:
        yield "again", _in_zones(delivery.retry_at, [zones.of_job(run.job).key], seconds=True)
    if delivery.bytes is not None:
        yield "content", f"{counted(delivery.bytes, 'byte')} · sha256 {delivery.sha256}"
    if delivery.evidence is not None:
        # Sent again since then, and held: what was seen before is no proof of what is there.
        label = "evidence" if delivery.status is DeliveryStatus.DELIVERED else "before"
        yield label, evidence_words(delivery.evidence)
        if delivery.evidence.server_key:
            yield "server key", delivery.evidence.server_key
    for file in () if run.is_pull else delivery.files[1:]:
        yield file.role.value, f"{file.path} · {file.status.value}"
    if delivery.status in NOT_SENT and delivery.error and delivery.error.hint:
        yield "→", delivery.error.hint


def _tell_attempt(attempt: Attempt, zone: str, output: Output, way: str) -> None:
    what = f"{way} {attempt.endpoint}" if attempt.endpoint else "build"
    took = duration(attempt.ended_at - attempt.started_at) if attempt.ended_at else "not ended"
    outcome = attempt.outcome.value if attempt.outcome else "under way"
    output.say(f"  {attempt.number:>2}  {_started(attempt, zone)}  {what} · {took} · {outcome}")
    if attempt.error is not None:
        output.say(f"      {attempt.error.message}")
        if attempt.error.hint:
            output.say(f"      → {attempt.error.hint}")


def _started(attempt: Attempt, zone: str) -> str:
    from zoneinfo import ZoneInfo

    return show_time(attempt.started_at, ZoneInfo(zone), seconds=True)


NEXT = {
    RunStatus.HELD: "look at the reason; then batchxfer retry, resend, release, accept --why … or exclude --why … {0}",
    RunStatus.FAILED: "mend the cause, then: batchxfer retry {0}",
    RunStatus.RETRYING: "it is tried again by itself where a daemon runs; at once with: batchxfer retry {0}",
    RunStatus.PENDING: "go on with: batchxfer retry {0}",
    RunStatus.MISSING: "it is taken when it comes after all; look now with: batchxfer retry {0}; "
    "if it never comes: batchxfer exclude {0} --why …",
}


def _tell_next(run: Run, output: Output, step: str | None) -> None:
    told = [d.error.hint for d in run.deliveries if d.status in NOT_SENT and d.error and d.error.hint]
    # What to type may stand beside the reason already.
    stands = run.status is RunStatus.HELD and told and all("batchxfer " in hint for hint in told)
    words = step or (None if stands else NEXT.get(run.status))
    if words is not None:
        output.say()
        output.say(f"Next: {words.format(run.id[:12])}")
