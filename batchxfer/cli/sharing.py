"""Pull jobs that take files away which another one looks for."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from batchxfer.errors import Problem

if TYPE_CHECKING:
    from batchxfer.config import Project


@dataclass(frozen=True)
class _Look:
    """A job, the places that it looks at, its glob for some slot, and a path that the glob means."""

    job: str
    places: frozenset[str]
    glob: tuple[str, ...]
    example: tuple[str, ...]
    then: str


def shared_files(loaded: Project) -> Iterator[Problem]:
    """A warning for each job that removes or moves files before another one may have seen them."""
    from batchxfer import globs

    looks = list(_looks(loaded))
    told: set[str] = set()
    for taker, other in permutations(looks, 2):
        if taker.then == "leave" or taker.job in told or not taker.places & other.places:
            continue
        pairs = [(taker.glob, other.example), (other.glob, taker.example)]
        if len(taker.glob) == len(other.glob) and any(all(map(globs.matches, *pair)) for pair in pairs):
            told.add(taker.job)
            yield Problem(
                file=f"{loaded.config.jobs}/{taker.job}.toml",
                where="file.then",
                problem=f"{taker.then}: job {other.job!r} looks for the same files, and may come too late for them",
                hint='let one job fetch them, or write then = "leave"',
            )


def _looks(loaded: Project) -> Iterator[_Look]:
    from batchxfer import globs, paths
    from batchxfer.cli.collisions import names_of
    from batchxfer.definitions import PullJob

    for job in loaded.jobs.values():
        if isinstance(job, PullJob) and job.enabled:
            names = names_of(loaded, job)
            glob = globs.render(names.path, paths.sample_values(job.name)).split("/")
            places = frozenset(f"{each.place} {posixpath.normpath(each.root)}" for each in names.destinations)
            example = tuple(globs.example(segment) for segment in glob)
            yield _Look(job.name, places, tuple(glob), example, job.file.then)
