"""Of which runs a ledger that was put back may have forgotten something, and under which names to look for their files."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from batchxfer import naming, planner
from batchxfer.config import Project
from batchxfer.definitions import AnyJob, Job, PullJob
from batchxfer.errors import UsageError
from batchxfer.facts import Restored
from batchxfer.judging import Name
from batchxfer.model import Delivery, DeliveryStatus, Due, FileRole, Run, RunStatus
from batchxfer.paths import PathError
from batchxfer.planner import CatchUp
from batchxfer.ports import Ledger
from batchxfer.settling import may_be_forgotten, was_reconciled
from batchxfer.sights import slots_built
from batchxfer.ticking import apart

_SETTLED = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED})
_OPEN_RUNS = (
    RunStatus.PENDING,
    RunStatus.RUNNING,
    RunStatus.RETRYING,
    RunStatus.HELD,
    RunStatus.FAILED,
    RunStatus.MISSING,
    RunStatus.SKIPPED,
)
_NOBODY, _SOMEBODY = "0" * 26, "Z" * 26
_SLOTS_BEFORE = 32
"""Names of weekdays, of days of a month and of hours come again within so many."""
_Files = Sequence[tuple[FileRole, str]]
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A delivery to look for: the data's file comes first. Of a pull it is the slot's glob."""

    endpoint: str
    files: _Files
    name: Name


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A slot of which the ledger may have forgotten something; `run` is None where it is not planned yet."""

    job: str
    due: Due
    run: Run | None
    deliveries: Sequence[Wanted] = field(default_factory=tuple)


class Suspects:
    """Finds them, in one project's ledger."""

    def __init__(self, project: Project, ledger: Ledger, restored: Restored) -> None:
        self._project = project
        self._ledger = ledger
        self._restored = restored

    def known(self, only: Collection[str] = ()) -> list[Suspect]:
        """Those that are in the ledger and were not looked at since it was put back, the oldest slot first."""
        found = [run for status in _OPEN_RUNS for run in self._ledger.runs(status=status, limit=None)]
        found = [run for run in found if (not only or run.job in only) and self._is_suspect(run)]
        return [self._suspect(run) for run in sorted(found, key=lambda run: (run.due.slot, run.job))]

    def unplanned(self, only: Collection[str] = ()) -> Iterator[Suspect]:
        """Those that a tick would plan."""
        marks = self._ledger.marks()
        for name, job in self._project.jobs.items():
            mark = marks.get(name)
            if (only and name not in only) or job.schedule is None or mark is None or not job.enabled:
                continue
            catch_up = CatchUp(
                kind=apart(self._project.catch_up_of(job)),
                window=job.schedule.catch_up_window,
                on_time=job.schedule.late_after,
            )
            plan = planner.plan(self._project.timetable_of(job), mark, self._restored.at, catch_up)
            skipped = () if isinstance(job, PullJob) else plan.skipped
            for due in sorted([*plan.due, *(each.due for each in skipped)], key=lambda due: due.slot):
                if self._ledger.find_slot(name, due.slot) is None:
                    yield Suspect(job=name, due=due, run=None, deliveries=self._named(job, due, None))

    def built(self, only: Collection[str] = ()) -> Iterator[Suspect]:
        """Those of which the spool has a file, and the ledger nothing: run by hand, or owed by a job that is new to it."""
        known = self._ledger.artifact_paths()
        for name, job in self._project.jobs.items():
            if isinstance(job, PullJob) or (only and name not in only):
                continue
            for slot in slots_built(self._project.spool / name, known):
                if slot <= self._restored.at and self._ledger.find_slot(name, slot) is None:
                    # A schedule that has changed since has no such slot any more.
                    with contextlib.suppress(UsageError):
                        timetable = self._project.timetable_of(job)
                        due = timetable.find(slot) if job.schedule is not None else timetable.by_hand(slot)
                        yield Suspect(job=name, due=due, run=None, deliveries=self._named(job, due, None))

    def by_hand(self, job: PullJob, due: Due) -> Suspect:
        """A slot of a pull without schedule, which is looked for by whoever runs it."""
        return Suspect(job=job.name, due=due, run=None, deliveries=self._named(job, due, None))

    def _is_suspect(self, run: Run) -> bool:
        job = self._project.jobs.get(run.job)
        if job is None or not may_be_forgotten(run, job, self._restored):
            return False
        if run.status is RunStatus.MISSING and isinstance(job, Job):
            return False
        if run.status is RunStatus.SKIPPED and (isinstance(job, PullJob) or not self._is_forgotten(run)):
            return False
        return not was_reconciled(self._ledger, run, self._restored)

    def _is_forgotten(self, run: Run) -> bool:
        """Whether the ledger that is lost had another run of the slot."""
        return max(run.due.slot, run.created_at) > self._restored.known_until

    def _suspect(self, run: Run) -> Suspect:
        job = self._project.jobs[run.job]
        done = {d.endpoint for d in run.deliveries if d.status in _SETTLED and run.status is not RunStatus.SKIPPED}
        wanted = {each.endpoint: each for each in self._named(job, run.due, run)}
        for delivery in run.deliveries:
            wanted[delivery.endpoint] = self._of(delivery, wanted.get(delivery.endpoint))
        deliveries = tuple(each for name, each in wanted.items() if name not in done)
        return Suspect(job=run.job, due=run.due, run=run, deliveries=deliveries)

    def _of(self, delivery: Delivery, planned: Wanted | None) -> Wanted:
        """A delivery by the names that its run keeps, whatever the job's definition says by now."""
        files = tuple((file.role, file.path) for file in delivery.files) or ((FileRole.DATA, delivery.path),)
        if planned is not None and planned.files[0] == files[0]:
            return replace(planned, files=files)
        name = replace(self._name(delivery.endpoint, delivery.path), tells_slot=False)
        return Wanted(endpoint=delivery.endpoint, files=files, name=name)

    def _named(self, job: AnyJob, due: Due, run: Run | None) -> tuple[Wanted, ...]:
        # What cannot be named cannot have been sent.
        with contextlib.suppress(PathError):
            return tuple(self._planned(job, due, run))
        return ()

    def _planned(self, job: AnyJob, due: Due, run: Run | None) -> Iterator[Wanted]:
        revision, identifier = (run.revision, run.id) if run else (1, _NOBODY)
        forgotten = run is None or self._is_forgotten(run)
        ours = self._paths(job, due, revision, identifier)
        by_another = dict(self._paths(job, due, revision, _SOMEBODY))
        shared = self._shared(job, due, revision, identifier)
        for endpoint, files in ours:
            name = replace(
                self._name(endpoint, files[0][1]),
                tells_run=forgotten and files[0] != by_another[endpoint][0],
                tells_slot=(endpoint, files[0][1]) not in shared,
            )
            yield Wanted(endpoint=endpoint, files=files, name=name)

    def _paths(self, job: AnyJob, due: Due, revision: int, identifier: str) -> list[tuple[str, _Files]]:
        found = naming.planned_deliveries(self._project, job, due, revision=revision, run=identifier)
        return [(each.endpoint, each.files) for each in found]

    def _shared(self, job: AnyJob, due: Due, revision: int, identifier: str) -> set[tuple[str, str]]:
        """The names of slots before; `check` has proven that they are others, unless the job replaces its files."""
        if isinstance(job, PullJob) or job.file.on_exists != "replace":
            return set()
        before = self._before(job, due)
        found = [each for other in before for each in self._paths(job, other, revision, identifier)]
        return {(endpoint, files[0][1]) for endpoint, files in found}

    def _before(self, job: AnyJob, due: Due) -> Iterator[Due]:
        if job.schedule is None:
            yield replace(due, slot=due.slot - DAY, business_date=due.business_date - DAY)
            return
        timetable, other = self._project.timetable_of(job), due
        for _ in range(_SLOTS_BEFORE):
            found = timetable.latest(other.slot - timedelta.resolution)
            if found is None:
                return
            other = found
            yield other

    def _name(self, endpoint: str, path: str) -> Name:
        options = self._project.config.endpoints.get(endpoint)
        return Name(path=path, taken_at_once=options is not None and options.vanished == "delivered")
