"""The ledger's tables. `migrations/` makes them; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from batchxfer.errors import LedgerError
from batchxfer.ledger import typed
from batchxfer.ledger.faults import RESTORE
from batchxfer.model import DeliveryStatus, FetchStatus, FileRole, FileStatus, NoticeKind, Outcome, RunStatus, utc

HEAD = "0003"
"""The newest schema version, which this program reads and writes."""

VERSION_TABLE = "ledger_version"
"""Where Alembic keeps the version; not its usual name, since an application's tables may lie beside ours."""


class Instant(TypeDecorator[datetime]):
    """An aware instant, to the microsecond: `timestamptz` on PostgreSQL, elsewhere ISO text of fixed width in UTC.

    Both sort and compare as the instants do, and both are what the database's own date functions read.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        instant = utc(value)
        return instant if dialect.name == "postgresql" else instant.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return utc(value if isinstance(value, datetime) else datetime.fromisoformat(value))


class Json(TypeDecorator[Any]):
    """JSON text that keeps the types of what it holds; see `typed`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else typed.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        try:
            return None if value is None else typed.loads(value)
        except ValueError as exc:
            raise LedgerError(f"the ledger is damaged: {exc}", hint=RESTORE) from exc


class Words(TypeDecorator[str]):
    """Text for people, made storable; it need not read back exactly."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | PurePath | None, dialect: Dialect) -> str | None:
        return None if value is None else typed.storable(str(value))


# Compared byte by byte: ids and names sort the same whatever the database's language.
Exact = Text().with_variant(Text(collation="C"), "postgresql")
Id = String(26).with_variant(String(26, collation="C"), "postgresql")
Count = BigInteger().with_variant(Integer(), "sqlite")


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_once",
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("key", Exact, primary_key=True),
    Column("value", Text, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    Column("job", Exact, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("interval_start", Instant, nullable=False),
    Column("interval_end", Instant, nullable=False),
    Column("business_date", Date, nullable=False),
    Column("created_at", Instant, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Exact, primary_key=True),
    Column("query", Words, nullable=False),
    Column("format", Words, nullable=False),
    Column("file", Words, nullable=False),
    Column("digest", Words, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", Exact, nullable=False),
    Column("slot", Instant, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", Exact, nullable=False),
    Column("reason", Words),
    Column("retry_at", Instant),
    Column("parameters", Json, nullable=False),
    Column("snapshot", Exact, ForeignKey(snapshots.c.id)),
    Column("guard_released", Boolean, nullable=False),
    Column("ending", Exact),
    Column("claim", Id),
    Column("owner", Words),
    Column("claimed_at", Instant),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    ForeignKeyConstraint(["job", "slot"], [slots.c.job, slots.c.slot]),
    UniqueConstraint("job", "slot", "revision"),
    one_of("status", RunStatus),
    one_of("ending", (RunStatus.SKIPPED, RunStatus.EXCLUDED, RunStatus.MISSING, RunStatus.HELD, RunStatus.FAILED)),
)
Index("runs_by_slot", runs.c.slot)
Index("runs_by_status", runs.c.status)
Index("runs_claimed", runs.c.claim, unique=True)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run", Id, ForeignKey(runs.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("endpoint", Exact),
    Column("number", Integer, nullable=False),
    Column("claim", Id, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Exact),
    Column("error", Json),
    UniqueConstraint("run", "position"),
    UniqueConstraint("run", "endpoint", "number"),
    one_of("outcome", Outcome),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_with_outcome"),
)


artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run", Id, ForeignKey(runs.c.id), nullable=False),
    Column("path", Text, nullable=False),
    Column("rows", Count, nullable=False),
    Column("bytes", Count, nullable=False),
    Column("sha256", Exact, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("pruned_at", Instant),
    Column("dropped_at", Instant),
)
Index("artifacts_by_run", artifacts.c.run)
# Some rows only, on PostgreSQL too, as the migrations say: what is said to its dialect here imports it for every ledger.
Index(
    "artifacts_one_current",
    artifacts.c.run,
    unique=True,
    sqlite_where=artifacts.c.dropped_at.is_(None),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run", Id, ForeignKey(runs.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("endpoint", Exact, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Exact, nullable=False),
    Column("reason", Words),
    Column("retry_at", Instant),
    Column("retries", Integer, nullable=False),
    Column("begun_at", Instant),
    Column("settled_at", Instant),
    Column("delivered_at", Instant),
    Column("bytes", Count),
    Column("sha256", Exact),
    Column("evidence", Json),
    Column("error", Json),
    UniqueConstraint("run", "endpoint"),
    one_of("status", DeliveryStatus),
    CheckConstraint(
        "status <> 'delivered' OR (delivered_at IS NOT NULL AND evidence IS NOT NULL)", name="delivered_with_evidence"
    ),
    CheckConstraint("status <> 'retrying' OR retry_at IS NOT NULL", name="retrying_with_instant"),
    CheckConstraint(
        "status NOT IN ('retrying', 'failed', 'held', 'excluded') OR reason IS NOT NULL", name="stopped_with_reason"
    ),
)
Index("deliveries_by_status", deliveries.c.status)

delivery_files = Table(
    "delivery_files",
    metadata,
    Column("delivery", Id, ForeignKey(deliveries.c.id), primary_key=True),
    Column("role", Exact, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Exact, nullable=False),
    Column("temp_path", Text),
    Column("created", Boolean, nullable=False),
    Column("bytes", Count),
    Column("sha256", Exact),
    one_of("role", FileRole),
    one_of("status", FileStatus),
)

fetched_files = Table(
    "fetched_files",
    metadata,
    Column("id", Id, primary_key=True),
    Column("file", Id, nullable=False),
    Column("run", Id, ForeignKey(runs.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("job", Exact, nullable=False),
    Column("endpoint", Exact, nullable=False),
    Column("path", Exact, nullable=False),
    Column("size", Count, nullable=False),
    Column("modified", Instant),
    Column("status", Exact, nullable=False),
    Column("reason", Words),
    Column("bytes", Count),
    Column("sha256", Exact),
    Column("local_path", Text),
    Column("moved_to", Text),
    Column("gone", Boolean, nullable=False),
    Column("rows", Count),
    Column("bad_rows", Count),
    Column("bad_path", Text),
    Column("seen_at", Instant, nullable=False),
    Column("fetched_at", Instant),
    Column("loaded_at", Instant),
    Column("done_at", Instant),
    UniqueConstraint("run", "file"),
    one_of("status", FetchStatus),
    CheckConstraint(
        "status NOT IN ('fetched', 'loaded', 'done') OR (sha256 IS NOT NULL AND local_path IS NOT NULL)",
        name="fetched_with_digest",
    ),
)
Index("fetched_files_by_path", *(fetched_files.c[name] for name in ("job", "endpoint", "path", "id")))
Index("fetched_files_by_content", fetched_files.c.job, fetched_files.c.sha256)

events = Table(
    "events",
    metadata,
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("run", Id, ForeignKey(runs.c.id)),
    Column("kind", Exact, nullable=False),
    Column("detail", Json, nullable=False),
)
Index("events_by_run", events.c.run, events.c.id)

marks = Table(
    "marks",
    metadata,
    Column("job", Exact, primary_key=True),
    Column("first_seen", Instant, nullable=False),
    Column("planned_until", Instant, nullable=False),
    Column("interval_end", Instant),
)

pauses = Table(
    "pauses",
    metadata,
    Column("subject", Exact, primary_key=True),
    Column("why", Words, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Exact, nullable=False),
    Column("subject", Exact, nullable=False),
    Column("job", Exact),
    Column("run", Id, ForeignKey(runs.c.id)),
    Column("at", Instant, nullable=False),
    Column("detail", Json, nullable=False),
    Column("told_at", Json, nullable=False),
    Column("over_at", Instant),
    one_of("kind", NoticeKind),
)
Index(
    "notices_open_once",
    notices.c.kind,
    notices.c.subject,
    unique=True,
    sqlite_where=notices.c.over_at.is_(None),
)
