"""What is wrong with a job beyond its single keys: names that nothing has, keys that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

from batchxfer import calendars, paths, sql, zones
from batchxfer.cron import Cron
from batchxfer.definitions import (
    AnyJob,
    Calendar,
    DatabaseOptions,
    EndpointOptions,
    FileOptions,
    FormatOptions,
    Job,
    Schedule,
)
from batchxfer.errors import QueryError
from batchxfer.suggestions import did_you_mean
from batchxfer.tables import Findings
from batchxfer.templates import Template, TemplateError

SLOT_VARIABLES = frozenset({"slot", "interval_start", "interval_end", "business_date"})
INTERVAL_VARIABLES = frozenset({"interval_start", "interval_end"})
QUERY_VARIABLES = SLOT_VARIABLES | {"job"}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a job may speak of; half-read where there are problems. Where config.toml could not be read it is not `complete`:
    no name is unknown then."""

    complete: bool
    timezone: ZoneInfo
    databases: Mapping[str, DatabaseOptions]
    endpoints: Mapping[str, EndpointOptions]
    calendars: Mapping[str, Calendar]


def used_parameters(query: str, dialect: sql.Dialect = sql.GENERIC) -> list[str]:
    """The names that a query uses, each once, in their order."""
    return list(dict.fromkeys(parameter.name for parameter in sql.find_parameters(query, dialect)))


def default_catch_up(query: str, dialect: sql.Dialect = sql.GENERIC) -> str:
    return "all" if SLOT_VARIABLES.intersection(used_parameters(query, dialect)) else "latest"


def dialect_of(database: DatabaseOptions | None) -> sql.Dialect:
    """GENERIC where the URL is a secret, which `check` does not look at."""
    return sql.dialect_of(database.url) if database is not None and isinstance(database.url, str) else sql.GENERIC


def check_job(
    job: Job, query: str | None, layout: FormatOptions | None, known: Surroundings, findings: Findings
) -> None:
    """Add what is wrong; `job` may be half-read, `query` and `layout` None where they cannot be had."""
    if job.schedule is not None:
        check_schedule(job.schedule, known, findings)
        _check_no_waiting(job.schedule, findings)
    if job.source is not None:
        _check_source(job, query, known, findings)
    check_guard(job, findings)
    if job.file is not None:
        _check_endpoints(job.file, known, findings)
        _check_paths(job, known, findings)
        _check_local_times(job.file, layout, known, findings)
    check_retry(job, findings)


# --- schedule ------------------------------------------------------------------------------------


def check_schedule(schedule: Schedule, known: Surroundings, findings: Findings) -> None:
    if len({"cron", "every"} & schedule.model_fields_set) != 1:
        findings.add("schedule", "takes exactly one of cron and every", 'write cron = "30 7 * * 1-5" or every = "6h"')
    if schedule.cron is not None:
        _try(lambda: Cron.parse(schedule.cron or ""), "schedule.cron", findings)
    _check_calendar(schedule, known, findings)
    if schedule.start is not None and schedule.start.year not in zones.YEARS:
        findings.add(
            "schedule.start", zones.OUTSIDE, "no slot comes before it; leave it out where there is no such day"
        )
    if schedule.lag and schedule.interval == "days":
        findings.add("schedule.lag", 'is for interval = "slots"; whole days end at midnight', "take one of them out")


def _check_no_waiting(schedule: Schedule, findings: Findings) -> None:
    for key in ("poll", "missing_after"):
        if key in schedule.model_fields_set and getattr(schedule, key) is not None:
            findings.add(f"schedule.{key}", "is for pull jobs; a push job waits for no file", "take it out")


def _check_calendar(schedule: Schedule, known: Surroundings, findings: Findings) -> None:
    if schedule.calendar is not None:
        # What is wrong inside a calendar of the configuration is told there.
        if known.complete and schedule.calendar not in known.calendars:
            _try(lambda: calendars.find(schedule.calendar or "", known.calendars), "schedule.calendar", findings)
        return
    if schedule.date_offset and schedule.date_offset.open_days:
        findings.add(
            "schedule.date_offset", f'"{schedule.date_offset}" counts open days, which only a calendar knows', _CALENDAR
        )
    if schedule.on_closed not in (None, "skip"):
        findings.add("schedule.on_closed", "without a calendar no day is closed", _CALENDAR)


