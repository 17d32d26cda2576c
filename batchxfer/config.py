"""TOML files → one project, or every problem of all of them at once.

`load` reads config.toml and the folders of jobs and formats that it names. The options of protocols and kinds are the
adapters' own; their models are handed in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from batchxfer import calendars, paths, urls
from batchxfer.definitions import AnyJob, Config, EndpointOptions, FormatOptions, Job, PullJob, Table
from batchxfer.errors import ConfigError, Problem, printable
from batchxfer.fields import UTC
from batchxfer.format_checks import check_format, check_readable, check_writable
from batchxfer.job_checks import Surroundings, check_job, default_catch_up, dialect_of
from batchxfer.pull_checks import check_pull, is_dated
from batchxfer.slots import Timetable
from batchxfer.sql import GENERIC, Dialect
from batchxfer.suggestions import closest, did_you_mean
from batchxfer.tables import Findings, join, quoted, read, read_text, read_toml, shown
from batchxfer.templates import TemplateError

NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
DIRECTIONS = ("pull", "push")
LONGEST_NAME = 100
T = TypeVar("T", bound=Table)


@dataclass(frozen=True, kw_only=True)
class OptionModels:
    """The adapters' option models: kind → FormatOptions, protocol → EndpointOptions."""

    formats: Mapping[str, type[FormatOptions]]
    endpoints: Mapping[str, type[EndpointOptions]]


@dataclass(frozen=True, kw_only=True)
class Project:
    """A configuration without a problem. `folder` is absolute; relative paths in the configuration are below it."""

    folder: Path
    path: Path
    config: Config
    jobs: Mapping[str, AnyJob]
    formats: Mapping[str, FormatOptions]
    _job_formats: Mapping[str, FormatOptions] = field(repr=False)
    _queries: Mapping[str, str] = field(repr=False)

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, a relative SQLite file in it below the folder."""
        return urls.absolute(self.config.ledger, self.folder)

    @property
    def spool(self) -> Path:
        return self.folder / self.config.spool

    def absolute_url(self, url: str) -> str:
        """A database's URL, a relative SQLite file in it below the folder."""
        return urls.absolute(url, self.folder)

    def format_of(self, job: AnyJob) -> FormatOptions:
        """The format of a job, whether it names one, changes one, or brings its own. A pull that loads nothing needs none."""
        return self._job_formats[job.name]

    def query_of(self, job: Job) -> str:
        """The text of a job's query, as it was when the project was loaded."""
        return self._queries[job.name]

    def zone_of(self, job: AnyJob) -> ZoneInfo:
        """The job's zone: its schedule's, else the configuration's."""
        own = job.schedule.timezone if job.schedule is not None else None
        return own or self.config.timezone

    def timetable_of(self, job: AnyJob) -> Timetable:
        """The slots of a job."""
        name = job.schedule.calendar if job.schedule is not None else None
        calendar = calendars.find(name, self.config.calendars) if name else None
        return Timetable(job.schedule, self.zone_of(job), calendar)

    def catch_up_of(self, job: AnyJob) -> str:
        """Which missed slots run: `all`, `merge`, `latest` or `none`."""
        if isinstance(job, PullJob):
            chosen = job.schedule.catch_up if job.schedule is not None else None
            return chosen or ("all" if is_dated(job) else "latest")
        dialect = dialect_of(self.config.databases[job.source.database])
        return effective_catch_up(job, self.query_of(job), dialect)


def effective_catch_up(job: Job, query: str, dialect: Dialect = GENERIC) -> str:
    """What the job says, else `all` where its query uses a slot variable and `latest` where not."""
    chosen = job.schedule.catch_up if job.schedule is not None else None
    return chosen or default_catch_up(query, dialect)


def load(path: Path, models: OptionModels) -> Project:
    """Read the project of the configuration file `path`. Raises ConfigError with every problem; resolves no secret."""
    project, problems = load_sound_part(path, models)
    if problems:
        raise ConfigError(problems)
    return project


