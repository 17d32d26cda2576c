"""What templates and queries may know of a run, and the paths that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from zoneinfo import ZoneInfo

from batchxfer import globs, paths
from batchxfer.config import Project
from batchxfer.definitions import AnyJob, EndpointOptions, FileOptions, Job, PullFileOptions, PullJob
from batchxfer.families import slot_facts
from batchxfer.model import Due, FileRole, ParameterValue
from batchxfer.ports import PlannedDelivery
from batchxfer.pull import Agreement
from batchxfer.pull_checks import is_dated as is_dated
from batchxfer.templates import Template


def facts(job: str, due: Due, *, revision: int, run: str, zone: ZoneInfo, endpoint_zone: ZoneInfo) -> dict[str, object]:
    """The values of a path's names (paths.PATH_FIELDS): slot and interval in the job's zone, slot_local in the endpoint's."""
    times = slot_facts(due, zone=zone, endpoint_zone=endpoint_zone)
    return {name: fact() for name, fact in times.items()} | {"job": job, "revision": revision, "run": run}


def query_parameters(job: str, due: Due, declared: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """The values of a query's names: those that always exist, and the job's own."""
    return {
        **declared,
        "job": job,
        "slot": due.slot,
        "interval_start": due.interval_start,
        "interval_end": due.interval_end,
        "business_date": due.business_date,
    }


def planned_deliveries(project: Project, job: AnyJob, due: Due, *, revision: int, run: str) -> list[PlannedDelivery]:
    """The deliveries of a run, with the paths of their files in publishing order. Raises paths.PathError.

    A pull has one, its look: the path is the slot's glob."""
    if isinstance(job, PullJob):
        values = pull_facts(project, job, due, job.file.endpoint)
        glob = globs.render(paths.parse_glob(job.file.path, job.name), values)
        return [PlannedDelivery(endpoint=job.file.endpoint, files=((FileRole.DATA, glob),))]
    zone = project.zone_of(job)
    planned = []
    for name in job.file.endpoint_names:
        endpoint_zone = project.config.endpoints[name].timezone
        values = facts(job.name, due, revision=revision, run=run, zone=zone, endpoint_zone=endpoint_zone)
        path = paths.render_path(paths.parse_path(job.file.path, job.name), values)
        planned.append(PlannedDelivery(endpoint=name, files=tuple(_files(job, path))))
    return planned


def _files(job: Job, path: str) -> list[tuple[FileRole, str]]:
    files = [(FileRole.DATA, path)]
    for role, template in ((FileRole.CHECKSUM, job.file.checksum_file), (FileRole.DONE, job.file.done_file)):
        if template is not None:
            files.append((role, paths.render_sidecar(paths.parse_sidecar(template), path)))
    return files


def given_folders(options: EndpointOptions, file: FileOptions) -> dict[FileRole, int | None]:
    """How many leading folders of each file's path must be there already; None where no folder is ever created."""
    if options.create_folders != "dated":
        return dict.fromkeys(FileRole, None if options.create_folders == "none" else 0)
    data = paths.parse_path(file.path)
    given: dict[FileRole, int | None] = {FileRole.DATA: _depth(paths.fixed_folder(data))}
    for role, template in ((FileRole.CHECKSUM, file.checksum_file), (FileRole.DONE, file.done_file)):
        if template is not None:
            given[role] = _depth(paths.fixed_folder(paths.parse_sidecar(template), within=data))
    return given


def folders_given(options: EndpointOptions, template: Template) -> int | None:
    """The same for where a fetched file is moved to."""
    if options.create_folders != "dated":
        return None if options.create_folders == "none" else 0
    return _depth(paths.fixed_folder(template))


def pull_facts(project: Project, job: PullJob, due: Due, endpoint: str) -> dict[str, object]:
    """The values of a pull's names: its glob's, and those of where its files go."""
    zone = project.zone_of(job)
    options = project.config.endpoints.get(endpoint)
    values = facts(job.name, due, revision=1, run="", zone=zone, endpoint_zone=options.timezone if options else zone)
    return {name: values[name] for name in paths.GLOB_FIELDS}


def pull_agreement(glob: str, file: PullFileOptions) -> Agreement:
    """What was agreed about the files that `glob` means."""
    return Agreement(
        glob=glob,
        max_bytes=file.max_bytes,
        done_file=_sidecar(file.done_file),
        checksum_file=_sidecar(file.checksum_file),
    )


def _sidecar(text: str | None) -> Callable[[str], str] | None:
    return partial(paths.render_sidecar, paths.parse_sidecar(text)) if text is not None else None


def _depth(folder: str) -> int:
    return len(folder.split("/")) if folder else 0
