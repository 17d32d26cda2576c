"""From the ledger's rows to the model's values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, bindparam, select

from batchxfer.errors import ErrorInfo
from batchxfer.ledger.schema import (
    artifacts,
    attempts,
    deliveries,
    delivery_files,
    fetched_files,
    runs,
    slots,
    snapshots,
)
from batchxfer.model import (
    Artifact,
    Attempt,
    Delivery,
    DeliveryFile,
    DeliveryStatus,
    Due,
    Evidence,
    FetchedFile,
    FetchStatus,
    FileRole,
    FileStatus,
    Outcome,
    Run,
    RunStatus,
    Snapshot,
    run_status,
)

AnyRow = Row[Any]

_CHUNK = 500
_WAITING = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING})


def _marked(table: Table, mark: str) -> list[ColumnElement[Any]]:
    """The table's columns under names of their own, beside another table's."""
    return [column.label(mark + column.name) for column in table.columns]


_is_current = (artifacts.c.run == runs.c.id) & artifacts.c.dropped_at.is_(None)
_runs = (
    select(
        runs,
        slots.c.interval_start,
        slots.c.interval_end,
        slots.c.business_date,
        snapshots.c.query,
        snapshots.c.format,
        snapshots.c.file,
        snapshots.c.digest,
        *_marked(artifacts, "artifact_"),
    )
    .join(slots, (slots.c.job == runs.c.job) & (slots.c.slot == runs.c.slot))
    .outerjoin(snapshots, snapshots.c.id == runs.c.snapshot)
    .outerjoin(artifacts, _is_current)
)
_deliveries = select(deliveries, *_marked(delivery_files, "file_")).outerjoin(
    delivery_files, delivery_files.c.delivery == deliveries.c.id
)


@dataclass(frozen=True)
class _Statements:
    """What reads runs, made once for the column's condition `are_these`. Few: each may be a question over a network."""

    runs: Select[Any]
    attempts: Select[Any]
    deliveries: Select[Any]
    fetched: Select[Any]

    @classmethod
    def where(cls, are_these: Callable[[Column[Any]], ColumnElement[bool]]) -> _Statements:
        return cls(
            runs=_runs.where(are_these(runs.c.id)),
            attempts=select(attempts).where(are_these(attempts.c.run)).order_by(attempts.c.position),
            deliveries=_deliveries.where(are_these(deliveries.c.run)).order_by(
                deliveries.c.position, delivery_files.c.position
            ),
            fetched=select(fetched_files, runs.c.revision)
            .join(runs, runs.c.id == fetched_files.c.run)
            .where(are_these(fetched_files.c.run))
            .order_by(fetched_files.c.position),
        )


# A list is spelled out anew each time, which costs as much as the query.
_ONE = _Statements.where(lambda column: column == bindparam("run"))
_MANY = _Statements.where(lambda column: column.in_(bindparam("runs", expanding=True)))


def load(connection: Connection, ids: Sequence[str], spool: Path, *, lives: Callable[[AnyRow], bool]) -> list[Run]:
    """The runs `ids`, in that order; `lives` says whether the claim in a row of `runs` still stands."""
    loaded: list[Run] = []
    for start in range(0, len(ids), _CHUNK):
        loaded += _load_some(connection, ids[start : start + _CHUNK], spool, lives)
    return loaded


def _load_some(connection: Connection, ids: Sequence[str], spool: Path, lives: Callable[[AnyRow], bool]) -> list[Run]:
    statements, some = (_ONE, {"run": ids[0]}) if len(ids) == 1 else (_MANY, {"runs": list(ids)})
    rows = {row.id: row for row in connection.execute(statements.runs, some)}
    pulls = any(row.snapshot is not None and not row.query for row in rows.values())
    tries = _by(connection.execute(statements.attempts, some), "run")
    sent = _by(connection.execute(statements.deliveries, some), "run")
    here = _by(connection.execute(statements.fetched, some) if pulls else (), "run")
    return [
        _run(
            rows[identifier],
            lives(rows[identifier]),
            artifact=_artifact(rows[identifier], spool),
            attempts=tuple(attempt(row) for row in tries[identifier]),
            deliveries=tuple(_delivery(files) for files in _by(sent[identifier], "id").values()),
            files=tuple(fetched(row) for row in here[identifier]),
        )
        for identifier in ids
        if identifier in rows
    ]


def _by(rows: Iterable[AnyRow], column: str) -> Mapping[str, list[AnyRow]]:
    groups: defaultdict[str, list[AnyRow]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, column)].append(row)
    return groups


