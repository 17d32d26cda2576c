"""The database under the ledger: transactions, its clock, and what tells a living owner from one that is gone."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, Engine

from batchxfer.ledger.faults import translated


class Transaction:
    """One transaction: its connection, and the one instant at which all that it writes happened."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self.connection = connection

    @cached_property
    def now(self) -> datetime:
        return self._store.clock(self.connection)


class Store(ABC):
    """A database that holds a ledger. `where` names it in messages, without a password; `spool` is where artifacts lie."""

    def __init__(self, where: str, engine: Engine, spool: Path) -> None:
        self.where = where
        self.engine = engine
        self.spool = spool

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one state of the ledger."""
        with translated(self.where), self.engine.connect() as connection, connection.begin():
            yield Transaction(self, connection)

    def now(self) -> datetime:
        """The ledger's clock."""
        with self.read() as tx:
            return tx.now

    @contextlib.contextmanager
    def write(self, *, hasty: bool = False) -> Iterator[Transaction]:
        """A transaction that is durable after the block, and had no effect where the block raises. A `hasty` one outlives
        every process at once, but a power cut only when a later one that is not hasty does."""
        with translated(self.where), self.engine.begin() as connection:
            yield Transaction(self, connection)

    @abstractmethod
    def clock(self, connection: Connection) -> datetime:
        """The ledger's clock."""

    @abstractmethod
    def lock_opening(self, connection: Connection) -> None:
        """Wait until no other process makes or migrates this ledger; held until the transaction ends."""

    @abstractmethod
    def tables(self, connection: Connection) -> set[str]:
        """The names of the tables that are there, ours or not."""

    @property
    @abstractmethod
    def shared(self) -> bool:
        """Whether other applications' tables may lie beside ours."""

    @abstractmethod
    def hold(self, owner: str) -> bool:
        """Show that `owner`'s process lives, as far as this database needs that; true the first time."""

    def serve(self) -> None:  # noqa: B027 - where nodes share a database, each may serve
        """Take the right to be the only daemon, where there can be only one."""

    @abstractmethod
    def lives(self, owner: str, lease_until: datetime, now: datetime) -> bool:
        """Whether a claim of `owner` with that lease still stands."""

    @abstractmethod
    def sweep(self, claiming: set[str]) -> None:
        """Clear away what processes that ended left behind, except of the owners in `claiming`."""

    def prepare(self) -> None:  # noqa: B027 - most databases need nothing
        """Settings that last with the database and must be made outside of a transaction, before the first one."""

    def close(self, claiming: Callable[[], set[str]]) -> None:
        """Close every connection; the owners that `claiming` gives leave claims behind."""
        self.engine.dispose()
