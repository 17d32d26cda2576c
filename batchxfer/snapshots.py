"""What a run does, as text that the ledger keeps from its first claim; read back, it is what the run does ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from batchxfer.config import Project
from batchxfer.definitions import AnyJob, FileOptions, FormatOptions, LoadOptions, PullFileOptions, PullJob
from batchxfer.errors import HeldError
from batchxfer.model import ParameterValue, Run, Snapshot


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A snapshot, read: `file` has the format's own keys in the place of its name."""

    database: str
    query: str
    format: FormatOptions
    file: FileOptions


@dataclass(frozen=True, kw_only=True)
class PullDefinition:
    """A pull's snapshot, read. `format` is None where nothing is loaded."""

    file: PullFileOptions
    load: LoadOptions | None
    format: FormatOptions | None


def take(project: Project, job: AnyJob) -> Snapshot:
    """Today's definition of `job`."""
    if isinstance(job, PullJob):
        return _take_pull(project, job)
    query = project.query_of(job)
    layout = project.format_of(job).model_dump_json(by_alias=True, exclude_unset=True)
    keys = {
        "database": job.source.database,
        "file": job.file.model_dump(mode="json", exclude_unset=True, exclude={"format"}),
        "parameters": {name: str(value) for name, value in job.source.parameters.items()},
    }
    return _snapshot(query, layout, keys)


def _take_pull(project: Project, job: PullJob) -> Snapshot:
    layout = "null"
    if job.file.format is not None:
        layout = project.format_of(job).model_dump_json(by_alias=True, exclude_unset=True)
    keys = {
        "file": job.file.model_dump(mode="json", exclude_unset=True, exclude={"format"}),
        "load": job.load.model_dump(mode="json", exclude_unset=True) if job.load is not None else None,
        "parameters": {},
    }
    return _snapshot("", layout, keys)


def _snapshot(query: str, layout: str, keys: Mapping[str, object]) -> Snapshot:
    file = orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()
    digest = hashlib.sha256("\0".join((query, layout, file)).encode()).hexdigest()
    return Snapshot(query=query, format=layout, file=file, digest=digest)


def read(snapshot: Snapshot, read_format: Callable[[str], FormatOptions]) -> Definition:
    """The definition that `take` kept; `read_format` knows each kind's own options."""
    keys = orjson.loads(snapshot.file)
    return Definition(
        database=keys["database"],
        query=snapshot.query,
        format=read_format(snapshot.format),
        file=FileOptions.model_validate({**keys["file"], "format": orjson.loads(snapshot.format)}),
    )


def read_pull(run: Run, read_format: Callable[[str], FormatOptions]) -> PullDefinition:
    """The definition of a pull's run."""
    if run.snapshot is None:
        raise HeldError(f"run {run.id} was never started", hint=f"start it with: batchxfer retry {run.id}")
    keys = orjson.loads(run.snapshot.file)
    return PullDefinition(
        file=PullFileOptions.model_validate_json(orjson.dumps(keys["file"])),
        load=LoadOptions.model_validate_json(orjson.dumps(keys["load"])) if keys["load"] is not None else None,
        format=read_format(run.snapshot.format) if run.snapshot.format != "null" else None,
    )


def todays_parameters(run: Run, job: AnyJob) -> Mapping[str, ParameterValue]:
    """The job's parameters as they are declared now, under those that a person gave to this run."""
    declared: Mapping[str, str] = orjson.loads(run.snapshot.file)["parameters"] if run.snapshot else {}
    today = job.parameters
    given = {name: value for name, value in run.parameters.items() if declared.get(name) != str(value)}
    return {**today, **{name: value for name, value in given.items() if name in today}}
