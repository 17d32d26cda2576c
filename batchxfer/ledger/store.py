"""The database under the ledger: transactions, its clock, and what tells a living owner from one that is gone."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, func, select

from batchxfer.ledger.faults import translated
from batchxfer.ledger.newest import Memory, NewestEvent
from batchxfer.ledger.schema import events

_NEWEST = (
    select(events.c.id, events.c.at)
    .where((events.c.id == select(func.max(events.c.id)).scalar_subquery()) | (events.c.id == bindparam("known")))
    .order_by(events.c.id.desc())
)


class Transaction:
    """One transaction: its connection, and the one instant at which all that it writes happened.

    `is_milestone` where the spool is to remember that the ledger came so far.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self.connection = connection
        self.is_milestone = False

    @cached_property
    def now(self) -> datetime:
        return self._store.clock(self.connection)

    def newest_event(self) -> NewestEvent | None:
        """What the spool is to remember once this is committed; None also where the ledger has lost what it remembers."""
        if not self.is_milestone:
            return None
        found = self._with_newest(self._store.memory.known)
        # Another process may have begun the memory anew.
        return found if found is not None else self._with_newest(self._store.memory.read_again())

    def _with_newest(self, known: NewestEvent | None) -> NewestEvent | None:
        """The newest event, where the ledger has `known` too."""
        rows = self.connection.execute(_NEWEST, {"known": known.id if known is not None else -1}).all()
        found = [NewestEvent(row.id, row.at) for row in rows]
        return found[0] if found and (known is None or known in found) else None


class Store(ABC):
    """A database that holds a ledger. `where` names it in messages, without a password; `spool` is where artifacts lie."""

    def __init__(self, where: str, engine: Engine, spool: Path) -> None:
        self.where = where
        self.engine = engine
        self.spool = spool
        self.memory = Memory(spool)

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
            tx = Transaction(self, connection)
            yield tx
            newest = tx.newest_event()
        if newest is not None:
            self.memory.remember(newest)

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

    def is_served(self) -> bool | None:
        """Whether a daemon has the right to be the only one; None where there may be several."""
        return None

    def damage(self) -> list[str]:
        """What is wrong with the file as a whole, where the database can say."""
        return []

    @property
    def file(self) -> Path | None:
        """The file that the database is, where it is one."""
        return None

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