def load_sound_part(path: Path, models: OptionModels) -> tuple[Project, list[Problem]]:
    """The project without the jobs that have a problem, or whose format has one, and every problem: for looking at what was.

    Raises ConfigError where the problem is in the configuration file itself.
    """
    path = path.absolute()
    findings = Findings(file=path.name)
    table = read_toml(path, findings)
    if table is None and not path.is_file():
        raise ConfigError(findings.problems)
    reader = _Reader(path.parent, models, findings)
    config = reader.read_config(table or {})
    formats = reader.read_formats(config)
    jobs = reader.read_jobs(config, formats, complete=table is not None)
    broken = {problem.file for problem in findings.problems}
    if path.name in broken:
        raise ConfigError(findings.problems)
    sound = {name: job for name, job in jobs.items() if not broken or reader.is_sound(name, job, config, broken)}
    project = Project(
        folder=path.parent,
        path=path,
        config=config,
        jobs=sound,
        formats=formats,
        _job_formats=reader.job_formats,
        _queries=reader.queries,
    )
    return project, findings.problems


class _Reader:
    """Reads the files of one project; problems are collected, and what follows is read all the same."""

    def __init__(self, folder: Path, models: OptionModels, findings: Findings) -> None:
        self._folder = folder
        self._models = models
        self._findings = findings
        self._format_tables: dict[str, dict[str, Any]] = {}
        self._told: dict[str, set[tuple[str, str]]] = {}
        self.job_formats: dict[str, FormatOptions] = {}
        self.queries: dict[str, str] = {}

    def is_sound(self, name: str, job: AnyJob, config: Config, broken: Collection[str]) -> bool:
        """Whether neither the job's file nor its format's is among the `broken` ones."""
        if _relative(self._folder / config.jobs / f"{name}.toml", self._folder) in broken:
            return False
        chosen: Any = job.file.format
        base = chosen.get("base") if isinstance(chosen, dict) else chosen
        return base is None or _relative(self._folder / config.formats / f"{base}.toml", self._folder) not in broken

    # config.toml

    def read_config(self, table: dict[str, Any]) -> Config:
        findings = self._findings
        endpoints = table.get("endpoints", {})
        config = read(Config, {key: value for key, value in table.items() if key != "endpoints"}, "", findings)
        if not isinstance(endpoints, dict):
            findings.add("endpoints", f"must be a table of endpoints, not {shown(endpoints)}", "write [endpoints.NAME]")
            endpoints = {}
        read_endpoints = {name: self._read_endpoint(name, options) for name, options in endpoints.items()}
        config = config.model_copy(update={"endpoints": read_endpoints})
        self._check_config(config)
        return config

    def _read_endpoint(self, name: str, table: object) -> EndpointOptions:
        where = join("endpoints", quoted(name))
        models = self._models.endpoints
        options = self._read_chosen(models, EndpointOptions, "protocol", table, where, self._findings)
        if options.temp_name:
            try:
                paths.parse_temp_name(options.temp_name)
            except TemplateError as exc:
                for problem in exc.problems:
                    self._findings.add(join(where, "temp_name"), problem.problem, problem.hint)
        return options

    def _read_chosen(
        self, models: Mapping[str, type[T]], common: type[T], key: str, table: object, where: str, findings: Findings
    ) -> T:
        """Read by the model that `protocol` or `kind` names; where that is unknown, as far as all have it in common."""
        if not isinstance(table, dict):
            return read(common, table, where, findings)
        chosen = table.get(key)
        if isinstance(chosen, str) and chosen in models:
            return read(models[chosen], table, where, findings)
        if isinstance(chosen, str):
            hint = did_you_mean(chosen, models, what=f"{key}s")
            findings.add(join(where, key), f"unknown {key} {shown(chosen)}", hint)
        known = {name: value for name, value in table.items() if name in common.model_fields}
        return read(common, known, where, findings)

    def _check_config(self, config: Config) -> None:
        findings = self._findings
        for table in ("databases", "endpoints", "calendars"):
            for name in getattr(config, table) or ():
                _check_name(name, join(table, quoted(name)), findings)
        for complaint in urls.ledger_complaints(config.ledger) if config.ledger else ():
            findings.add(complaint.key, complaint.problem, complaint.hint)
        if config.ledger_password is not None and urls.scheme_of(config.ledger or "") == "sqlite":
            findings.add("ledger_password", "is for a postgresql:// ledger; SQLite has no password", "take it out")
        for name, database in (config.databases or {}).items():
            for complaint in urls.database_complaints(database.url) if isinstance(database.url, str) else ():
                findings.add(join(f"databases.{quoted(name)}", complaint.key), complaint.problem, complaint.hint)
        self._check_calendars(config)

    def _check_calendars(self, config: Config) -> None:
        for name in config.calendars or ():
            try:
                calendars.find(name, config.calendars)
            except ValueError as exc:
                problem, _, hint = str(exc).partition("; ")
                self._findings.add(join("calendars", quoted(name)), problem, hint)

    # formats/

    def read_formats(self, config: Config) -> dict[str, FormatOptions]:
        formats = {}
        for path, findings in self._files(config.formats, "formats", required=False):
            table = read_toml(path, findings)
            self._format_tables[path.stem] = table or {}
            if table is not None:
                begun = len(findings)
                formats[path.stem] = self._read_format(table, "", findings)
                told = findings.problems[begun:]
                self._told[path.stem] = {(join("file.format", found.where), found.problem) for found in told}
        return formats

    def _read_format(self, table: dict[str, Any], where: str, findings: Findings) -> FormatOptions:
        options = self._read_chosen(self._models.formats, FormatOptions, "kind", table, where, findings)
        check_format(options, where, findings)
        return options

    def _files(self, folder: str | None, key: str, *, required: bool) -> Iterator[tuple[Path, Findings]]:
        """The TOML files of a folder in the order of their names, with a place for their problems."""
        if not folder:
            return
        place = self._folder / folder
        # Path.is_dir raises where a name is too long or not to be looked at.
        if not os.path.isdir(place):
            if required:
                self._findings.add(key, f"there is no folder {shown(folder)}", "make it, or name the right one")
            return
        try:
            names = sorted(os.listdir(place))
        except OSError as exc:
            hint = "check the path, and that this user may read it"
            self._findings.add(key, f"the folder {shown(folder)} cannot be read: {exc.strerror}", hint)
            return
        for path in (place / name for name in names if name.endswith(".toml") and not name.startswith(".")):
            findings = self._findings.of(_relative(path, self._folder))
            _check_name(path.stem, "", findings)
            yield path, findings

    # jobs/

    def read_jobs(self, config: Config, formats: Mapping[str, FormatOptions], *, complete: bool) -> dict[str, AnyJob]:
        known = Surroundings(
            complete=complete,
            timezone=config.timezone or UTC,
            databases=config.databases or {},
            endpoints=config.endpoints or {},
            calendars=config.calendars or {},
        )
        jobs: dict[str, AnyJob] = {}
        for path, findings in self._files(config.jobs, "jobs", required=complete):
            table = read_toml(path, findings)
            if table is not None:
                table = _directed(table, findings)
                read_it = self._read_pull if table.get("direction") == "pull" else self._read_push
                jobs[path.stem] = read_it(path.stem, table, formats, known, findings)
        return jobs

    def _read_push(
        self,
        name: str,
        table: dict[str, Any],
        formats: Mapping[str, FormatOptions],
        known: Surroundings,
        findings: Findings,
    ) -> Job:
        job = read(Job, _named(table, name, findings), "", findings)
        layout = self._job_format(job.file.format, formats, findings) if job.file is not None else None
        query = self._query(job, findings) if job.source is not None else None
        check_job(job, query, layout, known, findings)
        if layout is not None:
            check_writable(layout, "file.format", findings)
        if layout is not None and query is not None:
            self.job_formats[name], self.queries[name] = layout, query
        return job

    def _read_pull(
        self,
        name: str,
        table: dict[str, Any],
        formats: Mapping[str, FormatOptions],
        known: Surroundings,
        findings: Findings,
    ) -> PullJob:
        job = read(PullJob, _named(table, name, findings), "", findings)
        layout = self._job_format(job.file.format, formats, findings) if job.file is not None else None
        check_pull(job, known, findings)
        if layout is not None and job.load is not None:
            check_readable(layout, "file.format", findings)
        if layout is not None:
            self.job_formats[name] = layout
        return job

    def _job_format(
        self, chosen: Any, formats: Mapping[str, FormatOptions], findings: Findings
    ) -> FormatOptions | None:
        """The format that a job chose; None where there is none, or it could not be read."""
        if isinstance(chosen, dict):
            return self._inline_format(dict(chosen), findings)
        if chosen is None:
            return None
        if chosen not in self._format_tables:
            hint = did_you_mean(chosen, self._format_tables, what="formats")
            findings.add("file.format", f"unknown format {chosen!r}", hint)
        return formats.get(chosen)

    def _inline_format(self, table: dict[str, Any], findings: Findings) -> FormatOptions | None:
        base = table.pop("base", None)
        if base is None:
            return self._read_format(table, "file.format", findings)
        if not isinstance(base, str) or base not in self._format_tables:
            hint = did_you_mean(base, self._format_tables, what="formats") if isinstance(base, str) else None
            findings.add("file.format.base", f"unknown format {shown(base)}", hint)
            return None
        inner = Findings(file=findings.file)
        options = self._read_format({**self._format_tables[base], **table}, "file.format", inner)
        # What is wrong in the base is told there.
        new = [found for found in inner.problems if (found.where, found.problem) not in self._told.get(base, ())]
        findings.problems.extend(new)
        return options

    def _query(self, job: Job, findings: Findings) -> str | None:
        if job.source.query_file is None or job.source.query is not None:
            return job.source.query
        path = self._folder / job.source.query_file
        try:
            return read_text(path)
        except OSError as exc:
            findings.add("source.query_file", f"{shown(job.source.query_file)} cannot be read: {exc.strerror}")
        except UnicodeDecodeError:
            findings.add("source.query_file", f"{shown(job.source.query_file)} is not UTF-8 text", "save it as UTF-8")
        except ValueError:
            findings.add("source.query_file", f"{shown(job.source.query_file)} is not a path")
        return None


