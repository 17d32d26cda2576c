"""What is paused: by a person, or because an endpoint refused a login."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, null, select, update

from batchxfer.ledger import rows
from batchxfer.ledger.inspecting import Inspecting
from batchxfer.ledger.schema import pauses
from batchxfer.ledger.store import Transaction
from batchxfer.model import NoticeKind, Outlook, Pause

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_PAUSES = select(pauses).order_by(pauses.c.since, pauses.c.subject)
_PAUSE = select(pauses).where(pauses.c.subject == bindparam("the_subject")).with_for_update()
_UNTIL = update(pauses).where(pauses.c.subject == bindparam("the_subject"))
_END = delete(pauses).where(pauses.c.subject == bindparam("the_subject"))
_is_refusal = pauses.c.until.is_not(None)
_END_REFUSAL = _END.where(_is_refusal)


class SqlLedger(Inspecting):
    """ports.Ledger on SQLAlchemy Core."""

    def serve(self) -> None:
        self._store.serve()

    def outlook(self, job: str | None = None) -> Outlook:
        with self._store.read() as tx:
            runs, pauses = self._open_runs(tx, job), _pauses(tx)
            # After what was read: nothing of it is of a later instant.
            return Outlook(now=tx.now, runs=tuple(runs), pauses=pauses)

    def pauses(self) -> dict[str, Pause]:
        with self._store.ask() as tx:
            return _pauses(tx)

    def pause(self, subject: str, why: str) -> Pause:
        with self._store.write() as tx:
            fresh = self._insert_pause(tx)
            since = case((_is_refusal, fresh.excluded.since), else_=pauses.c.since)
            ours = {"why": fresh.excluded.why, "until": null(), "since": since}
            upsert: Any = fresh.on_conflict_do_update(index_elements=[pauses.c.subject], set_=ours)
            tx.connection.execute(upsert, {"subject": subject, "why": why, "since": tx.now, "until": None})
            self._tell(tx, None, "paused", subject=subject, why=why)
            # The person knows of the refused login by now.
            self._end_open(tx, [NoticeKind.FAILED], subject)
            return _pause(tx.connection.execute(_PAUSE, {"the_subject": subject}).one())

    def resume(self, subject: str) -> bool:
        with self._store.write() as tx:
            ended = tx.connection.execute(_END, {"the_subject": subject}).rowcount > 0
            if ended:
                self._tell(tx, None, "resumed", subject=subject)
                self._end_open(tx, [NoticeKind.FAILED], subject)
            return ended

    def refuse_login(self, endpoint: str, why: str, until: datetime) -> Pause:
        subject = f"@{endpoint}"
        with self._store.write() as tx:
            fresh = self._insert_pause(tx)
            later = {"why": fresh.excluded.why, "until": fresh.excluded.until}
            upsert: Any = fresh.on_conflict_do_update(index_elements=[pauses.c.subject], set_=later, where=_is_refusal)
            refused = {"subject": subject, "why": why, "since": tx.now, "until": until}
            if tx.connection.execute(upsert, refused).rowcount:
                self._tell(tx, None, "login-refused", subject=subject, why=why, until=until)
                detail = {"endpoint": endpoint, "reason": why}
                self._open_notice(tx, NoticeKind.FAILED, subject, job=None, run=None, detail=detail)
            return _pause(tx.connection.execute(_PAUSE, {"the_subject": subject}).one())

    def try_login(self, endpoint: str, until: datetime) -> Pause | None:
        which = {"the_subject": f"@{endpoint}"}
        with self._store.write() as tx:
            row = tx.connection.execute(_PAUSE, which).one_or_none()
            if row is None:
                return None
            if row.until is None or row.until > tx.now:
                return _pause(row)
            tx.connection.execute(_UNTIL, {**which, "until": until})
            return None

    def accept_login(self, endpoint: str) -> None:
        subject = f"@{endpoint}"
        with self._store.write() as tx:
            if not tx.connection.execute(_END_REFUSAL, {"the_subject": subject}).rowcount:
                return
            self._tell(tx, None, "login-accepted", subject=subject)
            if self._end_open(tx, [NoticeKind.FAILED], subject):
                self._recovered(tx, subject, None, None, {"endpoint": endpoint})

    def _insert_pause(self, tx: Transaction) -> postgresql.Insert | sqlite.Insert:
        return self._insert_new(tx, pauses)


def _pauses(tx: Transaction) -> dict[str, Pause]:
    return {row.subject: _pause(row) for row in tx.connection.execute(_PAUSES)}


def _pause(row: rows.AnyRow) -> Pause:
    return Pause(subject=row.subject, why=row.why, since=row.since, until=row.until)
