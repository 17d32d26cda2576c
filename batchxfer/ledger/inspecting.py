"""What the ledger says of itself, for a person who looks for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import func, select, text

from batchxfer.facts import Claimed, KnownFile, LedgerFacts
from batchxfer.ledger import newest
from batchxfer.ledger.restoring import Restoring, look
from batchxfer.ledger.schema import VERSION_TABLE, artifacts, attempts, events, marks, pauses, runs
from batchxfer.ledger.store import Transaction
from batchxfer.model import RunStatus
from batchxfer.ports import LEASE

_SETTLED = (RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED)
# Two clocks are never the same to the second.
_TOLERANCE = timedelta(seconds=5)

_FILES = (
    select(artifacts.c.run, artifacts.c.path, artifacts.c.bytes, artifacts.c.sha256, runs.c.job, runs.c.status)
    .join(runs, runs.c.id == artifacts.c.run)
    .where(artifacts.c.pruned_at.is_(None), artifacts.c.dropped_at.is_(None))
    .order_by(artifacts.c.id)
)
_CLAIMS = select(runs).where(runs.c.claim.is_not(None)).order_by(runs.c.id)


class Inspecting(Restoring):
    def inspect(self) -> LedgerFacts:
        damage = self._store.damage()
        # What the spool remembers was committed before it was written: read it first.
        remembered = newest.read(self._store.spool)
        with self._store.read() as tx:
            restored, forgets = look(tx, remembered)
            return LedgerFacts(
                where=self._store.where,
                version=str(tx.connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()),  # noqa: S608
                project=self.project_id,
                now=tx.now,
                runs=tx.connection.execute(select(func.count()).select_from(runs)).scalar_one(),
                newest_event=tx.connection.execute(
                    select(events.c.at).order_by(events.c.id.desc()).limit(1)
                ).scalar_one_or_none(),
                damage=damage,
                files=tuple(self._files(tx)),
                claims=tuple(self._claims(tx)),
                ahead=tuple(_ahead(tx, tx.now + _TOLERANCE)),
                serving=self._store.is_served(),
                path=self._store.file,
                restored=restored,
                forgets=forgets,
            )

    def _files(self, tx: Transaction) -> Iterator[KnownFile]:
        for row in tx.connection.execute(_FILES):
            path, settled = self._store.spool / row.path, row.status in _SETTLED
            yield KnownFile(run=row.run, job=row.job, path=path, bytes=row.bytes, sha256=row.sha256, settled=settled)

    def _claims(self, tx: Transaction) -> Iterator[Claimed]:
        for row in tx.connection.execute(_CLAIMS):
            lives = self._lives(tx, row)
            yield Claimed(run=row.id, job=row.job, owner=row.owner, lease_until=row.lease_until, lives=lives)


def _ahead(tx: Transaction, limit: datetime) -> Iterator[tuple[str, str, datetime]]:
    """What lies after `limit`, the newest of each kind."""
    queries = (
        ("mark", select(marks.c.job, marks.c.planned_until).where(marks.c.planned_until > limit)),
        (
            "lease",
            select(runs.c.id, runs.c.lease_until).where(runs.c.claim.is_not(None), runs.c.lease_until > limit + LEASE),
        ),
        ("attempt", select(attempts.c.run, attempts.c.started_at).where(attempts.c.started_at > limit)),
        ("run", select(runs.c.id, runs.c.created_at).where(runs.c.created_at > limit)),
        ("pause", select(pauses.c.subject, pauses.c.since).where(pauses.c.since > limit)),
    )
    for what, query in queries:
        for which, at in tx.connection.execute(query.limit(100)):
            yield what, which, at
