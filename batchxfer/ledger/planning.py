"""What the planner found, written at once: slots, their runs, and how far the job is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby

from sqlalchemy import select, update
from sqlalchemy.orm import aliased

from batchxfer.ledger import rows
from batchxfer.ledger.housekeeping import Housekeeping
from batchxfer.ledger.schema import deliveries, marks, runs
from batchxfer.ledger.store import Transaction
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

_SETTLED = (RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED)
_TO_DO = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING, DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING})

_newer = aliased(runs)
_OPEN = (
    select(runs, deliveries.c.endpoint, deliveries.c.status.label("state"), deliveries.c.retry_at.label("tried_at"))
    .outerjoin(deliveries, deliveries.c.run == runs.c.id)
    .where(
        runs.c.status.not_in(_SETTLED),
        ~select(_newer.c.id)
        .where(_newer.c.job == runs.c.job, _newer.c.slot == runs.c.slot, _newer.c.revision > runs.c.revision)
        .exists(),
    )
    .order_by(runs.c.slot, runs.c.id, deliveries.c.position)
)


class Planning(Housekeeping):
    def marks(self) -> dict[str, Mark]:
        with self._store.read() as tx:
            return {row.job: _mark(row) for row in tx.connection.execute(select(marks))}

    def record_plan(self, before: Mark | None, plan: Plan, parameters: Mapping[str, ParameterValue]) -> bool:
        with self._store.write() as tx:
            if not self._move(tx, before, plan.mark):
                return False
            planned = [self._plan_run(tx, plan.mark.job, due, parameters) for due in plan.due]
            for skipped in plan.skipped:
                self._skip_slot(tx, plan.mark.job, skipped, parameters, planned[-1] if planned else None)
            if plan.uncounted:
                self._tell(tx, None, "slots-skipped", job=plan.mark.job, count=plan.uncounted)
            return True

    def _move(self, tx: Transaction, before: Mark | None, mark: Mark) -> bool:
        values = {
            "first_seen": mark.first_seen,
            "planned_until": mark.planned_until,
            "interval_end": mark.interval_end,
        }
        if before is None:
            fresh = self._insert_new(tx, marks).values(job=mark.job, **values).on_conflict_do_nothing()
            return tx.connection.execute(fresh).rowcount > 0
        same = (marks.c.job == mark.job) & (marks.c.planned_until == before.planned_until)
        return tx.connection.execute(update(marks).where(same).values(values)).rowcount > 0

    def _plan_run(self, tx: Transaction, job: str, due: Due, parameters: Mapping[str, ParameterValue]) -> str:
        self._ensure_slot(tx, job, due)
        return self._newest(tx, job, due.slot) or self._new_run(tx, job, due.slot, 1, parameters)

    def _skip_slot(
        self, tx: Transaction, job: str, skipped: Skipped, parameters: Mapping[str, ParameterValue], into: str | None
    ) -> None:
        self._ensure_slot(tx, job, skipped.due)
        if self._newest(tx, job, skipped.due.slot) is not None:
            return
        run = self._new_run(tx, job, skipped.due.slot, 1, parameters)
        reason = f"merged into {into}" if skipped.merged and into else skipped.reason
        self._set(tx, run, status=RunStatus.SKIPPED, ending=RunStatus.SKIPPED, reason=reason)
        self._tell(tx, run, "skipped", reason=reason)

    def stop(self, claim: Claim, status: RunStatus, reason: str) -> Run:
        with self._store.write() as tx:
            job = self._claimed(tx, claim).job
            self._set(tx, claim.run, ending=status, reason=reason)
            self._tell(tx, claim.run, status, reason=reason)
            kind = NoticeKind.HELD if status is RunStatus.HELD else NoticeKind.FAILED
            self._open_notice(tx, kind, claim.run, job=job, run=claim.run, detail={"reason": reason}, anew=True)
            return self._load(tx, claim.run)

    def skip(self, claim: Claim, reason: str) -> Run:
        self.exclude(claim, reason)
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, ending=RunStatus.SKIPPED, reason=reason)
            self._tell(tx, claim.run, "skipped", reason=reason)
            return self._load(tx, claim.run)

    def open_runs(self, job: str | None = None) -> list[OpenRun]:
        with self._store.read() as tx:
            found = tx.connection.execute(_OPEN if job is None else _OPEN.where(runs.c.job == job)).all()
            return [self._open(tx, list(group)) for _, group in groupby(found, key=lambda row: row.id)]

    def _open(self, tx: Transaction, group: list[rows.AnyRow]) -> OpenRun:
        row = group[0]
        to_do = [each for each in group if each.state in _TO_DO]
        return OpenRun(
            id=row.id,
            job=row.job,
            slot=row.slot,
            status=RunStatus(row.status),
            due_at=_earliest(row.created_at, to_do) if row.endpoint or row.ending else row.created_at,
            endpoints=tuple(each.endpoint for each in to_do),
            running=self._lives(tx, row),
        )


def _earliest(created_at: datetime, to_do: Iterable[rows.AnyRow]) -> datetime | None:
    """When something may be done: a retry at its time, all else since the run is there."""
    return min((each.tried_at or created_at for each in to_do), default=None)


def _mark(row: rows.AnyRow) -> Mark:
    return Mark(job=row.job, first_seen=row.first_seen, planned_until=row.planned_until, interval_end=row.interval_end)
