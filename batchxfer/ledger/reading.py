"""The ledger's answers: one run, many, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select

from batchxfer.errors import UsageError
from batchxfer.ledger import rows
from batchxfer.ledger.records import Records
from batchxfer.ledger.schema import events, runs
from batchxfer.ledger.store import Transaction
from batchxfer.model import Event, Run, RunStatus

_SHORTEST, _LONGEST = 4, 26
_SHOWN = 5


class Reading(Records):
    def find_run(self, prefix: str) -> Run:
        wanted = prefix.strip().upper()
        if len(wanted) < _SHORTEST:
            raise UsageError(
                f"{prefix!r} is too short for a run: at least {_SHORTEST} characters of its id",
                hint="list the runs with: batchxfer runs",
            )
        with self._store.read() as tx:
            if len(wanted) == _LONGEST and (known := self._load_all(tx, [wanted])):
                return known[0]
            found = self._beginning_with(tx, wanted)
            if not found:
                raise UsageError(f"no run begins with {prefix!r}", hint="list the runs with: batchxfer runs")
            if len(found) > 1:
                raise UsageError(f"several runs begin with {prefix!r}: {_some(found)}", hint="give more of the id")
            return self._load(tx, found[0])

    def find_slot(self, job: str, slot: datetime) -> Run | None:
        with self._store.read() as tx:
            newest = self._newest(tx, job, slot)
            return None if newest is None else self._load(tx, newest)

    def runs(
        self,
        *,
        job: str | None = None,
        status: RunStatus | None = None,
        since: datetime | None = None,
        limit: int | None = 50,
    ) -> list[Run]:
        with self._store.read() as tx:
            wanted: list[ColumnElement[bool]] = []
            if job is not None:
                wanted.append(runs.c.job == job)
            if since is not None:
                wanted.append(runs.c.slot >= since)
            if status is not None:
                wanted.append(self._has_status(tx, status))
            query = select(runs.c.id).where(*wanted).order_by(runs.c.slot.desc(), runs.c.revision.desc(), runs.c.job)
            found = tx.connection.execute(query.limit(limit)).scalars().all()
            return self._load_all(tx, found)

    def events(self, run: str) -> list[Event]:
        with self._store.read() as tx:
            told = tx.connection.execute(select(events).where(events.c.run == run).order_by(events.c.id))
            return [Event(at=row.at, run=row.run, kind=row.kind, detail=row.detail) for row in told]

    def _beginning_with(self, tx: Transaction, prefix: str) -> Sequence[str]:
        if not (prefix.isascii() and prefix.isalnum()):
            return []
        # All ids are upper case letters and digits; `~` sorts after them.
        same = runs.c.id.between(prefix, prefix + "~")
        return (
            tx.connection.execute(select(runs.c.id).where(same).order_by(runs.c.id).limit(_SHOWN + 1)).scalars().all()
        )

    def _newest(self, tx: Transaction, job: str, slot: datetime) -> str | None:
        query = select(runs.c.id).where(runs.c.job == job, runs.c.slot == slot).order_by(runs.c.revision.desc())
        return tx.connection.execute(query.limit(1)).scalar_one_or_none()

    def _has_status(self, tx: Transaction, status: RunStatus) -> ColumnElement[bool]:
        """The condition for that status, also for runs whose worker ended without a word: they say `running` and are not."""
        claimed = tx.connection.execute(select(runs).where(runs.c.claim.is_not(None))).all()
        gone = [row.id for row in claimed if not self._lives(tx, row)]
        if not gone:
            return runs.c.status == status
        loaded = rows.load(tx.connection, gone, self._store.spool, lives=lambda row: False)
        matching = [run.id for run in loaded if run.status is status]
        return or_(and_(runs.c.status == status, runs.c.id.not_in(gone)), runs.c.id.in_(matching))


def _some(ids: Sequence[str]) -> str:
    more = ", …" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
