"""One tick: what has become due enters the ledger, what may start is found, what is late is noted. No threads, no waiting."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batchxfer import planner
from batchxfer.config import Project
from batchxfer.definitions import AnyJob, PullJob
from batchxfer.dispatch import JobRules, Ready, ready
from batchxfer.errors import BatchxferError
from batchxfer.facts import Restored
from batchxfer.health import missing_at
from batchxfer.model import Claim, Mark, NoticeKind, OpenRun, Outlook, Plan, RunStatus
from batchxfer.planner import CatchUp
from batchxfer.ports import Ledger
from batchxfer.pull_checks import is_dated
from batchxfer.quantities import format_duration
from batchxfer.slots import Timetable

log = logging.getLogger("batchxfer")

# Time in which no slot came counts as planned when it is so long ago. Nodes may have different schedules while a new one is
# rolled out: what one of them does not know as a slot, another one has planned by then.
IDLE = timedelta(minutes=10)
# The same where a schedule may be about to change. A slot of the new one that has only just passed is still owed.
JUST_NOW = timedelta(minutes=1)

_WAITS = (RunStatus.PENDING, RunStatus.RETRYING)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What a tick found at `at`, by the ledger's clock: the runs that may start now, those whose files are missing since now,
    when to look again, and the claims that stand."""

    at: datetime
    runs: tuple[OpenRun, ...]
    next_at: datetime | None
    missed: tuple[OpenRun, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass
class _Known:
    """A job's mark as the ledger has it, and its first slot after it."""

    mark: Mark
    next_slot: datetime | None

    def goes_for(self, mark: Mark) -> bool:
        """Whether the first slot after another mark, which is no earlier, is the same."""
        if mark.planned_until < self.mark.planned_until:
            return False
        return self.next_slot is None or mark.planned_until < self.next_slot

    def is_idle(self, until: datetime) -> bool:
        """Whether no slot came from the mark until then."""
        return self.mark.planned_until < until and (self.next_slot is None or self.next_slot > until)


class Ticker:
    """Plans one project's jobs on one ledger. Used by one thread; any number of nodes may each have one.

    `restored` where the caller knows already that the ledger was put back from a backup."""

    def __init__(
        self, project: Project, ledger: Ledger, only: Collection[str] | None = None, restored: Restored | None = None
    ) -> None:
        self._project = project
        self._ledger = ledger
        self._known: dict[str, _Known] = {}
        self._jobs = {name: job for name, job in project.jobs.items() if not only or name in only}
        self._waiting = {
            name for name, job in self._jobs.items() if isinstance(job, PullJob) and job.file.expect != "any"
        }
        self._timetables = {name: project.timetable_of(job) for name, job in self._jobs.items() if job.schedule}
        self._rules = {
            name: JobRules(strict=job.retry.order == "strict", endpoints=job.file.endpoint_names)
            for name, job in self._jobs.items()
        }
        self._only = only
        self._restored = restored
        self._with_more: set[str] = set()
        self._planned_at: datetime | None = None
        self._strangers: dict[str, Mark] | None = None
        self._elsewhere: frozenset[str] = frozenset()

    def tick(self) -> Tick:
        """Plan up to the ledger's now, and say what may start."""
        self._look_back()
        self._planned_at = None
        now = self._ledger.now()
        self._plan(now)
        self._planned_at = now
        self._move_on(now - IDLE, IDLE)
        # Planning takes time, and what it made may start at once: nothing of it is older than this.
        seen = self._outlook()
        missed = self._miss(seen)
        if missed:
            seen = self._outlook()
        self._note_late(seen)
        self._count(seen)
        started = self._ready(seen)
        claims = tuple(run.claim for run in seen.runs if run.claim is not None)
        return Tick(at=seen.now, runs=started.runs, next_at=self._next(started), missed=tuple(missed), claims=claims)

    def leave(self) -> None:
        """The jobs may be other ones from now on: a schedule that has changed owes nothing of the time before."""
        if self._planned_at is not None:
            self._move_on(self._planned_at - JUST_NOW, timedelta())

    def next_of(self, job: str) -> Tick:
        """What may start of one job, of which a run has just ended."""
        seen = self._ledger.outlook(job)
        self._count(seen, job)
        started = self._ready(seen)
        return Tick(at=seen.now, runs=started.runs, next_at=started.next_at)

    def still_due(self, job: str, run: str) -> bool:
        """Whether `run`, which the caller has claimed, is the one of its job to start now. May be asked in any thread."""
        seen = self._ledger.outlook(job)
        runs = tuple(replace(each, claim=None) if each.id == run else each for each in seen.runs)
        return any(each.id == run for each in self._ready(replace(seen, runs=runs)).runs)

    def has_more(self, job: str) -> bool:
        """Whether more than one run of the job was open when it was last looked at: what came since, the next tick finds."""
        return job in self._with_more

    def _count(self, seen: Outlook, job: str | None = None) -> None:
        open_runs = Counter(run.job for run in seen.runs)
        more = {name for name, count in open_runs.items() if count > 1}
        self._with_more = more if job is None else self._with_more - {job} | more

    def _outlook(self) -> Outlook:
        seen = self._ledger.outlook()
        return replace(seen, runs=tuple(run for run in seen.runs if not self._only or run.job in self._only))

    def _ready(self, seen: Outlook) -> Ready:
        # Waiting for a refused login is the runner's: one of its deliveries makes the trial.
        paused = {name for name, pause in seen.pauses.items() if pause.until is None}
        ours = [run for run in seen.runs if run.job not in self._elsewhere]
        return ready(ours, self._rules, paused, seen.now)

    def _next(self, found: Ready) -> datetime | None:
        instants = [known.next_slot for known in self._known.values() if known.next_slot is not None]
        return min([*instants, *([found.next_at] if found.next_at else [])], default=None)

    # planning

    def _look_back(self) -> None:
        """Whether the ledger was put back from a backup meanwhile."""
        before, self._restored = self._restored, self._ledger.restored()
        if self._restored is not None and before is None:
            log.warning(
                "the ledger was put back from a backup: what was due after %s is held until `batchxfer reconcile`",
                self._restored.known_until.isoformat(),
                extra={"action": "ledger-restored"},
            )

    def _plan(self, now: datetime) -> None:
        marks = self._ledger.marks()
        self._elsewhere = self._planned_elsewhere(marks, now)
        for name, timetable in self._timetables.items():
            try:
                self._plan_up_to(name, timetable, marks.get(name), now)
            except BatchxferError:
                raise
            except Exception:
                # One job's must not keep the others from being planned.
                log.exception(
                    "%s could not be planned, and is tried again", name, extra={"action": "fault", "job": name}
                )

    def _planned_elsewhere(self, marks: Mapping[str, Mark], now: datetime) -> frozenset[str]:
        """The jobs that are unknown here, and that another node, with a newer configuration, has planned since and still does:
        what is due of them is for those who know them. Of others nobody does, and it is held."""
        unknown = {name: mark for name, mark in marks.items() if name not in self._project.jobs}
        if self._strangers is None:
            self._strangers = unknown
        moved = {name: mark for name, mark in unknown.items() if self._strangers.get(name) != mark}
        return frozenset(name for name, mark in moved.items() if now - mark.planned_until < 3 * IDLE)

    def _plan_up_to(self, name: str, timetable: Timetable, mark: Mark | None, now: datetime) -> None:
        known = self._known.get(name)
        if mark is None:
            mark = self._first_seen(name, timetable, now)
        if known is not None and known.goes_for(mark):
            known.mark = mark
        if known is None or known.mark != mark:
            known = self._known[name] = self._look_ahead(timetable, mark)
        while known.next_slot is not None and known.next_slot <= now:
            until = self._up_to(known.mark, now)
            if not self._plan_job(name, timetable, known.mark, until):
                return
            known = self._known[name]

    def _move_on(self, until: datetime, at_least: timedelta) -> None:
        """Let time until then in which no slot came count as planned, where some job has `at_least` so much of it."""
        idle = [known.mark for known in self._known.values() if known.is_idle(until)]
        # What a ledger may have forgotten is planned by itself.
        if self._restored is None and any(mark.planned_until < until - at_least for mark in idle):
            self._ledger.move_marks((mark, replace(mark, planned_until=until)) for mark in idle)

    def _look_ahead(self, timetable: Timetable, mark: Mark) -> _Known:
        following = timetable.next(mark.planned_until, 1)
        return _Known(mark=mark, next_slot=following[0].slot if following else None)

    def _first_seen(self, name: str, timetable: Timetable, now: datetime) -> Mark:
        mark = planner.first_seen(name, timetable, now)
        if self._ledger.record_plan(None, Plan(mark=mark), {}):
            return mark
        return self._ledger.marks()[name]

    def _up_to(self, mark: Mark, now: datetime) -> datetime:
        """What a ledger may have forgotten is planned by itself."""
        forgotten = self._restored is not None and mark.planned_until < self._restored.at < now
        return self._restored.at if self._restored is not None and forgotten else now

    def _plan_job(self, name: str, timetable: Timetable, mark: Mark, until: datetime) -> bool:
        job = self._jobs[name]
        catch_up = self._catch_up(job)
        if self._restored is not None and mark.planned_until < self._restored.at:
            catch_up = replace(catch_up, kind=apart(catch_up.kind))
        plan = planner.plan(timetable, mark, until, catch_up, enabled=job.enabled)
        if not self._ledger.record_plan(mark, plan, job.parameters):
            return False
        self._known[name] = self._look_ahead(timetable, plan.mark)
        self._log(name, plan)
        return True

    def _catch_up(self, job: AnyJob) -> CatchUp:
        assert job.schedule is not None  # noqa: S101 - only jobs with one have a timetable
        return CatchUp(
            kind=self._project.catch_up_of(job),
            window=job.schedule.catch_up_window,
            on_time=job.schedule.late_after,
        )

    def _log(self, name: str, plan: Plan) -> None:
        for due in plan.due:
            log.info(
                "%s is due: %s", name, due.slot.isoformat(), extra={"action": "due", "job": name, "slot": due.slot}
            )
        if skipped := len(plan.skipped) + plan.uncounted:
            log.warning("%s: %d missed slots are skipped", name, skipped, extra={"action": "skipped", "job": name})

    # lateness

    def _miss(self, seen: Outlook) -> list[OpenRun]:
        """Say which slots' files have not come in time."""
        missed = []
        for run in seen.runs:
            if run.job in self._waiting and run.status in _WAITS and not self._looks_first(run, seen):
                reason = self._why_missing(run, seen.now)
                if reason is not None and self._ledger.miss(run.id, reason):
                    missed.append(run)
                    log.warning("%s: %s", run.job, reason, extra={"action": "missing", "job": run.job, "run": run.id})
        return missed

    def _looks_first(self, run: OpenRun, seen: Outlook) -> bool:
        """Whether nobody can say yet that its file has not come: nobody has looked, or somebody is to look now."""
        if not run.endpoints:
            return True
        paused = run.job in seen.pauses or all(f"@{name}" in seen.pauses for name in run.endpoints)
        return run.due_at is not None and run.due_at <= seen.now and not paused

    def _why_missing(self, run: OpenRun, now: datetime) -> str | None:
        job, timetable = self._jobs[run.job], self._timetables.get(run.job)
        if timetable is None or job.schedule is None or not isinstance(job, PullJob):
            return None
        following = timetable.next(run.slot, 1)
        at = missing_at(run.slot, job.schedule.missing_after, following[0].slot if following else None, is_dated(job))
        if at is None or now < at:
            return None
        slot, until = (each.astimezone(timetable.zone).isoformat() for each in (run.slot, at))
        return f"no file came for the slot {slot} until {until}"

    def _note_late(self, seen: Outlook) -> None:
        """A slot that is due and not delivered is late, whether or not anything has failed."""
        told = self._ledger.notices() if seen.runs else ()
        noted = {notice.run for notice in told if notice.kind is NoticeKind.LATE}
        for run in seen.runs:
            job = self._jobs.get(run.job)
            if job is None or job.schedule is None or run.id in noted or run.status is RunStatus.MISSING:
                continue
            if seen.now - run.slot > job.schedule.late_after:
                detail = {
                    "slot": run.slot,
                    "status": run.status,
                    "late_after": format_duration(job.schedule.late_after),
                }
                self._ledger.note(NoticeKind.LATE, run.id, job=run.job, run=run.id, detail=detail)


def apart(catch_up: str) -> str:
    """How slots are planned that may have been sent already: one file over several of them would send some rows again."""
    return "all" if catch_up == "merge" else catch_up
