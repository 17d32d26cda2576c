"""A ledger in a SQLite file: one machine, any number of processes and threads.

The file is in WAL mode with `synchronous = FULL`: a commit is one fsync, and readers never wait for a writer. A hasty commit
is none; the log keeps the order, so that what a power cut takes away is the newest, and never more than the hasty ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from batchxfer.errors import BatchxferError, BusyError, LedgerError, StorageError
from batchxfer.ledger.faults import DISK, RESTORE, SPACE, refused, translated
from batchxfer.ledger.owners import OwnerLocks, Presence
from batchxfer.ledger.store import Haste, Store, Transaction
from batchxfer.ports import Clock

BUSY_SECONDS = 60.0
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
# A whole check reads the whole file; beyond this size damage is found where it is met.
_CHECKED_BYTES = 64 * 1024 * 1024
_REFUSAL = re.compile(r"error code=(\d+)")
_READING = "batchxfer_reading"
_HASTY = "batchxfer_hasty"


class SqliteStore(Store):
    """The file at `path`, which is there."""

    def __init__(self, path: Path, spool: Path, clock: Clock) -> None:
        super().__init__(f"ledger {path}", _engine(path), spool)
        self.path = path
        self._clock = clock
        self._locks = OwnerLocks(path.with_name(path.name + ".owners"))
        self._identity = _identity(path)
        # SQLite lets waiting writers poll; within a process they queue instead.
        self._queue = threading.RLock()

    shared = False

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        with translated(self.where), self.engine.connect() as connection:
            reading = connection.execution_options(**{_READING: True})
            with reading.begin():
                yield Transaction(self, reading)

    @contextlib.contextmanager
    def _writing(self, haste: Haste) -> Iterator[Connection]:
        engine = self._hasty if haste and self._has_log else self.engine
        with self._queue, engine.begin() as connection:
            self._check_identity()
            yield connection

    def now(self) -> datetime:
        return self._clock.now()

    @cached_property
    def _hasty(self) -> Engine:
        return self.engine.execution_options(**{_HASTY: True})

    @cached_property
    def _has_log(self) -> bool:
        """Whether the file is in WAL mode; without it a hasty commit could damage the file."""
        with self.engine.connect() as connection:
            return bool(connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal")

    def clock(self, connection: Connection) -> datetime:
        return self._clock.now()

    def lock_opening(self, connection: Connection) -> None:
        """Nothing to do: a transaction that writes has the file for itself."""

    def tables(self, connection: Connection) -> set[str]:
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())

    def prepare(self) -> None:
        """WAL mode, where the file system can; another process that opens the ledger just now is waited for."""
        deadline = time.monotonic() + BUSY_SECONDS
        with translated(self.where), contextlib.closing(_connect(self.path)) as connection:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def hold(self, owner: str) -> bool:
        return self._locks.hold(owner)

    def serve(self) -> None:
        try:
            self._locks.hold("serve")
        except BusyError:
            raise BusyError(
                f"another `batchxfer serve` works on {self.where}",
                hint="stop it first; several may share a ledger on PostgreSQL",
            ) from None

    def is_served(self) -> bool | None:
        return self._locks.presence("serve") is Presence.HERE

    def damage(self) -> list[str]:
        with translated(self.where), contextlib.closing(_connect(self.path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(10)
            return found + [
                f"table {row[0]}, row {row[1]}: what it refers to in {row[2]} is not there" for row in broken
            ]

    @property
    def file(self) -> Path | None:
        return self.path

    def lives(self, owner: str, lease_until: datetime, now: datetime) -> bool:
        """The owner's lock decides. The lease decides only between threads of one process, and where the locks' folder
        was taken away."""
        presence = self._locks.presence(owner)
        if presence is Presence.HERE and not self._locks.holds(owner):
            return True
        return presence is not Presence.GONE and lease_until > now

    def sweep(self, claiming: set[str]) -> None:
        self._locks.sweep(claiming)

    def close(self, claiming: Callable[[], set[str]]) -> None:
        keep = self._locks.owners
        if keep:
            with contextlib.suppress(BatchxferError):
                keep &= claiming()
        super().close(claiming)
        self._locks.release(keep=keep)

    def check(self) -> None:
        """Raise LedgerError where the file is not a whole SQLite database; an empty one is."""
        with translated(self.where):
            try:
                with self.path.open("rb") as file:
                    start = file.read(_HEADER_BYTES)
                    size = os.fstat(file.fileno()).st_size
            except OSError as exc:
                raise refused(exc, f"{self.where} cannot be read") from exc
            if start and not start.startswith(_MAGIC):
                raise LedgerError(f"{self.where} is not a SQLite database", hint=RESTORE)
            self._check_end(start, size)
            if 0 < size <= _CHECKED_BYTES:
                self._check_pages()

    def _check_end(self, start: bytes, size: int) -> None:
        # SQLite reads a last page that was cut as if it ended in zeros. A log beside the file may still mend it.
        page = int.from_bytes(start[16:18], "big")
        logs = (self.path.with_name(self.path.name + ending) for ending in ("-wal", "-journal"))
        if page > 1 and size % page and not any(log.exists() and log.stat().st_size for log in logs):
            raise LedgerError(f"{self.where} is damaged: its end is missing", hint=RESTORE)

    def _check_pages(self) -> None:
        with contextlib.closing(_connect(self.path)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer == ("ok",):
            return
        found = str(answer[0]).strip().splitlines()[-1]
        # A page that the disk did not give just now is not a wrong one: no reason to put a backup in its place.
        if (refusal := _REFUSAL.search(found)) and int(refusal[1]) & 0xFF in DISK:
            raise StorageError(f"{self.where} cannot be read: {found}", hint=SPACE)
        raise LedgerError(f"{self.where} is damaged: {found}", hint=RESTORE)

    def _check_identity(self) -> None:
        # SQLite would go on writing to a file that was removed or replaced, and all of it would be lost.
        if _identity(self.path) != self._identity:
            raise LedgerError(f"{self.where} was moved or replaced while it was in use", hint=RESTORE)


def make_file(path: Path) -> None:
    """Make an empty file, readable by its owner only, and its folder; a file that is there stays as it is."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as exc:
        raise refused(exc, f"ledger {path} cannot be made") from exc


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that is gone is an error, never made anew. Transactions are begun by hand (isolation_level).
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _engine(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=32,
        pool_timeout=BUSY_SECONDS,
        pool_reset_on_return=None,  # every transaction here is ended where it was begun
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> Any:
        # IMMEDIATE: a transaction that reads first and then writes could otherwise fail in the middle.
        options = connection.get_execution_options()
        driver: Any = connection.connection.dbapi_connection
        if options.get(_READING, False):
            driver.execute("BEGIN")
        else:
            driver.execute(f"PRAGMA synchronous = {'NORMAL' if options.get(_HASTY, False) else 'FULL'}")
            driver.execute("BEGIN IMMEDIATE")

    return engine
