"""A delivery's way: the intent before each step, the outcome after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update

from batchxfer.errors import ErrorInfo
from batchxfer.ledger import rows
from batchxfer.ledger.fetching import Fetching
from batchxfer.ledger.records import fields
from batchxfer.ledger.schema import artifacts, deliveries, delivery_files
from batchxfer.ledger.store import Transaction
from batchxfer.model import (
    DELIVERY_MOVES,
    FILE_MOVES,
    Claim,
    DeliveryStatus,
    Evidence,
    FileRole,
    FileStatus,
    Outcome,
    Run,
    RunStatus,
)

_LOOKED = frozenset({"looked", "inferred", "accepted", "equal", "fetched"})
_STOPS = frozenset({DeliveryStatus.RETRYING, DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.EXCLUDED})
_STEPS = {
    FileStatus.PENDING: DeliveryStatus.PENDING,
    FileStatus.SENDING: DeliveryStatus.SENDING,
    FileStatus.PUBLISHING: DeliveryStatus.PUBLISHING,
    FileStatus.PUBLISHED: DeliveryStatus.PUBLISHING,
}
_OUTCOMES = {
    DeliveryStatus.DELIVERED: Outcome.DELIVERED,
    DeliveryStatus.RETRYING: Outcome.TRANSIENT,
    DeliveryStatus.FAILED: Outcome.PERMANENT,
    DeliveryStatus.HELD: Outcome.HELD,
}


_DELIVERY = select(deliveries).where(
    deliveries.c.id == bindparam("the_delivery"), deliveries.c.run == bindparam("the_run")
)
_FILES_LEFT = select(func.count()).where(
    delivery_files.c.delivery == bindparam("the_delivery"), delivery_files.c.status != FileStatus.PUBLISHED
)
_TO_SETTLE = _DELIVERY.add_columns(_FILES_LEFT.scalar_subquery().label("unpublished"))
_SET = update(deliveries).where(deliveries.c.id == bindparam("the_delivery"))
_of_file = (delivery_files.c.delivery == bindparam("the_delivery")) & (delivery_files.c.role == bindparam("the_role"))
_ARTIFACT = select(artifacts).where(artifacts.c.run == bindparam("the_run"), artifacts.c.dropped_at.is_(None))
# A delivery, one of its files, and the artifact of its run.
_WITH_FILE = (
    _DELIVERY.add_columns(
        delivery_files.c.role.label("file_role"),
        delivery_files.c.status.label("file_status"),
        delivery_files.c.path.label("file_path"),
        _ARTIFACT.with_only_columns(artifacts.c.id).scalar_subquery().label("artifact"),
    )
    .select_from(deliveries)
    .outerjoin(delivery_files, _of_file)
)
_SET_FILE = update(delivery_files).where(_of_file)


class Delivering(Fetching):
    def record_file(
        self,
        claim: Claim,
        delivery: str,
        role: FileRole,
        status: FileStatus,
        *,
        temp_path: str | None = None,
        created: bool | None = None,
        size: int | None = None,
        sha256: str | None = None,
    ) -> None:
        facts = _given(temp_path=temp_path, created=created, bytes=size, sha256=sha256)
        if status is FileStatus.PENDING:
            facts = {"temp_path": None}
        with self._store.write() as tx:
            self._claimed(tx, claim)
            known = self._with_file(tx, claim.run, delivery, role)
            _check_step(known, status)
            which = {"the_delivery": delivery, "the_role": role}
            tx.connection.execute(_SET_FILE, {**which, "status": status, **facts})
            self._step(tx, known, role, _step_of(known, status), facts)
            about = {"endpoint": known.endpoint, "role": role, "path": known.file_path}
            self._tell(tx, claim.run, f"file-{status}", **about, **facts)

    def _step(
        self, tx: Transaction, known: rows.AnyRow, role: FileRole, step: DeliveryStatus | None, facts: Mapping[str, Any]
    ) -> None:
        """The delivery's part of a file's step."""
        values: dict[str, Any] = {}
        if step is not None:
            begun = None if step is DeliveryStatus.PENDING else known.begun_at or tx.now
            values |= {"status": step, "begun_at": begun}
            values |= {"reason": None, "retry_at": None, "error": None}
        if role is FileRole.DATA:
            values |= {key: facts[key] for key in ("bytes", "sha256") if key in facts}
        if values:
            tx.connection.execute(_SET, {"the_delivery": known.id, **values})

    def settle(
        self,
        claim: Claim,
        delivery: str,
        status: DeliveryStatus,
        *,
        attempt: str | None = None,
        outcome: Outcome | None = None,
        reason: str | None = None,
        retry_at: datetime | None = None,
        used_retry: bool = False,
        evidence: Evidence | None = None,
        error: ErrorInfo | None = None,
    ) -> Run:
        with self._store.write() as tx:
            run = self._claimed(tx, claim)
            known = self._delivery(tx, claim.run, delivery)
            _check_move(known, status, reason, retry_at)
            if status is DeliveryStatus.DELIVERED:
                self._check_delivered(tx, known, evidence)
            if attempt is not None:
                ended = self._end(tx, claim, attempt, outcome or _outcome(status), error)
                _check_attempt(ended, known)
            values: dict[str, Any] = {"status": status, "reason": reason, "retry_at": retry_at, "error": fields(error)}
            values |= {"settled_at": tx.now, "retries": known.retries + used_retry}
            if status is DeliveryStatus.PENDING:
                values |= {"retries": 0}
            if status is DeliveryStatus.DELIVERED:
                values |= self._proof(tx, known, evidence)
            self._put(tx, known, values)
            if known.status == DeliveryStatus.EXCLUDED and status is DeliveryStatus.PENDING:
                self._include_files(tx, claim.run)
            if _begins_again(run, status):
                self._set(tx, claim.run, ending=None, reason=None)
            return self._load(tx, claim.run)

    def exclude(self, claim: Claim, reason: str) -> Run:
        with self._store.write() as tx:
            run = self._claimed(tx, claim)
            if not self._exclude_deliveries(tx, claim.run, reason):
                self._end_run(tx, claim.run, RunStatus.EXCLUDED, reason)
            elif _begins_again(run, DeliveryStatus.EXCLUDED):
                self._set(tx, claim.run, ending=None, reason=None)
            return self._load(tx, claim.run)

    def _exclude_deliveries(self, tx: Transaction, run: str, reason: str) -> bool:
        """Exclude what is not delivered; whether the run has deliveries."""
        if not reason:
            raise ValueError("excluding a run, or skipping it, needs a reason")
        found = tx.connection.execute(select(deliveries).where(deliveries.c.run == run)).all()
        for known in found:
            if known.status not in (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED):
                values = {"status": DeliveryStatus.EXCLUDED, "reason": reason, "retry_at": None, "error": None}
                self._put(tx, known, values | {"settled_at": tx.now})
        self._exclude_files(tx, run, reason)
        return bool(found)

    def _end_run(self, tx: Transaction, run: str, ending: RunStatus, reason: str) -> None:
        """End the run as a whole, whatever became of its deliveries."""
        self._set(tx, run, ending=ending, reason=reason)
        self._tell(tx, run, ending, reason=reason)
        self._end_of_slot(tx, run)

    def _put(self, tx: Transaction, known: rows.AnyRow, values: dict[str, Any]) -> None:
        """Write a delivery's new state, and tell of it."""
        tx.is_milestone = True
        tx.connection.execute(_SET, {"the_delivery": known.id, **values})
        told = {key: value for key, value in values.items() if key not in ("status", "settled_at", "delivered_at")}
        self._tell(tx, known.run, values["status"], endpoint=known.endpoint, path=known.path, **told)
        detail = {"endpoint": known.endpoint, "path": known.path, "reason": values.get("reason")}
        self._note_state(tx, known, values["status"], detail)

    def _delivery(self, tx: Transaction, run: str, delivery: str) -> rows.AnyRow:
        found = tx.connection.execute(_TO_SETTLE, {"the_delivery": delivery, "the_run": run}).one_or_none()
        if found is None:
            raise ValueError(f"run {run} has no delivery {delivery}")
        return found

    def _with_file(self, tx: Transaction, run: str, delivery: str, role: FileRole) -> rows.AnyRow:
        which = {"the_delivery": delivery, "the_run": run, "the_role": role}
        found = tx.connection.execute(_WITH_FILE, which).one_or_none()
        if found is None:
            raise ValueError(f"run {run} has no delivery {delivery}")
        if found.file_role is None:
            raise ValueError(f"delivery {delivery} has no {role} file")
        return found

    def _check_delivered(self, tx: Transaction, known: rows.AnyRow, evidence: Evidence | None) -> None:
        if evidence is None:
            raise ValueError(f"delivery {known.id} cannot be delivered without evidence")
        if evidence.how == "fetched":
            self._check_fetched(tx, known.run)
        if evidence.how in _LOOKED:
            return
        if known.unpublished:
            raise ValueError(f"delivery {known.id} cannot be delivered before each of its files is published")

    def _proof(self, tx: Transaction, known: rows.AnyRow, evidence: Evidence | None) -> dict[str, Any]:
        """What a delivered one keeps. What a person accepted has no size of its own: nobody saw the file."""
        kept = {"how": evidence.how, "detail": evidence.detail, "server_key": evidence.server_key} if evidence else None
        proof: dict[str, Any] = {"delivered_at": tx.now, "evidence": kept}
        if known.sha256 is None and evidence is not None and evidence.how != "accepted":
            artifact = tx.connection.execute(_ARTIFACT, {"the_run": known.run}).one_or_none()
            proof |= {"bytes": artifact.bytes, "sha256": artifact.sha256} if artifact is not None else {}
        return proof


