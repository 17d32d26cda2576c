"""The JSON documents of the commands (DESIGN §5): exact keys, RFC 3339 instants with offset, UTC as `+00:00`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING

import orjson

from batchxfer.cli.words import evidence_words
from batchxfer.errors import BatchxferError, ErrorInfo, Problem

if TYPE_CHECKING:
    from batchxfer.cli.times import Zones
    from batchxfer.model import Artifact, Attempt, Delivery, FetchedFile, Pause, Run

_WIDEST_INTEGER = 2**63

Document = dict[str, object]


def dump(value: Mapping[str, object], *, indent: bool = False) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0)


def instant(value: datetime | None, zone: tzinfo = UTC) -> str | None:
    """RFC 3339 with offset."""
    return None if value is None else value.astimezone(zone).isoformat()


def error_document(error: BatchxferError) -> Document:
    return {"error": error_of(error.info)}


def error_of(error: ErrorInfo | None) -> Document | None:
    return None if error is None else {"kind": error.kind, "message": error.message, "hint": error.hint}


def check_document(problems: Sequence[Problem]) -> Document:
    return {"ok": not problems, "problems": [asdict(problem) for problem in problems]}


def runs_document(runs: Sequence[Run], zones: Zones) -> Document:
    return {"runs": [run_document(run, zones) for run in runs]}


def run_document(run: Run, zones: Zones) -> Document:
    """One run in full. Its slot and interval are shown in the job's zone, the rest in UTC."""
    zone = zones.of_job(run.job)
    return {
        "run": run.id,
        "job": run.job,
        "slot": instant(run.due.slot, zone),
        "interval_start": instant(run.due.interval_start, zone),
        "interval_end": instant(run.due.interval_end, zone),
        "business_date": run.due.business_date.isoformat(),
        "revision": run.revision,
        "parameters": {name: plain(value) for name, value in run.parameters.items()},
        "status": run.status.value,
        "reason": run.reason,
        "retry_at": instant(run.retry_at),
        "attempts": [_attempt(attempt) for attempt in run.attempts],
        "artifact": _artifact(run.artifact),
        "deliveries": [_delivery(run, delivery, zones) for delivery in run.deliveries if not run.is_pull],
        "files": [_file(file) for file in run.files],
    }


def pauses_document(pauses: Iterable[Pause]) -> Document:
    """What is paused. `until` is null for a person's pause; after a refused login it is when the next one is tried."""
    return {
        "paused": [
            {"subject": pause.subject, "why": pause.why, "since": instant(pause.since), "until": instant(pause.until)}
            for pause in pauses
        ]
    }


def _attempt(attempt: Attempt) -> Document:
    return {
        "attempt": attempt.id,
        "number": attempt.number,
        "endpoint": attempt.endpoint,
        "started_at": instant(attempt.started_at),
        "ended_at": instant(attempt.ended_at),
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "error": error_of(attempt.error),
    }


def _artifact(artifact: Artifact | None) -> Document | None:
    if artifact is None:
        return None
    return {
        "path": str(artifact.path),
        "rows": artifact.rows,
        "bytes": artifact.bytes,
        "sha256": artifact.sha256,
    }


def _delivery(run: Run, delivery: Delivery, zones: Zones) -> Document:
    evidence = delivery.evidence
    return {
        "endpoint": delivery.endpoint,
        "path": delivery.path,
        "slot_local": instant(run.due.slot, zones.of_endpoint(delivery.endpoint)),
        "status": delivery.status.value,
        "retry_at": instant(delivery.retry_at),
        "bytes": delivery.bytes,
        "sha256": delivery.sha256,
        "verified": evidence.how if evidence else None,
        "evidence": evidence_words(evidence) if evidence else None,
        "delivered_at": instant(delivery.delivered_at),
        "server_key": evidence.server_key if evidence else None,
        "error": error_of(delivery.error),
    }


def _file(file: FetchedFile) -> Document:
    return {
        "endpoint": file.endpoint,
        "path": file.path,
        "status": file.status.value,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "rows": file.rows,
        "bad_rows": file.bad_rows,
        "local_path": str(file.local_path) if file.local_path is not None else None,
        "fetched_at": instant(file.fetched_at),
        "loaded_at": instant(file.loaded_at),
        "reason": file.reason,
        "bad_path": str(file.bad_path) if file.bad_path is not None else None,
        "moved_to": file.moved_to,
        "modified": instant(file.modified),
    }


def plain(value: object) -> object:
    """A parameter as JSON carries it: what JSON has no type for becomes its text."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if -_WIDEST_INTEGER <= value < _WIDEST_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
