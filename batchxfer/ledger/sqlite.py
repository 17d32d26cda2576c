"""A ledger in a SQLite file: one machine, any number of processes and threads.

The file is in WAL mode with `synchronous = FULL`: a commit is one fsync, and readers never wait for a writer. A hasty commit
is none; the log keeps the order, so that what a power cut takes away is the newest, and never more than the hasty ones.

A user that may only read it leaves nothing behind: no log and no index of it, which its owner could not write to.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from batchxfer.errors import BatchxferError, BusyError, DatabaseUnavailable, LedgerError, StorageError
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
        self._is_for_reading = not may_write(path)
        super().__init__(f"ledger {path}", _engine(path, for_reading=self._is_for_reading), spool)
        self.path = path
        self._clock = clock
        self._locks = OwnerLocks(path.with_name(path.name + ".owners"))
        self._identity = _identity(path)
        # SQLite lets waiting writers poll; within a process they queue instead.
        self._queue = threading.RLock()

    shared = False

    @property
    def is_for_reading(self) -> bool:
        return self._is_for_reading

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        with translated(self.where), self._as_it_is(), self.engine.connect() as connection:
            reading = connection.execution_options(**{_READING: True})
            with reading.begin():
                yield Transaction(self, reading)

    def _as_it_is(self) -> AbstractContextManager[None]:
        return unchanged(self.path) if self._is_for_reading else contextlib.nullcontext()

    @contextlib.contextmanager
    def _writing(self, haste: Haste) -> Iterator[Connection]:
        self._refuse_reader()
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
        self._refuse_reader()
        return self._locks.hold(owner)

    def serve(self) -> None:
        self._refuse_reader()
        try:
            self._locks.hold("serve")
        except BusyError:
            raise BusyError(
                f"another `batchxfer serve` works on {self.where}",
                hint="stop it first; several may share a ledger on PostgreSQL",
            ) from None

    def is_served(self) -> bool | None:
        presence = self._presence("serve")
        return None if presence is None else presence is Presence.HERE

    def _presence(self, owner: str) -> Presence | None:
        """None where this user, who may only read the ledger, may not look at its locks."""
        try:
            return self._locks.presence(owner)
        except LedgerError:
            if self._is_for_reading:
                return None
            raise

    def _refuse_reader(self) -> None:
        if self._is_for_reading:
            raise LedgerError(
                f"{self.where}: this user may only read it; nothing was begun",
                hint=f"type it as the user that it belongs to ({_owner(self.path)}); or see whether its disk is mounted "
                "for reading only",
            )

    def damage(self) -> list[str]:
        with (
            translated(self.where),
            self._as_it_is(),
            contextlib.closing(_connect(self.path, for_reading=self._is_for_reading)) as connection,
        ):
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
        presence = self._presence(owner)
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
        with self._as_it_is(), contextlib.closing(_connect(self.path, for_reading=self._is_for_reading)) as connection:
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


def may_write(path: Path) -> bool:
    """Whether this user may write the ledger at `path`, which is there: to the file, and to its log, or make one beside it."""
    log = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    return os.access(path, os.W_OK) and (
        os.access(path.parent, os.W_OK | os.X_OK) or all(os.access(part, os.W_OK) for part in log)
    )


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """What is read without a log is spoiled by what is written to the file meanwhile: raises DatabaseUnavailable."""
    before = _written(path)
    yield
    if _written(path) != before:
        raise DatabaseUnavailable(f"ledger {path} was written to while it was read", hint="try again")


def _written(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is written to."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "see: ls -l"


def to_read(path: Path) -> str:
    """SQLite's name for the file, for a user who may only read it.

    Nothing is made beside the file: its log is read where there is one, and where not, all of it is in the file.
    """
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(OSError):
        if log.stat().st_size:
            return path.absolute().as_uri() + "?mode=ro&readonly_shm=1"
    return path.absolute().as_uri() + "?mode=ro&immutable=1"


def _connect(path: Path, *, for_reading: bool = False) -> sqlite3.Connection:
    # mode=rw: a file that is gone is an error, never made anew. Transactions are begun by hand (isolation_level).
    connection = sqlite3.connect(
        to_read(path) if for_reading else path.absolute().as_uri() + "?mode=rw",
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


def _engine(path: Path, *, for_reading: bool) -> Engine:
    # A reader may see the file without its log, as it never changes: the next reading looks anew.
    pool: dict[str, Any] = {"poolclass": NullPool}
    if not for_reading:
        pool = {"poolclass": QueuePool, "pool_size": 8, "max_overflow": 32, "pool_timeout": BUSY_SECONDS}
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path, for_reading=for_reading),
        pool_reset_on_return=None,  # every transaction here is ended where it was begun
        **pool,
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

    @event.listens_for(engine, "checkin")
    def checkin(connection: Any, record: Any) -> None:
        # A signal came before SQLAlchemy knew of the transaction, or when it took it for ended.
        if connection is not None and connection.in_transaction:
            record.invalidate()

    return engine
