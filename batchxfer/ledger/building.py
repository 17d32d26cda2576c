"""A run from its first claim to its artifact: what it does, its attempts, the file that was built."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson
from sqlalchemy import bindparam, delete, func, insert, select, update

from batchxfer.errors import ErrorInfo, OwnershipLost
from batchxfer.ids import new_id
from batchxfer.ledger import rows, typed
from batchxfer.ledger.claims import Claims
from batchxfer.ledger.records import fields
from batchxfer.ledger.schema import artifacts, attempts, deliveries, delivery_files, snapshots
from batchxfer.ledger.store import Haste, Transaction
from batchxfer.model import Artifact, Attempt, Claim, DeliveryStatus, FileStatus, Outcome, Run, Snapshot
from batchxfer.ports import PlannedDelivery

_ENDED = (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED)


_same_endpoint = func.coalesce(attempts.c.endpoint, "") == bindparam("the_endpoint")
_delivery_to = select(deliveries.c.id).where(
    deliveries.c.run == bindparam("the_run"), deliveries.c.endpoint == bindparam("the_endpoint")
)
_COUNTS = select(
    func.count(),
    func.count().filter(_same_endpoint),
    func.count().filter(_same_endpoint, attempts.c.ended_at.is_(None)),
    _delivery_to.scalar_subquery(),
).where(attempts.c.run == bindparam("the_run"))
_BEGIN = insert(attempts)
_ATTEMPT = select(attempts).where(
    attempts.c.id == bindparam("the_attempt"),
    attempts.c.run == bindparam("the_run"),
    attempts.c.claim == bindparam("the_token"),
)
_ANY_ATTEMPT = select(attempts.c.id).where(attempts.c.id == bindparam("the_attempt"))
_END = update(attempts).where(attempts.c.id == bindparam("the_attempt"))
_FORGET = update(artifacts).where(artifacts.c.run == bindparam("the_run"), artifacts.c.dropped_at.is_(None))


class Building(Claims):
    # what the run does

    def adopt(self, claim: Claim, snapshot: Snapshot, deliveries: Sequence[PlannedDelivery]) -> Run:
        _refuse_doubles(deliveries)
        with self._store.write(Haste.POWER) as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, snapshot=self._keep_snapshot(tx, snapshot), ending=None, reason=None)
            self._plan_deliveries(tx, claim.run, deliveries)
            endpoints = [planned.endpoint for planned in deliveries]
            self._tell(tx, claim.run, "adopted", digest=snapshot.digest, endpoints=endpoints)
            return self._load(tx, claim.run)

    def _keep_snapshot(self, tx: Transaction, snapshot: Snapshot) -> str:
        texts = [typed.storable(text) for text in (snapshot.query, snapshot.format, snapshot.file, snapshot.digest)]
        identifier = hashlib.sha256(orjson.dumps(texts)).hexdigest()
        known = tx.connection.execute(select(snapshots.c.id).where(snapshots.c.id == identifier)).first()
        if known is None:
            values = dict(zip(("query", "format", "file", "digest"), texts, strict=True), id=identifier)
            tx.connection.execute(self._insert_new(tx, snapshots).values(values).on_conflict_do_nothing())
        return identifier

    def _plan_deliveries(self, tx: Transaction, run: str, planned: Sequence[PlannedDelivery]) -> None:
        known = {row.endpoint: row for row in tx.connection.execute(select(deliveries).where(deliveries.c.run == run))}
        fixed = {name for name, row in known.items() if row.begun_at is not None or row.status in _ENDED}
        wanted = {delivery.endpoint for delivery in planned}
        stale = [row.id for name, row in known.items() if name not in fixed]
        unwanted = [row.id for name, row in known.items() if name not in fixed | wanted]
        if stale:
            tx.connection.execute(delete(delivery_files).where(delivery_files.c.delivery.in_(stale)))
        if unwanted:
            tx.connection.execute(delete(deliveries).where(deliveries.c.id.in_(unwanted)))
        for position, delivery in enumerate(planned):
            row = known.get(delivery.endpoint)
            if delivery.endpoint not in fixed:
                self._plan(tx, run, position, delivery, None if row is None else row.id)

    def _plan(self, tx: Transaction, run: str, position: int, planned: PlannedDelivery, known: str | None) -> None:
        place = {"position": position, "path": planned.files[0][1]}
        identifier = known or new_id(tx.now)
        if known:
            tx.connection.execute(update(deliveries).where(deliveries.c.id == known).values(place))
        else:
            fresh = {"id": identifier, "run": run, "endpoint": planned.endpoint, "retries": 0}
            tx.connection.execute(insert(deliveries).values(**fresh, **place, status=DeliveryStatus.PENDING))
        files = [
            {
                "delivery": identifier,
                "role": role,
                "position": number,
                "path": path,
                "status": FileStatus.PENDING,
                "created": False,
            }
            for number, (role, path) in enumerate(planned.files)
        ]
        tx.connection.execute(insert(delivery_files), files)

    # attempts

    def begin_attempt(self, claim: Claim, endpoint: str | None) -> Attempt:
        with self._store.write(Haste.SERVER) as tx:
            self._claimed(tx, claim)
            which = {"the_run": claim.run, "the_endpoint": endpoint or ""}
            tries, before, still_open, delivery = tx.connection.execute(_COUNTS, which).one()
            if endpoint is not None and delivery is None:
                raise ValueError(f"run {claim.run} has no delivery to {endpoint!r}")
            if still_open:
                raise ValueError(f"run {claim.run} has an open attempt at {endpoint or 'its build'} already")
            attempt = Attempt(id=new_id(tx.now), number=before + 1, endpoint=endpoint, started_at=tx.now)
            begun = {"id": attempt.id, "endpoint": endpoint, "number": attempt.number, "started_at": tx.now}
            tx.connection.execute(_BEGIN, {**begun, "run": claim.run, "position": tries, "claim": claim.token})
            self._tell(tx, claim.run, "attempt-began", attempt=attempt.id, endpoint=endpoint, number=attempt.number)
            return attempt

    def end_attempt(self, claim: Claim, attempt: str, outcome: Outcome, error: ErrorInfo | None = None) -> None:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._end(tx, claim, attempt, outcome, error)

    def _end(
        self, tx: Transaction, claim: Claim, attempt: str, outcome: Outcome, error: ErrorInfo | None
    ) -> rows.AnyRow:
        """End the attempt; ended in the same way already, it stays as it is. Returns its row as it was."""
        which = {"the_attempt": attempt, "the_run": claim.run, "the_token": claim.token}
        row = tx.connection.execute(_ATTEMPT, which).one_or_none()
        if row is None:
            raise self._unknown(tx, claim, attempt)
        if row.outcome not in (None, outcome):
            raise ValueError(f"attempt {attempt} has ended already: {row.outcome}, not {outcome}")
        if row.outcome is None:
            ending = {"ended_at": tx.now, "outcome": outcome, "error": fields(error)}
            tx.connection.execute(_END, {"the_attempt": attempt, **ending})
            self._tell(
                tx,
                claim.run,
                "attempt-ended",
                attempt=attempt,
                endpoint=row.endpoint,
                outcome=outcome,
                error=fields(error),
            )
        return row

    def _unknown(self, tx: Transaction, claim: Claim, attempt: str) -> Exception:
        if tx.connection.execute(_ANY_ATTEMPT, {"the_attempt": attempt}).first() is not None:
            return ValueError(f"attempt {attempt} is not of this claim on run {claim.run}")
        return OwnershipLost(
            f"the ledger has forgotten the attempt {attempt} of run {claim.run}: its database ended meanwhile",
            hint=f"it is tried again; see what became of it with: batchxfer show {claim.run}",
        )

    # the artifact

    def record_artifact(self, claim: Claim, attempt: str, artifact: Artifact) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            if self._end(tx, claim, attempt, Outcome.BUILT, None).endpoint is not None:
                raise ValueError(f"attempt {attempt} is a delivery's, not a build")
            self._forget_artifact(tx, claim.run)
            tx.connection.execute(
                insert(artifacts).values(
                    id=artifact.id,
                    run=claim.run,
                    path=rows.artifact_path(artifact.path, self._store.spool),
                    rows=artifact.rows,
                    bytes=artifact.bytes,
                    sha256=artifact.sha256,
                    created_at=artifact.created_at,
                    pruned_at=artifact.pruned_at,
                )
            )
            told = {"artifact": artifact.id, "rows": artifact.rows, "bytes": artifact.bytes, "sha256": artifact.sha256}
            self._tell(tx, claim.run, "built", **told)
            return self._load(tx, claim.run)

    def drop_artifact(self, claim: Claim) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, guard_released=False)
            if self._forget_artifact(tx, claim.run):
                self._tell(tx, claim.run, "artifact-dropped")
            return self._load(tx, claim.run)

    def release_guard(self, claim: Claim) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            self._set(tx, claim.run, guard_released=True)
            self._tell(tx, claim.run, "guard-released")
            return self._load(tx, claim.run)

    def _forget_artifact(self, tx: Transaction, run: str) -> bool:
        return tx.connection.execute(_FORGET, {"the_run": run, "dropped_at": tx.now}).rowcount > 0


def _refuse_doubles(planned: Sequence[PlannedDelivery]) -> None:
    endpoints = [delivery.endpoint for delivery in planned]
    if len(set(endpoints)) != len(endpoints):
        raise ValueError(f"two deliveries of one run to one endpoint: {endpoints}")
    if any(not delivery.files for delivery in planned):
        raise ValueError("a delivery without a file")
