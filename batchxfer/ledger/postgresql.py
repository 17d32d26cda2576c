"""A ledger in a PostgreSQL database: several nodes share it; leases run by the database's clock."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL

from batchxfer.errors import LedgerError
from batchxfer.ledger.store import Store
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
}
# A node that is frozen in the middle of a transaction holds its locks: it must lose them before its lease runs out.
_SESSION = """
SET TIME ZONE 'UTC';
SET statement_timeout = '60s';
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '10s';
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""


class PostgresqlStore(Store):
    """The schema that `url`'s search path begins with."""

    def __init__(self, url: URL, password: Secret | None, spool: Path) -> None:
        super().__init__(f"ledger {_shown(url)}", _engine(url, password), spool)

    shared = True

    def clock(self, connection: Connection) -> datetime:
        return utc(connection.execute(select(func.clock_timestamp())).scalar_one())

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
    engine = create_engine(
        chosen, connect_args=limits, pool_pre_ping=True, pool_size=8, max_overflow=32, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        connection.autocommit = True
        connection.execute(_SESSION)
        connection.autocommit = False

    return engine