def _directed(table: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """A job's table with a direction that is one, so that the rest of it is read as it was meant."""
    direction = table.get("direction", "push")
    if direction not in DIRECTIONS:
        findings.add(
            "direction", f"unknown value {shown(direction)}", did_you_mean(str(direction), DIRECTIONS, what="values")
        )
        return {**table, "direction": closest(str(direction), DIRECTIONS) or "push"}
    if "direction" not in table and "load" in table and "source" not in table:
        findings.add(
            "direction", 'is "push" where it is not written, and a push has no [load]', 'write direction = "pull"'
        )
        return {**table, "direction": "pull"}
    return table


def _named(table: Mapping[str, Any], name: str, findings: Findings) -> dict[str, Any]:
    if "name" in table:
        findings.add("name", "unknown key", "a job's name is the name of its file")
    return {**table, "name": name}


def _check_name(name: str, where: str, findings: Findings) -> None:
    if re.fullmatch(NAME, name) is None or len(name) > LONGEST_NAME:
        findings.add(
            where,
            f"{shown(name)} cannot be a name",
            f"names are letters, digits, '_', '-' and '.', at most {LONGEST_NAME}, and begin with none of '-' and '.'",
        )


def _relative(path: Path, folder: Path) -> str:
    return printable(str(path.relative_to(folder) if path.is_relative_to(folder) else path))
