"""proof.py for a project: which deliveries would share a path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from batchxfer.errors import Problem

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.definitions import AnyJob
    from batchxfer.families import Destination, Names


def collisions(loaded: Project, *, only: str | None = None) -> list[Problem]:
    """One problem for each job, and each two jobs, that would use a path twice; with `only`, those of that job."""
    from batchxfer import proof
    from batchxfer.cli.clock import SystemClock
    from batchxfer.definitions import Job

    # What is fetched is somebody else's to name.
    known = [names_of(loaded, job) for job in loaded.jobs.values() if isinstance(job, Job)]
    if only is not None:
        known = _neighbours(known, only)
    found = proof.collisions(known, SystemClock().now())
    return [
        Problem(
            file=f"{loaded.config.jobs}/{collision.second.job}.toml",
            where="file.path",
            problem=collision.problem,
            hint=collision.mend,
        )
        for collision in found
        if only is None or only in (collision.first.job, collision.second.job)
    ]


def _neighbours(known: Iterable[Names], job: str) -> list[Names]:
    """The job, and those that deliver to a place of its."""
    places = {names.job: {destination.place for destination in names.destinations} for names in known}
    return [names for names in known if names.job == job or places[names.job] & places.get(job, set())]


def names_of(loaded: Project, job: AnyJob) -> Names:
    """What a job calls its files, and when; of a pull the globs that it looks for."""
    from batchxfer import paths
    from batchxfer.definitions import PullJob
    from batchxfer.families import Names

    destinations = tuple(_destination(loaded, name) for name in job.file.endpoint_names)
    if isinstance(job, PullJob):
        glob = paths.parse_glob(job.file.path, job.name)
        return Names(job=job.name, timetable=loaded.timetable_of(job), path=glob, destinations=destinations)

    sidecars = [
        paths.parse_sidecar(text) if text is not None else None for text in (job.file.checksum_file, job.file.done_file)
    ]
    return Names(
        job=job.name,
        timetable=loaded.timetable_of(job),
        path=paths.parse_path(job.file.path, job.name),
        destinations=destinations,
        checksum_file=sidecars[0],
        done_file=sidecars[1],
        replace=job.file.on_exists == "replace",
    )


def _destination(loaded: Project, name: str) -> Destination:
    from batchxfer.families import Destination
    from batchxfer.wiring import Toolbox

    options = loaded.config.endpoints[name]
    place, root = Toolbox(loaded).endpoint(name).place, options.root
    if options.protocol == "local":
        # This machine is one place, however a folder is written, and whichever is below another.
        place, _, root = place.partition(":")
    return Destination(endpoint=name, place=place, root=root, zone=options.timezone)