_CALENDAR = "name one with calendar = …"


def _try(read: Callable[[], object], where: str, findings: Findings) -> None:
    try:
        read()
    except ValueError as exc:
        problem, _, hint = str(exc).partition("; ")
        findings.add(where, problem, hint)


# --- source --------------------------------------------------------------------------------------


def _check_source(job: Job, query: str | None, known: Surroundings, findings: Findings) -> None:
    database = job.source.database
    if known.complete and database is not None and database not in known.databases:
        hint = did_you_mean(database, known.databases, what="databases")
        findings.add("source.database", f"unknown database {database!r}", hint)
    if len({"query", "query_file"} & job.source.model_fields_set) != 1:
        findings.add("source", "takes exactly one of query and query_file")
    for name in job.source.parameters or ():
        _check_parameter_name(name, findings)
    if query is None:
        return
    where = "source.query" if job.source.query_file is None else "source.query_file"
    dialect = dialect_of(known.databases.get(database))
    try:
        sql.one_statement(query, dialect)
    except QueryError as exc:
        findings.add(where, exc.message, exc.hint)
        return
    used = used_parameters(query, dialect)
    _check_parameters(job, used, where, findings)
    _check_catch_up(job, set(used), findings)


def _check_parameter_name(name: str, findings: Findings) -> None:
    if name in QUERY_VARIABLES:
        findings.add("source.parameters", f":{name} always exists and has its own meaning", "choose another name")
    elif not name.isidentifier():
        findings.add("source.parameters", f"{name!r} cannot be a parameter", "names are letters, digits and _")


def _check_parameters(job: Job, used: list[str], where: str, findings: Findings) -> None:
    declared = set(job.source.parameters or ())
    for name in used:
        if name not in declared | QUERY_VARIABLES:
            hint = did_you_mean(name, declared | QUERY_VARIABLES, what="declared")
            findings.add(where, f":{name} is used and not declared", hint)
    for name in sorted(declared - set(used) - QUERY_VARIABLES):
        findings.add(
            f"source.parameters.{name}", f"is declared, and the query has no :{name}", "take it out, or use it"
        )


def _check_catch_up(job: Job, used: set[str], findings: Findings) -> None:
    chosen = job.schedule.catch_up if job.schedule is not None else None
    if chosen == "all" and not used & SLOT_VARIABLES:
        findings.add(
            "schedule.catch_up",
            '"all" needs a query that uses :slot, :interval_start, :interval_end or :business_date; '
            "else each missed slot would send the rows of now under an old name",
            'use one of them, or write catch_up = "latest"',
        )
    if chosen in ("latest", "none") and used & INTERVAL_VARIABLES:
        findings.add(
            "schedule.catch_up",
            f'"{chosen}" with :interval_start or :interval_end would lose the rows of the intervals left out',
            'write "all" or "merge"',
        )


def check_guard(job: AnyJob, findings: Findings) -> None:
    least, most = (job.guard.min_rows, job.guard.max_rows) if job.guard is not None else (None, None)
    if least is not None and most is not None and least > most:
        findings.add("guard", f"min_rows = {least} is more than max_rows = {most}", "no number of rows can pass")


# --- file ----------------------------------------------------------------------------------------


def _check_endpoints(file: FileOptions, known: Surroundings, findings: Findings) -> None:
    if len({"endpoint", "endpoints"} & file.model_fields_set) != 1:
        findings.add("file", "takes exactly one of endpoint and endpoints")
    if file.endpoint is None and "endpoints" in file.model_fields_set and not file.endpoints:
        findings.add("file.endpoints", "must not be empty", "name one endpoint at least")
    names = _names(file)
    where = "file.endpoint" if file.endpoint is not None else "file.endpoints"
    for name in dict.fromkeys(names):
        if known.complete and name not in known.endpoints:
            findings.add(where, f"unknown endpoint {name!r}", did_you_mean(name, known.endpoints, what="endpoints"))
        elif names.count(name) > 1:
            findings.add(where, f"{name!r} is named {names.count(name)} times")
        if file.on_exists == "replace" and name in known.endpoints and known.endpoints[name].publish == "direct":
            findings.add(
                "file.on_exists",
                f'"replace" needs a rename, and endpoint {name!r} has publish = "direct"',
                'use "fail"',
            )


