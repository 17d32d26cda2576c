"""What somebody is to be told, written in the transaction of the state that it tells of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import bindparam, select, update

from batchxfer.ids import new_id
from batchxfer.ledger import rows
from batchxfer.ledger.building import Building
from batchxfer.ledger.schema import deliveries, notices, runs
from batchxfer.ledger.store import Transaction
from batchxfer.model import DeliveryStatus, Notice, NoticeKind, RunStatus

_STATES = {DeliveryStatus.FAILED: NoticeKind.FAILED, DeliveryStatus.HELD: NoticeKind.HELD}
_LASTING = [kind for kind in NoticeKind if kind is not NoticeKind.RECOVERED]
_DELIVERY_ENDS = (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED)
_RUN_ENDS = (RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED)

_is_open = notices.c.over_at.is_(None)
_OPEN = select(notices).where(_is_open).order_by(notices.c.at, notices.c.id)
_NOTICE = select(notices.c.told_at).where(notices.c.id == bindparam("the_notice")).with_for_update()
_END_ONE = update(notices).where(notices.c.id == bindparam("the_notice"), notices.c.over_at.is_(None))
_TOLD = update(notices).where(notices.c.id == bindparam("the_notice"))
_END = update(notices).where(
    _is_open, notices.c.subject == bindparam("the_subject"), notices.c.kind.in_(bindparam("the_kinds", expanding=True))
)
_END_THESE = update(notices).where(notices.c.id.in_(bindparam("the_notices", expanding=True)))
_LEFT = (
    select(deliveries.c.id)
    .where(deliveries.c.run == bindparam("the_run"), deliveries.c.status.not_in(_DELIVERY_ENDS))
    .limit(1)
)

# A newer revision ends what was told of the ones before it.
_this, _earlier = runs.alias(), runs.alias()
_same_slot = (_earlier.c.job == _this.c.job) & (_earlier.c.slot == _this.c.slot)
_OPEN_OF_SLOT = select(notices.c.id, notices.c.subject).where(
    _is_open,
    notices.c.kind.in_(_LASTING),
    notices.c.run.in_(
        select(_earlier.c.id)
        .join(_this, _same_slot & (_earlier.c.revision <= _this.c.revision))
        .where(_this.c.id == bindparam("the_run"))
    ),
)


class Noticing(Building):
    def note(
        self, kind: NoticeKind, subject: str, *, job: str | None, run: str | None, detail: Mapping[str, object]
    ) -> bool:
        with self._store.write() as tx:
            # What ended since the caller looked would never be over.
            if run is not None and self._has_ended(tx, run):
                return False
            return self._open_notice(tx, kind, subject, job=job, run=run, detail=detail)

    def end_note(self, kind: NoticeKind, subject: str, *, notice: str | None = None) -> None:
        with self._store.write() as tx:
            if notice is None:
                self._end_open(tx, [kind], subject)
            else:
                tx.connection.execute(_END_ONE, {"the_notice": notice, "over_at": tx.now})

    def notices(self) -> list[Notice]:
        with self._store.read() as tx:
            return [_notice(row) for row in tx.connection.execute(_OPEN)]

    def mark_told(self, notice: str, command: str, at: datetime) -> None:
        with self._store.write() as tx:
            row = tx.connection.execute(_NOTICE, {"the_notice": notice}).one_or_none()
            if row is not None:
                tx.connection.execute(_TOLD, {"the_notice": notice, "told_at": {**row.told_at, command: at}})

    # with a delivery's state

    def _note_state(
        self, tx: Transaction, known: rows.AnyRow, status: DeliveryStatus, detail: Mapping[str, object]
    ) -> None:
        """The notices that a delivery's new state begins and ends."""
        if status in _STATES:
            # What the run was held for before it had deliveries is told of these now; and what came, or could not be looked
            # for, is no longer only missing.
            self._end_open(tx, [*_STATES.values(), NoticeKind.MISSING], known.run)
            self._end_open(tx, _STATES.values(), known.id)
            self._open_notice(tx, _STATES[status], known.id, job=self._job(tx, known.run), run=known.run, detail=detail)
        elif status in _DELIVERY_ENDS:
            was_told = self._end_of_slot(tx, known.run, known.id)
            if was_told and status is DeliveryStatus.DELIVERED:
                self._recovered(tx, known.id, self._job(tx, known.run), known.run, detail)

    def _end_of_slot(self, tx: Transaction, run: str, delivery: str | None = None) -> bool:
        """End what is told of `delivery`, and of the slot where nothing of the run is left to do; whether that was any."""
        found = tx.connection.execute(_OPEN_OF_SLOT, {"the_run": run}).all()
        if not found:
            return False
        nothing_left = tx.connection.execute(_LEFT, {"the_run": run}).first() is None
        over = [row.id for row in found if nothing_left or row.subject == delivery]
        if over:
            tx.connection.execute(_END_THESE, {"the_notices": over, "over_at": tx.now})
        return bool(over)

    def _recovered(
        self, tx: Transaction, subject: str, job: str | None, run: str | None, detail: Mapping[str, object]
    ) -> None:
        self._end_open(tx, [NoticeKind.RECOVERED], subject)
        self._open_notice(tx, NoticeKind.RECOVERED, subject, job=job, run=run, detail=detail)

    def _open_notice(
        self,
        tx: Transaction,
        kind: NoticeKind,
        subject: str,
        *,
        job: str | None,
        run: str | None,
        detail: Mapping[str, object],
    ) -> bool:
        """Write it where it is not open already; whether it was written. To tell an open one again, end it first."""
        fresh = {"id": new_id(tx.now), "kind": kind, "subject": subject, "job": job, "run": run, "at": tx.now}
        insertion = self._insert_new(tx, notices).on_conflict_do_nothing(
            index_elements=[notices.c.kind, notices.c.subject], index_where=_is_open
        )
        return tx.connection.execute(insertion, {**fresh, "detail": dict(detail), "told_at": {}}).rowcount > 0

    def _end_open(self, tx: Transaction, kinds: Collection[NoticeKind], subject: str) -> bool:
        which = {"the_subject": subject, "the_kinds": list(kinds)}
        return tx.connection.execute(_END, {**which, "over_at": tx.now}).rowcount > 0

    def _has_ended(self, tx: Transaction, run: str) -> bool:
        """Whether nothing of the run is left to do, its worker's last words aside."""
        row = self._locked(tx, run)
        if row.status in _RUN_ENDS or row.ending in _RUN_ENDS:
            return True
        begun = select(deliveries.c.id).where(deliveries.c.run == run).limit(1)
        has_deliveries = tx.connection.execute(begun).first() is not None
        return has_deliveries and tx.connection.execute(_LEFT, {"the_run": run}).first() is None

    def _job(self, tx: Transaction, run: str) -> str:
        return str(tx.connection.execute(select(runs.c.job).where(runs.c.id == run)).scalar_one())


def _notice(row: rows.AnyRow) -> Notice:
    return Notice(
        id=row.id,
        kind=NoticeKind(row.kind),
        at=row.at,
        job=row.job,
        run=row.run,
        subject=row.subject,
        detail=row.detail,
        told_at=row.told_at,
        over_at=row.over_at,
    )
