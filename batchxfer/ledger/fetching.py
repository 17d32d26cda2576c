"""A partner's files: what was seen, how far each has come, and which were taken before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from batchxfer.ids import new_id
from batchxfer.ledger import rows
from batchxfer.ledger.noticing import Noticing
from batchxfer.ledger.schema import deliveries, fetched_files, runs
from batchxfer.ledger.store import Transaction
from batchxfer.model import (
    FETCH_MOVES,
    Claim,
    DeliveryStatus,
    FetchedFile,
    FetchStatus,
    NoticeKind,
    Run,
    RunStatus,
    SeenFile,
)

_CHUNK = 500
_MOST_TOLD = 20
_ACCEPTED = (FetchStatus.FETCHED, FetchStatus.LOADED, FetchStatus.DONE)
_UNFINISHED = (FetchStatus.SEEN, *_ACCEPTED[:2])
_WAITING = (DeliveryStatus.PENDING, DeliveryStatus.RETRYING)
_REACHED = {FetchStatus.FETCHED: "fetched_at", FetchStatus.LOADED: "loaded_at", FetchStatus.DONE: "done_at"}
_FACTS = frozenset(
    "reason size modified bytes sha256 local_path moved_to gone rows bad_rows bad_path".split()  # noqa: SIM905
)

_KNOWN = (
    select(fetched_files, runs.c.revision)
    .join(runs, runs.c.id == fetched_files.c.run)
    .where(fetched_files.c.job == bindparam("the_job"), fetched_files.c.endpoint == bindparam("the_endpoint"))
)
_KNOWN_MANY = _KNOWN.where(fetched_files.c.path.in_(bindparam("paths", expanding=True))).order_by(fetched_files.c.id)
_was_accepted = (fetched_files.c.status.in_(_ACCEPTED)) & (fetched_files.c.file != bindparam("but"))
_PREVIOUS = (
    _KNOWN.where(fetched_files.c.path == bindparam("the_path"), _was_accepted)
    .order_by(fetched_files.c.id.desc())
    .limit(1)
)
_SAME = (
    select(fetched_files, runs.c.revision)
    .join(runs, runs.c.id == fetched_files.c.run)
    .where(
        fetched_files.c.job == bindparam("the_job"), fetched_files.c.sha256 == bindparam("the_sha256"), _was_accepted
    )
    .order_by(fetched_files.c.id.desc())
    .limit(1)
)
_ROW = select(fetched_files).where(
    fetched_files.c.id == bindparam("the_row"), fetched_files.c.run == bindparam("the_run")
)
_SET_ROW = update(fetched_files).where(fetched_files.c.id == bindparam("the_row"))
_OF_RUN = select(fetched_files).where(fetched_files.c.run == bindparam("the_run")).order_by(fetched_files.c.position)
_newer = runs.alias()


class Fetching(Noticing):
    # reading

    def known_files(self, job: str, endpoint: str, paths: Collection[str]) -> dict[str, FetchedFile]:
        found: dict[str, FetchedFile] = {}
        wanted = list(dict.fromkeys(paths))
        with self._store.read() as tx:
            for start in range(0, len(wanted), _CHUNK):
                which = {"the_job": job, "the_endpoint": endpoint, "paths": wanted[start : start + _CHUNK]}
                # In the order of their ids, so that the newest is the last.
                found |= {row.path: rows.fetched(row) for row in tx.connection.execute(_KNOWN_MANY, which)}
        return found

    def previous_version(self, job: str, endpoint: str, path: str, but: str) -> FetchedFile | None:
        which = {"the_job": job, "the_endpoint": endpoint, "the_path": path, "but": but}
        with self._store.read() as tx:
            row = tx.connection.execute(_PREVIOUS, which).one_or_none()
            return None if row is None else rows.fetched(row)

    def same_content(self, job: str, sha256: str, but: str) -> FetchedFile | None:
        with self._store.read() as tx:
            row = tx.connection.execute(_SAME, {"the_job": job, "the_sha256": sha256, "but": but}).one_or_none()
            return None if row is None else rows.fetched(row)

    # writing

    def see(self, claim: Claim, endpoint: str, found: Sequence[SeenFile]) -> Run:
        with self._store.write() as tx:
            job = self._claimed(tx, claim).job
            before = self._files_of(tx, claim.run)
            first = max((row.position for row in before), default=-1) + 1
            fresh = [
                self._seen(tx, claim.run, job, endpoint, position, file)
                for position, file in enumerate(found, start=first)
            ]
            if fresh:
                tx.connection.execute(insert(fetched_files), fresh)
                refused = [file.path for file in found if file.refused]
                self._tell(
                    tx,
                    claim.run,
                    "files-seen",
                    endpoint=endpoint,
                    count=len(found),
                    paths=[file.path for file in found[:_MOST_TOLD]],
                    refused=refused[:_MOST_TOLD] or None,
                )
            return self._load(tx, claim.run)

    def _seen(
        self, tx: Transaction, run: str, job: str, endpoint: str, position: int, file: SeenFile
    ) -> dict[str, Any]:
        identifier = new_id(tx.now)
        return {
            "id": identifier,
            "file": identifier,
            "run": run,
            "position": position,
            "job": job,
            "endpoint": endpoint,
            "path": file.path,
            "size": file.size,
            "modified": file.modified,
            "status": FetchStatus.REFUSED if file.refused else FetchStatus.SEEN,
            "reason": file.refused,
            "gone": False,
            "seen_at": tx.now,
        }

    def record_fetch(self, claim: Claim, row: str, status: FetchStatus, **facts: object) -> None:
        self.record_fetches(claim, status, {row: facts})

    def record_fetches(self, claim: Claim, status: FetchStatus, files: Mapping[str, Mapping[str, object]]) -> None:
        if unknown := {name for facts in files.values() for name in facts} - _FACTS:
            raise ValueError(f"a fetched file has no {', '.join(sorted(unknown))}")
        with self._store.write() as tx:
            self._claimed(tx, claim)
            for row, facts in files.items():
                self._record_fetch(tx, claim, row, status, facts)
            tx.is_milestone = True

    def _record_fetch(
        self, tx: Transaction, claim: Claim, row: str, status: FetchStatus, facts: Mapping[str, object]
    ) -> None:
        known = tx.connection.execute(_ROW, {"the_row": row, "the_run": claim.run}).one_or_none()
        if known is None:
            raise ValueError(f"run {claim.run} has no file {row}")
        if status not in FETCH_MOVES[FetchStatus(known.status)]:
            raise ValueError(f"file {row} cannot go from {known.status} to {status}")
        values = {key: str(value) if isinstance(value, PurePath) else value for key, value in facts.items()}
        if status != known.status and status in _REACHED:
            values[_REACHED[status]] = tx.now
        tx.connection.execute(_SET_ROW, {"the_row": row, "status": status, **values})
        self._tell(tx, claim.run, f"file-{status}", path=known.path, **values)

    def load_again(self, claim: Claim, run: str) -> Run:
        with self._store.write() as tx:
            self._claimed(tx, claim)
            fresh = [
                {
                    **row._asdict(),
                    "id": new_id(tx.now),
                    "run": claim.run,
                    "status": FetchStatus.FETCHED if row.status in _ACCEPTED else FetchStatus.SEEN,
                    "reason": None,
                    # `done_at` stays: what was done with the remote file is not done again.
                    **dict.fromkeys(("rows", "bad_rows", "bad_path", "loaded_at")),
                }
                for row in self._files_of(tx, run)
                if row.status in _ACCEPTED or row.status == FetchStatus.SEEN
            ]
            if fresh:
                tx.connection.execute(insert(fetched_files), fresh)
            self._tell(tx, claim.run, "files-again", of=run, count=len(fresh))
            return self._load(tx, claim.run)

    def miss(self, run: str, reason: str) -> bool:
        with self._store.write() as tx:
            known = self._locked(tx, run)
            found = tx.connection.execute(select(deliveries.c.id, deliveries.c.status).where(deliveries.c.run == run))
            states = {row.id: row.status for row in found}
            same_slot = (_newer.c.job == known.job) & (_newer.c.slot == known.slot)
            newer = select(_newer.c.id).where(same_slot, _newer.c.revision > known.revision)
            if (
                known.ending is not None
                or self._lives(tx, known)
                or not set(states.values()) <= set(_WAITING)
                or tx.connection.execute(newer).first() is not None
            ):
                return False
            self._set(tx, run, ending=RunStatus.MISSING, reason=reason, status=RunStatus.MISSING)
            self._tell(tx, run, "missing", reason=reason)
            self._end_open(tx, [NoticeKind.LATE], run)
            for delivery in states:
                # Somebody has typed `retry`: what was in the way is no longer, and it has not come.
                self._end_open(tx, [NoticeKind.FAILED, NoticeKind.HELD], delivery)
            detail = {"reason": reason, "slot": known.slot}
            self._open_notice(tx, NoticeKind.MISSING, run, job=known.job, run=run, detail=detail)
            return True

    # with the run's states

    def _files_of(self, tx: Transaction, run: str) -> list[rows.AnyRow]:
        return list(tx.connection.execute(_OF_RUN, {"the_run": run}))

    def _exclude_files(self, tx: Transaction, run: str, reason: str) -> None:
        """What is not loaded yet is never taken."""
        pending = fetched_files.c.status.in_((FetchStatus.SEEN, FetchStatus.FETCHED))
        excluding = update(fetched_files).where(fetched_files.c.run == run, pending)
        tx.connection.execute(excluding.values(status=FetchStatus.EXCLUDED, reason=reason))

    def _include_files(self, tx: Transaction, run: str) -> None:
        """What was excluded with its run comes back as it was."""
        excluded = (fetched_files.c.run == run) & (fetched_files.c.status == FetchStatus.EXCLUDED)
        for was_here, status in (
            (fetched_files.c.fetched_at.is_not(None), FetchStatus.FETCHED),
            (fetched_files.c.fetched_at.is_(None), FetchStatus.SEEN),
        ):
            tx.connection.execute(update(fetched_files).where(excluded, was_here).values(status=status, reason=None))

    def _check_fetched(self, tx: Transaction, run: str) -> None:
        unfinished = select(func.count()).where(fetched_files.c.run == run, fetched_files.c.status.in_(_UNFINISHED))
        if count := tx.connection.execute(unfinished).scalar_one():
            raise ValueError(f"run {run} cannot be delivered while {count} of its files are not done")
