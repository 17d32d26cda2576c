"""The database under the ledger: transactions, its clock, and what tells a living owner from one that is gone."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from enum import IntEnum
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, func, insert, select

from batchxfer.ledger.faults import translated
from batchxfer.ledger.newest import Memory, NewestEvent
from batchxfer.ledger.schema import events

_NEWEST = (
    select(events.c.id, events.c.at)
    .where((events.c.id == select(func.max(events.c.id)).scalar_subquery()) | (events.c.id == bindparam("known")))
    .order_by(events.c.id.desc())
)
_TELL = insert(events).inline()


class Haste(IntEnum):
    """What a commit need not outlive. It outlives every process of ours; the log keeps the order of commits, so that what is
    lost is the newest, and nothing that came before one that is on disk."""

    NONE = 0
    """Nothing: it is on disk once the block ends."""
    POWER = 1
    """A power cut, which ends the process that made it too."""
    SERVER = 2
    """Also the end of the database's server, after which the process goes on: it finds out, or does the same again."""


class Transaction:
    """One transaction: its connection, and the one instant at which all that it writes happened.

    `told` are the events that it writes, in their order, before it ends; `is_milestone` where the spool is to remember that
    the ledger came so far.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self.connection = connection
        self.told: list[dict[str, object]] = []
        self.is_milestone = False

    @cached_property
    def now(self) -> datetime:
        return self._store.clock(self.connection)

    def finish(self) -> NewestEvent | None:
        """Write what is told. What the spool is to remember once this is committed; None also where the ledger has lost what it
        remembers."""
        if self.told:
            self.connection.execute(_TELL, self.told)
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

    @abstractmethod
    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one state of the ledger."""

    def ask(self) -> AbstractContextManager[Transaction]:
        """For one statement that reads, and has no need of `now`: as few round trips as that takes."""
        return self.read()

    def now(self) -> datetime:
        """The ledger's clock."""
        with self.read() as tx:
            return tx.now

    @contextlib.contextmanager
    def write(self, haste: Haste = Haste.NONE) -> Iterator[Transaction]:
        """A transaction that is durable after the block, as its `haste` says, and had no effect where the block raises."""
        with translated(self.where), self._writing(haste) as connection:
            tx = Transaction(self, connection)
            yield tx
            newest = tx.finish()
        # What may be lost is not remembered.
        if newest is not None and haste is Haste.NONE:
            self.memory.remember(newest)

    @abstractmethod
    def _writing(self, haste: Haste) -> AbstractContextManager[Connection]:
        """A transaction of the database."""

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

    @property
    def is_for_reading(self) -> bool:
        """Whether this user is known to have no right to write: what only looks works, and `write` is refused."""
        return False

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
