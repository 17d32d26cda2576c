"""What a job calls its files: the paths of each kind of file at each endpoint, for any slot and revision. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cached_property
from zoneinfo import ZoneInfo

from batchxfer import paths
from batchxfer.model import Due, FileRole
from batchxfer.slots import Timetable
from batchxfer.templates import Template


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a job's files go. `place` is one and the same for all endpoints that lead to one server and account."""

    endpoint: str
    place: str
    root: str
    zone: ZoneInfo


@dataclass(frozen=True, kw_only=True)
class Names:
    """What one job calls its files, and when. `replace`: its files may overwrite each other."""

    job: str
    timetable: Timetable
    path: Template
    destinations: tuple[Destination, ...]
    checksum_file: Template | None = None
    done_file: Template | None = None
    replace: bool = False


def slot_facts(due: Due, *, zone: ZoneInfo, endpoint_zone: ZoneInfo) -> Mapping[str, Callable[[], object]]:
    """What a path's names say of a slot, each made when asked for: in the job's zone, in UTC, in the endpoint's."""
    return {
        "slot": lambda: due.slot.astimezone(zone),
        "slot_utc": lambda: due.slot.astimezone(UTC),
        "slot_local": lambda: due.slot.astimezone(endpoint_zone),
        "business_date": lambda: due.business_date,
        "interval_start": lambda: due.interval_start.astimezone(zone),
        "interval_end": lambda: due.interval_end.astimezone(zone),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """All names of one kind that one job uses at one endpoint. `revisions` are those that its shapes stand for."""

    names: Names
    destination: Destination
    role: FileRole
    revisions: range

    def path(self, due: Due, revision: int = 1) -> str:
        """The path below the endpoint's root. A run's id, which is not known yet, is shown as `RUN`."""
        facts = slot_facts(due, zone=self.names.timetable.zone, endpoint_zone=self.destination.zone)
        values: dict[str, object] = {"job": self.names.job, "revision": revision, "run": "RUN"}
        values.update((name, facts[name]()) for name in self._slot_names)
        path = self.names.path.render(values)
        return self.sidecar(path if self._shows_revision else paths.with_revision(path, revision))

    @cached_property
    def _slot_names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.names.path.fields) - {"job", "revision", "run"}

    @cached_property
    def _shows_revision(self) -> bool:
        return self.names.path.uses("revision")

    def sidecar(self, path: str) -> str:
        """What this kind of file is called beside the data file `path`."""
        template = {FileRole.CHECKSUM: self.names.checksum_file, FileRole.DONE: self.names.done_file}.get(self.role)
        return path if template is None else paths.render_sidecar_text(template, path)

    def place(self, path: str) -> str:
        """The path as one of the place, the same for names that differ only in case."""
        whole = posixpath.normpath(posixpath.join(self.destination.root, path))
        return ("/" + whole.lstrip("/") if whole.startswith("/") else whole).casefold()

    def same_series(self, other: Family) -> bool:
        """Whether both are one file of one job at one endpoint, of other slots or revisions."""
        mine = (self.names.job, self.destination.endpoint, self.role)
        return mine == (other.names.job, other.destination.endpoint, other.role)


def series(names: Names) -> Iterator[Family]:
    """Each file of a job at each endpoint, in its first revision."""
    roles = [FileRole.DATA]
    roles += [FileRole.CHECKSUM] if names.checksum_file else []
    roles += [FileRole.DONE] if names.done_file else []
    for destination in names.destinations:
        for role in roles:
            yield Family(names=names, destination=destination, role=role, revisions=range(1, 2))


def families(names: Names) -> Iterator[Family]:
    """The same, and its later revisions up to the 99th."""
    for family in series(names):
        yield family
        yield replace(family, revisions=range(2, 10))
        yield replace(family, revisions=range(10, 100))
