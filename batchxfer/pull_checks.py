"""What is wrong with a pull job beyond its single keys."""

from __future__ import annotations

from functools import partial

from batchxfer import globs, paths
from batchxfer.definitions import LoadOptions, PullFileOptions, PullJob
from batchxfer.job_checks import Surroundings, check_guard, check_retry, check_schedule, read_template
from batchxfer.suggestions import did_you_mean
from batchxfer.tables import Findings
from batchxfer.templates import TemplateError

TIMES = ("slot", "slot_utc", "slot_local", "business_date", "interval_start", "interval_end")


def is_dated(job: PullJob) -> bool:
    """Whether the job's glob ties a file to its slot."""
    template = paths.parse_glob(job.file.path, job.name)
    return any(template.uses(name) for name in TIMES)


def check_pull(job: PullJob, known: Surroundings, findings: Findings) -> None:
    """Add what is wrong; `job` may be half-read."""
    if job.schedule is not None:
        check_schedule(job.schedule, known, findings)
        _check_waiting(job, findings)
    check_guard(job, findings)
    check_retry(job, findings)
    if job.file is not None:
        _check_endpoint(job.file, known, findings)
        _check_names(job, findings)
        _check_then(job, job.file, findings)
    if job.load is not None:
        _check_load(job, job.load, known, findings)
    elif job.guard is not None and (job.guard.min_rows is not None or job.guard.max_rows is not None):
        findings.add("guard", "counts the rows that are loaded, and there is no [load]", "take it out, or add [load]")


def _check_waiting(job: PullJob, findings: Findings) -> None:
    schedule = job.schedule
    if schedule is None:
        return
    if schedule.catch_up == "merge":
        findings.add("schedule.catch_up", '"merge" joins the intervals of a query; a pull has none', 'write "all"')
    if schedule.catch_up == "all" and job.file is not None and not _dated(job):
        findings.add(
            "schedule.catch_up",
            '"all" needs a path with {business_date} or {slot}: else the latest slot takes every file that is there',
            'tie the files to their slots, or write catch_up = "latest"',
        )
    if job.file is not None and job.file.expect == "any" and "missing_after" in schedule.model_fields_set:
        findings.add(
            "schedule.missing_after", 'nothing is missing with expect = "any"', 'write expect = "once" or "some"'
        )


def _dated(job: PullJob) -> bool:
    try:
        return is_dated(job)
    except (TemplateError, TypeError):
        return True  # told elsewhere


def _check_endpoint(file: PullFileOptions, known: Surroundings, findings: Findings) -> None:
    if known.complete and file.endpoint is not None and file.endpoint not in known.endpoints:
        hint = did_you_mean(file.endpoint, known.endpoints, what="endpoints")
        findings.add("file.endpoint", f"unknown endpoint {file.endpoint!r}", hint)


def _check_names(job: PullJob, findings: Findings) -> None:
    file = job.file
    if file.path:
        read_template(partial(paths.parse_glob, file.path, job.name), "file.path", findings)
    for key in ("checksum_file", "done_file"):
        if text := getattr(file, key):
            read_template(partial(paths.parse_sidecar, text), f"file.{key}", findings)
    if file.into:
        # On this machine a folder may be named from the root.
        read_template(partial(paths.parse_taken, file.into.removeprefix("/"), job.name), "file.into", findings)
    if file.move_to:
        read_template(partial(paths.parse_taken, file.move_to, job.name), "file.move_to", findings)


def _comes_back(job: PullJob, path: str, move_to: str) -> bool:
    """Whether a file that was moved is one that is looked for. False where a template is wrong, which is told elsewhere."""
    values = paths.sample_values(job.name)
    try:
        glob = globs.render(paths.parse_glob(path, job.name), values)
        name = globs.example(paths.split(glob)[1])
        target = paths.render_taken(paths.parse_taken(move_to, job.name), values, name)
    except (TemplateError, paths.PathError):
        return False
    pairs = zip(glob.split("/"), target.split("/"), strict=False)
    return glob.count("/") == target.count("/") and all(globs.matches(segment, name) for segment, name in pairs)


def _check_then(job: PullJob, file: PullFileOptions, findings: Findings) -> None:
    if file.then == "move" and file.move_to is None and "move_to" not in file.model_fields_set:
        findings.add("file.move_to", 'is needed with then = "move"', 'write move_to = "archive/{name}"')
    if file.then != "move" and file.move_to is not None:
        findings.add("file.move_to", 'is for then = "move"', 'write then = "move", or take it out')
    if file.then == "move" and file.path and file.move_to and _comes_back(job, file.path, file.move_to):
        findings.add(
            "file.move_to",
            "what is moved there matches path again: each slot would take it as a new file",
            "move it to a folder of its own",
        )
    if file.done_file is not None and "stable_for" in file.model_fields_set:
        findings.add("file.stable_for", "is not asked for where there is a done_file", "take one of them out")


def _check_load(job: PullJob, load: LoadOptions, known: Surroundings, findings: Findings) -> None:
    if known.complete and load.database is not None and load.database not in known.databases:
        hint = did_you_mean(load.database, known.databases, what="databases")
        findings.add("load.database", f"unknown database {load.database!r}", hint)
    if job.file is not None and job.file.format is None and "format" not in job.file.model_fields_set:
        findings.add("file.format", "is needed with [load]", "name one of formats/, or write a table")
    if load.mode == "upsert" and not load.key and "key" not in load.model_fields_set:
        findings.add(
            "load.key", 'is needed with mode = "upsert"', 'write key = ["id"]: the columns that identify a row'
        )
    if load.mode != "upsert" and load.key:
        findings.add("load.key", 'is for mode = "upsert"', "take it out")
    if load.mode == "replace" and (job.guard is None or job.guard.min_rows is None):
        findings.add(
            "load.mode",
            '"replace" needs [guard] min_rows: else an empty file would empty the table',
            "write [guard] min_rows = 1 (0 says that an empty table is right)",
        )
    if load.on_bad_record == "fail" and load.max_bad_records is not None:
        findings.add("load.max_bad_records", 'is for on_bad_record = "quarantine"', "take it out")