def _run(
    row: AnyRow,
    running: bool,
    *,
    artifact: Artifact | None,
    attempts: tuple[Attempt, ...],
    deliveries: tuple[Delivery, ...],
    files: tuple[FetchedFile, ...],
) -> Run:
    status, reason = standing(deliveries, running=running, ending=row.ending, reason=row.reason)
    return Run(
        id=row.id,
        job=row.job,
        due=Due(
            slot=row.slot,
            interval_start=row.interval_start,
            interval_end=row.interval_end,
            business_date=row.business_date,
        ),
        revision=row.revision,
        status=status,
        parameters=row.parameters,
        reason=reason,
        retry_at=next_retry(deliveries),
        created_at=row.created_at,
        guard_released=row.guard_released,
        snapshot=_snapshot(row),
        artifact=artifact,
        attempts=attempts,
        deliveries=deliveries,
        files=files,
    )


def standing(
    deliveries: Sequence[Delivery], *, running: bool, ending: str | None, reason: str | None
) -> tuple[RunStatus, str | None]:
    """A run's state and the reason for it; `ending` and `reason` are those of a run that ended as a whole."""
    states = [delivery.status for delivery in deliveries]
    status = status_of(states, running=running, ending=ending)
    if not running and status == ending:
        return status, reason
    return status, next((d.reason for d in deliveries if d.status == status.value and d.reason), None)


def status_of(deliveries: Sequence[DeliveryStatus], *, running: bool, ending: str | None) -> RunStatus:
    """A run's state. `ending` counts once there is nothing to deliver; what was skipped may have been delivered in part, and
    what is missing is still looked for."""
    states = set(deliveries)
    if ending == RunStatus.SKIPPED and DeliveryStatus.EXCLUDED in states:
        states.discard(DeliveryStatus.DELIVERED)
    if ending == RunStatus.MISSING and not running and states <= _WAITING:
        return RunStatus.MISSING
    if ending and not running and states <= {DeliveryStatus.EXCLUDED}:
        return RunStatus(ending)
    return run_status(states, running=running)


def next_retry(deliveries: Iterable[Delivery]) -> datetime | None:
    """When the first of the deliveries is tried again."""
    instants = [d.retry_at for d in deliveries if d.status in _WAITING and d.retry_at]
    return min(instants, default=None)


def _snapshot(row: AnyRow) -> Snapshot | None:
    if row.snapshot is None:
        return None
    return Snapshot(query=row.query, format=row.format, file=row.file, digest=row.digest)


def attempt(row: AnyRow) -> Attempt:
    return Attempt(
        id=row.id,
        number=row.number,
        endpoint=row.endpoint,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=Outcome(row.outcome) if row.outcome else None,
        error=_error(row.error),
    )


def _artifact(row: AnyRow, spool: Path) -> Artifact | None:
    if row.artifact_id is None:
        return None
    return Artifact(
        id=row.artifact_id,
        path=spool / row.artifact_path,
        rows=row.artifact_rows,
        bytes=row.artifact_bytes,
        sha256=row.artifact_sha256,
        created_at=row.artifact_created_at,
        pruned_at=row.artifact_pruned_at,
    )


def artifact_path(path: Path, spool: Path) -> str:
    """`path` as the ledger keeps it: relative to the spool, so that a project may be moved or restored elsewhere."""
    return str(path.relative_to(spool) if path.is_relative_to(spool) else path)


def _delivery(files: Sequence[AnyRow]) -> Delivery:
    """A delivery, from a row for each of its files."""
    row = files[0]
    return Delivery(
        id=row.id,
        endpoint=row.endpoint,
        path=row.path,
        status=DeliveryStatus(row.status),
        reason=row.reason,
        retry_at=row.retry_at,
        retries=row.retries,
        delivered_at=row.delivered_at,
        bytes=row.bytes,
        sha256=row.sha256,
        evidence=Evidence(**row.evidence) if row.evidence else None,
        error=_error(row.error),
        files=tuple(_file(each) for each in files if each.file_role is not None),
    )


def _file(row: AnyRow) -> DeliveryFile:
    return DeliveryFile(
        role=FileRole(row.file_role),
        path=row.file_path,
        status=FileStatus(row.file_status),
        temp_path=row.file_temp_path,
        created=row.file_created,
        bytes=row.file_bytes,
        sha256=row.file_sha256,
    )


def fetched(row: AnyRow) -> FetchedFile:
    return FetchedFile(
        id=row.id,
        file=row.file,
        run=row.run,
        revision=row.revision,
        job=row.job,
        endpoint=row.endpoint,
        path=row.path,
        size=row.size,
        modified=row.modified,
        status=FetchStatus(row.status),
        reason=row.reason,
        bytes=row.bytes,
        sha256=row.sha256,
        local_path=Path(row.local_path) if row.local_path else None,
        moved_to=row.moved_to,
        gone=row.gone,
        rows=row.rows,
        bad_rows=row.bad_rows,
        bad_path=Path(row.bad_path) if row.bad_path else None,
        seen_at=row.seen_at,
        fetched_at=row.fetched_at,
        loaded_at=row.loaded_at,
        done_at=row.done_at,
    )


def _error(fields: Mapping[str, Any] | None) -> ErrorInfo | None:
    return ErrorInfo(**fields) if fields else None
