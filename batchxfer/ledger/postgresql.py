"""A ledger in a PostgreSQL database: several nodes share it; leases run by the database's clock.

The database may be a network away: what counts is how often it is asked. A transaction begins, and learns the time, in one
question; a connection that was used a moment ago is known to stand without asking.
"""

from __future__ import annotations

import contextlib
import select as sockets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError, OperationalError

from batchxfer.errors import LedgerError
from batchxfer.ledger.faults import translated
from batchxfer.ledger.store import Haste, Store, Transaction
from batchxfer.model import utc

if TYPE_CHECKING:
    from batchxfer.credentials import Secret

# One number for all who open a ledger in this database: "batchxfer" in ASCII, cut to 63 bits.
_OPENING = int.from_bytes(b"batchxfe", "big")

# A frozen network must not freeze a worker: libpq's own limits, in seconds (tcp_user_timeout in milliseconds).
_LIMITS = {
    "connect_timeout": "15",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "batchxfer",
    "client_encoding": "UTF8",
}
# Whatever the server, the database or the role say. A node that is frozen in the middle of a transaction holds its locks: it
# must lose them before its lease runs out.
_SESSION = """
SET TIME ZONE 'UTC';
SET DateStyle = 'ISO, YMD';
SET statement_timeout = '60s';
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '10s';
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
# What a transaction begins with, by the connection's option _KIND. What reads sees one state of the ledger.
_KIND = "batchxfer_kind"
_BEGIN = {
    "write": "BEGIN; SELECT clock_timestamp()",
    "hasty": "BEGIN; SET LOCAL synchronous_commit = off; SELECT clock_timestamp()",
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT clock_timestamp()",
    # One statement is a transaction by itself.
    "ask": "",
}
_BEGAN_AT = "batchxfer_began_at"
_USED_AT = "batchxfer_used_at"
_SURE_SECONDS = 5.0
_CLOCK = select(func.clock_timestamp())


class PostgresqlStore(Store):
    """The schema that `url`'s search path begins with."""

    def __init__(self, url: URL, password: Secret | None, spool: Path) -> None:
        super().__init__(f"ledger {_shown(url)}", _engine(url, password), spool)

    shared = True

    def read(self) -> AbstractContextManager[Transaction]:
        return self._begin("read")

    def ask(self) -> AbstractContextManager[Transaction]:
        return self._begin("ask")

    @contextlib.contextmanager
    def _writing(self, haste: Haste) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            chosen = connection.execution_options(**{_KIND: "hasty" if haste is Haste.SERVER else "write"})
            with chosen.begin():
                yield chosen

    @contextlib.contextmanager
    def _begin(self, kind: str) -> Iterator[Transaction]:
        with translated(self.where), self.engine.connect() as connection:
            chosen = connection.execution_options(**{_KIND: kind})
            with chosen.begin():
                yield Transaction(self, chosen)

    def now(self) -> datetime:
        with self.ask() as tx:
            return utc(tx.connection.execute(_CLOCK).scalar_one())

    def clock(self, connection: Connection) -> datetime:
        """When the transaction began: before it waited for a lock, so that no lease seems to have run out in the meantime."""
        return utc(connection.info[_BEGAN_AT])

    def lock_opening(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_OPENING)))

    def tables(self, connection: Connection) -> set[str]:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        if schema is None:
            raise LedgerError(f"{self.where}: no schema of its search path exists", hint="create it, or mend the URL")
        query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        return set(connection.exec_driver_sql(query).scalars())

    def hold(self, owner: str) -> bool:
        """Nothing to hold: the lease says whether an owner lives."""
        return False

    def lives(self, owner: str, lease_until: datetime, now: datetime) -> bool:
        return lease_until > now

    def sweep(self, claiming: set[str]) -> None:
        """Nothing is left behind."""


def _shown(url: URL) -> str:
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"postgresql://{host}/{url.database or ''}"


def _engine(url: URL, password: Secret | None) -> Engine:
    chosen = url.set(drivername="postgresql+psycopg")
    if password is not None:
        chosen = chosen.set(password=password.reveal())
    limits = {key: value for key, value in _LIMITS.items() if key not in url.query}
    engine = create_engine(chosen, connect_args=limits, pool_size=8, max_overflow=32, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        # Each transaction is begun here.
        connection.autocommit = True
        connection.execute(_SESSION)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        words = _BEGIN[connection.get_execution_options().get(_KIND, "write")]
        connection.info[_BEGAN_AT] = _answer(connection, words) if words else None

    @event.listens_for(engine, "checkin")
    def checkin(connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def checkout(connection: Any, record: Any, proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is not None and not _stands(connection, time.monotonic() - used_at):
            raise InvalidatePoolError

    return engine


def _answer(connection: Connection, words: str) -> Any:
    """What the last of several statements answers; they are asked together."""
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.execute(words, prepare=False)
        while cursor.nextset():
            pass
        return cursor.fetchone()[0]
    except connection.dialect.loaded_dbapi.Error as exc:
        if driver.closed:
            connection.invalidate(exc)
        raise OperationalError(words, None, exc) from exc


def _stands(driver: Any, idle_seconds: float) -> bool:
    """Whether the connection is still there. A server that ended has said so, though nobody asked; what lies in between may
    have forgotten a connection that was idle."""
    with contextlib.suppress(Exception):
        looking = sockets.poll()
        looking.register(driver.fileno(), sockets.POLLIN)
        if looking.poll(0):
            return False
        if idle_seconds > _SURE_SECONDS:
            driver.execute("SELECT 1")
        return True
    return False
