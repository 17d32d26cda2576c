"""What templates and queries may know of a run, and the paths that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from batchxfer import paths
from batchxfer.config import Project
from batchxfer.definitions import EndpointOptions, FileOptions, Job
from batchxfer.families import slot_facts
from batchxfer.model import Due, FileRole, ParameterValue
from batchxfer.ports import PlannedDelivery


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


def planned_deliveries(project: Project, job: Job, due: Due, *, revision: int, run: str) -> list[PlannedDelivery]:
    """The deliveries of a run, with the paths of their files in publishing order. Raises paths.PathError."""
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


def _depth(folder: str) -> int:
    return len(folder.split("/")) if folder else 0
