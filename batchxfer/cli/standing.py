"""How each job stands: what the ledger knows, and what is due by now whether or not anybody is there to run it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from batchxfer.cli.words import ID_LENGTH
from batchxfer.errors import ExitCode, worst
from batchxfer.health import OUT_OF_ORDER, earlier_slot, late_slot, pause_of
from batchxfer.model import Mark, OpenRun, Pause, Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.ports import Ledger

# What is told first where several runs of a job are not delivered.
GRAVEST = (
    RunStatus.HELD,
    RunStatus.FAILED,
    RunStatus.MISSING,
    RunStatus.RETRYING,
    RunStatus.PENDING,
    RunStatus.RUNNING,
)
CODES = {
    RunStatus.HELD: ExitCode.HELD,
    RunStatus.FAILED: ExitCode.FAILED,
    RunStatus.MISSING: ExitCode.FAILED,
    RunStatus.RETRYING: ExitCode.RETRYING,
}
SETTLED = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED})
MOST_SKIPPED = 1000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One job. `open_runs` are those that are not settled, newest first; `unplanned` is a slot that is late because nobody
    was there; `skipped` counts the slots that were skipped since the last delivery; `begun_by` says how it is begun where no
    slot is next."""

    job: str
    last: Run | None = None
    next_slot: datetime | None = None
    begun_by: str = "by hand"
    open_runs: Sequence[Run] = ()
    late: bool = False
    unplanned: datetime | None = None
    skipped: Sequence[Run] = ()
    pause: Pause | None = None

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(run.status.value for run in self.open_runs)
        return {**{status.value: found[status.value] for status in GRAVEST}, "skipped": len(self.skipped)}

    @property
    def gravest(self) -> Run | None:
        return min(self.open_runs, key=lambda run: GRAVEST.index(run.status), default=None)

    @property
    def due(self) -> datetime | None:
        """The earliest slot that is due and not delivered."""
        return min((run.due.slot for run in self.open_runs), default=self.unplanned)

    @property
    def reason(self) -> str | None:
        """Why something is not delivered."""
        said = [self.pause.told] if self.pause else []
        run = self.gravest
        if run is not None and run.status is not RunStatus.RUNNING and (run.reason or not said):
            said.append(run.reason or run.status.value)
        if self.unplanned is not None:
            said.append(f"the slot {self.unplanned.isoformat()} is due, and no `serve` or `run --due` has begun it")
        if not said and self.skipped:
            said.append(f"{len(self.skipped)} slots skipped: {self.skipped[0].reason}")
        return "; ".join(said) or None

    @property
    def exit_code(self) -> ExitCode:
        found = [CODES.get(run.status, ExitCode.DONE) for run in self.open_runs]
        return worst([*found, ExitCode.RETRYING if self.late else ExitCode.DONE])


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the ledger says of all jobs."""

    ledger: Ledger | None = None
    open_runs: Mapping[str, list[Run]] = field(default_factory=dict)
    skipped: Mapping[str, list[Run]] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    pauses: Mapping[str, Pause] = field(default_factory=dict)


def standings(loaded: Project, ledger: Ledger | None, now: datetime, only: Collection[str] = ()) -> list[Standing]:
    """One for each job that is configured, and for each that has something open; where `only` names some, for these."""
    seen = _look(ledger) if ledger is not None else _Seen()
    names = sorted({*loaded.jobs, *seen.open_runs})
    return [_standing(loaded, name, seen, now) for name in names if not only or name in only]


def _look(ledger: Ledger) -> _Seen:
    open_runs, skipped = defaultdict(list), defaultdict(list)
    for status in GRAVEST:
        for run in ledger.runs(status=status, limit=None):
            open_runs[run.job].append(run)
    for run in ledger.runs(status=RunStatus.SKIPPED, limit=MOST_SKIPPED):
        if not (run.reason or "").startswith("merged into"):
            skipped[run.job].append(run)
    return _Seen(ledger=ledger, open_runs=open_runs, skipped=skipped, marks=ledger.marks(), pauses=ledger.pauses())


def _standing(loaded: Project, name: str, seen: _Seen, now: datetime) -> Standing:
    delivered = seen.ledger.runs(job=name, status=RunStatus.DELIVERED, limit=1) if seen.ledger is not None else []
    last = delivered[0] if delivered else None
    open_runs = seen.open_runs.get(name, [])
    unplanned = _unplanned(loaded, name, seen, now)
    return Standing(
        job=name,
        last=last,
        next_slot=_next_slot(loaded, name, now),
        begun_by=_begun_by(loaded, name),
        open_runs=open_runs,
        late=unplanned is not None or _is_late(loaded, name, open_runs, now),
        unplanned=unplanned,
        skipped=[run for run in seen.skipped.get(name, ()) if last is None or run.due.slot > last.due.slot],
        pause=_pause(loaded, name, open_runs, seen),
    )


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Why a pending run is not begun, and what ends that."""

    reason: str
    step: str