_NO_LONGER_MISSING = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.EXCLUDED,
    DeliveryStatus.FAILED,
    DeliveryStatus.HELD,
)


def _given(**facts: object) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}


def _begins_again(run: rows.AnyRow, status: DeliveryStatus) -> bool:
    """Whether a run that had ended as a whole goes on: one that was skipped with each try, one that was missing when its
    file has come after all, or something else stands in the way."""
    if run.ending == RunStatus.MISSING:
        return status in _NO_LONGER_MISSING
    return status is DeliveryStatus.PENDING


def _step_of(known: rows.AnyRow, status: FileStatus) -> DeliveryStatus | None:
    """What the delivery becomes with a file's step; None where the step only says again what was known."""
    says_again = known.file_status == status and status in (FileStatus.PENDING, FileStatus.PUBLISHED)
    return None if says_again else _STEPS.get(status)


def _check_step(known: rows.AnyRow, status: FileStatus) -> None:
    if status not in FILE_MOVES[FileStatus(known.file_status)]:
        raise ValueError(
            f"the {known.file_role} file of delivery {known.id} cannot go from {known.file_status} to {status}"
        )
    step = _step_of(known, status)
    taken_back = step is DeliveryStatus.PENDING and known.status != DeliveryStatus.SENDING
    if step is not None and (taken_back or step not in DELIVERY_MOVES[DeliveryStatus(known.status)]):
        raise ValueError(f"delivery {known.id} cannot go from {known.status} to {step}")
    if status is FileStatus.PUBLISHING and known.artifact is None:
        raise ValueError(f"run {known.run} publishes before its artifact is built")


