"""What the planner found, written at once: slots, their runs, and how far the job is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from sqlalchemy import bindparam, insert, select, update

from batchxfer.ids import new_id
from batchxfer.ledger import rows
from batchxfer.ledger.housekeeping import Housekeeping
from batchxfer.ledger.schema import deliveries, marks, runs, slots
from batchxfer.ledger.store import Haste, Transaction
from batchxfer.model import (
    Claim,
    DeliveryStatus,
    Due,
    Mark,
    NoticeKind,
    OpenRun,
    ParameterValue,
    Plan,
    Run,
    RunStatus,
    Skipped,
)

_SETTLED = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED})
_UNSETTLED = [status for status in RunStatus if status not in _SETTLED]
_TO_DO = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING, DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING})
_STOPS = {RunStatus.HELD: NoticeKind.HELD, RunStatus.FAILED: NoticeKind.FAILED}

_newer = runs.alias()
# The states that are wanted, not those that are not: so the index over them finds a few runs among millions.
_OPEN = (
    select(
        *(runs.c.id, runs.c.job, runs.c.slot, runs.c.ending, runs.c.created_at),
        *(runs.c.claim, runs.c.owner, runs.c.lease_until),
        *(deliveries.c.endpoint, deliveries.c.status.label("state"), deliveries.c.retry_at),
    )
    .outerjoin(deliveries, deliveries.c.run == runs.c.id)
    .where(
        runs.c.status.in_(_UNSETTLED),
        ~select(_newer.c.id)
        .where(_newer.c.job == runs.c.job, _newer.c.slot == runs.c.slot, _newer.c.revision > runs.c.revision)
        .exists(),
    )
    .order_by(runs.c.slot, runs.c.id, deliveries.c.position)
)
_OPEN_OF_JOB = _OPEN.where(runs.c.job == bindparam("the_job"))

_MARKS = select(marks)
_MOVE = update(marks).where(
    marks.c.job == bindparam("the_job"),
    marks.c.first_seen == bindparam("seen_before"),
    marks.c.planned_until == bindparam("until_before"),
    marks.c.interval_end.is_not_distinct_from(bindparam("end_before", type_=marks.c.interval_end.type)),
)
# Only this transaction can see a slot that has no run yet.
_WITHOUT_RUN = (
    select(slots.c.slot)
    .outerjoin(runs, (runs.c.job == slots.c.job) & (runs.c.slot == slots.c.slot))
    .where(
        slots.c.job == bindparam("the_job"),
        slots.c.slot.between(bindparam("first"), bindparam("last")),
        runs.c.id.is_(None),
    )
)
_NEW_RUN = insert(runs)


class Planning(Housekeeping):
    def marks(self) -> dict[str, Mark]:
        with self._store.read() as tx:
            return {row.job: _mark(row) for row in tx.connection.execute(_MARKS)}

    def record_plan(self, before: Mark | None, plan: Plan, parameters: Mapping[str, ParameterValue]) -> bool:
        # What follows from a mark is planned again from it. When a job was first seen follows from nothing.
        with self._store.write(Haste.NONE if before is None else Haste.SERVER) as tx:
            if not self._move(tx, before, plan.mark):
                return False
            job = plan.mark.job
            made = self._plan_runs(tx, job, plan.due, parameters)
            if plan.skipped:
                self._skip_slots(tx, plan, made, parameters)
            if plan.uncounted:
                self._tell(tx, None, "slots-skipped", job=job, count=plan.uncounted)
            return True

    def _move(self, tx: Transaction, before: Mark | None, mark: Mark) -> bool:
        if before is None:
            fresh = self._insert_new(tx, marks).on_conflict_do_nothing()
            return tx.connection.execute(fresh, {"job": mark.job, **_values(mark)}).rowcount > 0
        return tx.connection.execute(_MOVE, _moved(before, mark)).rowcount > 0

    def move_marks(self, moved: Iterable[tuple[Mark, Mark]]) -> None:
        pairs = [_moved(before, mark) for before, mark in moved]
        if pairs:
            with self._store.write(Haste.SERVER) as tx:
                tx.connection.execute(_MOVE, pairs)

    def _plan_runs(
        self,
        tx: Transaction,
        job: str,
        due: Sequence[Due],
        parameters: Mapping[str, ParameterValue],
        skipped: Mapping[datetime, str] | None = None,
    ) -> dict[datetime, str]:
        """New runs for those slots that the ledger does not have: their ids by slot. `skipped` gives the reasons for which
        they are not to run."""
        if not due:
            return {}
        fresh = [
            {
                "job": job,
                "slot": each.slot,
                "interval_start": each.interval_start,
                "interval_end": each.interval_end,
                "business_date": each.business_date,
                "created_at": tx.now,
            }
            for each in sorted(due, key=lambda each: each.slot)
        ]
        tx.connection.execute(self._insert_new(tx, slots).on_conflict_do_nothing(), fresh)
        between = {"the_job": job, "first": fresh[0]["slot"], "last": fresh[-1]["slot"]}
        made = {slot: new_id(tx.now) for slot in tx.connection.execute(_WITHOUT_RUN, between).scalars()}
        if made:
            self._write_runs(tx, job, made, parameters, skipped or {})
        return made

    def _write_runs(
        self,
        tx: Transaction,
        job: str,
        made: Mapping[datetime, str],
        parameters: Mapping[str, ParameterValue],
        skipped: Mapping[datetime, str],
    ) -> None:
        shared = {"job": job, "revision": 1, "parameters": dict(parameters), "guard_released": False}
        written, told = [], []
        for slot, run in sorted(made.items()):
            reason = skipped.get(slot)
            status, ending = (RunStatus.SKIPPED, RunStatus.SKIPPED) if reason else (RunStatus.PENDING, None)
            state = {"status": status, "ending": ending, "reason": reason, "created_at": tx.now}
            written.append({**shared, "id": run, "slot": slot, **state})
            told.append((run, "created", {"job": job, "slot": slot, "revision": 1}))
            if reason:
                told.append((run, "skipped", {"reason": reason}))
        tx.connection.execute(_NEW_RUN, written)
        self._write_events(tx, told)

    def _skip_slots(
        self, tx: Transaction, plan: Plan, made: Mapping[datetime, str], parameters: Mapping[str, ParameterValue]
    ) -> None:
        job = plan.mark.job
        into = made.get(plan.due[-1].slot) if plan.due else None
        skipped = sorted(plan.skipped, key=lambda each: each.due.slot)
        if into is None and plan.due:
            into, skipped = self._merge_before(tx, job, plan.due[-1], skipped, parameters)
        reasons = {
            each.due.slot: f"merged into {into}" if each.merged and into else each.reason or "skipped"
            for each in skipped
        }
        self._plan_runs(tx, job, [each.due for each in skipped], parameters, reasons)

    def _merge_before(
        self, tx: Transaction, job: str, whole: Due, skipped: list[Skipped], parameters: Mapping[str, ParameterValue]
    ) -> tuple[str | None, list[Skipped]]:
        """Where the slot of `whole` was run by hand, over its own interval only, the one before it takes what is left."""
        for heir in [each for each in reversed(skipped) if each.merged]:
            due = replace(heir.due, interval_start=min(whole.interval_start, heir.due.interval_start))
            if made := self._plan_runs(tx, job, [due], parameters):
                return made[due.slot], [each for each in skipped if each is not heir]
        return None, skipped

    def stop(self, claim: Claim, status: RunStatus, reason: str) -> Run:
        if status not in _STOPS or not reason:
            raise ValueError(f"a run stops as held or failed, for a reason; not {status}, {reason!r}")
        with self._store.write() as tx:
            job = self._claimed(tx, claim).job
            if tx.connection.execute(select(deliveries.c.id).where(deliveries.c.run == claim.run)).first() is not None:
                raise ValueError(f"run {claim.run} has deliveries: each of them is settled")
            self._set(tx, claim.run, ending=status, reason=reason)
            self._tell(tx, claim.run, status, reason=reason)
            self._end_open(tx, _STOPS.values(), claim.run)
            self._open_notice(tx, _STOPS[status], claim.run, job=job, run=claim.run, detail={"reason": reason})
            return self._load(tx, claim.run)

    def skip(self, claim: Claim, reason: str) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._exclude_deliveries(tx, claim.run, reason)
            self._end_run(tx, claim.run, RunStatus.SKIPPED, reason)
            return self._load(tx, claim.run)

    def open_runs(self, job: str | None = None) -> list[OpenRun]:
        with self._store.read() as tx:
            return self._open_runs(tx, job)

    def _open_runs(self, tx: Transaction, job: str | None) -> list[OpenRun]:
        query, which = (_OPEN, {}) if job is None else (_OPEN_OF_JOB, {"the_job": job})
        found: list[rows.AnyRow] = list(tx.connection.execute(query, which))
        grouped = [self._open(tx, list(group)) for _, group in groupby(found, key=lambda row: row.id)]
        # A worker that ended without a word may have settled all there was.
        return [run for run in grouped if run.status not in _SETTLED]

    def _open(self, tx: Transaction, group: list[rows.AnyRow]) -> OpenRun:
        row = group[0]
        states = [DeliveryStatus(each.state) for each in group if each.endpoint is not None]
        to_do = [each for each in group if each.state in _TO_DO]
        running = self._lives(tx, row)
        waits = [each.retry_at or row.created_at for each in to_do]
        if not states and row.ending in (None, RunStatus.MISSING):
            # Nobody has begun it yet.
            waits = [row.created_at]
        return OpenRun(
            id=row.id,
            job=row.job,
            slot=row.slot,
            status=rows.status_of(states, running=running, ending=row.ending),
            due_at=min(waits, default=None),
            endpoints=tuple(each.endpoint for each in to_do),
            claim=Claim(run=row.id, token=row.claim, owner=row.owner) if running else None,
        )


def _mark(row: rows.AnyRow) -> Mark:
    return Mark(job=row.job, first_seen=row.first_seen, planned_until=row.planned_until, interval_end=row.interval_end)


def _values(mark: Mark) -> dict[str, object]:
    return {"first_seen": mark.first_seen, "planned_until": mark.planned_until, "interval_end": mark.interval_end}


def _moved(before: Mark, mark: Mark) -> dict[str, object]:
    """What moves a mark that is still `before`."""
    if before.job != mark.job:
        raise ValueError(f"a plan of job {mark.job!r} cannot follow the mark of job {before.job!r}")
    known = {
        "the_job": before.job,
        "seen_before": before.first_seen,
        "until_before": before.planned_until,
        "end_before": before.interval_end,
    }
    return {**known, **_values(mark)}