class Waits:
    """What pending runs wait for: a person's pause, or an earlier slot where the order is strict."""

    def __init__(self, loaded: Project, ledger: Ledger) -> None:
        self._loaded = loaded
        self._ledger = ledger
        self._pauses = ledger.pauses()
        self._open: dict[str, list[OpenRun]] = {}

    def told(self, run: Run) -> Run:
        """The run with what it waits for as its reason."""
        wait = self.of(run)
        return run if wait is None else replace(run, reason=wait.reason)

    def of(self, run: Run) -> Wait | None:
        if run.status is not RunStatus.PENDING:
            return None
        pause = self._pause(run)
        if pause is not None:
            step = f"end the pause, and it goes on: batchxfer resume {pause.subject}"
            return Wait(reason=pause.told, step=step)
        earlier = self._earlier(run)
        if earlier is None:
            return None
        step = f"settle the earlier slot, and it goes on by itself: batchxfer show {earlier.id[:ID_LENGTH]}"
        return Wait(reason=OUT_OF_ORDER.format(earlier.slot.isoformat(), earlier.id), step=step)

    def _pause(self, run: Run) -> Pause | None:
        job = self._loaded.jobs.get(run.job)
        waiting = [delivery.endpoint for delivery in run.deliveries if delivery.status in ("pending", "retrying")]
        return pause_of(run.job, waiting or (job.file.endpoint_names if job else ()), self._pauses)

    def _earlier(self, run: Run) -> OpenRun | None:
        job = self._loaded.jobs.get(run.job)
        if job is None or job.retry.order != "strict":
            return None
        if run.job not in self._open:
            self._open[run.job] = self._ledger.open_runs(run.job)
        return earlier_slot(run.due.slot, self._open[run.job])


def _next_slot(loaded: Project, name: str, now: datetime) -> datetime | None:
    job = loaded.jobs.get(name)
    if job is None or job.schedule is None or not job.enabled:
        return None
    return next((due.slot for due in loaded.timetable_of(job).next(now, 1)), None)


def _begun_by(loaded: Project, name: str) -> str:
    job = loaded.jobs.get(name)
    if job is None:
        return "removed"
    if not job.enabled:
        return "disabled"
    return "by hand" if job.schedule is None else "never"


def _is_late(loaded: Project, name: str, open_runs: Sequence[Run], now: datetime) -> bool:
    """Whether a slot is due, and not delivered, for longer than `late_after`; by hand nothing is late."""
    job = loaded.jobs.get(name)
    if job is None or job.schedule is None:
        return False
    return any(now > run.due.slot + job.schedule.late_after for run in open_runs)


def _unplanned(loaded: Project, name: str, seen: _Seen, now: datetime) -> datetime | None:
    job = loaded.jobs.get(name)
    if job is None or job.schedule is None or not job.enabled or seen.ledger is None:
        return None
    ledger = seen.ledger

    def settled(slot: datetime) -> bool:
        run = ledger.find_slot(name, slot)
        return run is not None and run.status in SETTLED

    return late_slot(loaded.timetable_of(job), seen.marks.get(name), job.schedule.late_after, now, settled)


def _pause(loaded: Project, name: str, open_runs: Sequence[Run], seen: _Seen) -> Pause | None:
    """The job's pause, or the first of an endpoint that something open waits for."""
    job = loaded.jobs.get(name)
    endpoints = job.file.endpoint_names if job else ()
    if (found := pause_of(name, endpoints, seen.pauses)) is not None:
        return found
    waiting = {d.endpoint for run in open_runs for d in run.deliveries if d.status.value in ("pending", "retrying")}
    return next((pause for each in sorted(waiting) if (pause := pause_of(name, [each], seen.pauses))), None)
