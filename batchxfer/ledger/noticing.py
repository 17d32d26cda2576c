"""What somebody is to be told, written in the transaction of the state that it tells of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import insert, select, update

from batchxfer.ids import new_id
from batchxfer.ledger import rows
from batchxfer.ledger.building import Building
from batchxfer.ledger.schema import deliveries, notices, runs
from batchxfer.ledger.store import Transaction
from batchxfer.model import DeliveryStatus, Notice, NoticeKind

_STATES = {DeliveryStatus.FAILED: NoticeKind.FAILED, DeliveryStatus.HELD: NoticeKind.HELD}
_ENDED = (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED)
_is_open = notices.c.over_at.is_(None)


class Noticing(Building):
    def note(
        self, kind: NoticeKind, subject: str, *, job: str | None, run: str | None, detail: Mapping[str, object]
    ) -> bool:
        with self._store.write() as tx:
            return self._open_notice(tx, kind, subject, job=job, run=run, detail=detail, anew=False)

    def end_note(self, kind: NoticeKind, subject: str) -> None:
        with self._store.write() as tx:
            self._end_open(tx, [kind], subject)

    def notices(self) -> list[Notice]:
        with self._store.read() as tx:
            found = tx.connection.execute(select(notices).where(_is_open).order_by(notices.c.id))
            return [_notice(row) for row in found]

    def mark_told(self, notice: str, command: str, at: datetime) -> None:
        with self._store.write() as tx:
            same = notices.c.id == notice
            row = tx.connection.execute(select(notices).where(same).with_for_update()).one_or_none()
            if row is not None:
                tx.connection.execute(update(notices).where(same).values(told_at={**row.told_at, command: at}))

    # with a delivery's state

    def _note_state(
        self, tx: Transaction, known: rows.AnyRow, status: DeliveryStatus, detail: Mapping[str, object]
    ) -> None:
        """The notices that a delivery's new state begins and ends."""
        if status in _STATES:
            kind = _STATES[status]
            self._end_open(tx, [other for other in _STATES.values() if other is not kind], known.id)
            self._open_notice(tx, kind, known.id, job=self._job(tx, known.run), run=known.run, detail=detail, anew=True)
        elif status in _ENDED:
            ended = self._end_open(tx, list(_STATES.values()), known.id)
            if self._all_ended(tx, known.run):
                ended += self._end_open(tx, list(NoticeKind), known.run)
            if ended and status is DeliveryStatus.DELIVERED:
                self._recovered(tx, known.id, self._job(tx, known.run), known.run, detail)

    def _end_notices(
        self, tx: Transaction, subject: str, *, job: str | None, run: str | None, recovered: Mapping[str, object]
    ) -> None:
        if self._end_open(tx, list(NoticeKind), subject):
            self._recovered(tx, subject, job, run, recovered)

    def _recovered(
        self, tx: Transaction, subject: str, job: str | None, run: str | None, detail: Mapping[str, object]
    ) -> None:
        self._open_notice(tx, NoticeKind.RECOVERED, subject, job=job, run=run, detail=detail, anew=True)

    def _open_notice(
        self,
        tx: Transaction,
        kind: NoticeKind,
        subject: str,
        *,
        job: str | None,
        run: str | None,
        detail: Mapping[str, object],
        anew: bool,
    ) -> bool:
        """Write it where it is not open already; `anew` tells an open one again."""
        same = _is_open & (notices.c.kind == kind) & (notices.c.subject == subject)
        known = tx.connection.execute(select(notices.c.id).where(same)).scalar_one_or_none()
        if known is None:
            fresh = {"id": new_id(tx.now), "kind": kind, "subject": subject, "job": job, "run": run, "at": tx.now}
            tx.connection.execute(insert(notices).values(**fresh, detail=dict(detail), told_at={}))
        elif anew:
            tx.connection.execute(
                update(notices).where(notices.c.id == known).values(detail=dict(detail), told_at={}, at=tx.now)
            )
        return known is None

    def _end_open(self, tx: Transaction, kinds: Sequence[NoticeKind], subject: str) -> int:
        same = _is_open & notices.c.kind.in_(kinds) & (notices.c.subject == subject)
        return tx.connection.execute(update(notices).where(same).values(over_at=tx.now)).rowcount

    def _all_ended(self, tx: Transaction, run: str) -> bool:
        left = select(deliveries.c.id).where(deliveries.c.run == run, deliveries.c.status.not_in(_ENDED))
        return tx.connection.execute(left).first() is None

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
