"""Keeping house: which artifacts may go, which files are ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import exists, or_, select, update

from batchxfer.ledger.delivering import Delivering
from batchxfer.ledger.schema import artifacts, deliveries, runs
from batchxfer.model import Artifact, DeliveryStatus, Run

_ENDED = (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED)


class Housekeeping(Delivering):
    def add_event(self, run: str | None, kind: str, detail: Mapping[str, object]) -> None:
        with self._store.write() as tx:
            self._write_event(tx, run, kind, detail)

    def prunable(self, before: datetime) -> list[tuple[Run, Artifact]]:
        now = self.now()
        of_run = deliveries.c.run == artifacts.c.run
        unended = or_(
            deliveries.c.status.not_in(_ENDED), deliveries.c.settled_at.is_(None), deliveries.c.settled_at >= before
        )
        query = (
            select(artifacts.c.run)
            .join(runs, runs.c.id == artifacts.c.run)
            .where(
                artifacts.c.dropped_at.is_(None),
                artifacts.c.pruned_at.is_(None),
                or_(runs.c.claim.is_(None), runs.c.lease_until < now),
                exists().where(of_run),
                ~exists().where(of_run, unended),
            )
            .order_by(artifacts.c.id)
        )
        with self._store.read() as tx:
            found = tx.connection.execute(query).scalars().all()
            loaded = self._load_all(tx, found)
            return [(run, run.artifact) for run in loaded if run.artifact is not None]

    def mark_pruned(self, artifact: str) -> None:
        with self._store.write() as tx:
            row = tx.connection.execute(select(artifacts).where(artifacts.c.id == artifact)).one_or_none()
            if row is None:
                raise ValueError(f"no artifact {artifact}")
            if row.pruned_at is None:
                tx.connection.execute(update(artifacts).where(artifacts.c.id == artifact).values(pruned_at=tx.now))
                self._tell(tx, row.run, "pruned", artifact=artifact, path=row.path)

    def artifact_paths(self) -> set[Path]:
        query = select(artifacts.c.path).where(artifacts.c.pruned_at.is_(None), artifacts.c.dropped_at.is_(None))
        with self._store.read() as tx:
            return {self._store.spool / path for path in tx.connection.execute(query).scalars()}