def _names(file: FileOptions) -> tuple[str, ...]:
    return file.endpoint_names or () if file.endpoint is not None or file.endpoints else ()


def _check_paths(job: Job, known: Surroundings, findings: Findings) -> None:
    path = (
        read_template(lambda: paths.parse_path(job.file.path, job.name), "file.path", findings)
        if job.file.path
        else None
    )
    files = {"file.path": list(paths.sample_paths(path, job.name))} if path is not None else {}
    for key in ("checksum_file", "done_file"):
        text = getattr(job.file, key)
        template = read_template(partial(paths.parse_sidecar, text), f"file.{key}", findings) if text else None
        if template is not None and path is not None:
            samples = [paths.render_sidecar_text(template, sample) for sample in files["file.path"]]
            _add_problems(samples[:1], f"file.{key}", "", findings)
            files[f"file.{key}"] = samples
    _check_distinct(files, findings)
    for name in dict.fromkeys(_names(job.file)):
        _check_temporary_names(name, known.endpoints.get(name), files, findings)


def read_template(read: Callable[[], Template], where: str, findings: Findings) -> Template | None:
    try:
        return read()
    except TemplateError as exc:
        for problem in exc.problems:
            findings.add(where, problem.problem, problem.hint)
        return None


def _add_problems(samples: list[str], where: str, why: str, findings: Findings) -> None:
    for problem in dict.fromkeys(problem for sample in samples for problem in paths.path_problems(sample)):
        findings.add(where, why + problem.problem, problem.hint)


def _check_distinct(files: Mapping[str, list[str]], findings: Findings) -> None:
    seen: dict[str, str] = {}
    for where, samples in files.items():
        other = seen.setdefault(samples[0], where)
        if other != where:
            findings.add(where, f"is the same file as {other}", "each file of a delivery has its own name")


def _check_temporary_names(
    name: str, endpoint: EndpointOptions | None, files: Mapping[str, list[str]], findings: Findings
) -> None:
    """Temporary names are longer than final ones; told only where the final one is right."""
    if endpoint is None or not endpoint.temp_name or endpoint.publish == "direct":
        return
    try:
        paths.parse_temp_name(endpoint.temp_name)
    except TemplateError:
        return
    for where, samples in files.items():
        if any(True for _ in paths.path_problems(samples[0])):
            continue
        folder, final = paths.split(samples[0])
        temporary = paths.join(folder, paths.render_temp_name(endpoint.temp_name, final, "A" * paths.LONGEST_ID))
        _add_problems([temporary], where, f"the temporary name at endpoint {name!r}: ", findings)


def _check_local_times(
    file: FileOptions, layout: FormatOptions | None, known: Surroundings, findings: Findings
) -> None:
    """The bytes of a file are the same for all endpoints, so that {slot_local} in a record must be too."""
    zones = {known.endpoints[name].timezone for name in _names(file) if name in known.endpoints}
    records = [] if layout is None else [layout.header_record or "", layout.trailer_record or ""]
    if len(zones) > 1 and any("{slot_local" in record for record in records):
        findings.add(
            "file.endpoints",
            "the format's records have {slot_local}, and the endpoints are in several zones: "
            + ", ".join(map(str, zones)),
            "use {slot} or {slot_utc} there, or a job for each zone",
        )


# --- retry ---------------------------------------------------------------------------------------


def check_retry(job: AnyJob, findings: Findings) -> None:
    if job.retry is None or job.retry.repeat is None:
        return
    if job.schedule is None or job.schedule.cutoff is None:
        findings.add(
            "retry.repeat",
            "repeats until the cutoff, and there is none",
            'write cutoff = "07:00", or a duration, into [schedule]; or list the delays in after',
        )