def _check_move(known: rows.AnyRow, status: DeliveryStatus, reason: str | None, retry_at: datetime | None) -> None:
    if status in (DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING):
        raise ValueError(f"a delivery becomes {status} by its files")
    if status not in DELIVERY_MOVES[DeliveryStatus(known.status)]:
        raise ValueError(f"delivery {known.id} cannot go from {known.status} to {status}")
    if status in _STOPS and not reason:
        raise ValueError(f"delivery {known.id}: {status} needs a reason")
    may_wait = (DeliveryStatus.RETRYING, DeliveryStatus.PENDING)
    if (status is DeliveryStatus.RETRYING and retry_at is None) or (retry_at is not None and status not in may_wait):
        raise ValueError(
            f"delivery {known.id}: {status} with retry_at = {retry_at}; retrying has one, pending may have one"
        )


def _check_attempt(attempt: rows.AnyRow, known: rows.AnyRow) -> None:
    if attempt.endpoint not in (None, known.endpoint):
        raise ValueError(f"attempt {attempt.id} went to {attempt.endpoint!r}, not to {known.endpoint!r}")


def _outcome(status: DeliveryStatus) -> Outcome:
    if status not in _OUTCOMES:
        raise ValueError(f"{status} does not say how an attempt ended")
    return _OUTCOMES[status]
