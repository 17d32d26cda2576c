"""What is due, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, insert, select, update

from batchxfer.errors import BusyError
from batchxfer.ids import new_id
from batchxfer.ledger import rows
from batchxfer.ledger.reading import Reading
from batchxfer.ledger.schema import attempts, deliveries, runs, slots
from batchxfer.ledger.store import Haste, Transaction
from batchxfer.model import Claim, DeliveryStatus, Due, Outcome, ParameterValue, Run, RunStatus
from batchxfer.ports import LEASE

_STILL_DUE = (DeliveryStatus.PENDING, DeliveryStatus.RETRYING, DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING)


class Claims(Reading):
    # what is due

    def ensure_run(self, job: str, due: Due, parameters: Mapping[str, ParameterValue]) -> Run:
        with self._store.write() as tx:
            self._ensure_slot(tx, job, due)
            newest = self._newest(tx, job, due.slot)
            return self._load(tx, newest or self._new_run(tx, job, due.slot, 1, parameters))

    def add_revision(self, run: str) -> Run:
        with self._store.write() as tx:
            known = self._locked(tx, run)
            slot = (slots.c.job == known.job) & (slots.c.slot == known.slot)
            tx.connection.execute(select(slots.c.job).where(slot).with_for_update())
            same = (runs.c.job == known.job) & (runs.c.slot == known.slot)
            newest = tx.connection.execute(select(func.max(runs.c.revision)).where(same)).scalar_one()
            return self._load(tx, self._new_run(tx, known.job, known.slot, newest + 1, known.parameters))

    def set_parameters(self, claim: Claim, parameters: Mapping[str, ParameterValue]) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, parameters=dict(parameters))
            self._tell(tx, claim.run, "parameters", parameters=parameters)
            return self._load(tx, claim.run)

    def _ensure_slot(self, tx: Transaction, job: str, due: Due) -> None:
        values = {
            "job": job,
            "slot": due.slot,
            "interval_start": due.interval_start,
            "interval_end": due.interval_end,
            "business_date": due.business_date,
            "created_at": tx.now,
        }
        tx.connection.execute(self._insert_new(tx, slots).values(values).on_conflict_do_nothing())
        same = (slots.c.job == job) & (slots.c.slot == due.slot)
        tx.connection.execute(select(slots.c.job).where(same).with_for_update())

    def _new_run(
        self, tx: Transaction, job: str, slot: datetime, revision: int, parameters: Mapping[str, ParameterValue]
    ) -> str:
        identifier = new_id(tx.now)
        tx.connection.execute(
            insert(runs).values(
                id=identifier,
                job=job,
                slot=slot,
                revision=revision,
                status=RunStatus.PENDING,
                parameters=dict(parameters),
                guard_released=False,
                created_at=tx.now,
            )
        )
        self._tell(tx, identifier, "created", job=job, slot=slot, revision=revision)
        return identifier

    # claiming

    def claim(self, run: str, owner: str) -> Claim:
        if self._store.hold(owner):
            self._sweep()
        with self._store.write(Haste.SERVER) as tx:
            known = self._locked(tx, run)
            if self._lives(tx, known):
                raise BusyError(
                    f"run {run} is being worked on by {known.owner}, since {known.claimed_at.isoformat(timespec='seconds')}",
                    hint="wait until it has ended",
                )
            if known.claim is not None:
                self._take_over(tx, known)
            token = new_id(tx.now)
            self._set(
                tx,
                run,
                claim=token,
                owner=owner,
                claimed_at=tx.now,
                lease_until=tx.now + LEASE,
                status=RunStatus.RUNNING,
            )
            self._tell(tx, run, "claimed", owner=owner)
            return Claim(run=run, token=token, owner=owner)

    def renew(self, claim: Claim) -> None:
        with self._store.write(Haste.SERVER) as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, lease_until=tx.now + LEASE)

    def let_go(self, claim: Claim) -> Run:
        with self._store.write(Haste.SERVER) as tx:
            known = self._claimed(tx, claim)
            self._abandon(tx, known)
            run = rows.load(tx.connection, [claim.run], self._store.spool, lives=lambda row: False)[0]
            standing = {"status": run.status, "reason": run.reason, "retry_at": run.retry_at}
            self._set(tx, claim.run, claim=None, owner=None, claimed_at=None, lease_until=None, **standing)
            self._tell(tx, claim.run, "let-go", **standing)
            return run

    def _take_over(self, tx: Transaction, known: rows.AnyRow) -> None:
        """End what the claim that is gone left open. Its deliveries stay `sending` or `publishing`: that is the intent, from
        which the next attempt finds out what happened. Each uses up one retry, also one that was sent while it was built."""
        endpoints = self._abandon(tx, known)
        if endpoints:
            spent = (deliveries.c.run == known.id) & deliveries.c.status.in_(_STILL_DUE)
            if None not in endpoints:
                spent &= deliveries.c.endpoint.in_(endpoints)
            tx.connection.execute(update(deliveries).where(spent).values(retries=deliveries.c.retries + 1))
        self._tell(tx, known.id, "taken-over", owner=known.owner)

    def _abandon(self, tx: Transaction, known: rows.AnyRow) -> list[str | None]:
        """End the open attempts, and return their endpoints."""
        is_open = (attempts.c.run == known.id) & attempts.c.ended_at.is_(None)
        found = tx.connection.execute(select(attempts).where(is_open).order_by(attempts.c.id)).all()
        if found:
            ending = {"ended_at": tx.now, "outcome": Outcome.ABANDONED}
            tx.connection.execute(update(attempts).where(is_open).values(ending))
        for row in found:
            self._tell(tx, known.id, "attempt-ended", attempt=row.id, endpoint=row.endpoint, outcome=Outcome.ABANDONED)
        return [row.endpoint for row in found]

    # the end

    def close(self) -> None:
        self._store.close(self._claiming)

    def _sweep(self) -> None:
        self._store.sweep(self._claiming())

    def _claiming(self) -> set[str]:
        with self._store.read() as tx:
            return set(tx.connection.execute(select(runs.c.owner).where(runs.c.owner.is_not(None))).scalars())
