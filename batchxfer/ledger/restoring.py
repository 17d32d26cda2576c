"""A ledger that was put back from a backup: found out by what the spool remembers, and kept in mind until it is reconciled."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select

from batchxfer.errors import UsageError
from batchxfer.facts import Restored
from batchxfer.ledger import newest
from batchxfer.ledger.planning import Planning
from batchxfer.ledger.schema import events, meta
from batchxfer.ledger.store import Store, Transaction
from batchxfer.model import NoticeKind

KEY = "restored"
SUBJECT = "ledger"
_DECLARED = " declared"

_STATE = select(meta.c.value).where(meta.c.key == KEY)
_LOOK = select(
    _STATE.scalar_subquery().label("state"),
    select(events.c.at).where(events.c.id == bindparam("remembered")).scalar_subquery().label("at"),
)
_CREATED = select(meta.c.value).where(meta.c.key == "created_at")
_LAST = select(events.c.at).order_by(events.c.id.desc()).limit(1)


class Restoring(Planning):
    def __init__(self, store: Store, project: str) -> None:
        super().__init__(store, project)
        self._looking = threading.Lock()

    def restored(self) -> Restored | None:
        with self._looking:
            # What the spool remembers was committed before it was written: read it first.
            remembered = newest.read(self._store.spool)
            with self._store.ask() as tx:
                found, forgotten = look(tx, remembered)
            if found is None and forgotten:
                found = self._begin("the spool remembers an event that the ledger does not have", declared=False)
            return found

    def declare_restored(self, why: str) -> Restored:
        if not why:
            raise UsageError("a ledger is said to be restored for a reason")
        with self._looking:
            return self._begin(why, declared=True)

    def end_restored(self) -> None:
        with self._looking, self._store.write() as tx:
            tx.connection.execute(delete(meta).where(meta.c.key == KEY))
            self._tell(tx, None, "reconciled")
            self._end_open(tx, [NoticeKind.HELD], SUBJECT)
            # The spool's memory of the ledger that is lost ends here.
            self._store.memory.forget()
            tx.is_milestone = True

    def _begin(self, why: str, *, declared: bool) -> Restored:
        if self._store.is_for_reading and not declared:
            # Whoever may write will write it down.
            with self._store.read() as tx:
                return Restored(known_until=_last(tx), at=tx.now, declared=False)
        with self._store.write() as tx:
            known, _ = look(tx, None)
            if known is not None:
                return known
            found = Restored(known_until=_last(tx), at=tx.now, declared=declared)
            fresh = self._insert_new(tx, meta).on_conflict_do_nothing()
            value = f"{found.known_until.isoformat()} {found.at.isoformat()}{_DECLARED if declared else ''}"
            tx.connection.execute(fresh, {"key": KEY, "value": value})
            detail: dict[str, Any] = {"known_until": found.known_until, "reason": _reason(why)}
            self._tell(tx, None, "restored", **detail)
            self._open_notice(tx, NoticeKind.HELD, SUBJECT, job=None, run=None, detail=detail)
            self._store.memory.forget()
            return found


def look(tx: Transaction, remembered: newest.NewestEvent | None) -> tuple[Restored | None, bool]:
    """What the ledger itself says of its having been put back; whether the spool remembers an event that it does not have."""
    found = tx.connection.execute(_LOOK, {"remembered": remembered.id if remembered is not None else -1}).one()
    return _restored(found.state), remembered is not None and found.at != remembered.at


def _last(tx: Transaction) -> datetime:
    """When the newest event that the ledger has happened."""
    last = tx.connection.execute(_LAST).scalar_one_or_none()
    return last or datetime.fromisoformat(tx.connection.execute(_CREATED).scalar_one())


def _restored(value: str | None) -> Restored | None:
    if value is None:
        return None
    known_until, at, *declared = value.split(" ")
    return Restored(
        known_until=datetime.fromisoformat(known_until), at=datetime.fromisoformat(at), declared=bool(declared)
    )


def _reason(why: str) -> str:
    return f"the ledger was put back from a backup ({why}): what was due since is held until `batchxfer reconcile`"
