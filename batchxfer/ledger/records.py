"""What every part of the ledger stands on: its transactions, a claim's proof, loading, and the events."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Table, bindparam, select, update

from batchxfer.errors import ErrorInfo, OwnershipLost, UsageError
from batchxfer.ledger import rows
from batchxfer.ledger.owners import new_owner
from batchxfer.ledger.schema import runs
from batchxfer.ledger.store import Store, Transaction
from batchxfer.model import Claim, Run

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

# Statements are made once: making one costs more than running it.
_LOCKED = select(runs).where(runs.c.id == bindparam("the_run")).with_for_update()
_CLAIMED: Select[Any] = _LOCKED.where(runs.c.claim == bindparam("the_token")).with_only_columns(
    runs.c.id, runs.c.job, runs.c.ending
)
_SET = update(runs).where(runs.c.id == bindparam("the_run"))


class Records:
    """The base of the ledger's parts."""

    def __init__(self, store: Store, project: str) -> None:
        self._store = store
        self._project = project
        self._owner: str | None = None
        self._guard = threading.Lock()

    @property
    def project_id(self) -> str:
        return self._project

    @property
    def owner(self) -> str:
        with self._guard:
            if self._owner is None:
                self._owner = new_owner(self.now())
            return self._owner

    def now(self) -> datetime:
        return self._store.now()

    def _claimed(self, tx: Transaction, claim: Claim) -> rows.AnyRow:
        """The claim's run (its id, job and ending), locked until the transaction ends. Raises OwnershipLost where the claim
        ended."""
        found = tx.connection.execute(_CLAIMED, {"the_run": claim.run, "the_token": claim.token}).one_or_none()
        if found is None:
            raise OwnershipLost(
                f"run {claim.run} is another worker's by now: nothing was written",
                hint=f"see what became of it with: batchxfer show {claim.run}",
            )
        return found

    def _locked(self, tx: Transaction, run: str) -> rows.AnyRow:
        """The row of `run`, locked until the transaction ends."""
        found = tx.connection.execute(_LOCKED, {"the_run": run}).one_or_none()
        if found is None:
            raise UsageError(f"there is no run {run!r}", hint="list the runs with: batchxfer runs")
        return found

    def _load(self, tx: Transaction, run: str) -> Run:
        return self._load_all(tx, [run])[0]

    def _load_all(self, tx: Transaction, runs: Sequence[str]) -> list[Run]:
        """Those of the runs that are there, in this order."""
        return rows.load(tx.connection, runs, self._store.spool, lives=lambda row: self._lives(tx, row))

    def _lives(self, tx: Transaction, row: rows.AnyRow) -> bool:
        return row.claim is not None and self._store.lives(row.owner, row.lease_until, tx.now)

    def _insert_new(self, tx: Transaction, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An insert that can say what is to be done where there is one already, and how many rows it wrote."""
        # Each dialect takes a while to import, and a ledger needs one of them.
        if tx.connection.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table).execution_options(preserve_rowcount=True)
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table).execution_options(preserve_rowcount=True)

    def _set(self, tx: Transaction, run: str, **values: Any) -> None:
        tx.connection.execute(_SET, {"the_run": run, **values})

    def _tell(self, tx: Transaction, run: str | None, kind: str, **detail: object) -> None:
        """Write an event; what is None is left out."""
        self._write_event(tx, run, kind, {key: value for key, value in detail.items() if value is not None})

    def _write_event(self, tx: Transaction, run: str | None, kind: str, detail: Mapping[str, object]) -> None:
        self._write_events(tx, [(run, kind, detail)])

    def _write_events(self, tx: Transaction, told: Sequence[tuple[str | None, str, Mapping[str, object]]]) -> None:
        tx.told += [{"at": tx.now, "run": run, "kind": kind, "detail": detail} for run, kind, detail in told]


def fields(error: ErrorInfo | None) -> Mapping[str, Any] | None:
    """An error as the ledger keeps it."""
    return None if error is None else asdict(error)
