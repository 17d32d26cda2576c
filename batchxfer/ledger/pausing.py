"""What is paused: by a person, or because an endpoint refused a login."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select, update

from batchxfer.ledger import rows
from batchxfer.ledger.planning import Planning
from batchxfer.ledger.schema import pauses
from batchxfer.ledger.store import Transaction
from batchxfer.model import NoticeKind, Pause


class SqlLedger(Planning):
    """ports.Ledger on SQLAlchemy Core."""

    def serve(self) -> None:
        self._store.serve()

    def pauses(self) -> dict[str, Pause]:
        with self._store.read() as tx:
            found = tx.connection.execute(select(pauses).order_by(pauses.c.since))
            return {row.subject: _pause(row) for row in found}

    def pause(self, subject: str, why: str) -> Pause:
        with self._store.write() as tx:
            known = self._pause(tx, subject)
            since = tx.now if known is None or known.until is not None else known.since
            self._write_pause(tx, known, Pause(subject=subject, why=why, since=since))
            self._tell(tx, None, "paused", subject=subject, why=why)
            return Pause(subject=subject, why=why, since=since)

    def resume(self, subject: str) -> bool:
        with self._store.write() as tx:
            ended = tx.connection.execute(delete(pauses).where(pauses.c.subject == subject)).rowcount > 0
            if ended:
                self._tell(tx, None, "resumed", subject=subject)
            return ended

    def refuse_login(self, endpoint: str, why: str, until: datetime) -> Pause:
        subject = f"@{endpoint}"
        with self._store.write() as tx:
            known = self._pause(tx, subject)
            if known is not None and known.until is None:
                return known
            pause = Pause(subject=subject, why=why, since=known.since if known else tx.now, until=until)
            self._write_pause(tx, known, pause)
            self._tell(tx, None, "login-refused", subject=subject, why=why, until=until)
            self._open_notice(tx, NoticeKind.FAILED, subject, job=None, run=None, detail={"reason": why}, anew=False)
            return pause

    def try_login(self, endpoint: str, until: datetime) -> Pause | None:
        with self._store.write() as tx:
            known = self._pause(tx, f"@{endpoint}")
            if known is None:
                return None
            if known.until is None or known.until > tx.now:
                return known
            tx.connection.execute(update(pauses).where(pauses.c.subject == known.subject).values(until=until))
            return None

    def accept_login(self, endpoint: str) -> None:
        subject = f"@{endpoint}"
        with self._store.write() as tx:
            refused = (pauses.c.subject == subject) & pauses.c.until.is_not(None)
            if tx.connection.execute(delete(pauses).where(refused)).rowcount:
                self._tell(tx, None, "login-accepted", subject=subject)
                self._end_notices(tx, subject, job=None, run=None, recovered={"endpoint": endpoint})

    def _pause(self, tx: Transaction, subject: str) -> Pause | None:
        row = tx.connection.execute(select(pauses).where(pauses.c.subject == subject).with_for_update()).one_or_none()
        return None if row is None else _pause(row)

    def _write_pause(self, tx: Transaction, known: Pause | None, pause: Pause) -> None:
        values = {"why": pause.why, "since": pause.since, "until": pause.until}
        if known is None:
            tx.connection.execute(insert(pauses).values(subject=pause.subject, **values))
        else:
            tx.connection.execute(update(pauses).where(pauses.c.subject == pause.subject).values(values))


def _pause(row: rows.AnyRow) -> Pause:
    return Pause(subject=row.subject, why=row.why, since=row.since, until=row.until)
